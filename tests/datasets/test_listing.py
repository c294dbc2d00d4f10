"""Which files belong together: by names with endings, of two Unicode forms, in a list, behind links."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scdm.datasets import DataConfig, open_pairs
from scdm.datasets.affixes import Affixes, guessed
from tests.datasets import trees

GREY = np.ones((4, 4), np.uint8)


def files(root: Path, images: list[str], labels: list[str], instances: list[str] | None = None) -> DataConfig:
    """A `folder` of files by these names; class tables of folders with instances ask for borders."""
    for kind, names in (("images", images), ("labels", labels), ("instances", instances or [])):
        for name in names:
            path = root / "train" / kind / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(trees.random_image(0, (4, 4)) if kind == "images" else GREY).save(path)
    return trees.folder_config(root, {**trees.CLASSES, "edge_channel": instances is not None})


def names(config: DataConfig) -> list[str]:
    data = open_pairs(config, "train")
    data.require_pairs()
    return [pair.name for pair in data.pairs]


@pytest.mark.parametrize(
    "image, label, settings",
    [
        ("img_1.jpg", "img_1_mask.png", {"label_suffix": "_mask"}),
        ("img_1.jpg", "img_1_mask.png", {"label_suffix": "_mask.png"}),
        ("image_1.png", "gt_1.png", {"image_prefix": "image_", "label_prefix": "gt_"}),
        (
            "x_leftImg8bit.png",
            "x_gtFine_labelIds.png",
            {"image_suffix": "_leftImg8bit", "label_suffix": "_gtFine_labelIds"},
        ),
        ("a/x_RGB.tif", "a/x_label.tif", {"image_suffix": "_RGB", "label_suffix": "_label"}),
        ("IMG_1.JPG", "img_1.png", {}),
        ("photo.jpg", "photo.jpg.png", {}),
        (unicodedata.normalize("NFC", "Küche.png"), unicodedata.normalize("NFD", "Küche.png"), {}),
        (unicodedata.normalize("NFD", "Küche.png"), unicodedata.normalize("NFC", "Küche.PNG"), {}),
        ("aé.png", "a.png", {"image_suffix": unicodedata.normalize("NFD", "é")}),
    ],
)
def test_a_map_is_found_by_what_names_share(image: str, label: str, settings: dict, tmp_path: Path) -> None:
    config = replace(files(tmp_path, [image], [label]), **settings)
    (pair,) = open_pairs(config, "train").pairs
    assert (Path(pair.image).name, Path(pair.label).name) == (Path(image).name, Path(label).name)
    assert list(open_pairs(config, "train").check()) == []


def test_instance_maps_have_an_ending_of_their_own(tmp_path: Path) -> None:
    config = files(tmp_path, ["a.png", "b.png"], ["a_ids.png", "b_ids.png"], ["a_things.png", "b_things.png"])
    (a, b) = open_pairs(replace(config, label_suffix="_ids", instance_suffix="_things"), "train").pairs
    assert a.instances and a.instances.endswith("a_things.png") and b.name == "b"


def test_capitals_count_where_there_is_a_choice(tmp_path: Path) -> None:
    config = files(tmp_path, ["A.png", "a.png"], ["A.png", "a.png"])
    assert all(Path(pair.image).name == Path(pair.label).name for pair in open_pairs(config, "train").pairs)
    (tmp_path / "train" / "labels" / "A.png").rename(tmp_path / "train" / "labels" / "A.png.png")
    (tmp_path / "train" / "labels" / "a.png").rename(tmp_path / "train" / "labels" / "a.jpg.png")
    with pytest.raises(ValueError, match="no images with a label map of the same name"):
        open_pairs(config, "train")


def test_what_was_taken_loosely_is_noted(tmp_path: Path) -> None:
    (note,) = open_pairs(files(tmp_path, ["IMG_1.JPG"], ["img_1.png"]), "train").notes
    assert "img_1.png for " in note and "IMG_1.JPG" in note


@pytest.mark.parametrize(
    "image, label, advice",
    [
        (
            "img_001.jpg",
            "img_001_mask.png",
            "such as img_001 and img_001_mask: set data.label_suffix=_mask, and 1 more",
        ),
        ("image_0001.png", "gt_0001.png", "set data.image_prefix=image_ and data.label_prefix=gt_, and"),
        ("a/x_01_rgb.png", "a/x_01_seg.png", "set data.image_suffix=_rgb and data.label_suffix=_seg, and"),
        ("x.png", "x 1.png", 'set data.label_suffix=" 1", and'),
        (
            "cat.png",
            "dog_a.png",
            "such as cat and dog_a: data.label_suffix, label_prefix, image_suffix and image_prefix say",
        ),
    ],
)
def test_names_that_differ_are_shown_with_the_setting_that_helps(
    image: str, label: str, advice: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError) as complaint:
        open_pairs(files(tmp_path, [image], [label]), "train")
    assert advice in str(complaint.value)


def test_a_setting_that_no_name_follows_is_reported(tmp_path: Path) -> None:
    config = replace(files(tmp_path, ["a.png"], ["a_mask.png"]), label_suffix="_msk")
    with pytest.raises(
        ValueError, match=r"0 label maps in .*, but 1 label map .*a_mask\.png: names should end in _msk"
    ):
        open_pairs(config, "train")


def test_an_ending_is_guessed_where_few_images_have_maps(tmp_path: Path) -> None:
    images = [f"frame_{i:05}" for i in range(0, 9000)]
    assert guessed(images, [f"frame_{i:05}_ann" for i in range(5, 9000, 171)]) == (Affixes(), Affixes("", "_ann"))
    assert guessed(images, [f"ann-{i:05}" for i in range(5, 9000, 171)]) == (Affixes("frame_"), Affixes("ann-"))
    assert guessed(["sun", "moon", "star"], ["river", "lake", "stone"]) is None


def test_of_a_mixed_folder_the_setting_that_pairs_more_is_named(tmp_path: Path) -> None:
    config = files(tmp_path, ["a.png", "b.png", "c.png"], ["a.png", "b_m.png", "c_m.png"])
    with pytest.raises(
        ValueError, match=r"names of images and maps differ, such as b and b_m: set data\.label_suffix=_m"
    ):
        names(config)


# Lists of names, and files without a partner


@pytest.mark.parametrize(
    "content",
    [
        b"a\nc\n",
        b"\xef\xbb\xbf# of VOC\r\na.png\r\n\r\nc.jpg\r\n",
        "a\r\nc\r\n".encode("utf-16"),
        b"train/images/a.png train/labels/a.png\n/home/me/data/train/images/c.png\t/home/me/data/train/labels/c.png",
        b"images/a.png,labels/a.png\nC\n",
        b".\\images\\a.png\nc\na\n",
    ],
)
def test_a_list_says_what_is_taken(content: bytes, tmp_path: Path) -> None:
    config = files(tmp_path, ["a.png", "b.png", "c.png", "d.png"], ["a.png", "c.png", "d.png"])
    (tmp_path / "list.txt").write_bytes(content)
    assert names(replace(config, list=str(tmp_path / "list.txt"))) == ["a", "c"]
    assert names(replace(config, list="list.txt")) == ["a", "c"], "found in the data set's folder too"


def test_a_list_may_name_files_with_their_endings_and_within_subfolders(tmp_path: Path) -> None:
    config = files(tmp_path, ["s/a_rgb.png", "s/b_rgb.png"], ["s/a_ids.png", "s/b_ids.png"])
    config = replace(config, image_suffix="_rgb", label_suffix="_ids", list="list.txt")
    for name in ("s/a_rgb.png", "a_ids", "s/a", "a"):
        (tmp_path / "list.txt").write_text(name)
        assert names(config) == ["s/a"]


@pytest.mark.parametrize(
    "content, complaint",
    [
        (b"a\nz\n", r"list\.txt, line 2: there is no image called 'z'"),
        (b"a\nb\n", r"b\.png: there is no label map of this name"),
        (b"a 1\nc -1\n", r"line 1: beside 'a' there is '1', which is no file of the same pair"),
        (b"val/images/a.png\nc", r"line 1: there is no image called 'val/images/a.png'"),
        (b"x/a\ny/a", "no name in .*list.txt is one of an image with a label map"),
        (b"# nothing\n\n", "names no image"),
        (b"\xff\xfea\xd8", "a list of names is a text in UTF-8"),
    ],
)
def test_what_a_list_may_not_say(content: bytes, complaint: str, tmp_path: Path) -> None:
    config = files(tmp_path, ["a.png", "b.png", "c.png"], ["a.png", "c.png"])
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(ValueError, match=complaint):
        names(replace(config, list="list.txt"))


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nowhere\.txt: there is no such file"):
        names(replace(files(tmp_path, ["a.png"], ["a.png"]), list="nowhere.txt"))


def test_each_split_has_its_list_and_a_list_alone_is_for_training(tmp_path: Path) -> None:
    config = trees.folder(tmp_path, 4)
    trees.folder(tmp_path, 3, split="val")
    (tmp_path / "train.txt").write_text("0\n1")
    (tmp_path / "val.txt").write_text("2")
    for given, counts in (("{split}.txt", (2, 1)), ("train.txt", (2, 3))):
        listed = replace(config, list=given)
        assert (len(open_pairs(listed, "train")), len(open_pairs(listed, "val"))) == counts


def test_lists_divide_a_folder_without_splits(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    config = trees.folder(tmp_path, 4)
    for kind in ("images", "labels"):
        (tmp_path / "train" / kind).rename(tmp_path / kind)
    (tmp_path / "train").rmdir()
    (tmp_path / "train.txt").write_text("0\n1")
    (tmp_path / "val.txt").write_text("2")
    listed = replace(config, list="{split}.txt")
    assert (len(open_pairs(listed, "train")), len(open_pairs(listed, "val"))) == (2, 1) and not recwarn
    with pytest.warns(UserWarning, match="serve for validation"):
        assert len(open_pairs(replace(config, list="train.txt"), "val")) == 2


def test_what_has_no_partner_is_skipped_if_asked(tmp_path: Path) -> None:
    config = files(tmp_path, ["a.png", "b.png"], ["a.png", "c.png"])
    with pytest.raises(ValueError, match=r"data\.unpaired=skip.*data\.list=FILE"):
        names(config)
    skipping = replace(config, unpaired="skip")
    assert names(skipping) == ["a"]
    (note,) = open_pairs(skipping, "train").notes
    assert note.startswith("2 files left out") and "b.png" in note
    Image.open(tmp_path / "train/images/a.png").save(tmp_path / "train/images/a.bmp")
    with pytest.raises(ValueError, match="another image of this name"):  # nobody asked to choose
        names(skipping)


# Links


def test_a_link_that_leads_round_in_a_circle_is_no_second_folder(tmp_path: Path) -> None:
    config = files(tmp_path, ["a.png", "s/b.png", "t/c.png"], ["a.png", "s/b.png", "t/c.png"])
    images = tmp_path / "train" / "images"
    (images / "again").symlink_to(images)
    (images / "above").symlink_to(tmp_path)
    (images / "s" / "back").symlink_to("..")
    (images / "s" / "over").symlink_to("../t")
    (images / "t" / "over").symlink_to("../s")
    (images / "loop").symlink_to("loop")
    data = open_pairs(config, "train")
    assert [pair.name for pair in data.pairs] == ["a", "s/b", "t/c"] and list(data.check()) == []
    assert len(data.notes) == 5 and all("not followed" in note for note in data.notes)


def test_links_to_folders_elsewhere_are_followed(tmp_path: Path) -> None:
    config = files(tmp_path, ["a.png"], ["a.png"])
    files(tmp_path / "elsewhere", ["b.png"], ["b.png"])
    for kind in ("images", "labels"):
        (tmp_path / "train" / kind / "more").symlink_to(tmp_path / "elsewhere" / "train" / kind)
    assert names(config) == ["a", "more/b"]


def test_a_number_that_goes_on_is_no_ending() -> None:
    assert guessed(["img_1", "img_2"], ["img_10", "img_20"]) is None
    assert guessed(["1", "2"], ["11", "12"]) is None
    assert guessed(["a_1_0000", "a_2_0000"], ["a_1", "a_2"]) == (Affixes("", "_0000"), Affixes())
