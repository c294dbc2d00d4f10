"""The training loop, to be read from top to bottom."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin, ProjectConfiguration

from ..images import write_image
from ..pipeline import GenerateOptions
from .config import MODEL, RunConfig
from .interruption import Interrupted, Interruption
from .learning_rate import learning_rate
from .memory import explained, peak_gigabytes, synchronize
from .progress import Progress, chosen_tracker
from .release import sample_sheet, with_weights, write_models
from .run import Run, prepared
from .stream import DrawnBatch, steps_from


def train(config: RunConfig) -> Path:
    """Runs to `config.steps`, resuming what the run's folder already holds. Returns the released model's file.

    Interrupted, after a save, if SIGINT or SIGTERM asked for it. FloatingPointError after `config.patience` steps in a row
    without a finite gradient. ValueError, MemoryError and OSError (no room for the last save) say what to change.
    """
    accelerator = new_accelerator(config)
    with explained(config, accelerator), Interruption() as interruption, ExitStack() as held:
        run = prepared(config, accelerator)
        if accelerator.is_main_process:
            held.enter_context(run.states.owned())
        stream = steps_from(run.step, run.data, config, accelerator.process_index, accelerator.num_processes)
        saved = run.step  # after which step there was a save
        with Progress(accelerator, config, run.step, run.model.config.steps) as progress:
            while run.step < config.steps:
                drawn = upcoming(stream, interruption)
                late = config.hours is not None and run.step > 0 and run.hours >= config.hours
                if for_any(accelerator, not drawn or late or interruption.signum is not None):
                    break
                lr = learning_rate(run.step, config)
                outcome = run.learner.step(drawn, run.step, lr)
                run.step += 1
                progress.report(run.step, outcome, lr)
                if progress.missed >= config.patience:
                    raise FloatingPointError(divergence(run, saved))
                if run.step % config.save_every == 0 and save(run, accelerator, progress):
                    saved = run.step
            missing = run.step > 0 and not (run.states.folder / MODEL).is_file()  # somebody may have moved it away
            if for_any(accelerator, run.step != saved or missing) and not save(run, accelerator, progress):
                raise OSError(
                    f"step {run.step} could not be saved: make room, and the same command goes on from {saved}"
                )
        if interruption.signum is not None:  # be it in the last step: others may follow
            name = signal.Signals(interruption.signum).name
            raise Interrupted(
                interruption.signum, f"{name} after step {run.step}, all is saved; the same command goes on from there"
            )
    return run.states.folder / MODEL


def rehearse(config: RunConfig) -> str:
    """Builds all of a run and takes a step of each size, but writes nothing. Returns what that takes, in words."""
    accelerator = new_accelerator(config)
    with explained(config, accelerator):
        run = prepared(config, accelerator)
        stream = steps_from(run.step, run.data, config, accelerator.process_index, accelerator.num_processes)
        ahead = list(islice(stream, len(config.turns())))  # a step of each size
        started = time.perf_counter()
        outcome, *_ = [run.learner.step(drawn, run.step, learning_rate(run.step, config)) for drawn in ahead]
        synchronize(accelerator.device)
        seconds = (time.perf_counter() - started) / len(ahead)
    parameters = sum(parameter.numel() for parameter in run.learner.plain.parameters())
    hours = (config.steps - run.step) * seconds / 3600
    return (
        f"{parameters / 1e6:.1f} million parameters on {accelerator.num_processes} x {accelerator.device.type}, "
        f"{config.precision}\n"
        f"step {run.step + 1} of {config.steps}, {config.batch} images: {seconds:.2f} s (the first is slower than others; "
        f"at this pace {hours:.1f} hours), loss {outcome.losses.total.mean():.4f}, gradient {outcome.norm:.3g}\n"
        f"peak memory {peak_gigabytes(accelerator.device):.2f} GB for each process; nothing was written"
    )


def new_accelerator(config: RunConfig) -> Accelerator:
    """ValueError if the configuration asks for a tracker or a precision that cannot be had."""
    accelerator = Accelerator(
        mixed_precision="no" if config.precision == "float32" else config.precision,
        log_with=chosen_tracker(config.tracker),
        project_config=ProjectConfiguration(config.run, logging_dir=str(Path(config.run) / "logs")),
        # Not left to a user's accelerate configuration, which would divide the loss once more.
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )
    if config.precision == "fp16" and accelerator.device.type == "cpu":  # which accelerate would take for float32
        raise ValueError("precision fp16 needs a GPU: set it to bf16 or float32")
    return accelerator


def upcoming(stream: Iterator[list[DrawnBatch]], interruption: Interruption) -> list[DrawnBatch]:
    """What the next step takes; nothing, if a signal to all processes has ended the workers that should have read it."""
    try:
        return next(stream)
    except RuntimeError:
        if interruption.signum is None:
            raise
        return []


def for_any(accelerator: Accelerator, holds: bool) -> bool:
    """Whether it holds for any process, so that all do the same."""
    if accelerator.num_processes == 1:
        return holds
    return bool(accelerator.reduce(torch.tensor(float(holds), device=accelerator.device)) > 0)


def save(run: Run, accelerator: Accelerator, progress: Progress) -> bool:
    """The state to resume from, the released models, and a sheet of samples. False if there was no room.

    Every file is written beside and renamed, so what was there before is lost only to what is whole.
    """
    state, problem = run.state_dict(), None
    if accelerator.is_main_process:
        try:
            run.states.save(run.step, state)
            averages = {
                decay: with_weights(run.model, ema["weights"], provenance(run, accelerator))
                for decay, ema in state["learner"]["ema"].items()
            }
            write_models(run.states.folder, averages)
            if run.unseen is not None:
                released = averages[run.config.decays[0]].to(accelerator.device)
                sheet = sample_sheet(released, run.unseen, run.config.samples, sampling(run.config))
                write_image(run.states.folder / f"samples-{run.step}.png", sheet)
                progress.show(run.step, sheet)
        except OSError as error:
            problem = error
            progress.say(f"step {run.step} could not be saved, earlier saves are kept: {error}")
    return not for_any(accelerator, problem is not None)


def provenance(run: Run, accelerator: Accelerator) -> dict[str, object]:
    config = run.config
    images = f"{run.step * config.batch} images at {config.sizes} pixels"
    return {
        "data": f"{run.model.palette.name}, seed {config.data.seed}, {images}",
        "steps": run.step,
        "hours": round(run.hours, 2),
        "hardware": f"{accelerator.num_processes} x {accelerator.device.type}",
        "precision": config.precision,
        "null_rate": config.null_rate,
        **run.origin,
        "note": config.note,
    }


def sampling(config: RunConfig) -> GenerateOptions:
    """As by default, but without guidance by a null condition that is never shown."""
    return GenerateOptions(seed=config.seed) if config.null_rate else GenerateOptions(seed=config.seed, guidance=1.0)


def divergence(run: Run, saved: int) -> str:
    kept = f"the state of step {saved} is kept" if saved else "nothing had been saved"
    return (
        f"{run.config.patience} steps in a row, up to step {run.step}, gave no finite gradient; {kept}. Look for broken "
        "images (training/check_data.py), or start from the saved model (init) in a new run folder, with a lower "
        "optimizer.lr or clip_norm or with more precision"
    )
