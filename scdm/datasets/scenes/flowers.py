"""Patches of flowers in the grass."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from .canvas import FLOWER, GRASS, Array, Canvas, rgb
from .ground import Ground
from .things import frayed, halved, material, over, repeated

_PETALS = (rgb(226, 48, 44), rgb(250, 206, 44), rgb(170, 92, 214), rgb(250, 246, 240), rgb(244, 120, 168))
_HEARTS = (rgb(96, 44, 30), rgb(160, 92, 30), rgb(250, 206, 60), rgb(250, 206, 60), rgb(250, 206, 60))


def paint_flowers(canvas: Canvas, ground: Ground) -> None:
    """Blossoms of one kind with their leaves, larger in front."""
    kind = canvas.rng.integers(len(_PETALS))
    places = canvas.rng.random((canvas.rng.integers(2, 8), 3), np.float32)
    depth = 0.12 + 0.85 * places[:, 1]
    x, y = canvas.aspect * places[:, 0], canvas.horizon + (1 - canvas.horizon) * depth
    for i in sorted(np.flatnonzero(ground.free(canvas, x, y)), key=lambda i: float(y[i])):
        wide, high = (0.06 + 0.14 * places[i, 2]) * (0.3 + depth[i]), 0.015 + 0.06 * depth[i]
        _patch(canvas, float(x[i]), float(y[i]), float(wide), float(high), int(kind))


def _patch(canvas: Canvas, x: float, y: float, wide: float, high: float, kind: int) -> None:
    top = max(y - 1.4 * high, canvas.horizon + 0.03)
    land = canvas.crop(x - 1.4 * wide, top, x + 1.4 * wide, y + 1.4 * high)
    if land.labels.size == 0:
        return
    near = 0.3 + land.depth  # (H, 1)
    tall = 0.27 * near  # of one repetition of the texture
    # Blossoms stay round: dv / dy = 1 / tall, whose integral is this logarithm.
    u, v = (land.x - x) / tall + 7 * x, np.log(near) * ((1 - land.horizon) / 0.27) + 5 * y
    texels = 512 / (float(tall.mean()) * land.scale)  # to a pixel
    meadow = repeated(_blossoms(), texels, u, v)
    shine, bloom, heart, leaf = cv2.split(meadow)
    colour = material(land, rgb(40, 66, 26), rgb(112, 142, 58), 0.25 + 0.2 * land.rough + 0.6 * leaf, 1)
    petals = _PETALS[kind]
    lambert = 1.05 * shine / np.maximum(bloom, 1e-3) - 0.18 + 0.15 * land.rough
    over(colour, bloom, material(land, 0.72 * petals, np.minimum(1.12 * petals, 1), np.minimum(lambert, 1), 1))
    over(colour, heart, land.light.on(_HEARTS[kind], np.float32(0.8)))
    over(colour, land.light.far(0, land.depth), land.light.haze)
    inside = 1 - ((land.x - x) / wide) ** 2 - ((land.y - y) / high) ** 2 + 0.5 * land.rough
    coverage = land.cover(0.5 * high * inside + frayed(land, bloom + leaf - 0.6, 0.006))
    land.paint(coverage * (land.labels == GRASS), colour, FLOWER)


@cache
def _blossoms() -> tuple[Array, ...]:
    """(512, 512, 4) uint8 and its halves, seamless: light on petals, share of petals, of hearts, light on leaves."""
    rng = np.random.default_rng(13)
    bloom, leaves = np.zeros((1024, 1024, 3), np.uint8), np.full((1024, 1024), 40, np.uint8)
    right, below = np.array([1, 0]), np.array([5, 14])
    for x, y in rng.uniform(0, 1024, (2200, 2)):
        lean, length, tone = rng.normal(0, 12), rng.uniform(28, 60), rng.uniform(50, 235)
        tip, bow = np.array([lean, -length]), np.array([0.8 * lean, -length / 2])
        blade = np.array([(-4, 0), bow - 4 * right, tip, bow + 4 * right, (4, 0)])
        for shift in _wrapped(x, y, 64):
            cv2.fillPoly(leaves, [np.int32(blade + shift)], tone, cv2.LINE_AA)
    grid = np.mgrid[:13, :13].reshape(2, -1).T
    spots = (grid + rng.uniform(0, 0.9, grid.shape))[rng.random(len(grid)) < 0.8] * (1024 / 13)
    for y, x in spots:  # from far to near
        radius, tilt, turn, petals = rng.uniform(26, 42), rng.uniform(0.5, 0.95), rng.uniform(0, 6), rng.integers(5, 8)
        for middle in _wrapped(x, y, 96):
            shadow = np.int32(middle + below).tolist()
            cv2.ellipse(leaves, shadow, (int(radius), int(0.6 * radius)), 0, 0, 360, 22, -1, cv2.LINE_AA)
            _blossom(bloom, middle, radius, tilt, turn + np.arange(petals) * (2 * np.pi / petals))
    return halved(cv2.resize(np.dstack([bloom, leaves]), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))


def _blossom(bloom: Array, middle: Array, radius: float, tilt: float, angles: Array) -> None:
    """Petals around a heart, seen from the side: those behind first, each with a darker rim."""
    for angle in sorted(angles, key=np.sin):
        direction = np.array([np.cos(angle), tilt * np.sin(angle)])
        at = np.int32(middle + 0.58 * radius * direction).tolist()
        long, broad = int(0.5 * radius * np.hypot(*direction)), int(0.17 * radius * (1 + tilt))
        shade, degrees = 205 - 30 * np.sin(angle), float(np.rad2deg(np.arctan2(direction[1], direction[0])))
        cv2.ellipse(bloom, at, (long + 2, broad + 2), degrees, 0, 360, (0.6 * shade, 255, 0), -1, cv2.LINE_AA)
        cv2.ellipse(bloom, at, (long, broad), degrees, 0, 360, (shade, 255, 0), -1, cv2.LINE_AA)
    heart = (int(0.24 * radius), int(0.24 * radius * tilt))
    cv2.ellipse(bloom, np.int32(middle).tolist(), heart, 0, 0, 360, (220, 255, 255), -1, cv2.LINE_AA)


def _wrapped(x: float, y: float, room: float) -> list[Array]:
    """Where a thing at (x, y) has to be drawn so that a texture of 1024 is seamless."""
    places = [np.array([x + a, y + b]) for a in (-1024, 0, 1024) for b in (-1024, 0, 1024)]
    return [place for place in places if (-room < place).all() and (place < 1024 + room).all()]
