"""The templates: each runs as it is on the embedded model, and shows what it promises."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from scdm.diffusion.inpainting import grown
from scdm.editing.session import MARGIN
from scdm.layouts import paintings
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.layouts.reading import read_layout
from scdm.models.checkpoint import model_file, read_header
from tests.nodes.server import ROOT, Json, Server, inputs, serving, template

SCENES = Palette.named("scenes")
SIDE = 64  # pixels, at which the tests run: the model was taught this size too
LANDSCAPE = read_layout(ROOT / "scdm" / "assets" / "examples" / "landscape.png", SCENES)
EXAMPLE = LANDSCAPE.reduced(SIDE, SIDE)  # as Load Layout does
NAMES = sorted(path.stem for path in (ROOT / "workflows").glob("*.json"))
PREPROCESSOR = "OneFormer-ADE20K-SemSegPreprocessor"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serving(tmp_path_factory.mktemp("comfyui"))


@pytest.fixture(scope="module")
def info(server: Server) -> Json:
    return server.get("/object_info")


def assert_follows(image: np.ndarray, labels: LabelMap = EXAMPLE) -> None:
    """Tell-tale colours where the layout has their classes."""
    ids = labels.ids[0].numpy()
    mean = {name: image[ids == i].mean(axis=0) for i, name in enumerate(SCENES.names) if (ids == i).any()}
    assert mean["sky"].mean() > mean["tree"].mean() + 30, "the sky is brighter than trees"
    greenness = {name: mean[name][1] - mean[name][2] for name in ("grass", "water", "sky")}
    assert greenness["grass"] > max(greenness["water"], greenness["sky"]) + 15, "grass is greener than water and sky"


def small(name: str, info: Json) -> Json:
    """A template at SIDE x SIDE pixels."""
    prompt = template(name, info)
    inputs(prompt, "SCDM_LoadLayout").update(width=SIDE)
    return prompt


@pytest.mark.parametrize("name", NAMES)
def test_they_begin_at_the_size_that_the_model_was_taught(name: str, info: Json) -> None:
    """Width and height are 0, and the model is connected."""
    for node in template(name, info).values():
        if node["class_type"] in ("SCDM_LoadLayout", "SCDM_LayoutFromImage"):
            given = node["inputs"]
            assert (given["width"], given["height"]) == (0, 0) and given["model"][1] == 0


def test_layout_to_image(server: Server, info: Json) -> None:
    prompt = template("layout_to_image", info)
    with model_file(inputs(prompt, "SCDM_LoadModel")["model"]) as path:
        height, width = read_header(path).config.taught.nearest((LANDSCAPE.height, LANDSCAPE.width))
    (image,) = server.run(prompt)
    assert image.shape == (height, width, 3)
    assert_follows(image, LANDSCAPE.reduced(height, width))


def test_batch_of_seeds(server: Server, info: Json) -> None:
    prompt = small("batch_of_seeds", info)
    images = server.run(prompt)
    assert len(images) == 8
    for image in images:
        assert_follows(image)
    inputs(prompt, "SCDM_Generate").update(seed=inputs(prompt, "SCDM_Generate")["seed"] + 5, batch_size=1)
    assert np.abs(server.run(prompt)[0].astype(int) - images[5]).max() <= 1, "the sixth image is that of the sixth seed"


def test_edit_part_of_an_image(server: Server, info: Json) -> None:
    prompt = small("edit_part_of_an_image", info)
    inputs(prompt, "GrowMask").update(expand=2)
    for node in prompt.values():
        if node["inputs"].get("feather"):
            node["inputs"]["feather"] = 2.0  # in proportion to SIDE, too
    before, after = server.run(prompt)
    water = (EXAMPLE.ids == SCENES.names.index("water")).float()[:, None]
    may_change = F.max_pool2d(water, 5, 1, 2)[0, 0].bool().numpy()
    assert np.array_equal(before[~may_change], after[~may_change])
    lake = water[0, 0].bool().numpy()
    blueness = [float((image[lake][:, 2].astype(int) - image[lake][:, 0]).mean()) for image in (before, after)]
    assert blueness[0] > blueness[1] + 20, "water became sand"


def test_paint_and_follow(server: Server, info: Json) -> None:
    """Queued again after an edit, it changes what was edited, and nothing else."""
    prompt = small("paint_and_follow", info)
    (shown,) = [node for node in prompt.values() if node["class_type"] == "PreviewImage"]
    shown["class_type"], shown["inputs"]["filename_prefix"] = "SaveImage", "followed"
    (before,) = server.run(prompt)
    inputs(prompt, "SCDM_PaintClass")["class_name"] = "snow"
    (after,) = server.run(prompt)
    edited = EXAMPLE.ids[0] == SCENES.names.index("grass")
    moved = torch.from_numpy((before != after).any(axis=-1))
    assert not moved[~grown(edited, round(MARGIN * SIDE))].any()
    assert after[edited].mean() > before[edited].mean() + 50, "where flowers were there is snow"


def test_rough_layouts(server: Server, info: Json) -> None:
    """The whole layout's image follows it; that of a few strokes shows another scene, by far more than in details."""
    rough, whole = server.run(small("rough_layouts", info))
    assert rough.shape == whole.shape == (SIDE, SIDE, 3)
    assert_follows(whole)
    assert np.abs(rough.astype(int) - whole).mean() > 10, "levels"


def test_stock_ksampler(server: Server, info: Json) -> None:
    assert_follows(server.run(small("stock_ksampler", info))[0])


def test_photo_to_layout(server: Server, info: Json) -> None:
    """The preprocessor is another pack's: here a picture in its colours stands for what it makes."""
    graph = json.loads((ROOT / "workflows" / "photo_to_layout.json").read_text(encoding="utf-8"))
    assert {node["type"] for node in graph["nodes"]} - info.keys() <= {PREPROCESSOR, "MarkdownNote"}
    prompt = template("photo_to_layout", info)
    segmented = next(str(node["id"]) for node in graph["nodes"] if node["type"] == PREPROCESSOR)
    ade20k = Palette.named("ade20k")
    bands = torch.tensor([ade20k.names.index(name) for name in ("sky", "tree", "sea", "grass")])
    ids = LabelMap(bands.repeat_interleave(32)[None, :, None].expand(1, 128, 128), ade20k.num_classes)
    Image.fromarray(ade20k.golden_angle().to_image(ids)[0]).save(server.base / "input" / "seen.png")
    prompt[segmented] = {"class_type": "LoadImage", "inputs": {"image": "seen.png"}}
    (photo,) = [key for key, node in prompt.items() if node["class_type"] == "LoadImage" and key != segmented]
    del prompt[photo]
    inputs(prompt, "SCDM_Generate").update(steps=10)
    inputs(prompt, "SCDM_LayoutFromImage").update(width=SIDE)
    (image,) = server.run(prompt)
    layout = torch.tensor([SCENES.names.index(name) for name in ("sky", "tree", "water", "grass")]).repeat_interleave(
        16
    )
    assert_follows(image, LabelMap(layout[None, :, None].expand(1, SIDE, SIDE), SCENES.num_classes))


def test_paint(server: Server, info: Json) -> None:
    """The image is of the layout that the template holds, and follows another one."""
    prompt = template("paint", info)
    (shown,) = [node for node in prompt.values() if node["class_type"] == "PreviewImage"]
    shown["class_type"], shown["inputs"]["filename_prefix"] = "SaveImage", "painted"
    (image,) = server.run(prompt)
    with model_file(inputs(prompt, "SCDM_LoadModel")["model"]) as path:
        assert image.shape[:2] == read_header(path).config.taught.nearest((512, 512)), "as the model was taught"
    assert_follows(image, painted_in(prompt, SCENES).reduced(*image.shape[:2]))


def test_layout_to_controlnet(server: Server, info: Json) -> None:
    """It needs models of the user's own, and nothing else; the hint is in the colours of ADE20K."""
    prompt = template("layout_to_controlnet", info)
    refusal = json.loads(server.refusal(prompt))["node_errors"]
    assert {error["class_type"] for error in refusal.values()} == {"ControlNetLoader", "CheckpointLoaderSimple"}
    (hint,) = [node["inputs"]["image"] for node in prompt.values() if node["class_type"] == "ControlNetApplyAdvanced"]
    saved = {"class_type": "SaveImage", "inputs": {"images": hint, "filename_prefix": "hint"}}
    (image,) = server.run({hint[0]: prompt[hint[0]], "99": saved})
    ade20k = Palette.named("ade20k")
    assert image[0, 0].tolist() == list(ade20k.colors[ade20k.names.index("sky")] or ()) == [6, 230, 230]
    assert np.array_equal(image, ade20k.to_image(painted_in(prompt, ade20k), (0, 0, 0))[0])


def test_repaint_part_of_a_photo(server: Server, info: Json) -> None:
    """A lake where it was painted; elsewhere the photograph."""
    prompt = template("repaint_part_of_a_photo", info)
    with model_file(inputs(prompt, "SCDM_LoadModel")["model"]) as path:
        height, width = read_header(path).config.taught.nearest((512, 512))
    photo = np.full((height, width, 3), (124, 150, 70), np.uint8)
    Image.fromarray(photo).save(server.base / "input" / "meadow.png")
    inputs(prompt, "LoadImage").update(image="meadow.png")
    inputs(prompt, "SCDM_Generate").update(steps=10)
    (image,) = server.run(prompt)
    lake = painted_in(prompt, SCENES).reduced(height, width).ids[0] == SCENES.names.index("water")
    rim = inputs(prompt, "GrowMask")["expand"]
    assert np.array_equal(image[~grown(lake, rim + 1)], photo[~grown(lake, rim + 1)])
    blueness = [float((picture[lake][:, 2].astype(int) - picture[lake][:, 0]).mean()) for picture in (photo, image)]
    assert blueness[1] > blueness[0] + 20, "meadow became water"


def painted_in(prompt: Json, palette: Palette) -> LabelMap:
    """The layout that the template's painter holds."""
    value = inputs(prompt, "SCDM_PaintLayout")["painting"]
    return paintings.onto(paintings.read(base64.b64decode(value.split(",", 1)[1])), palette)[0]
