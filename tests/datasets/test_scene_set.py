"""`scenes` behaves like any other data set."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
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


@pytest.mark.parametrize("size", [32, (32, 48)], ids=["square", "wide"])
def test_close_ups_are_parts_of_the_same_scenes_drawn_larger(size: int | tuple[int, int]) -> None:
    """Of the size asked for, always the same ones; of a flower's scene, one that shows it. All others stay as they are."""
    flower = Palette.named("scenes").names.index("flower")
    names = {"size": size, "seed": 3, "workers": 0}
    plain, half, all_near = (open_dataset(DataConfig(**names, close_ups=share)).training() for share in (0.0, 0.5, 1.0))
    wholes = [torch.equal(half[i].image, plain[i].image) for i in range(40)]
    assert 8 < sum(wholes) < 32
    near = [i for i in range(40) if not wholes[i]]
    for i in near:
        assert half[i].image.shape == plain[i].image.shape and half[i].ids.shape == plain[i].ids.shape
        assert torch.equal(half[i].image, all_near[i].image) and torch.equal(half[i].ids, all_near[i].ids)
    later = open_dataset(DataConfig(**names, close_ups=0.5)).training(start=near[1])[0]
    assert torch.equal(later.image, half[near[1]].image)

    scenes = Scenes(40, 3, size)
    drawn = [(scenes[i], scene_set.close_up(scenes, i, (flower,), np.random.default_rng(i))) for i in range(40)]
    shares = [[float((ids == flower).float().mean()) for _, ids in pair] for pair in drawn]
    shown = [pair for pair in shares if pair[0] > 0]
    assert len(shown) > 5 and all(near > 0 for _, near in shown)
    assert sum(near for _, near in shown) > 1.4 * sum(whole for whole, _ in shown)


def test_a_close_up_shows_a_part_of_the_larger_scene() -> None:
    scenes, rng = Scenes(3, 5, 32), np.random.default_rng(2)
    nearness = scene_set.CLOSEST ** np.random.default_rng(2).random()
    whole = Scenes(3, 5, round(32 * nearness))[1]
    image, ids = scene_set.close_up(scenes, 1, (), rng)
    found = [
        (top, left)
        for top in range(whole[1].shape[0] - 31)
        for left in range(whole[1].shape[1] - 31)
        if torch.equal(whole[0][:, top : top + 32, left : left + 32], image)
    ]
    assert len(found) == 1
    ((top, left),) = found
    assert torch.equal(whole[1][top : top + 32, left : left + 32], ids)


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
    with pytest.raises(ValueError, match=r"folder takes no data\.close_ups"):
        DataConfig(name="folder", root="x", classes="y", close_ups=0.5)
