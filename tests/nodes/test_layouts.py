"""The layout nodes without a server: what they make of files, images and masks, what they say, what they refuse."""

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from PIL import Image

SKY, GRASS, UNKNOWN = (120, 192, 250), (124, 190, 66), (255, 0, 255)
SKY_ID, GRASS_ID, MASK = 0, 6, 14
READING = {"palette": "scenes", "tolerance": 16.0, "width": 0, "height": 0, "fit": "resize"}


@pytest.fixture
def said(pack: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What nodes say to the painter."""
    heard: list[str] = []

    def said(text: str, remarks: Any = ()) -> dict[str, list[str]]:
        heard.extend([*remarks, text])
        return {"text": [text]}

    for module in ("layouts", "painting", "previews", "corruption"):
        monkeypatch.setattr(pack(f"nodes.{module}"), "said", said)
    return heard


def painted(path: Path, size: tuple[int, int] = (8, 16)) -> Path:
    """A layout file of the given (height, width): sky above grass."""
    pixels = np.full((*size, 3), SKY, np.uint8)
    pixels[size[0] // 2 :] = GRASS
    Image.fromarray(pixels).save(path)
    return path


def load_layout(pack: Any, image: str, **changed: Any) -> Any:
    return pack("nodes.layouts").LoadLayout.execute(image, **{**READING, **changed}).result[0]


def layout_from(pack: Any, image: torch.Tensor, **changed: Any) -> Any:
    inputs = {**READING, "alpha_shows": "unpainted", **changed}
    return pack("nodes.layouts").LayoutFromImage.execute(image, **inputs).result[0]


def comfy(*pixels: tuple[int, ...]) -> torch.Tensor:
    """IMAGE of one row, as Load Image makes it of 8-bit levels."""
    return torch.from_numpy(np.array([[pixels]]).astype(np.float32) / 255.0)


def layout_of(pack: Any, *rows: list[int], palette: str = "scenes") -> Any:
    """One layout for each row of ids, of one row of pixels."""
    classes = pack("scdm.layouts.palette").Palette.named(palette)
    labels = pack("scdm.layouts.labels").LabelMap(torch.tensor(rows)[:, None], classes.num_classes)
    return pack("nodes.sockets").Layout(labels, classes)


# Load Layout

EXAMPLES = [
    f"scdm_{name}.png"
    for name in ("landscape", "rough_lake", "rough_village", "seaside", "strokes_meadow", "strokes_mountains")
]


def model_of(pack: Any, *sizes: tuple[int, int]) -> Any:
    """A MODEL that was taught images of these sizes."""
    model, networks = pack("scdm.models.model"), pack("scdm.networks")
    network = networks.UNetConfig(
        14, channels=32, channel_mult=(1, 1), res_blocks=1, attention=(), head_channels=32, hidden=8
    )
    config = model.ModelConfig(network, sizes[0], label_diffusion="uniform", sizes=sizes)
    return pack("nodes.native").managed(model.Model.new(config, pack("scdm.layouts.palette").Palette.named("scenes")))


def test_layouts_begin_at_the_size_that_the_model_was_taught(pack: Any, folders: Any, tmp_path: Path) -> None:
    """Where nothing else is asked for: those near it stay as painted."""
    nodes, model = pack("nodes.layouts"), model_of(pack, (16, 16), (32, 64))

    def loaded(name: str, *size: int) -> tuple[int, ...]:
        made = nodes.LoadLayout.execute(name, "scenes", 16.0, *(size or (0, 0)), "resize", model=model).result[0]
        return tuple(made.labels.ids.shape[1:])

    Image.new("RGB", (40, 24)).save(tmp_path / "input" / "near.png")
    assert loaded("example: landscape") == (64, 64) and loaded("near.png") == (24, 40)
    assert loaded("example: landscape", 128, 0) == (128, 128), "what is asked for"
    image = comfy(SKY, GRASS)
    given = nodes.LayoutFromImage.execute(image, "scenes", 16.0, 0, 0, "resize", "unpainted", model=model).result[0]
    assert tuple(given.labels.ids.shape[1:]) == model.model.scdm.config.taught.nearest(tuple(image.shape[1:3]))
    blank = nodes.BlankLayout.execute
    sizes = [blank("scenes", 0, 0), blank("scenes", 0, 0, model=model), blank("scenes", 40, 0, model=model)]
    assert [tuple(made.result[0].labels.ids.shape[1:]) for made in sizes] == [(512, 512), (32, 64), (32, 40)]


def test_layouts_are_the_examples_and_images(pack: Any, folders: Any, tmp_path: Path) -> None:
    painted(tmp_path / "input" / "a.png")
    (tmp_path / "input" / "notes.txt").touch()
    assert pack("nodes.layouts").LoadLayout.define_schema().inputs[0].options == [*EXAMPLES, "a.png"]
    assert load_layout(pack, "example: landscape").labels.ids.unique().numel() > 10


def test_examples_lie_in_the_input_folder_where_the_front_end_finds_them(
    pack: Any, folders: Any, tmp_path: Path, caplog: Any
) -> None:
    files = pack("nodes.files")
    mine = painted(tmp_path / "input" / "scdm_seaside.png").read_bytes()
    files.place_examples()
    files.place_examples()
    assert sorted(path.name for path in (tmp_path / "input").iterdir()) == EXAMPLES == files.layout_names()
    assert (tmp_path / "input" / "scdm_seaside.png").read_bytes() == mine, "nothing is overwritten"
    for name in ("example: landscape", "scdm_landscape.png", "scdm_landscape.png [input]"):
        assert files.layout_file(name) == tmp_path / "input" / "scdm_landscape.png"
    assert not caplog.records


def test_examples_serve_where_the_input_folder_cannot_be_written(
    pack: Any, folders: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError("read-only")

    files = pack("nodes.files")
    monkeypatch.setattr(Path, "open", refused)
    files.place_examples()
    assert not list((tmp_path / "input").iterdir())
    assert files.layout_names() == EXAMPLES
    for name in ("example: landscape", "scdm_landscape.png"):
        assert files.layout_file(name) == files.EXAMPLES / "landscape.png"
    with pytest.raises(ValueError, match="there is no layout"):
        files.layout_file("scdm_landscape.png [output]")


def test_a_layout_holds_the_classes_painted(pack: Any, folders: Any, said: list[str], tmp_path: Path) -> None:
    (tmp_path / "input" / "sub").mkdir()
    painted(tmp_path / "input" / "sub" / "a.png")
    painted(tmp_path / "output" / "b.png")
    for name in ("sub/a.png", "sub/a.png [input]", "b.png [output]", "sub/../sub/a.png"):
        layout = load_layout(pack, name)
        assert layout.palette.name == "scenes"
        assert layout.labels.ids.tolist() == [[[SKY_ID] * 16] * 4 + [[GRASS_ID] * 16] * 4]
    assert said == ["16 x 8: sky 50%, grass 50%"] * 4


def test_the_node_shows_what_it_understood(pack: Any, folders: Any, tmp_path: Path) -> None:
    """Enlarged to be seen, and in the very colours."""
    painted(tmp_path / "input" / "a.png")
    ui = pack("nodes.layouts").LoadLayout.execute("a.png", **READING).ui
    assert ui["text"] == ["16 x 8: sky 50%, grass 50%"]
    (shown,) = ui["images"]
    picture = np.asarray(Image.open(tmp_path / "temp" / shown["filename"]))
    assert picture.shape == (256 + 48, 512, 3), "and a line below says that it is 16 x 8 pixels"
    assert (picture[:128] == SKY).all() and (picture[128:256] == GRASS).all()


def test_a_layout_is_made_to_fit(pack: Any, folders: Any, tmp_path: Path) -> None:
    painted(tmp_path / "input" / "a.png")
    assert load_layout(pack, "a.png", height=4).labels.ids.shape == (1, 4, 8)
    padded = load_layout(pack, "a.png", width=16, height=16, fit="pad").labels
    assert padded.ids[0, :, 0].tolist() == [MASK] * 4 + [SKY_ID] * 4 + [GRASS_ID] * 4 + [MASK] * 4
    assert not load_layout(pack, "a.png", width=16, height=16, fit="crop").labels.unpainted.any()
    with pytest.raises(ValueError, match="resize, crop, pad, not 'stretch'"):
        load_layout(pack, "a.png", fit="stretch")
    Image.new("RGB", (2, 4000), SKY).save(tmp_path / "input" / "strip.png")
    with pytest.raises(ValueError, match="8192 x 16384000 has more than 64 megapixels"):
        load_layout(pack, "strip.png", width=8192)


def test_values_are_chosen_by_one_of_the_last_inputs(pack: Any, folders: Any, said: list[str], tmp_path: Path) -> None:
    """So that workflows from before there was one load; and what was assumed is said."""
    Image.fromarray(np.array([[0, 3]], np.uint8)).save(tmp_path / "input" / "map.png")
    for node in (pack("nodes.layouts").LoadLayout, pack("nodes.layouts").LayoutFromImage):
        values, instances, _ = node.define_schema().inputs[-3:]
        assert (values.id, values.optional, values.default) == ("values", True, "auto")
        assert {"ids", "annotations", "train_ids", "colors"} < set(values.options)
        assert (instances.id, instances.optional) == ("instances", True)
    assert load_layout(pack, "map.png", palette="ade20k").labels.ids.tolist() == [[[0, 3]]]
    assert "choose the values annotations" in said[0]
    assert load_layout(pack, "map.png", palette="ade20k", values="annotations").labels.ids.tolist() == [[[150, 2]]]
    grey = comfy((0, 0, 0), (3, 3, 3))
    assert layout_from(pack, grey, palette="ade20k", values="annotations").labels.ids.tolist() == [[[150, 2]]]
    with pytest.raises(ValueError, match="palette scenes has no values 'train_ids'"):
        load_layout(pack, "map.png", values="train_ids")


def test_an_empty_picture_is_unpainted(pack: Any, said: list[str]) -> None:
    assert layout_from(pack, torch.zeros(1, 4, 4, 3)).labels.unpainted.all()
    assert "every pixel is 0, as in an empty picture" in said[0]


def test_the_models_palette_goes_before_the_one_chosen(pack: Any, folders: Any, tmp_path: Path) -> None:
    painted(tmp_path / "input" / "a.png")
    own = pack("scdm.layouts.palette").Palette("own", ("lawn", "air"), (GRASS, SKY))
    layout = load_layout(pack, "a.png", palette="ade20k", model_palette=own)
    assert layout.palette is own and layout.labels.ids[0, :, 0].tolist() == [1] * 4 + [0] * 4


def test_an_unchanged_file_is_not_read_again_and_a_changed_one_is(pack: Any, folders: Any, tmp_path: Path) -> None:
    fingerprint = pack("nodes.layouts").LoadLayout.fingerprint_inputs
    path = painted(tmp_path / "input" / "a.png")
    before = fingerprint("a.png", palette="scenes")
    os.utime(path, (0, 0))
    assert fingerprint("a.png", palette="scenes") == before, "touched, but the same"
    painted(path, (8, 17))
    assert fingerprint("a.png", palette="scenes") != before
    assert math.isnan(fingerprint(None)), "linked: not known before it runs"


def test_layouts_that_cannot_be_read_are_refused_in_words(pack: Any, folders: Any, tmp_path: Path) -> None:
    node = pack("nodes.layouts").LoadLayout
    painted(tmp_path / "secret.png")
    (tmp_path / "input" / "notes.png").write_text("no picture")
    assert node.validate_inputs("notes.png") is True and node.validate_inputs(None) is True
    assert "there is no layout 'gone.png'" in node.validate_inputs("gone.png")
    assert "there is no layout" in node.validate_inputs("")
    for name in ("../secret.png", str(tmp_path / "secret.png"), "../secret.png [output]", "example: ../../classes/x"):
        assert "there is no layout" in node.validate_inputs(name)
    with pytest.raises(ValueError, match=r"there is no layout .* in the folder"):
        load_layout(pack, "../secret.png")
    with pytest.raises(ValueError, match="not an image"):
        load_layout(pack, "notes.png")
    with pytest.raises(ValueError, match="no palette 'none'"):
        load_layout(pack, "example: landscape", palette="none")
    with pytest.raises(ValueError, match="no palette 'none'"):
        load_layout(pack, "example: landscape", palette="none_golden_angle")
    with pytest.raises(ValueError, match="no pixel has a colour of palette cityscapes"):
        load_layout(pack, "example: landscape", palette="cityscapes")


# Layout from Image


def test_a_painting_from_krita_is_read(pack: Any, folders: Any, said: list[str]) -> None:
    """A hard stroke, the half-transparent rim of a soft one, bare canvas, and a colour of no class."""
    image = comfy(SKY, SKY, SKY, (0, 0, 0), UNKNOWN)
    alpha = torch.tensor([[[1, 128, 127, 0, 255]]]) / torch.tensor([1, 255, 255, 255, 255])
    expected = [[[SKY_ID, SKY_ID, MASK, MASK, MASK]]]
    assert layout_from(pack, image, alpha=alpha, alpha_shows="painted").labels.ids.tolist() == expected
    assert layout_from(pack, image, alpha=1 - alpha, alpha_shows="unpainted").labels.ids.tolist() == expected
    assert "33% of the painted pixels have no colour" in said[0] and said[1] == "5 x 1: unpainted 60%, sky 40%"
    with pytest.raises(ValueError, match="unpainted or painted, not 'white'"):
        layout_from(pack, image, alpha=alpha, alpha_shows="white")


def test_an_empty_layer_is_a_blank_layout(pack: Any, folders: Any) -> None:
    image, clear = torch.zeros(1, 4, 6, 3), torch.zeros(1, 4, 6)
    empty = layout_from(pack, image, alpha=clear, alpha_shows="painted")
    blank = pack("nodes.layouts").BlankLayout.execute("scenes", 6, 4).result[0]
    assert torch.equal(empty.labels.ids, blank.labels.ids) and empty.labels.unpainted.all()


def test_load_images_mask_of_an_opaque_image_hides_nothing(pack: Any, folders: Any) -> None:
    """Load Image gives 64 x 64 zeros where there is no alpha, whatever the size of the image."""
    layout = layout_from(pack, comfy(SKY, GRASS), alpha=torch.zeros(1, 64, 64))
    assert layout.labels.ids.tolist() == [[[SKY_ID, GRASS_ID]]]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_of_ids_are_read_level_by_level(pack: Any, folders: Any, channels: int) -> None:
    """Every id of the largest palette that fits into 8 bits, through the division by 255 and back."""
    ids = torch.arange(183)
    image = (ids / 255)[None, None, :, None].repeat(1, 1, 1, channels)
    image[..., 3:] = 1
    assert torch.equal(layout_from(pack, image, palette="coco_stuff").labels.ids[0, 0], ids)


def test_a_batch_of_images_is_a_batch_of_layouts(pack: Any, folders: Any, said: list[str]) -> None:
    images = torch.cat([comfy(SKY, GRASS), comfy(GRASS, GRASS)])
    layout = layout_from(pack, images, alpha=torch.tensor([[[0.0, 1.0]]]))
    assert layout.labels.ids.tolist() == [[[SKY_ID, MASK]], [[GRASS_ID, MASK]]]
    assert said == ["2 layouts of 2 x 1: unpainted 50%, sky 25%, grass 25%"]
    with pytest.raises(ValueError, match="2 images and 3 alphas do not go together"):
        layout_from(pack, images, alpha=torch.zeros(3, 1, 2))


def test_preprocessors_colours_are_read(pack: Any, folders: Any) -> None:
    palette = pack("scdm.layouts.palette").Palette.named("ade20k").golden_angle()
    layout = layout_from(pack, comfy(palette.colors[2], palette.colors[9]), palette="ade20k_golden_angle")
    assert layout.labels.ids.tolist() == [[[2, 9]]]
    assert layout.palette.names == pack("scdm.layouts.palette").Palette.named("ade20k").names


# Blank Layout, Paint Class, Layout to Masks


def test_classes_are_chosen_from_a_list(pack: Any, folders: Any, tmp_path: Path) -> None:
    """Those of shipped palettes and of the models that are here; what is shared by classes comes with its id."""
    palette = pack("scdm.layouts.palette").Palette("mine", ("moss", "fern"), (None, None))
    networks, model = pack("scdm.networks"), pack("scdm.models.model")
    network = networks.UNetConfig(
        2, channels=32, channel_mult=(1, 1), res_blocks=1, attention=(), head_channels=32, hidden=8
    )
    made = model.Model.new(model.ModelConfig(network, (16, 16), label_diffusion="uniform"), palette)
    pack("scdm.models.checkpoint").save(tmp_path / "models" / "mine.safetensors", made)
    (tmp_path / "models" / "broken.safetensors").write_bytes(b"no model")
    for node, first in (("PaintClass", "sky"), ("LayoutToMasks", "all classes")):
        spec = getattr(pack("nodes.painting"), node).define_schema().inputs
        (spec,) = [one for one in spec if one.id == "class_name"]
        shown = spec.as_dict()
        assert spec.get_io_type() == "COMBO,STRING", "a link may bring a name"
        assert shown["widgetType"] == "COMBO" and shown["default"] == first == shown["options"][0]
        assert {"sky", "screen (58)", "screen (130)", "traffic light", "moss", "unpainted"} <= {*shown["options"]}
        assert len({*shown["options"]}) == len(shown["options"])
        known = shown["scdm_classes"]
        assert known["palettes"]["scenes"][:2] == ["sky", "cloud"] and known["models"]["mine.safetensors"][0] == "moss"
        assert known["models"]["scenes-fast"] == known["palettes"]["scenes"]
        assert "broken.safetensors" not in known["models"]


def test_names_that_were_typed_and_ids_still_run(pack: Any, said: list[str]) -> None:
    nodes, layout = pack("nodes.painting"), layout_of(pack, [0, 1, 2])
    for name in ("Sky", "6", "sky (0)", "a class of another palette", None):
        assert nodes.PaintClass.validate_inputs(name) is True and nodes.LayoutToMasks.validate_inputs(name) is True
    assert nodes.PaintClass.validate_inputs(" ") == "choose a class from the list"
    assert nodes.LayoutToMasks.validate_inputs("") is True, "which stands for all classes"
    every = nodes.LayoutToMasks.execute(layout, "").result
    assert torch.equal(nodes.LayoutToMasks.execute(layout, "all classes").result[0], every[0])
    with pytest.raises(ValueError, match=r"has no class 'lawn': give the name of one: sky, cloud, sun, .*flower"):
        nodes.PaintClass.execute(layout, torch.ones(1, 1, 3), "lawn")


def test_classes_are_painted_onto_a_blank_layout(pack: Any, said: list[str]) -> None:
    paint = pack("nodes.painting").PaintClass
    blank = pack("nodes.layouts").BlankLayout.execute("scenes", 4, 2).result[0]
    assert blank.labels.ids.shape == (1, 2, 4) and blank.labels.unpainted.all()
    top = torch.tensor([[[1.0], [0.0]]])
    sky = paint.execute(blank, top, "Sky").result[0]
    both = paint.execute(sky, 1 - top, str(GRASS_ID)).result[0]
    assert both.labels.ids.tolist() == [[[SKY_ID] * 4, [GRASS_ID] * 4]]
    erased = paint.execute(both, top[0], "unpainted").result[0]  # MASK without a batch, as some packs have it
    assert erased.labels.ids.tolist() == [[[MASK] * 4, [GRASS_ID] * 4]]
    assert said[-1] == "4 x 2: grass 50%, unpainted 50%"
    with pytest.raises(ValueError, match="has no class 'gras': did you mean 'grass'"):
        paint.execute(both, top, "gras")


def test_an_empty_mask_paints_nothing_and_says_so(pack: Any, said: list[str]) -> None:
    layout = layout_of(pack, [0, 1, 2])
    same = pack("nodes.painting").PaintClass.execute(layout, torch.zeros(1, 64, 64), "tree").result[0]
    assert torch.equal(same.labels.ids, layout.labels.ids)
    assert said[0].startswith("nothing was painted")


def test_a_mask_of_another_size_is_made_to_fit_as_layouts_are(pack: Any, said: list[str]) -> None:
    paint, blank = pack("nodes.painting").PaintClass, pack("nodes.layouts").BlankLayout
    layout, mask = blank.execute("scenes", 4, 2).result[0], torch.ones(1, 4, 4)
    assert paint.execute(layout, mask, "sky").result[0].labels.ids.tolist() == [[[SKY_ID] * 4] * 2], "as before"
    assert "the mask is 4 x 4 pixels, the layout 4 x 2: fitted by resize" in said
    padded = paint.execute(layout, mask, "sky", "pad").result[0]
    assert padded.labels.ids.tolist() == [[[MASK, SKY_ID, SKY_ID, MASK]] * 2]
    mask[:, 1:3] = 0
    assert paint.execute(layout, mask, "sky", "crop").result[0].labels.unpainted.all()
    spec = paint.define_schema().inputs[-1]
    assert (spec.id, spec.optional, spec.default) == ("fit", True, "resize"), "last, for saved workflows"


def test_masks_show_every_class_in_order(pack: Any) -> None:
    layout = layout_of(pack, [0, 6, MASK], [6, 6, 6])
    masks, names = pack("nodes.painting").LayoutToMasks.execute(layout, "").result
    assert masks.shape == (30, 1, 3) and names.splitlines() == [*layout.palette.names, "unpainted"] * 2
    assert (
        masks[6].tolist() == [[0, 1, 0]] and masks[14].tolist() == [[0, 0, 1]] and masks[15 + 6].tolist() == [[1, 1, 1]]
    )
    masks, names = pack("nodes.painting").LayoutToMasks.execute(layout, "unpainted").result
    assert masks.tolist() == [[[0, 0, 1]], [[0, 0, 0]]] and names.splitlines() == ["unpainted"] * 2


# Instances


def test_instances_are_borders_of_the_layout_at_its_new_size(pack: Any, said: list[str], folders: Any) -> None:
    sky = comfy(*[SKY] * 4)
    things = comfy((0, 0, 0), (0, 0, 0), (0, 0, 1), (0, 0, 1))
    for layout in (
        layout_from(pack, sky, instances=things, width=8, height=2),
        layout_from(pack, sky, instances=things[..., 2:], width=8, height=2),
    ):
        assert layout.labels.edges.tolist() == [[[[False] * 3 + [True] * 2 + [False] * 3] * 2]]
    assert layout_from(pack, sky).labels.edges is None
    with pytest.raises(ValueError, match="the instance map is 3x1, the layout 4x1"):
        layout_from(pack, sky, instances=things[:, :, :3])
    painted(Path(folders.get_input_directory()) / "sky.png", (1, 4))
    assert load_layout(pack, "sky.png", instances=things).labels.edges.tolist() == [[[[False, True, True, False]]]]


# Preview Layout, Layout Info


def test_a_preview_is_an_image_and_is_shown(pack: Any, folders: Any, tmp_path: Path) -> None:
    preview = pack("nodes.previews").PreviewLayout
    layout = layout_of(pack, [SKY_ID, GRASS_ID])
    output = preview.execute(layout, legend=False, opacity=0.5)
    assert torch.equal(output.result[0], comfy(SKY, GRASS))
    (shown,) = output.ui.as_dict()["images"]
    assert Image.open(tmp_path / "temp" / shown["filename"]).size == (512, 256 + 48)
    over = preview.execute(layout, legend=False, opacity=0.5, image=torch.zeros(1, 2, 2, 3)).result[0]
    assert over.shape == (1, 2, 2, 3) and torch.allclose(over[0, 0], comfy(SKY, GRASS)[0, 0] / 2, atol=1 / 255)
    legend = preview.execute(layout, legend=True, opacity=0.5).result[0]
    assert legend.shape[2] == 512 and legend.shape[1] > 256


def test_info_is_text_for_the_painter_and_the_graph(pack: Any, said: list[str]) -> None:
    output = pack("nodes.previews").LayoutInfo.execute(layout_of(pack, [0, 0, 6, MASK]))
    assert output.result == (
        "4 x 1 pixels, palette scenes with 14 classes\n2 classes, 25% unpainted\nsky (0): 50%\ngrass (6): 25%",
    )
    assert said == [*output.result]


def test_what_a_node_says_is_plain_text_of_its_output_and_nothing_takes_the_last_away(pack: Any) -> None:
    """Each remark once and first; class names from strangers stay as they are, for the front end shows no HTML."""
    said = pack("nodes.messages").said
    assert said("<img src=x>", ["a & b", "a & b"]) == {"text": ["a & b\n<img src=x>"]}
    assert said("") == {"text": []}


def test_every_node_that_says_something_says_it_where_it_stays(pack: Any, folders: Any) -> None:
    """In the `ui` of its output, which every front end keeps, unlike a text of its progress."""
    layout = layout_of(pack, [0, 6, MASK])
    paint, nodes = pack("nodes.painting").PaintClass, pack("nodes.translate")
    translate = nodes.TranslateLayout.execute(layout, pack("scdm.layouts.palette").Palette.named("ade20k"), "")
    outputs = [
        (pack("nodes.previews").LayoutInfo.execute(layout), "grass (6): 33%"),
        (paint.execute(layout, torch.ones(1, 1, 3), "tree"), "tree 100%"),
        (paint.execute(layout, torch.zeros(1, 1, 3), "tree"), "nothing was painted"),
        (translate, "Every class has its name."),
        (corrupted_output(pack, layout, kind="downsample", downsample_to=1), "3 x 1: "),
        (pack("nodes.models").LoadModel.execute("scenes64-fast"), "is called scenes-fast now"),
    ]
    for output, words in outputs:
        assert words in "\n".join(output.ui["text"])


# Corrupt Layout


def corrupted(pack: Any, layout: Any, **changed: Any) -> Any:
    return corrupted_output(pack, layout, **changed).result[0].labels


def corrupted_output(pack: Any, layout: Any, **changed: Any) -> Any:
    node = pack("nodes.corruption").CorruptLayout
    defaults = {spec.id: spec.default for spec in node.define_schema().inputs[2:]}
    return node.execute(layout, **{**defaults, **changed})


def test_each_kind_of_corruption_follows_its_own_setting(pack: Any, folders: Any, said: list[str]) -> None:
    layout = load_layout(pack, "example: landscape")
    (kinds,) = [
        spec.options for spec in pack("nodes.corruption").CorruptLayout.define_schema().inputs if spec.id == "kind"
    ]
    settings = {
        "downsample": {"downsample_to": 8},
        "edges": {"edge_radius": 5},
        "random": {"random_share": 0.4},
        "patterns": {"pattern_share": 0.4},
        "diffuse": {"diffusion_step": 700},
    }
    assert list(settings) == kinds
    for kind in kinds:
        by_default = corrupted(pack, layout, kind=kind).ids
        changes = [
            not torch.equal(corrupted(pack, layout, kind=kind, **own).ids, by_default) for own in settings.values()
        ]
        assert changes == [other == kind for other in kinds]
    assert "unpainted" in said[-1]


def test_corruptions_have_the_strength_asked_for(pack: Any, folders: Any) -> None:
    layout = load_layout(pack, "example: landscape", width=256)
    for setting in ({"kind": "random", "random_share": 0.4}, {"kind": "patterns", "pattern_share": 0.4}):
        assert corrupted(pack, layout, **setting).unpainted.float().mean() == pytest.approx(0.4, abs=0.03)
    small = corrupted(pack, layout, kind="downsample", downsample_to=8).ids
    assert torch.equal(small, small[:, ::32, ::32].repeat_interleave(32, 1).repeat_interleave(32, 2))


def test_a_seed_corrupts_a_layout_in_one_way(pack: Any, folders: Any) -> None:
    layout = load_layout(pack, "example: landscape")
    for kind in ("random", "patterns", "diffuse"):
        first, again, other = (corrupted(pack, layout, kind=kind, seed=seed).ids for seed in (1, 1, 2**63 - 1))
        assert torch.equal(first, again) and not torch.equal(first, other)
    with pytest.raises(ValueError, match="there is no corruption 'blur'"):
        corrupted(pack, layout, kind="blur")


def test_a_new_corruption_brings_its_inputs_after_those_of_saved_workflows(
    pack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    corruption, option = pack("scdm.diffusion.corruption"), pack("scdm.files.options").Option

    def shifted(labels: Any, seeds: Any, by: Any = 1) -> Any:
        """Shifted to the right."""
        return replace(labels, ids=labels.ids.roll(by, dims=2))

    shifted.__annotations__["by"] = Annotated[int, option("pixels to the right", ge=0, le=9)]
    monkeypatch.setitem(corruption.CORRUPTIONS, "shift", shifted)
    *old, new = pack("nodes.corruption").CorruptLayout.define_schema().inputs
    established = ["downsample_to", "edge_radius", "random_share", "pattern_share", "diffusion_step"]
    assert [spec.id for spec in old] == ["layout", "kind", "seed", *established]
    assert (new.id, new.default, new.min, new.max, new.optional) == ("shift_by", 1, 0, 9, True)
    assert old[1].options[-1] == "shift" and "shift: Shifted to the right." in old[1].tooltip
    layout = layout_of(pack, [0, 1, 2])
    assert corrupted(pack, layout, kind="shift", shift_by=2).ids.tolist() == layout.labels.ids.roll(2, dims=2).tolist()


def test_label_diffusion_fades_classes_at_the_rates_of_their_data_set(pack: Any) -> None:
    """In ADE20K a wall fades sooner than a lamp; classes without known rates fade alike."""
    rates, palettes = pack("nodes.corruption").class_rates, pack("scdm.layouts.palette").Palette
    ade20k = palettes.named("ade20k")
    assert (
        rates(ade20k) == rates(ade20k.golden_angle()) == pack("scdm.diffusion.label_diffusion").shipped_rates("ade20k")
    )
    assert rates(palettes.named("cityscapes")) is None
    assert rates(palettes("ade20k", ("only",), (None,))) is None, "another palette that is called like it"
    both = layout_of(pack, [0, 36] * 4000, palette="ade20k")
    faded = corrupted(pack, both, kind="diffuse", diffusion_step=400).unpainted.float()
    assert faded[..., ::2].mean() > faded[..., 1::2].mean() + 0.1
