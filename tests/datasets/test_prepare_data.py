"""training/prepare_data.py: from the official downloads to folders that training reads."""

from __future__ import annotations

import json
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scdm.datasets import DataConfig, open_dataset
from scdm.layouts.palette import Palette
from tests.datasets import trees
from tests.datasets.test_check_data import run_config
from training import prepare_data

SKIN, NOSE, HAIR, CLOTH = 1, 2, 13, 18


def celebamask_hq(root: Path) -> Path:
    """Three faces of 16 pixels: skin on the left half, a nose within, hair over all that is above; the last without."""
    archive = root / "CelebAMask-HQ"
    (archive / "CelebA-HQ-img").mkdir(parents=True)
    for number in (0, 1999, 2000):
        Image.fromarray(trees.random_image(number, (16, 16))).save(archive / "CelebA-HQ-img" / f"{number}.jpg")
        masks = archive / "CelebAMask-HQ-mask-anno" / str(number // 2000)
        masks.mkdir(parents=True, exist_ok=True)
        parts = {"skin": np.s_[:, :4], "nose": np.s_[3:5, 1:3], "hair": np.s_[:2, :]}
        for part, where in parts.items():
            if part != "hair" or number != 2000:
                mask = np.zeros((8, 8, 3), np.uint8)
                mask[where] = 255
                Image.fromarray(mask).save(masks / f"{number:05}_{part}.png")
    return archive


def test_part_masks_become_one_map(tmp_path: Path) -> None:
    """In the order of the class table: hair lies over skin."""
    archive, out = celebamask_hq(tmp_path), tmp_path / "faces"
    arguments = ["celebamask_hq", str(archive), str(out), "--held-out", "1", "--workers", "1"]
    assert prepare_data.main(arguments) == 0
    config = DataConfig("celebamask_hq", root=str(out), size=16)
    train, val = open_dataset(config), open_dataset(config, "val")
    assert train.validation().names == ["0", "1999"] and val.validation().names == ["2000"]
    assert list(train.check()) == list(val.check()) == []
    expected = np.zeros((8, 8), int)
    expected[:, :4] = SKIN
    expected[3:5, 1:3] = NOSE
    assert np.array_equal(val.layout(0), expected)
    expected[:2] = HAIR
    assert np.array_equal(train.layout(0), expected)
    label = out / "train" / "labels" / "0.png"
    stamp = label.stat().st_mtime_ns
    assert prepare_data.main(arguments) == 0 and label.stat().st_mtime_ns == stamp


def test_parts_are_those_of_the_class_table() -> None:
    assert len(prepare_data.parts()) == Palette.named("celebamask_hq").num_classes
    assert prepare_data.parts()[CLOTH] == "cloth"


def test_a_face_without_masks_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = celebamask_hq(tmp_path)
    Image.fromarray(trees.random_image(0)).save(archive / "CelebA-HQ-img" / "7.jpg")
    arguments = ["celebamask_hq", str(archive), str(tmp_path / "faces"), "--workers", "1"]
    assert prepare_data.main([*arguments, "--held-out", "1"]) == 1
    assert "no mask 00007_*.png" in capsys.readouterr().out
    assert prepare_data.main(arguments) == 2
    assert "of the 4 faces" in capsys.readouterr().err
    assert prepare_data.main(["celebamask_hq", str(tmp_path), str(tmp_path / "faces")]) == 2
    assert "CelebA-HQ-img: is " in capsys.readouterr().err


def coco(root: Path) -> list[str]:
    """Two images of 12 x 10: two squares of one class that touch, and a crowd in the last column."""
    values = np.full((10, 12), 150, np.uint8)
    values[2:6, 2:10] = 5
    values[:, 11] = 0
    values[0] = 255
    crowd = {"counts": [110, 10], "size": [10, 12]}
    squares = [[[x, 2, x + 4, 2, x + 4, 6, x, 6]] for x in (2, 6)]
    annotations = [{"image_id": 7, "segmentation": shape} for shape in (*squares, crowd)]
    for folder in ("images", "maps"):
        (root / folder / "val2017").mkdir(parents=True)
    for name in ("000000000007", "000000000008"):
        Image.fromarray(trees.random_image(7, (10, 12))).save(root / "images" / "val2017" / f"{name}.jpg")
        Image.fromarray(values).save(root / "maps" / "val2017" / f"{name}.png")
    (root / "instances_val2017.json").write_text(json.dumps({"annotations": annotations}))
    folders = ["--images", str(root / "images"), "--maps", str(root / "maps"), "--instances", str(root)]
    return ["coco_stuff", *folders, str(root / "out"), "--workers", "1"]


def test_pixel_maps_and_instances_come_together(tmp_path: Path) -> None:
    assert prepare_data.main(coco(tmp_path)) == 0
    instances = np.asarray(Image.open(tmp_path / "out" / "val_inst" / "000000000007.png"))
    expected = np.full((10, 12), 150)
    expected[0], expected[:, 11] = 255, 258
    expected[2:6, 2:6], expected[2:6, 6:10] = 256, 257
    assert np.array_equal(instances, expected)
    data = open_dataset(DataConfig("coco_stuff", root=str(tmp_path / "out"), size=(10, 12)), "val")
    assert len(data) == 2 and list(data.check()) == []
    with_instances, without = data.validation()
    assert (with_instances.ids[0, :11] == 182).all() and with_instances.ids[3, 3] == 5
    assert with_instances.edges is not None and with_instances.edges[0, 3, 5:7].all()  # where the squares touch
    assert without.edges is not None and not without.edges[0, 3, 5:7].any()


def replaced(file: Path, content: bytes) -> None:
    """Another file of this name: the old one may have a second name, in a copy."""
    file.unlink()
    file.write_bytes(content)


def test_what_is_done_is_not_read_again(tmp_path: Path) -> None:
    arguments = coco(tmp_path)
    assert prepare_data.main(arguments) == 0
    for file in (tmp_path / "maps" / "val2017").iterdir():
        replaced(file, b"no longer an image")
    assert prepare_data.main(arguments) == 0
    (tmp_path / "out" / "val_inst" / "000000000007.png").unlink()
    assert prepare_data.main(arguments) == 1


def test_what_is_no_download_of_coco_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = coco(tmp_path)
    (tmp_path / "maps" / "val2017" / "000000000008.png").unlink()
    assert prepare_data.main(arguments) == 1
    assert "000000000008.png: there is no such file" in capsys.readouterr().out
    (tmp_path / "instances_val2017.json").write_text("[]")
    assert prepare_data.main(arguments) == 2
    assert "not the instances of COCO" in capsys.readouterr().err


def test_one_odd_annotation_is_named_and_the_rest_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = coco(tmp_path)
    file = tmp_path / "instances_val2017.json"
    content = json.loads(file.read_text())
    content["annotations"] += [{"id": 5, "image_id": 7, "segmentation": None}, 3]
    file.write_text(json.dumps(content))
    (tmp_path / "images" / "val2017" / "000000000008.jpg").rename(tmp_path / "images" / "val2017" / "eight.jpg")
    assert prepare_data.main(arguments) == 1
    out = capsys.readouterr().out
    assert "000000000007.jpg: annotation 5 has no shape" in out and "1 annotations of no image" in out
    assert "eight.jpg: " in out and "val: 1 of 2 images are there, 3 problems" in out
    instances = np.asarray(Image.open(tmp_path / "out" / "val_inst" / "000000000007.png"))
    assert set(np.unique(instances)) == {150, 255, 256, 257, 258}


def test_images_of_any_format_are_prepared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = coco(tmp_path)
    folder = tmp_path / "images" / "val2017"
    Image.open(folder / "000000000007.jpg").save(folder / "000000000007.png")
    assert prepare_data.main(arguments) == 1
    assert "000000000007.png: 000000000007.jpg has the same name" in capsys.readouterr().out
    (folder / "000000000007.jpg").unlink()
    assert prepare_data.main(arguments) == 0
    for file in folder.iterdir():
        file.unlink()
    assert prepare_data.main(arguments) == 2
    assert "there are no images in" in capsys.readouterr().err


@pytest.mark.parametrize(
    "map_, problem",
    [
        (np.zeros((10, 12, 3), np.uint8), "is no grey image of values below 256"),
        (np.full((10, 12), 300, np.uint16), "is no grey image of values below 256"),
        (np.zeros((20, 24), np.uint8), "its shapes are meant for 12 x 10 pixels, but its pixel map"),
    ],
)
def test_a_map_of_another_kind_leaves_its_image_out(
    map_: np.ndarray, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = coco(tmp_path)
    images = [{"id": i, "file_name": f"{i:012}.jpg", "height": 10, "width": 12} for i in (7, 8)]
    content = json.loads((tmp_path / "instances_val2017.json").read_text())
    (tmp_path / "instances_val2017.json").write_text(json.dumps({**content, "images": images}))
    Image.fromarray(map_).save(tmp_path / "maps" / "val2017" / "000000000008.png")
    assert prepare_data.main(arguments) == 1
    assert problem in capsys.readouterr().out and len(list((tmp_path / "out" / "val_img").iterdir())) == 1


def test_a_smaller_copy_takes_maps_of_another_resolution_and_the_list(tmp_path: Path) -> None:
    for name in "ab":
        trees.write(
            tmp_path, "folder", trees.random_label(1, size=(15, 20)), trees.random_image(1, (60, 80)), name=name
        )
    (tmp_path / "train.txt").write_text("b")
    arguments = ["resize", "--config", run_config(tmp_path), "--side", "30", "--split", "train", "--workers", "1"]
    assert prepare_data.main([*arguments, "--set", "data.list='{split}.txt'", str(tmp_path / "copy")]) == 0
    data = open_dataset(replace(trees.folder_config(tmp_path, list="{split}.txt"), root=str(tmp_path / "copy")))
    assert data.validation().names == ["b"] and data.layout(0).shape == (30, 40)


def test_a_smaller_copy_is_a_data_set_of_the_same_names(tmp_path: Path) -> None:
    for name, size in (("a", (60, 80)), ("b", (20, 90))):
        label = trees.random_label(1, size=size).astype(np.uint16)
        label[0] = 65535
        trees.write(tmp_path, "folder", label, trees.random_image(1, size), name=name)
    copy = tmp_path / "copy"
    arguments = ["resize", "--config", run_config(tmp_path), "--side", "30", "--split", "train", "--workers", "1"]
    assert prepare_data.main([*arguments, str(copy)]) == 0
    config = trees.folder_config(tmp_path, size=(30, 40))
    old, new = open_dataset(config), open_dataset(replace(config, root=str(copy)))
    assert new.validation().names == ["a", "b"] and list(new.check()) == []
    assert new.layout(0).shape == (30, 40) and new.layout(1).shape == (20, 90)
    one, other = old.validation()[0], new.validation()[0]
    assert torch.equal(one.ids, other.ids) and (one.image - other.image).abs().max() < 1e-6
    for file in (tmp_path / "train" / "labels").iterdir():  # what is done is not read again
        replaced(file, b"no longer an image")
    assert prepare_data.main([*arguments, str(copy)]) == 0
    (copy / "train" / "images" / "b.png").unlink()
    assert prepare_data.main([*arguments, str(copy)]) == 1
    file = tmp_path / "file"
    file.touch()
    assert prepare_data.main([*arguments, str(file)]) == 2


def test_a_smaller_copy_keeps_what_deep_files_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Photographs of 16 bits and of floats, an instance map of many numbers; what cannot be read rightly is not copied."""
    levels, ids = trees.random_image(1)[..., 0], trees.random_label(1)
    deep = {
        "a": levels.astype(np.uint16) * 257,
        "b": levels.astype(np.float32) / 255,
        "c": levels.astype(np.uint16) * 16,
    }
    for name, values in deep.items():
        trees.write(tmp_path, "folder", ids, name=name)
        trees.path(tmp_path, "folder", "image", name).unlink()
        Image.fromarray(values).save(trees.path(tmp_path, "folder", "image", name).with_suffix(".tif"))
    copy = tmp_path / "copy"
    arguments = ["resize", "--config", run_config(tmp_path), "--side", "15", "--split", "train", "--workers", "1"]
    assert prepare_data.main([*arguments, str(copy)]) == 1
    assert "c.tif: the image has more than 8 bits, but its brightest level is" in capsys.readouterr().out
    made = [np.asarray(Image.open(copy / "train" / "images" / f"{name}.tif")) for name in "ab"]
    assert made[0].shape == (15, 20, 3) and made[0].std() > 10 and np.array_equal(*made)
    assert not (copy / "train" / "images" / "c.tif").exists()


def test_values_that_a_copy_cannot_hold_are_refused() -> None:
    assert prepare_data.compact(np.array([0, 255]), "a").dtype == np.uint8
    assert prepare_data.compact(np.array([-1, 3]), "a").tolist() == [65535, 3]
    for values in ([-2, 3], [-1, 65535], [0, 65536]):
        with pytest.raises(ValueError, match=r"a holds values from .* renumber them"):
            prepare_data.compact(np.array(values), "a")


def test_what_a_smaller_copy_lacks_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "ab":
        trees.write(tmp_path, "folder", trees.random_label(1), name=name)
    (tmp_path / "train" / "labels" / "b.png").unlink()
    arguments = ["resize", "--config", run_config(tmp_path), "--side", "20", "--split", "train", "--workers", "1"]
    assert prepare_data.main([*arguments, str(tmp_path / "copy")]) == 1
    assert "b.png: there is no label map of this name" in capsys.readouterr().out


def test_a_data_set_is_no_copy_of_itself(tmp_path: Path) -> None:
    trees.write(tmp_path, "folder", trees.random_label(1))
    arguments = ["resize", "--config", run_config(tmp_path), "--side", "20", "--split", "train", "--workers", "1"]
    assert prepare_data.main([*arguments, str(tmp_path)]) == 2


def test_an_index_is_written_beside_the_archives_of_each_split(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split, names in (("train", "ab"), ("val", "c")):
        (tmp_path / split).mkdir()
        with tarfile.open(tmp_path / split / "0.tar", "w") as archive:
            for name in names:
                archive.addfile(tarfile.TarInfo(f"{name}.jpg"))
    for _ in range(2):
        assert prepare_data.main(["index", str(tmp_path)]) == 0
        out = capsys.readouterr().out
        assert (
            f"{tmp_path / 'train' / 'index.json'}: 2 files" in out
            and f"{tmp_path / 'val' / 'index.json'}: 1 files" in out
        )
    index = json.loads((tmp_path / "train" / "index.json").read_text())
    assert index == {"archives": {"0.tar": {"size": 10240, "members": [["a.jpg", 512, 0], ["b.jpg", 1024, 0]]}}}
    (tmp_path / "val" / "0.tar").write_bytes(b"nothing")
    for root, problem in (
        (str(tmp_path), "0.tar is no tar archive"),
        (str(tmp_path / "train"), "has no folder train or val, which hold the archives"),
        ("s3://bucket", "not at an address like s3://bucket: upload it after"),
    ):
        assert prepare_data.main(["index", root]) == 2
        assert problem in capsys.readouterr().err
    (tmp_path / "val" / "0.tar").unlink()
    assert prepare_data.main(["index", str(tmp_path)]) == 2
    assert "has no archives (*.tar)" in capsys.readouterr().err
