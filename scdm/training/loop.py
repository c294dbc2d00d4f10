"""The training loop, to be read from top to bottom."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin, ProjectConfiguration

from ..files.untrusted import brief
from .config import MODEL, RunConfig
from .interruption import Interrupted, Interruption, explained
from .learner import Outcome, learning_rate
from .mirror import Mirror
from .progress import Progress, chosen_tracker, peak_gigabytes, synchronize
from .release import provenance, release, sheet_path
from .run import Run, prepared
from .states import States
from .stream import DrawnBatch, steps_from

ROUNDS, SECONDS = 5, 60  # of a rehearsal: steps of each size that are timed, and about how long that may take


def train(config: RunConfig) -> Path:
    """Runs to `config.steps`, resuming what the run's folder already holds. Returns the released model's file.

    Interrupted, after a save, if SIGINT or SIGTERM asked for it; ChildProcessError, after a save, if a process that reads
    ahead was killed. FloatingPointError after `config.patience` steps in a row without a finite gradient. ValueError,
    MemoryError and OSError (no room for the last save) say what to change.
    """
    accelerator = new_accelerator(config)
    with explained(config, accelerator), Interruption() as interruption, ExitStack() as held:
        fetch(config, accelerator)
        run = prepared(config, accelerator)
        if accelerator.is_main_process:
            held.enter_context(run.states.owned())
            print(idle(config), end="")
        share = accelerator.process_index, accelerator.num_processes
        stream = steps_from(run.step, run.data, config, *share, run.model.space)
        with Progress(accelerator, config, run.step, run.model.config.steps) as progress:
            problem, tried = complete(run, accelerator, progress), run.step  # of the last save
            while run.step < config.steps:
                drawn = interruption.upcoming(stream)
                late = config.hours is not None and run.step > 0 and run.hours >= config.hours
                if for_any(accelerator, not drawn or late or interruption.signum is not None):
                    break
                lr = learning_rate(run.step, config)
                outcome = run.learner.step(drawn, run.step, lr)
                run.step += 1
                progress.report(run.step, outcome, lr)
                if progress.missed >= config.patience:
                    raise FloatingPointError(divergence(run))
                if run.step % config.save_every == 0:
                    problem, tried = save(run, accelerator, progress), run.step
                    if problem and run.step < config.steps:
                        progress.say(unsaved(run, problem))
            if run.step != tried:
                problem = save(run, accelerator, progress)
            if for_any(accelerator, bool(problem)):
                raise OSError(unsaved(run, problem))
        if interruption.signum is not None:  # be it in the last step: others may follow
            raise Interrupted(interruption.signum, f"{signal.Signals(interruption.signum).name} {kept(run)}")
        if for_any(accelerator, interruption.lost is not None):
            raise ChildProcessError(lost(run, interruption.lost or ""))
    return run.states.folder / MODEL


def rehearse(config: RunConfig) -> str:
    """Builds all of a run and takes a few steps of each size, but writes nothing. Returns what that takes, in words."""
    accelerator = new_accelerator(config)
    with explained(config, accelerator):
        mirrored(config)  # so that an address that is wrong is not found out by the run
        run = prepared(config, accelerator)
        share = accelerator.process_index, accelerator.num_processes
        stream = steps_from(run.step, run.data, config, *share, run.model.space)
        sizes = len(config.turns())
        first, outcome = timed(run, stream, sizes, accelerator)
        rounds = max(1, min(ROUNDS, int(SECONDS / max(first * sizes, 1e-9))))
        seconds, _ = timed(run, stream, rounds * sizes, accelerator)
    left = config.steps - run.step
    parameters = sum(parameter.numel() for parameter in run.learner.plain.parameters())
    return (
        f"{parameters / 1e6:.1f} million parameters on {accelerator.num_processes} x {accelerator.device.type}, "
        f"{config.precision}\n"
        f"step {run.step + 1} of {config.steps}, {config.batch} images: {seconds:.2f} s, the first one {first:.2f} s; "
        f"{left} steps take {duration(left * seconds)}, saves and samples not counted\n"
        f"loss {outcome.losses.total.mean():.4f}, gradient {outcome.norm:.3g}\n"
        f"peak memory {peak_gigabytes(accelerator.device):.2f} GB for each process; nothing was written\n{idle(config)}"
    ).rstrip()


def duration(seconds: float) -> str:
    """In the largest unit of which it is one or more."""
    length, unit = next(((length, unit) for length, unit in ((3600, "h"), (60, "min")) if seconds >= length), (1, "s"))
    number = seconds / length
    return f"{number:,.0f} {unit}" if number >= 100 else f"{number:.3g} {unit}"


def idle(config: RunConfig) -> str:
    """A line on settings that have no effect, or ""."""
    return f"note: without effect in this run: {', '.join(config.idle)}\n" if config.idle else ""


def timed(run: Run, stream: Iterator[list[DrawnBatch]], steps: int, accelerator: Accelerator) -> tuple[float, Outcome]:
    """Takes steps of a rehearsal: seconds of each, the wait for its images included, and the outcome of the first."""
    synchronize(accelerator.device)
    started = time.perf_counter()
    outcomes = [
        run.learner.step(drawn, run.step, learning_rate(run.step, run.config)) for drawn in islice(stream, steps)
    ]
    synchronize(accelerator.device)
    return (time.perf_counter() - started) / steps, outcomes[0]


def new_accelerator(config: RunConfig) -> Accelerator:
    """ValueError if the configuration asks for an unavailable tracker or precision."""
    torch.backends.cudnn.benchmark = config.cudnn_benchmark
    accelerator = Accelerator(
        mixed_precision={"float32": "no", "bfloat16": "bf16", "float16": "fp16"}[config.precision],
        log_with=chosen_tracker(config.tracker),
        project_config=ProjectConfiguration(config.run, logging_dir=str(Path(config.run) / "logs")),
        # Not left to a user's accelerate configuration, which would divide the loss once more.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )
    if config.precision == "float16" and accelerator.device.type == "cpu":  # which accelerate would take for float32
        raise ValueError("precision float16 needs a GPU: set it to bfloat16 or float32")
    return accelerator


def for_any(accelerator: Accelerator, holds: bool) -> bool:
    """Whether it holds for any process, so that all do the same."""
    if accelerator.num_processes == 1:
        return holds
    return bool(accelerator.reduce(torch.tensor(float(holds), device=accelerator.device)) > 0)


def save(run: Run, accelerator: Accelerator, progress: Progress) -> str:
    """The state to resume from, and then what is released of it. Returns what kept any of it from being written, "" if
    nothing, on the main process. Every process must call it.

    Every file is written beside and renamed, so what was there before is lost only to what is whole. What a save that was
    cut short left undone, `complete` does.
    """
    with progress.paused():
        run.provenance = provenance(run, accelerator)
        state = run.state_dict()
        if not accelerator.is_main_process:
            return ""
        try:
            run.states.save(run.step, state)
            averages = {decay: ema["weights"] for decay, ema in state["learner"]["ema"].items()}
            posthoc = state["learner"].get("posthoc")
            release(run, averages, accelerator, progress, sheet_path(run), validate=True, posthoc=posthoc)
        except OSError as error:
            return error.strerror or str(error)
        mirror(run, progress)
        return ""


def fetch(config: RunConfig, accelerator: Accelerator) -> None:
    """Brings what a run's mirror holds to an empty folder, for all processes. Every process must call it."""
    if config.mirror is None:
        return
    if accelerator.is_main_process and (source := mirrored(config)) is not None:
        with readable(config.mirror):
            found = source.fetch()
        if found:
            print(f"note: {config.run} goes on from {config.mirror}")
    accelerator.wait_for_everyone()


def mirrored(config: RunConfig) -> Mirror | None:
    """The run's mirror, None if it has none. ValueError if it cannot be read, or is ahead of what the run's folder holds."""
    if config.mirror is None:
        return None
    source = Mirror(config.run, config.mirror)
    with readable(config.mirror):
        there = source.newest()
    here = States(Path(config.run), config.keep, config.keep_every).step
    if 0 < here < there:
        raise ValueError(
            f"the mirror {config.mirror} holds step {there}, but {config.run} ends at step {here}, and its next save would "
            f"take that away: remove the states in {config.run} to go on from the mirror, or choose another mirror"
        )
    return source


@contextmanager
def readable(address: str) -> Iterator[None]:
    """What fails in this block means that a mirror cannot be read."""
    try:
        yield
    except Exception as error:  # of whatever package serves the address
        raise ValueError(f"the mirror {address} cannot be read: {brief(str(error) or type(error).__name__)}") from error


def mirror(run: Run, progress: Progress) -> None:
    """Copies the save to the run's mirror. One that fails is said, and the next save tries again: the run itself is safe."""
    if run.config.mirror is None:
        return
    try:
        Mirror(run.states.folder, run.config.mirror).push()
    except Exception as error:  # of whatever package serves the address
        problem = getattr(error, "strerror", None) or str(error) or type(error).__name__
        progress.say(
            f"note: step {run.step} is saved, but could not be copied to {run.config.mirror}: {brief(problem)}"
        )


def complete(run: Run, accelerator: Accelerator, progress: Progress) -> str:
    """Does what the save of the state that the run resumes may have left undone: its models, which may be of another step,
    its sheet of samples, and their copies. Returns like `save`; every process must call it."""
    averages = {decay: ema.whole(accelerator.is_main_process) for decay, ema in run.learner.ema.items()}
    posthoc = run.learner.posthoc_state()
    if not accelerator.is_main_process or run.step == 0:
        return ""
    run.provenance = run.provenance or provenance(run, accelerator)  # which states of version 0.1.0 do not hold
    try:
        run.states.prune()
        missing = None if (path := sheet_path(run)) is None or path.exists() else path
        release(run, averages, accelerator, progress, missing, posthoc=posthoc)
    except OSError as error:
        return error.strerror or str(error)
    mirror(run, progress)
    return ""


def divergence(run: Run) -> str:
    kept = f"the state of step {run.states.step} is kept" if run.states.step else "nothing had been saved"
    return (
        f"{run.config.patience} steps in a row, up to step {run.step}, gave no finite gradient; {kept}. Look for broken "
        "images (training/check_data.py), or start from the saved model (init) in a new run folder, with a lower "
        "optimizer.lr or clip_norm or with more precision"
    )


def unsaved(run: Run, problem: str) -> str:
    """problem: why, "" if another process knows."""
    reason = f" ({problem})" if problem else ""
    if run.states.step == run.step:
        return (
            f"step {run.step} is saved, but not all of its models and samples could be written: make room, and the same "
            f"command writes them{reason}"
        )
    onwards = f"goes on from {run.states.step}" if run.states.step else "begins anew"
    return f"step {run.step} could not be saved: make room, and the same command {onwards}{reason}"


def kept(run: Run) -> str:
    if run.step == 0:
        return "before the first step: there was nothing to save, and the same command begins anew"
    return f"after step {run.step}, all is saved; the same command goes on from there"


def lost(run: Run, words: str) -> str:
    """words: torch's, of the process that is lost."""
    how = f" ({found[1]})" if (found := re.search(r"killed by signal: ([^.]+)\.", words)) else ""
    shared = "shared memory (/dev/shm)" if "Bus error" in words else "memory"
    return (
        f"a process that reads images was killed by the system{how}, most likely for want of {shared}: set data.workers to "
        f"less than {run.config.data.workers}. It ended {kept(run)}"
    )
