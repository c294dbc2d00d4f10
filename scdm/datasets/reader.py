"""From the files of a data set to examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..images import as_stored, doubts, from_levels, orientation, read_image
from ..labels import instance_borders
from ..levels import Remark, photograph, silent, survives
from ..palette import Palette
from ..pixels import stored
from ..values import COLORS, GREY_MODES, UNKNOWN, VALUES, distinct, looked_up, numbers
from .config import Exif
from .examples import Example
from .framing import Frame, Size
from .layouts import Layout
from .listing import Pair

SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
MOST_ELONGATED = 32  # longer side to shorter; a crop of the shorter one would be immense
VALUES_ONLY = set(GREY_MODES) - {"LA", "La"}  # modes of one channel
PAINTED = VALUES  # added to the ids of painted maps, which no value can be mistaken for


class Doubt(str):
    """A sentence on a file that is read, but perhaps otherwise than it was meant."""


class Reader:
    """Reads pairs. Whatever is wrong with a file ends in a ValueError that names it."""

    def __init__(self, layout: Layout, palette: Palette, exif: Exif | None = None) -> None:
        """ValueError if the class table has no such values as the layout says."""
        self.layout, self.palette, self.exif = layout, palette, exif
        self.convention = layout.convention(palette)
        self.id_of = layout.id_table(palette)
        self._table = palette.id_table(self.convention)
        self._alone = replace(palette, values=(self.convention,))  # so that all files of a data set are read alike

    def example(self, pair: Pair, frame: Callable[[Size, int], Frame], position: int) -> Example:
        image, label, instances = self.read(pair)
        framed = frame((image.height, image.width), position)
        ids = self.ids(framed.values(label), pair)
        edges = None
        if self.palette.edge_channel:
            things = ids if instances is None else framed.values(instances).astype(np.int64)
            edges = instance_borders(torch.from_numpy(things)[None])[0]
        return Example(from_levels(framed.image(image)[None])[0], torch.from_numpy(ids), edges, position)

    def read(self, pair: Pair) -> tuple[Image.Image, Image.Image, Image.Image | None]:
        """Image, label map and instance map as they are in the files."""
        image, label, instances = self.image(pair), self.label(pair), self.instances(pair)
        self._require_sizes(pair, image, label, instances)
        return image, label, instances

    def problems(self, pair: Pair) -> list[str]:
        """What is wrong with the files of a pair, each read as a whole; a `Doubt` where they are read all the same."""
        problems: list[str] = []

        def doubting(path: str | None) -> Remark:
            return lambda sentence: problems.append(Doubt(f"{path}: {sentence}"))

        image = label = instances = None
        with _collected(problems):
            image = self.image(pair, doubting(pair.image))
        with _collected(problems):
            label = self.label(pair, doubting(pair.label))
            self.ids(np.asarray(label), pair)
        with _collected(problems):
            instances = self.instances(pair, doubting(pair.instances))
        if image and label:
            with _collected(problems):
                self._require_sizes(pair, image, label, instances)
        return problems

    def image(self, pair: Pair, remark: Remark = silent) -> Image.Image:
        """The photograph, in RGB of 8 bits."""
        image = read_image(pair.image)
        if max(image.size) > MOST_ELONGATED * min(image.size):
            raise ValueError(f"{pair.image}: {image.width} x {image.height} pixels are too long and narrow to train on")
        if self.exif == "ignore":
            image = as_stored(image)
        try:
            return photograph(image, remark)
        except (OSError, ValueError) as error:
            raise ValueError(f"{pair.image}: {error}") from error

    def label(self, pair: Pair, remark: Callable[[str], None] | None = None) -> Image.Image:
        """The file's values, of one channel, for `ids`; where a map is painted, its ids with `PAINTED` added.

        remark: receives what does not stop a run, but should be known.
        """
        image = read_image(pair.label, classes=self.palette.colors)
        if remark is not None:
            for doubt in doubts(image):
                remark(doubt)
        try:
            colors = COLORS if self.layout.values == COLORS else None
            if self.layout.painted and (colors or image.mode not in VALUES_ONLY or self._alone.holds_colors(image)):
                ids = self._alone.to_labels(image, remark=remark or _unheard, values=colors).ids[0].numpy()
                return Image.fromarray((ids + PAINTED).astype(np.int32))
            values = numbers(image)
        except ValueError as error:
            raise ValueError(f"{pair.label}: {error}") from error
        if lossy := image.info.get("scdm_lossy"):
            raise ValueError(
                f"{pair.label}: ids do not survive {lossy}, which changes them at every border: save the map as PNG"
            )
        if values is not None and values.size and values.max() >= VALUES:
            raise ValueError(
                f"{pair.label} holds the value {values.max()}, but label maps have values up to {VALUES - 1}"
            )
        if remark is not None and values is not None:
            self._remark_on(values, pair, remark)
        return _values(image, pair.label)

    def _remark_on(self, values: np.ndarray, pair: Pair, remark: Callable[[str], None]) -> None:
        found, _ = distinct(values)
        if (looked_up(self._table, found) == UNKNOWN).any():
            return  # which `ids` says
        if found.tolist() == [0]:
            remark(f"every pixel is 0, so all of it is {self.palette.called(int(self._table[0]))}")
        if smoothed := self.palette.smoothed(values, self._table):
            remark(smoothed)
        if self.layout.values is None and (doubt := self.palette.doubts(found, self.convention, Path(pair.label).name)):
            remark(doubt)

    def instances(self, pair: Pair, remark: Remark = silent) -> Image.Image | None:
        if pair.instances is None:
            return None
        image = read_image(pair.instances)
        for doubt in doubts(image):
            remark(doubt)
        if damage := survives(image):
            raise ValueError(f"{pair.instances}: {damage}")
        return _values(image, pair.instances)

    def ids(self, values: np.ndarray, pair: Pair) -> np.ndarray:
        """Values of a label map -> int64 ids of the same shape."""
        if values.dtype == np.int32 and (values >= PAINTED).all():
            return values.astype(np.int64) - PAINTED
        ids = looked_up(self._table, values)
        if (ids == UNKNOWN).any():
            unknown = np.unique(values[ids == UNKNOWN])
            known = np.flatnonzero(self.id_of != UNKNOWN)
            raise ValueError(
                f"{pair.label} holds the value {', '.join(map(str, unknown[:5]))}, which is no class of "
                f"{self.palette.name}: its {self.palette.num_classes} classes have the values {_ranges(known)}"
            )
        return ids

    def _require_sizes(self, pair: Pair, image: Image.Image, label: Image.Image, instances: Image.Image | None) -> None:
        """ValueError if a map does not fit the image, or fits it as well before it was turned."""
        turned = image.info.get("scdm_orientation")
        stored = image.size[::-1] if turned in SIDEWAYS else image.size
        for path, map_ in ((pair.label, label), (pair.instances, instances)):
            if map_ is None or self._fits(map_, image.size):
                continue
            size = f"{image.width} x {image.height}"
            advice = (
                "maps may be larger or smaller, but not of other proportions: crop or pad the one that shows more, "
                f"or export the map anew at {size} without smoothing"
            )
            reason = advice if self.layout.any_resolution else ""
            reason = _orientation_doubt(turned) if turned and self._fits(map_, stored) else reason
            raise ValueError(
                f"{path} is {map_.width} x {map_.height} pixels, but its image {pair.image} is {size}"
                f"{reason and ': '}{reason}"
            )
        if turned and self.exif is None and self._fits(label, stored) and orientation(pair.label) == 1:
            raise ValueError(f"{pair.image}: {_orientation_doubt(turned)}")

    def _fits(self, map_: Image.Image, size: tuple[int, int]) -> bool:
        return map_.size == size or (self.layout.any_resolution and _of_one_proportion(map_.size, size))


def _orientation_doubt(turned: int) -> str:
    return (
        f"the photo says that it is to be turned (EXIF orientation {turned}) and its map does not: look whether the map was "
        "drawn on the turned one. data.exif=apply says so for all, data.exif=ignore that photos are not to be turned"
    )


@contextmanager
def _collected(problems: list[str]) -> Iterator[None]:
    """A ValueError ends the block and becomes one of `problems`."""
    try:
        yield
    except ValueError as error:
        problems.append(str(error))


def _unheard(sentence: str) -> None:
    pass


def _of_one_proportion(one: Size, other: Size) -> bool:
    """Whether one size is the other, scaled and rounded to whole pixels."""
    small, large = sorted((one, other))
    return abs(small[0] / large[0] - small[1] / large[1]) < 1 / min(large)


def _values(image: Image.Image, path: str) -> Image.Image:
    """A map of values (also of places in a colour table, and of greys in three channels) in a mode that can be resized."""
    if image.mode in ("1", "L", "P"):
        return image
    values = numbers(image)
    if values is None:
        held = stored(image, None)
        if held is None:
            raise ValueError(f"{path}: a map of ids is a grey image of 8 or 16 bits, not one of mode {image.mode}")
        values = held.values
    return Image.fromarray(values if values.dtype == np.uint8 else values.astype(np.int32))


def _ranges(values: np.ndarray) -> str:
    """Ascending numbers in words: 0..150, 255."""
    runs = np.split(values, np.flatnonzero(np.diff(values) > 1) + 1)
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)
