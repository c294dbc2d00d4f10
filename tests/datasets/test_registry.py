"""A new data set is one object in `DATASETS`: configurations name it, and runs train on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch.utils.data import Dataset

from scdm.datasets import DATASETS, DataConfig, Example, Source, Validation, loader, open_dataset, open_pairs
from scdm.datasets.examples import ENDLESS
from scdm.datasets.in_folders import in_folders
from scdm.datasets.structure import FolderStructure
from scdm.files.config import from_dict, load
from scdm.layouts.palette import Palette
from scdm.training.config import LabelDiffusionConfig, TrainConfig
from tests.datasets import trees

PALETTE = Palette.from_dict(trees.CLASSES)


class Stripes(Validation):
    """A data set of one's own reader: images of two classes, the second below a line that depends on the position."""

    palette = PALETTE
    names = ("0", "1")

    def __init__(self, config: DataConfig, split: str) -> None:
        self.size = config.height_width

    def __getitem__(self, index: int) -> Example:
        ids = torch.arange(self.size[0])[:, None].gt(index % self.size[0]).long().expand(self.size)
        return Example(ids.float().expand(3, -1, -1) * 2 - 1, ids, None, index)

    def training(self, start: int = 0) -> Dataset[Example]:
        return _From(self, start)

    def validation(self) -> Validation:
        return self

    def at(self, size: int | tuple[int, int]) -> Stripes:
        return Stripes(DataConfig("stripes", size=size), "train")

    def layout(self, index: int) -> np.ndarray:
        return self[index].ids.numpy()

    def instances(self, index: int) -> None:
        return None

    def check(self) -> Iterator[str]:
        yield from ()


class _From(Dataset[Example]):
    def __init__(self, data: Stripes, start: int) -> None:
        self.data, self.start = data, start

    def __len__(self) -> int:
        return ENDLESS - self.start

    def __getitem__(self, index: int) -> Example:
        return self.data[self.start + index]


def test_a_data_set_with_its_own_reader_is_named_in_a_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS, "stripes", Source(Stripes))
    (tmp_path / "run.yaml").write_text(
        yaml.safe_dump({"run": str(tmp_path), "data": {"name": "stripes", "size": 16}, "network": {"num_classes": 3}})
    )
    config = load(TrainConfig, tmp_path / "run.yaml").data
    batch = next(iter(loader(open_dataset(config).training(5), 2)))
    assert batch.positions.tolist() == [5, 6] and batch.images.shape == (2, 3, 16, 16)
    with pytest.raises(ValueError, match=r"data set stripes takes no data\.root: leave it out"):
        from_dict(DataConfig, {"name": "stripes", "root": "here"})
    with pytest.raises(ValueError, match="data set stripes has no image files"):
        open_pairs(config)


def test_a_run_trains_on_a_new_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("accelerate", reason="training needs the extra 'train'")
    from scdm.training.loop import train
    from tests.training import tiny

    monkeypatch.setitem(DATASETS, "stripes", Source(Stripes))
    config = tiny.config(
        tmp_path,
        data=DataConfig("stripes", size=16, workers=0),
        network=replace(tiny.NETWORK, num_classes=3),
        label_diffusion=LabelDiffusionConfig("uniform"),
        batch=2,
        steps=1,
    )
    with tiny.apart():
        train(config)
    assert (tmp_path / "state-1.pt").is_file()


def test_a_data_set_in_folders_is_its_structure_and_its_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    structure = FolderStructure("photos/{split}", "maps/{split}", val="test")
    monkeypatch.setitem(DATASETS, "photos", in_folders(structure, PALETTE))
    monkeypatch.setitem(trees.PLACES, "photos", trees.Places("photos/{split}/{name}.png", "maps/{split}/{name}.png"))
    monkeypatch.setitem(trees.SPLITS, "photos", {"val": "test"})
    label = trees.random_label(0)
    trees.write(tmp_path, "photos", label, split="val")
    data = open_dataset(from_dict(DataConfig, {"name": "photos", "root": str(tmp_path), "size": 16}), "val")
    assert data.palette is PALETTE and np.array_equal(data.layout(0), label) and list(data.check()) == []
    with pytest.raises(ValueError, match=r"data set photos needs data\.root: the folder"):
        DataConfig("photos")


def test_an_unknown_name_is_answered_by_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"data\.name must be .*celebamask_hq, .* or shards, not 'imagenet'"):
        from_dict(DataConfig, {"name": "imagenet"})
