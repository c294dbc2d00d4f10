"""A road that winds to the horizon."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from .canvas import ROAD, Array, Canvas, rgb
from .ground import Ground
from .things import halved, material, over, repeated, within

Course = Callable[[Array | float], tuple[Array, Array]]  # depth -> centre x, half width


def paint_road(canvas: Canvas, ground: Ground) -> Course:
    """Worn asphalt with markings between kerbs; returns where the road goes."""
    course = _course(canvas)
    land = _along(canvas, course)
    if land.labels.size == 0:
        return course
    light, depth = land.light, land.depth
    centre, half = course(depth)
    pixels = half * land.scale  # (H, 1), to a unit of `off`
    off = (land.x - centre) / half  # (H, W), -1 and 1 at the outer edges of the kerbs
    aside = np.abs(off)
    far = 2.2 / (depth + 0.1)  # distance along the road, in lengths of a dash and its gap
    step = 2.2 / (depth + 0.1) ** 2 / ((1 - land.horizon) * land.scale)  # from one row to the next
    grain = _grain(off, far, step, pixels)
    tracks = np.exp(-(((aside - 0.45) / 0.14) ** 2))  # where wheels run it is darker, and the paint has worn off
    lambert = 0.62 + 0.1 * land.rough + 0.75 * grain - 0.07 * tracks
    colour = material(land, rgb(84, 83, 88), rgb(126, 124, 126), lambert, 1)
    dashes = _pulses(far, step, 0.5)
    lines = within(off, -0.06, 0.06, pixels) * dashes + within(aside, 0.785, 0.855, pixels)
    worn = np.clip(0.88 + 1.9 * grain - 0.25 * tracks, 0.25, 0.95)
    over(colour, worn * lines, material(land, rgb(236, 230, 210), rgb(250, 244, 224), 0.78 + 0.3 * grain, 1))
    joints = _pulses(4 * far, 4 * step, 0.1)
    kerb = (0.74 + 0.5 * grain) * (1 - 0.6 * joints)
    over(
        colour,
        0.95 * within(aside, 0.905, 1.1, pixels),
        material(land, rgb(182, 178, 170), rgb(182, 178, 170), kerb, 1),
    )
    face = 0.45 + 0.3 * (off * light.toward[0] > 0)  # of the kerb: darker where it is turned away from the light
    over(colour, face * within(aside, 0.88, 0.909, pixels), 0 * light.haze)
    over(colour, light.far(0.4 * (1 - depth) ** 5, depth), light.haze)
    outline = np.minimum((1 - aside) * half, land.y - ground.top.at(land.x))
    land.paint(land.cover(outline), colour, ROAD)
    return course


def _course(canvas: Canvas) -> Course:
    start, end, bend, phase = canvas.rng.random(4)
    end = canvas.aspect * (0.25 + 0.5 * end)

    def course(depth: Array | float) -> tuple[Array, Array]:
        depth = np.asarray(depth, np.float32)
        sway = 0.16 * (bend - 0.5) * np.sin(2 * np.pi * (1.3 * np.sqrt(np.maximum(depth, 0)) + phase))
        centre = end + (canvas.aspect * (0.1 + 0.8 * start) - end) * depth + sway * 4 * depth * (1.2 - depth)
        return centre.astype(np.float32), (0.006 + 0.2 * depth).astype(np.float32)

    return course


def _along(canvas: Canvas, course: Course) -> Canvas:
    """The part of the picture that the road crosses."""
    centre, half = course(canvas.below(canvas.horizon).depth)
    room = 2 / canvas.scale
    return canvas.crop(float((centre - half).min()) - room, canvas.horizon, float((centre + half).max()) + room, 1)


def _pulses(t: Array, step: Array, share: float) -> Array:
    """A wave over t that is 1 in the first `share` of each period of 1, else 0, averaged over `step` around t."""

    def integral(t: Array) -> Array:
        return share * np.floor(t) + np.minimum(t % 1, share)

    return (integral(t + step / 2) - integral(t - step / 2)) / step


def _grain(off: Array, far: Array, step: Array, pixels: Array) -> Array:
    """Asphalt (H, W) around 0, foreshortened: each row is read from the reduction that has texels of a pixel's size."""
    across, along = 96 / 256, 150 / 256  # repetitions to a unit of off and of far
    texels = 256 * np.sqrt(across / pixels * along * step)  # to a pixel
    halvings = np.log2(np.maximum(texels[:, 0], 1)).astype(int)
    grain = np.empty(off.shape, np.float32)
    for times in np.unique(halvings):
        rows = halvings == times
        grain[rows] = repeated(_asphalt(), float(2.0**times), across * off[rows], along * far[rows])
    return grain - 0.5


@cache
def _asphalt() -> tuple[Array, ...]:
    """(256, 256) uint8 and its halves, seamless: stains, grit and cracks around 128."""
    rng = np.random.default_rng(12)
    size, stains = 256, np.zeros((256, 256), np.float32)
    for cells, weight in ((8, 14), (32, 9), (128, 13)):
        grid, step = np.pad(rng.uniform(-1, 1, (cells, cells)), 2, mode="wrap"), size // cells
        large = cv2.resize(grid, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        stains += weight * large[2 * step : -2 * step, 2 * step : -2 * step]
    texture = np.clip(128 + stains, 0, 255).astype(np.uint8)
    for _ in range(5):
        crack = rng.uniform(0, size, 2) + np.cumsum(rng.normal(0, 7, (14, 2)) + rng.normal(0, 3, 2), 0)
        for shift in ((0, 0), (size, 0), (-size, 0), (0, size), (0, -size)):
            cv2.polylines(texture, [np.int32(crack + shift)], False, 82, 1, cv2.LINE_AA)
    return halved(texture)
