"""Grass, sand and snow: what lies between the horizon and the bottom of the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .canvas import GRASS, SAND, SNOW, Array, Canvas, Profile, mix, perspective_noise, profile, ramp, rgb

SURFACES = {  # albedo of the hollows and of the tufts
    GRASS: (rgb(74, 104, 38), rgb(150, 168, 72)),
    SAND: (rgb(200, 170, 118), rgb(238, 214, 164)),
    SNOW: (rgb(214, 224, 240), rgb(250, 251, 255)),
}


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


def paint_ground(canvas: Canvas, label: int) -> Ground:
    top = profile(canvas, canvas.horizon + 0.012, 0.012, 3)
    land = canvas.below(float(top.y.min()))
    texture = perspective_noise(land, 11, 9)
    dark, bright = SURFACES[label]
    relief = (0.18 if label == GRASS else 0.1) * texture
    if label == GRASS:
        relief += (0.15 + 0.35 * land.depth) * land.noise(64, 20, 1) + 0.12 * land.fine  # blades
    if label == SAND:
        ripples = np.sin(14 / (land.depth + 0.25) + 6 * land.x + 2.5 * land.rough)
        relief += 0.16 * land.depth * ripples  # drawn by the wind
    tufts = 0.5 + relief + (0.15 if label == GRASS else 0.08) * land.rough
    lambert = 0.66 + 0.12 * land.rough + 0.25 * relief + 0.04 * land.fine  # the shadows of clouds, and of unevenness
    colour = land.light.on(mix(dark, bright, np.clip(tufts, 0, 1)), np.clip(lambert, 0, 1))
    colour = mix(colour, land.light.haze, 0.45 * (1 - land.depth) ** 5)
    land.paint(land.y > top.at(land.x), colour, label)
    return Ground(label, top)


def paint_drifts(canvas: Canvas, label: int) -> None:
    """Dunes, or snow that the wind has heaped: smooth crests with a lit and a shaded flank."""
    dark, bright = SURFACES[label]
    for depth in (0.08, 0.25, 0.55):
        level = canvas.horizon + (1 - canvas.horizon) * (depth + 0.1 * canvas.rng.random())
        crest = profile(canvas, level, 0.02 + 0.07 * depth, 2, 1)
        land = canvas.below(float(crest.y.min()))
        below = land.y - crest.at(land.x)
        facing = np.tanh(5 * crest.slope(land.x + 0.8 * below)) * land.light.toward[0]
        lambert = np.clip(0.6 + 0.35 * facing + 0.06 * land.rough + 0.03 * land.fine, 0, 1)
        colour = land.light.on(mix(dark, bright, lambert), lambert)
        # The flank runs out into the plain.
        land.glaze(
            (below > 0) * ramp(0.1 + 0.4 * depth, 0, below) * 0.85,
            mix(colour, land.light.haze, 0.3 * (1 - depth) ** 4),
        )
