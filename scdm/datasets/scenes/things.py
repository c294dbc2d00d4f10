"""What all things that stand in a scene share: materials in light and haze, textures made once, shadows."""

from __future__ import annotations

import cv2
import numpy as np

from .canvas import Array, Canvas, Light, ramp, rgb

LEVELS = np.linspace(0, 1, 256, dtype=np.float32)[:, None]
FRESH_SNOW = (rgb(206, 218, 238), rgb(250, 252, 255))  # albedo in the shade and in the light


def hazy(light: Light, colour: Array, depth: float) -> Array:
    """Colour (..., 3) as seen through the air: the farther, the hazier."""
    return colour + light.far(0.4 * (1 - depth) ** 6, depth) * (light.haze - colour)


def stands_on(canvas: Canvas, x: float, y: float) -> int:
    """The class at (x, y), or at the nearest pixel of the picture."""
    rows, columns = canvas.labels.shape
    return int(canvas.labels[min(int(y * canvas.scale), rows - 1), min(max(int(x * canvas.scale), 0), columns - 1)])


def material(part: Canvas, shade: Array, lit: Array, lambert: Array, depth: float) -> Array:
    """Colour (H, W, 3) of a surface whose albedo goes from `shade` to `lit` with the lambert (H, W) in [0, 1].

    Colours are read from a table of 256 lamberts: far cheaper than arithmetic on three channels.
    """
    table = (shade + (lit - shade) * LEVELS) * (part.light.ambient + part.light.direct * LEVELS)
    index = cv2.convertScaleAbs(np.maximum(np.broadcast_to(lambert, part.labels.shape), 0), alpha=255)
    return cv2.LUT(cv2.merge([index] * 3), hazy(part.light, table, depth).astype(np.float32)[None])


def over(colour: Array, share: Array, top: Array) -> None:
    """Lays `top` (..., 3) over colour (H, W, 3), in place, where share (H, W) says how much of it shows."""
    colour += cv2.merge([np.asarray(share, np.float32)] * 3) * (top - colour)


def halved(texture: Array) -> tuple[Array, ...]:
    """The texture and its reductions to a half, a quarter ..., for things that are small or far."""
    levels = [texture]
    while min(levels[-1].shape[:2]) >= 8:
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    return tuple(levels)


def stamped(levels: tuple[Array, ...], part: Canvas, left: float, top: float, unit: float) -> Array:
    """A texture (h, w, C), uint8, as it shows in the part: (H, W, C) in [0, 1], or (H, W) for one channel.

    Its corner is at (left, top) and `unit` texels are as long as the picture is high. Detail finer than a pixel
    averages out.
    """
    times = min(int(np.log2(max(unit / part.scale, 1))), len(levels) - 1)
    texture, unit, half = levels[times], unit / 2**times, 0.5 / part.scale
    x = (part.x[0, [0, -1]] + (-half, half) - left) * unit
    y = (part.y[[0, -1], 0] + (-half, half) - top) * unit
    columns, rows = (_span(ends, count) for ends, count in zip((x, y), texture.shape[1::-1], strict=True))
    window = texture[rows, columns]
    height, width = part.labels.shape
    smooth = cv2.INTER_AREA if len(window) > height else cv2.INTER_LINEAR
    return cv2.resize(window, (width, height), interpolation=smooth).astype(np.float32) / 255


def _span(ends: Array, count: int) -> slice:
    """From the first end to the second, within a texture of so many texels, at least one of them."""
    first, last = np.clip(np.rint(ends).astype(int), 0, count)
    first = min(first, count - 1)
    return slice(first, max(last, first + 1))


def frayed(part: Canvas, detail: Array, reach: float) -> Array:
    """How far (H, W) detail in [-1, 1] moves an outline: at most `reach`, not at all in pictures of 64 pixels."""
    return reach * min(max(part.scale / 192 - 1 / 3, 0), 1) * detail


def repeated(levels: tuple[Array, ...], texels: float, u: Array, v: Array) -> Array:
    """The seamless texture (n, n, C), uint8, at u, v (H, W), in repetitions of it: (H, W, C) in [0, 1].

    About so many texels come to a pixel.
    """
    level = levels[min(int(np.log2(max(texels, 1)) + 0.3), len(levels) - 1)]
    shape, side = np.broadcast_shapes(u.shape, v.shape), np.float32(len(level))
    columns, rows = (np.ascontiguousarray(np.broadcast_to(t % 1 * side - 0.5, shape), np.float32) for t in (u, v))
    found = cv2.remap(level, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return found.astype(np.float32) / 255


def smooth_noise(rng: np.random.Generator, cells: tuple[int, int], size: tuple[int, int]) -> Array:
    """Normal noise (height, width) with cells (rows, columns) features; `size` is (width, height)."""
    return cv2.resize(rng.standard_normal(cells, np.float32), size, interpolation=cv2.INTER_CUBIC)


def within(t: Array, start: Array | float, end: Array | float, samples: Array | float) -> Array:
    """Share of each sample of t that lies between start and end; `samples` to a unit of t."""
    place = t * samples + 0.5
    return np.clip(place - start * samples, 0, 1) - np.clip(place - end * samples, 0, 1)


def cast_shadow(canvas: Canvas, x: float, y: float, width: float, height: float, foot: float) -> None:
    """What a thing of this size standing at (x, y) casts: a soft ellipse, longer when the light is low.

    Around its foot, `foot` wide, hardly any light of the sky arrives either.
    """
    right, up = canvas.light.toward
    reach = min(0.35 * height / up, height)
    middle, half = x - 0.5 * right * reach, 0.5 * width + 0.5 * abs(right) * reach
    low = 0.17 * width
    part = canvas.crop(min(middle - half, x - foot), y - low, max(middle + half, x + foot), y + low)
    if part.labels.size == 0:
        return
    away = ((part.y - y) / low) ** 2
    inside = 1 - ((part.x - middle) / half) ** 2 - away
    strength = (0.55 - 0.3 * canvas.light.overcast) * ramp(0, 0.5, inside + 0.3 * part.fine * (inside > 0))
    contact = 1 - ((part.x - x) / (0.62 * foot)) ** 2 - ((part.y - y) / (0.16 * foot)) ** 2
    blue = 0.6 * part.light.ambient / part.light.ambient.max()
    part.glaze(np.maximum(strength, 0.75 * ramp(0, 1, contact)), part.image * blue.astype(np.float32))
