"""States of a run to resume from: whole files, and only for the run that wrote them."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import torch
from filelock import FileLock, Timeout

from ..config import flat, to_dict
from ..datasets.config import AFFIXES
from ..images import made_folder, written_whole
from ..outside import shown
from .config import RunConfig

Config = TypeVar("Config", bound=RunConfig)
VERSION = 2
DAMAGE = (OSError, RuntimeError, EOFError, KeyError, TypeError, IndexError, AttributeError)  # what it makes torch raise

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
        found = {path.stem[6:]: path for path in self.folder.glob("state-*.pt")}
        return {int(step): found[step] for step in sorted(filter(str.isdecimal, found), key=int)}

    def newest(self) -> dict[str, Any] | None:
        """The state to resume from, None for a fresh run. ValueError if it cannot be read."""
        paths = self.paths()
        if not paths:
            return None
        path = paths[max(paths)]
        try:
            with zipfile.ZipFile(path) as archive:  # torch would not notice a bit that has changed
                if broken := archive.testzip():
                    raise OSError(f"{broken} has changed since it was written")
            state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            if not isinstance(state, dict):
                raise TypeError("it is no state")
            if state["version"] != VERSION:
                raise ValueError(f"{path} was written by another version of scdm: choose another run folder")
            if not isinstance(state["step"], int):
                raise TypeError("its step is no number")
        except (*DAMAGE, zipfile.BadZipFile, pickle.UnpicklingError) as error:
            raise damaged(path) from error
        return state

    def path(self, step: int) -> Path:
        return self.folder / f"state-{step}.pt"

    def save(self, step: int, content: Mapping[str, Any]) -> None:
        """Writes a state, then removes those that are not to be kept. OSError if there is no room for it."""
        with written_whole(self.path(step)) as beside, beside.open("wb") as file:
            try:
                torch.save({"version": VERSION, "step": step, **content}, file)
            except RuntimeError as error:  # how torch's own writer fails
                raise OSError(f"there was no room for the state of step {step} in {self.folder}") from error
            file.flush()
            os.fsync(file.fileno())  # or a power cut could leave the new name without its content
        *older, _ = self.paths().items()
        for old, path in older[: max(0, len(older) + 1 - self.keep)]:
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
            for begun in self.folder.glob(".scdm-*"):  # the names that `written_whole` gives
                begun.unlink()
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


def damaged(path: Path) -> ValueError:
    return ValueError(f"{path} is damaged: remove it to resume from the state before, if one is left")


def settings(config: RunConfig, images: int) -> dict[str, Any]:
    """What must stay the same while a run lasts, by dotted names. images: in the data set."""
    fixed = {key: value for key, value in flat(to_dict(config)).items() if key not in FREE}
    if config.micro_batch_sum:
        fixed["micro_batches"] = config.micro_batches
    return {**fixed, "images in the data set": images}


def require_same(saved: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """ValueError names the settings in which a run differs from the one that it would resume."""
    if told := differences(saved, now):
        raise ValueError(
            f"{folder} holds a run with other settings: {told}. Set them so to resume it, or choose another run folder"
        )


def differences(before: Mapping[str, Any], now: Mapping[str, Any], most: int = 5) -> str:
    """The first few entries that are not the same, in words; "" if all are. One that is new, or no longer there, is none."""
    changed = [key for key in before.keys() & now.keys() if before[key] != now[key]]
    told = [f"{key} {shown(before[key])} instead of {shown(now[key])}" for key in sorted(changed)[:most]]
    return ", ".join(told) + (f", and {len(changed) - most} more" if len(changed) > most else "")
