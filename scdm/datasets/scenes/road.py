"""A road to the horizon."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .canvas import ROAD, Array, Canvas, mix, rgb
from .ground import Ground


def paint_road(canvas: Canvas, ground: Ground) -> Callable[[Array | float], tuple[Array, Array]]:
    """A winding road to the horizon; returns depth -> (centre x, half width)."""
    start, end, bend, phase = canvas.rng.random(4)
    end = canvas.aspect * (0.25 + 0.5 * end)

    def course(depth: Array | float) -> tuple[Array, Array]:
        depth = np.asarray(depth, np.float32)
        sway = 0.16 * (bend - 0.5) * np.sin(2 * np.pi * (1.3 * np.sqrt(np.maximum(depth, 0)) + phase))
        centre = end + (canvas.aspect * (0.1 + 0.8 * start) - end) * depth + sway * 4 * depth * (1.2 - depth)
        return centre.astype(np.float32), (0.006 + 0.2 * depth).astype(np.float32)

    land = canvas.below(canvas.horizon)
    centre, half = course(land.depth)
    off = (land.x - centre) / half  # (H, W), -1 and 1 at the kerbs
    on_road = (np.abs(off) < 1) & (land.y > ground.top.at(land.x))
    asphalt = land.light.on(rgb(112, 110, 114), np.clip(0.6 + 0.12 * land.fine + 0.15 * land.rough, 0, 1))
    dashes = (np.abs(off) < 0.06) & ((2.2 / (land.depth + 0.1)) % 1 < 0.5)
    lines = dashes | (np.abs(np.abs(off) - 0.88) < 0.05)
    colour = mix(asphalt, land.light.on(rgb(250, 244, 220), 0.8), 0.8 * lines)
    land.paint(on_road, mix(colour, land.light.haze, 0.4 * (1 - land.depth) ** 5), ROAD)
    return course
