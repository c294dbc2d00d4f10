"""Is a GPU right, and how fast is it: checks against the CPU, then milliseconds, TFLOP/s, share of the peak, and memory.

    python benchmarks/accelerator.py --out FOLDER            # at most 9 minutes on a machine with one GPU
    python benchmarks/accelerator.py --device cpu --rehearse # tiny sizes: shows that all of it runs

Needs torch, numpy, Pillow, safetensors, PyYAML, tqdm, OpenCV (headless too) and accelerate; nothing need be installed beside
them. With pytest and hypothesis the tests marked `cuda` run too. The table is printed and written as accelerator.md and
accelerator.json, anew after each part, so that what was measured is there however the rest ends.

Each part is a process of its own with a share of the time: its peak memory is its own, and what fails or takes too long is a
row that says so. Milliseconds are medians. TFLOP are counted by torch (a multiply-add is two). The peak is that of a product
of two square matrices in the same precision, measured in the same run.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that nothing need be installed

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("accelerator")  # before torch is loaded

import argparse
import importlib.util
import json
import multiprocessing
import os
import platform
import signal
import statistics
import subprocess
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

ROOT = Path(__file__).parents[1]
BUDGET = 9 * 60.0  # seconds
LEAST = 15.0  # seconds, below which no part is begun: a process with torch and a GPU takes some by itself
ENOUGH = 1.5  # seconds of repeats
PRECISIONS = ("float32", "tf32", "bfloat16", "float16")
DTYPES = {"float32": torch.float32, "tf32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Row:
    """A line of the table. What was not measured is None; `note` says why, or more.

    milliseconds: of one step, image or matrix product. gigabytes: the most that the device held at once.
    share: of the measured peak of the same precision.
    """

    part: str
    what: str
    precision: str = ""
    milliseconds: float | None = None
    teraflops: float | None = None
    share: float | None = None
    gigabytes: float | None = None
    note: str = ""

    HEADER = "| | precision | ms | TFLOP/s | of peak | peak memory, GB | |\n| --- | --- | --- | --- | --- | --- | --- |"

    def __str__(self) -> str:
        def cell(value: float | None, form: str) -> str:
            return "" if value is None else format(value, form)

        numbers = [cell(self.milliseconds, ".2f"), cell(self.teraflops, ".4g"), cell(self.share, ".0%")]
        return f"| {' | '.join([self.what, self.precision, *numbers, cell(self.gigabytes, '.2f'), self.note])} |"


Emit = Callable[[Row], None]


@dataclass(frozen=True)
class Order:
    """The settings of a part. device: as torch names it. rehearse: as small as it goes."""

    part: str
    device: str
    rehearse: bool
    seconds: float


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="cuda (%(default)s), or cpu with --rehearse")
    parser.add_argument("--rehearse", action="store_true", help="tiny sizes, in one process, without a budget")
    parser.add_argument("--out", type=Path, default=Path("accelerator"), help="folder for the results (%(default)s)")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), help="only these")
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds for all of it (%(default)g)")
    arguments = parser.parse_args(argv)
    try:
        device = torch.device(arguments.device)
    except RuntimeError:
        parser.error(f"torch knows no device {arguments.device!r}: choose cuda, or cpu with --rehearse")
    if device.type == "cuda" and not torch.cuda.is_available():
        print(
            "accelerator: torch finds no GPU on this machine, so there is nothing to measure; --device cpu --rehearse "
            "shows that the program runs",
            file=sys.stderr,
        )
        return 2
    if device.type != "cuda" and not arguments.rehearse:
        print("accelerator: without a GPU there are only rehearsals: add --rehearse", file=sys.stderr)
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    started = time.monotonic()
    for part in arguments.parts:
        left = arguments.budget - (time.monotonic() - started)
        order = Order(part, arguments.device, arguments.rehearse, min(PARTS[part].seconds, left))
        print(f"\n{PARTS[part].title}\n\n{Row.HEADER}", flush=True)
        for row in measured(order):
            rows.append(with_share(row, rows))
            print(rows[-1], flush=True)
        written(arguments.out, rows, about(device), time.monotonic() - started)
    failed = sum(
        row.note.startswith("failed") or (row.part == "checks" and row.note.startswith("left out")) for row in rows
    )
    print(f"\n{time.monotonic() - started:.0f} s, {failed} failures; the table is in {arguments.out}")
    return 1 if failed else 0


def measured(order: Order) -> Iterator[Row]:
    """The rows of a part, as they come."""
    if order.rehearse:
        rows: list[Row] = []
        work(order, rows.append)
        yield from rows
    elif order.seconds < LEAST:
        yield Row(order.part, PARTS[order.part].title, note="left out: no time was left")
    else:
        yield from isolated(order)


def isolated(order: Order) -> Iterator[Row]:
    """Those of a process that is stopped when its time is up."""
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_worked, args=(order, sending), daemon=False)  # which leads a group of its own
    end = time.monotonic() + order.seconds
    process.start()
    sending.close()
    try:
        while receiving.poll(max(0.0, end - time.monotonic())):
            try:
                yield receiving.recv()
            except EOFError:
                process.join()
                if process.exitcode:
                    yield Row(order.part, order.part, note=f"failed: the process ended with {process.exitcode}")
                return
        yield Row(order.part, "the rest", note=f"left out: it takes more than its {order.seconds:.0f} s")
    finally:
        with suppress(ProcessLookupError, PermissionError):
            if process.pid:
                os.killpg(process.pid, signal.SIGKILL)  # with what it has started, pytest among them
        process.kill()
        process.join()
        receiving.close()


def _worked(order: Order, sending: Connection) -> None:
    os.setsid()
    work(order, sending.send)
    sending.close()


def work(order: Order, emit: Emit) -> None:
    try:
        PARTS[order.part].run(order, emit)
    except Exception as error:
        emit(failure(order.part, PARTS[order.part].title, error))


def failure(part: str, what: str, error: Exception) -> Row:
    from scdm.files.untrusted import is_out_of_memory

    traceback.print_exception(error)
    words = " ".join(f"{type(error).__name__}: {error}".split())[:300].replace("|", "/")
    return Row(part, what, note=f"{'left out' if is_out_of_memory(error) else 'failed'}: {words}")


# The parts: each emits its rows


def checks(order: Order, emit: Emit) -> None:
    """The plain ones here, and the tests marked cuda, where there is what they need."""
    from benchmarks.checks import CHECKS

    for name, check in CHECKS.items():
        started = time.monotonic()
        try:
            check(torch.device(order.device))
            emit(Row(order.part, name, note=f"holds ({time.monotonic() - started:.0f} s)"))
        except Exception as error:
            emit(failure(order.part, name, error))
    if order.rehearse:
        return
    if not all(importlib.util.find_spec(name) for name in ("pytest", "hypothesis")):
        emit(Row(order.part, "tests marked cuda", note="left out: pytest or hypothesis is not installed"))
        return
    files = [str(path) for path in (ROOT / "tests").rglob("test_*.py") if "mark.cuda" in path.read_text("utf-8")]
    files = [path for path in files if "test_accelerator" not in path]  # which are the checks above
    command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", *files]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    words = done.stdout.strip().splitlines()[-1:] or done.stderr.strip().splitlines()[-1:] or [""]
    if done.returncode:
        print(done.stdout[-5000:], done.stderr[-2000:], file=sys.stderr)
    emit(Row(order.part, "tests marked cuda", note=f"{'failed' if done.returncode else 'hold'}: {words[0]}"))


def peaks(order: Order, emit: Emit) -> None:
    side = 64 if order.rehearse else 8192
    for precision in PRECISIONS:
        try:
            a, b = (torch.randn(side, side, device=order.device).to(DTYPES[precision]) for _ in range(2))
            with tf32(precision == "tf32"):
                seconds = median_seconds(partial(torch.matmul, a, b), order)
            speed = 2 * side**3 / seconds / 1e12
            emit(Row(order.part, f"product of {side}x{side}", precision, seconds * 1e3, speed))
        except Exception as error:
            emit(failure(order.part, precision, error))


def steps(order: Order, emit: Emit, precisions: Sequence[str] = PRECISIONS, compiled: bool = False) -> None:
    """Guided steps of the published network."""
    for precision in precisions:
        try:
            emit(step_row(order, precision, compiled))
        except Exception as error:
            emit(failure(order.part, precision, error))


def step_row(order: Order, precision: str, compiled: bool) -> Row:
    from benchmarks.network import PUBLISHED, REHEARSAL, guided_step, network_called

    network, size = network_called(REHEARSAL if order.rehearse else PUBLISHED, order.device)
    network.cast(DTYPES[precision])
    network.requires_grad_(False)
    with torch.inference_mode(), tf32(precision == "tf32"):
        plain = guided_step(network, size, order.device)
        flop = counted(plain)
        step = guided_step(as_compiled(network, order), size, order.device) if compiled else plain
        started = time.monotonic()
        step()
        first = time.monotonic() - started
        difference = float((step() - plain()).abs().max()) if compiled else None
        reset_memory(order)
        seconds = median_seconds(step, order)
    note = f"compiled in {first:.0f} s, difference {difference:.1e}" if compiled else ""
    what = f"guided step, {size[0]}x{size[1]}{', compiled' if compiled else ''}"
    return Row(order.part, what, precision, seconds * 1e3, flop / seconds / 1e12, None, memory(order), note)


def as_compiled(network: Any, order: Order) -> Any:
    from scdm.networks import Compiled

    return Compiled.of(network, "eager" if order.rehearse else "inductor", dynamic=False)


def images(order: Order, emit: Emit) -> None:
    """From a layout to an image by the embedded models, in the precision that is chosen for the device."""
    from benchmarks.image import scene
    from scdm.assets import embedded_models
    from scdm.diffusion.schedules import visited_steps
    from scdm.models.conversion import load
    from scdm.pipeline import GenerateOptions, generate

    for name in embedded_models()[: 1 if order.rehearse else None]:
        model = load(name, order.device)
        options = GenerateOptions(steps=2 if order.rehearse and model.config.distilled_steps is None else None)
        filled = options.for_model(model)
        assert filled.steps is not None
        count = len(visited_steps(model.config.steps, filled.steps))
        for size in (64,) if order.rehearse else (64, 128, 256, 512):
            for batch in (1,) if order.rehearse else (1, 16):
                labels = scene(model, size).expanded(batch)
                try:
                    image = partial(generate, model, labels, options)
                    reset_memory(order)
                    seconds = median_seconds(image, order)
                    what = f"{name}, {batch} of {size}x{size}, {count} steps"
                    speed = counted(image) / seconds / 1e12
                    emit(Row(order.part, what, filled.precision, seconds * 1e3, speed, None, memory(order)))
                except Exception as error:
                    emit(failure(order.part, f"{name}, {batch} of {size}x{size}", error))


def training(order: Order, emit: Emit, compiled: bool = False) -> None:
    """Steps of the published configuration in bfloat16, with and without recomputation."""
    from benchmarks.training import ready
    from scdm.files.config import load
    from scdm.training.config import TrainConfig

    file = ROOT / "training" / "configs" / ("scenes32.yaml" if order.rehearse else "ade20k.yaml")
    smaller = ["data.size=16", "precision=float32"] if order.rehearse else []
    for checkpointing in (True, False):
        for batch in (1,) if order.rehearse else (4,):
            what = f"{batch} images, activations {'computed again' if checkpointing else 'kept'}"
            try:
                config = load(TrainConfig, file, [f"batch={batch}", "micro_batches=1", *smaller])
                config = replace(config, tracker="none", checkpointing=checkpointing, compile=False)
                step, *_ = ready(config)
                flop = counted(step)
                if compiled and not order.rehearse:
                    del step
                    step, *_ = ready(replace(config, compile=True))
                started = time.monotonic()
                step()
                wait(order.device)
                first = time.monotonic() - started
                reset_memory(order)
                seconds = median_seconds(step, order)
                note = f"compiled in {first:.0f} s" if compiled else ""
                speed = flop / seconds / 1e12
                emit(Row(order.part, what, config.precision, seconds * 1e3, speed, None, memory(order), note))
                del step
            except Exception as error:
                emit(failure(order.part, what, error))
            release_memory(order)


def loading(order: Order, emit: Emit) -> None:
    """Batches as training reads them, with nothing else to do and beside steps of half a second."""
    import tempfile

    from benchmarks.loader import made, waited
    from scdm.datasets import DataConfig, loader, open_dataset

    batch, count, busy = (2, 2, 0.0) if order.rehearse else (8, 8, 0.5)
    with tempfile.TemporaryDirectory() as folder:
        data = open_dataset(DataConfig("ade20k", root=made(Path(folder), 4 if order.rehearse else 48), size=256))
        for workers in (0,) if order.rehearse else (1, 4, 8):
            seconds = waited(loader(data.training(), batch, workers), count, 0) / count
            waiting = waited(loader(data.training(), batch, workers), count, busy) / count
            note = f"{batch / seconds:.0f} images/s; beside steps of {busy:g} s waited for {waiting * 1e3:.1f} ms"
            emit(Row(order.part, f"{workers} workers, a batch of {batch} at 256", "", seconds * 1e3, note=note))


@dataclass(frozen=True)
class Part:
    """seconds: the most that it may take."""

    title: str
    run: Callable[[Order, Emit], None]
    seconds: float


def compiled_steps(precision: str, seconds: float) -> Part:
    return Part("The published network, compiled", partial(steps, precisions=(precision,), compiled=True), seconds)


# In the order of their worth, so that what no time is left for is what matters least.
PARTS = {
    "checks": Part("What has to be true", checks, 130),
    "peaks": Part("Peak of a matrix product", peaks, 40),
    "steps": Part("The published network", steps, 60),
    "images": Part("From layout to image, embedded models", images, 70),
    "training": Part("A training step of the published configuration (ade20k.yaml)", training, 60),
    "loader": Part("Reading", loading, 50),
    "compiled bfloat16": compiled_steps("bfloat16", 90),
    "training compiled": Part("A training step, compiled", partial(training, compiled=True), 110),
    "compiled float16": compiled_steps("float16", 80),
    "compiled tf32": compiled_steps("tf32", 80),
    "compiled float32": compiled_steps("float32", 80),
}


# Measuring


def median_seconds(run: Callable[[], object], order: Order) -> float:
    """Of some repeats, after two to warm up."""
    for _ in range(2):
        run()
    wait(order.device)
    taken: list[float] = []
    while not taken or (sum(taken) < ENOUGH and len(taken) < 50 and not order.rehearse):
        started = time.perf_counter()
        run()
        wait(order.device)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def counted(run: Callable[[], object]) -> float:
    """FLOP"""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops()


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether products and convolutions of float32 may be rounded to TF32 within; torch allows it convolutions."""
    backends: tuple[Any, Any] = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = allowed
        yield
    finally:
        for backend, allows in zip(backends, before, strict=True):
            backend.allow_tf32 = allows


def wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def reset_memory(order: Order) -> None:
    if order.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats()


def release_memory(order: Order) -> None:
    if order.device.startswith("cuda"):
        torch.cuda.empty_cache()


def memory(order: Order) -> float | None:
    return torch.cuda.max_memory_allocated() / 2**30 if order.device.startswith("cuda") else None


# Telling


def with_share(row: Row, rows: Sequence[Row]) -> Row:
    peak = {other.precision: other.teraflops for other in rows if other.part == "peaks"}.get(row.precision)
    if row.teraflops is None or peak is None or row.part == "peaks":
        return row
    return replace(row, share=row.teraflops / peak)


def about(device: torch.device) -> dict[str, str]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "device": name,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }


def written(folder: Path, rows: Sequence[Row], machine: dict[str, str], seconds: float) -> None:
    content = {"machine": machine, "seconds": round(seconds, 1), "rows": [asdict(row) for row in rows]}
    (folder / "accelerator.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    lines = [", ".join(f"{key} {value}" for key, value in machine.items())]
    title = ""
    for row in rows:
        if PARTS[row.part].title != title:
            title = PARTS[row.part].title
            lines += ["", f"{title}:", "", Row.HEADER]
        lines.append(str(row))
    (folder / "accelerator.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(perform(main))
