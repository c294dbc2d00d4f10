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
from ..files.atomic import made_folder, written_whole
from ..files.config import flat, implied_in, require_same, to_dict
from ..files.tensors import tensors_in
from ..files.untrusted import is_out_of_memory
from ..networks.registry import described
from .config import MODEL, OF_SPARSE_LAYOUTS, OLDER_NAMES, NewModelConfig, RunConfig

if TYPE_CHECKING:
    from .learner import Learner  # whose import takes accelerate

Config = TypeVar("Config", bound=RunConfig)
VERSION = 2
KIND = "network.kind"
NAME = re.compile(r"state-([1-9][0-9]*)\.pt")
MODEL_START = b'{"__metadata__":{"scdm"'  # of a model file, after 8 bytes

# What may change when a run is resumed: how long it goes and how it ends, where things lie, what is kept and shown, and
# how the work is done where that does not change the result.
FREE = {
    *("run", "steps", "hours", "optimizer.decay", "data.root", "data.classes", "data.workers", "teacher"),
    *("save_every", "keep", "keep_every", "samples", "tracker", "log_every", "note", "patience"),
    *("micro_batches", "checkpointing", "compile", "cudnn_benchmark", "validation", "segmenter", "mirror"),
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
        """By step, ascending. OSError if the folder is a file."""
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"the run's folder cannot be {self.folder}, which is a file: choose another")
        names = [path.name for path in self.folder.iterdir()] if self.folder.exists() else []
        steps = [int(found[1]) for name in names if (found := NAME.fullmatch(name))]
        return {step: self.path(step) for step in sorted(steps)}

    @property
    def step(self) -> int:
        """Of the newest state, 0 if there is none."""
        return max(self.paths(), default=0)

    def newest(self) -> dict[str, Any] | None:
        """The state to resume from, None for a fresh run. ValueError if it is damaged or of another version."""
        if not self.step:
            return None
        with self.intact():
            state = _read(self.path(self.step))
        if state["version"] != VERSION:
            raise ValueError(
                f"{self.path(self.step)} was written by another version of scdm: choose another run folder"
            )
        return state

    @contextmanager
    def intact(self) -> Iterator[None]:
        """What fails in this block means that the newest state is damaged, but for want of memory or of permission."""
        try:
            yield
        except Exception as error:  # what is damaged makes zipfile, pickle and torch raise almost anything
            if isinstance(error, PermissionError) or is_out_of_memory(error):
                raise
            raise ValueError(self.damage()) from error

    def damage(self) -> str:
        """That the newest state is damaged, and what to do, which depends on the other files."""
        *before, step = self.paths()
        if before:
            advice = f"remove it to resume from {self.path(before[-1]).name}"
        elif (self.folder / MODEL).exists():
            advice = (
                f"no other state is left to resume from. Begin in another run folder, with {MODEL} if you like (init)"
            )
        else:
            advice = "remove it to begin anew, as no other state is left to resume from"
        return f"{self.path(step)} is damaged: {advice}"

    def path(self, step: int) -> Path:
        return self.folder / f"state-{step}.pt"

    def save(self, step: int, content: Mapping[str, Any]) -> None:
        """Writes a state, then removes those that are not to be kept. OSError if there is no room for it."""
        with written_whole(self.path(step), durable=True) as beside, beside.open("wb") as file:
            try:
                torch.save({"version": VERSION, "step": step, **content}, file)
                file.flush()
            except RuntimeError as error:  # how torch's own writer fails
                cause = error.__context__
                raise cause if isinstance(cause, OSError) else OSError(f"step {step}: {error}") from None
        self.prune()

    def prune(self) -> None:
        """Removes the states that are not to be kept."""
        for old, path in list(self.paths().items())[: -self.keep]:
            if self.keep_every is None or old % self.keep_every:
                path.unlink()

    @contextmanager
    def owned(self) -> Iterator[None]:
        """The folder, made if need be, for one run alone. What a killed run was writing is removed.

        ValueError if another run uses it, or it cannot be made.
        """
        made_folder(self.folder)
        lock = FileLock(self.folder / ".lock")  # which ends with the process that holds it, however it ends
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(f"another run is using {self.folder}: wait for it, or choose another folder") from None
        try:
            scratch.clear(self.folder)
            for left in filter(_is_part_of_model, self.folder.glob(".tmp??????")):  # safetensors' own, of version 0.1.0
                left.unlink()
            yield
        finally:
            lock.release()


def in_order(runs: Sequence[Config]) -> Sequence[Config]:
    """Runs that each learn from the one before. ValueError if one would train on from which the next has begun to learn."""
    steps = [States(Path(run.run), run.keep, run.keep_every).step for run in runs]
    for (run, made), (later, begun) in pairwise(zip(runs, steps, strict=True)):
        if begun and made < run.steps and run.hours is None:  # by hours it may have ended there
            raise ValueError(
                f"{later.run} has begun to learn from {run.run} as it was after {made} steps, and not after {run.steps}: "
                f"remove {later.run} and what learns from it, or choose another run folder"
            )
    return runs


def _read(path: Path) -> dict[str, Any]:
    """A state's file. Almost any error if it is none."""
    with zipfile.ZipFile(path) as archive:
        broken = archive.testzip()  # torch would not notice a bit that has changed
    state: dict[str, Any] = tensors_in(path, mmap=True)
    whole = not broken and isinstance(state, dict) and {type(state["version"]), type(state["step"])} == {int}
    described = whole and (state["version"] != VERSION or is_description(state))
    if not described or path.name != f"state-{state['step']}.pt":
        raise ValueError("it is not what was written")
    return state


def _is_part_of_model(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return MODEL_START.startswith(file.read(8 + len(MODEL_START))[8:])


def settings(config: RunConfig, images: int) -> dict[str, Any]:
    """What must stay the same while a run lasts, by dotted names. images: in the data set."""
    fixed = {key: value for key, value in flat(to_dict(config)).items() if key not in FREE}
    if isinstance(config, NewModelConfig):
        fixed[KIND] = described(config.network)["kind"]
    if config.micro_batch_sum:
        fixed["micro_batches"] = config.micro_batches
    return {**fixed, "images in the data set": images}


def require_same_run(saved: Mapping[str, Any], config: RunConfig, images: int, folder: Path) -> None:
    """ValueError names the settings in which a run differs from the one that it would resume, whose `settings` were saved.

    Those that are implied are in neither where they are at their defaults. Any other may be absent, as it is newer.
    """
    implied = {key: value for key, value in implied_in(config).items() if key not in FREE}
    saved, now = ({**implied, **own} for own in (saved, settings(config, images)))
    if KIND in now:  # which states of U-Nets did not name
        saved = {KIND: "unet", **saved}
    idle = _without_effect(saved)
    saved = {key: now.get(key, value) if key in idle else value for key, value in saved.items()}
    saved = {key: OLDER_NAMES.get(str(value), value) if key == "precision" else value for key, value in saved.items()}
    advice = "Set them so to resume it, or choose another run folder"
    require_same(f"the run in {folder}", saved, now, advice, absent=False)


def _without_effect(saved: Mapping[str, Any]) -> set[str]:
    """The settings of a run that did nothing in it, and are refused now."""
    return {
        *(() if saved.get("sparse_share") or saved.get("hiding.sparse_from") else OF_SPARSE_LAYOUTS),
        *(("hiding.label_noise",) if saved.get("label_diffusion.kind") == "none" else ()),
        *(("posthoc_widths",) if saved.get("posthoc_every") is None else ()),
    }


# ---- what a state must hold, to the shape: torch would broadcast what does not fit, or fail steps later ----

MOMENTS = ("exp_avg", "exp_avg_sq")
NEEDED = {"params", "lr", "betas", "eps", "weight_decay"}  # of an optimizer's settings
OF_DEVICE = {"foreach", "capturable", "differentiable", "fused"}  # settings that depend on the device, or None


def is_description(state: dict[str, Any]) -> bool:
    """Whether a state describes its run by values of the right types."""
    records = [state.get("settings"), state.get("origin"), state.get("provenance", {})]
    hours = state.get("hours")
    return all(map(_is_record, records)) and _is_like(hours, 0.0) and hours >= 0  # type: ignore[operator]


def require_form(learner: Learner, state: object, steps: int) -> None:
    if not is_of(learner, state, steps):
        raise ValueError("it is not of this network")


def is_of(learner: Learner, state: object, steps: int) -> bool:
    """Whether this is what a learner of the same network has learned in so many steps."""
    if not isinstance(state, dict) or not isinstance(state.get("optimizer"), dict):
        return False
    parts = {
        "network": learner.plain.state_dict(),
        "ema": {decay: {"updates": 0, "weights": ema.weights} for decay, ema in learner.ema.items()},
        "timesteps": learner.objective.state_dict(),
        "scaler": None if learner.accelerator.scaler is None else learner.accelerator.scaler.state_dict(),
    }
    if learner.posthoc:
        parts["posthoc"] = {width: {"updates": 0, "weights": ema.weights} for width, ema in learner.posthoc.items()}
    return (
        all(name in state and _is_like(state[name], part) for name, part in parts.items())
        and all(0 <= ema["updates"] <= steps for kind in ("ema", "posthoc") for ema in state.get(kind, {}).values())
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
        and all(isinstance(group[name], (bool, type(None))) for name in OF_DEVICE & group.keys())
        and all(
            _is_like(group[name], own[name]) and _listed(group[name]) == _listed(own[name])
            for name in group.keys() & own.keys() - OF_DEVICE - {"params", "lr"}
        )
        and all(_is_like(part.get("step"), 0) for part in moments.values() if isinstance(part, dict))
        and all(
            isinstance(moments[name], dict) and all(_is_like(moments[name].get(moment), weight) for moment in MOMENTS)
            for name, weight in weights.items()
        )
    )


def _listed(value: object) -> object:
    """torch hands back the tuples of an optimizer as lists, once it was resumed."""
    return list(value) if isinstance(value, tuple) else value


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
