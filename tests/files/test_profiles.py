"""Embedded colour profiles: colours come in sRGB, ids stay as they are."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image, ImageCms

from scdm.files.profiles import NO_PROFILE, in_srgb
from tests import icc

ADOBE = icc.rgb_profile("Adobe RGB (1998)", icc.ADOBE_RGB)
PAINTED = np.array([[[6, 230, 230], [4, 200, 3], [150, 5, 61], [120, 120, 70], [255, 255, 255]]], np.uint8)
ROUNDING = 6  # levels, of dark colours that go through 8 bits of another space


def with_profile(picture: Image.Image, profile: bytes) -> Image.Image:
    picture.info["icc_profile"] = profile
    return picture


def as_adobe_rgb(levels: np.ndarray) -> Image.Image:
    """The colours of sRGB levels (H, W, 3), in the levels of Adobe RGB."""
    source, target = ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(ADOBE))
    image = ImageCms.profileToProfile(Image.fromarray(levels), source, target, ImageCms.Intent.RELATIVE_COLORIMETRIC)
    return with_profile(image, ADOBE)


def largest_change(image: Image.Image, levels: np.ndarray) -> int:
    return int(abs(np.asarray(image.convert("RGB")).astype(int) - levels).max())


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "P with an alpha in its table"])
def test_colours_come_in_srgb(mode: str) -> None:
    """The strong colours of a class table, whose Adobe RGB levels are other ones by up to 124."""
    image = as_adobe_rgb(PAINTED)
    assert largest_change(image, PAINTED) > 50
    if mode == "RGBA":
        image.putalpha(Image.fromarray(np.array([[0, 50, 100, 150, 255]], np.uint8)))
    elif mode.startswith("P"):
        table = np.asarray(image)[0]
        image = Image.fromarray(np.arange(5, dtype=np.uint8)[None])
        if "alpha" in mode:
            image.putpalette(np.c_[table, [0, 50, 100, 150, 255]].astype(np.uint8).tobytes(), "RGBA")
        else:
            image.putpalette(table.tobytes())
            image.info["transparency"] = 3
        image = with_profile(image, ADOBE)
    converted = in_srgb(image)
    assert converted.mode == image.mode and largest_change(converted, PAINTED) <= ROUNDING
    assert converted.info["scdm_profile"] == "Adobe RGB (1998)" and "icc_profile" not in converted.info
    if mode == "RGBA":
        assert list(np.asarray(converted)[0, :, 3]) == [0, 50, 100, 150, 255]
    if mode == "P":
        assert list(np.asarray(converted)[0]) == [0, 1, 2, 3, 4] and converted.info["transparency"] == 3
    if "alpha" in mode:
        assert list(np.asarray(converted.convert("RGBA"))[0, :, 3]) == [0, 50, 100, 150, 255]


def test_srgb_stays_to_the_bit() -> None:
    """Whatever the profile is called: what it does to colours counts."""
    image = with_profile(Image.fromarray(PAINTED), ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    assert in_srgb(image) is image and "scdm_profile" not in image.info
    p3 = with_profile(Image.fromarray(PAINTED), icc.rgb_profile("sRGB, as it says", icc.DISPLAY_P3))
    assert largest_change(in_srgb(p3), PAINTED) > 10


def test_greys_of_photographs_are_converted_too() -> None:
    ramp = np.arange(0, 256, 5, dtype=np.uint8)[None]
    for mode in ("L", "LA"):
        linear = with_profile(Image.fromarray(ramp).convert(mode), icc.grey_profile("linear", 1.0))
        converted = np.asarray(in_srgb(linear).convert("RGB")).astype(int)
        x = ramp / 255.0
        expected = 255 * np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
        assert abs(converted - expected[..., None])[:, 2:].max() <= 2  # the darkest are coarse in 8 bits, either way
    in_colours = with_profile(Image.fromarray(ramp), ADOBE)  # which a grey picture may well carry
    assert in_srgb(in_colours).mode == "RGB"


def test_print_colours_and_cielab_are_converted_without_a_profile() -> None:
    cmyk = in_srgb(Image.new("CMYK", (1, 1), (0, 255, 255, 0)))
    assert (cmyk.mode, cmyk.getpixel((0, 0)), cmyk.info["scdm_profile"]) == ("RGB", (255, 0, 0), NO_PROFILE)
    lab = Image.new("LAB", (1, 1))
    lab.putpixel((0, 0), (255, 128, 128))
    assert min(in_srgb(lab).getpixel((0, 0))) >= 254 and in_srgb(lab).info["scdm_profile"] == "CIELAB"


def test_levels_of_classes_are_kept_whatever_profile_a_program_has_added() -> None:
    """Painted by numbers in a document of another profile; the same picture converted to that profile is converted back."""
    classes = [None, *(tuple(int(level) for level in color) for color in PAINTED[0])]
    by_numbers = with_profile(Image.fromarray(PAINTED), ADOBE)
    assert in_srgb(by_numbers, classes) is by_numbers
    assert by_numbers.info["scdm_profile_unneeded"] == "Adobe RGB (1998)" and "scdm_profile" not in by_numbers.info
    assert in_srgb(as_adobe_rgb(PAINTED), classes).info["scdm_profile"] == "Adobe RGB (1998)"
    mostly_white = PAINTED.repeat(20, axis=0)
    mostly_white[1:] = 255
    assert "scdm_profile" in in_srgb(as_adobe_rgb(mostly_white), classes).info


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (b"nonsense", "it is damaged"),
        (ADOBE[:200], "it is damaged|cannot be applied"),
        (icc.grey_profile("Dot Gain", 1.8), "Dot Gain is a profile of L and the picture one of mode RGB"),
    ],
)
def test_what_cannot_be_applied_is_left_out_and_reported(profile: bytes, reason: str) -> None:
    image = with_profile(Image.fromarray(PAINTED), profile)
    assert in_srgb(image) is image and re.search(reason, image.info["scdm_profile_ignored"])
