"""Houses and taller blocks."""

from __future__ import annotations

import numpy as np

from .canvas import BUILDING, Array, Canvas, cast_shadow, rgb, stand

_WALLS = (rgb(236, 226, 204), rgb(208, 172, 132), rgb(186, 106, 84))


_ROOFS = (rgb(164, 72, 52), rgb(104, 82, 78))


def paint_building(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A house with a gable or, now and then, a taller block with a flat roof: lit front, shaded side, windows."""
    rng = canvas.rng
    tall, wall, roof = rng.random() < 0.25, _WALLS[rng.integers(3)], _ROOFS[rng.integers(2)]
    lamps = rng.random((8, 4), np.float32) < canvas.light.lamps
    height, half = (1.25 * size, 0.3 * size) if tall else (0.55 * size, 0.45 * size)
    cast_shadow(canvas, x, y, 2.2 * half, size)
    house = canvas.crop(x - 1.2 * half, y - 1.4 * height - 0.3 * size, x + 1.2 * half, y)
    light = house.light
    side = -1 if light.toward[0] > 0 else 1  # the wall turned away from the light
    u, v = (house.x - x) / half, (y - house.y) / height  # v: 0 at the foot, 1 at the eaves
    inside = (np.abs(u) < 1) & (v < 1)
    shaded = u * side > 0.45
    lambert = np.where(shaded, 0.12, 0.72) + 0.06 * house.fine
    stand(house, inside, light.on(wall, lambert), BUILDING, y)
    _windows(house, inside, (u + 1) / 2, np.broadcast_to(v, inside.shape), 5 if tall else 2, lamps)
    if tall:
        house.paint((np.abs(u) < 1.06) & (v > 1) & (v < 1.05), light.on(roof, 0.3), BUILDING)
    else:
        above = (v - 1) / 0.75
        slope = (above > -0.05) & (np.abs(u) < 1.15 - 0.55 * above) & (above < 1)
        tiles = np.where(u * side > 0.6 - 0.2 * above, 0.2, 0.75) + 0.15 * house.fine
        stand(house, slope, light.on(roof, np.clip(tiles, 0, 1)), BUILDING, y)


def _windows(house: Canvas, wall: Array, u: Array, v: Array, floors: int, lamps: Array) -> None:
    """A grid of four columns over a wall with coordinates u, v in [0, 1]; `lamps` (floors or more, 4) are lit."""
    column, row = np.clip((u * 4).astype(int), 0, 3), np.clip((v * floors).astype(int), 0, floors - 1)
    pane = wall & (np.abs(u * 4 % 1 - 0.5) < 0.24) & (np.abs(v * floors % 1 - 0.5) < 0.27)
    glass = house.light.on(rgb(70, 84, 104), 0.35)
    house.paint(pane, np.where(lamps[row, column][..., None], rgb(255, 214, 120), glass), BUILDING)
