"""Far land: ranges of mountains, and hills before them."""

from __future__ import annotations

import numpy as np

from .canvas import HILL, MOUNTAIN, SNOW, Array, Canvas, Profile, mix, profile, ramp, rgb
from .textures import relief, repeating, upright


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


def crags() -> Array:
    """Ribs of rock and the gullies between, from large to small."""
    return relief(repeating(21, 14, 8, 6, 0.62, billow=True))


def canopy() -> Array:
    """Woods from far: round crowns, lit from above, over dark gaps."""
    heaps = repeating(22, 80, 120, 2, 0.5, billow=True)
    return relief(heaps + 0.5 * repeating(23, 12, 24, 2))


def _range(canvas: Canvas, ridge: Profile, snowline: float, distance: float) -> None:
    band = canvas.crop(0, float(ridge.y.min()) - 0.01, canvas.aspect, canvas.horizon + 0.12)
    light = band.light
    below = band.y - ridge.at(band.x)  # (H, W), distance under the skyline
    facing = np.tanh(2.5 * ridge.slope(band.x + 0.5 * below * band.rough))
    # Gullies run down the faces: away from the edge that parts the lit face from the shaded one.
    rock = upright(band, crags, band.x - 0.55 * facing * below, 0.6 * band.y)
    ribs = light.toward[0] * rock[..., 1] - light.toward[1] * rock[..., 2]
    scree = ramp(0.05, 0.2, below + 0.05 * band.rough)  # rubble smooths the lower slopes
    lambert = 0.42 + 0.42 * facing * light.toward[0] + 0.08 * band.rough
    lambert += (0.16 - 0.09 * scree) * ribs * (0.5 if light.overcast else 1)
    lambert = np.clip(lambert + 0.1 * rock[..., 0] * (1 - scree), 0, 1.1)
    haze = distance + 0.5 * np.clip(below / 0.4, 0, 0.6)  # mist gathers in the valleys
    tone = np.clip(0.5 + 0.5 * rock[..., 0] - 0.4 * scree + 0.3 * band.rough, 0, 1)
    stone = light.on(mix(rgb(112, 104, 104), rgb(158, 146, 136), tone), lambert)
    band.paint(band.cover(below), mix(stone, light.haze, light.far(haze)), MOUNTAIN)
    under = snowline - band.y - 0.04 * band.rough - 0.025 * facing - 0.012 * rock[..., 0]
    snow = band.cover(np.minimum(below, under))
    white = mix(
        light.on(rgb(250, 252, 255), np.clip(0.28 + 0.75 * lambert, 0, 1.05)), light.horizon, light.far(0.5 * haze)
    )
    # Below the line snow stays in gullies and on ledges; above it steep ribs stay bare.
    ledges = 0.48 * ramp(-0.06, 0.0, under) * ramp(0.1, 0.6, -rock[..., 0] + 0.25 * rock[..., 2]) * band.cover(below)
    bare = 0.45 * ramp(0.3, 0.9, rock[..., 0] + 0.2 * np.abs(rock[..., 1])) * ramp(0.2, 0.02, under)
    band.glaze(np.where(snow > 0.5, snow * (1 - bare), np.maximum(snow, ledges)), white)
    np.putmask(band.labels, snow > 0.5, np.uint8(SNOW))


def paint_hills(canvas: Canvas) -> None:
    """Rounded ridges with woods and meadows."""
    rng = canvas.rng
    for layer in range(rng.integers(1, 3)):
        crest = profile(canvas, canvas.horizon - rng.uniform(0.03, 0.11) + 0.03 * layer, 0.055, 2)
        band = canvas.crop(0, float(crest.y.min()) - 0.01, canvas.aspect, canvas.horizon + 0.12)
        light = band.light
        below = band.y - crest.at(band.x)
        facing = np.tanh(4 * crest.slope(band.x + 0.3 * below * band.rough))
        crowns = upright(band, canopy, band.x, (1.15 + 0.15 * layer) * band.y)
        wooded = ramp(-0.3, 0.15, band.rough + 0.35 * band.fine)
        shade = light.toward[0] * crowns[..., 1] - light.toward[1] * crowns[..., 2]
        lambert = 0.47 + 0.35 * facing * light.toward[0] - 1.0 * below
        lambert += wooded * (0.1 * shade + 0.1 * crowns[..., 0] - 0.06) + (1 - wooded) * (0.12 + 0.03 * crowns[..., 0])
        strips = np.clip(0.5 + 2 * np.sin(60 * band.x + 160 * below + 8 * band.rough), 0, 1)  # mown and standing
        meadow = mix(rgb(104, 126, 64), rgb(132, 142, 76), strips)
        woods = mix(rgb(54, 84, 46), rgb(80, 104, 56), np.clip(0.5 + 0.5 * crowns[..., 0], 0, 1))
        colour = light.on(mix(meadow, woods, wooded), np.clip(lambert, 0, 1))
        colour = mix(colour, light.haze, light.far(0.42 - 0.14 * layer + 0.9 * np.clip(below, 0, 0.2)))
        band.paint(band.cover(below + 0.003 * crowns[..., 0] * wooded), colour, HILL)
