"""What things in a scene are made of: textures at any size, shares of pixels, and the things themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from scdm.datasets.scenes.buildings import paint_building
from scdm.datasets.scenes.canvas import BUILDING, FLOWER, GRASS, ROAD, ROCK, SNOW, TREE, Array, Canvas, Profile, blank
from scdm.datasets.scenes.flowers import paint_flowers
from scdm.datasets.scenes.ground import Ground
from scdm.datasets.scenes.road import paint_road
from scdm.datasets.scenes.rocks import paint_rock
from scdm.datasets.scenes.things import frayed, halved, material, repeated, stamped, within
from scdm.datasets.scenes.trees import paint_broadleaf, paint_conifer

Painter = Callable[[Canvas, float, float, float], None]
THINGS = [(paint_broadleaf, TREE), (paint_conifer, TREE), (paint_rock, ROCK), (paint_building, BUILDING)]


def plain(side: int, label: int = GRASS, right: float = 0.8, lamps: float = 0.0, seed: int = 3) -> Canvas:
    """An even ground under a clear sky, with the sun aside."""
    canvas = blank(np.random.default_rng(seed), np.random.default_rng(1), side, side)
    up = float(np.sqrt(1 - right**2))
    direct, ambient = np.full(3, 0.75, np.float32), np.full(3, 0.4, np.float32)
    light = replace(
        canvas.light, toward=(right, up), direct=direct, ambient=ambient, lamps=lamps, fog=0.0, overcast=False
    )
    canvas = replace(canvas, light=light, horizon=0.4)
    canvas.image[:], canvas.labels[:] = 0.4, label
    return canvas


def level() -> Ground:
    return Ground(GRASS, Profile(np.array([-1, 2], np.float32), np.array([0.4, 0.4], np.float32)))


# ---- textures --------------------------------------------------------------------------------------------------------


def test_share_of_a_pixel_is_exact_for_what_is_finer_than_it() -> None:
    centres = (np.arange(8, dtype=np.float32) + 0.5) / 8
    share = within(centres, 0.27, 0.29, 8)
    assert np.allclose(share.sum() / 8, 0.02, atol=1e-6)
    assert np.allclose(within(centres, 0.2, 0.8, 8).sum() / 8, 0.6, atol=1e-6)


@pytest.mark.parametrize("side", [16, 64, 300])
def test_a_texture_keeps_its_mean_and_loses_its_grain_where_pixels_are_large(side: int) -> None:
    texture = halved(np.random.default_rng(0).integers(0, 256, (256, 256), np.uint8))
    canvas = plain(side)
    laid = stamped(texture, canvas, -0.01, -0.01, 240)
    wrapped = repeated(texture, 256 / side, canvas.x, canvas.y)
    for found in (laid, wrapped):
        assert found.shape == (side, side) and found.dtype == np.float32
        assert abs(found.mean() - 0.5) < 0.02
    assert (laid.std() < 0.1) == (wrapped.std() < 0.12) == (side <= 64)


def test_outlines_fray_by_their_reach_at_most_and_not_at_all_in_small_pictures() -> None:
    detail = np.array([[-1.0, 1.0]], np.float32)
    assert np.abs(frayed(plain(512), detail, 0.007)).max() == pytest.approx(0.007)
    assert not frayed(plain(64), detail, 0.007).any()


def test_a_surface_shows_its_albedo_in_the_light_of_the_scene_and_fades_into_the_distance() -> None:
    canvas = plain(16)
    dark, bright = np.full(3, 0.2, np.float32), np.full(3, 0.6, np.float32)
    lambert = np.zeros((16, 16), np.float32)
    lambert[:, 8:] = 1
    near, far = (material(canvas, dark, bright, lambert, depth) for depth in (1.0, 0.0))
    assert np.allclose(near[:, 0], 0.2 * 0.4, atol=1e-3) and np.allclose(near[:, -1], 0.6 * 1.15, atol=1e-3)
    haze = canvas.light.haze
    assert (np.abs(far - haze) < np.abs(near - haze)).all()


# ---- things ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("paint", "label"), THINGS)
def test_a_thing_keeps_its_outline_at_every_size(paint: Painter, label: int) -> None:
    """Sampled where the small picture is sampled, the large layout differs by less than the fine detail of its edge."""
    small, large = plain(64), plain(256)
    for canvas in (small, large):
        paint(canvas, 0.5, 0.85, 0.5)
    inside = small.labels == label
    other = large.labels[3::4, 3::4] == label
    assert 0.02 < inside.mean() < 0.5
    assert (inside != other).sum() < 0.12 * inside.sum()


@pytest.mark.parametrize(("paint", "label"), THINGS)
def test_the_side_that_faces_the_light_is_brighter(paint: Painter, label: int) -> None:
    for right in (0.8, -0.8):
        canvas = plain(192, right=right)
        paint(canvas, 0.5, 0.85, 0.5)
        columns = np.where(canvas.labels == label, canvas.image.mean(-1), np.nan)
        occupied = np.flatnonzero(~np.isnan(columns).all(0))
        sides = [np.nanmean(columns[:, part]) for part in np.array_split(occupied, 3)]
        assert (sides[2] - sides[0]) * right > 0


@pytest.mark.parametrize(("paint", "label"), THINGS)
def test_a_thing_beyond_the_border_of_the_picture_does_no_harm(paint: Painter, label: int) -> None:
    canvas = plain(64)
    for x, y, size in ((-0.02, 0.7, 0.3), (1.02, 0.7, 0.3), (0.5, 1.2, 0.5), (3.0, 0.7, 0.3), (0.5, 0.42, 0.01)):
        paint(canvas, x, y, size)
    assert np.isfinite(canvas.image).all() and set(np.unique(canvas.labels)) <= {GRASS, label}


@pytest.mark.parametrize(("paint", "label"), THINGS[1:])
def test_snow_lies_on_things_that_stand_in_snow(paint: Painter, label: int) -> None:
    means = []
    for ground in (GRASS, SNOW):
        canvas = plain(128, ground)
        paint(canvas, 0.5, 0.85, 0.5)
        means.append(canvas.image[canvas.labels == label].mean())
    assert means[1] > 1.1 * means[0]


def _rows(labels: Array, label: int) -> Array:
    widths: Array = (labels == label).sum(1)
    return widths[widths > 0]


def test_a_conifer_has_a_pointed_tip_and_a_crown_dark_gaps_between_lit_leaves() -> None:
    canvas = plain(512)
    paint_conifer(canvas, 0.5, 0.9, 0.6)
    assert _rows(canvas.labels, TREE)[:8].mean() < 12
    canvas = plain(512)
    paint_broadleaf(canvas, 0.5, 0.9, 0.6)
    crown = canvas.image[200:330, 200:312][canvas.labels[200:330, 200:312] == TREE].mean(-1)
    assert np.percentile(crown, 95) > 3 * np.percentile(crown, 5)


def test_walls_are_straight_and_lamps_shine() -> None:
    for seed in range(6):
        dark, lit = (plain(256, lamps=lamps, seed=seed) for lamps in (0.0, 1.0))
        for canvas in (dark, lit):
            paint_building(canvas, 0.5, 0.85, 0.5)
        wall = dark.labels[int(0.75 * 256) : int(0.84 * 256)] == BUILDING
        assert (wall == wall[0]).all()
        assert np.array_equal(dark.labels, lit.labels)
        brighter = (lit.image - dark.image).mean(-1)
        assert brighter.max() > 0.3 and brighter[dark.labels != BUILDING].max() < 0.05


def test_kerbs_and_markings_follow_the_road() -> None:
    canvas = plain(256)
    course = paint_road(canvas, level())
    for row in (180, 215, 250):
        centre, half = course((canvas.y[row, 0] - canvas.horizon) / (1 - canvas.horizon))
        off = (canvas.x[0] - centre) / half
        assert np.array_equal(canvas.labels[row] == ROAD, np.abs(off) < 1)
        grey = canvas.image[row].mean(-1)
        lane = (np.abs(off) > 0.2) & (np.abs(off) < 0.7)
        for border in ((np.abs(off) > 0.93) & (np.abs(off) < 0.98), np.abs(np.abs(off) - 0.82) < 0.02):
            seen = grey[border]
            assert len(seen) == 0 or seen.mean() > 1.15 * grey[lane].mean()


def test_blossoms_are_larger_in_front_and_stay_in_the_grass() -> None:
    canvas = plain(512, seed=5)
    canvas.labels[:, :100] = SNOW
    paint_flowers(canvas, level())
    flowers = canvas.labels == FLOWER
    assert flowers.sum() > 500 and not flowers[:, :100].any()
    assert canvas.image[flowers].std(0).max() > 0.08
