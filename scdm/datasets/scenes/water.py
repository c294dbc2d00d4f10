"""Seas and lakes: their shores, and the water between."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from .canvas import SAND, WATER, Canvas, Profile, mix, perspective_noise, profile, ramp, rgb
from .ground import SURFACES


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
    sand = (off < 0.03 + 0.015 * land.rough) & (land.y > far.at(land.x) - 0.006) & (near.at(land.x) > far.at(land.x))
    if ground != SAND:
        lambert = np.clip(0.65 + 0.15 * land.fine, 0, 1)
        land.paint(sand, land.light.on(SURFACES[SAND][0] * 1.08, lambert), SAND)
    wet = ramp(0.05, 0, off + 0.01 * land.rough) * (off > 0)
    land.glaze(0.4 * wet.astype(np.float32), land.image * rgb(150, 140, 130))


def paint_water(canvas: Canvas, far: Profile, near: Profile, surf: bool) -> None:
    """The mirror image of what stands behind, broken by waves, over the water's own colour.

    Foam lines the shore, and with `surf` a second wave rolls in.
    """
    light = canvas.light
    band = canvas.crop(0, float(far.y.min()), canvas.aspect, float(near.y.max()))
    waves = perspective_noise(band, 5, 26)
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
    own = light.on(rgb(38, 104, 122), 0.55 + 0.4 * waves)
    colour = mix(reflected, own, np.clip(0.25 + 0.5 * band.depth + 0.12 * waves, 0, 0.75))
    if not light.overcast:
        path = np.exp(-(((band.x - light.sun[0]) / (0.05 + 0.2 * band.depth)) ** 2))
        colour += 0.9 * (path * ramp(0.1, 0.8, waves))[..., None] * light.direct
    offshore = near.at(band.x) - band.y
    foam = ramp(0.5, 1, 1 - np.abs(offshore - 0.006) / 0.016 + 0.5 * band.rough)
    foam += 0.7 * ramp(0.5, 1, 1 - np.abs(offshore - 0.06 - 0.02 * band.rough) / 0.014) * surf
    white = light.on(rgb(240, 244, 246), 0.7)
    colour = mix(colour, white, np.clip(foam, 0, 1) * (0.9 if surf else 0.3))
    band.paint((band.y > shore) & (offshore > 0), colour.astype(np.float32), WATER)
