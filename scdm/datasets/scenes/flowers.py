"""Patches of flowers in the grass."""

from __future__ import annotations

import numpy as np

from .canvas import FLOWER, GRASS, Canvas, mix, ramp, rgb
from .ground import Ground

_PETALS = (rgb(226, 48, 44), rgb(250, 206, 44), rgb(170, 92, 214), rgb(250, 246, 240), rgb(244, 120, 168))


def paint_flowers(canvas: Canvas, ground: Ground) -> None:
    """Patches of bright specks of one kind in the grass."""
    petals = _PETALS[canvas.rng.integers(len(_PETALS))]
    places = canvas.rng.random((canvas.rng.integers(2, 8), 3), np.float32)
    depth = 0.12 + 0.85 * places[:, 1]
    x, y = canvas.aspect * places[:, 0], canvas.horizon + (1 - canvas.horizon) * depth
    land = canvas.below(canvas.horizon + 0.03)
    specks = ramp(0.0, 0.45, land.fine)
    lambert = np.clip(0.7 + 0.2 * land.rough, 0, 1)
    colour = mix(land.light.on(rgb(70, 104, 42), lambert), land.light.on(petals * 1.1, lambert), specks)
    for i in np.flatnonzero(ground.free(canvas, x, y)):
        wide, high = (0.06 + 0.14 * places[i, 2]) * (0.3 + depth[i]), 0.015 + 0.06 * depth[i]
        inside = 1 - ((land.x - x[i]) / wide) ** 2 - ((land.y - y[i]) / high) ** 2 + 0.5 * land.rough
        land.paint((inside > 0) & (land.labels == GRASS), colour, FLOWER)
