"""Any folder of images and label maps, however the maps store their classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scdm.datasets import DataConfig, open_dataset, open_pairs
from scdm.datasets.pairs import PairSet
from tests.datasets import trees
from tests.parity import REPOSITORY

SHARED = REPOSITORY.parent / "shared"
TABLE = {
    "classes": [
        {"name": "sky", "color": [0, 0, 255]},
        {"name": "sea", "color": [0, 128, 128]},
        {"name": "sun", "color": "#ffff00"},
    ]
}
COLORS = np.array([[0, 0, 255], [0, 128, 128], [255, 255, 0]], dtype=np.uint8)


def ids_of(label: Image.Image, root: Path, table: dict = TABLE) -> np.ndarray:
    """What is read of a label map, by validation at its own size; `layout` must say the same."""
    size = label.size[::-1]
    trees.write(root, "folder", np.zeros(size, np.uint8))
    label.save(trees.path(root, "folder", "label"))
    data = open_dataset(trees.folder_config(root, table, size=size))
    assert [remark for remark in data.check() if "counts from 1" not in remark] == []
    ids = data.validation()[0].ids.numpy()
    assert np.array_equal(ids, data.layout(0))
    return ids


@pytest.mark.parametrize("kind", ["8 bits", "16 bits", "colour table", "painted", "painted with a colour table"])
def test_maps_of_every_kind_mean_the_same(kind: str, tmp_path: Path) -> None:
    ids = trees.random_label(3)
    painted = Image.fromarray(COLORS[ids])
    indexed = Image.fromarray(ids)
    indexed.putpalette(COLORS.tobytes())
    labels = {
        "8 bits": Image.fromarray(ids),
        "16 bits": Image.fromarray(ids.astype(np.uint16)),
        "colour table": indexed,
        "painted": painted,
        "painted with a colour table": painted.quantize(256),
    }
    assert np.array_equal(ids_of(labels[kind], tmp_path), ids)


@pytest.mark.parametrize("dtype, void", [(np.uint8, 255), (np.uint16, 65535), (np.uint8, 3)])
@pytest.mark.parametrize("table, meaning", [(TABLE, 3), ({**TABLE, "unlabelled_channel": 3, "num_channels": 4}, 3)])
def test_what_is_unlabelled_is_mask_or_the_class_for_it(dtype, void: int, table: dict, meaning: int, tmp_path: Path):
    ids = trees.random_label(3).astype(dtype)
    ids[:9] = void
    read = ids_of(Image.fromarray(ids), tmp_path, table)
    assert (read[:9] == meaning).all() and np.array_equal(read[9:], ids[9:])


def opened(label: Image.Image, root: Path, table: dict = TABLE, name: str = "a.png", **settings) -> PairSet:
    """A data set of one map, a file of this name."""
    trees.write(root, "folder", np.zeros(label.size[::-1], np.uint8))
    place = trees.path(root, "folder", "label")
    place.unlink()
    label.save(place.with_name(name))
    return open_pairs(trees.folder_config(root, table, size=label.size[::-1], **settings), "train")


def test_a_folder_has_the_values_that_its_settings_choose(tmp_path: Path) -> None:
    """Of the class table's conventions; without a choice the first is taken for all files, and a check reports it."""
    values = [
        {"name": "ids"},
        {"name": "from_one", "first": 1, "unlabelled": [0]},
        {"name": "swapped", "classes": [1, 0]},
    ]
    table = {**TABLE, "values": values}
    ids = trees.random_label(3)
    ids[:2] = 0
    data = opened(Image.fromarray(ids), tmp_path, table)
    (remark,) = data.check()
    assert "read as ids" in remark and np.array_equal(data.layout(0), ids)
    data = opened(Image.fromarray(ids), tmp_path, table, values="from_one")
    assert list(data.check()) == []
    assert np.array_equal(data.layout(0), np.where(ids == 0, 3, ids.astype(np.int64) - 1))
    painted = opened(Image.fromarray(COLORS[ids]), tmp_path, table, values="swapped")
    assert list(painted.check()) == [] and np.array_equal(painted.layout(0), ids), "colours are colours"
    with pytest.raises(ValueError, match="has no values 'train_ids': choose ids, from_one, swapped, or colors"):
        opened(Image.fromarray(ids), tmp_path, table, values="train_ids")


def test_maps_that_seem_to_count_from_one_are_remarked(tmp_path: Path) -> None:
    ids = trees.random_label(3)
    for bits in (np.uint8, np.uint16):
        data = opened(Image.fromarray((ids + 1).astype(bits)), tmp_path)
        (remark,) = data.check()
        assert (
            "value 3, which is no class of 0..2, is read as unpainted" in remark and "seems to count from 1" in remark
        )
        (tmp_path / "train" / "labels" / "a.png").touch()
    counted = {**TABLE, "values": [{"name": "from_one", "first": 1}]}
    data = opened(Image.fromarray(ids + 1), tmp_path, counted)
    assert list(data.check()) == [] and np.array_equal(data.layout(0), ids)


def test_greys_in_three_channels_are_ids(tmp_path: Path) -> None:
    table = {"classes": [{"name": "ground", "color": [0, 0, 0]}, {"name": "a", "color": "#ff0000"}, {"name": "b"}]}
    ids = trees.random_label(3)
    data = opened(Image.fromarray(ids).convert("RGB"), tmp_path, table)
    (remark,) = data.check()
    assert "read as ids" in remark and np.array_equal(data.layout(0), ids)
    assert not np.array_equal(
        opened(Image.fromarray(ids).convert("RGB"), tmp_path, table, values="colors").layout(0), ids
    )


def test_black_and_white_masks_are_painted(tmp_path: Path) -> None:
    table = {"classes": [{"name": "ground", "color": [0, 0, 0]}, {"name": "thing", "color": "#ffffff"}]}
    ids = trees.random_label(3) % 2
    data = opened(Image.fromarray(255 * ids), tmp_path, table)
    assert np.array_equal(data.layout(0), ids) and "read as colours" in next(iter(data.check()))


def test_minus_one_is_unlabelled(tmp_path: Path) -> None:
    ids = trees.random_label(3).astype(np.int32)
    ids[:9] = -1
    for dtype in (np.int32, np.float32):
        data = opened(Image.fromarray(ids.astype(dtype)), tmp_path, name="a.tif")
        assert list(data.check()) == [] and (data.layout(0)[:9] == 3).all()
        assert np.array_equal(data.layout(0)[9:], ids[9:])
        (tmp_path / "train" / "labels" / "a.tif").unlink()
    with pytest.raises(ValueError, match="values up to 65535"):
        opened(Image.fromarray(ids + 70000), tmp_path, name="a.tif").layout(0)


def test_ids_of_a_lossy_format_are_refused(tmp_path: Path) -> None:
    ids = Image.fromarray(trees.random_label(3))
    data = opened(ids, tmp_path)
    ids.save(data.pairs[0].label, "JPEG")  # whatever its name says
    with pytest.raises(ValueError, match=r"a\.png: ids do not survive JPEG, .*: save the map as PNG"):
        data.layout(0)


def test_maps_of_one_value_and_smoothed_maps_are_remarked(tmp_path: Path) -> None:
    data = opened(Image.new("L", (8, 8)), tmp_path)
    assert "every pixel is 0, so all of it is sky (0)" in next(iter(data.check())) and not data.layout(0).any()
    table = {"classes": [{"name": str(i)} for i in range(60)]}
    blocks = Image.fromarray(np.array([[0, 50, 20], [40, 5, 30]], dtype=np.uint8)).resize((60, 40), 0)
    smooth = opened(blocks.resize((180, 120), Image.Resampling.BILINEAR), tmp_path, table)
    assert "resized with smoothing" in next(iter(smooth.check()))


def test_transparent_pixels_are_unlabelled(tmp_path: Path) -> None:
    rgba = np.dstack([COLORS[trees.random_label(3)], np.full(trees.SIZE, 255, np.uint8)])
    rgba[:9, :, 3] = 0
    assert (ids_of(Image.fromarray(rgba), tmp_path)[:9] == 3).all()


def test_borders_come_from_instances_or_lie_between_classes(tmp_path: Path) -> None:
    table = {**TABLE, "edge_channel": True}
    trees.write(tmp_path, "folder", np.zeros((8, 8), np.uint8))
    without = open_dataset(trees.folder_config(tmp_path, table, size=8)).validation()[0]
    assert without.edges is not None and not without.edges.any()
    (tmp_path / "train" / "instances").mkdir()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "train" / "instances" / "a.png")
    within = open_dataset(trees.folder_config(tmp_path, table, size=8)).validation()[0]
    assert within.edges is not None and within.edges.all()
    assert open_dataset(trees.folder_config(tmp_path, TABLE, size=8)).validation()[0].edges is None


def test_images_and_labels_alone_serve_for_training_and_validation(tmp_path: Path) -> None:
    config = trees.folder(tmp_path, 2)
    for kind in ("images", "labels"):
        (tmp_path / "train" / kind).rename(tmp_path / kind)
    (tmp_path / "train").rmdir()
    assert len(open_dataset(config)) == 2
    with pytest.warns(UserWarning, match="no folder val: the training images serve"):
        assert len(open_dataset(config, "val")) == 2


def test_subfolders_suffixes_and_hidden_files(tmp_path: Path) -> None:
    config = trees.folder(tmp_path, 1)
    for kind in ("images", "labels"):
        folder = tmp_path / "train" / kind
        (folder / "deep").mkdir()
        (folder / "0.png").rename(folder / "deep" / "street.1.png")
        (folder / "Thumbs.db").write_bytes(b"")
        (folder / "._street.png").write_bytes(b"")
    image = tmp_path / "train" / "images" / "deep" / "street.1.png"
    Image.open(image).save(image.with_suffix(".JPG"))
    image.unlink()
    data = open_dataset(config)
    assert data.validation().names == ["deep/street.1"] and list(data.check()) == []


@pytest.mark.parametrize("name, train, val", [("camvid", 367, 101), ("facade", 644, 102)])
def test_real_folders(name: str, train: int, val: int) -> None:
    root, classes = SHARED / "data" / name, SHARED / "facts" / "classes" / f"{name}.json"
    if not root.is_dir():
        pytest.skip(f"{root} is not here")
    config = DataConfig("folder", root=str(root), classes=str(classes), size=64)
    data, unseen = open_dataset(config), open_dataset(config, "val")
    assert (len(data), len(unseen)) == (train, val)
    for example in (data.training(1000)[0], unseen.validation()[val - 1]):
        assert example.image.shape == (3, 64, 64) and example.ids.max() < data.palette.num_classes
        assert len(torch.unique(example.ids)) > 1


@pytest.mark.parametrize(
    "name, split, count", [("ade20k", "val", 3), ("coco_stuff", "train", 13), ("coco_stuff", "val", 8)]
)
def test_real_samples(name: str, split, count: int) -> None:
    root = SHARED / "data" / "samples" / name
    if not root.is_dir():
        pytest.skip(f"{root} is not here")
    data = open_dataset(DataConfig(name, root=str(root), size=64), split)
    assert len(data) == count and list(data.check()) == []
    example = data.validation()[0]
    assert example.ids.max() < data.palette.num_classes
    assert example.edges is None or 0 < example.edges.float().mean() < 0.5
