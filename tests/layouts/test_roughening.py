"""Rough layouts: how far outlines are off, what may happen to a layout, and that a seed alone decides."""

import hashlib

import cv2
import numpy as np
import pytest
import torch

from scdm.datasets.scenes import render
from scdm.layouts.labels import LabelMap, instance_borders
from scdm.layouts.roughening import roughened

SIZE = 128
SCENES = LabelMap(torch.stack([torch.from_numpy(render(i, 1, SIZE)[1]).long() for i in range(16)]), 14)


def rough(labels: LabelMap, roughness: float, first: int = 0) -> LabelMap:
    return roughened(labels, [roughness] * labels.batch, range(first, first + labels.batch))


def off(exact: LabelMap, made: LabelMap) -> float:
    """Share of the side by which outlines of `made` miss those of `exact`: the median pixel of the median layout."""
    distances = []
    for ids, painted in zip(exact.ids, made.ids, strict=True):
        outlines = instance_borders(ids[None])[0, 0].numpy()
        to_next = cv2.distanceTransform((~outlines).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        borders = instance_borders(painted[None])[0, 0] & (painted != made.mask_id)
        distances.append(np.median(to_next[borders.numpy()]) / ids.shape[0])
    return float(np.median(distances))


def test_roughness_0_changes_nothing():
    made = rough(SCENES, 0.0)
    assert torch.equal(made.ids, SCENES.ids) and made.roughness.tolist() == [0.0] * 16


def test_outlines_are_off_in_proportion_to_the_roughness_at_every_size():
    for labels in (SCENES, SCENES.resized(320, 320), SCENES[:8].resized(96, 192)):
        errors = [off(labels, rough(labels, roughness)) for roughness in (0.25, 0.5, 1.0)]
        assert errors == sorted(errors)
        for roughness, error in zip((0.25, 0.5, 1.0), errors, strict=True):
            assert 0.15 < error / (roughness / 16) < 0.8, (roughness, error)


def test_layouts_stay_recognisable_and_many_have_unpainted_parts():
    made = torch.cat([rough(SCENES, 0.5, first).ids for first in range(0, 64, 16)])
    exact = SCENES.ids.repeat(4, 1, 1)
    painted = made != 14
    assert ((made == exact) & painted).sum() > 0.75 * painted.sum()
    open_ones = (~painted).float().mean((1, 2)) > 0.01
    assert 0.2 < open_ones.float().mean() < 0.7


def test_no_class_appears_that_the_layout_has_not():
    for one in torch.cat([rough(SCENES, 1.0, 16 * i).ids for i in range(3)]).view(3, 16, -1).transpose(0, 1):
        assert int(one.max()) <= 14
    for exact, made in zip(SCENES.ids, rough(SCENES, 1.0).ids, strict=True):
        assert set(made.unique().tolist()) <= {*exact.unique().tolist(), 14}


def test_a_seed_decides_wherever_the_layout_lies_in_a_batch():
    whole = roughened(SCENES, [i / 15 for i in range(16)], range(16))
    alone = roughened(SCENES[5:6], [5 / 15], [5])
    assert torch.equal(whole.ids[5], alone.ids[0]) and whole.roughness[5] == alone.roughness[0]
    assert not torch.equal(rough(SCENES, 0.5, 100).ids, rough(SCENES, 0.5).ids)


def test_the_same_layout_on_every_processor():
    """Of a layout of whole numbers: what scenes show depends on the processor's last digits."""
    y, x = torch.arange(SIZE)[:, None], torch.arange(SIZE)
    ids = ((y * y + 3 * x * x) // 2500 + (x > y) + 5 * (x // 40 == y // 40)) % 14
    made = roughened(LabelMap(ids.expand(16, -1, -1), 14), [i / 15 for i in range(16)], range(16))
    assert hashlib.sha256(made.ids.numpy().astype(np.uint8).tobytes()).hexdigest()[:16] == "88e9754970e4f68e"


@pytest.mark.parametrize("ids", [torch.full((1, 32, 32), 3), torch.full((1, 32, 32), 14), torch.zeros(1, 1, 1).long()])
def test_layouts_of_one_class_none_or_one_pixel(ids: torch.Tensor):
    for seed in range(20):
        made = roughened(LabelMap(ids, 14), [1.0], [seed])
        assert set(made.ids.unique().tolist()) <= {int(ids.max()), 14}


def test_many_classes():
    ids = torch.arange(1000).repeat_interleave(64).view(1, 250, 256)
    assert rough(LabelMap(ids, 1000), 0.3).ids.max() > 900


def test_borders_are_those_of_what_is_painted():
    edges = torch.zeros(16, 1, SIZE, SIZE, dtype=torch.bool)
    edges[:, :, 5] = True  # between instances of one class, which a class map does not show
    labels = LabelMap(SCENES.ids, 14, edges)
    made = roughened(labels, [0.0] * 8 + [0.5] * 8, range(16))
    assert made.edges is not None and torch.equal(made.edges[:8], edges[:8])
    assert torch.equal(made.edges[8:], instance_borders(made.ids[8:]))


@pytest.mark.parametrize("roughness", [-0.1, 1.1, float("nan")])
def test_a_roughness_out_of_range_is_refused(roughness: float):
    with pytest.raises(ValueError, match="roughness is a number from 0 to 1, not"):
        roughened(SCENES[:1], [roughness], [0])
