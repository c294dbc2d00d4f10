"""Houses and tall blocks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from .canvas import BUILDING, SNOW, Array, Canvas, mix, ramp, rgb
from .things import (
    FRESH_SNOW,
    cast_shadow,
    halved,
    hazy,
    material,
    over,
    smooth_noise,
    stamped,
    stands_on,
    within,
)

_WALLS = (rgb(236, 226, 204), rgb(208, 172, 132), rgb(186, 106, 84))
_ROOFS = (rgb(164, 72, 52), rgb(104, 82, 78))
_LAMP = rgb(255, 212, 122)
_ROOF = 0.75  # height of a hipped roof, in heights of the wall


@dataclass(frozen=True)
class _House:
    """Across, u goes from -1 to 1 away from the light, and the wall beyond 0.45 is in shadow; v is 1 at the eaves."""

    x: float
    y: float
    half: float
    height: float
    tall: bool
    wall: Array
    roof: Array
    lamps: Array  # (floors, 4) bool, by u
    side: float  # 1 if u goes to the right
    snow: bool
    depth: float

    @property
    def floors(self) -> int:
        return len(self.lamps)

    def part(self, canvas: Canvas, wide: float, low: float, high: float) -> tuple[Canvas, Array, Array]:
        """A part of the picture with u (W,) and v (H,)."""
        reach = wide * self.half
        part = canvas.crop(self.x - reach, self.y - high * self.height, self.x + reach, self.y - low * self.height)
        return part, (part.x[0] - self.x) * (self.side / self.half), (self.y - part.y[:, 0]) / self.height


def paint_building(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A house with a hipped roof or, now and then, a taller block with a flat roof: lit front, shaded side, windows."""
    rng = canvas.rng
    tall, wall, roof = rng.random() < 0.25, _WALLS[rng.integers(3)], _ROOFS[rng.integers(2)]
    lamps = (rng.random((8, 4), np.float32) < canvas.light.lamps)[: 5 if tall else 2]
    height, half = (1.25 * size, 0.3 * size) if tall else (0.55 * size, 0.45 * size)
    side = -1.0 if canvas.light.toward[0] > 0 else 1.0
    snow = stands_on(canvas, x, y) == SNOW
    lamps = lamps if side > 0 else lamps[:, ::-1]
    house = _House(x, y, half, height, tall, wall, roof, lamps, side, snow, canvas.depth_at(y))
    cast_shadow(canvas, x, y, 2.2 * half, size, 2.1 * half)
    _facade(canvas, house)
    if tall:
        _flat_roof(canvas, house)
    else:
        _hipped_roof(canvas, house)
        _chimney(canvas, house)


def _facade(canvas: Canvas, house: _House) -> None:
    """Plaster on a base of stone, courses between the storeys, dressed corners, the shadow of the eaves."""
    part, u, v = house.part(canvas, 1.02, 0, 1.02)
    if part.labels.size == 0:
        return
    across, up, floors = house.half * part.scale, house.height * part.scale, house.floors  # pixels to a unit of u, v
    grain = _worn(part, house)
    shaded = np.clip((u - 0.45) * across + 0.5, 0, 1)
    eaves = 0.35 * ramp(0.95, 0.985, v) if house.tall else 0.55 * ramp(0.8, 0.93, v)
    direct = np.outer(1 - eaves, 0.74 - 0.6 * shaded).astype(np.float32)
    joints = np.arange(1, floors, dtype=np.float32)[:, None] / floors
    courses = within(v, joints - 0.012, joints + 0.012, up).sum(0)[:, None]
    base = within(v, -1, 0.025 if house.tall else 0.07, up)[:, None]
    lambert = direct * (0.82 + 0.18 * ramp(0, 0.12, v))[:, None] + 0.16 * grain - 0.1 * base + 0.08 * courses
    colour = material(part, 0.82 * house.wall, np.minimum(1.04 * house.wall, 1), lambert, house.depth)
    stone = material(part, rgb(92, 88, 84), rgb(150, 144, 136), lambert + 0.2 * grain, house.depth)
    over(colour, base, stone)
    corners = within(u, -1.1, -0.955, across) + within(u, 0.42, 0.48, across)
    dressed = 0.12 - 0.15 * lambert * within(v * floors * 1.5 % 1, 0.5, 1, up / floors)[:, None]
    colour += (0.5 * corners * (1 - base) * dressed)[..., None] * (part.light.ambient + part.light.direct)
    _openings(part, house, colour, u, v, direct / 0.74)
    outline = np.outer(np.clip((1 - v) * up + 0.5, 0, 1), np.clip((1 - np.abs(u)) * across + 0.5, 0, 1))
    part.paint(outline, colour, BUILDING)


def _worn(part: Canvas, house: _House) -> Array:
    left, top = house.x - 1.2 * house.half, house.y - 1.05 * house.height
    return stamped(_plaster(), part, left, top, 160 / house.half) - 0.5


def _openings(part: Canvas, house: _House, colour: Array, u: Array, v: Array, direct: Array) -> None:
    """Windows with frames, bars and sills in four columns, and the door of a house."""
    light, floors = part.light, house.floors
    across, up = house.half * part.scale, house.height * part.scale
    columns = np.array([[-0.75], [-0.25], [0.25], [0.75]], np.float32)
    rows = (np.arange(floors, dtype=np.float32)[:, None] + 0.5) / floors
    wide, high = (
        np.array([[0.12], [0.12], [0.12], [0.096]], np.float32),
        0.27 / floors,
    )  # half of a window; the last in perspective
    column, row = np.clip(((u + 1) * 2).astype(int), 0, 3), np.clip((v * floors).astype(int), 0, floors - 1)
    window = np.ones((floors, 4), np.float32)
    window[0, 1] = house.tall  # a house has its door there
    lit = house.lamps * window
    show = window[row][:, column]

    def box(left: float, right: float, bottom: float, top: float, to: int = 4) -> Array:
        """The same box in each opening, which reaches from -1 to 1."""
        horizontal = within(u, columns[:to] + left * wide[:to], columns[:to] + right * wide[:to], across).sum(0)
        return np.outer(within(v, rows + bottom * high, rows + top * high, up).sum(0), horizontal) * show

    frame = hazy(light, light.on(rgb(232, 228, 218), 0.25 + 0.45 * direct), house.depth)
    if lit.any():  # falls on the wall around
        near = np.exp(-(((v[:, None] - rows.T) / (1.8 * high)) ** 2)) @ lit @ np.exp(-(((u - columns) / 0.19) ** 2))
        over(colour, 0.34 * max(1.1 - 1.4 * light.ambient.mean(), 0) * np.minimum(near, 1.5), colour + _LAMP)
    glass = mix(light.on(rgb(52, 62, 78), 0.3), light.horizon, 0.16 + 0.3 * (1 - house.depth) ** 6)
    du, dv = (u - columns[column, 0]) / wide[column, 0], (v - rows[row, 0]) / high
    sky = 0.14 * np.clip(dv[:, None] + 0.4 * du, -0.6, 1)[..., None]
    pane = mix(np.clip(glass + sky * light.horizon, 0, 1), _LAMP * (0.92 + 0.5 * sky), lit[row][:, column])
    over(colour, box(-1.12, 1.12, -1.1, 1.12), frame)
    over(colour, box(-0.96, 0.96, -0.94, 0.96), pane)
    if 0.12 * across < 1.2:  # all else is far smaller than a pixel
        return
    over(colour, box(-0.96, 0.96, 0.68, 0.96), 0.6 * pane)  # the shadow of the lintel
    over(colour, np.maximum(box(-0.08, 0.08, -1, 1), box(-1, 1, 0.22, 0.34)), 0.92 * frame)
    over(colour, 0.4 * box(-1.25, 1.25, -1.5, -1.26), 0.3 * colour)
    over(colour, box(-1.3, 1.3, -1.26, -1.04), np.minimum(1.06 * frame, 1))  # the sill
    if house.tall:
        return
    slats = 0.5 - 0.16 * (np.sin(18 * dv) > 0)[:, None]
    shutters = box(-1.7, -1.14, -1.02, 1.08, 3) + box(1.14, 1.7, -1.02, 1.08, 3)
    over(colour, shutters, light.on(rgb(70, 96, 84) if house.wall[2] > 0.6 else rgb(98, 66, 46), 0.1 + slats * direct))
    show = 1 - show  # the door
    wood = light.on(rgb(104, 60, 40), 0.2 + 0.4 * direct)
    over(colour, box(-1.15, 1.15, -2, 1.15), frame)
    over(colour, box(-0.9, 0.9, -2, 0.95), wood)
    over(colour, box(-0.6, 0.6, 0.2, 0.72), 0.8 * glass)
    over(colour, box(-0.62, 0.62, -0.55, 0) + box(-0.62, 0.62, -1.4, -0.75), 0.75 * wood)


def _hipped_roof(canvas: Canvas, house: _House) -> None:
    part, u, v = house.part(canvas, 1.2, 0.94, 1.02 + _ROOF)
    if part.labels.size == 0:
        return
    above = ((v - 1) / _ROOF)[:, None]  # 0 at the eaves, 1 at the ridge
    across, up = house.half * part.scale, _ROOF * house.height * part.scale
    hip = u - 0.5 - 0.1 * above  # positive on the face in shadow
    shaded = np.clip(hip * across + 0.5, 0, 1)
    left, top = house.x - 1.25 * house.half, house.y - (1.04 + _ROOF) * house.height
    tiles = stamped(_tiles(), part, left, top, 512 / (2.5 * house.half))
    lambert = (0.78 - 0.6 * shaded) * (0.35 + 0.85 * tiles) + 0.06 * above
    colour = material(part, 0.8 * house.roof, np.minimum(1.06 * house.roof, 1), lambert, house.depth)
    ridge = np.maximum(within(above, 0.945, 1.1, up), within(hip, -0.02, 0.02, across))
    over(colour, 0.7 * ridge, part.light.on(1.1 * house.roof, np.float32(0.75)))
    if house.snow:
        white = material(part, *FRESH_SNOW, 0.85 - 0.55 * shaded + 0.1 * tiles, house.depth)
        over(colour, 0.97 * ramp(-0.02, 0.1, above - 0.12 + 0.08 * part.fine + 0.06 * tiles), white)
    gutter = part.light.on(rgb(236, 230, 220), 0.6 - 0.4 * shaded)
    over(colour, 0.8 * within(above, -1, 0.015, up), hazy(part.light, gutter, house.depth))
    sides = np.clip((1.15 - 0.55 * above - np.abs(u)) * across + 0.5, 0, 1)
    part.paint(sides * within(above, -0.05, 1, up), colour, BUILDING)


def _chimney(canvas: Canvas, house: _House) -> None:
    part, u, v = house.part(canvas, 0.5, 1 + 0.5 * _ROOF, 1.02 + 1.05 * _ROOF)
    if part.labels.size == 0:
        return
    above = ((v - 1) / _ROOF)[:, None]
    across, up = house.half * part.scale, _ROOF * house.height * part.scale
    courses = 0.6 + 0.4 * within(9 * above % 1, 0.2, 1.1, up / 9)
    brick = material(part, rgb(140, 78, 62), rgb(166, 96, 76), (0.75 - 0.5 * (u > -0.29)) * courses, house.depth)
    part.paint(within(u, -0.42, -0.24, across) * within(above, 0.55, 1.02, up), brick, BUILDING)
    cap = hazy(
        part.light, part.light.on(FRESH_SNOW[1] if house.snow else rgb(120, 112, 106), np.float32(0.7)), house.depth
    )
    part.paint(within(u, -0.45, -0.21, across) * within(above, 0.965, 1.03, up), cap, BUILDING)


def _flat_roof(canvas: Canvas, house: _House) -> None:
    part, u, v = house.part(canvas, 1.1, 0.97, 1.07)
    if part.labels.size == 0:
        return
    across, up = house.half * part.scale, house.height * part.scale
    lambert = np.broadcast_to(0.7 - 0.5 * np.clip((u - 0.47) * across + 0.5, 0, 1), part.labels.shape)
    edge = material(part, 0.8 * house.roof, house.roof, lambert - 0.25 * (v < 1.012)[:, None], house.depth)
    if house.snow:
        over(edge, within(v, 1.03, 2, up)[:, None], material(part, *FRESH_SNOW, lambert, house.depth))
    outline = np.outer(within(v, 1, 1.05, up), np.clip((1.06 - np.abs(u)) * across + 0.5, 0, 1))
    part.paint(outline, edge, BUILDING)


# ---- textures --------------------------------------------------------------------------------------------------------


@cache
def _plaster() -> tuple[Array, ...]:
    """(640, 448) uint8 and its halves: stains, streaks of rain and grit."""
    rng = np.random.default_rng(10)
    layers = (((20, 16), 25), ((8, 50), 25), ((160, 112), 22), ((320, 224), 16))
    total = sum(weight * smooth_noise(rng, cells, (448, 640)) for cells, weight in layers)
    return halved(np.clip(128 + total, 0, 255).astype(np.uint8))


@cache
def _tiles() -> tuple[Array, ...]:
    """(256, 512) uint8 and its halves: rows of roof tiles, each a little rounded, dark where the next row lies over it."""
    rng = np.random.default_rng(11)
    v, u = np.mgrid[:512, :1024].astype(np.float32)
    row = (v / 32).astype(int)
    place = u * (40 / 1024) + 0.5 * (row % 2)
    down, tone = v / 32 % 1, rng.uniform(-0.16, 0.16, (17, 42))[row, place.astype(int)]
    bulge = 0.15 * np.cos(5.5 * (place % 1 - 0.4))
    shade = 0.62 + tone + bulge + 0.18 * down - 0.5 * ramp(0.86, 1, down) - 0.12 * ramp(0.14, 0, down)
    return halved(cv2.resize((200 * shade).clip(0, 255), (512, 256), interpolation=cv2.INTER_AREA).astype(np.uint8))
