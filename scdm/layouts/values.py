"""Stored values: what the numbers in a label map mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import Annotated, Any

import numpy as np
from PIL import Image

from ..files import config as configuration
from ..files.options import Option, check_fields
from ..files.untrusted import brief, shown

COLORS = "colors"  # in place of a convention's name: the values are no ids, but the levels of painted colours
VOID = (255, 65535)  # "ignore" in 8-bit and 16-bit maps, where a convention names no value for it
MINUS_ONE = -1  # "ignore" in signed maps, in every convention
UNKNOWN = -1  # the id of a value that no class has
VALUES = 65536  # of unsigned maps: 0..65535
GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16L", "I;16B", "I;16N", "F")


@dataclass(frozen=True)
class Convention:
    """One way to store classes as values.

    first: the value of class 0, the next classes follow. classes: or the id of value 0, 1, 2, ..., where they do not.
    unlabelled: values for what the annotator left out: the palette's class for that, MASK if it has none.
    unpainted: values that are MASK.
    files: names (`fnmatch`, in any case) of files that are known to be stored so.

    -1 is always read as unlabelled, and 65535 like 255 where only the latter is given. Where neither `unlabelled` nor
    `unpainted` is given, so are 255 and 65535, and the number of classes is MASK, wherever these are not the value of a
    class.
    """

    name: Annotated[str, Option("to choose it by")] = "ids"
    first: Annotated[int, Option("the value of class 0", ge=0, le=VALUES - 1)] = 0
    classes: Annotated[tuple[int, ...], Option("ids in the order of their values", ge=0, le=VALUES - 1)] = ()
    unlabelled: Annotated[tuple[int, ...], Option("values of what was left out", ge=0, le=VALUES - 1)] = ()
    unpainted: Annotated[tuple[int, ...], Option("values that are MASK", ge=0, le=VALUES - 1)] = ()
    files: Annotated[tuple[str, ...], Option("names of files that are stored so")] = ()

    def __post_init__(self) -> None:
        check_fields(self, f"values {shown(self.name)}: ")
        if not 0 < len(self.name) <= 255 or self.name == COLORS:
            raise ValueError(f"values have a name other than {COLORS!r}, not {shown(self.name)}")
        if self.classes and self.first:
            raise ValueError(f"the values {shown(self.name)} are defined by first or by classes, not by both")

    @classmethod
    def from_dict(cls, entry: Any) -> Convention:
        """{"name": "annotations", "first": 1, ...}, all but the name optional. ValueError names what is wrong."""
        if not isinstance(entry, Mapping) or "name" not in entry:
            raise ValueError(f'each of a palette\'s values is a mapping that has a "name", not {shown(entry)}')
        return configuration.from_dict(cls, entry, f"{brief(str(entry['name']), 80)}.")

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads, of plain JSON types."""
        return {"name": self.name} | configuration.non_defaults(self)

    @property
    def lenient(self) -> bool:
        return not self.unlabelled and not self.unpainted

    def void(self, num_classes: int) -> tuple[int, ...]:
        """The values that may stand for no class, the usual one first."""
        return (*VOID, num_classes) if self.lenient else (*self.unlabelled, *self.unpainted)

    def table(self, num_classes: int, unlabelled: int | None) -> np.ndarray:
        """(65537,) int64: the id of each value, `UNKNOWN` if it means nothing; the last entry is that of -1."""
        mask = num_classes
        left_out = mask if unlabelled is None else unlabelled
        ids = np.full(VALUES + 1, UNKNOWN, dtype=np.int64)
        ids[-1] = left_out
        own = np.array(self.classes, dtype=np.int64) if self.classes else np.arange(num_classes)
        own = own[: VALUES - self.first]
        ids[self.first : self.first + len(own)] = np.where(own < num_classes, own, UNKNOWN)
        special = {value: left_out for value in self.unlabelled} | {value: mask for value in self.unpainted}
        if VOID[0] in special:  # the same in 16 bits
            special.setdefault(VOID[1], special[VOID[0]])
        if self.lenient:
            special = {num_classes: mask} | {value: left_out for value in VOID}
        for value, meaning in special.items():
            if ids[value] == UNKNOWN:
                ids[value] = meaning
        return ids

    def matches(self, file_name: str) -> bool:
        """Whether files of this name are known to be stored so."""
        return any(fnmatch(file_name.lower(), pattern.lower()) for pattern in self.files)


IDS = Convention()


def numbers(image: Image.Image) -> np.ndarray | None:
    """(H, W) integers: the values of a grey image, uint8 where they fit; None if it is one of colours.

    NaN, as maps in floats have it where nothing is known, is -1. ValueError for fractions.
    """
    if image.mode not in GREY_MODES:
        return None
    if image.mode in ("LA", "La"):
        image = image.getchannel(0)
    values = np.asarray(image)
    if image.mode != "F":
        return values.astype(np.uint8) if values.dtype == bool else values
    values = np.where(np.isnan(values), MINUS_ONE, values)
    if not (np.isfinite(values) & (values == np.round(values)) & (np.abs(values) < 2**24)).all():
        raise ValueError("a map of ids holds whole numbers, not fractions: save it in 8 or 16 bits")
    return values.astype(np.int32)


def looked_up(table: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Ids of values by a `Convention.table`; `UNKNOWN` for what lies outside of it."""
    if values.dtype in (np.uint8, np.uint16):
        return table[values]
    inside = (values >= MINUS_ONE) & (values < VALUES)
    return np.where(inside, table[np.where(inside, values, 0)], UNKNOWN)


def distinct(values: np.ndarray, where: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The values that occur (where the bool array is true), int64 ascending, and how often."""
    seen = values.ravel() if where is None else values[where]
    if not seen.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    low = 0
    if seen.dtype not in (np.uint8, np.uint16):
        low, high = int(seen.min()), int(seen.max())
        if high - low > 2**20:
            found, counts = np.unique(seen, return_counts=True)
            return found.astype(np.int64), counts
        seen = seen.astype(np.int64) - low
    counts = np.bincount(seen)
    occurring = np.flatnonzero(counts)
    return occurring + low, counts[occurring]


def ranges(values: np.ndarray) -> str:
    """Ascending numbers in words: 0..150, 255."""
    runs = np.split(values, np.flatnonzero(np.diff(values) > 1) + 1)
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)
