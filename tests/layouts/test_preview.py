"""Previews: true colours where something is painted, a ground or an image elsewhere, and a legend that can be read."""

import numpy as np
import pytest
import torch

from scdm.files.contact_sheet import PAPER
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Color, Palette
from scdm.layouts.preview import CHEQUERED, COLOURLESS, LEGIBLE, LINE, enlarged, preview

RED, BLUE = (255, 0, 0), (0, 0, 255)
THREE = Palette("three", ("red", "blue", "nameless colour"), (RED, BLUE, None))
MASK = 3
PHOTO = np.random.default_rng(0).integers(0, 256, (1, 4, 6, 3), dtype=np.uint8)


def layout(*rows: list[int]) -> LabelMap:
    return LabelMap(torch.tensor([rows]), THREE.num_classes)


def colors(picture: np.ndarray) -> set[Color]:
    return {(r, g, b) for r, g, b in np.unique(picture.reshape(-1, 3), axis=0).tolist()}


def test_without_a_legend_a_pixel_is_a_pixel() -> None:
    (picture,) = preview(layout([0, 1], [MASK, 2]), THREE)
    assert picture.shape == (2, 2, 3)
    assert picture[0].tolist() == [list(RED), list(BLUE)]
    assert tuple(picture[1, 0].tolist()) in CHEQUERED and tuple(picture[1, 1].tolist()) in COLOURLESS


def test_what_is_unpainted_and_what_has_no_colour_differ() -> None:
    (picture,) = preview(layout(*[[MASK] * 32 + [2] * 32] * 64), THREE)
    assert colors(picture[:, :32]) == set(CHEQUERED) and colors(picture[:, 32:]) == set(COLOURLESS)


@pytest.mark.parametrize("opacity", [0, 0.25, 1])
def test_colours_cover_an_image_as_far_as_they_are_opaque(opacity: float) -> None:
    """Of the image's size, and untouched where nothing is painted."""
    (picture,) = preview(layout([0, MASK, 2]), THREE, PHOTO, opacity)
    expected = PHOTO[0].astype(float)
    expected[:, :2] += opacity * (np.array(RED) - expected[:, :2])
    assert np.abs(picture - expected).max() <= 0.5
    assert np.array_equal(picture[:, 2:], PHOTO[0, :, 2:])


def test_one_image_serves_many_layouts_and_the_reverse() -> None:
    two = LabelMap(torch.tensor([[[0]], [[1]]]), 3)
    assert [colors(picture) for picture in preview(two, THREE, PHOTO)] == [{RED}, {BLUE}]
    assert preview(layout([MASK]), THREE, PHOTO.repeat(3, axis=0)).shape == (3, 4, 6, 3)
    with pytest.raises(ValueError, match="2 layouts and 3 images do not go together"):
        preview(two, THREE, PHOTO.repeat(3, axis=0))
    with pytest.raises(ValueError, match=r"opacity must be from 0 .* not 2"):
        preview(two, THREE, PHOTO, opacity=2)


@pytest.mark.parametrize("size", [(1, 1), (64, 64), (40, 100), (300, 20), (512, 640)])
def test_a_legend_stands_beside_a_picture_that_is_large_enough(size: tuple[int, int]) -> None:
    small = layout([0, 1, MASK]).resized(*size)
    times = -(-LEGIBLE // max(size))
    height, width = times * size[0], times * size[1]
    (sheet,) = preview(small, THREE, legend=True)
    below = width > 1.5 * height
    assert (sheet.shape[1] == width) if below else (sheet.shape[0] == height)
    assert np.array_equal(sheet[:height, :width], preview(small.resized(height, width), THREE)[0])
    legend = sheet[height:] if below else sheet[:, width:]
    assert colors(preview(small, THREE)) - {*CHEQUERED} <= colors(legend)
    paper = (legend == PAPER).all(axis=-1)
    assert paper[-2:].all() and paper[:, -2:].all(), "nothing is cut off"


def test_a_legend_names_what_is_there_alone() -> None:
    (sheet,) = preview(layout([0, 0], [0, MASK]), THREE, legend=True)
    assert RED in colors(sheet[:, LEGIBLE:]) and BLUE not in colors(sheet)


def test_legends_of_a_batch_are_of_one_size() -> None:
    """Each layout has its own entries on a sheet with room for those of any."""
    batch = LabelMap(torch.tensor([[[0, 1, 2, MASK]], [[1, 1, 1, 1]]]), 3)
    many, one = preview(batch, THREE, legend=True)
    assert many.shape == one.shape
    assert RED in colors(many) and RED not in colors(one)


def test_a_legend_has_room_for_every_class_and_long_names() -> None:
    ade20k = Palette.named("ade20k")
    every = LabelMap(torch.arange(152).reshape(1, 8, 19), 151)
    (sheet,) = preview(every, ade20k, legend=True)
    swatches = colors(sheet[-(sheet.shape[0] - 216) :])
    assert {color for color in ade20k.colors if color} <= swatches
    odd = Palette("odd", ("x" * 255, "two\nlines", ""), (RED, BLUE, BLUE))
    assert preview(layout([0, 1, 2]), odd, legend=True).shape[2] < 3 * LEGIBLE


def test_small_pictures_are_enlarged_in_their_colours_above_a_line_that_says_their_size() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 64, 3), dtype=np.uint8)
    large = enlarged(pictures)
    assert large.shape == (2, 256 + LINE, 512, 3)
    assert np.array_equal(large[:, :256:8, ::8], pictures) and np.array_equal(large[:, 7:256:8, 7::8], pictures)
    assert colors(large[0, 256:]) > {PAPER[:3]} and np.array_equal(large[0, 256:], large[1, 256:])
    assert enlarged(pictures[:, :1, :1]).shape == (2, 512 + LINE, 512, 3)
    assert enlarged(pictures[:, :, :2]).shape == (2, 512 + LINE, 32, 3), "with less room than words"


def test_pictures_that_are_large_enough_stay_as_they_are() -> None:
    pictures = np.zeros((1, 100, 300, 3), dtype=np.uint8)
    assert enlarged(pictures) is pictures
