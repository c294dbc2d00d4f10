"""The noisy layouts of the SCDM benchmark: downsampled, borders removed, pixels removed at random.

Where the benchmark writes the data set's "unlabelled", MASK is written. Instance borders stay as they are: the
benchmark spoils the class map alone. Where borders come from the classes, derive them anew (`instance_borders`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from .labels import LabelMap, instance_borders


def downsampled(labels: LabelMap, height: int = 64, width: int = 64) -> LabelMap:
    """Nearest neighbour to `height` x `width` whatever the aspect, and back to the original size."""
    small = resampled(labels.ids, height, width)
    return replace(labels, ids=resampled(small, labels.height, labels.width))


def edges_removed(labels: LabelMap, radius: int = 2, borders: Tensor | None = None) -> LabelMap:
    """MASK within L1 distance `radius` (inclusive, in pixels) of an instance border.

    borders: (B, 1, H, W) bool; by default those of the layout, or else the borders between classes.
    """
    if borders is None:
        borders = instance_borders(labels.ids) if labels.edges is None else labels.edges
    if borders.shape != (labels.batch, 1, labels.height, labels.width):
        raise ValueError(f"borders are {tuple(borders.shape)}, not {(labels.batch, 1, labels.height, labels.width)}")
    near = borders[:, 0] > 0  # (B, H, W)
    for _ in range(radius):  # an L1 ball is a cross, dilated by crosses
        grown = near.clone()
        grown[:, 1:] |= near[:, :-1]
        grown[:, :-1] |= near[:, 1:]
        grown[:, :, 1:] |= near[:, :, :-1]
        grown[:, :, :-1] |= near[:, :, 1:]
        near = grown
    return labels.masked(near)


def random_removed(labels: LabelMap, u: Tensor, share: float = 0.1) -> LabelMap:
    """MASK where `u`, uniform on [0, 1) and (B, H, W), is below `share`."""
    return labels.masked(u < share)


def corrupt(labels: LabelMap, kind: str, seed: int) -> LabelMap:
    """The corruption called `kind` with the benchmark's settings; the same seed gives the same layout."""
    if kind not in CORRUPTIONS:
        raise ValueError(f"there is no corruption {kind!r}: choose one of {', '.join(CORRUPTIONS)}")
    return CORRUPTIONS[kind](labels, torch.Generator().manual_seed(seed))


CORRUPTIONS: dict[str, Callable[[LabelMap, torch.Generator], LabelMap]] = {
    "downsample": lambda labels, _: downsampled(labels),
    "edges": lambda labels, _: edges_removed(labels),
    "random": lambda labels, generator: random_removed(labels, _uniform(labels, generator)),
}


def resampled(ids: Tensor, height: int, width: int) -> Tensor:
    """(..., H, W) -> (..., height, width), nearest neighbour as Pillow does it (not as `LabelMap.resized`)."""
    rows = torch.from_numpy(_nearest(ids.shape[-2], height)).to(ids.device)
    columns = torch.from_numpy(_nearest(ids.shape[-1], width)).to(ids.device)
    return ids[..., rows[:, None], columns]


def _nearest(source: int, target: int) -> np.ndarray:
    """(target,) int64 source indices: floor(p_i), p_0 = s/2, p_i = p_(i-1) + s with s = source / target.

    Pillow sums the steps one by one in double precision, and where p_i is an integer its rounding errors decide.
    """
    step = source / target
    steps = np.full(target, step)
    steps[0] = 0.5 * step
    return np.minimum(np.add.accumulate(steps).astype(np.int64), source - 1)


def _uniform(labels: LabelMap, generator: torch.Generator) -> Tensor:
    u = torch.rand(labels.ids.shape, dtype=torch.float64, generator=generator)
    return u.to(labels.ids.device)
