"""How a run is doing: progress bar, tracker, memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.tracking import get_available_trackers
from accelerate.utils import LoggerType
from tqdm.auto import tqdm

from ..files.config import flat, to_dict
from .config import RunConfig
from .learner import Outcome

NAME = "scdm"  # of the project, where a tracker has projects
QUARTERS = 4  # of the process: their losses differ by orders of magnitude


class Progress:
    """Shows and logs the steps of a run from `step` on, as a context. Every process must report each of its steps.

    process_steps: the length of the diffusion process, for the losses of its quarters.
    missed: steps in a row that were left out, up to the last time they were read.

    Sums stay on the device, and are looked at after every step on a CPU. Elsewhere to look is to wait, so it is done only
    where something is to be logged, or `config.patience` steps may have been missed.
    """

    def __init__(self, accelerator: Accelerator, config: RunConfig, step: int, process_steps: int):
        self.accelerator, self.config, self.process_steps = accelerator, config, process_steps
        self.missed = self.left_out = 0
        self.validation: float | None = None  # the loss that was reported last
        self.tracking = True
        self.skips = torch.zeros(2, dtype=torch.int64, device=accelerator.device)  # of `missed` and `left_out`
        self.bar = tqdm(total=config.steps, initial=step, unit="step", disable=not accelerator.is_main_process)
        self.window = _Window(step, process_steps, accelerator.device)
        hyperparameters = {key: str(value) for key, value in flat(to_dict(config)).items()}
        if config.tracker != "none" and not accelerator.log_with:
            self.say(
                f"note: {config.tracker} is not installed, so losses are shown but not logged: pip install tensorboard"
            )
        accelerator.init_trackers(NAME, hyperparameters, {"tensorboard": {"purge_step": step + 1}})

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()
        for tracker in self.accelerator.trackers:
            self._track(tracker.finish)

    def report(self, step: int, outcome: Outcome, lr: float) -> None:
        """Reports the step after which `step` have been made."""
        in_a_row, ever = self.skips
        left_out = (~outcome.taken).long()
        self.skips = torch.stack([(in_a_row + 1) * left_out, ever + left_out])
        self.window.add(outcome)
        self.bar.update()
        due = step % self.config.log_every == 0
        if not (due or step % self.look_every == 0):
            return
        self.missed, self.left_out = self.skips.tolist()
        speed = self.window.steps_per_second(step) * self.config.batch
        words = f", {self.left_out} steps left out" if self.left_out else ""
        self.bar.set_postfix_str(f"loss {self.window.loss:.4f}, {speed:.3g} images/s{words}", refresh=False)
        if due:
            values = self.window.means(self.accelerator)
            values |= {"lr": lr, "gradient_norm": float(outcome.norm)}
            values |= {"images_per_second": speed, "left_out": self.left_out}
            self._track(lambda: self.accelerator.log(values, step=step))
            self.window = _Window(step, self.process_steps, self.accelerator.device)

    def validated(self, step: int, losses: dict[str, float]) -> None:
        """The losses of the averaged weights on images that training does not see, by name."""
        now, before = losses["total"], self.validation
        self.say(f"step {step}: validation loss {now:.4f}" + ("" if before is None else f" ({before:.4f} before)"))
        self.validation = now
        self._track(
            lambda: self.accelerator.log({f"validation/{name}": loss for name, loss in losses.items()}, step=step)
        )

    def scored(self, step: int, scores: dict[str, float]) -> None:
        """How well the layouts of the sheet are read in its samples, by the name of the metric; {} if nothing reads them."""
        if scores:
            self.say(
                f"step {step}: mIoU {100 * scores['miou']:.1f} %, pixel accuracy {100 * scores['pixel_accuracy']:.1f} %, of "
                f"{self.config.samples} samples"
            )
            self._track(
                lambda: self.accelerator.log({f"samples/{name}": value for name, value in scores.items()}, step=step)
            )

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within it the time is not that of steps: neither their speed nor the time that is left counts it."""
        started = time.monotonic()
        try:
            yield
        finally:
            spent = time.monotonic() - started
            self.window.since += spent
            if not self.bar.disable:  # as of all processes but the first, whose bar keeps no times
                self.bar.start_t += spent
                self.bar.last_print_t += spent

    @property
    def look_every(self) -> int:
        """Steps between looks."""
        return 1 if self.accelerator.device.type == "cpu" else self.config.patience

    def show(self, step: int, sheet: np.ndarray) -> None:
        """A picture, uint8 (H, W, 3), for the trackers that take pictures."""
        for tracker in self.accelerator.trackers:
            if hasattr(tracker, "log_images"):
                layout = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
                self._track(partial(tracker.log_images, {"samples": sheet[None]}, step=step, **layout))

    def _track(self, act: Callable[[], object]) -> None:
        """A full disk ends logging, not the run: it logs again when it is resumed."""
        if not self.tracking:
            return
        try:
            act()
        except OSError as error:
            self.tracking = False
            self.say(
                f"note: losses are no longer logged, because their log cannot be written: {error.strerror or error}"
            )

    def say(self, sentence: str) -> None:
        """A line beside the bar."""
        if self.accelerator.is_main_process:
            tqdm.write(sentence)


class _Window:
    """Sums of losses since `start` steps had been made."""

    def __init__(self, start: int, process_steps: int, device: torch.device):
        self.start, self.since, self.process_steps = start, time.monotonic(), process_steps
        self.sums = torch.zeros(4, device=device)  # of examples, and of their total, mse and vb
        self.quarters = torch.zeros(2, QUARTERS, device=device)  # the same for each: examples, and their total

    @property
    def loss(self) -> float:
        return float(self.sums[1] / self.sums[0])

    def steps_per_second(self, step: int) -> float:
        return (step - self.start) / max(1e-9, time.monotonic() - self.since)

    def add(self, outcome: Outcome) -> None:
        """Of a step that was left out, nothing."""
        t, _, *terms = outcome.losses
        values = torch.where(outcome.taken, torch.stack([torch.ones_like(terms[0]), *terms]), 0)
        self.sums += values.sum(1)
        self.quarters.index_add_(1, t * QUARTERS // self.process_steps, values[:2])

    def means(self, accelerator: Accelerator) -> dict[str, float]:
        """Over the examples of all processes. Terms that there were none of are left out."""
        sums, quarters = (accelerator.reduce(v).cpu() for v in (self.sums, self.quarters))
        names = ["total", "mse", "vb"] + [
            f"t {i * self.process_steps // QUARTERS}-{(i + 1) * self.process_steps // QUARTERS - 1}"
            for i in range(QUARTERS)
        ]
        means = torch.cat([sums[1:] / sums[0], quarters[1] / quarters[0]])
        return {f"loss/{name}": mean for name, mean in zip(names, means.tolist(), strict=True) if mean == mean}


def chosen_tracker(name: str) -> str | None:
    """The tracker that accelerate is to log to, None for none. ValueError if it is unknown or not installed.

    The default, tensorboard, may be missing.
    """
    known = [str(kind) for kind in LoggerType if kind != LoggerType.ALL]
    if name == "none":
        return None
    if name not in known:
        raise ValueError(f"no tracker is called {name!r}; there are {', '.join(known)}, and none")
    if name in map(str, get_available_trackers()):
        return name
    if name != "tensorboard":
        raise ValueError(f"tracker {name} is not installed: install it, or set tracker to none")
    return None


def synchronize(device: torch.device) -> None:
    """Waits until the device has finished its work."""
    if device.type != "cpu":
        torch.empty((), device=device).cpu()


def peak_gigabytes(device: torch.device) -> float:
    """The most that this process has held at once, on the device or, on a CPU, in all. nan where it is not measured."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    try:
        import resource  # not on Windows
    except ImportError:
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
