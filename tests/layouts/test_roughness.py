"""Measures of outlines and the estimate made of them: what they see, and what must not fool them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from scdm.datasets.scenes import render
from scdm.files.config import from_dict, to_dict
from scdm.layouts.labels import LabelMap
from scdm.layouts.roughness import NAMES, RoughnessEstimator, measures

COUNT = len(NAMES)
SCENE = torch.from_numpy(render(3, 1, 64)[1].astype(np.int64))
ESTIMATOR = RoughnessEstimator(
    (0.0,) * COUNT, (1.0,) * COUNT, ((0.1,) * (COUNT + 1), (-0.2,) * (COUNT + 1)), (0.3, 0.1, 0.5)
)


def found(ids: torch.Tensor) -> dict[str, float]:
    row = measures(ids.numpy(), 14)
    assert row is not None
    return dict(zip(NAMES, row.tolist(), strict=True))


def test_every_measure_has_a_name_and_is_a_number():
    for size in ((64, 64), (9, 200), (2, 2), (1, 7)):
        ids = torch.arange(size[0] * size[1]).view(size) % 14
        assert len(found(ids)) == COUNT and np.isfinite([*found(ids).values()]).all()


def test_blocks_run_straight_and_their_cells_change_nothing():
    blocks = (torch.arange(64).view(8, 8) % 5).repeat_interleave(16, 0).repeat_interleave(16, 1)
    seen, natural = found(blocks), found(SCENE.repeat_interleave(2, 0).repeat_interleave(2, 1))
    assert seen["upright straight for 8"] > 0.9 > natural["upright straight for 8"]
    assert seen["changed by cells 8"] == 0 < natural["changed by cells 8"]


def test_what_is_unpainted_has_no_outlines_of_its_own():
    """A frame of nothing around a layout changes what is measured of its outlines no more than the size does."""
    ids = torch.full((64, 64), 14)
    ids[:, :32] = 3
    assert measures(ids.numpy(), 14) is None, "only MASK meets the one class"
    assert measures(torch.full((8, 8), 14).numpy(), 14) is None


def test_an_estimate_is_a_number_from_0_to_1_and_nan_where_nothing_is_known():
    plain = torch.zeros_like(SCENE)
    estimates = ESTIMATOR(LabelMap(torch.stack([SCENE, plain]), 14))
    assert estimates.dtype == torch.float32 and 0 <= estimates[0] <= 1 and estimates[1].isnan()


def test_an_estimator_survives_a_file():
    assert from_dict(RoughnessEstimator, to_dict(ESTIMATOR)) == ESTIMATOR


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"mean": (0.0,) * 3}, "has weights for"),
        ({"out": (0.0,)}, "has weights for"),
        ({"hidden": ((0.0,) * (COUNT + 1),) * 1000, "out": (0.0,) * 1001}, "has weights for"),
        ({"hidden": (), "out": (0.5,)}, "has weights for"),
        ({"mean": (float("nan"),) * COUNT}, "finite weights"),
        ({"deviation": (0.0,) * COUNT}, "positive deviations"),
    ],
)
def test_weights_that_cannot_be_are_refused(changes: dict[str, tuple[float, ...]], sentence: str):
    with pytest.raises(ValueError, match=sentence):
        replace(ESTIMATOR, **changes)
