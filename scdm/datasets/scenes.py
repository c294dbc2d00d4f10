"""Procedural landscapes with exact layouts: a data set that needs no download and never ends.

A scene is painted back to front, as a painter would: sky, mountains, hills, ground, water, then the things that stand
on the ground from far to near. Every painter writes colour and class id together, so a layout cannot disagree with
its picture. Lengths are fractions of the picture's height, x to the right and y down; what is drawn at random never
depends on the number of pixels, so a scene keeps its composition at any size of the same aspect ratio.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

# The classes of assets/classes/scenes.json, in its order.
SKY, CLOUD, SUN, MOUNTAIN, SNOW, HILL, GRASS, TREE, WATER, SAND, ROAD, BUILDING, ROCK, FLOWER = range(14)

Array = NDArray[Any]  # float32, unless noted as bool or class id
SUPERSAMPLING = 2  # colour is averaged over this many samples a pixel in each direction


def render(index: int, seed: int = 0, size: int | tuple[int, int] = 64) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Scene `index` of the endless series `seed`: image (H, W, 3) RGB and class ids (H, W), both uint8.

    The same arguments give the same scene in any order and process. `size` is one side, or (height, width),
    of at least 16 pixels (ValueError).
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 16:
        raise ValueError(f"a scene of {height} x {width} pixels is too small to show anything: take at least 16 x 16")
    rng = np.random.default_rng((seed, index))
    canvas = _blank(rng, height * SUPERSAMPLING, width * SUPERSAMPLING)
    _compose(canvas)
    image = cv2.resize(canvas.image, (width, height), interpolation=cv2.INTER_AREA)
    image = image + 0.007 * rng.standard_normal((height, width, 1), dtype=np.float32)  # film grain
    labels = canvas.labels[SUPERSAMPLING // 2 :: SUPERSAMPLING, SUPERSAMPLING // 2 :: SUPERSAMPLING]
    return (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8), np.ascontiguousarray(labels)


class Scenes(Dataset[tuple[Tensor, Tensor]]):
    """Scenes `offset` .. `offset + length - 1` of a series, rendered when asked for.

    An item is (image (3, H, W) float32 in [-1, 1], ids (H, W) int64). Disjoint offsets make disjoint splits.
    """

    def __init__(self, length: int, seed: int = 0, size: int | tuple[int, int] = 64, offset: int = 0) -> None:
        self.length, self.seed, self.size, self.offset = length, seed, size, offset

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        if not 0 <= index < self.length:
            raise IndexError(f"scene {index} of a data set of {self.length}")
        image, labels = render(self.offset + index, self.seed, self.size)
        return torch.from_numpy(image).permute(2, 0, 1).float() / 127.5 - 1, torch.from_numpy(labels).long()


# ---- light and canvas ------------------------------------------------------------------------------------------------


def _rgb(*channels: int) -> Array:
    return np.array(channels, np.float32) / 255


@dataclass(frozen=True)
class Light:
    """A time of day. Colours are (3,) in [0, 1]; a surface shows albedo * (ambient + direct * lambert)."""

    share: float  # of all scenes
    zenith: Array
    horizon: Array
    direct: Array
    ambient: Array
    elevation: tuple[float, float]  # of the sun: 0 at the horizon, 1 at the top
    overcast: bool = False
    lamps: float = 0.0  # share of the windows that are lit
    sun: tuple[float, float] = (0.0, 0.0)  # (x, y), may lie outside the picture
    toward: tuple[float, float] = (0.0, 1.0)  # unit vector to the light in the picture plane, (right, up)

    @property
    def haze(self) -> Array:
        """What far things fade to: the air between, paler and bluer than they are."""
        return 0.65 * self.horizon + 0.35 * self.zenith

    def on(self, albedo: Array, lambert: Array | float) -> Array:
        """The colour (..., 3) of a surface; `lambert` (...) is 0 in shadow and 1 when facing the light."""
        return albedo * (self.ambient + self.direct * np.asarray(lambert, np.float32)[..., None])


_TIMES = (
    Light(0.34, _rgb(58, 118, 196), _rgb(186, 214, 236), _rgb(214, 202, 172), _rgb(100, 112, 132), (0.55, 0.9)),  # noon
    Light(
        0.16, _rgb(112, 150, 200), _rgb(246, 214, 200), _rgb(218, 182, 152), _rgb(108, 110, 130), (0.15, 0.5)
    ),  # dawn
    Light(
        0.20, _rgb(92, 122, 172), _rgb(255, 200, 140), _rgb(255, 178, 104), _rgb(100, 90, 108), (0.08, 0.4), lamps=0.15
    ),
    Light(0.16, _rgb(142, 152, 166), _rgb(206, 212, 216), _rgb(60, 60, 58), _rgb(156, 160, 168), (0.5, 0.9), True, 0.1),
    Light(
        0.14, _rgb(44, 44, 96), _rgb(236, 128, 98), _rgb(170, 92, 70), _rgb(84, 80, 118), (0.02, 0.22), lamps=0.7
    ),  # dusk
)


def _light(rng: np.random.Generator, aspect: float, horizon: float) -> Light:
    """A time of day with the sun at a random place; under an overcast sky it is always out of the picture."""
    light = _TIMES[rng.choice(len(_TIMES), p=[time.share for time in _TIMES])]
    across, aside, height, inside = rng.random(4)
    x = aspect * (0.12 + 0.76 * across)
    if light.overcast or inside > 0.6:
        x = -0.4 * aspect if aside < 0.5 else 1.4 * aspect
    low, high = light.elevation
    elevation = low + (high - low) * height
    right, up = 2 * (x / aspect - 0.5), 0.35 + 0.9 * elevation
    length = float(np.hypot(right, up))
    return replace(light, sun=(x, horizon * (1 - elevation)), toward=(right / length, up / length))


@dataclass(frozen=True)
class Canvas:
    """The picture and its layout while they are painted; `crop` gives a view of a part with the same coordinates."""

    image: Array  # (H, W, 3)
    labels: Array  # (H, W) uint8
    x: Array  # (1, W) in [0, aspect]
    y: Array  # (H, 1) in [0, 1]
    rough: Array  # (H, W) noise in about [-1, 1] with features of a tenth of the picture, shared by all painters
    fine: Array  # (H, W) likewise, features of about a pixel at 64x64
    light: Light
    rng: np.random.Generator
    aspect: float
    horizon: float

    @property
    def scale(self) -> float:
        """Samples to a unit of length."""
        return 0.5 / float(self.x[0, 0])

    @property
    def depth(self) -> Array:
        """(H, 1): how near the ground is, 0 at the horizon and 1 at the bottom."""
        return np.clip((self.y - self.horizon) / (1 - self.horizon), 0, 1)

    def crop(self, left: float, top: float, right: float, bottom: float) -> Canvas:
        rows = slice(*np.searchsorted(self.y[:, 0], (top, bottom)))
        columns = slice(*np.searchsorted(self.x[0], (left, right)))
        part = (rows, columns)
        return replace(
            self,
            image=self.image[part],
            labels=self.labels[part],
            x=self.x[:, columns],
            y=self.y[rows],
            rough=self.rough[part],
            fine=self.fine[part],
        )

    def below(self, top: float) -> Canvas:
        return self.crop(0, top, self.aspect, 1)

    def paint(self, where: Array, colour: Array, label: int) -> None:
        """Opaque colour (broadcastable to (H, W, 3)) and class id, where the bool (H, W) is true."""
        np.copyto(self.image, colour, where=where[..., None])
        np.copyto(self.labels, np.uint8(label), where=where)

    def glaze(self, coverage: Array, colour: Array) -> None:
        """Translucent colour that leaves the class alone; coverage (H, W) in [0, 1]."""
        self.image[:] += coverage[..., None] * (colour - self.image)

    def noise(self, columns: int, rows: int, octaves: int) -> Array:
        """Fractal noise (H, W) in about [-1, 1], with `columns` x `rows` features on a square canvas."""
        height, width = self.labels.shape
        return _fractal(self.rng, (round(columns * self.aspect), rows), octaves, (width, height))


def _blank(rng: np.random.Generator, height: int, width: int) -> Canvas:
    aspect = width / height
    horizon = float(rng.uniform(0.36, 0.58))
    size = (width, height)
    return Canvas(
        image=np.zeros((height, width, 3), np.float32),
        labels=np.zeros((height, width), np.uint8),
        x=((np.arange(width, dtype=np.float32) + 0.5) / height)[None],
        y=((np.arange(height, dtype=np.float32) + 0.5) / height)[:, None],
        rough=_fractal(rng, (round(9 * aspect), 9), 3, size),
        fine=_fractal(rng, (round(60 * aspect), 60), 1, size),
        light=_light(rng, aspect, horizon),
        rng=rng,
        aspect=aspect,
        horizon=horizon,
    )


def _fractal(rng: np.random.Generator, cells: tuple[int, int], octaves: int, size: tuple[int, int]) -> Array:
    """Octaves of random grids (columns, rows), each twice as fine and half as strong, enlarged to (width, height)."""
    columns, rows = max(cells[0], 1), cells[1]
    total = np.zeros(size[::-1], np.float32)
    for octave in range(octaves):
        grid = rng.random((rows << octave, columns << octave), np.float32) * 2 - 1
        total += cv2.resize(grid, size, interpolation=cv2.INTER_CUBIC) * 0.5**octave
    return total


@dataclass(frozen=True)
class Profile:
    """A curve y(x) over the picture and some way beyond: a skyline or a shore."""

    x: Array
    y: Array

    def at(self, x: Array | float) -> Array:
        return np.asarray(np.interp(x, self.x, self.y), np.float32)

    def slope(self, x: Array | float) -> Array:
        return np.asarray(np.interp(x, self.x, np.gradient(self.y, self.x)), np.float32)


def _profile(canvas: Canvas, level: float, swing: float, cells: int, octaves: int = 2) -> Profile:
    """A rolling line around `level`."""
    x = np.linspace(-0.25, canvas.aspect + 0.25, 256, dtype=np.float32)
    line = _fractal(canvas.rng, (round(cells * canvas.aspect) + 1, 1), octaves, (256, 1))[0]
    return Profile(x, level + swing * line)


def _mix(a: Array, b: Array, t: Array | float) -> Array:
    """From a to b; `t` (...) broadcasts over colour."""
    return a + (b - a) * np.asarray(t, np.float32)[..., None]


def _ramp(low: float, high: float, value: Array) -> Array:
    """0 at `low`, 1 at `high`, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


# ---- composition -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ground:
    """What the things that stand in a scene must know about where they stand."""

    label: int  # GRASS, SAND or SNOW
    top: Profile
    water: tuple[Profile, Profile] | None = None  # far and near shore
    road: Callable[[Array | float], tuple[Array, Array]] | None = None  # depth -> centre x, half width

    def free(self, canvas: Canvas, x: Array, y: Array) -> Array:
        """Which points (N,) are dry land off the road, with some room."""
        free = y > self.top.at(x) + 0.005
        if self.water:
            far, near = (shore.at(x) for shore in self.water)
            free &= (y < far - 0.005) | (y > near + 0.03) | (far > near - 0.01)
        if self.road:
            centre, half = self.road((y - canvas.horizon) / (1 - canvas.horizon))
            free &= np.abs(x - centre) > 1.5 * half + 0.02
        return free


def _compose(canvas: Canvas) -> None:
    rng = canvas.rng
    kind = rng.choice(["meadow", "lake", "coast", "winter", "dunes"], p=[0.42, 0.2, 0.18, 0.1, 0.1])
    _sky(canvas)
    _clouds(canvas)
    if rng.random() < (0.35 if kind == "coast" else 0.7):
        _mountains(canvas)
    if rng.random() < {"coast": 0.4, "dunes": 0.2}.get(kind, 0.75):
        _hills(canvas)
    ground = _ground(canvas, {"coast": SAND, "dunes": SAND, "winter": SNOW}.get(kind, GRASS))
    if kind in ("dunes", "winter"):
        _drifts(canvas, ground.label)
    if kind in ("coast", "lake"):
        far, near = _sea(canvas) if kind == "coast" else _lake(canvas)
        _shore(canvas, far, near, ground.label)
        _water(canvas, far, near, surf=kind == "coast")
        ground = replace(ground, water=(far, near))
    elif rng.random() < (0.15 if kind == "dunes" else 0.4):
        ground = replace(ground, road=_road(canvas, ground))
    if ground.label == GRASS and rng.random() < 0.45:
        _flowers(canvas, ground)
    _things(canvas, ground)


def _things(canvas: Canvas, ground: Ground) -> None:
    """Buildings, trees and rocks, each kind in some scenes only, painted from far to near."""
    rng = canvas.rng
    trees = {GRASS: 14, SNOW: 10, SAND: 2}[ground.label]
    tree = _conifer if ground.label == SNOW or rng.random() < 0.4 else _broadleaf
    plan = (  # painter, how many, chance, height at the bottom of the picture, greatest depth
        (_building, rng.integers(1, 5), 0.12 if ground.label == SAND else 0.32, 0.55, 0.4),
        (tree, rng.integers(trees // 2, trees + 1), 0.3 if ground.label == SAND else 0.85, 0.62, 0.75),
        (_rock, rng.integers(1, 6), 0.4, 0.2, 0.95),
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


# ---- sky -------------------------------------------------------------------------------------------------------------


def _sky(canvas: Canvas) -> None:
    light = canvas.light
    down = np.clip(canvas.y / canvas.horizon, 0, 1) ** 1.2
    canvas.image[:] = _mix(light.zenith, light.horizon, down)
    canvas.labels[:] = SKY
    distance = np.hypot(canvas.x - light.sun[0], canvas.y - light.sun[1])
    shine = 0.0 if light.overcast else 0.42 * np.exp(-distance / 0.14) + 0.26 * np.exp(-distance / 0.5)
    white = _mix(light.direct, np.ones(3, np.float32), 0.35)
    canvas.glaze(np.broadcast_to(np.float32(shine), distance.shape), white)
    if not light.overcast:
        radius = 0.035 + 0.03 * (light.sun[1] / canvas.horizon) ** 2  # a low sun looks larger
        disc = distance < radius
        canvas.paint(disc, _mix(white, np.ones(3, np.float32), 0.9 * _ramp(radius, 0.3 * radius, distance)), SUN)


def _clouds(canvas: Canvas) -> None:
    """Heaps with flat bases; a closed layer when overcast."""
    light, rng = canvas.light, canvas.rng
    count = rng.integers(0, 5)
    places = rng.random((5, 4), np.float32)
    sky = canvas.crop(0, 0, canvas.aspect, canvas.horizon)
    density = np.full(sky.labels.shape, -1.0, np.float32)
    for across, up, long, tall in places[: max(count, 3 * light.overcast)]:
        x, y = across * canvas.aspect, canvas.horizon * (0.08 + 0.72 * up)
        scale = 1.3 - up + 0.7 * light.overcast  # clouds near the horizon are far away
        rise = (sky.y - y) / (scale * (0.06 + 0.06 * tall))
        rise = np.where(rise > 0, 2.2 * rise, rise)
        density = np.maximum(density, 1 - ((sky.x - x) / (scale * (0.16 + 0.2 * long))) ** 2 - rise**2)
    density += 0.55 * canvas.noise(5, 8, 3)[: len(density)]
    coverage = _ramp(0.0, 0.45, density)
    toward = _shifted(density, -0.03 * canvas.scale * np.sign(light.toward[0]), 0.03 * canvas.scale)  # nearer the light
    lit = np.clip(0.62 + 0.45 * (density - toward) - 0.12 * density, 0, 1)
    shadow = (0.55 - 0.1 * light.overcast) * light.haze + 0.42 * light.ambient
    bright = np.minimum(1, 0.35 * light.direct + 0.45 * light.horizon + 0.27 + 0.08 * light.overcast)
    sky.glaze(0.95 * coverage, _mix(shadow, bright, lit))
    np.copyto(sky.labels, np.uint8(CLOUD), where=coverage > 0.5)


def _shifted(field: Array, right: float, down: float) -> Array:
    """The field (H, W) moved by so many samples; its borders are continued."""
    move = np.array([[1, 0, right], [0, 1, down]], np.float32)
    return cv2.warpAffine(field, move, field.shape[::-1], borderMode=cv2.BORDER_REPLICATE)


# ---- far land --------------------------------------------------------------------------------------------------------


def _mountains(canvas: Canvas) -> None:
    """One or two ranges; each peak has a lit and a shaded face, divided by a crooked edge that descends from it."""
    rng = canvas.rng
    ranges = rng.integers(1, 3)
    snowline = canvas.horizon - rng.uniform(0.1, 0.3)
    for layer in reversed(range(2)):  # the draws are made for both
        height = rng.uniform(0.14, 0.3) * (1 + 0.35 * layer)
        peaks = rng.random((6, 3), np.float32)
        crags = _profile(canvas, 0, 0.014, 14, 3)
        if layer < ranges:
            spread = 0.5 + 0.6 * peaks[:, 2:]  # steepness
            tents = height * (0.35 + 0.65 * peaks[:, 1:2]) - spread * np.abs(crags.x - canvas.aspect * peaks[:, :1])
            skyline = canvas.horizon - np.maximum(tents.max(0), 0.15 * height)
            _range(canvas, Profile(crags.x, skyline + crags.y), float(snowline), 0.42 + 0.25 * layer)


def _range(canvas: Canvas, ridge: Profile, snowline: float, distance: float) -> None:
    band = canvas.crop(0, float(ridge.y.min()), canvas.aspect, canvas.horizon + 0.12)
    below = band.y - ridge.at(band.x)  # (H, W), distance under the skyline
    facing = np.tanh(2.5 * ridge.slope(band.x + 0.5 * below * band.rough))
    lambert = np.clip(0.42 + 0.5 * facing * band.light.toward[0] + 0.12 * band.rough + 0.06 * band.fine, 0, 1)
    haze = distance + 0.5 * np.clip(below / 0.4, 0, 0.6)  # mist gathers in the valleys
    stone = band.light.on(_rgb(132, 122, 118), lambert)
    band.paint(below > 0, _mix(stone, band.light.haze, haze), MOUNTAIN)
    snow = (below > 0) & (band.y + 0.04 * band.rough + 0.025 * facing < snowline)
    white = band.light.on(_rgb(250, 252, 255), 0.35 + 0.7 * lambert)
    band.paint(snow, _mix(white, band.light.horizon, 0.5 * haze), SNOW)


def _hills(canvas: Canvas) -> None:
    """Rounded, wooded ridges."""
    rng = canvas.rng
    for layer in range(rng.integers(1, 3)):
        crest = _profile(canvas, canvas.horizon - rng.uniform(0.03, 0.11) + 0.03 * layer, 0.055, 2)
        band = canvas.crop(0, float(crest.y.min()), canvas.aspect, canvas.horizon + 0.12)
        below = band.y - crest.at(band.x)
        facing = np.tanh(4 * crest.slope(band.x + 0.3 * below * band.rough))
        lambert = np.clip(0.45 + 0.35 * facing * band.light.toward[0] - 1.2 * below + 0.2 * band.fine, 0, 1)
        woods = _mix(_rgb(96, 118, 62), _rgb(48, 76, 48), _ramp(-0.3, 0.4, band.rough + 0.5 * band.fine))
        colour = _mix(band.light.on(woods, lambert), band.light.haze, 0.42 - 0.14 * layer)
        band.paint(below > 0, colour, HILL)


# ---- ground and water ------------------------------------------------------------------------------------------------


_SURFACES = {  # albedo of the hollows and of the tufts
    GRASS: (_rgb(74, 104, 38), _rgb(150, 168, 72)),
    SAND: (_rgb(200, 170, 118), _rgb(238, 214, 164)),
    SNOW: (_rgb(214, 224, 240), _rgb(250, 251, 255)),
}


def _ground(canvas: Canvas, label: int) -> Ground:
    top = _profile(canvas, canvas.horizon + 0.012, 0.012, 3)
    land = canvas.below(float(top.y.min()))
    texture = _perspective_noise(land, 11, 9)
    dark, bright = _SURFACES[label]
    relief = (0.18 if label == GRASS else 0.1) * texture
    if label == GRASS:
        relief += (0.15 + 0.35 * land.depth) * land.noise(64, 20, 1) + 0.12 * land.fine  # blades
    if label == SAND:
        ripples = np.sin(14 / (land.depth + 0.25) + 6 * land.x + 2.5 * land.rough)
        relief += 0.16 * land.depth * ripples  # drawn by the wind
    tufts = 0.5 + relief + (0.15 if label == GRASS else 0.08) * land.rough
    lambert = 0.66 + 0.12 * land.rough + 0.25 * relief + 0.04 * land.fine  # the shadows of clouds, and of unevenness
    colour = land.light.on(_mix(dark, bright, np.clip(tufts, 0, 1)), np.clip(lambert, 0, 1))
    colour = _mix(colour, land.light.haze, 0.45 * (1 - land.depth) ** 5)
    land.paint(land.y > top.at(land.x), colour, label)
    return Ground(label, top)


def _drifts(canvas: Canvas, label: int) -> None:
    """Dunes, or snow that the wind has heaped: smooth crests with a lit and a shaded flank."""
    dark, bright = _SURFACES[label]
    for depth in (0.08, 0.25, 0.55):
        level = canvas.horizon + (1 - canvas.horizon) * (depth + 0.1 * canvas.rng.random())
        crest = _profile(canvas, level, 0.02 + 0.07 * depth, 2, 1)
        land = canvas.below(float(crest.y.min()))
        below = land.y - crest.at(land.x)
        facing = np.tanh(5 * crest.slope(land.x + 0.8 * below)) * land.light.toward[0]
        lambert = np.clip(0.6 + 0.35 * facing + 0.06 * land.rough + 0.03 * land.fine, 0, 1)
        colour = land.light.on(_mix(dark, bright, lambert), lambert)
        # The flank runs out into the plain.
        land.glaze(
            (below > 0) * _ramp(0.1 + 0.4 * depth, 0, below) * 0.85,
            _mix(colour, land.light.haze, 0.3 * (1 - depth) ** 4),
        )


def _perspective_noise(land: Canvas, across: float, along: float) -> Array:
    """Noise (H, W) in about [-1, 1] that lies on the ground: `across` features at the bottom, ever more behind."""
    tile = land.rng.random((64, 64), np.float32) * 2 - 1
    distance = 1 / (land.depth + 0.12)
    u = across * (land.x - land.aspect / 2) * distance
    v = np.broadcast_to(along * distance, u.shape)
    near = cv2.remap(tile, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    detail = cv2.remap(tile, 2.7 * u + 9, 2.7 * v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return (near + 0.6 * detail) * (0.35 + 0.65 * np.sqrt(land.depth))  # far features are smaller than a pixel


def _sea(canvas: Canvas) -> tuple[Profile, Profile]:
    far = _profile(canvas, canvas.horizon, 0, 1)
    near = _profile(canvas, canvas.rng.uniform(0.6, 0.85), 0.05, 2)
    tilt = canvas.rng.uniform(-0.22, 0.22) * (near.x / canvas.aspect - 0.5)
    return far, replace(near, y=np.maximum(near.y + tilt, canvas.horizon + 0.06).astype(np.float32))


def _lake(canvas: Canvas) -> tuple[Profile, Profile]:
    rng, depth = canvas.rng, 1 - canvas.horizon
    middle = canvas.horizon + depth * rng.uniform(0.22, 0.42)
    x, reach = canvas.aspect * rng.uniform(0.1, 0.9), canvas.aspect * rng.uniform(0.4, 0.9)
    far, near = _profile(canvas, middle, 0.012, 4), _profile(canvas, middle, 0.03, 3)
    swell = np.sqrt(np.clip(1 - ((far.x - x) / reach) ** 2, 0, 1))
    pinch = 0.06 * (swell == 0)  # beyond its ends the shores cross, so that there is no water
    return replace(far, y=far.y - 0.13 * depth * swell + pinch), replace(near, y=near.y + 0.35 * depth * swell - pinch)


def _shore(canvas: Canvas, far: Profile, near: Profile, ground: int) -> None:
    """A strip of sand, wet towards the water."""
    land = canvas.below(float(far.y.min()) - 0.02)
    off = land.y - near.at(land.x)  # (H, W), how far in front of the near shore
    sand = (off < 0.03 + 0.015 * land.rough) & (land.y > far.at(land.x) - 0.006) & (near.at(land.x) > far.at(land.x))
    if ground != SAND:
        lambert = np.clip(0.65 + 0.15 * land.fine, 0, 1)
        land.paint(sand, land.light.on(_SURFACES[SAND][0] * 1.08, lambert), SAND)
    wet = _ramp(0.05, 0, off + 0.01 * land.rough) * (off > 0)
    land.glaze(0.4 * wet.astype(np.float32), land.image * _rgb(150, 140, 130))


def _water(canvas: Canvas, far: Profile, near: Profile, surf: bool) -> None:
    """The mirror image of what stands behind, broken by waves, over the water's own colour.

    Foam lines the shore, and with `surf` a second wave rolls in.
    """
    light = canvas.light
    band = canvas.crop(0, float(far.y.min()), canvas.aspect, float(near.y.max()))
    waves = _perspective_noise(band, 5, 26)
    shore = far.at(band.x)
    mirror_x = band.x + 0.02 * waves * (0.3 + band.depth)
    mirror_y = 2 * shore - band.y + 0.03 * waves
    reflected = cv2.remap(
        canvas.image,
        mirror_x * canvas.scale - 0.5,
        mirror_y * canvas.scale - 0.5,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    own = light.on(_rgb(38, 104, 122), 0.55 + 0.4 * waves)
    colour = _mix(reflected, own, np.clip(0.25 + 0.5 * band.depth + 0.12 * waves, 0, 0.75))
    if not light.overcast:
        path = np.exp(-(((band.x - light.sun[0]) / (0.05 + 0.2 * band.depth)) ** 2))
        colour += 0.9 * (path * _ramp(0.1, 0.8, waves))[..., None] * light.direct
    offshore = near.at(band.x) - band.y
    foam = _ramp(0.5, 1, 1 - np.abs(offshore - 0.006) / 0.016 + 0.5 * band.rough)
    foam += 0.7 * _ramp(0.5, 1, 1 - np.abs(offshore - 0.06 - 0.02 * band.rough) / 0.014) * surf
    white = light.on(_rgb(240, 244, 246), 0.7)
    colour = _mix(colour, white, np.clip(foam, 0, 1) * (0.9 if surf else 0.3))
    band.paint((band.y > shore) & (offshore > 0), colour.astype(np.float32), WATER)


def _road(canvas: Canvas, ground: Ground) -> Callable[[Array | float], tuple[Array, Array]]:
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
    asphalt = land.light.on(_rgb(112, 110, 114), np.clip(0.6 + 0.12 * land.fine + 0.15 * land.rough, 0, 1))
    dashes = (np.abs(off) < 0.06) & ((2.2 / (land.depth + 0.1)) % 1 < 0.5)
    lines = dashes | (np.abs(np.abs(off) - 0.88) < 0.05)
    colour = _mix(asphalt, land.light.on(_rgb(250, 244, 220), 0.8), 0.8 * lines)
    land.paint(on_road, _mix(colour, land.light.haze, 0.4 * (1 - land.depth) ** 5), ROAD)
    return course


_PETALS = (_rgb(226, 48, 44), _rgb(250, 206, 44), _rgb(170, 92, 214), _rgb(250, 246, 240), _rgb(244, 120, 168))


def _flowers(canvas: Canvas, ground: Ground) -> None:
    """Patches of bright specks of one kind in the grass."""
    petals = _PETALS[canvas.rng.integers(len(_PETALS))]
    places = canvas.rng.random((canvas.rng.integers(2, 8), 3), np.float32)
    depth = 0.12 + 0.85 * places[:, 1]
    x, y = canvas.aspect * places[:, 0], canvas.horizon + (1 - canvas.horizon) * depth
    land = canvas.below(canvas.horizon + 0.03)
    specks = _ramp(0.0, 0.45, land.fine)
    lambert = np.clip(0.7 + 0.2 * land.rough, 0, 1)
    colour = _mix(land.light.on(_rgb(70, 104, 42), lambert), land.light.on(petals * 1.1, lambert), specks)
    for i in np.flatnonzero(ground.free(canvas, x, y)):
        wide, high = (0.06 + 0.14 * places[i, 2]) * (0.3 + depth[i]), 0.015 + 0.06 * depth[i]
        inside = 1 - ((land.x - x[i]) / wide) ** 2 - ((land.y - y[i]) / high) ** 2 + 0.5 * land.rough
        land.paint((inside > 0) & (land.labels == GRASS), colour, FLOWER)


# ---- things that stand -----------------------------------------------------------------------------------------------


def _shadow(canvas: Canvas, x: float, y: float, width: float, height: float) -> None:
    """What a thing of this size standing at (x, y) casts: a soft ellipse, longer when the light is low."""
    right, up = canvas.light.toward
    strength = 0.5 - 0.28 * canvas.light.overcast
    reach = min(0.35 * height / up, height)
    middle = x - 0.5 * right * reach
    part = canvas.crop(middle - reach - width, y - 0.3 * width, middle + reach + width, y + 0.3 * width + 0.02)
    along = (part.x - middle) / (0.5 * width + 0.5 * abs(right) * reach)
    inside = 1 - along**2 - ((part.y - y) / (0.17 * width)) ** 2
    blue = 0.6 * part.light.ambient / part.light.ambient.max()
    part.glaze(strength * _ramp(0, 0.5, inside), part.image * blue)


def _broadleaf(canvas: Canvas, x: float, y: float, size: float) -> None:
    lobes = canvas.rng.random((5, 3), np.float32)
    _shadow(canvas, x, y, 0.7 * size, size)
    tree = canvas.crop(x - 0.7 * size, y - 1.1 * size, x + 0.7 * size, y)
    light, (right, up) = tree.light, tree.light.toward
    trunk = np.abs(tree.x - x) < 0.035 * size * (1 + 0.5 * (tree.y > y - 0.05 * size))
    tree.paint(trunk & (tree.y > y - 0.5 * size), light.on(_rgb(92, 68, 50), 0.35), TREE)
    crown = np.full(tree.labels.shape, -1.0, np.float32)
    facing = np.zeros(tree.labels.shape, np.float32)
    for across, rise, radius in lobes:
        radius = (0.2 + 0.1 * radius) * size
        u = (tree.x - x - (across - 0.5) * 0.46 * size) / radius
        v = (tree.y - y + (0.42 + 0.32 * rise) * size) / radius
        inside = 1 - u * u - v * v
        facing = np.where(inside > crown, right * u - up * v, facing)
        crown = np.maximum(crown, inside)
    lambert = np.clip(0.45 + 0.45 * facing + 0.35 * tree.fine, 0, 1)
    leaves = _mix(_rgb(46, 74, 30), _rgb(116, 142, 54), lambert)
    _stand(tree, crown + 0.45 * tree.fine > 0.05, light.on(leaves, lambert), TREE, y)


def _conifer(canvas: Canvas, x: float, y: float, size: float) -> None:
    slim = canvas.rng.uniform(0.2, 0.28)
    _shadow(canvas, x, y, 0.5 * size, size)
    tree = canvas.crop(x - 0.4 * size, y - size, x + 0.4 * size, y)
    light = tree.light
    tree.paint(np.abs(tree.x - x) + 0 * tree.y < 0.03 * size, light.on(_rgb(82, 62, 50), 0.3), TREE)
    down = (tree.y - y + size) / size  # (H, 1), 0 at the tip and 1 at the foot
    tier = (down * 5.5) % 1
    edge = slim * size * down * (0.7 + 0.45 * tier)
    off = (tree.x - x) / np.maximum(edge, 1e-6)
    needles = (np.abs(off) + 0.25 * tree.fine < 1) & (down < 0.9)
    lambert = np.clip(0.4 + 0.4 * off * light.toward[0] - 0.35 * (tier - 0.5) + 0.25 * tree.fine, 0, 1)
    green = _mix(_rgb(28, 56, 42), _rgb(74, 108, 66), lambert)
    _stand(tree, needles, light.on(green, lambert), TREE, y)


def _rock(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A convex block: the nearest of a few planes shows, each with its own share of light."""
    draws = canvas.rng.random((9, 2), np.float32)
    _shadow(canvas, x, y, 1.3 * size, size)
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
    stone = block.light.on(_rgb(150, 142, 132), np.clip(lambert + strata, 0, 1))
    _stand(block, (planes.min(0) > 0) & (v < 0.55 + 0 * u), stone, ROCK, y)


_WALLS = (_rgb(236, 226, 204), _rgb(208, 172, 132), _rgb(186, 106, 84))
_ROOFS = (_rgb(164, 72, 52), _rgb(104, 82, 78))


def _building(canvas: Canvas, x: float, y: float, size: float) -> None:
    """A house with a gable or, now and then, a taller block with a flat roof: lit front, shaded side, windows."""
    rng = canvas.rng
    tall, wall, roof = rng.random() < 0.25, _WALLS[rng.integers(3)], _ROOFS[rng.integers(2)]
    lamps = rng.random((8, 4), np.float32) < canvas.light.lamps
    height, half = (1.25 * size, 0.3 * size) if tall else (0.55 * size, 0.45 * size)
    _shadow(canvas, x, y, 2.2 * half, size)
    house = canvas.crop(x - 1.2 * half, y - 1.4 * height - 0.3 * size, x + 1.2 * half, y)
    light = house.light
    side = -1 if light.toward[0] > 0 else 1  # the wall turned away from the light
    u, v = (house.x - x) / half, (y - house.y) / height  # v: 0 at the foot, 1 at the eaves
    inside = (np.abs(u) < 1) & (v < 1)
    shaded = u * side > 0.45
    lambert = np.where(shaded, 0.12, 0.72) + 0.06 * house.fine
    _stand(house, inside, light.on(wall, lambert), BUILDING, y)
    _windows(house, inside, (u + 1) / 2, np.broadcast_to(v, inside.shape), 5 if tall else 2, lamps)
    if tall:
        house.paint((np.abs(u) < 1.06) & (v > 1) & (v < 1.05), light.on(roof, 0.3), BUILDING)
    else:
        above = (v - 1) / 0.75
        slope = (above > -0.05) & (np.abs(u) < 1.15 - 0.55 * above) & (above < 1)
        tiles = np.where(u * side > 0.6 - 0.2 * above, 0.2, 0.75) + 0.15 * house.fine
        _stand(house, slope, light.on(roof, np.clip(tiles, 0, 1)), BUILDING, y)


def _windows(house: Canvas, wall: Array, u: Array, v: Array, floors: int, lamps: Array) -> None:
    """A grid of four columns over a wall with coordinates u, v in [0, 1]; `lamps` (floors or more, 4) are lit."""
    column, row = np.clip((u * 4).astype(int), 0, 3), np.clip((v * floors).astype(int), 0, floors - 1)
    pane = wall & (np.abs(u * 4 % 1 - 0.5) < 0.24) & (np.abs(v * floors % 1 - 0.5) < 0.27)
    glass = house.light.on(_rgb(70, 84, 104), 0.35)
    house.paint(pane, np.where(lamps[row, column][..., None], _rgb(255, 214, 120), glass), BUILDING)


def _stand(part: Canvas, where: Array, colour: Array, label: int, y: float) -> None:
    """Paint a thing that stands at y: the farther, the hazier."""
    depth = (y - part.horizon) / (1 - part.horizon)
    part.paint(where, _mix(colour, part.light.haze, 0.4 * (1 - depth) ** 6).astype(np.float32), label)
