"""How rough a layout is, estimated from its outlines alone: a small network on some forty measures of them.

It is fitted to layouts that `roughening` makes of exact ones (training/fit_roughness.py), and is part of a model's file.
What is unpainted says little: measures are taken of outlines between classes, in proportion to how many there are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .labels import LabelMap

SCALES = (128, 64, 32, 16, 8)  # parts of the side, whose lengths the measures are taken at
CLOSE = (64, 32, 16)
MOST_WEIGHTS = 10_000
MOST_VALUE = 4.0  # of a measure, in standard deviations: what lies beyond was never seen
TINY = 1e-6

Measures = NDArray[np.float32]
Plane = NDArray[np.uint8]


@dataclass(frozen=True)
class RoughnessEstimator:
    """(H, W) layouts -> roughness in [0, 1]: a perceptron with a hidden layer, of the measures' standard scores.

    mean, deviation: (M,) of the measures. hidden: (h, M + 1) and out: (h + 1,), weights with the bias last.
    ValueError for weights that do not fit the measures, or are not finite.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    hidden: tuple[tuple[float, ...], ...]
    out: tuple[float, ...]

    def __post_init__(self) -> None:
        count = len(NAMES)
        rows = [self.mean, self.deviation, *self.hidden, self.out]
        fits = (
            len(self.mean) == len(self.deviation) == count
            and all(len(row) == count + 1 for row in self.hidden)
            and self.hidden  # without a unit, there is no plane of weights to multiply by
            and len(self.out) == len(self.hidden) + 1
            and sum(map(len, rows)) <= MOST_WEIGHTS
        )
        if not fits:
            raise ValueError(
                f"an estimator of roughness has weights for {count} measures, these are others: update scdm"
            )
        if not all(math.isfinite(value) for row in rows for value in row) or min(self.deviation) <= 0:
            raise ValueError("an estimator of roughness has finite weights and positive deviations")

    def __call__(self, labels: LabelMap) -> Tensor:
        """(B,) float32 on the layout's device; nan for a layout without an outline, of which nothing can be said."""
        found = [measures(ids, labels.mask_id) for ids in labels.ids.cpu().numpy()]
        estimates = [torch.nan if row is None else self.of_measures(row[None])[0] for row in found]
        return torch.tensor(estimates, dtype=torch.float32, device=labels.ids.device)

    def of_measures(self, rows: Measures) -> NDArray[np.float64]:
        """(N, M) -> (N,)"""
        score = standard(rows, np.array(self.mean), np.array(self.deviation))
        hidden = np.array(self.hidden)
        h = np.tanh((score[:, None] * hidden[:, :-1]).sum(-1) + hidden[:, -1])  # sums: the same on every BLAS
        return ((h * self.out[:-1]).sum(-1) + self.out[-1]).clip(0, 1)


def standard(rows: Measures, mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    return ((rows - mean) / deviation).clip(-MOST_VALUE, MOST_VALUE)


NAMES = (
    "size",
    "outlines",
    *(f"{axis} straight for {scale}" for axis in ("upright", "level") for scale in SCALES),
    "upright gathered",
    "level gathered",
    *(f"outlines at {scale}" for scale in SCALES),
    *(f"changed by cells {scale}" for scale in SCALES),
    *(f"close {scale}" for scale in CLOSE),
    "corners",
    "steps",
    "unpainted",
    "unpainted rim",
    *(f"rounded {scale}" for scale in CLOSE),
)


def measures(ids: NDArray[np.int64], mask_id: int) -> Measures | None:
    """(H, W) -> (M,), see `NAMES`; None if no two classes meet."""
    side = math.sqrt(ids.size)
    upright, level = _meetings(ids, mask_id)
    count = int(upright.sum()) + int(level.sum())
    if not count:
        return None
    painted = ids != mask_id
    rim = int((painted[:, 1:] != painted[:, :-1]).sum()) + int((painted[1:] != painted[:-1]).sum())
    values = [math.log2(side), math.log2(count / side)]
    for axis, plane in enumerate((upright, level)):
        values += [_straight(plane, axis, max(2, round(side / scale))) for scale in SCALES]
    values += [_gathered(upright.sum(0)), _gathered(level.sum(1))]
    values += [_outlines_at(ids, mask_id, side / scale) - values[1] for scale in SCALES]
    values += [_changed_by_cells(ids, painted, side / scale) * side / count for scale in SCALES]
    near = _distance(upright, level)
    values += [float((near[painted] < side / scale).mean()) * side / count for scale in CLOSE]
    values += list(_turns(upright, level, count))
    values += [1 - float(painted.mean()), math.log2((rim + 1) / count)]
    values += [_rounded_away(ids, painted, max(1, round(side / scale / 2))) * side / count for scale in CLOSE]
    return np.array(values, np.float32)


def _meetings(ids: NDArray[np.int64], mask_id: int) -> tuple[Plane, Plane]:
    """Where two classes meet side by side (H, W - 1), and one above the other (H - 1, W)."""
    painted = ids != mask_id
    beside = (ids[:, 1:] != ids[:, :-1]) & painted[:, 1:] & painted[:, :-1]
    above = (ids[1:] != ids[:-1]) & painted[1:] & painted[:-1]
    return beside.astype(np.uint8), above.astype(np.uint8)


def _straight(plane: Plane, axis: int, length: int) -> float:
    """Share of the outlines that run straight for `length` pixels along an axis."""
    if plane.shape[axis] < length:
        return 0.0
    begun = 1 - _any_of(1 - plane, length, axis)  # where a run of `length` begins
    kept = _any_of(np.pad(begun, [(length - 1, length - 1) if own == axis else (0, 0) for own in (0, 1)]), length, axis)
    return float(kept.sum() / (int(plane.sum()) + 1))


def _any_of(plane: Plane, length: int, axis: int) -> Plane:
    """Of all runs of `length` pixels along an axis, (h, w) of 0 and 1 -> whether one of them is 1; in log2(length) steps."""
    plane = plane.swapaxes(0, axis)
    reach = 1
    while reach < length:
        step = min(reach, length - reach)
        plane = plane[:-step] | plane[step:]
        reach += step
    return plane.swapaxes(0, axis)


def _any_near(plane: Plane, radius: int, shape: tuple[int, int]) -> Plane:
    """Whether any is 1 in the square of a radius around each pixel of (H, W): of a plane of pixels, or of what lies between
    them and is one shorter."""
    plane = np.pad(plane, radius)
    for axis in (0, 1):
        plane = _any_of(plane, plane.shape[axis] - shape[axis] + 1, axis)
    return plane


def _gathered(lines: NDArray[np.int64]) -> float:
    """How few lines the outlines lie on: log2 of the lines that would hold them evenly, of all lines."""
    total = float(lines.sum())
    return math.log2(max(total, 1.0) ** 2 / max(float((lines.astype(np.float64) ** 2).sum()), 1.0) / max(len(lines), 1))


def _outlines_at(ids: NDArray[np.int64], mask_id: int, step: float) -> float:
    """log2 of the length of outlines as a grid of that step sees them, in sides."""
    rows, columns = (_centres(length, step) for length in ids.shape)
    upright, level = _meetings(ids[rows][:, columns], mask_id)
    return math.log2((int(upright.sum()) + int(level.sum()) + 0.5) / math.sqrt(len(rows) * len(columns)))


def _changed_by_cells(ids: NDArray[np.int64], painted: NDArray[np.bool_], step: float) -> float:
    """Share of what is painted that a layout of equal cells, of about that side, would show otherwise."""
    inside = []
    for length in ids.shape:
        centres = _centres(length, step)
        inside.append(centres[np.arange(length) * len(centres) // length])
    return float(((ids[inside[0]][:, inside[1]] != ids) & painted).mean())


def _centres(length: int, step: float) -> NDArray[np.int64]:
    count = max(1, round(length / step))
    return (2 * np.arange(count) + 1) * length // (2 * count)


def _distance(upright: Plane, level: Plane) -> NDArray[Any]:
    """(H, W) pixels from each pixel to the next outline."""
    height, width = upright.shape[0], level.shape[1]
    away = np.full((height, width), np.float32(height + width))
    away[:, 1:][upright > 0] = 0
    away[1:][level > 0] = 0
    for axis in (0, 1):  # the distance in steps is found along one axis after the other
        places = np.arange(away.shape[axis], dtype=np.float32).reshape((-1, 1) if axis == 0 else (1, -1))
        before = np.minimum.accumulate(away - places, axis) + places
        after = np.flip(np.minimum.accumulate(np.flip(away + places, axis), axis), axis) - places
        away = np.minimum(before, after)
    return away


def _turns(upright: Plane, level: Plane, count: int) -> tuple[float, float]:
    """Of the outlines' pixels: those at a corner, and those at a corner whose next one is but a pixel away."""
    if not upright.size or not level.size:
        return 0.0, 0.0
    corners = (upright[1:] | upright[:-1]) & (level[:, 1:] | level[:, :-1])
    again = int((corners[1:, 1:] & corners[:-1, :-1]).sum()) + int((corners[1:, :-1] & corners[:-1, 1:]).sum())
    return float(corners.sum()) / count, again / count


def _rounded_away(ids: NDArray[np.int64], painted: NDArray[np.bool_], radius: int) -> float:
    """Share of what is painted that belongs to parts thinner than two radii."""
    changes = [np.not_equal(ids[:, 1:], ids[:, :-1]), np.not_equal(ids[1:], ids[:-1])]
    mixed = np.zeros(ids.shape, np.uint8)
    for change in changes:
        mixed |= _any_near(change.astype(np.uint8), radius, ids.shape)
    thick = _any_near(1 - mixed, radius, ids.shape)  # near a pixel that has nothing but its own class around it
    return float(((thick == 0) & painted).mean())
