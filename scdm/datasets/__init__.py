"""Data sets by name: `open_dataset(config, split)` gives the training stream and the validation images of one."""

from __future__ import annotations

from .config import DataConfig, Split
from .examples import Batch, DataSet, Example, Validation, collate, loader
from .pairs import PairSet
from .scene_set import SceneSet
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


def open_dataset(config: DataConfig, split: Split = "train") -> DataSet:
    """One split of the data set that `config` describes. Folders are listed, but no image is opened.

    ValueError if there is nothing to open: a folder or a class table is missing, no image has a label map.
    """
    return SceneSet(config, split) if config.name == "scenes" else PairSet(config, split)
