"""From the files of a data set to examples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image

from ..images import from_levels, read_image
from ..labels import instance_borders
from ..palette import GREY_MODES, Palette
from .examples import Example
from .framing import Frame, Size
from .layouts import UNKNOWN, Layout
from .listing import Pair

MOST_ELONGATED = 32  # longer side to shorter; a crop of the shorter one would be immense
GREY = set(GREY_MODES) - {"LA"}  # modes of one channel


class Reader:
    """Reads pairs. Whatever is wrong with a file ends in a ValueError that names it."""

    def __init__(self, layout: Layout, palette: Palette) -> None:
        self.layout, self.palette = layout, palette
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

    def label(self, pair: Pair, remark: Callable[[str], None] = lambda sentence: None) -> Image.Image:
        """The file's values, of one channel: not yet ids, but for a painted map."""
        image = read_image(pair.label)
        if not self.layout.painted or image.mode in GREY:
            return _values(image, pair.label)
        try:
            ids = self.palette.to_labels(image, remark=remark).ids[0].numpy()
        except ValueError as error:
            raise ValueError(f"{pair.label}: {error}") from error
        return Image.fromarray(ids.astype(np.int32))

    def instances(self, pair: Pair) -> Image.Image | None:
        return None if pair.instances is None else _values(read_image(pair.instances), pair.instances)

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
        for path, map_ in ((pair.label, label), (pair.instances, instances)):
            if map_ is None or map_.size == image.size:
                continue
            if not (self.layout.any_resolution and _of_one_proportion(map_.size, image.size)):
                size = f"{image.width} x {image.height}"
                advice = (
                    ": maps may be larger or smaller, but not of other proportions: crop or pad the one that shows more, "
                    f"or export the map anew at {size} without smoothing"
                )
                raise ValueError(
                    f"{path} is {map_.width} x {map_.height} pixels, but its image {pair.image} is {size}"
                    f"{advice if self.layout.any_resolution else ''}"
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
    """A map whose pixel values are ids (also of colour tables), in a mode that can be resized."""
    if image.mode not in GREY | {"P"}:
        raise ValueError(f"{path}: a map of ids is a grey image of 8 or 16 bits, not one of mode {image.mode}")
    return image if image.mode in ("1", "L", "P") else Image.fromarray(np.asarray(image).astype(np.int32))


def _ranges(values: np.ndarray) -> str:
    """Ascending numbers in words: 0..150, 255."""
    runs = np.split(values, np.flatnonzero(np.diff(values) > 1) + 1)
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}..{run[-1]}" for run in runs)
