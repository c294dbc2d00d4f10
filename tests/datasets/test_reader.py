"""Photographs of any depth and orientation beside maps that keep their numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scdm.datasets import open_dataset
from tests.datasets import trees

WIDE, SQUARE = (24, 32), (24, 24)
LEVELS = np.random.default_rng(0).integers(0, 256, (24, 32), dtype=np.uint8)


def place(root: Path, kind: str) -> Path:
    return trees.path(root, "folder", kind)


@pytest.mark.parametrize("scale", [np.uint16(257), np.float32(1 / 255)])
def test_deep_photographs_are_scaled(scale: np.generic, tmp_path: Path) -> None:
    """Pillow's own conversion would make the first white, the second black."""
    trees.write(tmp_path, "folder", trees.random_label(0, size=WIDE))
    place(tmp_path, "image").unlink()
    Image.fromarray((LEVELS * scale).astype(scale.dtype)).save(place(tmp_path, "image").with_suffix(".tif"))
    data = open_dataset(trees.folder_config(tmp_path, size=WIDE))
    assert list(data.check()) == []
    levels = (data.validation()[0].image.numpy() + 1) * 127.5
    assert np.allclose(levels, LEVELS[None], atol=0.01)


def test_a_photograph_whose_white_is_unknown_is_a_problem_and_left_out(tmp_path: Path) -> None:
    config = trees.folder(tmp_path, 2)
    twelve_bits = np.resize(LEVELS, trees.SIZE).astype(np.uint16) * 16
    Image.fromarray(twelve_bits).save(trees.path(tmp_path, "folder", "image", "0"))
    data = open_dataset(config)
    assert ["as of 12 bits in 16" in problem for problem in data.check()] == [True]
    with pytest.warns(UserWarning, match="0.png: .* as of 12 bits in 16.*; left out"):
        example = data.validation()[0]
    assert np.array_equal(example.image.numpy(), data.validation()[1].image.numpy())


def turned(
    root: Path, size: tuple[int, int], orientation: int, of_map: int = 1, map_size: tuple[int, int] | None = None
):
    """A pair: a photo of a stored size with an EXIF orientation, and a map."""
    trees.write(root, "folder", trees.random_label(1, size=size), trees.random_image(1, size))
    for kind, found in (("image", orientation), ("label", of_map)):
        exif = Image.Exif()
        exif[0x0112] = found
        picture = Image.open(place(root, kind))
        if kind == "label" and map_size:
            picture = picture.resize(map_size[::-1])
        picture.load()
        picture.save(place(root, kind), exif=exif)


DOUBT = "check whether the map was drawn on the turned photo"


@pytest.mark.parametrize(
    ("size", "orientation", "map_size"), [(WIDE, 3, WIDE), (WIDE, 2, WIDE), (SQUARE, 6, SQUARE), (WIDE, 6, WIDE)]
)
def test_a_turned_photo_beside_a_map_that_may_not_be_is_a_problem(
    size: tuple[int, int], orientation: int, map_size: tuple[int, int], tmp_path: Path
) -> None:
    turned(tmp_path, size, orientation, map_size=map_size)
    (problem,) = open_dataset(trees.folder_config(tmp_path)).check()
    assert DOUBT in problem and f"EXIF orientation {orientation}" in problem
    with pytest.raises(ValueError, match=DOUBT), pytest.warns(UserWarning, match=DOUBT):
        open_dataset(trees.folder_config(tmp_path)).validation()[0]
    as_stored = open_dataset(trees.folder_config(tmp_path, size=size, exif="ignore"))
    assert list(as_stored.check()) == []
    stored = trees.random_image(1, size)
    read = (as_stored.validation()[0].image.numpy() + 1) * 127.5
    assert np.allclose(read, stored.transpose(2, 0, 1), atol=0.01)
    applied = open_dataset(trees.folder_config(tmp_path, exif="apply"))
    assert [DOUBT in found for found in applied.check()] == ([True] if (size, orientation) == (WIDE, 6) else [])


def test_a_photo_is_turned_where_its_map_shows_that_it_is_to_be(tmp_path: Path) -> None:
    """By the map's size, or because the map says the same of itself."""
    turned(tmp_path / "size", WIDE, 6, map_size=WIDE[::-1])
    turned(tmp_path / "same", SQUARE, 6, of_map=6)
    for name, size in (("size", WIDE), ("same", SQUARE)):
        data = open_dataset(trees.folder_config(tmp_path / name, size=size[::-1]))
        assert list(data.check()) == []
        read = (data.validation()[0].image.numpy() + 1) * 127.5
        assert np.allclose(read, np.rot90(trees.random_image(1, size), -1).transpose(2, 0, 1), atol=0.01)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, ">u2"])
def test_maps_keep_their_numbers_whatever_their_depth(dtype, tmp_path: Path) -> None:
    ids = trees.random_label(3)
    trees.write(tmp_path, "folder", ids)
    place(tmp_path, "label").unlink()
    (tmp_path / "train" / "instances").mkdir()
    many = (
        np.arange(ids.size).reshape(ids.shape)
        * (1 if dtype == np.uint8 else 50)
        % (256 if dtype == np.uint8 else 2**15)
    )
    for kind, values in (("labels", ids), ("instances", many)):
        if dtype == ">u2":
            image = Image.frombytes("I;16B", values.shape[::-1], values.astype(dtype).tobytes())
        else:
            image = Image.fromarray(values.astype(dtype))
        image.save(tmp_path / "train" / kind / "a.tif")
    table = {"edge_channel": True, **trees.CLASSES}
    data = open_dataset(trees.folder_config(tmp_path, table, size=ids.shape))
    assert list(data.check()) == []
    assert np.array_equal(data.layout(0), ids) and np.array_equal(data.instances(0), many)
    assert np.array_equal(data.validation()[0].ids.numpy(), ids)


def test_instances_in_a_lossy_file_are_a_problem(tmp_path: Path) -> None:
    ids = trees.random_label(3)
    trees.write(tmp_path, "folder", ids)
    (tmp_path / "train" / "instances").mkdir()
    Image.fromarray(ids).save(tmp_path / "train" / "instances" / "a.jpg")
    table = {"edge_channel": True, **trees.CLASSES}
    (problem,) = open_dataset(trees.folder_config(tmp_path, table)).check()
    assert "a.jpg: ids do not survive JPEG" in problem


@pytest.mark.parametrize("orientation, of_map", [(1, 6), (6, 8)])
def test_a_map_that_is_turned_otherwise_than_its_photo_is_a_problem(
    orientation: int, of_map: int, tmp_path: Path
) -> None:
    turned(tmp_path, SQUARE, orientation, of_map)
    (problem,) = open_dataset(trees.folder_config(tmp_path)).check()
    assert f"the map has EXIF orientation {of_map}" in problem
    for exif, turns in (("ignore", 0), ("apply", {6: -1, 8: 1}[of_map])):
        data = open_dataset(trees.folder_config(tmp_path, size=SQUARE, exif=exif))
        assert list(data.check()) == []
        label = data.validation()[0].ids.numpy()
        assert np.array_equal(label, np.rot90(trees.random_label(1, size=SQUARE), turns))


def test_a_map_whose_size_shows_that_it_is_to_be_turned_is_none(tmp_path: Path) -> None:
    turned(tmp_path, WIDE, 1, of_map=6, map_size=WIDE[::-1])
    assert list(open_dataset(trees.folder_config(tmp_path, size=WIDE)).check()) == []
