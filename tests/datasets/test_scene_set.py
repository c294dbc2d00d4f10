"""`scenes` behaves like any other data set."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest
import torch

from scdm.datasets import DataConfig, loader, open_dataset, scene_set
from scdm.datasets.scenes import Scenes
from scdm.layouts.palette import Palette

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


@pytest.mark.parametrize("size", [32, (32, 48)], ids=["square", "wide"])
def test_every_other_scene_shows_what_is_asked_for(
    size: int | tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the proportions of the set, by which scenes differ. The others stay as they are, the chosen ones come round again,
    and a run goes on from any position as before."""
    monkeypatch.setattr(scene_set, "CHOSEN", 2)
    building = Palette.named("scenes").names.index("building")
    plain, showing = (
        open_dataset(DataConfig(size=size, seed=3, workers=0, showing=names)) for names in ((), ("building",))
    )
    shown, scenes = showing.training(), plain.training()
    for position in (1, 3, 5):
        assert (shown[position].ids == building).float().mean() >= scene_set.SHARE
    assert torch.equal(shown[5].image, shown[1].image) and not torch.equal(shown[3].image, shown[1].image)
    assert torch.equal(shown[4].image, scenes[4].image)
    later = showing.training(start=3)[0]
    assert torch.equal(later.image, shown[3].image) and later.position == shown[3].position == 3


def test_classes_that_no_scene_shows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scene_set, "RAREST", 2)
    monkeypatch.setattr(scene_set, "SHARE", 0.9)
    with pytest.raises(ValueError, match=r"of 10 scenes only 0 show data\.showing on 90% of their pixels"):
        scene_set.scenes_that_show((2,), 0, 3, (32, 32))
    with pytest.raises(ValueError, match="nothing is unpainted in scenes"):
        open_dataset(replace(CONFIG, showing=("unpainted",)))
    with pytest.raises(ValueError, match="castle"):
        open_dataset(replace(CONFIG, showing=("castle",)))
    with pytest.raises(ValueError, match=r"folder takes no data\.showing"):
        DataConfig(name="folder", root="x", classes="y", showing=("sky",))
