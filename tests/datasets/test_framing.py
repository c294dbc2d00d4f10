"""Resizing, cropping and mirroring, to the pixel."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scdm.datasets.framing import Frame, center_crop, fitted, keep_aspect, random_crop, stretch
from tests.parity import arrays, entries, facts

NAME = "data/resize_crop"


class Recorded:
    """Draws that were made before, in the place of a generator."""

    def __init__(self, draws: list[dict]) -> None:
        self.draws = iter(draws)

    def integers(self, low: int, high: int) -> int:
        draw = next(self.draws)
        assert draw["kind"] == "randrange" and ([low, high] == draw["args"] or [high] == draw["args"])
        return draw["value"]

    def random(self) -> float:
        draw = next(self.draws)
        assert draw["kind"] == "random"
        return draw["value"]


def frame_of(case: dict) -> Frame:
    source, resolution = tuple(case["in_hw"]), case["resolution"]
    size = (resolution, resolution)
    if case["mode"] == "random_crop":
        return random_crop(source, size, Recorded(case["draws"]))  # type: ignore[arg-type]
    if case["mode"] == "resize_keep_aspect":
        return keep_aspect(source, resolution)
    return {"resize_square": stretch, "center_crop": center_crop}[case["mode"]](source, size)


@pytest.mark.parametrize("index", entries(NAME, "cases"))
def test_images_and_maps_are_the_published_ones(index: int) -> None:
    """Maps exactly; images within one level, should Pillow ever round otherwise."""
    case, expected = facts(NAME)["cases"][index], arrays(NAME, str(index))
    shared = next(found for i in range(index, -1, -1) if "image" in (found := arrays(NAME, str(i))))
    frame = frame_of(case)
    assert frame.size == tuple(case["out_hw"])
    image = frame.image(Image.fromarray(shared["image"].numpy()))
    assert np.abs(image.astype(int) - expected["out_image"].numpy()).max() <= 1
    for kind in ("label", "instance"):
        values = frame.values(Image.fromarray(shared[kind].numpy()))
        assert np.array_equal(values, expected[f"out_{kind}"].numpy())


SIDES = st.integers(1, 90)
SIZES = st.tuples(SIDES, SIDES)


@given(SIZES, SIZES, st.integers(0, 2**32), st.booleans())
def test_every_frame_is_full(source: tuple[int, int], size: tuple[int, int], seed: int, mirrored: bool) -> None:
    """Whatever the sizes: a window of the size that was asked for, inside the image, and maps cut as images are."""
    ramp = np.arange(source[0] * source[1], dtype=np.int32).reshape(source)
    for frame in (
        stretch(source, size),
        center_crop(source, size),
        random_crop(source, size, np.random.default_rng(seed)),
        keep_aspect(source, min(size)),
    ):
        frame = frame._replace(mirrored=mirrored)
        height, width = frame.size
        assert frame.top >= 0 and frame.top + height <= frame.resized[0]
        assert frame.left >= 0 and frame.left + width <= frame.resized[1]
        values = frame.values(Image.fromarray(ramp))
        assert values.shape == frame.size and values.dtype == np.int32 and values.flags.writeable
        across = np.diff(values[0] % source[1])
        assert (across <= 0).all() if mirrored else (across >= 0).all()


@given(SIZES, st.integers(0, 2**32))
def test_a_random_crop_keeps_four_fifths_of_the_smaller_side(source: tuple[int, int], seed: int) -> None:
    frame = random_crop(source, (20, 20), np.random.default_rng(seed))
    assert 20 <= min(frame.resized) <= math.ceil(20 / 0.8)


def test_only_a_centred_fit_keeps_proportions_without_chance() -> None:
    source, size = (30, 40), (16, 16)
    assert fitted(source, size, "center_crop") == center_crop(source, size) != stretch(source, size)
    assert {fitted(source, size, fit) for fit in (None, "stretch", "random_crop")} == {stretch(source, size)}


def test_mirroring_mirrors_image_and_map_alike() -> None:
    image = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    frame = stretch((6, 8), (6, 8))
    mirrored = frame._replace(mirrored=True)
    assert np.array_equal(mirrored.image(Image.fromarray(image)), image[:, ::-1])
    assert np.array_equal(mirrored.values(Image.fromarray(image[..., 0])), image[:, ::-1, 0])
