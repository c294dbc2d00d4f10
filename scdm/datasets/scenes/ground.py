"""Grass, sand and snow: what lies between the horizon and the bottom of the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .canvas import GRASS, SAND, SNOW, Array, Canvas, Profile, mix, perspective_noise, profile, ramp, rgb
from .textures import REFERENCE, WIDTH, ground_noise, lying, plain, relief

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
            centre, half = self.road(canvas.depth_at(y))
            free &= np.abs(x - centre) > 1.5 * half + 0.02
        return free


def paint_ground(canvas: Canvas, label: int) -> Ground:
    top = profile(canvas, canvas.horizon + 0.012, 0.012, 3)
    land = canvas.below(float(top.y.min()) - 0.004)
    patches = perspective_noise(land, 11, 9)
    if label == GRASS:
        land.rng.random((20, round(64 * land.aspect)), np.float32)  # kept for the draws that follow
    colour = {GRASS: _grass, SAND: _sand, SNOW: _snow}[label](land, patches)
    colour = mix(colour, land.light.haze, land.light.far(0.45 * (1 - land.depth) ** 5, land.depth))
    land.paint(land.cover(land.y - top.at(land.x)), colour, label)
    return Ground(label, top)


# ---- grass -----------------------------------------------------------------------------------------------------------


def blades() -> Array:
    """A meadow: rows of blades from far to near, dark at their feet and light at their tips, in clumps.

    Three channels: brightness in [0, 1], how dry a blade is in [0, 1], how near its tip in [0, 1].
    """
    rng = np.random.default_rng(31)
    meadow = np.full((REFERENCE, round(WIDTH * REFERENCE), 3), (0.42, 0.3, 0.4), np.float32)
    strips = [_strip(rng) for _ in range(3)]
    depth = 0.02
    while depth < 1.12:
        height = 0.012 + 0.15 * depth
        _lay(meadow, strips[rng.integers(3)], depth, height, int(rng.integers(1 << 16)))
        depth += 0.2 * height
    return meadow


def _strip(rng: np.random.Generator, height: int = 160, width: int = 2048) -> Array:
    """A row of blades side by side (height, width, 4): brightness, dryness, nearness to the tip, coverage."""
    strip = np.zeros((height, width, 4), np.float32)
    clump = cv2.resize(rng.random((1, 40), np.float32), (width, 1), interpolation=cv2.INTER_CUBIC)[0]
    for _ in range(1100):
        x = rng.random() * width
        tall = height * (0.25 + 0.5 * clump[int(x)] + 0.25 * rng.random())
        lean, thick = rng.normal() * 0.3 * tall, 3 + 5 * rng.random()
        t = np.linspace(0, 1, 7)
        spine, half = x + lean * t**2, 0.5 * thick * (1 - t**1.5)
        y = height - tall * t
        outline = np.concatenate([np.stack([spine - half, y], 1), np.stack([spine + half, y], 1)[::-1]])
        tone = (0.25 + 0.75 * rng.random(), rng.random() ** 2, 1.0, 1.0)
        cv2.fillPoly(strip, [np.round(outline * 8).astype(np.int32)], tone, cv2.LINE_4, 3)
    rise = 1 - (np.arange(height, dtype=np.float32)[:, None] + 0.5) / height
    strip[..., 2] *= rise
    strip[..., 0] *= 0.3 + 1.0 * rise
    return strip


def _lay(meadow: Array, strip: Array, depth: float, height: float, shift: int) -> None:
    """A row of blades whose feet are at `depth`, as high as a share `height` of the ground."""
    rows = max(round(height * REFERENCE), 2)
    copies = max(round(meadow.shape[1] * strip.shape[0] / (0.8 * rows * strip.shape[1])), 1)
    small = cv2.resize(strip, (-(-meadow.shape[1] // copies), rows), interpolation=cv2.INTER_AREA)
    row = np.roll(np.tile(small, (1, copies, 1))[:, : meadow.shape[1]], shift, 1)
    foot = round(depth * REFERENCE)
    place = slice(max(foot - rows, 0), min(foot, REFERENCE))
    row = row[place.start - foot + rows : place.stop - foot + rows]
    meadow[place] += row[..., 3:] * (row[..., :3] - meadow[place])


def _grass(land: Canvas, patches: Array) -> Array:
    dark, bright = SURFACES[GRASS]
    light = land.light
    blade = lying(land, blades)
    tone, dry, tip = cv2.split(blade)
    tufts = np.clip(0.12 + 0.62 * tone + 0.16 * patches + 0.13 * land.rough, 0, 1)
    lambert = 0.28 + 0.7 * tone + 0.14 * land.rough + 0.12 * patches + 0.12 * tip * light.toward[1]
    albedo = mix(dark, bright, tufts)
    albedo = mix(albedo, rgb(178, 164, 92), np.clip(0.5 * dry * tip + 0.22 * patches, 0, 0.6))
    return light.on(albedo, np.clip(lambert, 0, 1.1))


# ---- sand ------------------------------------------------------------------------------------------------------------


def ripples() -> Array:
    """Sand that the wind has combed, with pebbles that grow towards the viewer; pebbles are where the height exceeds 1."""
    depth, across, away = plain()
    waver = 0.6 * ground_noise(41, across, away, 2, 4) + 0.15 * ground_noise(42, across, away, 7, 14)
    height = 0.45 * ground_noise(44, across, away, 4, 12) + 0.22 * ground_noise(46, across, away, 70, 130)
    for rate, share in ((9, 0.8), (27, 0.4)):  # ridges, and the ripples on them
        phase = 2 * np.pi * (rate * away + waver * (1 + rate / 20))
        fine = np.exp(-((4 * rate * away * away / REFERENCE) ** 2))
        strength = np.clip(0.6 + 0.9 * ground_noise(43 + 4 * rate, across, away, 1.5, 4), 0.15, 1)
        height += share * (np.sin(phase) + 0.35 * np.sin(2 * phase + 1)) * strength * fine
    surface = relief(height.astype(np.float32))
    surface[..., 1:] *= (0.35 + 0.65 * np.sqrt(depth))[..., None]
    surface[..., 0] = np.minimum(surface[..., 0], 1)  # what is higher is a pebble
    _pebbles(surface, np.random.default_rng(45))
    return surface


def _pebbles(surface: Array, rng: np.random.Generator) -> None:
    for depth in np.sort(rng.random(420)):
        x, y = rng.random() * surface.shape[1], depth * REFERENCE
        size = (2 + 12 * rng.random() ** 4) * (0.2 + depth)
        for k in range(5):  # from the rim to the crown: sides that face left, right and up
            shrink = 1 - 0.19 * k
            centre = (round(8 * x), round(8 * (y - 0.25 * k * size * 0.19)))
            radii = (round(8 * size * shrink), round(5.2 * size * shrink))
            tone = (1.2 + 0.1 * k, 0.0, 1.6 - 0.8 * k)
            cv2.ellipse(surface, centre, radii, 0, 0, 360, tone, -1, cv2.LINE_8, 3)


def _sand(land: Canvas, patches: Array) -> Array:
    light = land.light
    dark, bright = SURFACES[SAND]
    height, right, down = cv2.split(lying(land, ripples))
    slope = light.toward[0] * right - light.toward[1] * down
    stones = ramp(1.05, 1.3, height)
    albedo = mix(dark, bright, np.clip(0.5 + 0.12 * patches + 0.1 * height + 0.1 * land.rough, 0, 1))
    albedo = mix(albedo, rgb(138, 126, 114), 0.85 * stones)
    lambert = 0.66 + 0.12 * land.rough + 0.05 * patches + (0.055 + 0.1 * stones) * slope
    return light.on(albedo, np.clip(lambert, 0, 1.1))


# ---- snow ------------------------------------------------------------------------------------------------------------


def crust() -> Array:
    """Snow: soft waves that the wind has left, and crystals that catch the light where the height exceeds 1.5."""
    depth, across, away = plain()
    height = ground_noise(51, across, away, 2.5, 6) + 0.45 * ground_noise(52, across, away, 7, 20)
    fine = 0.2 * ground_noise(53, across, away, 14, 48) + 0.1 * ground_noise(55, across, away, 40, 130)
    surface = relief(height + fine)
    surface[..., 0] = np.minimum(surface[..., 0], 1.4)  # what is higher is a crystal
    surface[..., 1:] *= (0.3 + 0.7 * np.sqrt(depth))[..., None]
    rng = np.random.default_rng(54)
    for place in rng.random((7000, 3)):
        x, y = int(place[0] * surface.shape[1]), int(place[1] * REFERENCE)
        side = 1 + (place[1] > 0.35)
        surface[y : y + side, x : x + side, 0] = 1.5 + 3 * place[2]
    return surface


def _snow(land: Canvas, patches: Array) -> Array:
    light = land.light
    dark, bright = SURFACES[SNOW]
    height, right, down = cv2.split(lying(land, crust))
    slope = light.toward[0] * right - 0.7 * light.toward[1] * down
    lambert = 0.65 + 0.1 * land.rough + 0.06 * patches + 0.13 * slope
    albedo = mix(dark, bright, np.clip(0.5 + 0.25 * slope + 0.12 * patches, 0, 1))
    colour = light.on(albedo, np.clip(lambert, 0, 1.05))
    sparkle = ramp(1.5, 4, height) * (0.25 if light.overcast else 0.8)
    return mix(colour, np.ones(3, np.float32), sparkle)


def paint_drifts(canvas: Canvas, label: int) -> None:
    """Dunes, or snow that the wind has heaped: smooth crests with a lit and a shaded flank."""
    dark, bright = SURFACES[label]
    surface = lying(canvas, ripples if label == SAND else crust)
    for depth in (0.08, 0.25, 0.55):
        level = canvas.horizon + (1 - canvas.horizon) * (depth + 0.1 * canvas.rng.random())
        crest = profile(canvas, level, 0.02 + 0.07 * depth, 2, 1)
        land = canvas.below(float(crest.y.min()) - 0.004)
        below = land.y - crest.at(land.x)
        facing = np.tanh(5 * crest.slope(land.x + 0.8 * below)) * land.light.toward[0]
        _, right, down = cv2.split(surface[-len(land.y) :])
        slope = land.light.toward[0] * right - land.light.toward[1] * down
        lambert = np.clip(0.6 + 0.35 * facing + 0.06 * land.rough + 0.05 * slope, 0, 1.05)
        colour = land.light.on(mix(dark, bright, lambert), lambert)
        # The flank runs out into the plain.
        colour = mix(colour, land.light.haze, land.light.far(0.3 * (1 - land.depth) ** 4, land.depth))
        land.glaze(land.cover(below) * ramp(0.1 + 0.4 * depth, 0, below) * 0.85, colour)
