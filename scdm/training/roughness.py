"""Fitting what estimates how rough a layout is (`layouts.roughness`), to layouts that were made rough at known strengths."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor

from ..layouts.labels import LabelMap
from ..layouts.patterns import sparse
from ..layouts.roughening import roughened
from ..layouts.roughness import NAMES, Measures, RoughnessEstimator, measures, standard

HIDDEN = 16
STEPS = 500
RATE = 0.01
DECAY = 1.0
VARIANTS = 8  # of each layout
SIMPLE = 0.25  # share of variants that simple shapes are drawn in
TRUST = 3.0  # what a roughness that is taken for too high costs: neat outlines are lost, where others were only kept


class Fitted(NamedTuple):
    """Rows of measures (N, M) and the roughness (N,) that each belongs to."""

    rows: Measures
    roughness: NDArray[np.float32]


def whole(labels: LabelMap, rng: np.random.Generator) -> LabelMap:
    return labels


def scribbled(labels: LabelMap, rng: np.random.Generator) -> LabelMap:
    """Sparse scribbles of it, as `sparse_share` has it."""
    return sparse(labels, rng.integers(2**63, size=labels.batch).tolist())


def begun(labels: LabelMap, rng: np.random.Generator) -> LabelMap:
    """Not finished: all but a rectangle is unpainted."""
    where = torch.ones(labels.ids.shape, dtype=torch.bool)
    for one in where:
        (top, bottom), (left, right) = (sorted(rng.integers(0, side + 1, 2)) for side in one.shape)
        one[top:bottom, left:right] = False
    return labels.masked(where)


UNFINISHED: dict[str, Callable[[LabelMap, np.random.Generator], LabelMap]] = {
    "whole": whole,
    "scribbled": scribbled,
    "begun": begun,
}


def simple(labels: LabelMap, rng: np.random.Generator) -> LabelMap:
    """A neat drawing of the classes of a layout (of batch 1), as tools for boxes and discs make it: up to six shapes on
    level bands or on the layout. Straight sides make no layout rough, and scenes may have few of them."""
    classes = labels.ids[labels.ids != labels.mask_id].unique().tolist() or [0]
    height, width = labels.height, labels.width
    picture = Image.fromarray(labels.ids[0].numpy().astype(np.int32), "I")
    draw = ImageDraw.Draw(picture)
    if rng.random() < 0.6:
        tops = [0, *sorted(rng.integers(0, height, rng.integers(0, 4)).tolist())]
        bands = rng.permutation(np.resize(classes, len(tops))).tolist()
        for top, fill in zip(tops, bands, strict=True):
            draw.rectangle((0, top, width, height), fill=fill)
    for _ in range(rng.integers(0, 7)):
        sides = rng.uniform(0.04, 0.6, 2) * (width, height)
        left, top = rng.uniform(-0.5, 1, 2) * (width, height)
        corners = (left, top, left + sides[0], top + sides[1])
        fill, kind = int(rng.choice(classes)), rng.random()
        if kind < 0.6:
            draw.rectangle(corners, fill=fill)
        elif kind < 0.8:
            draw.ellipse(corners, fill=fill)
        else:
            draw.polygon((left, corners[3], left + sides[0] / 2, top, corners[2], corners[3]), fill=fill)
    return LabelMap(torch.from_numpy(np.array(picture).astype(np.int64))[None], labels.num_classes)


def examples(labels: LabelMap, seed: int) -> Fitted:
    """`VARIANTS` of a layout (of batch 1): a quarter of them exact, a mix of errors or cells alone, some unfinished, some of
    simple shapes."""
    return _collected(_variants(labels, np.random.default_rng(seed)))


def joined(parts: Iterable[Fitted]) -> Fitted:
    rows, roughness = zip(*parts, strict=True)
    return Fitted(np.concatenate(rows), np.concatenate(roughness))


def _variants(labels: LabelMap, rng: np.random.Generator) -> Iterator[tuple[LabelMap, float]]:
    for _ in range(VARIANTS):
        roughness = 0.0 if rng.random() < 0.25 else 1 - rng.random()
        only = "cells" if rng.random() < 0.2 else None
        true = simple(labels, rng) if rng.random() < SIMPLE else labels
        rough = roughened(true, [roughness], [int(rng.integers(2**63))], only=only)
        yield UNFINISHED[rng.choice([*UNFINISHED], p=(0.6, 0.25, 0.15))](rough, rng), roughness


class Trial(NamedTuple):
    """What an estimator is evaluated on: layouts with one error or (None) the mix, of roughness 0 or any, unfinished as
    `left` names it, or of simple shapes instead."""

    only: str | None = None
    exact: bool = False
    left: str = "whole"
    shapes: bool = False

    def __call__(self, labels: LabelMap, seed: int) -> Fitted:
        """A variant of a layout (of batch 1)."""
        rng = np.random.default_rng(seed)
        roughness = 0.0 if self.exact else 1 - rng.random()
        true = simple(labels, rng) if self.shapes else labels
        rough = roughened(true, [roughness], [int(rng.integers(2**63))], only=self.only)
        return _collected([(UNFINISHED[self.left](rough, rng), roughness)])


def _collected(variants: Iterable[tuple[LabelMap, float]]) -> Fitted:
    pairs = [(measures(labels.ids[0].numpy(), labels.mask_id), roughness) for labels, roughness in variants]
    known = [(row, roughness) for row, roughness in pairs if row is not None]  # of the others nothing can be said
    rows = np.stack([row for row, _ in known]) if known else np.zeros((0, len(NAMES)), np.float32)
    return Fitted(rows, np.array([roughness for _, roughness in known], np.float32))


def fitted(data: Fitted, seed: int = 0, steps: int = STEPS) -> RoughnessEstimator:
    """The estimator of least absolute error on `data`, errors upwards `TRUST` times: of all roughnesses that a layout may
    have, the quantile 1 / (1 + TRUST) (Koenker & Bassett 1978). ValueError for fewer than 100 examples."""
    if len(data.rows) < 100:
        raise ValueError(f"{len(data.rows)} layouts with outlines are too few to fit an estimator: give more")
    mean, deviation = data.rows.mean(0), np.maximum(data.rows.std(0), 1e-3)
    score = torch.from_numpy(standard(data.rows, mean, deviation)).float()
    target = torch.from_numpy(data.roughness)
    generator = torch.Generator().manual_seed(seed)
    hidden = (torch.randn(HIDDEN, len(NAMES) + 1, generator=generator) / len(NAMES) ** 0.5).requires_grad_()
    out = (torch.randn(HIDDEN + 1, generator=generator) / HIDDEN).requires_grad_()
    optimizer = torch.optim.AdamW([hidden, out], lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        some = torch.randint(len(score), (min(len(score), 1024),), generator=generator)
        found = _estimate(score[some], hidden, out)
        error = torch.nn.functional.smooth_l1_loss(found, target[some], beta=0.05, reduction="none")
        loss = (error * torch.where(found > target[some], TRUST, 1.0)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return RoughnessEstimator(
        _numbers(mean), _numbers(deviation), tuple(map(_numbers, hidden.detach())), _numbers(out.detach())
    )


def _estimate(score: Tensor, hidden: Tensor, out: Tensor) -> Tensor:
    return torch.tanh(score @ hidden[:, :-1].T + hidden[:, -1]) @ out[:-1] + out[-1]


def _numbers(values: Iterable[Any]) -> tuple[float, ...]:
    return tuple(round(float(value), 5) for value in values)
