"""Broadleaf trees and conifers."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from .canvas import SNOW, TREE, Array, Canvas, ramp, rgb
from .things import (
    FRESH_SNOW,
    cast_shadow,
    frayed,
    halved,
    material,
    over,
    repeated,
    smooth_noise,
    stamped,
    stands_on,
)


def paint_broadleaf(canvas: Canvas, x: float, y: float, size: float) -> None:
    lobes = canvas.rng.random((5, 3), np.float32)
    cast_shadow(canvas, x, y, 0.7 * size, size, 0.12 * size)
    tree = canvas.crop(x - 0.7 * size, y - 1.1 * size, x + 0.7 * size, y)
    if tree.labels.size == 0:
        return
    _trunk(tree, x, y, size)
    (right, up), depth = tree.light.toward, tree.depth_at(y)
    crown, facing = _crown(tree, lobes, x, y, size)
    unit = 448 / (1.4 * size)  # texels; which part of the foliage shows depends on where the tree stands
    left, top = x - 0.7 * size - 190 / unit * (7.9 * x % 1), y - 1.1 * size - 150 / unit * (63 * y % 1)
    leaves = stamped(_foliage(), tree, left, top, unit)
    turned = cv2.transform(leaves, np.array([[right, up, 0, -0.5 * (right + up)]], np.float32))
    openness = leaves[..., 2]
    lambert = 0.42 * facing + 0.8 * turned + 0.33
    lambert = lambert * (0.12 + openness) + 0.08 * openness
    mean = (0.2 + 0.1 * float(lobes[:, 2].mean())) * size  # radius of a lobe
    outline = 0.5 * mean * crown + frayed(tree, 2 * openness - 0.8, 0.007)
    tree.paint(tree.cover(outline), material(tree, rgb(32, 56, 26), rgb(124, 148, 58), lambert, depth), TREE)


def _crown(tree: Canvas, lobes: Array, x: float, y: float, size: float) -> tuple[Array, Array]:
    """(H, W) each: how deep inside the crown, about 0 at its outline, and how much its bulge faces the light.

    Both vary slowly, so that they are computed for few points and enlarged.
    """
    (right, up), shape = tree.light.toward, tree.labels.shape
    few = [min(n, 72) for n in shape]
    cy, cx = (_sparse(axis.ravel(), n) for axis, n in zip((tree.y, tree.x), few, strict=True))
    cy = cy[:, None]
    crown, facing, weight = np.full(few, -1, np.float32), np.zeros(few, np.float32), np.full(few, 1e-6, np.float32)
    for across, rise, radius in lobes:
        radius = (0.2 + 0.1 * radius) * size
        u = (cx - x - (across - 0.5) * 0.46 * size) / radius
        v = (cy - y + (0.42 + 0.32 * rise) * size) / radius
        inside = 1 - u * u - v * v
        share = np.maximum(inside + 0.15, 0) ** 2
        facing += share * (right * u - up * v)
        weight += share
        np.maximum(crown, inside, out=crown)
    body = (right * (cx - x) - up * (cy - y + 0.58 * size)) / (0.42 * size)  # the crown as a whole
    bulge = np.asarray(0.6 * facing / weight + 0.4 * body, np.float32)
    return cv2.resize(crown, shape[::-1]) + 0.45 * tree.fine - 0.05, cv2.resize(bulge, shape[::-1])


def _sparse(axis: Array, n: int) -> Array:
    """n coordinates for the (N,) of an axis, such that a field over them can be enlarged to N."""
    places = (np.arange(n) + 0.5) * (len(axis) / n) - 0.5
    return np.interp(places, np.arange(len(axis)), axis).astype(np.float32)


def _trunk(tree: Canvas, x: float, y: float, size: float) -> None:
    """Widens towards the foot, has bark, and stands in the shadow of the crown."""
    wood = tree.crop(x - 0.08 * size, y - 0.52 * size, x + 0.08 * size, y)
    if wood.labels.size == 0:
        return
    above = (y - wood.y) / size
    half = 0.035 * size * (1 + 0.5 * ramp(0.075, 0.025, above))
    off = (wood.x - x) / half
    grain = stamped(_bark(), wood, x - 0.08 * size, y - 0.53 * size, 32 / (0.16 * size))
    round_ = np.clip(0.42 + 0.4 * off * wood.light.toward[0], 0, 1)
    lambert = round_ * (0.4 + 0.9 * grain) * np.clip(1.25 - 2.2 * above, 0.3, 1)
    colour = material(wood, rgb(58, 44, 34), rgb(150, 122, 96), lambert, tree.depth_at(y))
    wood.paint(wood.cover((1 - np.abs(off)) * half), colour, TREE)


def paint_conifer(canvas: Canvas, x: float, y: float, size: float) -> None:
    slim = canvas.rng.uniform(0.2, 0.28)
    snow = stands_on(canvas, x, y) == SNOW
    cast_shadow(canvas, x, y, 0.5 * size, size, 0.14 * size)
    tree = canvas.crop(x - 0.4 * size, y - size, x + 0.4 * size, y)
    if tree.labels.size == 0:
        return
    _stem(tree, x, y, size)
    right, up = tree.light.toward
    down = np.clip((tree.y - y + size) / size, 1e-4, 1)  # (H, 1), 0 at the tip and 1 at the foot
    edge = slim * size * down * (0.7 + 0.45 * (5.5 * down % 1))
    off = (tree.x - x) / edge  # (H, W), -1 and 1 at the ends of the branches
    # Seen a little from above, a tier hangs lower in front than at its sides.
    number, tier = np.divmod(np.maximum(5.5 * down - 0.5 * (1 - np.minimum(off * off, 1)), 0).astype(np.float32), 1)
    u = np.clip(off, -1.3, 1.3) * (0.42 + 0.03 * number) + 0.37 * number + 7 * x
    twigs = repeated(_boughs(), 500 / (size * tree.scale), u, 0.06 + 0.88 * tier)
    lambert = 0.02 + 0.3 * right * off + 0.1 * up + 0.26 * (tier - 0.5) + 0.95 * (twigs - 0.26)
    colour = material(tree, rgb(22, 46, 38), rgb(96, 128, 74), lambert, tree.depth_at(y))
    if snow:
        bright = material(tree, *FRESH_SNOW, 0.9 * lambert + 0.3, tree.depth_at(y))
        over(colour, ramp(0.5, 0.75, twigs - 0.5 * np.abs(tier - 0.55) + 0.25), bright)
    fringe = frayed(tree, 2 * twigs - 0.9, 0.006)
    sides = tree.cover((1 - np.abs(off) - 0.25 * tree.fine) * edge + fringe)
    tree.paint(sides * tree.cover((0.9 - down) * size + 2 * fringe), colour, TREE)


def _stem(tree: Canvas, x: float, y: float, size: float) -> None:
    """What shows of a conifer's trunk: its foot."""
    wood = tree.crop(x - 0.04 * size, y - 0.2 * size, x + 0.04 * size, y)
    if wood.labels.size == 0:
        return
    off = (wood.x - x) / (0.03 * size)
    shade = np.clip(6 * (wood.y - y + 0.14 * size) / size, 0.3, 1)  # of the lowest branches
    lambert = np.clip(0.35 + 0.35 * off * wood.light.toward[0], 0, 1) * shade
    colour = material(wood, rgb(60, 44, 36), rgb(120, 92, 74), lambert, tree.depth_at(y))
    wood.paint(wood.cover((1 - np.abs(off)) * 0.03 * size), colour, TREE)


# ---- textures --------------------------------------------------------------------------------------------------------


@cache
def _foliage() -> tuple[Array, ...]:
    """(512, 640, 3) uint8 and its halves: clumps of leaves.

    Normal to the right and upwards (128 is 0), and how open to the sky.
    """
    rng = np.random.default_rng(5)
    height, width, spread, leaves = 1024, 1280, 42, 50
    texture = np.full((height, width, 3), (128, 128, 0), np.uint8)
    grid = np.mgrid[-1 : height / spread + 1, -1 : width / spread + 1].reshape(2, -1, 1)
    rows, columns = (grid + rng.uniform(-0.5, 0.5, grid.shape)) * spread
    rise = rng.random(rows.shape)
    turn, away = rng.random((2, len(rows), leaves))
    across, down = np.sqrt(away) * np.cos(2 * np.pi * turn), np.sqrt(away) * np.sin(2 * np.pi * turn)
    high = 0.55 * rise + 0.75 * np.sqrt(1 - 0.9 * away) - 0.25 * down + 0.1 * rng.random(away.shape)
    jitter = rng.normal(0, 0.28, (2, *away.shape))
    openness = 255 * np.clip((high - 0.2) / 1.05, 0, 1) ** 1.3
    colours = np.stack([128 + 90 * (across + jitter[0]), 128 + 90 * (0.25 - down + jitter[1]), openness], -1)
    middles = np.stack([columns + 1.05 * spread * across, rows + 0.85 * spread * down], -1)
    length, angle = 5 + 5 * rng.random(away.shape), 2 * np.pi * (2 * turn + 0.1 * rng.standard_normal(away.shape))
    along = np.stack([np.cos(angle), np.sin(angle)], -1) * length[..., None]
    broad = 0.55 * along[..., ::-1] * (-1, 1)
    corners = ((-1, 0), (-0.4, 0.9), (0.4, 0.8), (1, 0), (0.4, -0.8), (-0.4, -0.9))
    outlines = np.stack([middles + a * along + b * broad for a, b in corners], -2).astype(np.int32).reshape(-1, 6, 2)
    tones = colours.clip(0, 255).reshape(-1, 3).tolist()
    for i in np.argsort(high, None):  # what is nearer covers what lies behind
        cv2.fillConvexPoly(texture, outlines[i], tones[i])
    return halved(cv2.resize(texture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))


@cache
def _bark() -> tuple[Array, ...]:
    """(112, 32) uint8 and its halves: fissures along a trunk."""
    rng = np.random.default_rng(6)
    strands, knots = smooth_noise(rng, (8, 16), (32, 112)), smooth_noise(rng, (30, 20), (32, 112))
    return halved(np.clip(128 + 55 * strands + 25 * knots, 0, 255).astype(np.uint8))


@cache
def _boughs() -> tuple[Array, ...]:
    """(256, 256) uint8 and its halves, seamless to the right: the twigs of a tier, whose tips are below."""
    rng = np.random.default_rng(8)
    size, count, boughs = 512, 1500, 15
    texture = np.full((size, size), 26, np.uint8)
    bright = rng.random(boughs)
    for top in np.sort(rng.uniform(-0.25, 0.95, count)):  # the upper hang over nothing, the lower lie over them
        bough, fan = rng.integers(boughs), rng.normal(0, 0.3)
        x = size * ((bough + 0.375 + 0.25 * bright[bough]) / boughs + 0.055 * fan)
        lean, length = 26 * fan + rng.normal(0, 4), size * rng.uniform(0.1, 0.18)
        tone = 40 + 150 * rng.random() * (1 - 0.5 * abs(fan)) + 50 * bright[bough]
        for shift in (-size, 0, size):
            start, end = (int(x + shift), int(top * size)), (int(x + shift + lean), int(top * size + length))
            cv2.line(texture, start, end, min(max(tone, 0), 255), 3, cv2.LINE_AA)
    return halved(cv2.resize(texture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
