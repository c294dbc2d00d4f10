"""The history of an edited image: its moments, to go back to, and the file that keeps them.

The file is a zip of PNG pictures, stored without further compression: `images/*.png`, `planes/*.png` of class ids
(num_classes is MASK) and of draws, and `history.json`, which says what belongs to which moment.
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..files import config as configuration
from ..files.atomic import written_whole
from ..files.images import MAX_PIXELS, encoded
from ..files.options import Option, check_fields
from ..files.parsing import parsed
from ..files.untrusted import MOST_BYTES, brief, file_at, is_out_of_memory, shown
from ..layouts.palette import MAX_CLASSES
from ..pipeline import GenerateOptions
from ..pipeline.inputs import require

VERSION = 1
RECORD = "history.json"
MOST_MOMENTS = 1000
MOST_PIXELS_KEPT = 2**27  # of all moments together: about 1 GB of memory
MOST_FILE_BYTES = 2**30
MOST_DRAWS = 2**16


class Plan(NamedTuple):
    """What an image is to show: ids (H, W) int32 of classes, and draws (H, W) int32, which noise each pixel is made from."""

    ids: Tensor
    draws: Tensor

    def differs(self, other: Plan) -> Tensor:
        """(H, W) bool."""
        return (self.ids != other.ids) | (self.draws != other.draws)


class Moment(NamedTuple):
    """A plan, and the image (uint8 (H, W, 3)) of that moment, with the plan that it was made for."""

    plan: Plan
    image: np.ndarray | None = None
    made_for: Plan | None = None


@dataclass(frozen=True)
class History:
    """Moments in order, and which of them is `now`. It holds `most` at most, and `most_moments`; the oldest are forgotten.

    forgotten: how many there were before the first that is held. replaced: how often others took the place of undone ones.
    """

    moments: tuple[Moment, ...]
    at: int = 0
    forgotten: int = 0
    replaced: int = 0
    most: int = MOST_MOMENTS

    @property
    def now(self) -> Moment:
        return self.moments[self.at]

    def planned(self, plan: Plan) -> History:
        """A further moment, with the image as it is; what had been undone is forgotten."""
        moments = (*self.moments[: self.at + 1], self.now._replace(plan=plan))
        spare = max(0, len(moments) - min(self.most, most_moments(plan.ids.numel())))
        replaced = self.replaced + (self.at + 1 < len(self.moments))
        return History(moments[spare:], len(moments) - spare - 1, self.forgotten + spare, replaced, self.most)

    def painted(self, then: History, image: np.ndarray) -> History:
        """With the image made for the plan that was `now` in `then`, an earlier state of this history.

        That moment gets it, and later moments that still have the image before it. Nothing changes if the moment was undone
        and another took its place, or may have.
        """
        moment, place = then.now, then.forgotten + then.at - self.forgotten
        held = 0 <= place < len(self.moments) and self.moments[place] is moment
        if not held and (place >= 0 or self.replaced != then.replaced):
            return self
        moments = [
            each._replace(image=image, made_for=moment.plan) if i >= place and each.image is moment.image else each
            for i, each in enumerate(self.moments)
        ]
        return replace(self, moments=tuple(moments))

    def nearest(self, ids: Tensor) -> int | None:
        """The place of the moment that shows these ids (H, W): `at` if it does, else of the nearest moments in a row that do
        the last; None if there are none."""
        by_distance = sorted(range(len(self.moments)), key=lambda place: abs(place - self.at))
        found = next((place for place in by_distance if torch.equal(self.moments[place].plan.ids, ids)), None)
        if found is None or found == self.at:
            return found
        after = range(found, len(self.moments) - 1)
        return next(
            (place for place in after if not torch.equal(self.moments[place + 1].plan.ids, ids)), len(self.moments) - 1
        )

    def moved(self, by: int) -> History:
        """Back (-1) or forth (1), or where it is at the end."""
        return replace(self, at=min(max(0, self.at + by), len(self.moments) - 1))


def most_moments(pixels: int) -> int:
    """How many of an image of so many pixels are kept."""
    return max(2, min(MOST_MOMENTS, MOST_PIXELS_KEPT // pixels))


class Saved(NamedTuple):
    """What a session file holds.

    classes: names of the palette's. weights: the model's digest. options, margin: how updates are made.
    draws: the number of the latest draw.
    """

    history: History
    classes: tuple[str, ...]
    weights: str
    options: GenerateOptions
    margin: int
    draws: int


def write(path: str | Path, saved: Saved) -> None:
    """One file, whole or not at all (ValueError)."""
    planes, images = _Numbered(), _Numbered()
    record = _record_of(saved, planes, images)
    try:
        with written_whole(path) as beside, zipfile.ZipFile(beside, "w") as archive:
            archive.writestr(zipfile.ZipInfo(RECORD), json.dumps(record, ensure_ascii=False, indent=1))
            for i, plane in enumerate(planes.things):
                archive.writestr(zipfile.ZipInfo(f"planes/{i}.png"), encoded(plane.numpy().astype(np.uint16)))
            for i, image in enumerate(images.things):
                archive.writestr(zipfile.ZipInfo(f"images/{i}.png"), encoded(image))
    except OSError as error:
        raise ValueError(f"{path} cannot be written, what was there is kept: {error.strerror or error}") from error


def read(path: str | Path, most_side: int | None = None) -> Saved:
    """What `write` was given. most_side: pixels of a side; of a larger canvas no picture is decoded.

    ValueError names the file and what is wrong with it. No code in the file is run, and reading takes no more memory than a
    session of so large an image does; MemoryError if there is not as much.
    """
    path = file_at(path)
    try:
        require(path.stat().st_size <= MOST_FILE_BYTES, f"it has more than {MOST_FILE_BYTES // 2**30} GB")
        with path.open("rb") as file:
            require(zipfile.is_zipfile(file), "it was written by another program, or is incomplete")
            with zipfile.ZipFile(file) as archive:
                return _saved(archive, most_side)
    except Exception as error:  # damaged archives and pictures make decoders raise almost anything
        raise _about_file(path, error) from error


def _about_file(path: Path, error: Exception) -> Exception:
    """The sentence for what went wrong while a file was read."""
    if is_out_of_memory(error):
        return MemoryError(f"there is not enough memory to open {path}")
    if isinstance(error, PermissionError):
        return ValueError(f"{path}: cannot be read ({error.strerror})")
    if isinstance(error, ValueError):
        return ValueError(f"{path} is no session that can be opened: {error}")
    return ValueError(f"{path} is damaged: {brief(str(error)) or type(error).__name__}")


@dataclass(frozen=True)
class _PlanRecord:
    ids: int
    draws: int


@dataclass(frozen=True)
class _MomentRecord:
    plan: _PlanRecord
    image: int | None
    made_for: _PlanRecord | None


@dataclass(frozen=True)
class _SessionRecord:
    classes: tuple[str, ...]
    weights: str
    options: dict[str, Any]
    margin: int
    draws: int


@dataclass(frozen=True)
class _Record:
    """`history.json`."""

    version: int
    height: Annotated[int, Option("rows of pixels", ge=1)]
    width: Annotated[int, Option("columns of pixels", ge=1)]
    num_classes: Annotated[int, Option("without MASK", ge=1, lt=MAX_CLASSES)]
    at: Annotated[int, Option("the moment that is now", ge=0)]
    moments: tuple[_MomentRecord, ...]
    about: _SessionRecord

    def __post_init__(self) -> None:
        check_fields(self)
        pixels, count = self.height * self.width, len(self.moments)
        require(pixels <= MAX_PIXELS, f"its image is {shown(self.width)} x {shown(self.height)} pixels")
        require(count <= most_moments(pixels), f"it has {count} moments, more than are ever kept")
        require(self.at < count, f"of {count} moments, number {shown(self.at)} is not one")


def _record_of(saved: Saved, planes: _Numbered, images: _Numbered) -> dict[str, Any]:
    history = saved.history

    def plan(of: Plan) -> _PlanRecord:
        return _PlanRecord(planes.number(of.ids), planes.number(of.draws))

    moments = tuple(
        _MomentRecord(
            plan(moment.plan),
            None if moment.image is None else images.number(moment.image),
            None if moment.made_for is None else plan(moment.made_for),
        )
        for moment in history.moments
    )
    options = saved.options.record()
    about = _SessionRecord(saved.classes, saved.weights, options, saved.margin, saved.draws)
    height, width = history.now.plan.ids.shape
    record = _Record(VERSION, height, width, len(saved.classes), history.at, moments, about)
    return configuration.to_dict(record)


def _saved(archive: zipfile.ZipFile, most_side: int | None) -> Saved:
    record = _record(archive)
    size = (record.height, record.width)
    fits = most_side is None or max(size) <= most_side
    require(fits, f"its canvas has {size[1]} x {size[0]} pixels, where a side has up to {most_side}")

    @cache
    def plane(number: int, most: int) -> Tensor:
        values = _pixels(archive, f"planes/{number}.png", size, ("L", "I", "I;16"))
        require(values.max() <= most, f"planes/{number}.png holds {values.max()}, where {most} is the most")
        return torch.from_numpy(values.astype(np.int32))

    @cache
    def image(number: int) -> np.ndarray:
        return _pixels(archive, f"images/{number}.png", size, ("RGB",))

    def plan(of: _PlanRecord) -> Plan:
        return Plan(plane(of.ids, len(record.about.classes)), plane(of.draws, MOST_DRAWS - 1))

    def moment(of: _MomentRecord) -> Moment:
        require((of.image is None) == (of.made_for is None), "one of its moments has half an image")
        if of.image is None or of.made_for is None:
            return Moment(plan(of.plan))
        return Moment(plan(of.plan), image(of.image), plan(of.made_for))

    about = record.about
    options = configuration.from_dict(GenerateOptions, _current(about.options), "options.")
    history = History(tuple(map(moment, record.moments)), record.at)
    return Saved(history, about.classes, about.weights, options, about.margin, about.draws)


def _record(archive: zipfile.ZipFile) -> _Record:
    content = parsed(_member(archive, RECORD, MOST_BYTES), "JSON")
    version = content.get("version", VERSION) if isinstance(content, dict) else None
    # Before all else, which may be different in a later version.
    require(version == VERSION, f"its version is {shown(version)}, this program reads {VERSION}: update scdm")
    return configuration.from_dict(_Record, content)


def _current(options: dict[str, Any]) -> dict[str, Any]:
    """Options as they are written today. Earlier versions also wrote guidance and strength below 1, which had no effect or a
    bad one."""
    guidance = options.get("guidance")
    none = isinstance(guidance, int | float) and 0 <= guidance < 1
    return {**options, "strength": 1.0, "guidance": 1.0 if none else guidance}


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    require(name in archive.namelist(), f"{name} is missing from it")
    about = archive.getinfo(name)
    stored = about.compress_type == zipfile.ZIP_STORED and about.file_size <= most  # an archive bomb is not
    require(stored, f"{name} in it is too large, or compressed")
    return archive.read(about)


def _pixels(archive: zipfile.ZipFile, name: str, size: tuple[int, int], modes: tuple[str, ...]) -> np.ndarray:
    """The picture of that name; its size is checked before it is decoded."""
    with Image.open(io.BytesIO(_member(archive, name, MOST_FILE_BYTES)), formats=("PNG",)) as picture:
        known = picture.size == size[::-1] and picture.mode in modes
        require(known, f"{name} is a picture of {picture.width} x {picture.height} in mode {picture.mode}")
        return np.array(picture)


class _Numbered:
    """Things in the order in which they were first met. Moments share them, so the same thing is the same object."""

    def __init__(self) -> None:
        self.things: list[Any] = []
        self._numbers: dict[int, int] = {}

    def number(self, thing: Any) -> int:
        if id(thing) not in self._numbers:
            self._numbers[id(thing)] = len(self.things)
            self.things.append(thing)
        return self._numbers[id(thing)]
