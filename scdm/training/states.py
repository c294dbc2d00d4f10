"""States of a run to resume from: whole files, and only for the run that wrote them."""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from filelock import FileLock, Timeout
from torch import Tensor

from ..datasets.config import AFFIXES
from ..files import scratch
from ..files.config import flat, to_dict
from ..files.images import made_folder, written_whole
from ..files.untrusted import is_out_of_memory, shown
from .config import MODEL, OLDER_NAMES, RunConfig

if TYPE_CHECKING:
    from .learner import Learner  # whose import takes accelerate

Config = TypeVar("Config", bound=RunConfig)
VERSION = 2
NAME = re.compile(r"state-([1-9][0-9]*)\.pt")
MODEL_START = b'{"__metadata__":{"scdm"'  # of a model file, after 8 bytes

# What may change when a run is resumed: how long it goes and how it ends, where things lie, what is kept and shown, and
# how the work is done where that does not change the result.
FREE = {
    *("run", "steps", "hours", "optimizer.decay", "data.root", "data.classes", "data.workers", "teacher"),
    *("save_every", "keep", "keep_every", "samples", "tracker", "log_every", "note", "patience"),
    *("micro_batches", "checkpointing", "compile"),
    *(f"data.{name}" for name in ("list", "unpaired", *AFFIXES)),  # how files are found; their number may not change
}


@dataclass(frozen=True)
class States:
    """The files state-STEP.pt in a run's folder, each there whole or not at all.

    The newest `keep` stay, and those whose step is a multiple of `keep_every`.
    """

    folder: Path
    keep: int
    keep_every: int | None

    def paths(self) -> dict[int, Path]:
        """By step, ascending."""
        steps = [int(found[1]) for path in self.folder.glob("state-*.pt") if (found := NAME.fullmatch(path.name))]
        return {step: self.path(step) for step in sorted(steps)}

    @property
    def step(self) -> int:
        """Of the newest state, 0 if there is none."""
        return max(self.paths(), default=0)

    def newest(self) -> dict[str, Any] | None:
        """The state to resume from, None for a fresh run. ValueError if it cannot be read."""
        if not self.step:
            return None
        path = self.path(self.step)
        try:
            with zipfile.ZipFile(path) as archive:  # torch would not notice a bit that has changed
                if broken := archive.testzip():
                    raise OSError(f"{broken} has changed since it was written")
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except PermissionError as error:
            raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
        except Exception as error:  # what is damaged makes zipfile, pickle and torch raise almost anything
            if is_out_of_memory(error):
                raise MemoryError(f"there is not enough memory to open {path}") from error
            raise self.damaged(self.step) from error
        if not isinstance(state, dict) or not {int} == {type(state.get(name)) for name in ("version", "step")}:
            raise self.damaged(self.step)
        if state["version"] != VERSION:
            raise ValueError(f"{path} was written by another version of scdm: choose another run folder")
        if state["step"] != self.step:
            raise self.damaged(self.step)
        return state

    def damaged(self, step: int) -> ValueError:
        """What to say of a state, and what to do, which depends on what else there is."""
        before = max((other for other in self.paths() if other < step), default=0)
        if before:
            advice = f"remove it to resume from {self.path(before).name}"
        elif (self.folder / MODEL).exists():
            advice = (
                f"no other state is left to resume from. Begin in another run folder, with {MODEL} if you like (init)"
            )
        else:
            advice = "remove it to begin anew, as no other state is left to resume from"
        return ValueError(f"{self.path(step)} is damaged: {advice}")

    def path(self, step: int) -> Path:
        return self.folder / f"state-{step}.pt"

    def save(self, step: int, content: Mapping[str, Any]) -> None:
        """Writes a state, then removes those that are not to be kept. OSError if there is no room for it."""
        with written_whole(self.path(step), durable=True) as beside, beside.open("wb") as file:
            try:
                torch.save({"version": VERSION, "step": step, **content}, file)
                file.flush()
            except RuntimeError as error:  # how torch's own writer fails
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise OSError(f"the state of step {step} could not be written: {error}") from error
        self.prune()

    def prune(self) -> None:
        """Removes the states that are not to be kept."""
        for old, path in list(self.paths().items())[: -self.keep]:
            if self.keep_every is None or old % self.keep_every:
                path.unlink()

    @contextmanager
    def owned(self) -> Iterator[None]:
        """The folder, made if need be, for one run alone. What a killed run was writing is removed.

        ValueError if another run is going on in it, or it cannot be had.
        """
        made_folder(self.folder)
        lock = FileLock(self.folder / ".lock")  # which ends with the process that holds it, however it ends
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(
                f"another run is going on in {self.folder}: wait for it, or choose another folder"
            ) from None
        try:
            scratch.clear(self.folder)
            for left in filter(_is_part_of_model, self.folder.glob(".tmp??????")):  # safetensors' own, of version 0.1.0
                left.unlink()
            yield
        finally:
            lock.release()


def in_order(runs: Sequence[Config]) -> Sequence[Config]:
    """Runs that each learn from the one before. ValueError if one would train on from which the next has begun to learn."""
    steps = [max(States(Path(run.run), run.keep, run.keep_every).paths(), default=0) for run in runs]
    for (run, made), (later, begun) in pairwise(zip(runs, steps, strict=True)):
        if begun and made < run.steps and run.hours is None:  # by hours it may have ended there
            raise ValueError(
                f"{later.run} has begun to learn from {run.run} as it was after {made} steps, and not after {run.steps}: "
                f"remove {later.run} and what learns from it, or choose another run folder"
            )
    return runs


def _is_part_of_model(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return MODEL_START.startswith(file.read(8 + len(MODEL_START))[8:])


def settings(config: RunConfig, images: int) -> dict[str, Any]:
    """What must stay the same while a run lasts, by dotted names. images: in the data set."""
    fixed = {key: value for key, value in flat(to_dict(config)).items() if key not in FREE}
    if config.micro_batch_sum:
        fixed["micro_batches"] = config.micro_batches
    return {**fixed, "images in the data set": images}


def require_same(saved: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """ValueError names the settings in which a run differs from the one that it would resume."""
    saved = {key: OLDER_NAMES.get(str(value), value) if key == "precision" else value for key, value in saved.items()}
    if told := differences(saved, now):
        raise ValueError(
            f"{folder} holds a run with other settings: {told}. Set them so to resume it, or choose another run folder"
        )


def differences(before: Mapping[str, Any], now: Mapping[str, Any], most: int = 5) -> str:
    """The first few entries that are not the same, in words; "" if all are. One that is new, or no longer there, is none."""
    changed = [key for key in before.keys() & now.keys() if before[key] != now[key]]
    told = [f"{key} {shown(before[key])} instead of {shown(now[key])}" for key in sorted(changed)[:most]]
    return ", ".join(told) + (f", and {len(changed) - most} more" if len(changed) > most else "")


# ---- what a state must hold, to the shape: torch would broadcast what does not fit, or fail steps later ----

MOMENTS = ("exp_avg", "exp_avg_sq")
NEEDED = {"params", "lr", "betas", "eps", "weight_decay"}  # of an optimizer's settings
MAY_DIFFER = {
    "params",
    "lr",
    "foreach",
    "capturable",
    "differentiable",
    "fused",
}  # with the step, the names, and the device


def is_description(state: dict[str, Any]) -> bool:
    """Whether what a state says of its run is of the right kinds."""
    told = [state.get("settings"), state.get("origin"), state.get("provenance", {})]
    hours = state.get("hours")
    return all(map(_is_record, told)) and _is_like(hours, 0.0) and hours >= 0  # type: ignore[operator]


def is_of(learner: Learner, state: object, steps: int) -> bool:
    """Whether this is what a learner of the same network has learned in so many steps."""
    if not isinstance(state, dict) or not isinstance(state.get("optimizer"), dict):
        return False
    parts = {
        "network": learner.plain.state_dict(),
        "ema": {decay: {"updates": 0, "weights": ema.weights} for decay, ema in learner.ema.items()},
        "timesteps": learner.timesteps.state_dict(),
        "scaler": None if learner.accelerator.scaler is None else learner.accelerator.scaler.state_dict(),
    }
    return (
        all(name in state and _is_like(state[name], part) for name, part in parts.items())
        and all(0 <= ema["updates"] <= steps for ema in state["ema"].values())
        and _is_of_optimizer(learner, state["optimizer"])
    )


def _is_of_optimizer(learner: Learner, state: dict[str, Any]) -> bool:
    weights = dict(learner.plain.named_parameters())
    moments, groups = state.get("state"), state.get("param_groups")
    if not _is_like(groups, [{}]) or not isinstance(moments, dict) or moments.keys() != weights.keys():
        return False
    (own,) = learner.optimizer.optimizer.param_groups
    (group,) = groups  # type: ignore[misc]
    return (
        _is_like(group.get("params"), list(weights))
        and group["params"] == list(weights)
        and group.keys() >= NEEDED
        and _is_like(group["lr"], own["lr"])
        and all(isinstance(group[name], (bool, type(None))) for name in MAY_DIFFER & group.keys() - {"params", "lr"})
        and all(
            _is_like(group[name], own[name]) and group[name] == own[name]
            for name in group.keys() & own.keys() - MAY_DIFFER
        )
        and all(_is_like(part.get("step"), 0) for part in moments.values() if isinstance(part, dict))
        and all(
            isinstance(moments[name], dict) and all(_is_like(moments[name].get(moment), weight) for moment in MOMENTS)
            for name, weight in weights.items()
        )
    )


def _is_like(value: object, own: object) -> bool:
    """Of the same kind, and tensors of the same shape. Dictionaries, but for an empty one, have the same keys."""
    if isinstance(own, Tensor):
        return (
            isinstance(value, Tensor)
            and value.shape == own.shape
            and value.is_floating_point() == own.is_floating_point()
        )
    if isinstance(own, dict):
        return isinstance(value, dict) and (
            not own or (value.keys() == own.keys() and all(_is_like(value[key], own[key]) for key in own))
        )
    if isinstance(own, (list, tuple)):
        return isinstance(value, (list, tuple)) and len(value) == len(own) and all(map(_is_like, value, own))
    if isinstance(own, (int, float)) and not isinstance(own, bool):
        number = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
        return isinstance(number, (int, float)) and not isinstance(number, bool) and math.isfinite(number)
    return isinstance(value, type(own))


def _is_record(value: object) -> bool:
    try:
        return isinstance(value, dict) and all(isinstance(key, str) for key in value) and bool(json.dumps(value))
    except (TypeError, ValueError, RecursionError):
        return False
