"""Clean layouts made rough: the SCDM benchmark's three corruptions, scribbled patterns, and label diffusion itself.

Where the benchmark writes the data set's "unlabelled", MASK is written. Instance borders stay as they are: the
benchmark spoils the class map alone. Where borders come from the classes, derive them anew (`instance_borders`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..layouts.labels import LabelMap, instance_borders
from ..layouts.patterns import sparse
from .label_diffusion import CLASSWISE_STEPS, LabelDiffusion
from .noise import fresh_label_noise

MOST_SIZE, MOST_RADIUS, MOST_SEED = 8192, 64, 2**63 - 1


@dataclass(frozen=True)
class Corruption:
    """A way to spoil a layout, and what can be said about how much.

    apply: (labels, a seed for each image, **strength) -> labels. ValueError for a strength that is out of range.
    strength: the names of its settings, and their values: those of downsample, edges and random are the benchmark's.
    """

    apply: Callable[..., LabelMap]
    strength: Mapping[str, Any]


def corrupt(labels: LabelMap, kind: str, seed: int, **strength: Any) -> LabelMap:
    """The layout as the corruption called `kind` leaves it, with the benchmark's settings where `strength` names no other.

    The first image is that of `seed`, 0 to 2^63 - 1, and the next have the next seeds: an image's seed alone decides about
    it. ValueError names what does not exist, or is out of range.
    """
    if kind not in CORRUPTIONS:
        raise ValueError(f"there is no corruption {kind!r}: choose one of {', '.join(CORRUPTIONS)}")
    if not 0 <= seed <= MOST_SEED:
        raise ValueError(f"a seed is a whole number from 0 to {MOST_SEED}, not {seed}")
    corruption = CORRUPTIONS[kind]
    for name in strength:
        if name not in corruption.strength:
            raise ValueError(f"corruption {kind} has no setting {name!r}, but {' and '.join(corruption.strength)}")
    seeds = [(seed + i) & MOST_SEED for i in range(labels.batch)]
    return corruption.apply(labels, seeds, **{**corruption.strength, **strength})


def downsampled(labels: LabelMap, height: int = 64, width: int = 64) -> LabelMap:
    """Nearest neighbour to `height` x `width` whatever the aspect, and back to the original size."""
    if not (1 <= height <= MOST_SIZE and 1 <= width <= MOST_SIZE):
        raise ValueError(f"layouts are downsampled to 1 to {MOST_SIZE} pixels, not to {height} x {width}")
    small = resampled(labels.ids, height, width)
    return replace(labels, ids=resampled(small, labels.height, labels.width))


def edges_removed(labels: LabelMap, radius: int = 2) -> LabelMap:
    """MASK within L1 distance `radius` (inclusive, in pixels) of an instance border.

    Of a layout that does not know its borders, those between classes are taken.
    """
    if not 0 <= radius <= MOST_RADIUS:
        raise ValueError(f"edges are removed within 0 to {MOST_RADIUS} pixels, not {radius}")
    borders = instance_borders(labels.ids) if labels.edges is None else labels.edges
    near = borders[:, 0]  # (B, H, W)
    for _ in range(radius):  # an L1 ball is a cross, dilated by crosses
        grown = near.clone()
        grown[:, 1:] |= near[:, :-1]
        grown[:, :-1] |= near[:, 1:]
        grown[:, :, 1:] |= near[:, :, :-1]
        grown[:, :, :-1] |= near[:, :, 1:]
        near = grown
    return labels.masked(near)


def random_removed(labels: LabelMap, u: Tensor, share: float = 0.1) -> LabelMap:
    """MASK where `u`, uniform on [0, 1) and (B, H, W), is below `share`, which is in [0, 1)."""
    if not 0 <= share < 1:
        raise ValueError(f"the share of the pixels to remove must be at least 0 and below 1, not {share:g}")
    return labels.masked((u < share).to(labels.ids.device))


def diffused(labels: LabelMap, seeds: Sequence[int], step: int = 500, rates: Sequence[float] | None = None) -> LabelMap:
    """The layout as a model sees it at the original `step`, with class `rates` or, without, all classes alike."""
    if not 0 <= step < CLASSWISE_STEPS:
        raise ValueError(f"the step must be one of 0 to {CLASSWISE_STEPS - 1}, not {step}")
    t = torch.full((labels.batch,), step, device=labels.ids.device)
    diffusion = LabelDiffusion(None if rates is None else tuple(rates), tuple(range(CLASSWISE_STEPS)))
    return diffusion(labels, t, fresh_label_noise(seeds)(t, labels.ids.shape))


def _random_removed(labels: LabelMap, seeds: Sequence[int], share: float) -> LabelMap:
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    size = labels.ids.shape[1:]
    u = torch.stack([torch.rand(size, dtype=torch.float64, generator=generator) for generator in generators])
    return random_removed(labels, u, share)


CORRUPTIONS: dict[str, Corruption] = {
    "downsample": Corruption(lambda labels, _, size: downsampled(labels, size, size), {"size": 64}),
    "edges": Corruption(lambda labels, _, radius: edges_removed(labels, radius), {"radius": 2}),
    "random": Corruption(_random_removed, {"share": 0.1}),
    "patterns": Corruption(sparse, {"share": 0.72}),
    "diffuse": Corruption(diffused, {"step": 500, "rates": None}),
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
