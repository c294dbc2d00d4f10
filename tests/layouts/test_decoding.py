"""Pictures to ids: colours, values, what is transparent, and what the painter should know of it."""

import io
import json
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from scdm import assets
from scdm.layouts import pixels
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Color, Palette
from scdm.layouts.reading import read_layout
from tests.layouts.palettes import ROAD, SKY, THREE, TREE, palettes

MASK = 3


def silent(_: str) -> None:
    pass


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
    image = THREE.to_image(LabelMap(torch.tensor([[[0, MASK]]]), 3), mask_color=(0, 0, 0))
    assert image.tolist() == [[[list(SKY), [0, 0, 0]]]]
    with pytest.raises(ValueError, match="the layout has 5 classes, palette three expects 3"):
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
        labels = palette.to_labels(Image.fromarray(rgb), tolerance, silent, values="colors")
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
    assert read_layout(tmp_path / "ids.tif", THREE, remark=silent).ids.tolist() == [[[0, 2, MASK, MASK]]]


def test_255_is_a_class_where_there_are_so_many() -> None:
    many = Palette("many", tuple(str(i) for i in range(300)), (None,) * 300)
    ids = np.array([[255, 299, 300, 65535]], dtype=np.uint16)
    assert many.to_labels(Image.fromarray(ids), remark=silent).ids.tolist() == [[[255, 299, 300, 300]]]


def test_ids_that_no_class_has_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 77]], dtype=np.uint8)).save(tmp_path / "ids.png")
    with pytest.raises(ValueError, match=r"ids\.png: this grey image holds 77, .* 0\.\.2"):
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


def test_a_black_and_white_mask_is_read_by_the_colours_of_its_classes() -> None:
    """255 would be nobody's; also as the greys that optimisers make of a painting."""
    mask = Palette("mask", ("ground", "thing"), ((0, 0, 0), (255, 255, 255)))
    remarks: list[str] = []
    grey = Image.fromarray(np.array([[0, 255, 255]], dtype=np.uint8))
    assert mask.to_labels(grey, remark=remarks.append).ids.tolist() == [[[0, 1, 1]]]
    assert len(remarks) == 1 and "read as colours" in remarks[0]
    assert mask.to_labels(grey, remark=silent, values="ids").ids.tolist() == [[[0, 2, 2]]]


def test_minus_one_is_nobodys_in_maps_of_any_type(tmp_path: Path) -> None:
    for dtype in (np.int32, np.float32):
        Image.fromarray(np.array([[-1, 0, 2]], dtype=dtype)).save(tmp_path / "ids.tif")
        assert read_layout(tmp_path / "ids.tif", THREE).ids.tolist() == [[[MASK, 0, 2]]]
    holes = Image.fromarray(np.array([[np.nan, 1]], dtype=np.float32))
    assert THREE.to_labels(holes).ids.tolist() == [[[MASK, 1]]]
    with pytest.raises(ValueError, match="whole numbers, not fractions"):
        THREE.to_labels(Image.fromarray(np.array([[0.5, 1]], dtype=np.float32)))
    with pytest.raises(ValueError, match="holds -2"):
        THREE.to_labels(Image.fromarray(np.array([[-2, 1]], dtype=np.int32)))


def remarks_on(palette: Palette, image: Image.Image, **how: Any) -> tuple[list[list[int]], str]:
    """The ids, and all remarks in a row."""
    remarks: list[str] = []
    ids = palette.to_labels(image, remark=remarks.append, **how).ids[0].tolist()
    return ids, " | ".join(remarks)


def values(*numbers: int, times: int = 1) -> Image.Image:
    return Image.fromarray(np.array([numbers], dtype=np.uint8).repeat(times, 1))


def test_what_ade20k_stores_is_said_once() -> None:
    ade20k = Palette.named("ade20k")
    ids, remarks = remarks_on(ade20k, values(0, 3, 149))
    assert ids == [[0, 3, 149]] and "if they are annotations" in remarks and "choose the values annotations" in remarks
    assert remarks_on(ade20k, values(0, 3, 150), values="annotations") == ([[150, 2, 149]], "")
    ids, remarks = remarks_on(ade20k, values(0, 3), file_name="ADE_val_00000003.png")
    assert ids == [[150, 2]] and "if they are ids" in remarks, "the data set's own names"
    ids, remarks = remarks_on(ade20k, values(3, 255))
    assert ids == [[3, 150]] and "255 is read as unlabelled" in remarks, "no annotation has 255"
    with pytest.raises(ValueError, match="255 is none of the values annotations of palette ade20k"):
        ade20k.to_labels(values(3, 255), values="annotations")
    with pytest.raises(ValueError, match="no values 'coco': choose ids, annotations, or colors"):
        ade20k.to_labels(values(3), values="coco")


def test_255_in_coco_stuff_is_what_training_reads() -> None:
    coco = Palette.named("coco_stuff")
    ids, remarks = remarks_on(coco, values(0, 181, 255))
    assert ids == [[0, 181, 182]] and "255 is unpainted" in remarks and "choose the values unpainted" in remarks
    assert remarks_on(coco, values(0, 255), values="unpainted") == ([[0, 183]], "")
    assert remarks_on(coco, values(0, 183))[0] == [[0, 183]], "nobody's id"
    assert remarks_on(coco, values(0, 181))[1] == "", "both readings are the same"


def test_cityscapes_train_ids_become_label_ids() -> None:
    cityscapes = Palette.named("cityscapes")
    table = json.loads((assets.folder() / "classes/cityscapes.json").read_text())
    for entry in table["classes"]:
        if entry["train_id"] != 255:
            assert remarks_on(cityscapes, values(entry["train_id"]), values="train_ids")[0] == [[entry["id"]]]
    for name in ("x_gtFine_labelTrainIds.png", "prediction.png"):
        ids, remarks = remarks_on(cityscapes, values(0, 10, 255), file_name=name)
        assert ids == [[7, 23, 35]] and "read as train_ids" in remarks and "choose the values ids" in remarks
    assert "if they are train_ids" in remarks_on(cityscapes, values(7, 11))[1], "either is possible"
    assert remarks_on(cityscapes, values(7, 11), file_name="x_gtFine_labelIds.png") == ([[7, 11]], "")
    assert remarks_on(cityscapes, values(7, 26)) == ([[7, 26]], "")
    assert remarks_on(Palette.named("cityscapes_train"), values(0, 1, 255)) == ([[7, 8, 35]], "")


def test_a_users_table_has_values_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "garden.yaml"
    path.write_text(
        "classes: [{name: lawn}, {name: path}]\nvalues:\n- {name: sparse, classes: [1, 0], unlabelled: [9]}\n"
    )
    garden = Palette.from_file(path)
    assert garden.to_labels(values(0, 1, 9)).ids.tolist() == [[[1, 0, 2]]]
    assert Palette.from_dict(json.loads(json.dumps(garden.to_dict()))) == garden
    for told, complaint in [
        ("{ids: {}}", "a list such as"),
        ("[ids]", "a mapping that has"),
        ("[{name: a}, {name: a}]", "the same name"),
        ("[{name: a, frist: 1}]", "unknown setting a.frist: did you mean 'a.first'"),
        ("[{name: a, classes: [7]}]", "stand for class 7"),
        ("[{name: a, unlabelled: [70000]}]", "from 0 to 65535"),
        ("[{name: a, unlabelled: 5}]", "must be a list"),
        ("[{name: colors}]", "other than 'colors'"),
        ("[{name: a, first: 1, classes: [0]}]", "not by both"),
    ]:
        path.write_text(f"classes: [{{name: lawn}}]\nvalues: {told}\n")
        with pytest.raises(ValueError, match=complaint):
            Palette.from_file(path)


def test_tables_from_before_there_were_values_have_those_of_the_shipped_one() -> None:
    ade20k = Palette.named("ade20k")
    old = {key: value for key, value in ade20k.to_dict().items() if key != "values"}
    assert Palette.from_dict(old) == ade20k
    assert Palette.from_dict({**old, "classes": old["classes"][:5]}).conventions[0].name == "ids"
    assert len(Palette.from_dict({**old, "classes": old["classes"][:5]}).conventions) == 1


def test_ids_in_three_channels_are_ids() -> None:
    """OpenCV and "convert to RGB" make them; tolerance would make them all black."""
    dark = Palette(
        "dark", ("ground", "road", "sky", "tree"), ((0, 0, 0), (128, 64, 128), (70, 130, 180), (107, 142, 35))
    )
    ids, remarks = remarks_on(dark, values(0, 1, 2, 3).convert("RGB"))
    assert ids == [[0, 1, 2, 3]] and "read as ids" in remarks
    assert remarks_on(dark, values(0, 1, 2, 3).convert("RGB"), values="colors")[0] == [[0, 0, 0, 0]]
    assert remarks_on(dark, values(0, 1, 200).convert("RGB"))[0] == [[0, 0, 4]], "200 is no id"
    optimised = indexed([0, 1, 2], [(2, 2, 2), (0, 0, 0), (3, 3, 3)])
    assert remarks_on(dark, optimised)[0] == [[2, 0, 3]], "a grey image that an optimiser gave a colour table"


def test_colours_decide_in_a_picture_of_few_colours() -> None:
    """A painting reduced to an adaptive table, whose indices would pass for ids; PASCAL's table on ids is for show."""
    scenes = Palette.named("scenes")
    rng = np.random.default_rng(0)
    ids = rng.permutation(14)[:6].repeat(100).reshape(30, 20)
    painted = np.array(scenes.colors, dtype=np.uint8)[ids].astype(int) + rng.integers(-3, 4, (30, 20, 3))
    reduced = Image.fromarray(painted.clip(0, 255).astype(np.uint8)).quantize(32)
    assert (np.array(remarks_on(scenes, reduced)[0]) == ids).mean() > 0.95
    voc = [(int(code) >> 16, int(code) >> 8 & 255, int(code) & 255) for code in pixels._VOC_COLORS]
    assert voc[:4] == [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0)] and voc[255] == (224, 224, 192)
    many = indexed(list(range(14)), voc)
    found, remarks = remarks_on(scenes, many)
    assert found == [list(range(14))] and "read as class ids" in remarks


DARK = Palette("dark", ("ground", "road", "sky", "tree"), ((0, 0, 0), (128, 64, 128), (70, 130, 180), (107, 142, 35)))


def test_maps_that_count_from_one_are_remarked() -> None:
    for made in (
        Image.fromarray,
        lambda a: Image.fromarray(a.astype(np.uint16)),
        lambda a: Image.fromarray(np.dstack([a] * 3)),
    ):
        ids, remarks = remarks_on(DARK, made(np.array([[1, 2, 3, 4]], dtype=np.uint8)))
        assert ids == [[1, 2, 3, 4]] and "value 4, which is no class of 0..3, is read as unpainted" in remarks
        assert "seems to count from 1" in remarks and '"first": 1' in remarks
    remarks = remarks_on(DARK, values(0, 1, 4))[1]
    assert "is read as unpainted" in remarks and "seems" not in remarks and '"unpainted": [0]' in remarks
    assert remarks_on(DARK, values(0, 1, 3, 255)) == ([[0, 1, 3, 4]], "")
    assert remarks_on(DARK, values(1, 4), values="ids") == ([[1, 4]], ""), "who says so means it"


@pytest.mark.parametrize("channel", [0, 1, 2])
@pytest.mark.parametrize("alpha", [False, True])
def test_ids_in_one_channel_are_ids(channel: int, alpha: bool) -> None:
    rgba = np.zeros((130, 130, 4), dtype=np.uint8)
    rgba[..., channel] = np.arange(130) % 4
    rgba[..., 3] = 255
    if alpha:
        rgba[:9] = 7, 8, 9, 0
    ids, remarks = remarks_on(DARK, Image.fromarray(rgba if alpha else rgba[..., :3]))
    assert f"ids in the {['red', 'green', 'blue'][channel]} channel" in remarks
    assert ids[-1] == [i % 4 for i in range(130)] and (not alpha or ids[0] == [4] * 130)
    reds = Palette("reds", ("ground", "thing"), ((0, 0, 0), (1, 0, 0)))
    assert remarks_on(reds, Image.fromarray(np.array([[(0, 0, 0), (1, 0, 0)]], dtype=np.uint8)))[0] == [[0, 1]]


def test_many_colours_that_are_all_one_class_are_remarked() -> None:
    """Numbers in two channels, which tolerance makes black; a mask in a colour of nobody stays a painting."""
    rgb = np.array([[(i, i // 2, 0) for i in range(8)]], dtype=np.uint8)
    ids, remarks = remarks_on(DARK, Image.fromarray(rgb))
    assert ids == [[0] * 8] and "7 different colours, none of them a class's own, are all read as ground (0)" in remarks
    red = Image.fromarray(np.array([[(0, 0, 0), (255, 0, 0)]], dtype=np.uint8))
    assert "50% of the painted pixels have no colour" in remarks_on(DARK, red)[1]


def test_values_are_not_chosen_for_colours() -> None:
    with pytest.raises(ValueError, match=r"a picture of colours holds no values ids: leave"):
        THREE.to_labels(Image.new("RGB", (2, 1), SKY), values="ids")


def test_a_refused_value_is_told_beside_those_that_there_are() -> None:
    with pytest.raises(ValueError, match=r"holds 21, but palette cityscapes_train has train_ids 0\.\.18, 255"):
        Palette.named("cityscapes_train").to_labels(values(0, 21))


def test_what_is_void_in_8_bits_is_so_in_16() -> None:
    coco = Palette.named("coco_stuff")
    for how in ("unpainted", None):
        found = [
            remarks_on(coco, Image.fromarray(np.array([[0, void]], dtype=np.uint16)), values=how)[0]
            for void in (255, 65535)
        ]
        assert found[0] == found[1]


def test_a_lossy_format_is_named_however_much_it_spoiled() -> None:
    image = Image.fromarray(np.array([[SKY, (70, 180, 180)]], dtype=np.uint8))
    image.info["scdm_lossy"] = "WebP"
    remarks = remarks_on(THREE, image)[1]
    assert "50% of the painted pixels" in remarks and "WebP changes colours" in remarks


def test_only_the_last_word_on_a_picture_is_told() -> None:
    ade20k = Palette.named("ade20k")
    remarks = remarks_on(ade20k, indexed([0, 0], [(0, 0, 0)]))[1]
    assert "all is unpainted" in remarks and "read as" not in remarks
    near = Image.fromarray(np.array([[[1, 2, 2], [0, 0, 1]]], dtype=np.uint8))
    near.info["scdm_lossy"] = "WebP"
    heard: list[str] = []
    with pytest.raises(ValueError, match="does not survive WebP"):
        THREE.to_labels(near, remark=heard.append)
    assert heard == []


def test_large_numbers_are_no_colours() -> None:
    walls = Palette("walls", ("wall", "road"), ((120, 120, 120), ROAD))
    for dtype in (np.uint16, np.float32):
        with pytest.raises(ValueError, match="with more than 8 bits has no colours"):
            walls.to_labels(Image.fromarray(np.array([[120, 300]], dtype=dtype)), values="colors")
        levels = Image.fromarray(np.array([[120, 140]], dtype=dtype))
        assert remarks_on(walls, levels, values="colors")[0] == [[0, 1]]
        assert remarks_on(walls, levels)[0] == [[0, 1]]


def test_a_map_of_nothing_but_255_is_remarked() -> None:
    mask = Palette("mask", ("ground", "thing"), ((0, 0, 0), (255, 255, 255)))
    ids, remarks = remarks_on(mask, values(255, 255))
    assert (
        ids == [[2, 2]]
        and "nothing is labelled: if that is the white of thing (1), choose the values colors" in remarks
    )
    assert remarks_on(THREE, values(255))[1] == "every pixel is 255, so nothing is labelled"
    assert "every pixel is 65535" in remarks_on(mask, Image.fromarray(np.full((1, 2), 65535, dtype=np.uint16)))[1]


def test_places_in_a_table_of_greys_that_mean_nothing_are_ids() -> None:
    binary = indexed([0, 1, 1], [(0, 0, 0), (255, 255, 255)])
    ids, remarks = remarks_on(DARK, binary)
    assert ids == [[0, 1, 1]] and "the places in it are read as ids" in remarks
    steps = indexed([0, 1, 2, 3], [(i * 40,) * 3 for i in range(4)])
    ids, remarks = remarks_on(DARK, steps)
    assert ids == [[0, 1, 2, 3]] and "the places in it are read as ids" in remarks
    assert remarks_on(DARK, steps, values="ids")[0] == [[0, 1, 2, 3]]
    mask = Palette("mask", ("thing", "ground"), ((255, 255, 255), (0, 0, 0)))
    assert remarks_on(mask, binary)[0] == [[1, 0, 0]], "painted"


@pytest.mark.parametrize("mode", ["1", "L", "I;16"])
def test_a_transparent_value_is_unpainted_at_any_depth(mode: str, tmp_path: Path) -> None:
    dtype = {"1": bool, "L": np.uint8, "I;16": np.uint16}[mode]
    Image.fromarray(np.array([[0, 1, 1]]).astype(dtype)).save(tmp_path / "ids.png", transparency=0)
    assert Image.open(tmp_path / "ids.png").mode == mode
    assert read_layout(tmp_path / "ids.png", THREE).ids.tolist() == [[[MASK, 1, 1]]]


def test_an_empty_picture_is_unpainted() -> None:
    ade20k = Palette.named("ade20k")
    for image in (Image.new("L", (3, 1)), Image.new("RGB", (3, 1)), Image.new("RGBA", (3, 1), (0, 0, 0, 255))):
        ids, remarks = remarks_on(ade20k, image)
        assert ids == [[151] * 3] and "every pixel is 0" in remarks and "wall (0)" in remarks
    assert remarks_on(ade20k, Image.new("L", (3, 1)), values="ids") == ([[0, 0, 0]], ""), "who says so means it"
    black = Palette.named("celebamask_hq")
    for mode in ("L", "RGB"):
        ids, remarks = remarks_on(black, Image.new(mode, (3, 1)))
        assert ids == [[0, 0, 0]] and "all of it is background (0)" in remarks


def test_ids_do_not_survive_a_lossy_format() -> None:
    grey = values(0, 1, 2, 2, times=8)
    grey.info["scdm_lossy"] = "JPEG"
    near = Image.fromarray(np.array([[[1, 2, 2], [0, 0, 1]]], dtype=np.uint8))  # as WebP leaves greys in three channels
    near.info["scdm_lossy"] = "WebP"
    for image, name in ((grey, "JPEG"), (near, "WebP")):
        with pytest.raises(ValueError, match=f"does not survive {name}.*save it as PNG"):
            THREE.to_labels(image)
    walls = Palette("walls", ("wall", "road"), ((120, 120, 120), ROAD))
    painted = values(119, 120, 141, 140)
    painted.info["scdm_lossy"] = "JPEG"
    assert remarks_on(walls, painted)[0] == [[0, 0, 1, 1]], "painted greys do"


def test_foreign_colours_of_a_lossy_format_are_counted() -> None:
    rgb = np.array([[SKY] * 99 + [(70, 180, 180)]], dtype=np.uint8)
    image = Image.fromarray(rgb)
    assert remarks_on(THREE, image)[1] == ""
    image.info["scdm_lossy"] = "JPEG"
    assert "1.00% of the painted pixels" in remarks_on(THREE, image)[1]


@pytest.mark.parametrize("resampling", [Image.Resampling.BILINEAR, Image.Resampling.LANCZOS])
def test_what_smoothing_leaves_along_borders_is_named(resampling: Image.Resampling) -> None:
    ade20k = Palette.named("ade20k")
    ids = np.kron(np.array([[25, 20, 21, 11], [26, 4, 17, 21], [25, 15, 11, 9]]), np.ones((20, 20), int))
    painted = Image.fromarray(np.array([color or (0, 0, 0) for color in ade20k.colors], dtype=np.uint8)[ids])
    assert remarks_on(ade20k, painted)[1] == ""
    smooth, sharp = (painted.resize((240, 180), how) for how in (resampling, Image.Resampling.NEAREST))
    assert "only along borders of others" in remarks_on(ade20k, smooth)[1]
    assert "borders" not in remarks_on(ade20k, sharp)[1]
    maps = Image.fromarray((5 * ids + 1).astype(np.uint8))
    smooth, sharp = (maps.resize((240, 180), how) for how in (Image.Resampling.BILINEAR, Image.Resampling.NEAREST))
    assert "resized with smoothing" in remarks_on(ade20k, smooth)[1]
    assert "resized" not in remarks_on(ade20k, sharp)[1]


def test_a_colour_that_is_a_little_off_is_no_accident() -> None:
    ids = np.kron(np.array([[0, 1], [2, 0]]), np.ones((20, 20), int))
    off = np.array([SKY, (12, 205, 5), ROAD], dtype=np.uint8)[ids]
    assert remarks_on(THREE, Image.fromarray(off)) == (ids.tolist(), "")


KINDS = ["RGBA", "P", "L", "LA", "I;16", "I", "triplet", "ramp", "voc"]


@settings(deadline=None, max_examples=300)
@given(palettes(), st.sampled_from(KINDS), st.data())
def test_no_picture_is_another_layout_in_silence(palette: Palette, kind: str, data: st.DataObject) -> None:
    """Painted, or stored as ids in any way that programs know: read rightly, or with a remark, or refused."""
    ids = data.draw(arrays(np.int64, (4, 5), elements=st.integers(0, palette.num_classes)))
    stored = np.where(ids == palette.num_classes, 255, ids).astype(np.uint8)
    expected = ids
    if kind in ("RGBA", "P"):
        drawable = np.array([color is not None for color in palette.colors] + [False])
        expected = np.where(drawable[ids], ids, palette.num_classes)
        picture = Image.fromarray(palette.to_image(LabelMap(torch.from_numpy(ids)[None], palette.num_classes))[0])
        if kind == "P":
            picture = picture.quantize(64)
    elif kind in ("I;16", "I"):
        picture = Image.fromarray(stored.astype({"I;16": np.uint16, "I": np.int32}[kind]))
    elif kind == "LA":
        picture = Image.fromarray(np.dstack([stored, np.where(stored == 255, 0, 255).astype(np.uint8)]))
    else:
        picture = Image.fromarray(stored)
        if kind == "triplet":
            picture = picture.convert("RGB")
        elif kind in ("ramp", "voc"):
            codes = pixels._VOC_COLORS if kind == "voc" else pixels._GREY_RAMP
            picture.putpalette(np.stack([codes >> 16, codes >> 8 & 255, codes & 255], -1).astype(np.uint8).tobytes())
    file = io.BytesIO()
    picture.save(file, format="TIFF" if kind == "I" else "PNG")
    if palette.unlabelled is not None:  # which 255 is
        expected = np.where(
            (ids == palette.num_classes) & (kind not in ("RGBA", "P", "LA")), palette.unlabelled, expected
        )
    remarks: list[str] = []
    try:
        found = palette.to_labels(Image.open(file), remark=remarks.append).ids[0].numpy()
    except ValueError:
        return
    assert remarks or np.array_equal(found, expected)


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
