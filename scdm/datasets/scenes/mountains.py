"""Far land: ranges of mountains, and hills before them."""

from __future__ import annotations

import numpy as np

from .canvas import HILL, MOUNTAIN, SNOW, Canvas, Profile, mix, profile, ramp, rgb


def paint_mountains(canvas: Canvas) -> None:
    """One or two ranges; each peak has a lit and a shaded face, divided by a crooked edge that descends from it."""
    rng = canvas.rng
    ranges = rng.integers(1, 3)
    snowline = canvas.horizon - rng.uniform(0.1, 0.3)
    for layer in reversed(range(2)):  # the draws are made for both
        height = rng.uniform(0.14, 0.3) * (1 + 0.35 * layer)
        peaks = rng.random((6, 3), np.float32)
        crags = profile(canvas, 0, 0.014, 14, 3)
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
    stone = band.light.on(rgb(132, 122, 118), lambert)
    band.paint(below > 0, mix(stone, band.light.haze, haze), MOUNTAIN)
    snow = (below > 0) & (band.y + 0.04 * band.rough + 0.025 * facing < snowline)
    white = band.light.on(rgb(250, 252, 255), 0.35 + 0.7 * lambert)
    band.paint(snow, mix(white, band.light.horizon, 0.5 * haze), SNOW)


def paint_hills(canvas: Canvas) -> None:
    """Rounded, wooded ridges."""
    rng = canvas.rng
    for layer in range(rng.integers(1, 3)):
        crest = profile(canvas, canvas.horizon - rng.uniform(0.03, 0.11) + 0.03 * layer, 0.055, 2)
        band = canvas.crop(0, float(crest.y.min()), canvas.aspect, canvas.horizon + 0.12)
        below = band.y - crest.at(band.x)
        facing = np.tanh(4 * crest.slope(band.x + 0.3 * below * band.rough))
        lambert = np.clip(0.45 + 0.35 * facing * band.light.toward[0] - 1.2 * below + 0.2 * band.fine, 0, 1)
        woods = mix(rgb(96, 118, 62), rgb(48, 76, 48), ramp(-0.3, 0.4, band.rough + 0.5 * band.fine))
        colour = mix(band.light.on(woods, lambert), band.light.haze, 0.42 - 0.14 * layer)
        band.paint(below > 0, colour, HILL)
