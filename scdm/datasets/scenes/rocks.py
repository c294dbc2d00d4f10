"""Rocks."""

from __future__ import annotations

import numpy as np

from .canvas import ROCK, Canvas, cast_shadow, rgb, stand


def paint_rock(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A convex block: the nearest of a few planes shows, each with its own share of light."""
    draws = canvas.rng.random((9, 2), np.float32)
    cast_shadow(canvas, x, y, 1.3 * size, size)
    block = canvas.crop(x - size, y - 0.9 * size, x + size, y + 0.12 * size)
    u, v = (block.x - x) / size, (block.y - y + 0.25 * size) / (0.62 * size)
    angles = 2 * np.pi * (np.arange(9) + 0.8 * draws[:, 0]) / 9
    steep = 1.05 + 0.5 * draws[:, 1]
    # Plane i falls from 1 to 0 over a distance 1 / steep in its direction: their minimum is the block's height.
    planes = 1 - steep[:, None, None] * (np.cos(angles)[:, None, None] * u + np.sin(angles)[:, None, None] * v)
    right, up = block.light.toward
    facets = np.clip(0.45 + 0.5 * (np.cos(angles) * right - np.sin(angles) * up), 0.03, 1)
    lambert = facets[planes.argmin(0)] + 0.1 * block.rough + 0.12 * block.fine
    strata = 0.06 * np.sin(2 * np.pi * (3 * v + 0.8 * block.rough + 0.5 * u))
    stone = block.light.on(rgb(150, 142, 132), np.clip(lambert + strata, 0, 1))
    stand(block, (planes.min(0) > 0) & (v < 0.55 + 0 * u), stone, ROCK, y)
