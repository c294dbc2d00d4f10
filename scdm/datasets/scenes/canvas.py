"""The picture while it is painted: light, colour and layout, noise, and the curves of skylines and shores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# The classes of assets/classes/scenes.json, in its order.
SKY, CLOUD, SUN, MOUNTAIN, SNOW, HILL, GRASS, TREE, WATER, SAND, ROAD, BUILDING, ROCK, FLOWER = range(14)

Array = NDArray[Any]  # float32, unless noted as bool or class id
SAMPLE = 0.75  # where in a pixel colour and class are taken, in both directions


def rgb(*channels: int) -> Array:
    return np.array(channels, np.float32) / 255


def mix(a: Array, b: Array, t: Array | float) -> Array:
    """From a to b; `t` (...) broadcasts over colour."""
    t = np.asarray(t, np.float32)
    if t.ndim == 2 and t.size and a.ndim == b.ndim == 1:
        # A channel at a time: numpy is slow where the last axis has 3 entries.
        return cv2.merge([t * (end - start) + start for start, end in zip(a, b, strict=True)])
    return a + (b - a) * (cv2.merge((t, t, t)) if t.ndim == 2 and t.size else t[..., None])


def ramp(low: float, high: float, value: Array) -> Array:
    """0 at `low`, 1 at `high`, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


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
    fog: float = 0.0  # 0 on a clear day; at 1 nothing far is seen
    sun: tuple[float, float] = (0.0, 0.0)  # (x, y), may lie outside the picture
    toward: tuple[float, float] = (0.0, 1.0)  # unit vector to the light in the picture plane, (right, up)

    @property
    def haze(self) -> Array:
        """What far things fade to: the air between, paler and bluer than they are."""
        return 0.65 * self.horizon + 0.35 * self.zenith

    def far(self, haze: Array | float, depth: Array | float = 0.0) -> Array:
        """The share of haze in what is seen at a depth, for its share on a clear day: fog takes its part of the rest."""
        fog = self.fog * (1 - np.clip(np.asarray(depth, np.float32), 0, 1)) ** 1.5
        return np.minimum(haze + (1 - np.asarray(haze, np.float32)) * fog, 0.82)

    def on(self, albedo: Array, lambert: Array | float) -> Array:
        """The colour (..., 3) of a surface; `lambert` (...) is 0 in shadow and 1 when facing the light."""
        return albedo * mix(self.ambient, self.ambient + self.direct, lambert)


_TIMES = (
    Light(0.34, rgb(58, 118, 196), rgb(186, 214, 236), rgb(214, 202, 172), rgb(100, 112, 132), (0.55, 0.9)),  # noon
    Light(0.16, rgb(112, 150, 200), rgb(246, 214, 200), rgb(218, 182, 152), rgb(108, 110, 130), (0.15, 0.5)),  # dawn
    Light(0.20, rgb(92, 122, 172), rgb(255, 200, 140), rgb(255, 178, 104), rgb(100, 90, 108), (0.08, 0.4), lamps=0.15),
    Light(0.16, rgb(142, 152, 166), rgb(206, 212, 216), rgb(60, 60, 58), rgb(156, 160, 168), (0.5, 0.9), True, 0.1),
    Light(
        0.14, rgb(44, 44, 96), rgb(236, 128, 98), rgb(170, 92, 70), rgb(84, 80, 118), (0.02, 0.22), lamps=0.7
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


def _mood(light: Light, detail: np.random.Generator, aspect: float) -> Light:
    """The weather on top of the time of day: now and then fog, or under an overcast sky heavy clouds."""
    kind, strength = detail.random(2)
    if kind > 0.86:
        fog = (0.3 + 0.5 * strength) * (0.5 if 0 <= light.sun[0] <= aspect else 1)  # the sun stays in sight
        pale = mix(light.horizon, np.full(3, light.horizon.mean(), np.float32), 0.4)
        zenith, horizon = mix(light.zenith, pale, 0.9 * fog), mix(light.horizon, pale, fog)
        ambient = light.ambient * np.float32(1 + 0.25 * fog)
        return replace(
            light, fog=fog, zenith=zenith, horizon=horizon, direct=light.direct * (1 - 0.6 * fog), ambient=ambient
        )
    if light.overcast and kind < 0.4:
        dark = np.float32(0.92 - 0.2 * strength)
        return replace(
            light, zenith=light.zenith * dark**1.5, horizon=light.horizon * dark, ambient=light.ambient * dark
        )
    return light


@dataclass(frozen=True)
class Canvas:
    """The picture and its layout while they are painted; `crop` gives a view of a part with the same coordinates."""

    image: Array  # (H, W, 3)
    labels: Array  # (H, W) uint8
    x: Array  # (1, W) in [0, aspect]
    y: Array  # (H, 1) in [0, 1]
    rough: Array  # (H, W) noise in about [-1, 1] with features of a tenth of the picture, shared by all painters
    fine: Array  # (H, W) likewise, features of about a pixel at 64x64
    scale: float  # pixels to a unit of length, the height of the picture
    light: Light
    rng: np.random.Generator  # of the composition: what it draws, and in which order, settles the layout
    detail: np.random.Generator  # of all that leaves the layout alone
    aspect: float
    horizon: float

    @property
    def depth(self) -> Array:
        """(H, 1): how near the ground is, 0 at the horizon and 1 at the bottom."""
        return np.clip(self.depth_at(self.y), 0, 1)

    def depth_at(self, y: Any) -> Any:
        """Of what stands at y: 0 at the horizon, 1 at the bottom of the picture."""
        return (y - self.horizon) / (1 - self.horizon)

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

    def cover(self, distance: Array) -> Array:
        """How much of each pixel lies inside, for the signed distance (H, W) from an outline, positive inside."""
        return np.clip(distance * self.scale + 0.5, 0, 1)

    def paint(self, coverage: Array, colour: Array, label: int) -> None:
        """Colour (broadcastable to (H, W, 3)), and class id where it prevails; coverage as in `glaze`."""
        self.glaze(coverage, colour)
        np.copyto(self.labels, np.uint8(label), where=coverage > 0.5)

    def glaze(self, coverage: Array, colour: Array) -> None:
        """Colour that leaves the class alone; coverage (broadcastable to (H, W)) in [0, 1], or bool."""
        if not self.labels.size:
            return
        share = np.asarray(coverage, np.float32)
        if share.shape != self.labels.shape:
            share = np.broadcast_to(share, self.labels.shape).copy()
        change = np.asarray(colour, np.float32) - self.image
        change *= cv2.merge((share, share, share))
        np.add(self.image, change, out=self.image)

    def noise(self, columns: int, rows: int, octaves: int) -> Array:
        """Fractal noise (H, W) in about [-1, 1], with `columns` x `rows` features on a square canvas."""
        height, width = self.labels.shape
        return fractal(self.rng, (round(columns * self.aspect), rows), octaves, (width, height))


def blank(rng: np.random.Generator, detail: np.random.Generator, height: int, width: int) -> Canvas:
    aspect = width / height
    horizon = float(rng.uniform(0.36, 0.58))
    size = (width, height)
    return Canvas(
        image=np.zeros((height, width, 3), np.float32),
        labels=np.zeros((height, width), np.uint8),
        x=((np.arange(width, dtype=np.float32) + SAMPLE) / height)[None],
        y=((np.arange(height, dtype=np.float32) + SAMPLE) / height)[:, None],
        rough=fractal(rng, (round(9 * aspect), 9), 3, size),
        fine=fractal(rng, (round(60 * aspect), 60), 1, size),
        scale=float(height),
        light=_mood(_light(rng, aspect, horizon), detail, aspect),
        rng=rng,
        detail=detail,
        aspect=aspect,
        horizon=horizon,
    )


def fractal(rng: np.random.Generator, cells: tuple[int, int], octaves: int, size: tuple[int, int]) -> Array:
    """Octaves of random grids (columns, rows), each twice as fine and half as strong, enlarged to (width, height)."""
    columns, rows = max(cells[0], 1), cells[1]
    total: Array = np.zeros(size[::-1], np.float32)
    for octave in range(octaves):
        grid = rng.random((rows << octave, columns << octave), np.float32) * 2 - 1
        down, right = _cubic(rows << octave, size[1]), _cubic(columns << octave, size[0])
        # cv2's product, since numpy's may wake as many threads as there are cores.
        across = cv2.gemm(grid, right, 1, np.zeros((len(grid), len(right)), np.float32), 0, flags=cv2.GEMM_2_T)
        total = cv2.gemm(down, across, 0.5**octave, total, 1)
    return total


@lru_cache(64)
def _cubic(cells: int, samples: int) -> Array:
    """(samples, cells): what cubic interpolation makes of so many values, at the places where pixels are sampled."""
    return cv2.resize(np.eye(cells, dtype=np.float32), (cells, 2 * samples), interpolation=cv2.INTER_CUBIC)[1::2].copy()


@dataclass(frozen=True)
class Profile:
    """A curve y(x) over the picture and some way beyond: a skyline or a shore."""

    x: Array
    y: Array

    def at(self, x: Array | float) -> Array:
        return np.asarray(np.interp(x, self.x, self.y), np.float32)

    def slope(self, x: Array) -> Array:
        """dy/dx at x (H, W)."""
        place = (x - self.x[0]) * ((len(self.x) - 1) / (self.x[-1] - self.x[0]))
        rise = np.gradient(self.y, self.x).astype(np.float32)[None]
        return cv2.remap(
            rise, place.astype(np.float32), np.zeros_like(place), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )


def profile(canvas: Canvas, level: float, swing: float, cells: int, octaves: int = 2) -> Profile:
    """A rolling line around `level`."""
    x = np.linspace(-0.25, canvas.aspect + 0.25, 256, dtype=np.float32)
    line = np.zeros(256, np.float32)
    for octave in range(octaves):
        grid = canvas.rng.random((1 << octave, (round(cells * canvas.aspect) + 1) << octave), np.float32) * 2 - 1
        line += cv2.resize(grid, (256, 1), interpolation=cv2.INTER_CUBIC)[0] * 0.5**octave
    return Profile(x, level + swing * line)


def perspective_noise(land: Canvas, across: float, along: float) -> Array:
    """Noise (H, W) in about [-1, 1] that lies on the ground: `across` features at the bottom, ever more behind."""
    tile = land.rng.random((64, 64), np.float32) * 2 - 1
    distance = 1 / (land.depth + 0.12)
    u = across * (land.x - land.aspect / 2) * distance
    v = np.broadcast_to(along * distance, u.shape)
    near = cv2.remap(tile, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    detail = cv2.remap(tile, 2.7 * u + 9, 2.7 * v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return (near + 0.6 * detail) * (0.35 + 0.65 * np.sqrt(land.depth))  # far features are smaller than a pixel
