"""Data sets by name. An item is (image (3, H, W) float32 in [-1, 1], ids (H, W) int64)."""

from __future__ import annotations

from torch import Tensor
from torch.utils.data import Dataset

from .scenes import Scenes

NAMES = ("scenes",)


def build(
    name: str, length: int, size: int | tuple[int, int], seed: int, offset: int = 0
) -> Dataset[tuple[Tensor, Tensor]]:
    """`length` items of the data set `name`, from item `offset` on. ValueError for an unknown name."""
    if name == "scenes":
        return Scenes(length, seed, size, offset)
    raise ValueError(f"no data set is called {name!r}; there are {', '.join(NAMES)}")
