"""From the files of a data set to examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..images import from_levels, read_image
from ..labels import instance_borders
from ..palette import Palette
from ..pixels import stored
from ..values import COLORS, GREY_MODES, UNKNOWN, VALUES, distinct, looked_up, numbers
from .examples import Example
from .framing import Frame, Size
from .layouts import Layout
from .listing import Pair

MOST_ELONGATED = 32  # longer side to shorter; a crop of the shorter one would be immense
VALUES_ONLY = set(GREY_MODES) - {"LA", "La"}  # modes of one channel
PAINTED = VALUES  # added to the ids of painted maps, which no value can be mistaken for


class Reader:
    """Reads pairs. Whatever is wrong with a file ends in a ValueError that names it."""

    def __init__(self, layout: Layout, palette: Palette) -> None:
        """ValueError if the class table has no such values as the layout says."""
        self.layout, self.palette = layout, palette
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
        """What is wrong with the files of a pair, each read as a whole."""
        problems: list[str] = []
        image = label = instances = None
        with _collected(problems):
            image = self.image(pair)
        with _collected(problems):
            label = self.label(pair, lambda remark: problems.append(f"{pair.label}: {remark}"))
            self.ids(np.asarray(label), pair)
        with _collected(problems):
            instances = self.instances(pair)
        if image and label:
            with _collected(problems):
                self._require_sizes(pair, image, label, instances)
        return problems

    def image(self, pair: Pair) -> Image.Image:
        image = read_image(pair.image)
        if max(image.size) > MOST_ELONGATED * min(image.size):
            raise ValueError(f"{pair.image}: {image.width} x {image.height} pixels are too long and narrow to train on")
        try:
            return image.convert("RGB")
        except (OSError, ValueError) as error:
            raise ValueError(f"{pair.image}: an image of mode {image.mode} cannot be read in colours") from error

    def label(self, pair: Pair, remark: Callable[[str], None] | None = None) -> Image.Image:
        """The file's values, of one channel, for `ids`; where a map is painted, its ids with `PAINTED` added.

        remark: receives what does not stop a run, but should be known.
        """
        image = read_image(pair.label)
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

    def instances(self, pair: Pair) -> Image.Image | None:
        return None if pair.instances is None else _values(read_image(pair.instances), pair.instances)

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
        for path, map_ in ((pair.label, label), (pair.instances, instances)):
            if map_ is None or map_.size == image.size:
                continue
            alike = map_.width * image.height == map_.height * image.width
            if not (alike and self.layout.any_resolution):
                raise ValueError(
                    f"{path} is {map_.width} x {map_.height} pixels, "
                    f"but its image {pair.image} is {image.width} x {image.height}"
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
