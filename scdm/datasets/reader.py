"""From the files of a data set to examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image

from ..images import as_stored, doubts, from_levels, orientation, read_image
from ..labels import instance_borders
from ..levels import Remark, id_map, photograph, silent, survives
from ..palette import GREY_MODES, Palette
from .config import Exif
from .examples import Example
from .framing import Frame, Size
from .layouts import UNKNOWN, Layout
from .listing import Pair

SIDEWAYS = (5, 6, 7, 8)  # EXIF orientations that exchange width and height
MOST_ELONGATED = 32  # longer side to shorter; a crop of the shorter one would be immense
GREY = {*GREY_MODES, "F"} - {"LA"}  # modes of one channel


class Reader:
    """Reads pairs. Whatever is wrong with a file ends in a ValueError that names it."""

    def __init__(self, layout: Layout, palette: Palette, exif: Exif | None = None) -> None:
        self.layout, self.palette, self.exif = layout, palette, exif
        self.id_of = layout.id_table(palette)

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
            image = self.image(pair, lambda remark: problems.append(f"{pair.image}: {remark}"))
        with _collected(problems):
            label = self.label(pair, lambda remark: problems.append(f"{pair.label}: {remark}"))
            self.ids(np.asarray(label), pair)
        with _collected(problems):
            instances = self.instances(pair, lambda remark: problems.append(f"{pair.instances}: {remark}"))
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

    def label(self, pair: Pair, remark: Callable[[str], None] = lambda sentence: None) -> Image.Image:
        """The file's values, of one channel: not yet ids, but for a painted map."""
        image = read_image(pair.label, classes=self.palette.colors)
        for doubt in doubts(image):
            remark(doubt)
        if not self.layout.painted or image.mode in GREY:
            return _values(image, pair.label)
        try:
            ids = self.palette.to_labels(image, remark=remark).ids[0].numpy()
        except ValueError as error:
            raise ValueError(f"{pair.label}: {error}") from error
        return Image.fromarray(ids.astype(np.int32))

    def instances(self, pair: Pair, remark: Remark = silent) -> Image.Image | None:
        if pair.instances is None:
            return None
        image = read_image(pair.instances)
        for doubt in doubts(image):
            remark(doubt)
        if damage := survives(image):
            remark(damage)
        return _values(image, pair.instances)

    def ids(self, values: np.ndarray, pair: Pair) -> np.ndarray:
        """Values of a label map -> int64 ids of the same shape."""
        values = values.astype(np.int64)
        inside = (values >= 0) & (values < len(self.id_of))
        ids = np.where(inside, self.id_of[np.where(inside, values, 0)], UNKNOWN)
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
            reason = f": {_orientation_doubt(turned)}" if turned and self._fits(map_, stored) else ""
            raise ValueError(
                f"{path} is {map_.width} x {map_.height} pixels, "
                f"but its image {pair.image} is {image.width} x {image.height}{reason}"
            )
        if turned and self.exif is None and self._fits(label, stored) and orientation(pair.label) == 1:
            raise ValueError(f"{pair.image}: {_orientation_doubt(turned)}")

    def _fits(self, map_: Image.Image, size: tuple[int, int]) -> bool:
        alike = map_.width * size[1] == map_.height * size[0]
        return map_.size == size or (alike and self.layout.any_resolution)


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


def _values(image: Image.Image, path: str) -> Image.Image:
    try:
        return id_map(image)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _ranges(values: np.ndarray) -> str:
    """Ascending numbers in words: 0..150, 255."""
    runs = np.split(values, np.flatnonzero(np.diff(values) > 1) + 1)
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)
