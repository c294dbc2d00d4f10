"""From the files of a data set to examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..files.images import SIDEWAYS, as_stored, doubts, from_levels, read_image, require_eight_bits
from ..files.levels import Remark, photograph, require_lossless, silent
from ..files.untrusted import naming
from ..layouts.decoding import holds_colors
from ..layouts.doubts import of_convention, of_smoothing
from ..layouts.labels import instance_borders
from ..layouts.palette import Palette
from ..layouts.pixels import stored
from ..layouts.values import COLORS, GREY_MODES, UNKNOWN, VALUES, distinct, looked_up, numbers, ranges
from .config import Exif
from .examples import Example
from .framing import Frame, Size
from .listing import Pair
from .structure import FolderStructure

MOST_ELONGATED = 32  # longer side to shorter; a crop of the shorter one would be immense
VALUES_ONLY = set(GREY_MODES) - {"LA", "La"}  # modes of one channel
PAINTED = VALUES  # added to the ids of painted maps, which no value can be mistaken for


class Doubt(str):
    """A sentence on a file that is read, but may have been meant in another way."""


class Reader:
    """Reads pairs. Whatever is wrong with a file ends in a ValueError that names it."""

    def __init__(self, structure: FolderStructure, palette: Palette, exif: Exif | None = None) -> None:
        """ValueError if the class table lacks the convention of the structure."""
        self.structure, self.palette, self.exif = structure, palette, exif
        self.convention = structure.convention(palette)
        self.id_of = palette.id_table(self.convention)
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
        image = self._as_meant(read_image(pair.image))
        if max(image.size) > MOST_ELONGATED * min(image.size):
            raise ValueError(f"{pair.image}: {image.width} x {image.height} pixels are too long and narrow to train on")
        with naming(pair.image):
            return photograph(image, remark)

    def label(self, pair: Pair, remark: Remark = silent) -> Image.Image:
        """The file's values, of one channel, for `ids`; where a map is painted, its ids with `PAINTED` added.

        remark: receives what does not stop a run, but should be known.
        """
        image = self._as_meant(read_image(pair.label, classes=self.palette.colors))
        for doubt in doubts(image):
            remark(doubt)
        return _turned_like(image, self._label_values(image, pair, remark))

    def _label_values(self, image: Image.Image, pair: Pair, remark: Remark) -> Image.Image:
        with naming(pair.label):
            colors = COLORS if self.structure.values == COLORS else None
            if self.structure.painted and (colors or image.mode not in VALUES_ONLY or holds_colors(image, self._alone)):
                ids = self._alone.to_ids(image, remark=remark, values=colors)
                return Image.fromarray((ids + PAINTED).astype(np.int32))
            values = numbers(image)
        map_ = _values(image, pair.label)
        if values is not None and values.max() >= VALUES:
            raise ValueError(
                f"{pair.label} holds the value {values.max()}, but label maps have values up to {VALUES - 1}"
            )
        if values is not None and remark is not silent:  # which takes time
            self._remark_on(values, pair, remark)
        return map_

    def _remark_on(self, values: np.ndarray, pair: Pair, remark: Remark) -> None:
        found, _ = distinct(values)
        if (looked_up(self.id_of, found) == UNKNOWN).any():
            return  # which `ids` says
        if found.tolist() == [0]:
            remark(f"every pixel is 0, so all of it is {self.palette.called(int(self.id_of[0]))}")
        for sentence in of_smoothing(self.palette, values, self.id_of):
            remark(sentence)
        if self.structure.values is None:
            for sentence in of_convention(self.palette, found, self.convention, Path(pair.label).name):
                remark(sentence)

    def instances(self, pair: Pair, remark: Remark = silent) -> Image.Image | None:
        if pair.instances is None:
            return None
        image = self._as_meant(read_image(pair.instances))
        require_eight_bits(pair.instances, image)
        for doubt in doubts(image):
            remark(doubt)
        return _turned_like(image, _values(image, pair.instances))

    def _as_meant(self, image: Image.Image) -> Image.Image:
        return as_stored(image) if self.exif == "ignore" else image

    def ids(self, values: np.ndarray, pair: Pair) -> np.ndarray:
        """Values of a label map -> int64 ids of the same shape."""
        if values.dtype == np.int32 and (values >= PAINTED).all():
            return values.astype(np.int64) - PAINTED
        ids = looked_up(self.id_of, values)
        if (ids == UNKNOWN).any():
            unknown = np.unique(values[ids == UNKNOWN])
            known = np.flatnonzero(self.id_of[:VALUES] != UNKNOWN)
            raise ValueError(
                f"{pair.label} holds the value {', '.join(map(str, unknown[:5]))}, which is no class of "
                f"{self.palette.name}: its {self.palette.num_classes} classes have the values {ranges(known)}"
            )
        return ids

    def _require_sizes(self, pair: Pair, image: Image.Image, label: Image.Image, instances: Image.Image | None) -> None:
        """ValueError if a map does not fit the image, or fits it as well before either was turned."""
        for path, map_ in ((pair.label, label), (pair.instances, instances)):
            if map_ is not None and (reason := self._misfit(str(path), map_, pair.image, image)):
                raise ValueError(reason)

    def _misfit(self, path: str, map_: Image.Image, photo: str, image: Image.Image) -> str | None:
        turned, of_map = (picture.info.get("scdm_orientation") for picture in (image, map_))
        both_fit = turned != of_map and self._fits(_stored_size(map_), _stored_size(image))
        doubt = _orientation_doubt(turned, of_map) if both_fit else ""
        if self._fits(map_.size, image.size):
            return f"{photo if turned else path}: {doubt}" if doubt and self.exif is None else None
        size = f"{image.width} x {image.height}"
        advice = (
            "maps may be larger or smaller, but not of other proportions: crop or pad the one that shows more, "
            f"or export the map again at {size} without smoothing"
        )
        reason = doubt or (advice if self.structure.any_resolution else "")
        return (
            f"{path} is {map_.width} x {map_.height} pixels, but its image {photo} is {size}{reason and ': '}{reason}"
        )

    def _fits(self, of_map: tuple[int, int], size: tuple[int, int]) -> bool:
        return of_map == size or (self.structure.any_resolution and _of_one_proportion(of_map, size))


def _turned_like(image: Image.Image, map_: Image.Image) -> Image.Image:
    """The map that was made of a picture, with the orientation that was applied."""
    if "scdm_orientation" in image.info:
        map_.info["scdm_orientation"] = image.info["scdm_orientation"]
    return map_


def _stored_size(image: Image.Image) -> tuple[int, int]:
    return image.size[::-1] if image.info.get("scdm_orientation") in SIDEWAYS else image.size


def _orientation_doubt(photo: int | None, map_: int | None) -> str:
    if photo and not map_:
        return (
            f"the photo has EXIF orientation {photo} and its map has none: check whether the map was drawn on the turned "
            "photo. data.exif=apply turns all photos, data.exif=ignore none"
        )
    its_photo = f"its photo has {photo}" if photo else "its photo has none"
    return (
        f"the map has EXIF orientation {map_} and {its_photo}: check whether they show the same. data.exif=apply takes "
        "all as they are turned, data.exif=ignore as they are stored"
    )


@contextmanager
def _collected(problems: list[str]) -> Iterator[None]:
    """A ValueError ends the block and becomes one of `problems`."""
    try:
        yield
    except ValueError as error:
        problems.append(str(error))


def _of_one_proportion(one: Size, other: Size) -> bool:
    """Whether one size is the other, scaled and rounded to whole pixels."""
    small, large = sorted((one, other))
    return abs(small[0] / large[0] - small[1] / large[1]) < 1 / min(large)


def _values(image: Image.Image, path: str) -> Image.Image:
    """A map of values (also of places in a colour table, and of greys in three channels) in a mode that can be resized."""
    with naming(path):
        require_lossless(image)
    if image.mode in ("1", "L", "P"):
        return image
    values = numbers(image)
    held = stored(image, None) if values is None else None
    if values is None and held is None:
        raise ValueError(f"{path}: a map of ids is a grey image of 8 or 16 bits, not one of mode {image.mode}")
    values = held.values if held is not None else np.asarray(values)
    return Image.fromarray(values if values.dtype == np.uint8 else values.astype(np.int32))
