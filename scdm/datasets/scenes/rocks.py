"""Rocks."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from .canvas import ROCK, SAND, SNOW, Array, Canvas, ramp, rgb
from .things import FRESH_SNOW, cast_shadow, halved, material, over, smooth_noise, stamped, stands_on


def paint_rock(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A convex block with cracks, moss in the grass and a cap of snow in winter."""
    draws = canvas.rng.random((9, 2), np.float32)
    ground = stands_on(canvas, x, y)
    cast_shadow(canvas, x, y, 1.3 * size, size, 1.1 * size)
    block = canvas.crop(x - size, y - 0.9 * size, x + size, y + 0.12 * size)
    if block.labels.size == 0:
        return
    depth, high = block.depth_at(y), 0.62 * size
    u, v = (block.x - x) / size, (block.y - y + 0.25 * size) / high
    inside, lit, rising = _facets(block, draws, u, v)
    unit = 200 / size
    left, top = x - size - 110 / unit * (7.9 * x % 1), y - 0.9 * size - 50 / unit * (63 * y % 1)
    relief, cracks, growth = cv2.split(stamped(_stone(), block, left, top, unit))
    relief -= 0.5
    strata = 0.05 * np.sin(2 * np.pi * (4 * v + 0.8 * block.rough + 0.5 * u + 0.8 * relief))
    light = lit + 0.55 * relief + 0.1 * block.rough + strata
    lambert = light * (0.3 + 0.7 * np.minimum(1, 1.8 * cracks)) * (0.45 + 0.55 * ramp(0.62, 0.2, v))
    colour = material(block, rgb(112, 106, 102), rgb(172, 162, 148), lambert, depth)
    if ground == SNOW:
        bright = material(block, *FRESH_SNOW, 0.3 + 0.6 * lit + 0.2 * relief, depth)
        over(colour, ramp(0.5, 0.7, 0.4 + 0.45 * rising + 0.5 * relief - 0.35 * v), bright)
    elif ground != SAND:
        moss = material(block, rgb(60, 74, 34), rgb(132, 146, 62), lambert, depth)
        over(colour, 0.55 * ramp(0.5, 0.95, growth + 0.22 * rising + 0.16 * v), moss)
    coverage = block.cover(inside * high / 1.3) * block.cover((0.55 - v + 0.06 * relief) * high)
    block.paint(coverage, colour, ROCK)


def _facets(block: Canvas, draws: Array, u: Array, v: Array) -> tuple[Array, Array, Array]:
    """(H, W) each: the height of the block, 0 at its outline, its share of light, and how much it faces up.

    Plane i falls from 1 to 0 over a distance 1 / steep in its direction; the lowest of them shows.
    """
    right, up = block.light.toward
    angles = 2 * np.pi * (np.arange(9, dtype=np.float32) + 0.8 * draws[:, 0]) / 9
    steep, cos, sin = 1.05 + 0.5 * draws[:, 1], np.cos(angles), np.sin(angles)
    planes = np.stack([(1 - s * c * u) - s * n * v for s, c, n in zip(steep, cos, sin, strict=True)])
    nearest = planes.argmin(0)
    facing = np.clip(0.45 + 0.5 * (cos * right - sin * up), 0.03, 1)
    return planes.min(0), facing.astype(np.float32)[nearest], -sin[nearest]


@cache
def _stone() -> tuple[Array, ...]:
    """(256, 512, 3) uint8 and its halves: relief of small facets (128 is even), distance from a crack, growth of moss."""
    rng = np.random.default_rng(9)
    size, few = (512, 256), (256, 128)
    y, x = np.mgrid[:128, :256].astype(np.float32) * 2
    x, y = x + 5 * smooth_noise(rng, (14, 28), few), 1.3 * y + 6 * smooth_noise(rng, (14, 28), few)
    relief, cracks = np.zeros_like(x), np.full_like(x, 255)
    for count, weight, width in ((26, 45, 22), (150, 24, 49)):  # large facets with deep cracks, small ones with faint
        across, down = (side * rng.random((count, 1, 1), np.float32) for side in (512, 333))
        distance = (x - across) ** 2 + (y - down) ** 2
        nearest = distance.argmin(0)
        first, second = np.sqrt(np.partition(distance, 1, 0)[:2])
        lean = rng.normal(0, 0.02, (2, count))[:, nearest]
        tilt = lean[0] * (x - across.ravel()[nearest]) + lean[1] * (y - down.ravel()[nearest])
        relief += weight * (rng.uniform(-1, 1, count)[nearest] + tilt)
        cracks = np.minimum(cracks, (second - first) * width + 110 * (count > 100))
    relief, cracks = (cv2.resize(field.astype(np.float32), size) for field in (relief, cracks))
    grit = smooth_noise(rng, (128, 256), size)
    growth = smooth_noise(rng, (20, 40), size) + 0.35 * grit
    layers = np.stack([128 + relief + 14 * grit, cracks, 128 + 60 * growth], -1)
    return halved(layers.clip(0, 255).astype(np.uint8))
