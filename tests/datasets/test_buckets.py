"""Buckets: each image at the size whose proportions are nearest, known by headers alone."""

from __future__ import annotations

import io
import tarfile
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scdm.datasets import DataConfig, PairSet, open_dataset, open_pairs
from scdm.datasets.buckets import buckets
from scdm.files.members import Member
from tests.datasets import trees

SIZES = [(16, 16), (16, 32), (32, 16)]
STORED = [(30, 40), (40, 40), (20, 50), (41, 40), (60, 30), (40, 30)]


def folder(root: Path, stored: list[tuple[int, int]] = STORED, **changes) -> DataConfig:
    for number, size in enumerate(stored):
        label, image = trees.random_label(number, size=size), trees.random_image(number, size)
        trees.write(root, "folder", label, image, name=str(number))
    return trees.folder_config(root, **changes)


def names(parts: list[PairSet]) -> list[list[str]]:
    return [[pair.name for pair in part.pairs] for part in parts]


@pytest.mark.parametrize("workers", [0, 2])
def test_each_image_is_at_the_size_of_the_nearest_proportions(workers: int, tmp_path: Path) -> None:
    """30x40 is nearer to a square than to 16x32: 1.33 against 1.5 times as long."""
    found = buckets(open_dataset(folder(tmp_path, workers=workers)), SIZES)
    assert names([bucket.data for bucket in found]) == [["0", "1", "3", "5"], ["2"], ["4"]]
    assert [bucket.size for bucket in found] == SIZES
    for bucket in found:
        example = bucket.data.training()[7]
        assert example.image.shape[1:] == example.ids.shape == bucket.size and example.position == 7
    square, wide, high = (bucket.lost for bucket in found)
    assert square == pytest.approx((1 / 4 + 0 + 1 / 41 + 1 / 4) / 4) and wide == pytest.approx(1 / 5) and high == 0


def test_photos_count_as_they_are_turned(tmp_path: Path) -> None:
    config = folder(tmp_path, [(20, 40)])
    exif = Image.Exif()
    exif[0x0112] = 6
    path = trees.path(tmp_path, "folder", "image", "0")
    Image.open(path).save(path, exif=exif)
    for choice, count in ((None, [0, 0, 1]), ("apply", [0, 0, 1]), ("ignore", [0, 1, 0])):
        found = buckets(open_dataset(replace(config, exif=choice)), SIZES)
        assert [len(bucket.data) for bucket in found] == count


def test_a_file_that_cannot_be_read_is_in_none_and_is_named(tmp_path: Path) -> None:
    config = folder(tmp_path)
    trees.path(tmp_path, "folder", "image", "3").write_bytes(b"nothing")
    with pytest.warns(UserWarning, match=r"3\.png: .*not an image.*; left out"):
        data = open_dataset(config)
        found = buckets(data, SIZES)
    assert names([bucket.data for bucket in found]) == [["0", "1", "5"], ["2"], ["4"]]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        assert [len(bucket.data) for bucket in buckets(data, SIZES[:2])] == [4, 1]


def test_a_bucket_tells_its_own_broken_pairs_once(tmp_path: Path) -> None:
    config = folder(tmp_path, [(20, 40)] * 2 + [(20, 20)])
    trees.path(tmp_path, "folder", "label", "0").write_bytes(b"nothing")
    wide = buckets(open_dataset(config), SIZES)[1].data.training()
    with pytest.warns(UserWarning, match=r"0\.png") as told:
        assert all(wide[i].ids.shape == (16, 32) for i in range(8))
    assert len(told) == 1


def test_of_archives_headers_alone_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    (tmp_path / "shards" / "train").mkdir(parents=True)
    with tarfile.open(tmp_path / "shards" / "train" / "0.tar", "w") as archive:
        for number, (height, width) in enumerate([(400, 400), (400, 800)]):
            pictures = {
                "jpg": trees.random_image(number, (height, width)),
                "label.png": np.zeros((height, width), np.uint8),
            }
            for suffix, picture in pictures.items():
                content = io.BytesIO()
                Image.fromarray(picture).save(content, {"jpg": "JPEG", "label.png": "PNG"}[suffix])
                info = tarfile.TarInfo(f"{number}.{suffix}")
                info.size = len(content.getvalue())
                content.seek(0)
                archive.addfile(info, content)
    config = trees.folder_config(tmp_path, name="shards")
    data = open_pairs(replace(config, root=str(tmp_path / "shards")))
    monkeypatch.setattr(Member, "read_bytes", lambda member: read.append(member.size))
    assert names([bucket.data for bucket in buckets(data, SIZES)]) == [["0"], ["1"], []] and not read
    member = data.pairs[1].image
    assert isinstance(member, Member)
    with member.open() as file:
        start = file.read(3)
        assert start == b"\xff\xd8\xff" and file.seek(-2, io.SEEK_END) == member.size - 2
        assert file.read() == b"\xff\xd9" and file.read(1) == b"" and file.seek(0) == 0
        assert len(file.read()) == member.size


def test_rendered_images_have_no_proportions_of_their_own() -> None:
    with pytest.raises(ValueError, match=r"scenes have no image files, .*: set buckets to false"):
        buckets(open_dataset(DataConfig(size=16)), SIZES)
