"""The graphs for Krita: what can be seen in the files, and what Krita's AI plugin makes of them on a real server.

The latter needs, beside ComfyUI, COMFY_TOOLS_DIR (krita_client.py, which runs a graph with the plugin's own modules),
KRITA_PLUGIN_DIR (krita-ai-diffusion) and TOOLING_NODES_DIR (comfyui-tooling-nodes).
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from docs.krita import first_layout
from scdm.diffusion.noise import LABEL_NOISE
from scdm.files.images import from_levels, to_levels
from scdm.layouts.palette import Palette
from scdm.metrics import segmenter
from scdm.models.conversion import load
from scdm.pipeline import GenerateOptions, generate
from tests.nodes.server import ROOT, Json, Server, serving

FOLDER = ROOT / "workflows" / "krita"
GRAPHS = {path.stem: path for path in sorted(FOLDER.glob("*.json"))}
WHOLE, LIVE, PART = "SCDM Layout to image", "SCDM Layout to image (live)", "SCDM Inpaint selection with layout"
SCENES = Palette.named("scenes")
COLOR = dict(zip(SCENES.names, SCENES.colors, strict=True))
WORK = 64  # pixels: the width at which the tests let the model work
NEEDED = ("COMFY_TOOLS_DIR", "KRITA_PLUGIN_DIR", "TOOLING_NODES_DIR")


def graph(name: str) -> Json:
    return json.loads(GRAPHS[name].read_text(encoding="utf-8"))


def parameters(nodes: Json) -> list[Json]:
    kinds = ("ETN_Parameter", "ETN_KritaImageLayer")
    return [node["inputs"] for node in nodes.values() if node["class_type"] in kinds]


def test_there_is_a_graph_for_each_way_of_working() -> None:
    assert set(GRAPHS) == {WHOLE, LIVE, PART}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_are_what_the_plugin_imports(name: str) -> None:
    nodes = graph(name)
    assert all(key.isdigit() and node["class_type"] for key, node in nodes.items())
    for node in nodes.values():
        links = [value for value in node["inputs"].values() if isinstance(value, list)]
        assert all(source in nodes and isinstance(slot, int) for source, slot in links)
    assert sum(node["class_type"] == "ETN_KritaOutput" for node in nodes.values()) == 1
    maker = "SCDM_EditImage" if name == LIVE else "SCDM_Generate"
    (made,) = [node["inputs"] for node in nodes.values() if node["class_type"] == maker]
    assert nodes[made["seed"][0]]["class_type"] == "ETN_KritaCanvas", "the plugin's own seed"
    assert isinstance(made["steps"], list), "the plugin's progress bar counts what flows into inputs called steps"


@pytest.mark.parametrize("name", GRAPHS)
def test_parameters_are_in_order_and_typed(name: str) -> None:
    given = parameters(graph(name))
    names = [parameter["name"] for parameter in given]
    assert sorted(names) == [f"{i}. {text.split('. ')[1]}" for i, text in enumerate(sorted(names), start=1)]
    types = {"choice": str, "number": float, "number (integer)": int}
    for parameter in given:
        values = [parameter[key] for key in ("default", "min", "max") if key in parameter]
        assert all(type(value) is types[parameter["type"]] for value in values)


def test_live_takes_few_steps() -> None:
    """Those of the model that it chooses."""
    given = (parameter for parameter in parameters(graph(LIVE)) if "default" in parameter)
    chosen = {parameter["name"][3:]: parameter["default"] for parameter in given}
    assert (chosen["Steps"], chosen["Guidance"]) == (0, 0)
    assert GenerateOptions().for_model(load(chosen["Model"])).steps == "trailing4"


@dataclass(frozen=True)
class Answer:
    """What the plugin hands to Krita when a graph has ended."""

    event: str
    error: str | None
    texts: dict[str, str]
    offset: tuple[int, int]
    pictures: list[Image.Image]  # RGBA

    def over(self, canvas: Image.Image) -> np.ndarray:
        """The canvas (H, W, 3) with the picture as a layer above it, where the plugin puts it."""
        result = canvas.convert("RGBA")
        result.alpha_composite(self.pictures[0], self.offset)
        return np.asarray(result.convert("RGB"))


class Krita:
    """The plugin's client, with files for what Krita itself would give it."""

    def __init__(self, server: Server, folder: Path):
        self.server, self.folder = server, folder

    def ask(self, name: str, *arguments: str) -> Json:
        client = Path(os.environ["COMFY_TOOLS_DIR"]) / "krita_client.py"
        command = [os.environ["COMFYUI_PYTHON"], str(client), str(GRAPHS[name]), "--url", self.server.url, *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=600)
        assert done.stdout, done.stderr
        return json.loads(done.stdout)

    def run(
        self,
        name: str,
        layer: Image.Image,
        canvas: Image.Image | None = None,
        selection: Image.Image | None = None,
        **given: Any,
    ) -> Answer:
        canvas = canvas or Image.new("RGBA", layer.size, "white")
        canvas.convert("RGBA").save(self.folder / "canvas.png")
        layer.save(self.folder / "layer.png")
        arguments = ["--canvas", "canvas.png", "--layer", "1. Layout=layer.png", "--out", "out"]
        if selection is not None:
            selection.save(self.folder / "selection.png")
            arguments += ["--selection", "selection.png"]
        names = {text.split(". ")[1]: text for text in (parameter["name"] for parameter in parameters(graph(name)))}
        for key, value in {"Width": WORK, **given}.items():
            arguments += ["--param", f"{names[key]}={json.dumps(value)}"]
        result = self.ask(name, *arguments)["result"]
        places = [tuple(output["offset"]) for output in result["outputs"] if "offset" in output]
        return Answer(
            event=result["event"],
            error=result["error"],
            texts={output["name"]: output["text"] for output in result["outputs"] if "text" in output},
            offset=places[0] if places else (0, 0),
            pictures=[Image.open(self.folder / "out" / f"result_{i}.png").copy() for i in range(len(result["images"]))],
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if absent := [name for name in NEEDED if not os.environ.get(name)]:
        pytest.skip(f"{', '.join(absent)} not set: what Krita's plugin makes of the graphs is not tested")
    yield from serving(tmp_path_factory.mktemp("comfyui"), [Path(os.environ["TOOLING_NODES_DIR"])])


@pytest.fixture
def krita(server: Server, tmp_path: Path) -> Krita:
    python = os.environ["COMFYUI_PYTHON"]
    if subprocess.run([python, "-c", "import PyQt5, websockets"], capture_output=True).returncode:
        pytest.skip(f"{python} lacks PyQt5 or websockets, which the plugin needs outside Krita")
    return Krita(server, tmp_path)


def test_the_plugin_shows_the_parameters(krita: Krita) -> None:
    for name in GRAPHS:
        answer = krita.ask(name)
        assert answer["validation_error"] == ""
        shown = {parameter["name"].split(". ")[1]: parameter for parameter in answer["parameters"]}
        assert list(shown)[:6] == ["Layout", "Model", "Width", "Steps", "Guidance", "Label noise"]
        roughness = shown["Roughness"]
        assert tuple(roughness[bound] for bound in ("min", "max", "default")) == (-0.05, 1.0, -0.05)
        assert "scenes" in shown["Model"]["choices"] and shown["Label noise"]["choices"] == list(LABEL_NOISE)


def test_the_server_hands_out_the_palettes(server: Server) -> None:
    for file in (ROOT / "web" / "painting").iterdir():
        assert server.request(f"/extensions/scdm/painting/{file.name}") == file.read_bytes()


def agreement(pixels: np.ndarray, layer: Image.Image) -> float:
    """The share of painted pixels that a segmenter reads as what was painted, at the size at which the model works."""
    small = np.asarray(Image.fromarray(pixels).resize((WORK, WORK), Image.Resampling.BOX))
    labels = SCENES.to_labels(layer).resized(WORK, WORK)
    evaluator = segmenter.load(ROOT / "benchmarks" / "segmenter_scenes.safetensors")
    with torch.inference_mode():
        seen = evaluator.ids(from_levels(np.array(small[None])))
    return float((seen == labels.ids)[~labels.unpainted].float().mean())


def test_the_image_follows_the_layer_and_fills_the_canvas(krita: Krita) -> None:
    layer = first_layout(SCENES)
    answer = krita.run(WHOLE, layer, Steps=10)
    assert (answer.event, answer.error, answer.offset) == ("finished", None, (0, 0))
    (picture,) = answer.pictures
    assert picture.size == layer.size
    pixels = np.asarray(picture.convert("RGB"))
    assert agreement(pixels, layer) > 0.75 > 0.6 > agreement(pixels[:, ::-1], layer)
    assert "9 classes" in answer.texts["Layout"] and "sky (0): 3" in answer.texts["Layout"]


def test_roughness_is_told_or_estimated(krita: Krita) -> None:
    layer = first_layout(SCENES).transpose(
        Image.Transpose.FLIP_LEFT_RIGHT
    )  # no other test's, which ComfyUI would not run again
    exact, idea, estimated = (krita.run(LIVE, layer, Roughness=told).pictures[0] for told in (0.0, 1.0, -0.05))
    pictures = [np.asarray(picture.convert("RGB"), np.int16) for picture in (exact, idea, estimated)]
    assert np.abs(pictures[0] - pictures[1]).mean() > 1
    assert np.abs(pictures[0] - pictures[2]).mean() < np.abs(pictures[1] - pictures[2]).mean()


def test_live_follows_in_few_steps_and_paints_anew_what_was_edited_and_nothing_else(krita: Krita) -> None:
    before = first_layout(SCENES)
    after, box = before.copy(), (360, 440, 460, 500)
    ImageDraw.Draw(after).rectangle(box, COLOR["rock"])
    old, new = (np.asarray(krita.run(LIVE, layer).pictures[0].convert("RGB")) for layer in (before, after))
    assert agreement(old, before) > 0.75
    left, top, right, bottom = box
    margin = 8 * (WORK // 16 + 3)  # in pixels of the canvas: the model's, one of the stroke's, two of the enlargement's
    may_change = np.zeros(old.shape[:2], dtype=bool)
    may_change[top - margin : bottom + margin, left - margin : right + margin] = True
    assert np.array_equal(old[~may_change], new[~may_change])
    assert np.abs(new.astype(int) - old)[top:bottom, left:right].mean() > 10, "levels of 255"
    again = np.asarray(krita.run(LIVE, before, Model="scenes", Steps=7).pictures[0].convert("RGB"))
    assert not np.array_equal(again[~may_change], old[~may_change]), "another setting, another image"


def test_a_canvas_of_the_models_size_shows_the_librarys_own_image(krita: Krita) -> None:
    layer = first_layout(SCENES).resize((WORK, WORK), Image.Resampling.NEAREST)
    answer = krita.run(WHOLE, layer, Steps=3)
    options = GenerateOptions(steps=3, seed=1)  # the client's seed
    expected = to_levels(generate(load("scenes"), SCENES.to_labels(layer), options))[0]
    shown = np.asarray(answer.pictures[0].convert("RGB"))
    assert np.abs(shown.astype(int) - expected).max() <= 1, (
        "levels, which are cut and not rounded on their way to Krita"
    )


def test_only_the_selection_changes_and_follows_the_layer(krita: Krita) -> None:
    inputs = krita.server.get("/object_info")["ETN_KritaOutput"]["input"]
    if not any("x" in group for group in inputs.values()):
        pytest.skip("comfyui-tooling-nodes before 3.1.0 do not tell the plugin where a part belongs (docs/krita.md)")
    before = first_layout(SCENES)
    canvas = krita.run(LIVE, before).pictures[0]
    layer, selection = before.copy(), Image.new("L", before.size)
    ImageDraw.Draw(layer).rectangle((280, 300, 512, 512), COLOR["sand"])
    box = (300, 320, 480, 500)  # not a multiple of anything, and at the edge of the canvas's lower right
    ImageDraw.Draw(selection).ellipse(box, 255)
    answer = krita.run(PART, layer, canvas, selection, Steps=8, Repeats=2)
    assert (answer.event, answer.error) == ("finished", None)
    assert answer.offset != (0, 0) and answer.pictures[0].size != canvas.size, "a part of the canvas, at its place"
    selected, old, new = np.asarray(selection) > 0, np.asarray(canvas.convert("RGB")), answer.over(canvas)
    assert np.array_equal(new[~selected], old[~selected])
    change = np.abs(new.astype(int) - old)[selected].mean()
    assert change > 20, "water became sand"
    red, _, blue = new[selected].mean(axis=0)
    assert red > blue + 15, "of the colour of sand"


def test_without_a_selection_the_painter_is_told(krita: Krita) -> None:
    answer = krita.run(PART, first_layout(SCENES), Steps=2)
    assert answer.event == "error" and answer.error and "the mask covers the whole image" in answer.error


def test_thin_transparent_and_unknown_paint_is_left_to_the_model(krita: Krita) -> None:
    layer = Image.new("RGBA", (128, 128))
    draw = ImageDraw.Draw(layer)
    draw.rectangle((0, 0, 127, 31), (*COLOR["sky"], 255))
    draw.rectangle((0, 32, 127, 63), (*COLOR["grass"], 100))  # the edge of a soft brush
    draw.rectangle((0, 64, 127, 79), (255, 0, 255, 255))  # no class has it; below that, nothing is painted
    answer = krita.run(LIVE, layer)
    assert answer.event == "finished"
    assert answer.texts["Layout"].splitlines()[1:] == ["1 class, 75% unpainted", "sky (0): 25%"]


def test_the_painter_is_told_what_is_wrong(krita: Krita) -> None:
    answer = krita.run(LIVE, Image.new("RGBA", (64, 64), "magenta"))
    assert answer.event == "error" and answer.error and "no pixel has a colour of palette scenes" in answer.error
    answer = krita.run(LIVE, first_layout(SCENES), Steps=8)
    assert answer.event == "error" and answer.error and "was distilled to 4 steps" in answer.error
