"""Seas and lakes: their shores, and the water between."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from .canvas import SAMPLE, SAND, WATER, Array, Canvas, Profile, mix, perspective_noise, profile, ramp, rgb
from .ground import SURFACES, ripples
from .textures import ground_noise, lying, plain, relief


def sea_shores(canvas: Canvas) -> tuple[Profile, Profile]:
    far = profile(canvas, canvas.horizon, 0, 1)
    near = profile(canvas, canvas.rng.uniform(0.6, 0.85), 0.05, 2)
    tilt = canvas.rng.uniform(-0.22, 0.22) * (near.x / canvas.aspect - 0.5)
    return far, replace(near, y=np.maximum(near.y + tilt, canvas.horizon + 0.06).astype(np.float32))


def lake_shores(canvas: Canvas) -> tuple[Profile, Profile]:
    rng, depth = canvas.rng, 1 - canvas.horizon
    middle = canvas.horizon + depth * rng.uniform(0.22, 0.42)
    x, reach = canvas.aspect * rng.uniform(0.1, 0.9), canvas.aspect * rng.uniform(0.4, 0.9)
    far, near = profile(canvas, middle, 0.012, 4), profile(canvas, middle, 0.03, 3)
    swell = np.sqrt(np.clip(1 - ((far.x - x) / reach) ** 2, 0, 1))
    pinch = 0.06 * (swell == 0)  # beyond its ends the shores cross, so that there is no water
    return replace(far, y=far.y - 0.13 * depth * swell + pinch), replace(near, y=near.y + 0.35 * depth * swell - pinch)


def paint_shore(canvas: Canvas, far: Profile, near: Profile, ground: int) -> None:
    """A strip of sand, wet towards the water."""
    land = canvas.below(float(far.y.min()) - 0.02)
    off = land.y - near.at(land.x)  # (H, W), how far in front of the near shore
    if ground != SAND:
        _, right, down = cv2.split(lying(land, ripples))
        slope = land.light.toward[0] * right - land.light.toward[1] * down
        lambert = np.clip(0.65 + 0.06 * land.rough + 0.06 * slope, 0, 1)
        within = np.minimum(0.03 + 0.015 * land.rough - off, land.y - far.at(land.x) + 0.006)
        within = np.minimum(within, near.at(land.x) - far.at(land.x))
        land.paint(land.cover(within), land.light.on(SURFACES[SAND][0] * 1.08, lambert), SAND)
    wet = ramp(0.05, 0, off + 0.01 * land.rough) * (off > 0)
    land.glaze(0.4 * wet, land.image * rgb(150, 140, 130))


def chop() -> Array:
    """Small waves, their crests across the view."""
    depth, across, away = plain()
    height = ground_noise(61, across, away, 2.5, 14) + 0.55 * ground_noise(62, across, away, 6, 34)
    height += 0.4 * ground_noise(63, across, away, 15, 80) + 0.2 * ground_noise(64, across, away, 36, 170)
    surface = relief(height)
    surface[..., 1:] *= (0.4 + 0.6 * np.sqrt(depth))[..., None]
    return surface


def paint_water(canvas: Canvas, far: Profile, near: Profile, surf: bool) -> None:
    """The mirror image of what stands behind, broken by waves, over the water's own colour.

    Foam lines the shore, and with `surf` a second wave rolls in.
    """
    light = canvas.light
    band = canvas.crop(0, float(far.y.min()) - 0.004, canvas.aspect, float(near.y.max()) + 0.004)
    swell, depth = perspective_noise(band, 5, 26), band.depth
    height, right, down = cv2.split(lying(band, chop))
    shore = far.at(band.x)
    offshore = near.at(band.x) - band.y
    mirror_x = band.x + (0.01 * swell + 0.006 * right) * (0.3 + depth)
    mirror_y = 2 * shore - band.y + (0.02 * swell + 0.014 * down) * (0.35 + depth)
    reflected = cv2.remap(
        canvas.image,
        (mirror_x * canvas.scale - SAMPLE).astype(np.float32),
        (mirror_y * canvas.scale - SAMPLE).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    shallow = ramp(0.16, 0, offshore)
    own = light.on(
        mix(rgb(34, 98, 118), rgb(112, 148, 132), 0.6 * shallow), np.clip(0.5 + 0.25 * swell + 0.1 * down, 0, 1)
    )
    share = 0.22 + 0.42 * depth + 0.1 * swell + 0.13 * down + 0.15 * shallow  # what faces the viewer mirrors less
    colour = mix(reflected, own, np.clip(share, 0.05, 0.8))
    if not light.overcast:
        path = np.exp(-(((band.x - light.sun[0]) / (0.05 + 0.2 * depth)) ** 2))
        glitter = ramp(0.2, 1.3, 0.6 * swell - 0.5 * down + 0.25 * height)
        colour += mix(np.zeros(3, np.float32), np.float32(0.95) * light.direct, path * glitter * (1 - 0.8 * light.fog))
    colour = mix(colour, light.haze, light.far(0.1 * (1 - depth) ** 4, depth))
    lace = 0.35 * height + 0.5 * band.rough
    foam = ramp(0.35, 1, 1 - np.abs(offshore - 0.006) / 0.018 + lace)
    foam += 0.8 * ramp(0.4, 1.1, 1 - np.abs(offshore - 0.06 - 0.02 * band.rough) / 0.016 + 0.5 * height) * surf
    foam += 0.35 * ramp(0.5, 1.2, 0.8 * height + ramp(0.06, 0.0, np.abs(offshore - 0.03)) - 0.2) * surf
    colour = mix(
        colour, light.on(rgb(240, 244, 246), 0.62 + 0.1 * swell), np.clip(foam, 0, 1) * (0.92 if surf else 0.3)
    )
    band.paint(band.cover(np.minimum(band.y - shore, offshore)), colour, WATER)
