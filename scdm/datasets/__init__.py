"""Data sets by name: `open_dataset(config, split)` gives the training stream and the validation images of one."""

from __future__ import annotations

from torch import Tensor
from torch.utils.data import Dataset

from .config import DataConfig, Split
from .examples import Batch, DataSet, Example, Validation, collate, loader
from .pairs import PairSet
from .scene_set import SceneSet
from .scenes import Scenes
from .statistics import ClassStatistics

__all__ = [
    "Batch",
    "ClassStatistics",
    "DataConfig",
    "DataSet",
    "Example",
    "Validation",
    "collate",
    "loader",
    "open_dataset",
]

NAMES = ("scenes",)  # that `build` knows


def open_dataset(config: DataConfig, split: Split = "train") -> DataSet:
    """One split of the data set that `config` describes. Folders are listed, but no image is opened.

    ValueError if there is nothing to open: a folder or a class table is missing, no image has a label map.
    """
    return SceneSet(config, split) if config.name == "scenes" else PairSet(config, split)


def build(
    name: str, length: int, size: int | tuple[int, int], seed: int, offset: int = 0
) -> Dataset[tuple[Tensor, Tensor]]:
    """`length` items (image, ids) of the data set `name`, from item `offset` on. ValueError for an unknown name."""
    if name == "scenes":
        return Scenes(length, seed, size, offset)
    raise ValueError(f"no data set is called {name!r}; there are {', '.join(NAMES)}")
