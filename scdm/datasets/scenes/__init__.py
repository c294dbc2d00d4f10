"""Procedural landscapes with exact layouts: a data set that needs no download and never ends.

A scene is painted back to front, as a painter would: sky, mountains, hills, ground, water, then the things that stand
on the ground from far to near. Every painter writes colour and class id together, so a layout cannot disagree with
its picture. Lengths are fractions of the picture's height, x to the right and y down; what is drawn at random never
depends on the number of pixels, so a scene keeps its composition at any size of the same aspect ratio.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from .canvas import (
    BUILDING,
    CLOUD,
    FLOWER,
    GRASS,
    HILL,
    MOUNTAIN,
    ROAD,
    ROCK,
    SAND,
    SKY,
    SNOW,
    SUN,
    TREE,
    WATER,
    Canvas,
    blank,
)
from .composition import compose

__all__ = ["Scenes", "render"]
__all__ += ["BUILDING", "CLOUD", "GRASS", "HILL", "MOUNTAIN", "ROAD", "SAND", "SKY", "SNOW", "SUN", "TREE", "WATER"]
__all__ += ["FLOWER", "ROCK"]


def render(index: int, seed: int = 0, size: int | tuple[int, int] = 64) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Scene `index` of the endless series `seed`: image (H, W, 3) RGB and class ids (H, W), both uint8.

    The same arguments give the same scene in any order and process. `size` is one side, or (height, width),
    of at least 16 pixels (ValueError).
    """
    height, width = _sides(size)
    require_size(height, width)
    rng = np.random.default_rng((seed, index))
    canvas = blank(rng, np.random.default_rng((seed, index, 1)), height, width)
    compose(canvas)
    return _developed(canvas), canvas.labels


def require_size(height: int, width: int) -> None:
    """ValueError for a size that is too small."""
    if min(height, width) < 16:
        raise ValueError(f"a scene of {height} x {width} pixels is too small to show anything: take at least 16 x 16")


def _sides(size: int | tuple[int, int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _developed(canvas: Canvas) -> NDArray[np.uint8]:
    """The image with film grain, in whole numbers."""
    tile, shape = _grain(), canvas.labels.shape
    down, right = canvas.detail.integers(len(tile), size=2)
    grain = tile[(np.arange(shape[0]) + down)[:, None] % len(tile), (np.arange(shape[1]) + right) % len(tile)]
    image = canvas.image + cv2.merge((grain, grain, grain))
    return cv2.convertScaleAbs(np.clip(image, 0, 1, out=image), alpha=255)


@lru_cache(1)
def _grain() -> NDArray[np.float32]:
    return 0.007 * np.random.default_rng(0).standard_normal((512, 512), dtype=np.float32)


class Scenes(Dataset[tuple[Tensor, Tensor]]):
    """Scenes `offset` .. `offset + length - 1` of a series, rendered when asked for.

    An item is (image (3, H, W) float32 in [-1, 1], ids (H, W) int64). Disjoint offsets make disjoint splits.
    """

    def __init__(self, length: int, seed: int = 0, size: int | tuple[int, int] = 64, offset: int = 0) -> None:
        self.length, self.seed, self.size, self.offset = length, seed, size, offset

    def __len__(self) -> int:
        return self.length

    @property
    def height_width(self) -> tuple[int, int]:
        return _sides(self.size)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not 0 <= index < self.length:
            raise IndexError(f"scene {index} of a data set of {self.length}")
        return self.scene(self.offset + index)

    def scene(self, number: int) -> tuple[Tensor, Tensor]:
        """As an item, any scene of the series."""
        image, labels = render(number, self.seed, self.size)
        return torch.from_numpy(image).permute(2, 0, 1).float() / 127.5 - 1, torch.from_numpy(labels).long()
