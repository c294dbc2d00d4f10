"""COCO's JSON as tools write it: every shape is drawn, or named and left out; none ends the work."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scdm.datasets.coco import Shape, decompressed, instance_map, mask_of_runs, read_annotations

VALUES = np.zeros((20, 24), np.uint8)
SQUARE = [2, 3, 8, 3, 8, 9, 2, 9]


def drawn(segmentation: Any) -> tuple[np.ndarray, list[str]]:
    return instance_map(VALUES, [Shape("annotation 7", segmentation)])


def compressed(runs: list[int]) -> str:
    """The inverse of `decompressed`, from the format's description."""
    text = ""
    for place, run in enumerate(runs):
        number = run - runs[place - 2] if place > 2 else run
        more = True
        while more:
            bits, number = number & 31, number >> 5
            more = number != (-1 if bits & 16 else 0)
            text += chr(ord("0") + bits + (32 if more else 0))
    return text


def test_runs_are_decoded() -> None:
    assert decompressed("T3b1Z:") == [100, 50, 330]
    rng = np.random.default_rng(0)
    for _ in range(50):
        runs = [int(run) for run in rng.integers(0, 3000, rng.integers(1, 40))]
        assert decompressed(compressed(runs)) == runs


def test_compressed_runs_and_plain_ones_are_one_mask() -> None:
    mask = np.random.default_rng(1).random((20, 24)) < 0.3
    column_by_column = mask.T.ravel()
    ends = np.flatnonzero(np.diff(column_by_column)) + 1
    runs = np.diff([0, *ends, mask.size]).tolist()
    runs = [0, *runs] if column_by_column[0] else runs
    for counts in (runs, compressed(runs)):
        assert np.array_equal(mask_of_runs({"size": [20, 24], "counts": counts}, (20, 24)), mask)
        instances, problems = drawn({"size": [20, 24], "counts": counts})
        assert problems == [] and np.array_equal(instances == 256, mask)


@pytest.mark.parametrize("segmentation", [[SQUARE], SQUARE, [[[2, 3], [8, 3], [8, 9], [2, 9]]]])
def test_a_polygon_is_drawn_however_its_list_is_nested(segmentation: list) -> None:
    instances, problems = drawn(segmentation)
    assert problems == [] and (instances[3:9, 2:8] == 256).all() and (instances > 0).sum() == 36


@pytest.mark.parametrize(
    "segmentation, problem",
    [
        (None, "no shape (its segmentation is null, absent or empty)"),
        ([], "no shape (its segmentation is null, absent or empty)"),
        ("polygon", "neither polygons nor runs"),
        ([[]], "a polygon of 0 points"),
        ([[1, 2, 3, 4]], "a polygon of 2 points"),
        ([[2, 2, 9, 2, 9, 9, 5]], "a polygon of 7 coordinates, an odd number"),
        ([[2, 2, 9, None, 9, 9]], "nowhere near an image"),
        ([["a", 2, 9, 9, 9, 9]], "no list of numbers"),
        ([[2, 2, 9, math.inf, 9, 9]], "nowhere near an image"),
        ([[2, 2, 4, 4, 8, 8]], "without an area"),
        ([[0.1, 0.1, 0.9, 0.1, 0.9, 0.9]], "coordinates of 0 to 1"),
        ([[30, 2, 40, 2, 40, 9]], "outside the image"),
        ({"counts": [100, 50]}, "runs of 150 pixels in all, where the image has 480"),
        ({"counts": [500, -20]}, "no list of lengths"),
        ({"counts": [240.0, True]}, "no list of lengths"),
        ({"size": [24, 20], "counts": [480]}, "of (height, width) [24, 20], not of [20, 24]"),
        ({"counts": "T3b1Z"}, "break off"),
        ({"counts": "T3 "}, "cannot be decoded"),
        ({"counts": "o" * 1000}, "cannot be decoded"),
        ({}, "no list of lengths, but None"),
    ],
)
def test_what_is_odd_is_named_and_the_next_is_drawn(segmentation: Any, problem: str) -> None:
    instances, problems = instance_map(VALUES, [Shape("annotation 7", segmentation), Shape("annotation 8", [SQUARE])])
    (found,) = problems
    assert found.startswith("annotation 7 has ") and problem in found and found.endswith(": left out")
    assert (instances > 0).sum() == 36 and instances.max() == 257


def test_of_several_polygons_those_in_order_are_drawn() -> None:
    instances, problems = drawn([[1, 2], SQUARE, []])
    assert len(problems) == 2 and (instances == 256).sum() == 36


def annotations(path: Path, images: list[dict] | None, entries: list[Any]) -> Path:
    content = {"annotations": entries, **({} if images is None else {"images": images})}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_images_are_found_by_name_then_by_number(tmp_path: Path) -> None:
    images = [
        {"id": "000012", "file_name": "train2017/Road-1_jpg.rf.ab12.jpg"},
        {"id": 7.0, "file_name": "000000000007.jpg", "height": 20, "width": 24},
        {"id": 9},
    ]
    entries = [{"id": i, "image_id": key, "segmentation": [SQUARE]} for i, key in enumerate((12, "7", 9, 99))]
    found = read_annotations(annotations(tmp_path / "a.json", images, entries))
    for name, key in (("Road-1_jpg.rf.ab12.jpg", "12"), ("road-1_jpg.rf.ab12.PNG", "12"), ("000000000007.png", "7")):
        assert found.key_of(Path(name)) == key and len(found.shapes[key]) == 1
    assert found.key_of(Path("9.jpg")) == "9" and found.sizes == {"7": (20, 24)}
    assert found.problems == [f"{tmp_path / 'a.json'}: 1 annotations of no image (such as annotation 3) are left out"]
    for name in ("road.jpg", "000000000008.jpg"):
        with pytest.raises(ValueError, match=rf"{name}: .*a\.json names no image like this"):
            found.key_of(Path(name))
    assert read_annotations(annotations(tmp_path / "a.json", None, entries)).key_of(Path("8.jpg")) == "8"


@pytest.mark.parametrize(
    "content, problem",
    [
        ("[]", "not the instances of COCO"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ('{"annotations": {}}', "not the instances of COCO"),
        ('{"annotations": [{"image_id": 1, "segments_info": []}]}', "no annotation has a segmentation"),
    ],
)
def test_files_of_something_else_are_refused(content: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(ValueError, match=problem):
        read_annotations(tmp_path / "a.json")


def test_a_number_that_the_file_calls_otherwise_is_no_image_of_that_name(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "foo.jpg"}, {"id": 2, "file_name": "a/2.png"}]
    entries = [{"id": i, "image_id": i, "segmentation": [SQUARE]} for i in (1, 2)]
    found = read_annotations(annotations(tmp_path / "a.json", images, entries))
    with pytest.raises(ValueError, match=r"000000000001\.jpg: .*a\.json calls the image of this number foo\.jpg"):
        found.key_of(Path("000000000001.jpg"))
    assert found.key_of(Path("foo.jpg")) == "1" and found.key_of(Path("000000000002.jpg")) == "2"


def test_without_a_list_of_images_annotations_may_name_their_files(tmp_path: Path) -> None:
    entries = [{"id": i, "image_id": key, "segmentation": [SQUARE]} for i, key in enumerate(("0001.jpg", "a/Foo"))]
    found = read_annotations(annotations(tmp_path / "a.json", None, entries))
    for name, key in (("0001.jpg", "0001.jpg"), ("0001.png", "0001.jpg"), ("foo.jpg", "a/Foo")):
        assert len(found.shapes[found.key_of(Path(name))]) == 1 and found.key_of(Path(name)) == key


def test_a_folder_in_place_of_annotations_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a folder: give a file$") as error:
        read_annotations(tmp_path)
    assert "JSON" not in str(error.value)
