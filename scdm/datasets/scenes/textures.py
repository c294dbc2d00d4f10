"""Textures: what is too fine to be drawn anew for each scene, made once in a process and reduced to the picture's scale.

A texture is drawn at `REFERENCE` samples to the height of a picture and averaged over areas, so that detail finer than
a pixel turns into its mean. A ground texture holds the plain from the horizon (its first row) to the bottom of a picture
(its last), in perspective; an upright one repeats in both directions. Both are three channels: height in about [-1, 1],
and its rise to the right and downwards, of about unit deviation, which the light of a scene shades.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np

from .canvas import Array, Canvas

REFERENCE = 1024
WIDTH = 2.0  # in heights of a picture


@lru_cache(64)
def reduced(build: Callable[[], Array], scale: float, rows: int) -> Array:
    """The texture (rows, WIDTH * scale, 3) float32."""
    size = (round(WIDTH * scale), rows)
    whole = _whole(build)
    smaller = rows < len(whole) or size[0] < whole.shape[1]
    return cv2.resize(whole.astype(np.float32), size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


@lru_cache(32)
def _whole(build: Callable[[], Array]) -> Array:
    return build().astype(np.float16)


def lying(part: Canvas, build: Callable[[], Array]) -> Array:
    """A ground texture at a random place across, over a part of a canvas: (H, W, 3)."""
    if not part.labels.size:
        return np.zeros((*part.labels.shape, 3), np.float32)
    tile = reduced(build, part.scale, round(part.scale))
    shift = part.detail.random() * tile.shape[1]
    columns = np.abs(
        (np.arange(part.x.size) + int(part.x[0, 0] * part.scale + shift)) % (2 * tile.shape[1]) - tile.shape[1]
    )
    places = part.depth[:, 0] * (len(tile) - 1)
    first, last = int(places[0]), max(int(np.ceil(places[-1])), int(places[0]) + 1)
    above = int(np.count_nonzero(part.y < part.horizon))
    strip = tile[first : last + 1, np.minimum(columns, tile.shape[1] - 1)]
    rows = len(part.y) - above
    kind = cv2.INTER_AREA if rows < len(strip) else cv2.INTER_LINEAR
    laid = cv2.resize(strip, (strip.shape[1], max(rows, 1)), interpolation=kind)
    return cv2.copyMakeBorder(laid, above, 0, 0, 0, cv2.BORDER_REPLICATE)[: len(part.y)]


def upright(part: Canvas, build: Callable[[], Array], x: Array | None = None, y: Array | None = None) -> Array:
    """An upright texture at a random place, (H, W, 3); at x and y (broadcastable) in place of the part's own."""
    tile = reduced(build, part.scale, round(part.scale))
    down, right = part.detail.random(2) * tile.shape[:2]
    if x is None or y is None:
        rows = (np.arange(part.y.size) + int(down)) % len(tile)
        return tile[rows[:, None], (np.arange(part.x.size) + int(right)) % tile.shape[1]]
    u = np.mod(np.float32(part.scale) * x + np.float32(right), tile.shape[1])
    v = np.mod(np.float32(part.scale) * y + np.float32(down), len(tile))
    u, v = (np.array(place) for place in np.broadcast_arrays(u, v))
    return cv2.remap(tile, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


# ---- what textures are made of ---------------------------------------------------------------------------------------


def relief(height: Array, smooth: float = 0) -> Array:
    """A height (H, W) with its rises (H, W, 3), each by its deviation; the rises are blurred over `smooth` samples."""
    soft = cv2.GaussianBlur(height, (0, 0), smooth) if smooth else height
    right = cv2.Sobel(soft, cv2.CV_32F, 1, 0, ksize=3, borderType=cv2.BORDER_REPLICATE)
    down = cv2.Sobel(soft, cv2.CV_32F, 0, 1, ksize=3, borderType=cv2.BORDER_REPLICATE)
    height = (height - height.mean()) / (2 * height.std() + 1e-6)
    return cv2.merge(
        [np.clip(height, -1.5, 1.5), *(np.clip(side / (side.std() + 1e-6), -3, 3) for side in (right, down))]
    )


def repeating(seed: int, columns: int, rows: int, octaves: int, fall: float = 0.5, billow: bool = False) -> Array:
    """Fractal noise (REFERENCE, WIDTH * REFERENCE) that repeats, of so many features a picture's height at first.

    `billow` folds each octave: round heaps with sharp creases between.
    """
    rng = np.random.default_rng(seed)
    shape = (REFERENCE, round(WIDTH * REFERENCE))
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        grid = rng.random((rows << octave, round(WIDTH * columns) << octave), np.float32) * 2 - 1
        high, wide = (round(side * (count + 4) / count) for side, count in zip(shape, grid.shape, strict=True))
        large = cv2.resize(np.pad(grid, 2, mode="wrap"), (wide, high), interpolation=cv2.INTER_CUBIC)
        top, left = (high - shape[0]) // 2, (wide - shape[1]) // 2
        layer = large[top : top + shape[0], left : left + shape[1]]
        total += (1 - 2.2 * np.abs(layer) if billow else layer) * np.float32(fall**octave)
    return total


def plain(rows: int = REFERENCE) -> tuple[Array, Array, Array]:
    """Depth (H, 1), and where its points lie on the ground: across and away (H, W), both ever faster to the horizon."""
    depth = ((np.arange(rows, dtype=np.float32) + 0.5) / rows)[:, None]
    distance = 1 / (depth + 0.06)
    x = (np.arange(round(WIDTH * REFERENCE), dtype=np.float32)[None] + 0.5) / REFERENCE
    return depth, (x - WIDTH / 2) * distance, np.broadcast_to(distance, (rows, x.size)).copy()


def ground_noise(seed: int, across: Array, away: Array, wide: float, long: float) -> Array:
    """Noise on the ground, in about [-1, 1], with so many features a unit across and away; it fades where it is too fine."""
    cells, fine = 64, 16  # remap knows 32 places between two samples: too few for slopes, were the cells the samples
    grid = np.pad(np.random.default_rng(seed).random((cells, cells), np.float32) * 2 - 1, 2, mode="wrap")
    tile = cv2.resize(grid, None, fx=fine, fy=fine, interpolation=cv2.INTER_CUBIC)[
        2 * fine : -2 * fine, 2 * fine : -2 * fine
    ]
    u, v = (np.mod(fine * t, cells * fine).astype(np.float32) for t in (wide * across, long * away))
    grain = cv2.remap(tile, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    speed = wide * away / REFERENCE + long * away * away / REFERENCE  # features a sample
    return grain * np.exp(-((1.5 * speed) ** 2))
