"""Procedural scenes: reproducible, rich in classes, the same picture at every size."""

from __future__ import annotations

import json
import pickle
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from scdm.datasets import scenes
from scdm.datasets.scenes import Scenes, render

CLASSES = json.loads((resources.files("scdm.assets") / "classes" / "scenes.json").read_text())["classes"]


def test_a_scene_depends_on_seed_and_index_alone() -> None:
    image, labels = render(7, seed=3)
    np.random.seed(1)
    before = np.random.random_sample()
    np.random.seed(1)
    render(8, seed=3)
    again, labels_again = render(7, seed=3)
    assert np.array_equal(image, again) and np.array_equal(labels, labels_again)
    assert before == np.random.random_sample(), "the global generator was used"
    assert not np.array_equal(image, render(8, seed=3)[0])
    assert not np.array_equal(image, render(7, seed=4)[0])


@pytest.mark.parametrize(
    "size, shape", [(64, (64, 64)), ((48, 80), (48, 80)), ((80, 48), (80, 48)), ((17, 33), (17, 33))]
)
def test_shapes_and_types(size: int | tuple[int, int], shape: tuple[int, int]) -> None:
    for index in range(6):
        image, labels = render(index, size=size)
        assert image.shape == (*shape, 3) and image.dtype == np.uint8
        assert labels.shape == shape and labels.dtype == np.uint8
        assert labels.max() < len(CLASSES)


def test_too_small_a_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="16 x 16"):
        render(0, size=(64, 8))


def test_class_table_is_in_the_order_of_the_ids_and_easy_to_tell_apart() -> None:
    assert [entry["id"] for entry in CLASSES] == list(range(14))
    assert [getattr(scenes, entry["name"].upper()) for entry in CLASSES] == list(range(14))
    colours = np.array([entry["color"] for entry in CLASSES], float)
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=-1)
    assert distance[~np.eye(14, dtype=bool)].min() >= 60


def test_every_class_occurs_and_some_are_far_rarer_than_others() -> None:
    pixels = np.bincount(np.concatenate([render(index)[1].ravel() for index in range(100)]))
    assert len(pixels) == 14 and pixels.min() > 0
    assert pixels.max() / pixels.min() > 20


def test_two_sizes_show_one_scene() -> None:
    agreement, correlation = [], []
    for index in range(16):
        (small, ids), (large, large_ids) = render(index, size=64), render(index, size=128)
        reduced = cv2.resize(large, (64, 64), interpolation=cv2.INTER_AREA)
        agreement.append((ids == large_ids[1::2, 1::2]).mean())
        correlation.append(np.corrcoef(small.ravel(), reduced.ravel())[0, 1])
    assert min(agreement) > 0.9
    assert min(correlation) > 0.95


def test_layouts_are_those_of_the_first_edition() -> None:
    """Detail may fray an outline; what a scene shows, and where, stays as models and measurements have seen it."""
    sheet = cv2.imread(str(Path(__file__).with_name("scene_layouts.png")), cv2.IMREAD_GRAYSCALE)
    assert sheet is not None
    first = np.array([np.hsplit(row, 6) for row in np.vsplit(sheet, 4)]).reshape(24, 64, 64)
    agreement = [(render(index)[1] == layout).mean() for index, layout in enumerate(first)]
    assert np.mean(agreement) > 0.995 and min(agreement) > 0.98


def test_detail_finer_than_a_pixel_turns_into_its_mean() -> None:
    """A picture of 64 pixels is the one of 512 pixels reduced: neither darker nor rougher."""
    for index in (0, 2, 5, 8, 11, 20):
        small = render(index)[0].astype(np.float32)
        large = cv2.resize(render(index, size=512)[0], (64, 64), interpolation=cv2.INTER_AREA).astype(np.float32)
        assert np.abs(small - large).mean() < 9
        assert np.abs((small - large).mean((0, 1))).max() < 3


@pytest.mark.parametrize("label, least", [(scenes.GRASS, 5.5), (scenes.MOUNTAIN, 6.0)])
def test_large_pictures_have_fine_structure(label: int, least: float) -> None:
    """Deviation from a blur of 1.5 pixels at 512 pixels: what was drawn for 64 pixels is smooth there."""
    found = []
    for index in range(12):
        image, ids = render(index, size=512)
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        inside = ids == label
        if inside.mean() > 0.03:
            found.append((grey - cv2.GaussianBlur(grey, (0, 0), 1.5))[inside].std())
    assert np.mean(found) > least


def test_pictures_have_texture_and_daylight() -> None:
    """No flat flags and no black pictures: within a class there is variation, and brightness stays in the middle."""
    for index in range(12):
        image, labels = render(index)
        assert 40 < image.mean() < 220
        commonest = np.bincount(labels.ravel()).argmax()
        assert image[labels == commonest].std(0).max() > 4


def test_dataset_items() -> None:
    data = Scenes(5, seed=2, size=(32, 48), offset=10)
    image, ids = data[1]
    assert len(data) == 5
    assert image.shape == (3, 32, 48) and image.dtype == torch.float32 and image.abs().max() <= 1 and image.min() < 0
    assert ids.shape == (32, 48) and ids.dtype == torch.int64
    expected, labels = render(11, seed=2, size=(32, 48))
    assert torch.equal(((image + 1) * 127.5).round().byte(), torch.from_numpy(expected).permute(2, 0, 1))
    assert torch.equal(ids, torch.from_numpy(labels).long())


def test_dataset_ends_where_it_says_and_travels_to_workers() -> None:
    data = Scenes(3, size=16)
    for outside in (-1, 3):
        with pytest.raises(IndexError, match="3"):
            data[outside]
    assert torch.equal(pickle.loads(pickle.dumps(data))[2][0], data[2][0])
