"""States of a run to resume from: whole files, and only for the run that wrote them."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import torch
from filelock import FileLock, Timeout

from ..datasets.config import AFFIXES
from ..files import scratch
from ..files.atomic import made_folder, written_whole
from ..files.config import flat, to_dict
from ..files.untrusted import is_out_of_memory, shown
from .config import MODEL, OLDER_NAMES, RunConfig

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
