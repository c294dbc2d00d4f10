"""Data sets by name: `open_dataset(config, split)` gives the training stream and the validation images of one."""

from __future__ import annotations

from . import in_folders, scene_set, shards  # noqa: F401  (each registers its data sets)
from .config import DataConfig, Split
from .examples import Batch, DataSet, Example, Validation, collate, loader
from .pairs import PairSet
from .registry import DATASETS, Source
from .statistics import ClassStatistics

__all__ = [
    "DATASETS",
    "Batch",
    "ClassStatistics",
    "DataConfig",
    "DataSet",
    "Example",
    "PairSet",
    "Source",
    "Validation",
    "collate",
    "loader",
    "open_dataset",
    "open_pairs",
]


def open_dataset(config: DataConfig, split: Split = "train") -> DataSet:
    """One split of the data set that `config` names. ValueError as for `Source.open`."""
    return config.source.open(config, split)


def open_pairs(config: DataConfig, split: Split = "train") -> PairSet:
    """`open_dataset` for work on the files. ValueError for a data set that is not pairs of image files."""
    data = open_dataset(config, split)
    if not isinstance(data, PairSet):
        raise ValueError(f"data set {config.name} has no image files")
    return data
