"""Cost of a training step, compared with a bare forward, backward and update of the same network.

    python benchmarks/training.py                                                   # the embedded model's configuration
    python benchmarks/training.py --config training/configs/ade20k.yaml --set batch=8 --checkpointing false true --peak 990

The two take turns in one run, on the same batch, which lies ready: reading is measured by benchmarks/loader.py. Quote the
ratio, the seconds are one machine's. The bare step has the same autocast and optimizer, and no label diffusion, variational
bound, gradient norm or averages. TFLOP are counted by torch (a multiply-add is two), with those that checkpointing computes
twice; `--peak` is the machine's TFLOP/s, of which the share is given.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("training")  # before torch is loaded

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from accelerate.state import AcceleratorState
from torch import Tensor
from torch.utils.data._utils.pin_memory import pin_memory
from torch.utils.flop_counter import FlopCounterMode

from scdm.datasets import Batch
from scdm.files.arguments import Parser
from scdm.files.config import load
from scdm.layouts.labels import LabelMap, instance_borders
from scdm.layouts.palette import Palette
from scdm.models.model import Model
from scdm.training.command import ending
from scdm.training.config import TrainConfig
from scdm.training.learner import Learner, Outcome
from scdm.training.loop import new_accelerator
from scdm.training.objective import learning
from scdm.training.run import new_model
from scdm.training.stream import DrawnBatch, ExampleDraws, draws_at

HEADER = (
    "| precision | checkpointing | bare step, s | library step, s | ratio | images/s | TFLOP/s | of peak | memory, GB |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
)
BLOCK = 16  # pixels of a side of the layouts' blocks


@ending("training")
def main() -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("--config", default="training/configs/scenes64.yaml", help="YAML file of a run")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="batch=8")
    parser.add_argument("--checkpointing", nargs="+", choices=["false", "true"], default=["false"])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--peak", type=float, help="TFLOP/s of the machine in this precision")
    arguments = parser.parse_args()
    config = replace(load(TrainConfig, arguments.config, arguments.set), tracker="none", compile=False)
    print(f"{arguments.config}: {config.batch} images of {config.data.size} pixels")
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}\n\n{HEADER}", flush=True)
    for choice in arguments.checkpointing:
        row = measured(replace(config, checkpointing=choice == "true"), arguments.repeats, arguments.peak)
        print(row, flush=True)
    return 0


def measured(config: TrainConfig, repeats: int, peak: float | None) -> str:
    """A line of the table: medians of the seconds, and of the ratios of neighbours in time."""
    library, drawn, device = ready(config)
    bare = bare_step(config, Palette.named(config.data.name), drawn, device)
    with FlopCounterMode(display=False) as counter:
        library()
    bare()
    pairs = [(seconds(bare, device), seconds(library, device)) for _ in range(repeats)]
    alone, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(second / first for first, second in pairs)
    speed = counter.get_total_flops() / ours / 1e12
    del bare  # its memory is not the library's
    cells = [
        config.precision,
        "yes" if config.checkpointing else "no",
        f"{alone:.3f}",
        f"{ours:.3f}",
        f"{ratio:.3f}",
        f"{config.batch / ours:.1f}",
        f"{speed:.2f}",
        f"{speed / peak:.1%}" if peak else "",
        memory(library, device),
    ]
    return f"| {' | '.join(cells)} |"


def ready(config: TrainConfig) -> tuple[Callable[[], Outcome], DrawnBatch, torch.device]:
    """A step of the library, always on the same batch, which lies ready as the loader leaves it; the batch, the device."""
    AcceleratorState._reset_state(True)
    accelerator = new_accelerator(config)
    model = new_model(config, Palette.named(config.data.name))
    drawn = made(config, model)
    learner = Learner(config, learning(config, model), accelerator)
    return lambda: learner.step([drawn], 0, config.optimizer.lr), drawn, accelerator.device


def bare_step(config: TrainConfig, palette: Palette, drawn: DrawnBatch, device: torch.device) -> Callable[[], Tensor]:
    network = new_model(config, palette).to(device).network.train()
    if config.checkpointing:
        network.checkpoint_activations()
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.optimizer.lr, fused=True)
    x = drawn.batch.images.to(device, memory_format=torch.channels_last)
    t = (drawn.draws.step * 1000).long().to(device)
    labels = drawn.batch.labels(config.network.num_classes).to(device)
    half = torch.float16 if config.precision == "float16" else torch.bfloat16

    def step() -> Tensor:
        with torch.autocast(device.type, half, enabled=config.precision != "float32"):
            output = network(x, t, labels)
        loss = output.float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss

    return step


def made(config: TrainConfig, model: Model) -> DrawnBatch:
    """A batch of noise and of layouts in blocks: the work does not depend on what they show."""
    (height, width), classes = model.config.size, config.network.num_classes
    generator = torch.Generator().manual_seed(0)
    blocks = (config.batch, -(-height // BLOCK), -(-width // BLOCK))
    labels = LabelMap(torch.randint(0, classes, blocks, generator=generator), classes).resized(height, width)
    images = torch.randn(config.batch, 3, height, width, generator=generator).clamp(-1, 1)
    edges = instance_borders(labels.ids) if config.network.edges else None
    draws = [draws_at(0, position, (height, width)) for position in range(config.batch)]
    drawn = DrawnBatch(
        Batch(images, labels.ids, edges, torch.arange(config.batch)),
        ExampleDraws(*(torch.stack(part) for part in zip(*draws, strict=True))),
    )
    return pin_memory(drawn) if torch.cuda.is_available() else drawn


def seconds(work: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def memory(work: Callable[[], object], device: torch.device) -> str:
    """The most that a step holds on a GPU; on a CPU nobody counts it apart from what was held before."""
    if device.type != "cuda":
        return ""
    torch.cuda.reset_peak_memory_stats(device)
    work()
    return f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f}"


if __name__ == "__main__":
    sys.exit(perform(main))
