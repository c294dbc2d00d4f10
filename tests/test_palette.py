"""Palettes: what a painter paints is what the model reads, from every kind of image; bad input says what is wrong."""

import io
import itertools
import json
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from scdm import pixels
from scdm.labels import LabelMap
from scdm.palette import Color, Palette, palette_names, read_layout
from scdm.swatches import export, gimp_palette, krita_palette, swatches

SKY, TREE, ROAD = (6, 230, 230), (4, 200, 3), (140, 140, 140)
LAUGHS = "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in itertools.pairwise("abcdefgh"))
THREE = Palette("three", ("sky", "tree", "road"), (SKY, TREE, ROAD))
MASK = 3


def silent(_: str) -> None:
    pass


@st.composite
def palettes(draw: st.DrawFn) -> Palette:
    """Palettes of distinct colours, some classes without one."""
    level = st.integers(0, 255)
    found: list[Color] = draw(st.lists(st.tuples(level, level, level), min_size=1, max_size=12, unique=True))
    colors = [color if draw(st.booleans()) else None for color in found]
    names = tuple(draw(st.text(max_size=5)) for _ in colors)
    unlabelled = draw(st.none() | st.integers(0, len(colors) - 1))
    return Palette("any", names, tuple(colors), unlabelled, draw(st.booleans()), draw(st.text(max_size=5)))


def layout(palette: Palette, *rows: list[int]) -> LabelMap:
    return LabelMap.checked(torch.tensor(rows), palette.num_classes)


# Class tables


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
        ("name: [sky]\nclasses: [{name: sky}]\n", r"texts of up to 255 characters, not by \['sky'\]"),
        pytest.param(f"classes: [{{name: {'x' * 256}}}]\n", "texts of up to 255 characters, not by 'xxx", id="long"),
        pytest.param(f"classes: [{{name: {'x' * 10**5}, color: 5}}]\n", "the colour of class 'xxx", id="endless"),
        pytest.param(f"classes: [{{name: a, id: 0x{'f' * 10**5}}}]\n", "an integer, not a int too large", id="huge"),
        ("classes: [{name: sky}]\nnote: [sky]\n", "note of a palette must be text"),
        pytest.param("a: &a [lol]\n" + LAUGHS + "classes: [*h]\n", "class 0 of the table is", id="laughs"),
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


# Colours


@settings(deadline=None)
@given(palettes(), st.data())
def test_painted_is_read(palette: Palette, data: st.DataObject) -> None:
    """ids -> RGBA -> ids is the identity, but for classes without a colour: these are drawn like MASK."""
    ids = data.draw(arrays(np.int64, (1, 4, 5), elements=st.integers(0, palette.num_classes)))
    labels = LabelMap(torch.from_numpy(ids), palette.num_classes)
    painted = palette.to_image(labels)
    drawable = np.array([color is not None for color in palette.colors] + [False])
    expected = np.where(drawable[ids], ids, palette.num_classes)

    assert np.array_equal(painted[..., 3] == 255, drawable[ids])
    assert np.array_equal(palette.to_labels(Image.fromarray(painted[0]), tolerance=0).ids.numpy(), expected)


def test_mask_can_be_drawn_in_a_colour() -> None:
    image = THREE.to_image(layout(THREE, [0, MASK]), mask_color=(0, 0, 0))
    assert image.tolist() == [[[list(SKY), [0, 0, 0]]]]
    with pytest.raises(ValueError, match="layout has 5 classes, palette three has 3"):
        THREE.to_image(LabelMap(torch.zeros(1, 1, 1, dtype=torch.int64), 5))


def test_a_photograph_is_no_layout_and_the_complaint_says_why(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(60, 90, (64, 64, 3), dtype=np.uint8)).save(path)
    with pytest.raises(ValueError, match=r"photo\.png: no pixel .* of very many colours, .* \(paint in PNG\): choose"):
        read_layout(path, THREE)
    with pytest.raises(ValueError, match=r"such as model\.palette .*, not 'scenes'"):
        read_layout(path, "scenes")  # type: ignore[arg-type]


def test_nearest_colour_within_the_tolerance() -> None:
    """A JPEG's noise is forgiven; the blend on an anti-aliased border is nobody's."""
    blend = tuple((np.array(SKY) + TREE) // 2)
    image = Image.fromarray(np.array([[SKY, (10, 226, 233), blend, (140, 150, 140)]], dtype=np.uint8))
    assert THREE.to_labels(image, remark=silent).ids.tolist() == [[[0, 0, MASK, 2]]]
    assert THREE.to_labels(image, tolerance=9, remark=silent).ids.tolist() == [[[0, 0, MASK, MASK]]]
    assert THREE.to_labels(image, tolerance=442).unpainted.sum() == 0


@settings(deadline=None)
@given(arrays(np.uint8, (6, 6, 3)), st.floats(0, 442))
def test_nearest_colour_agrees_with_the_plain_search(rgb: np.ndarray, tolerance: float) -> None:
    """Every pixel against every colour in exact integers, lowest id on a tie."""
    palette = Palette.named("cityscapes")
    colors = np.array([c for c in palette.colors if c is not None], dtype=np.int64)
    squared = ((rgb[:, :, None].astype(np.int64) - colors) ** 2).sum(axis=-1)
    expected = np.where(squared.min(axis=-1) <= tolerance**2, squared.argmin(axis=-1), palette.num_classes)
    if (expected < palette.num_classes).any():
        labels = palette.to_labels(Image.fromarray(rgb), tolerance, silent)
        assert np.array_equal(labels.ids[0].numpy(), expected)


@given(arrays(np.uint8, (6, 5, 4), elements=st.sampled_from([0, 4, 6, 140, 200, 230, 255])), st.integers(1, 31))
def test_large_images_are_read_piece_by_piece(rgba: np.ndarray, band: int) -> None:
    """Whatever the size of a piece, layout and remarks are the same."""

    def read() -> tuple[object, list[str]]:
        remarks: list[str] = []
        try:
            return THREE.to_labels(Image.fromarray(rgba), 9, remarks.append).ids.tolist(), remarks
        except ValueError as error:
            return str(error), remarks

    whole = read()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixels, "BAND", band)
        assert read() == whole


def test_large_images_take_little_more_memory_than_their_layout() -> None:
    """16 megapixels: 8 bytes a pixel are the ids, 3 the masks."""
    image = Image.new("RGB", (4096, 4096), SKY)
    tracemalloc.start()
    THREE.to_labels(image)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * 4096**2


def test_many_classes_of_one_colour_make_a_short_remark() -> None:
    one = Palette("one", tuple(str(i) for i in range(1000)), (SKY,) * 1000)
    remarks: list[str] = []
    one.to_labels(Image.new("RGB", (2, 2), SKY), remark=remarks.append)
    assert remarks[0].endswith("7 (7), 8 (8) and 991 more: read as 0 (0)")


def test_less_than_half_opaque_is_unpainted() -> None:
    rgba = np.array([[(*SKY, 255), (*SKY, 128), (*SKY, 127), (*TREE, 0)]], dtype=np.uint8)
    assert THREE.to_labels(Image.fromarray(rgba)).ids.tolist() == [[[0, 0, MASK, MASK]]]


def test_an_empty_canvas_is_the_null_condition() -> None:
    labels = THREE.to_labels(Image.new("RGBA", (3, 2)))
    assert labels.ids.shape == (1, 2, 3) and labels.unpainted.all()


def test_a_layout_of_another_palette_is_refused_with_its_colours() -> None:
    image = Image.new("RGB", (4, 1), (255, 0, 0))
    image.putpixel((0, 0), (0, 0, 255))
    with pytest.raises(ValueError, match=r"no pixel .* palette three .* #ff0000 \(75%\), #0000ff \(25%\): choose"):
        THREE.to_labels(image)


def test_the_painter_hears_of_unknown_and_shared_colours() -> None:
    twins = Palette("twins", ("road", "skyscraper"), (ROAD, ROAD))
    image = Image.fromarray(np.array([[ROAD, ROAD, ROAD, (255, 0, 0)]], dtype=np.uint8))
    remarks: list[str] = []
    assert twins.to_labels(image, remark=remarks.append).ids.tolist() == [[[0, 0, 0, 2]]]
    assert remarks == [
        "25% of the painted pixels have no colour of palette twins and stay unpainted, mostly #ff0000 (100%)",
        "#8c8c8c is the colour of road (0) and of skyscraper (1): read as road (0)",
    ]
    with pytest.warns(UserWarning, match="read as road"):
        twins.to_labels(image.crop((0, 0, 2, 1)))


def test_a_clean_layout_is_read_without_remarks() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        THREE.to_labels(Image.new("RGB", (2, 2), SKY))


# Ids


@pytest.mark.parametrize("mode", ["L", "I;16", "I"])
def test_grey_images_hold_ids(mode: str, tmp_path: Path) -> None:
    """8 and 16 bits, through a file; 255 is "ignore" where it is no class."""
    dtype = {"L": np.uint8, "I;16": np.uint16, "I": np.int32}[mode]
    Image.fromarray(np.array([[0, 2, 3, 255]], dtype=dtype)).save(tmp_path / "ids.tif")
    assert read_layout(tmp_path / "ids.tif", THREE).ids.tolist() == [[[0, 2, MASK, MASK]]]


def test_255_is_a_class_where_there_are_so_many() -> None:
    many = Palette("many", tuple(str(i) for i in range(300)), (None,) * 300)
    ids = np.array([[255, 299, 300, 65535]], dtype=np.uint16)
    assert many.to_labels(Image.fromarray(ids)).ids.tolist() == [[[255, 299, 300, 300]]]


def test_ids_that_no_class_has_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 77]], dtype=np.uint8)).save(tmp_path / "ids.png")
    with pytest.raises(ValueError, match=r"ids\.png: grey images hold class ids, and this one holds 77, .* 0\.\.2"):
        read_layout(tmp_path / "ids.png", THREE)


def indexed(indices: list[int], table: list[Color]) -> Image.Image:
    image = Image.new("P", (len(indices), 1))
    image.putpalette([level for color in table for level in color])
    image.putdata(indices)
    return image


def test_colour_tables_of_annotations_are_decoration() -> None:
    """Valid ids under foreign colours (as in PASCAL-style annotations) are ids, whether or not one colour coincides."""
    foreign = [(0, 0, 0), (128, 0, 0), (0, 128, 0), *[(255, 255, 255)] * 253]
    assert THREE.to_labels(indexed([0, 1, 2, 255], foreign)).ids.tolist() == [[[0, 1, 2, MASK]]]
    faces = Palette.named("celebamask_hq")  # background is black in both
    assert faces.to_labels(indexed([0, 0, 0, 1, 2], foreign)).ids.tolist() == [[[0, 0, 0, 1, 2]]]
    ramp = [(i, i, i) for i in range(256)]
    assert faces.to_labels(indexed([0, 0, 0, 5, 7], ramp)).ids.tolist() == [[[0, 0, 0, 5, 7]]]


def test_colour_tables_of_painting_programs_are_colours() -> None:
    """A painting saved with few colours: its table has the classes' colours, its indices mean nothing."""
    table = [ROAD, SKY, (70, 180, 180), TREE]
    assert THREE.to_labels(indexed([0, 0, 1, 1, 3], table), remark=silent).ids.tolist() == [[[2, 2, 0, 0, 1]]]
    assert THREE.to_labels(indexed([0, 0, 1, 2], table), remark=silent).ids.tolist() == [[[2, 2, 0, MASK]]]
    see_through = indexed([0, 1], table)
    see_through.info["transparency"] = 0
    assert THREE.to_labels(see_through).ids.tolist() == [[[MASK, 0]]]


@pytest.mark.parametrize("mode", ["1", "LA", "La", "PA", "RGBX", "RGBa", "CMYK", "YCbCr", "HSV", "LAB", "F", "I;16B"])
def test_every_mode_is_read_or_refused(mode: str) -> None:
    """Rare modes give a layout or a sentence, never a stranger's exception."""
    try:
        labels = THREE.to_labels(Image.new(mode, (2, 1)), remark=silent)
        assert labels.ids.shape == (1, 1, 2)
    except ValueError as error:
        assert "palette three" in str(error) or f"mode {mode} cannot be read" in str(error)


# Files


def test_errors_in_a_layout_name_its_file(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "layout.png")
    with pytest.raises(ValueError, match=r"layout\.png: no pixel has a colour of palette three"):
        read_layout(tmp_path / "layout.png", THREE)


def test_golden_angle_colours_are_the_preprocessors() -> None:
    """The published formula in OpenCV's 8-bit HSV, to its last level of rounding; every class can be told again."""
    palette = Palette.named("ade20k").golden_angle()
    assert palette.colors[0] == (0, 0, 0)
    for i in range(1, 150):
        hsv = [i * 137.508 % 360 / 2, (0.6 + 0.4 * (i % 3) / 2) * 255, (0.7 + 0.3 * (i % 2)) * 255]
        expected = cv2.cvtColor(np.array([[hsv]], dtype=np.uint8), cv2.COLOR_HSV2RGB)
        assert np.abs(expected[0, 0].astype(int) - palette.colors[i]).max() <= 1
        labels = palette.to_labels(Image.fromarray(expected), remark=silent)
        assert labels.ids.item() == palette.read_as(i)


def test_gimp_palette_lists_every_colour() -> None:
    head, *lines = gimp_palette(Palette.named("ade20k")).splitlines()
    assert head == "GIMP Palette"
    assert lines[:2] == ["Name: ade20k", "Columns: 10"]
    assert len(lines) == 3 + 150
    assert lines[3] == "120 120 120\twall"
    assert lines[3 + 48] == "140 140 140\tskyscraper (read as road)"


def test_krita_palette_is_what_krita_reads() -> None:
    """The type first and uncompressed; sRGB levels that round to the very colours; places inside the grid."""
    content = krita_palette(Palette.named("ade20k"))
    assert content[30:54] == b"mimetypekrita/x-colorset"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert xml.fromstring(archive.read("profiles.xml")).tag == "Profiles"
        root = xml.fromstring(archive.read("colorset.xml"))
    columns, rows = int(root.attrib["columns"]), int(root.attrib["rows"])
    found = []
    for entry in root.iter("ColorSetEntry"):
        color, place = entry.find("sRGB"), entry.find("Position")
        assert color is not None and place is not None
        assert int(place.attrib["row"]) < rows and int(place.attrib["column"]) < columns
        found.append(tuple(round(float(color.attrib[channel]) * 255) for channel in "rgb"))
    assert found == list(Palette.named("ade20k").colors[:150])
    assert content == krita_palette(Palette.named("ade20k"))


def test_exports_hold_no_control_characters() -> None:
    hostile = Palette("a\x1b[31m\nb", ("sky\0\nGIMP", "\ud800\uffff"), (SKY, TREE), note="\x1b\x85x")
    assert gimp_palette(hostile).splitlines() == [
        "GIMP Palette",
        "Name: a [31m b",
        "Columns: 10",
        "# x",
        "  6 230 230\tsky GIMP",
        "  4 200   3\t",
    ]
    gimp_palette(hostile).encode()
    with zipfile.ZipFile(io.BytesIO(krita_palette(hostile))) as archive:
        root = xml.fromstring(archive.read("colorset.xml"))
    assert (root.attrib["name"], root.attrib["comment"]) == ("a [31m b", "x")
    assert swatches(hostile).height > 0


def test_export_chooses_by_suffix(tmp_path: Path) -> None:
    for name in ("three.gpl", "three.kpl", "three.png"):
        export(THREE, tmp_path / name)
    assert Image.open(tmp_path / "three.png").mode == "RGB"
    assert {file.name for file in tmp_path.iterdir()} == {"three.gpl", "three.kpl", "three.png"}
    with pytest.raises(ValueError, match=r"three\.aco: palettes are written as \.kpl, \.gpl or \.png"):
        export(THREE, tmp_path / "three.aco")


def test_swatches_show_every_colour() -> None:
    for palette in (THREE, Palette.named("ade20k")):
        shown = {color for _, color in swatches(palette).getcolors(2**24)}
        assert {color for color in palette.colors if color} <= shown
