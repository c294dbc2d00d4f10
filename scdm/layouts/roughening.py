"""Rough layouts made of exact ones, for training: what people do who paint quickly, at a strength that is known.

The *roughness* r of a layout says how far its outlines may be off: by r / 16 of the side, the *reach*. 0 is exact to the
pixel; at 1 whatever is smaller than an eighth of the side is an idea. A layout of n x n blocks has roughness 8 / n.

Each image draws a mix of errors, the first three of outlines and one of them at full strength: classes that outgrow others
and swallow what is small; smooth displacement; blocks and blobs; blobs of a neighbouring class; gaps between regions;
classes with holes and hatching. Smooth fields are sums of whole numbers that float32 holds exactly, so that a seed gives the
same layout on every processor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from .labels import LabelMap, instance_borders

REACH = 1 / 16  # of the side, at roughness 1
UNIT = 2**8  # 1, of the whole numbers that smooth fields are made of: float32 holds products of three
MOST_KNOTS = 32  # along the longer side, of smooth fields

Ids = NDArray[np.uint16]
Field = NDArray[np.float32]
Error = Callable[[Ids, np.random.Generator, float], Ids]


def roughened(
    labels: LabelMap,
    roughness: Sequence[float],
    seeds: Sequence[int],
    height: int | None = None,
    only: str | None = None,
) -> LabelMap:
    """The layouts as somebody paints them whose outlines are off by `roughness` / 16 of the side, and that roughness.

    Instance borders become those between what is painted, as `Model.prepared` derives them.

    roughness: of each layout, in [0, 1]; one of 0 stays as it is. seeds: one for each, which decides about it alone.
    height: of the whole layouts, where these are windows of them.
    only: a single one of the errors (`ERRORS`, `OMISSIONS`) at full strength, instead of a mix, to measure it.
    ValueError for a roughness out of range, and for an error that does not exist.
    """
    if only not in (None, *ERRORS, *OMISSIONS):
        raise ValueError(f"there is no error {only!r}: choose one of {', '.join([*ERRORS, *OMISSIONS])}")
    for one in roughness:
        if not 0 <= one <= 1:
            raise ValueError(f"roughness is a number from 0 to 1, not {one}")
    scale = 1 if height is None else height / labels.height
    rough = [
        ids if not one else torch.from_numpy(_roughened(ids.numpy(), labels.num_classes, one * scale, seed, only))
        for ids, one, seed in zip(labels.ids.cpu(), roughness, seeds, strict=True)
    ]
    ids = torch.stack(rough).to(labels.ids.device)
    known = torch.tensor(roughness, dtype=torch.float32, device=ids.device)
    edges = labels.edges
    if edges is not None:
        edges = torch.where((known > 0)[:, None, None, None], instance_borders(ids), edges)
    return replace(labels, ids=ids, edges=edges, roughness=known)


def _roughened(
    ids: NDArray[np.int64], mask_id: int, roughness: float, seed: int, only: str | None
) -> NDArray[np.int64]:
    """(H, W) -> (H, W)"""
    rng = np.random.default_rng(seed)
    present = np.append(np.flatnonzero(np.bincount(ids.ravel(), minlength=mask_id)[:mask_id]), mask_id)
    places = np.zeros(mask_id + 1, np.uint16)
    places[present] = np.arange(len(present))
    painted: Ids = places[ids]  # MASK is the highest
    reach = REACH * roughness * math.sqrt(ids.size)
    for error, strength in _mix(rng) if only is None else [(ERRORS[only], 1.0)] if only in ERRORS else []:
        painted = error(painted, rng, strength * reach)
    gaps = np.zeros(ids.shape, bool)
    for name, left_out in OMISSIONS.items():
        if name == only or (only is None and rng.random() < 0.25):
            gaps |= left_out(painted, rng, (0.2 + 0.8 * rng.random()) * reach)
    return np.where(gaps, mask_id, present[painted])


def _mix(rng: np.random.Generator) -> list[tuple[Error, float]]:
    """The errors of an image and their strengths, of which that of one is 1."""
    main = rng.choice(3, p=(0.2, 0.35, 0.45))
    strengths = [1.0 if place == main else rng.random() * (rng.random() < 0.35) for place in range(3)]
    if main < 2:  # a hand that misjudges sizes draws no exact outlines either, nor the other way round
        strengths[1 - main] = rng.uniform(0.4, 1)
    slips = rng.random() * (rng.random() < 0.25)
    mix = zip(ERRORS.values(), (strengths[0], slips, *strengths[1:]), strict=True)
    return [(error, strength) for error, strength in mix if strength]


# ---- errors: (H, W) ids, a generator and a reach in pixels -> (H, W) ids ----


def _outgrown(ids: Ids, rng: np.random.Generator, reach: float) -> Ids:
    """Classes grow over those of lower rank, which chance assigns; half of the time they shrink again: what lay between
    them, or was small, is gone."""
    order = rng.permutation(int(ids.max()) + 1).astype(np.uint16)
    radius = round(reach * rng.uniform(0.5, 1))
    ranks = _dilated(order[ids], radius)
    if rng.random() < 0.5:
        ranks = ~_dilated(~ranks, radius)
    return np.argsort(order).astype(np.uint16)[ranks]


def _slipped(ids: Ids, rng: np.random.Generator, reach: float) -> Ids:
    """Blobs show the class of a place some reaches away."""
    height, width = ids.shape
    down, right = (rng.uniform(-6, 6, 2) * reach).round().astype(int)
    rows, columns = (np.arange(height) + down).clip(0, height - 1), (np.arange(width) + right).clip(0, width - 1)
    blobs = _field(rng, ids.shape, rng.uniform(3, 6) * reach) > rng.uniform(0.3, 0.6)
    return np.where(blobs, ids[rows][:, columns], ids)


def _displaced(ids: Ids, rng: np.random.Generator, reach: float) -> Ids:
    """A smooth displacement: of large parts of the image, of outlines, and a tremor that hides their detail."""
    large, tremor = 0.5 * rng.random(), 0.4 * rng.random()
    waves = [
        (large, max(ids.shape) / rng.uniform(2, 5)),
        (1 - large - tremor, rng.uniform(1.5, 4) * reach),
        (tremor, rng.uniform(0.7, 2) * reach),
    ]

    def shift() -> Field:
        first, *others = (share * reach * _field(rng, ids.shape, spacing) for share, spacing in waves)
        return sum(others, start=first)

    return _picked(ids, shift(), shift())


def _in_cells(ids: Ids, rng: np.random.Generator, reach: float) -> Ids:
    """Cells of two reaches, square or rounded, each of the class at its centre or at another place in it."""
    if 2 * reach <= 1:
        return ids
    shifted, bent, scattered = rng.random(3) < 0.5
    inside, places = [], []
    for length in ids.shape:
        count = max(1, round(length / (2 * reach)))
        first = rng.integers(length) if shifted else 0  # in units of 1 / count of a pixel
        inside.append((np.arange(length), count, first, length))
        within = rng.random((count + 2, 1)) if scattered else 0.5
        start = (np.arange(-1, count + 1)[:, None] + within) * length - first
        places.append(np.floor(start / count).clip(0, length - 1).astype(np.int64)[:, 0])
    cells = []
    for axis, (pixels, count, first, length) in enumerate(inside):
        at = pixels[:, None] if axis == 0 else pixels[None]
        if bent:
            bend = rng.uniform(0.5, 1) * reach * _field(rng, ids.shape, rng.uniform(1.5, 4) * reach)
            at = at + np.rint(bend).astype(np.int64)
        cells.append(((at * count + first) // length + 1).clip(0, count + 1))
    return ids[places[0][cells[0]], places[1][cells[1]]]


# ---- what stays unpainted: as above -> (H, W) bool ----


def _gaps(ids: Ids, rng: np.random.Generator, reach: float) -> NDArray[np.bool_]:
    """Strokes that do not meet, along some of the outlines."""
    radius = max(1, round(reach * rng.uniform(0.1, 0.5)))
    some = _field(rng, ids.shape, max(ids.shape) / rng.uniform(2, 8)) > rng.uniform(-1, 0.5)
    return some & (_dilated(ids, radius) != ~_dilated(~ids, radius))


def _holes(ids: Ids, rng: np.random.Generator, reach: float) -> NDArray[np.bool_]:
    """Of some classes blots or lines of a hatching are left."""
    some = rng.random(int(ids.max()) + 1) < rng.uniform(0.2, 0.8)
    spacing = max(ids.shape) / rng.uniform(4, 20)
    if rng.random() < 0.5:
        left = _field(rng, ids.shape, spacing) < rng.uniform(-0.2, 0.5)
    else:
        down, right = rng.uniform(-1, 1, 2)
        height, width = ids.shape
        distance = (down * np.arange(height))[:, None] + right * np.arange(width)
        period = max(2.0, spacing) * max(abs(down), abs(right))
        left = np.mod(distance, period) < rng.uniform(0.4, 0.8) * period
    return some[ids] & ~left


ERRORS: dict[str, Error] = {  # in the order in which they happen
    "outgrown": _outgrown,
    "slips": _slipped,
    "displaced": _displaced,
    "cells": _in_cells,
}
OMISSIONS: dict[str, Callable[[Ids, np.random.Generator, float], NDArray[np.bool_]]] = {"gaps": _gaps, "holes": _holes}


# ---- what they are made of ----


def _dilated(ids: Ids, radius: int) -> Ids:
    """The highest id within an octagon of that radius, in pixels."""
    square = round((math.sqrt(2) - 1) * radius)
    for shape, times in ((cv2.MORPH_RECT, square), (cv2.MORPH_CROSS, radius - square)):
        if times:
            ids = cv2.dilate(ids, cv2.getStructuringElement(shape, (3, 3)), iterations=times).astype(
                np.uint16, copy=False
            )
    return ids


def _picked(ids: Ids, down: Field, right: Field) -> Ids:
    """Each pixel's id from so many pixels away, or the nearest in the image."""
    height, width = ids.shape
    rows = (np.arange(height)[:, None] + np.rint(down).astype(np.int32)).clip(0, height - 1)
    columns = (np.arange(width) + np.rint(right).astype(np.int32)).clip(0, width - 1)
    return ids.ravel()[rows * width + columns]


def _field(rng: np.random.Generator, shape: tuple[int, ...], spacing: float) -> Field:
    """(H, W) in [-1, 1]: value noise, uniform at knots that are `spacing` pixels apart and smooth between them."""
    spacing = max(spacing, max(shape) / MOST_KNOTS, 1.0)
    (top, down), (left, right) = (_between_knots(length, spacing) for length in shape)
    knots = rng.integers(-UNIT, UNIT + 1, (top[-1] + 2, left[-1] + 2)).astype(np.float32)
    rows = knots[:, left] * (UNIT - right) + knots[:, left + 1] * right
    down = down[:, None]
    return (rows[top] * (UNIT - down) + rows[top + 1] * down) * np.float32(1 / UNIT**3)


def _between_knots(length: int, spacing: float) -> tuple[NDArray[np.int64], Field]:
    """Of each pixel of a line: the knot before it, and how far it is to the next one, a whole number of UNITs."""
    at = (np.arange(length) + 0.5) / spacing
    before = at.astype(np.int64)
    t = at - before
    return before, np.rint(UNIT * t * t * (3 - 2 * t)).astype(np.float32)
