"""Palettes: class tables, their colours, and what is wrong with those that users write."""

import itertools
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from PIL import Image

from scdm.layouts.palette import Palette, palette_names
from tests.layouts.palettes import THREE, palettes

LAUGHS = "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in itertools.pairwise("abcdefgh"))


@pytest.mark.parametrize(
    ("name", "num_classes", "unlabelled", "edge_channel"),
    [
        ("ade20k", 151, 150, False),
        ("coco_stuff", 183, 182, True),
        ("cityscapes", 35, None, True),
        ("celebamask_hq", 19, None, True),
    ],
)
def test_shipped_palettes_have_the_channels_of_the_published_models(
    name: str, num_classes: int, unlabelled: int | None, edge_channel: bool
) -> None:
    palette = Palette.named(name)
    assert name in palette_names()
    assert (palette.num_classes, palette.unlabelled, palette.edge_channel) == (num_classes, unlabelled, edge_channel)


def test_classes_are_the_same_by_name() -> None:
    THREE.require_same(THREE.golden_angle(), "the layout", "the model")
    with pytest.raises(ValueError, match=r"3 classes, the model expects 14: .* palette three, the other of scenes"):
        THREE.require_same(Palette.named("scenes"), "the layout", "the model")


def test_shared_colours_are_known() -> None:
    assert Palette.named("ade20k").duplicates == {(140, 140, 140): (6, 48)}
    assert Palette.named("cityscapes").duplicates[0, 0, 0] == (0, 1, 2, 3, 4)
    assert Palette.named("ade20k").read_as(48) == 6


@settings(deadline=None, max_examples=50)
@given(palettes())
def test_a_palette_survives_the_header_of_a_checkpoint(palette: Palette) -> None:
    assert Palette.from_dict(json.loads(json.dumps(palette.to_dict()))) == palette


def test_a_users_table_may_be_yaml(tmp_path: Path) -> None:
    path = tmp_path / "garden.yaml"
    path.write_text('classes:\n- {name: lawn, color: "#04fa07"}\n- {name: path, color: [1, 2, 3]}\n- {name: rest}\n')
    garden = Palette.from_file(path)
    assert garden == Palette("garden", ("lawn", "path", "rest"), ((4, 250, 7), (1, 2, 3), None))
    json_path = tmp_path / "garden.json"
    json_path.write_text(json.dumps(garden.to_dict(), indent="\t"))
    assert Palette.from_file(json_path) == garden


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- sky\n- tree\n", 'holds "classes"'),
        ("classes: []\n", "1 to 65534 classes, not 0"),
        ("classes: [sky, tree]\n", "class 0 of the table is 'sky'"),
        ("classes: [{name: sky, id: 0}, {name: tree, id: 0}]\n", "'sky' and 'tree' have the same id 0"),
        ("classes: [{name: sky, id: 5}]\nnum_channels: 3\n", r"0\.\.2, but 5\.\.5 occur"),
        ("classes: [{name: sky, color: [1, 2]}]\n", "not \\[r, g, b\\]"),
        ("classes: [{name: sky, color: [1, 2, 256]}]\n", "from 0 to 255"),
        ("classes:\n- name: sky\n  color: #04fa07\n", "quote it"),
        ("classes: [{name: sky}]\nunlabelled_channel: 9\n", "unlabelled id 9"),
        ("classes: [{name: sky}]\nnum_channels: 1000000000000\n", "1 to 65534 classes"),
        ("classes: [", "not valid YAML"),
        (None, "there is no such file"),
        ("name: [sky]\nclasses: [{name: sky}]\n", r"palette: name must be text, not \['sky'\]"),
        pytest.param(f"classes: [{{name: {'x' * 256}}}]\n", "names have up to 255 characters, not 'xxx", id="long"),
        pytest.param(f"classes: [{{name: {'x' * 10**5}, color: 5}}]\n", "the colour of class 'xxx", id="endless"),
        pytest.param(f"classes: [{{name: a, id: 0x{'f' * 10**5}}}]\n", "an integer, not a int too large", id="huge"),
        ("classes: [{name: sky}]\nnote: [sky]\n", "palette: note must be text"),
        pytest.param("a: &a [lol]\n" + LAUGHS + "classes: [*h]\n", "aliases that name each other", id="laughs"),
    ],
)
def test_wrong_tables_are_named_and_described(tmp_path: Path, text: str | None, complaint: str) -> None:
    path = tmp_path / "table.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=complaint) as caught:
        Palette.from_file(path)
    assert str(path) in str(caught.value) and len(str(caught.value)) < 1000


@pytest.mark.parametrize("color", [(0, 0, 256), (-1, 0, 0), (0.5, 0, 0), (True, 0, 0), (0, 0), [1, 2, 3], "red", 5])
def test_colours_are_three_levels(color: Any) -> None:
    with pytest.raises(ValueError, match=r"the colour of class 'sky' is .* from 0 to 255"):
        Palette("any", ("sky",), (color,))


def test_an_unknown_name_gets_the_nearest_one_or_all() -> None:
    with pytest.raises(ValueError, match="'ADE20K': did you mean 'ade20k'"):
        Palette.named("ADE20K")
    with pytest.raises(ValueError, match="ade20k, celebamask_hq, cityscapes, coco_stuff"):
        Palette.named("garden")


def test_golden_angle_colours_are_the_preprocessors() -> None:
    """The published formula in OpenCV's 8-bit HSV, to its last level of rounding; every class can be told again."""
    palette = Palette.named("ade20k").golden_angle()
    assert palette.colors[0] == (0, 0, 0)
    for i in range(1, 150):
        hsv = [i * 137.508 % 360 / 2, (0.6 + 0.4 * (i % 3) / 2) * 255, (0.7 + 0.3 * (i % 2)) * 255]
        expected = cv2.cvtColor(np.array([[hsv]], dtype=np.uint8), cv2.COLOR_HSV2RGB)
        assert np.abs(expected[0, 0].astype(int) - palette.colors[i]).max() <= 1
        labels = palette.to_labels(Image.fromarray(expected), remark=lambda _: None)
        assert labels.ids.item() == palette.read_as(i)


def test_keys_that_are_nearly_read_are_told(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text(
        '{"classes": [{"name": "sky", "colours": [1, 2, 3], "area": 1}, {"name": "void", "colours": "#000000"}],'
        ' "unlabeled_channel": 1, "author": "me"}'
    )
    told: list[str] = []
    palette = Palette.from_file(path, told.append)
    assert palette.unlabelled is None and palette.colors == (None, None)
    assert [sentence.removeprefix(f"{path}: ") for sentence in told] == [
        "the key 'unlabeled_channel' is ignored, did you mean 'unlabelled_channel'?",
        "the key 'colours' of classes is ignored, did you mean 'color'?",
    ]
