"""`scenes` behaves like any other data set."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from scdm.datasets import DataConfig, loader, open_dataset
from scdm.datasets.scenes import Scenes

CONFIG = DataConfig(size=16, seed=3, workers=0)


def test_training_goes_on_from_any_position() -> None:
    (batch,) = islice(loader(open_dataset(CONFIG).training(start=5), 3), 1)
    assert batch.positions.tolist() == [5, 6, 7]
    series = Scenes(8, seed=3, size=16)
    assert torch.equal(batch.images, torch.stack([series[i][0] for i in (5, 6, 7)]))
    assert torch.equal(batch.labels(14).ids, torch.stack([series[i][1] for i in (5, 6, 7)])) and batch.edges is None


def test_validation_shows_other_scenes_by_name() -> None:
    train, val = open_dataset(CONFIG), open_dataset(CONFIG, "val")
    images = val.validation()
    assert len(images) == len(images.names) == len(set(images.names))
    assert torch.equal(images[1].image, Scenes(2, seed=4, size=16)[1][0])
    assert not torch.equal(images[1].image, train.training()[1].image)
    assert torch.equal(torch.from_numpy(val.layout(1)), images[1].ids)
    assert list(train.check()) == []


def test_too_small_a_size_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="16 x 16"):
        open_dataset(DataConfig(size=8))
