"""What a scene shows, and where."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .buildings import paint_building
from .canvas import GRASS, SAND, SNOW, Canvas
from .flowers import paint_flowers
from .ground import Ground, paint_drifts, paint_ground
from .mountains import paint_hills, paint_mountains
from .road import paint_road
from .rocks import paint_rock
from .sky import paint_clouds, paint_sky
from .trees import paint_broadleaf, paint_conifer
from .water import lake_shores, paint_shore, paint_water, sea_shores


def compose(canvas: Canvas) -> None:
    rng = canvas.rng
    kind = rng.choice(["meadow", "lake", "coast", "winter", "dunes"], p=[0.42, 0.2, 0.18, 0.1, 0.1])
    paint_sky(canvas)
    paint_clouds(canvas)
    if rng.random() < (0.35 if kind == "coast" else 0.7):
        paint_mountains(canvas)
    if rng.random() < {"coast": 0.4, "dunes": 0.2}.get(kind, 0.75):
        paint_hills(canvas)
    ground = paint_ground(canvas, {"coast": SAND, "dunes": SAND, "winter": SNOW}.get(kind, GRASS))
    if kind in ("dunes", "winter"):
        paint_drifts(canvas, ground.label)
    if kind in ("coast", "lake"):
        far, near = sea_shores(canvas) if kind == "coast" else lake_shores(canvas)
        paint_shore(canvas, far, near, ground.label)
        paint_water(canvas, far, near, surf=kind == "coast")
        ground = replace(ground, water=(far, near))
    elif rng.random() < (0.15 if kind == "dunes" else 0.4):
        ground = replace(ground, road=paint_road(canvas, ground))
    if ground.label == GRASS and rng.random() < 0.45:
        paint_flowers(canvas, ground)
    _things(canvas, ground)


def _things(canvas: Canvas, ground: Ground) -> None:
    """Buildings, trees and rocks, each kind in some scenes only, painted from far to near."""
    rng = canvas.rng
    trees = {GRASS: 14, SNOW: 10, SAND: 2}[ground.label]
    tree = paint_conifer if ground.label == SNOW or rng.random() < 0.4 else paint_broadleaf
    plan = (  # painter, how many, chance, height at the bottom of the picture, greatest depth
        (paint_building, rng.integers(1, 5), 0.12 if ground.label == SAND else 0.32, 0.55, 0.4),
        (tree, rng.integers(trees // 2, trees + 1), 0.3 if ground.label == SAND else 0.85, 0.62, 0.75),
        (paint_rock, rng.integers(1, 6), 0.4, 0.2, 0.95),
    )
    standing = []
    for painter, count, chance, height, nearest in plan:
        places = rng.random((count, 3), np.float32)
        if rng.random() > chance:
            continue
        depth = 0.03 + (nearest - 0.03) * places[:, 1] ** 1.7  # more of them far away
        x, y = canvas.aspect * places[:, 0], canvas.horizon + (1 - canvas.horizon) * depth
        size = height * (0.09 + 0.91 * depth) * (0.7 + 0.5 * places[:, 2])
        standing += [(y[i], x[i], size[i], painter) for i in np.flatnonzero(ground.free(canvas, x, y))]
    for y, x, size, painter in sorted(standing, key=lambda thing: thing[0]):
        painter(canvas, float(x), float(y), float(size))
