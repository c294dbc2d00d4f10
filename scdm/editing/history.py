"""The history of an edited image: its moments, to go back to, and the file that keeps them.

The file is a zip of pictures, none of them compressed any further: `images/*.png` as they look, `planes/*.png` of class ids
(num_classes is MASK) and of draws, and `history.json`, which says what belongs to which moment.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..files import config as configuration
from ..files.atomic import written_whole
from ..files.images import MAX_PIXELS
from ..files.untrusted import MOST_BYTES, brief, file_at, is_out_of_memory, parsed, shown
from ..layouts.palette import MAX_CLASSES

VERSION = 1
RECORD = "history.json"
MOST_MOMENTS = 1000
MOST_PIXELS = 2**27  # of all moments together: about 1 GB of memory
MOST_FILE_BYTES = 2**30
MOST_DRAWS = 2**16


class Plan(NamedTuple):
    """What a canvas is to show: ids (H, W) int32 of classes, and draws (H, W) int32, which noise each pixel is made from."""

    ids: Tensor
    draws: Tensor

    def differs(self, other: Plan) -> Tensor:
        """(H, W) bool."""
        return (self.ids != other.ids) | (self.draws != other.draws)


class Moment(NamedTuple):
    """A plan, and the image (uint8 (H, W, 3)) that there was then, with the plan that it was made for."""

    plan: Plan
    image: np.ndarray | None = None
    made_for: Plan | None = None


@dataclass(frozen=True)
class History:
    """Moments in order, and which of them is `now`. It holds as many as `most_moments`; the oldest are forgotten.

    forgotten: how many there were before the first that is held. replaced: how often others took the place of undone ones.
    """

    moments: tuple[Moment, ...]
    at: int = 0
    forgotten: int = 0
    replaced: int = 0

    @property
    def now(self) -> Moment:
        return self.moments[self.at]

    def planned(self, plan: Plan) -> History:
        """A further moment, with the image as it is; what had been undone is forgotten."""
        moments = (*self.moments[: self.at + 1], self.now._replace(plan=plan))
        spare = max(0, len(moments) - most_moments(plan.ids.numel()))
        replaced = self.replaced + (self.at + 1 < len(self.moments))
        return History(moments[spare:], len(moments) - spare - 1, self.forgotten + spare, replaced)

    def painted(self, then: History, image: np.ndarray) -> History:
        """With the image made for the plan that was `now` in `then`, an earlier state of this history: there and where later
        moments still have the one before it. As it is if another moment took the place of that one, or may have."""
        moment, place = then.now, then.forgotten + then.at - self.forgotten
        held = 0 <= place < len(self.moments) and self.moments[place] is moment
        if not held and (place >= 0 or self.replaced != then.replaced):
            return self
        moments = [
            each._replace(image=image, made_for=moment.plan) if i >= place and each.image is moment.image else each
            for i, each in enumerate(self.moments)
        ]
        return replace(self, moments=tuple(moments))

    def moved(self, by: int) -> History:
        """Back (-1) or forth (1), or where it is at the end."""
        return replace(self, at=min(max(0, self.at + by), len(self.moments) - 1))


def most_moments(pixels: int) -> int:
    """How many of a canvas of so many pixels are kept."""
    return max(2, min(MOST_MOMENTS, MOST_PIXELS // pixels))


def write(path: str | Path, history: History, num_classes: int, about: dict[str, Any]) -> None:
    """The history, and what else is to be known `about` it (JSON), in one file, whole or not at all (ValueError)."""
    planes, images = _Numbered(), _Numbered()

    def plan(of: Plan) -> dict[str, int]:
        return {"ids": planes.number(of.ids), "draws": planes.number(of.draws)}

    moments = [
        {
            "plan": plan(moment.plan),
            "image": None if moment.image is None else images.number(moment.image),
            "made_for": None if moment.made_for is None else plan(moment.made_for),
        }
        for moment in history.moments
    ]
    height, width = history.now.plan.ids.shape
    record = {
        "version": VERSION,
        "height": height,
        "width": width,
        "num_classes": num_classes,
        "at": history.at,
        "moments": moments,
        "about": about,
    }
    try:
        with written_whole(path) as beside, zipfile.ZipFile(beside, "w") as archive:
            archive.writestr(zipfile.ZipInfo(RECORD), json.dumps(record, ensure_ascii=False, indent=1))
            for i, plane in enumerate(planes.things):
                archive.writestr(zipfile.ZipInfo(f"planes/{i}.png"), _png(plane.numpy().astype(np.uint16)))
            for i, image in enumerate(images.things):
                archive.writestr(zipfile.ZipInfo(f"images/{i}.png"), _png(image))
    except OSError as error:
        raise ValueError(f"{path} cannot be written, what was there is kept: {error.strerror or error}") from error


def read(path: str | Path) -> tuple[History, int, dict[str, Any]]:
    """What `write` was given. ValueError names the file and says what is wrong; no code in it is run, and none takes more
    memory than a session of so large a canvas does. MemoryError if there is not as much."""
    path = file_at(path)
    try:
        if path.stat().st_size > MOST_FILE_BYTES:
            raise ValueError(f"it has more than {MOST_FILE_BYTES // 2**30} GB")
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise ValueError("it was written by another program, or is incomplete")
            with zipfile.ZipFile(file) as archive:
                return _history(archive)
    except ValueError as error:
        raise ValueError(f"{path} is no history that can be reopened: {error}") from error
    except PermissionError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:  # damaged archives and pictures make decoders raise almost anything
        if is_out_of_memory(error):
            raise MemoryError(f"there is not enough memory to open {path}") from error
        raise ValueError(f"{path} is damaged: {brief(str(error)) or type(error).__name__}") from error


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
class _Record:
    version: int
    height: int
    width: int
    num_classes: int
    at: int
    moments: tuple[_MomentRecord, ...]
    about: dict[str, Any]


def _history(archive: zipfile.ZipFile) -> tuple[History, int, dict[str, Any]]:
    record = _record(archive)
    size = (record.height, record.width)

    @cache
    def plane(number: int, most: int) -> Tensor:
        values = _pixels(archive, f"planes/{number}.png", size, ("L", "I", "I;16"))
        if values.max() > most:
            raise ValueError(f"planes/{number}.png holds {values.max()}, where {most} is the most")
        return torch.from_numpy(values.astype(np.int32))

    @cache
    def image(number: int) -> np.ndarray:
        return _pixels(archive, f"images/{number}.png", size, ("RGB",))

    def plan(of: _PlanRecord) -> Plan:
        return Plan(plane(of.ids, record.num_classes), plane(of.draws, MOST_DRAWS - 1))

    moments = [Moment(plan(of.plan), *_made(of, image, plan)) for of in record.moments]
    return History(tuple(moments), record.at), record.num_classes, record.about


def _record(archive: zipfile.ZipFile) -> _Record:
    if RECORD not in archive.namelist():
        raise ValueError(f"there is no {RECORD} in it")
    content = parsed(_member(archive, RECORD, MOST_BYTES), "JSON")
    if not isinstance(content, dict):
        raise ValueError(f"its {RECORD} is {shown(content)}, not a mapping")
    if content.get("version", VERSION) != VERSION:  # first: what else a later version holds is not known here
        raise ValueError(f"its version is {shown(content['version'])}, this program reads {VERSION}: update scdm")
    record = configuration.from_dict(_Record, content)
    if min(record.height, record.width) < 1 or record.height * record.width > MAX_PIXELS:
        raise ValueError(f"its canvas is {shown(record.width)} x {shown(record.height)} pixels")
    if not 0 < record.num_classes < MAX_CLASSES:
        raise ValueError(f"it has {shown(record.num_classes)} classes")
    if len(record.moments) > most_moments(record.height * record.width):
        raise ValueError(f"it has {len(record.moments)} moments, more than are ever kept")
    if not 0 <= record.at < len(record.moments):
        raise ValueError(f"of {len(record.moments)} moments, number {shown(record.at)} is not one")
    return record


def _made(
    of: _MomentRecord, image: Callable[[int], np.ndarray], plan: Callable[[_PlanRecord], Plan]
) -> tuple[np.ndarray | None, Plan | None]:
    if of.image is None or of.made_for is None:
        if of.image is not of.made_for:
            raise ValueError("one of its moments has half an image")
        return None, None
    return image(of.image), plan(of.made_for)


def _member(archive: zipfile.ZipFile, name: str, most: int) -> bytes:
    try:
        about = archive.getinfo(name)
    except KeyError:
        raise ValueError(f"{name} is missing from it") from None
    # Pictures and little else are written, as they are: what is packed tighter is no file of ours.
    if about.compress_type != zipfile.ZIP_STORED or about.file_size > most:
        raise ValueError(f"{name} in it is too large, or compressed")
    return archive.read(about)


def _pixels(archive: zipfile.ZipFile, name: str, size: tuple[int, int], modes: tuple[str, ...]) -> np.ndarray:
    """The picture of that name; its size is checked before it is decoded."""
    with Image.open(io.BytesIO(_member(archive, name, MOST_FILE_BYTES)), formats=("PNG",)) as picture:
        if picture.size != size[::-1] or picture.mode not in modes:
            raise ValueError(f"{name} is a picture of {picture.width} x {picture.height} in mode {picture.mode}")
        return np.array(picture)


def _png(pixels: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


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
