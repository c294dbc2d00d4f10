"""One gate for pixels: photographs of every depth and mode, masks, and files in which ids are safe."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from scdm.files.images import read_image
from scdm.files.levels import mask_strength, photograph, require_lossless, scaled_strength
from scdm.layouts.values import MINUS_ONE, numbers
from tests import icc

LEVELS = np.random.default_rng(0).integers(0, 256, (6, 8), dtype=np.uint8)
LEVELS[0, :2] = 0, 255
SCENE = np.random.default_rng(1).integers(0, 256, (6, 8, 3), dtype=np.uint8)


def saved(path: Path, values: np.ndarray | Image.Image, **options) -> Image.Image:
    """`read_image` of a file that holds the values."""
    if isinstance(values, np.ndarray) and values.ndim == 3 and values.dtype == np.uint16:
        cv2.imwrite(str(path), values[..., ::-1])  # Pillow writes no colours of 16 bits
    else:
        image = values if isinstance(values, Image.Image) else Image.fromarray(values)
        image.save(path, **options)
    return read_image(path)


def big_endian(values: np.ndarray, path: Path) -> Image.Image:
    image = Image.frombytes("I;16B", values.shape[::-1], values.astype(">u2").tobytes())
    return saved(path, image)


@pytest.mark.parametrize(
    "kind",
    ["8 bits", "png 16", "tif 16", "tif 16 big endian", "int32", "float 0..1", "float 0..255", "pgm 12 bits", "pgm 16"],
)
def test_greys_of_every_depth_are_the_same_photograph(kind: str, tmp_path: Path) -> None:
    wide = LEVELS.astype(np.uint16) * 257
    path = tmp_path / "photo.tif"
    if kind == "pgm 12 bits":
        twelve = (LEVELS.astype(np.float64) * 4095 / 255).round().astype(">u2")
        (tmp_path / "a.pgm").write_bytes(b"P5 8 6 4095\n" + twelve.tobytes())
        image = read_image(tmp_path / "a.pgm")
    elif kind == "pgm 16":
        (tmp_path / "a.pgm").write_bytes(b"P5 8 6 65535\n" + wide.astype(">u2").tobytes())
        image = read_image(tmp_path / "a.pgm")
    elif kind == "tif 16 big endian":
        image = big_endian(wide, path)
    else:
        values = {
            "8 bits": LEVELS,
            "png 16": wide,
            "tif 16": wide,
            "int32": wide.astype(np.int32),
            "float 0..1": LEVELS.astype(np.float32) / 255,
            "float 0..255": LEVELS.astype(np.float32),
        }[kind]
        image = saved(path.with_suffix(".png" if kind == "png 16" else ".tif"), values)
    remarks: list[str] = []
    read = photograph(image, remarks.append)
    assert read.mode == "RGB" and np.array_equal(np.asarray(read), np.dstack([LEVELS] * 3)) and remarks == []


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colours_of_sixteen_bits_come_in_eight(suffix: str, tmp_path: Path) -> None:
    read = photograph(saved(tmp_path / f"a{suffix}", SCENE.astype(np.uint16) * 257))
    assert np.array_equal(np.asarray(read), SCENE)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (
            LEVELS.astype(np.uint16) * 16,
            r"brightest level is 4080 of 65535, as of 12 bits in 16: scale its levels to 0\.\.65535",
        ),
        (LEVELS.astype(np.uint16), "brightest level is 255 of 65535"),
        (LEVELS.astype(np.uint16) * 0, "brightest level is 0 of 65535"),
        (
            np.dstack([LEVELS.astype(np.uint16) * 16] * 3),
            "brightest level is 4095 of 65535",
        ),  # the lower 8 bits are lost
        (LEVELS.astype(np.int32) - 100, "levels from -100 to 155, not 0 to 65535"),
        (LEVELS.astype(np.int32) * 1000, "levels from 0 to 255000, not 0 to 65535"),
        (LEVELS.astype(np.float32) / 127.5 - 1, r"floats from -1 to 1, so .* scale them to 0\.\.1"),
        (LEVELS.astype(np.float32) / 100, "floats from 0 to 2.55"),
        (LEVELS.astype(np.float32) * 257, "floats from 0 to 6.5.*e.04"),
        (LEVELS.astype(np.float32) * 1e-5, "floats from 0 to 0.00255"),
        (np.where(LEVELS > 99, np.float32("nan"), np.float32(0.5)), "NaN or infinite"),
        (np.where(LEVELS > 99, np.float32("inf"), np.float32(0.5)), "NaN or infinite"),
    ],
)
def test_what_is_white_is_not_guessed(values: np.ndarray, complaint: str, tmp_path: Path) -> None:
    image = saved(tmp_path / ("a.png" if values.dtype == np.uint16 else "a.tif"), values)
    with pytest.raises(ValueError, match=complaint):
        photograph(image)


def test_modes_of_eight_bits_are_what_they_look_like(tmp_path: Path) -> None:
    scene = Image.fromarray(SCENE)
    assert np.array_equal(np.asarray(photograph(saved(tmp_path / "a.png", scene))), SCENE)
    indexed = scene.quantize(256)
    assert np.array_equal(
        np.asarray(photograph(saved(tmp_path / "b.png", indexed))), np.asarray(indexed.convert("RGB"))
    )
    black_and_white = Image.fromarray(LEVELS > 127)
    assert set(np.unique(np.asarray(photograph(saved(tmp_path / "c.png", black_and_white))))) == {0, 255}
    cmyk = photograph(saved(tmp_path / "d.jpg", scene.resize((32, 32)).convert("CMYK"), quality=100))
    assert abs(np.asarray(cmyk).astype(int) - np.asarray(scene.resize((32, 32)))).mean() < 4
    (tmp_path / "e.pgm").write_bytes(b"P5 8 6 100\n" + (LEVELS % 101).tobytes())
    scaled = np.asarray(photograph(read_image(tmp_path / "e.pgm")))[..., 0]
    assert np.array_equal(scaled, ((LEVELS % 101) * 2.55).round())


def test_profiles_of_grey_photographs_are_applied(tmp_path: Path) -> None:
    """For a map the file's numbers count, for a photograph what they look like."""
    for values in (LEVELS, LEVELS.astype(np.uint16) * 257, np.dstack([LEVELS] * 3)):
        profile = icc.rgb_profile("linear", icc.SRGB, 1.0) if values.ndim == 3 else icc.grey_profile("linear", 1.0)
        read = np.asarray(photograph(saved(tmp_path / "a.png", values, icc_profile=profile)))[..., 0]
        x = LEVELS / 255.0
        expected = 255 * np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
        assert abs(read - expected)[LEVELS > 10].max() <= 2


@pytest.mark.parametrize(
    ("picture", "remark"),
    [
        (Image.new("RGB", (4, 4), (9, 8, 7)), "it is black, or nearly: its brightest level is 9 of 255"),
        (Image.new("L", (4, 4), 200), "all its pixels have the same colour"),
        (
            Image.fromarray(np.dstack([SCENE, np.where(LEVELS > 127, 255, 0).astype(np.uint8)])),
            "% of its pixels are transparent",
        ),
        (Image.fromarray(np.dstack([SCENE, np.full_like(LEVELS, 255)])), None),
        (
            Image.fromarray(LEVELS.astype(np.uint16) * 64),
            "brightest level is 16320 of 65535: if it has 14 bits or fewer",
        ),
    ],
)
def test_odd_photographs_are_remarked(picture: Image.Image, remark: str | None, tmp_path: Path) -> None:
    remarks: list[str] = []
    photograph(saved(tmp_path / "a.png", picture), remarks.append)
    assert [remark in expected for expected in remarks] == [True] if remark else remarks == []


PART = np.zeros((6, 8), bool)
PART[1:4, 2:6] = True


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (PART, None),
        (PART.astype(np.uint8) * 255, None),
        (PART.astype(np.uint16) * 65535, None),
        (PART.astype(np.int32) * 255, None),
        (PART.astype(np.float32), None),
        (PART.astype(np.float32) * 255, None),
        (np.dstack([PART.astype(np.uint8) * 255] * 3), None),
        (
            np.dstack([np.full((6, 8, 3), 255, np.uint8), PART.astype(np.uint8) * 255]),
            None,
        ),  # black or white below: kept
        (PART.astype(np.uint8), "the mask has the levels 0 and 1 of 255: 1 is taken for white"),
        (np.dstack([PART.astype(np.uint8)] * 3), "the mask has the levels 0 and 1 of 255: 1 is taken for white"),
        (PART.astype(np.uint16), "the mask has the levels 0 and 1: 1 is taken for white"),
        (PART.astype(np.uint16) * 4095, "the mask has the levels 0 and 4095: 4095 is taken for white"),
    ],
)
def test_masks_of_every_kind_are_the_same(values: np.ndarray, expected: str | None, tmp_path: Path) -> None:
    remarks: list[str] = []
    path = tmp_path / ("a.tif" if values.dtype in (np.int32, np.float32) else "a.png")
    strength = mask_strength(saved(path, values), remarks.append)
    assert (
        strength.dtype == np.float32 and np.array_equal(strength, PART) and remarks == ([expected] if expected else [])
    )


def test_soft_masks_keep_their_levels(tmp_path: Path) -> None:
    expected = LEVELS / np.float32(255)
    for values in (LEVELS, LEVELS.astype(np.uint16) * 257, LEVELS.astype(np.uint16), LEVELS.astype(np.float32) / 255):
        remarks: list[str] = []
        path = tmp_path / ("a.tif" if values.dtype == np.float32 else "a.png")
        assert np.allclose(mask_strength(saved(path, values), remarks.append), expected, atol=1e-6) and remarks == []
    with pytest.raises(ValueError, match="as of 12 bits in 16"):
        mask_strength(saved(tmp_path / "b.png", LEVELS.astype(np.uint16) * 16))


HOLE = np.where(PART, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (np.dstack([SCENE, HOLE]), "looks like a picture with a transparent part: transparent is kept"),
        (np.dstack([LEVELS] * 3 + [HOLE]), "looks like a picture with a transparent part: transparent is kept"),
        (np.dstack([np.zeros_like(SCENE), HOLE]), "what is not transparent in the mask is black"),
        (np.dstack([PART * np.uint8(200), PART * np.uint8(0), PART * np.uint8(0)]), "the mask is in colours"),
        (PART.astype(np.uint8) * 2, "repaints hardly anything: its brightest level is 2 of 255"),
        (np.dstack([PART * np.uint8(255)] * 3 + [np.where(PART, 2, 0).astype(np.uint8)]), "hardly anything"),
    ],
)
def test_masks_that_may_be_meant_otherwise_are_remarked(picture: np.ndarray, expected: str, tmp_path: Path) -> None:
    remarks: list[str] = []
    mask_strength(saved(tmp_path / "a.png", picture), remarks.append)
    assert len(remarks) == 1 and expected in remarks[0]


def test_masks_in_memory_are_judged_alike() -> None:
    remarks: list[str] = []
    ones = PART[None].astype(np.float32) / 255
    assert np.array_equal(scaled_strength(ones, remarks.append), PART[None]) and len(remarks) == 1
    soft = LEVELS / np.float32(255)
    assert np.array_equal(scaled_strength(soft, remarks.append), soft) and len(remarks) == 1
    assert not scaled_strength(np.zeros((2, 2)), remarks.append).any() and len(remarks) == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, "big endian", bool])
def test_maps_keep_their_numbers(dtype, tmp_path: Path) -> None:
    values = LEVELS.astype(np.int64) * (1 if dtype in (np.uint8, bool) else 250)
    if dtype == "big endian":
        image = big_endian(values, tmp_path / "a.tif")
    else:
        values = values.astype(dtype)
        image = saved(tmp_path / "a.tif", values)
    assert np.array_equal(numbers(image), values)


def test_maps_of_fractions_are_refused_and_what_is_no_number_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="whole numbers"):
        numbers(saved(tmp_path / "a.tif", LEVELS / np.float32(3)))
    assert (numbers(saved(tmp_path / "b.tif", np.full((2, 2), np.nan, np.float32))) == MINUS_ONE).all()


def test_ids_do_not_survive_lossy_files(tmp_path: Path) -> None:
    require_lossless(saved(tmp_path / "a.png", LEVELS))
    with pytest.raises(ValueError, match="ids do not survive JPEG"):
        require_lossless(saved(tmp_path / "a.jpg", LEVELS))


@pytest.mark.parametrize("level", [3, 38, 128, 254])
def test_of_two_levels_the_brighter_is_white(level: int, tmp_path: Path) -> None:
    expected = [f"the mask has the levels 0 and {level} of 255: {level} is taken for white"]
    remarks: list[str] = []
    for shape in (PART * np.uint8(level), np.dstack([PART * np.uint8(level)] * 3)):
        assert np.array_equal(mask_strength(saved(tmp_path / "a.png", shape), remarks.append), PART)
    assert np.array_equal(scaled_strength(PART[None] * (level / 255), remarks.append), PART[None])
    assert remarks == expected * 3


def test_of_one_level_or_more_than_two_all_are_kept(tmp_path: Path) -> None:
    remarks: list[str] = []
    three = PART * np.uint8(128)
    three[0] = 64
    for levels in (three, np.full_like(three, 128), PART * np.uint8(255)):
        assert np.allclose(mask_strength(saved(tmp_path / "a.png", levels), remarks.append), levels / 255)
    assert remarks == []
