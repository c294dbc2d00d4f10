"""Images and maps brought to one size as published: stretched, or scaled to fill it and cropped.

Sizes are (height, width) in pixels. An image is halved with a box filter while it stays large enough, then resized by
bicubic interpolation. A map takes nearest pixels of the original, once. Then both are cut alike.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

Size = tuple[int, int]

LEAST_KEPT = 0.8  # the least part of the smaller side that a random crop keeps


class Frame(NamedTuple):
    """How an image is resized, cropped and mirrored."""

    halved: tuple[Size, ...]  # sizes after each halving
    resized: Size
    top: int  # of the window
    left: int
    size: Size
    mirrored: bool = False

    def image(self, image: Image.Image) -> np.ndarray:
        """An RGB image -> uint8 (h, w, 3)."""
        for height, width in self.halved:
            image = image.resize((width, height), Image.Resampling.BOX)
        return self._window(image.resize(self.resized[::-1], Image.Resampling.BICUBIC))

    def values(self, values: Image.Image) -> np.ndarray:
        """A map in an image of one channel -> (h, w) of the map's type."""
        return self._window(values.resize(self.resized[::-1], Image.Resampling.NEAREST))

    def _window(self, resized: Image.Image) -> np.ndarray:
        height, width = self.size
        window = np.asarray(resized.crop((self.left, self.top, self.left + width, self.top + height)))
        return np.array(window[:, ::-1] if self.mirrored else window)  # a copy: Pillow's own memory is read-only


def stretch(source: Size, size: Size) -> Frame:
    """All of the image, whatever its proportions."""
    return Frame(_halved(source, size), size, 0, 0, size)


def keep_aspect(source: Size, side: int) -> Frame:
    """All of the image, its smaller side as given."""
    halved, resized = _filling(source, (side, side))
    return Frame(halved, resized, 0, 0, resized)


def center_crop(source: Size, size: Size) -> Frame:
    """The middle of the image, as much of it as fits."""
    halved, (height, width) = _filling(source, size)
    return Frame(halved, (height, width), (height - size[0]) // 2, (width - size[1]) // 2, size)


def fitted(source: Size, size: Size, fit: str | None) -> Frame:
    """Deterministic: the middle of the image if the fit is "center_crop", else all of it, stretched."""
    return (center_crop if fit == "center_crop" else stretch)(source, size)


def random_crop(source: Size, size: Size, rng: np.random.Generator) -> Frame:
    """A window anywhere in the image, scaled so that its smaller side would be up to 1 / LEAST_KEPT of the window's."""
    side = min(size)
    smaller = int(rng.integers(side, math.ceil(side / LEAST_KEPT) + 1))
    halved, (height, width) = _filling(source, (size[0] * smaller / side, size[1] * smaller / side))
    top, left = int(rng.integers(0, height - size[0] + 1)), int(rng.integers(0, width - size[1] + 1))
    return Frame(halved, (height, width), top, left, size)


def _filling(source: Size, least: tuple[float, float]) -> tuple[tuple[Size, ...], Size]:
    """The sizes of halving, and the smallest size of the source's proportions that covers `least`."""
    halved = _halved(source, least)
    height, width = halved[-1] if halved else source
    scale = max(least[0] / height, least[1] / width)
    return halved, (round(scale * height), round(scale * width))


def _halved(source: Size, least: tuple[float, float]) -> tuple[Size, ...]:
    sizes: list[Size] = []
    height, width = source
    while height >= 2 * least[0] and width >= 2 * least[1]:
        height, width = height // 2, width // 2
        sizes.append((height, width))
    return tuple(sizes)
