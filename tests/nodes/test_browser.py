"""The templates in ComfyUI's front end, and what the pack adds to that. Needs a Chromium (CHROMIUM) and the Python package
playwright. COMFYUI_FRONT_END is the folder of another front end than ComfyUI's own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import chromium
from tests.nodes.server import READY, ROOT, Server, serving

WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))
FROM_ANOTHER_PACK = {"photo_to_layout": {"OneFormer-ADE20K-SemSegPreprocessor"}}
OPEN = """async ([name, text]) => await app.handleFile(new File([text], name, {type: "application/json"}))"""
OPENED = "kinds => JSON.stringify(app.graph._nodes.map(node => node.type).sort()) === kinds"
RUN = """async () => {
  const ended = new Promise(resolve => {
    for (const kind of ["execution_success", "execution_error"]) {
      app.api.addEventListener(kind, () => resolve(kind), {once: true});
    }
  });
  await app.queuePrompt(0);
  return await ended;
}"""
SAID = """kind => {
  const widget = app.graph._nodes.find(node => node.type === kind).widgets.find(one => one.name === "scdm_text");
  return [widget?.element.textContent ?? "", widget?.element.innerHTML ?? "", (widget?.element.offsetHeight ?? 0) > 10];
}"""
WIDGET = """([kind, name]) => {
  const widget = app.graph._nodes.find(node => node.type === kind).widgets.find(one => one.name === name);
  return {value: widget.value, values: [...widget.options.values]};
}"""
MISSING = "() => app.graph._nodes.map(node => node.type).filter(kind => !(kind in LiteGraph.registered_node_types))"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serving(tmp_path_factory.mktemp("comfyui"))


@pytest.fixture(scope="module")
def page(server: Server) -> Iterator[Any]:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1920, "height": 1080})  # zoomed out far, widgets are not drawn
        opened(page, server)
        yield page


def opened(page: Any, server: Server) -> None:
    page.goto(server.url, wait_until="domcontentloaded")
    page.wait_for_function(READY, timeout=120_000)


def loaded(page: Any, graph: dict[str, Any], name: str = "graph.json") -> None:
    kinds = sorted(node["type"] for node in graph["nodes"])
    page.evaluate(OPEN, [name, json.dumps(graph)])
    page.wait_for_function(OPENED, arg=json.dumps(kinds, separators=(",", ":")), timeout=30_000)


def node(graph: dict[str, Any], kind: str) -> dict[str, Any]:
    (found,) = [one for one in graph["nodes"] if one["type"] == kind]
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_template_opens_without_missing_nodes(page: Any, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    kinds = sorted(node["type"] for node in json.loads(text)["nodes"])
    page.evaluate(OPEN, [path.name, text])
    page.wait_for_function(OPENED, arg=json.dumps(kinds, separators=(",", ":")), timeout=30_000)
    missing = set(page.evaluate(MISSING))
    assert missing == FROM_ANOTHER_PACK.get(path.stem, set())
    prompt = page.evaluate("async () => (await app.graphToPrompt()).output")
    queued = {node["class_type"] for node in prompt.values()}
    assert queued - {None} == set(kinds) - {"MarkdownNote"} - missing, "what would be run"


def renderers() -> list[bool]:
    """Without and, where the front end has it, with its newer renderer, in which nodes are elements of the page."""
    return [False, True] if os.environ.get("COMFYUI_FRONT_END") else [False]


def test_what_nodes_say_stays_when_a_run_has_ended(server: Server, page: Any) -> None:
    """As text, in every renderer; and it is no value of the workflow."""
    graph = json.loads((ROOT / "workflows" / "paint_and_follow.json").read_text(encoding="utf-8"))
    node(graph, "SCDM_LoadLayout")["widgets_values"][3] = 64
    preview = node(graph, "SCDM_PreviewLayout")
    preview |= {"type": "SCDM_LayoutInfo", "widgets_values": [], "outputs": [], "properties": {}}
    preview["inputs"] = [one for one in preview["inputs"] if one["name"] == "layout"]
    for run, newer in enumerate(renderers()):
        server.request("/settings/Comfy.VueNodes.Enabled", newer)
        opened(page, server)
        node(graph, "SCDM_EditImage")["widgets_values"][0] = run  # else all would come from the cache, in silence
        node(graph, "SCDM_PaintClass")["widgets_values"] = [("flower", "snow")[run]]
        loaded(page, graph)
        assert page.evaluate(RUN) == "execution_success"
        page.evaluate("() => app.extensionManager.command.execute('Comfy.Canvas.FitView')")
        page.wait_for_timeout(3000)  # in which the front end takes away what does not stay
        text, html, seen = page.evaluate(SAID, "SCDM_LayoutInfo")
        assert text.startswith("64 x 64 pixels, palette scenes with 14 classes") and "sky (0): " in text and seen
        assert html == text, "no markup"
        for kind, words in (("SCDM_PaintClass", "64 x 64: sky"), ("SCDM_EditImage", "of the image painted anew")):
            text, _, seen = page.evaluate(SAID, kind)
            assert words in text and seen, (kind, newer)
        saved = page.evaluate(
            "() => app.graph._nodes.map(node => JSON.stringify(node.serialize().widgets_values ?? []))"
        )
        assert not any("painted anew" in values for values in saved)


def test_classes_are_those_of_the_connected_palette(page: Any) -> None:
    graph = json.loads((ROOT / "workflows" / "paint_and_follow.json").read_text(encoding="utf-8"))
    node(graph, "SCDM_PaintClass")["widgets_values"] = ["Flower"]  # as it was typed once
    loaded(page, graph)
    given = page.evaluate(WIDGET, ["SCDM_PaintClass", "class_name"])
    assert given["value"] == "Flower" and len(given["values"]) == 14 + 1 and given["values"][-1] == "unpainted"
    assert page.evaluate(WIDGET, ["SCDM_LayoutToMasks", "class_name"])["values"][0] == "all classes"
    node(graph, "SCDM_LoadLayout")["widgets_values"][1] = "ade20k_golden_angle"
    for socket in node(graph, "SCDM_LoadLayout")["inputs"]:
        if socket["name"] == "model_palette":
            graph["links"] = [link for link in graph["links"] if link[0] != socket["link"]]
            node(graph, "SCDM_LoadModel")["outputs"][2]["links"] = []
            socket["link"] = None
    loaded(page, graph)
    assert len(page.evaluate(WIDGET, ["SCDM_PaintClass", "class_name"])["values"]) == 151 + 1


def test_layouts_of_templates_have_a_picture_and_former_names_become_the_new_ones(server: Server, page: Any) -> None:
    graph = json.loads((ROOT / "workflows" / "layout_to_image.json").read_text(encoding="utf-8"))
    for name in ("scdm_landscape.png", "example: landscape"):
        node(graph, "SCDM_LoadLayout")["widgets_values"][0] = name
        loaded(page, graph)
        assert page.evaluate(WIDGET, ["SCDM_LoadLayout", "image"])["value"] == "scdm_landscape.png"
    assert server.request("/view?filename=scdm_landscape.png&type=input").startswith(b"\x89PNG")
