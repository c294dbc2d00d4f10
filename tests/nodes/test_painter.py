"""Paint Layout in ComfyUI's front end: what is painted there is kept, and the image follows.

Needs a Chromium (CHROMIUM) and the Python package playwright; COMFYUI_FRONT_END names the folder of another front end.
"""

from __future__ import annotations

import base64
import io
import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scdm.layouts import paintings
from scdm.layouts.palette import Palette
from tests.browser import chromium
from tests.nodes.server import READY, ROOT, Server, serving

SCENES = Palette.named("scenes")
INLINE = "data:image/png;base64,"
NODES_2 = "Comfy.VueNodes.Enabled"
VERSION = "() => (window.__COMFYUI_FRONTEND_VERSION__ ?? '0.0').split('.').map(Number)"
FIRST_WITH_NODES_2 = [1, 40]
TEMPLATE = (ROOT / "workflows" / "paint.json").read_text(encoding="utf-8")
OPEN = """async text => {
  await app.loadGraphData(JSON.parse(text));
  app.canvas.ds.scale = 0.7;
  app.canvas.ds.offset = [-300, 120];
  app.canvas.setDirty(true, true);
}"""
PAINTERS = "app.graph._nodes.filter(node => node.type === 'SCDM_PaintLayout')"
VALUES = f"() => {PAINTERS}.map(node => node.widgets.find(widget => widget.name === 'painting').value)"
# The colour in the middle of each painter's canvas: what is painted there, whatever the zoom.
MIDDLES = """() => [...document.querySelectorAll('.scdm-board .scdm-layout')].map(canvas => {
  const [r, g, b] = canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data;
  return [r, g, b];
})"""
FOLLOWED = "() => /^Image after/.test(document.querySelector('.scdm-board-bar p').textContent)"
NOISE = """async colors => {
  const [width, height] = [512, 512];
  const canvas = Object.assign(document.createElement('canvas'), {width, height});
  const picture = new ImageData(width, height);
  let seed = 1;
  for (let i = 0; i < width * height; i++) {
    seed = (seed * 1103515245 + 12345) % 2147483648;
    picture.data.set([...colors[(seed >> 16) % colors.length], 255], 4 * i);
  }
  canvas.getContext('2d').putImageData(picture, 0, 0);
  const blob = await new Promise(done => canvas.toBlob(done));
  const files = new DataTransfer();
  files.items.add(new File([blob], 'noise.png', {type: 'image/png'}));
  const drop = new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: files});
  document.querySelector('.scdm-board .scdm-painter').dispatchEvent(drop);
}"""  # a layout that no compression makes small


# In all painters by turns, wherever they lie.
STROKES = """async () => {
  for (const height of [0.3, 0.5, 0.7]) for (const stage of document.querySelectorAll('.scdm-board .scdm-stage')) {
    const {x, y, width, height: most} = stage.getBoundingClientRect();
    stage.setPointerCapture = () => {};
    for (const [type, across, buttons] of [['pointerdown', 0.3, 1], ['pointermove', 0.6, 1], ['pointerup', 0.6, 0]])
      stage.dispatchEvent(new PointerEvent(type, {
        bubbles: true, cancelable: true, pointerId: 1, pointerType: 'mouse', isPrimary: true, buttons,
        button: type === 'pointermove' ? -1 : 0, clientX: x + across * width, clientY: y + height * most}));
    await new Promise(done => setTimeout(done, 150));
  }
}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from serving(tmp_path_factory.mktemp("comfyui"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module", params=["classic", "nodes 2.0"])
def page(server: Server, browser: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    for name, value in ((NODES_2, request.param != "classic"), ("Comfy.TutorialCompleted", True)):
        setting = urllib.request.Request(f"{server.url}/api/settings/{name}", json.dumps(value).encode())
        urllib.request.urlopen(setting).close()
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(server.url, wait_until="domcontentloaded")
    page.wait_for_function(READY, timeout=120_000)
    if request.param != "classic" and page.evaluate(VERSION)[:2] < FIRST_WITH_NODES_2:
        pytest.skip("in this front end Nodes 2.0 is an experiment, and has no room for elements of others")
    yield page
    page.close()


@pytest.fixture
def painter(page: Any) -> Painter:
    """The template's, as it is opened."""
    for _ in range(3):
        page.keyboard.press("Escape")  # what the front end greets with
    open_template(page)
    painter = Painter(page)
    painter.live(False)
    return painter


def open_template(page: Any, text: str = TEMPLATE) -> None:
    page.evaluate("() => app.graph.clear()")
    page.evaluate(OPEN, text)
    page.wait_for_selector(".scdm-board .scdm-layout", timeout=30_000)
    page.wait_for_timeout(500)


def changed(**fields: Any) -> str:
    """The template with other fields of the painter."""
    graph = json.loads(TEMPLATE)
    (node,) = [node for node in graph["nodes"] if node["type"] == "SCDM_PaintLayout"]
    node.update(fields)
    return json.dumps(graph)


class Painter:
    """The first painter of the graph."""

    def __init__(self, page: Any):
        self.page = page

    @property
    def value(self) -> str:
        return self.page.evaluate(VALUES)[0]

    @property
    def ids(self) -> np.ndarray:
        return ids_in(self.value)

    @property
    def middle(self) -> str:
        return named(self.page.evaluate(MIDDLES)[0])

    @property
    def status(self) -> str:
        return self.page.inner_text(".scdm-board-bar p")

    def live(self, on: bool) -> None:
        switch = self.page.locator(".scdm-board-live").first
        if (switch.get_attribute("aria-pressed") == "true") != on:
            switch.click()

    def choose(self, name: str) -> None:
        self.page.locator(".scdm-chosen").first.click()
        self.page.get_by_role("option", name=name).first.click()

    def stroke(self, height: float = 0.5, settles: bool = True) -> None:
        """Across the canvas, at a share of its height."""
        before = self.value
        box = self.page.locator(".scdm-stage").first.bounding_box()
        y = box["y"] + height * box["height"]
        self.page.mouse.move(box["x"] + 0.3 * box["width"], y)
        self.page.mouse.down()
        self.page.mouse.move(box["x"] + 0.7 * box["width"], y, steps=4)
        self.page.mouse.up()
        if settles:
            self.until(f"before => ({VALUES})()[0] !== before", before)

    def until(self, happened: str, given: Any = None, seconds: float = 30) -> None:
        self.page.wait_for_function(happened, arg=given, timeout=1000 * seconds)

    def until_middle(self, name: str, of: int = 0) -> None:
        """Until the middle of a canvas shows the class."""
        color = list(SCENES.colors[SCENES.names.index(name)] or ())
        self.until(f"([of, color]) => JSON.stringify(({MIDDLES})()[of]) === JSON.stringify(color)", [of, color])


def ids_in(value: str) -> np.ndarray:
    assert value.startswith(INLINE)
    painting = paintings.read(base64.b64decode(value.removeprefix(INLINE)))
    assert painting.names == SCENES.names
    return painting.ids


def named(color: list[int]) -> str:
    return next((name for name, own in zip(SCENES.names, SCENES.colors, strict=True) if list(own or ()) == color), "")


def test_a_stroke_lands_where_the_pointer_is_and_is_kept_in_the_workflow(painter: Painter) -> None:
    """At a zoom of the graph, too."""
    before = painter.ids
    painter.choose("flower")
    painter.stroke(0.5)
    changed = painter.ids != before
    flower = SCENES.names.index("flower")
    assert changed.any() and (painter.ids[changed] == flower).all() and painter.middle == "flower"
    rows = np.flatnonzero(changed.any(axis=1))
    assert abs(rows.mean() - before.shape[0] / 2) < before.shape[0] / 20, "in the middle of its height"


def test_undo_in_the_painter_leaves_the_graph_and_undo_of_the_graph_brings_paintings_back(painter: Painter) -> None:
    page = painter.page
    painter.stroke(0.3)
    first = painter.value
    count = page.evaluate("() => app.graph._nodes.length")
    painter.choose("flower")
    painter.stroke()
    flowers = painter.value
    page.keyboard.press("Control+z")
    painter.until(f"first => ({VALUES})()[0] === first", first)
    page.locator('[data-tool="eraser"]').first.focus()  # a control, which no input is
    page.keyboard.press("Control+Shift+z")
    painter.until(f"flowers => ({VALUES})()[0] === flowers", flowers)
    painter.choose("snow")
    painter.stroke()
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press("Control+z")
    painter.until(f"flowers => ({VALUES})()[0] === flowers", flowers)
    painter.until_middle("flower")
    assert page.evaluate("() => app.graph._nodes.length") == count
    painter.choose("sand")
    painter.stroke()
    assert painter.middle == "sand", "and is painted on"


def test_a_painting_survives_saving_and_opening_and_a_reload(painter: Painter, server: Server) -> None:
    page = painter.page
    painter.choose("flower")
    painter.stroke()
    value = painter.value
    saved = page.evaluate("() => JSON.stringify(app.graph.serialize())")
    exported = page.evaluate("async () => (await app.graphToPrompt()).output")
    (node,) = [node for node in exported.values() if node["class_type"] == "SCDM_PaintLayout"]
    assert node["inputs"]["painting"] == value
    page.wait_for_timeout(1500)  # the front end keeps drafts now and then
    page.reload(wait_until="domcontentloaded")
    page.wait_for_function(READY, timeout=120_000)
    painter.until(f"value => ({VALUES})()[0] === value", value)
    open_template(page)
    assert painter.value != value
    open_template(page, saved)
    assert painter.value == value
    painter.until_middle("flower")


def test_copies_are_paintings_of_their_own(painter: Painter) -> None:
    page, first = painter.page, painter.value
    painter.choose("flower")
    painter.stroke()
    value = painter.value
    page.evaluate(f"""() => {{
      const [node] = {PAINTERS};
      app.canvas.selectItems?.([node]) ?? app.canvas.selectNode(node);
      app.canvas.copyToClipboard([node]);
      app.canvas.pasteFromClipboard({{position: [380, 700]}});
    }}""")
    painter.until(
        f"() => ({VALUES})().length === 2 && document.querySelectorAll('.scdm-board .scdm-layout').length === 2"
    )
    assert page.evaluate(VALUES) == [value, value]
    painter.until_middle("flower", of=1)
    painter.choose("snow")
    painter.stroke()
    changed, copy = page.evaluate(VALUES)
    assert changed != value and copy == value != first
    assert sorted(map(named, page.evaluate(MIDDLES))) == ["flower", "snow"]


def test_the_image_follows_and_a_newer_stroke_takes_the_place_of_the_run(painter: Painter, server: Server) -> None:
    page = painter.page
    painter.choose("flower")
    painter.live(True)
    for height in (0.3, 0.5, 0.7):
        painter.stroke(height)
    painter.until(FOLLOWED, seconds=300)
    painter.until("() => document.querySelector('.scdm-board-picture img')?.naturalWidth > 0")
    queue = server.get("/queue")
    assert not queue["queue_running"] and not queue["queue_pending"]
    runs = list(server.get("/history").values())
    last = max(runs, key=lambda run: run["prompt"][0])
    (node,) = [node for node in last["prompt"][2].values() if node["class_type"] == "SCDM_PaintLayout"]
    assert last["status"]["status_str"] == "success" and node["inputs"]["painting"] == painter.value
    painter.live(False)
    painter.stroke(0.6)
    page.wait_for_timeout(500)
    assert len(server.get("/history")) == len(runs), "without Live nothing runs"


def test_other_classes_keep_what_they_have_by_name_and_the_rest_comes_back_with_its_palette(painter: Painter) -> None:
    page, value = painter.page, painter.value
    unlinked = (
        f"() => {{ const [node] = {PAINTERS}; node.disconnectInput(node.inputs.findIndex(i => i.name === 'model')); }}"
    )
    choose = f"""name => {{
      const palette = {PAINTERS}[0].widgets.find(widget => widget.name === 'palette');
      palette.value = name;
      palette.callback?.(name); // as the front end does
    }}"""
    page.evaluate(unlinked)
    painter.choose("flower")
    painter.stroke()
    value = painter.value
    page.evaluate(choose, "cityscapes")
    painter.until("() => /not here/.test(document.querySelector('.scdm-status').textContent)")
    assert "flower" in page.inner_text(".scdm-status") and painter.value == value
    page.locator(".scdm-chosen").first.click()
    assert page.get_by_role("option", name="building").count()
    page.keyboard.press("Escape")
    page.evaluate(choose, "scenes")
    painter.until_middle("flower")


def test_a_large_painting_is_uploaded_and_opened_by_its_name(painter: Painter, server: Server) -> None:
    page = painter.page
    page.evaluate(NOISE, SCENES.colors[:4])
    painter.until(f"() => ({VALUES})()[0].endsWith('.png [input]')")
    name = painter.value.removesuffix(" [input]")
    kept = paintings.read(server.base / "input" / name)
    assert set(np.unique(kept.ids)) == {0, 1, 2, 3} and name.startswith("scdm/painting-")
    saved = page.evaluate("() => JSON.stringify(app.graph.serialize())")
    open_template(page)
    open_template(page, saved)
    painter.choose("flower")
    painter.stroke()
    painter.until(f"() => ({VALUES})()[0].endsWith('.png [input]')")
    again = server.base / "input" / painter.value.removesuffix(" [input]")
    changed = paintings.read(again).ids != kept.ids
    assert again.name not in name and 0.01 < changed.mean() < 0.3, "the rest is as it was"


def test_a_server_that_is_gone_loses_nothing(painter: Painter) -> None:
    page = painter.page
    gone = [f"**/{path}" for path in ("upload/image", "prompt", "queue", "interrupt")]
    for path in gone:
        page.route(path, lambda route: route.abort())
    painter.live(True)
    page.evaluate(NOISE, SCENES.colors[:4])
    painter.until("() => /does not answer/.test(document.querySelector('.scdm-board-bar p').textContent)")
    painter.until("() => /kept in the workflow/.test(document.querySelector('.scdm-status').textContent)")
    assert set(np.unique(painter.ids)) == {0, 1, 2, 3}
    for path in gone:
        page.unroute(path)
    page.evaluate("() => app.api.dispatchEvent(new CustomEvent('reconnected'))")
    painter.until(FOLLOWED, seconds=300)
    painter.live(False)


@pytest.mark.parametrize("side", [8192, -5, "abc"])
def test_a_size_that_cannot_be_painted_is_said_and_the_painting_is_kept(painter: Painter, side: Any) -> None:
    page, value = painter.page, painter.value
    open_template(page, changed(widgets_values=["scenes", side, side, value]))
    assert painter.value == value and (painter.ids != SCENES.num_classes).any()
    open_template(page, changed(widgets_values=["scenes", side, side, ""]))
    painter.until("() => /pixels/.test(document.querySelector('.scdm-status').textContent)")
    assert str(side) in page.inner_text(".scdm-status")
    painter.live(False)  # a run of 8192 pixels would hold up the tests that follow
    painter.stroke()
    assert page.evaluate(f"() => {PAINTERS}[0].widgets.find(widget => widget.name === 'width').value") == side


def test_a_damaged_painting_is_said_in_a_sentence(painter: Painter) -> None:
    open_template(painter.page, changed(widgets_values=["scenes", 0, 0, INLINE + "%%"]))
    painter.until("() => /^The painting is damaged: paint/.test(document.querySelector('.scdm-status').textContent)")
    assert painter.value == INLINE + "%%"


def test_the_image_follows_through_nodes_that_are_bypassed(painter: Painter) -> None:
    page = painter.page
    page.evaluate(f"""() => {{
      const [node] = {PAINTERS};
      const between = LiteGraph.createNode('SCDM_TranslateLayout');
      app.graph.add(between);
      between.mode = 4;
      const edit = app.graph._nodes.find(node => node.type === 'SCDM_EditImage');
      for (const [from, to] of [[node, between], [between, edit]])
        from.connect(0, to, to.inputs.findIndex(input => input.name === 'layout'));
    }}""")
    painter.live(True)
    painter.stroke()
    painter.until(FOLLOWED, seconds=300)
    painter.live(False)


def test_the_image_follows_from_inside_of_a_subgraph(painter: Painter) -> None:
    page = painter.page
    if not page.evaluate("() => Boolean(app.graph.convertToSubgraph)"):
        pytest.skip("this front end has no subgraphs")
    page.evaluate("""() => app.graph.convertToSubgraph(
      new Set(app.graph._nodes.filter(node => ['SCDM_EditImage', 'PreviewImage'].includes(node.type))))""")
    page.wait_for_timeout(500)
    painter.live(True)
    painter.stroke()
    painter.until(FOLLOWED, seconds=300)
    painter.until("() => document.querySelector('.scdm-board-picture img')?.naturalWidth > 0")
    painter.live(False)


@pytest.mark.parametrize(("mode", "why"), [(2, "muted"), (4, "bypassed")])
def test_a_painter_that_does_not_run_says_so_and_queues_nothing(
    painter: Painter, server: Server, mode: int, why: str
) -> None:
    page, runs = painter.page, len(server.get("/history"))
    page.evaluate(f"mode => {{ {PAINTERS}[0].mode = mode; }}", mode)
    page.wait_for_timeout(300)
    painter.live(True)
    page.evaluate(STROKES)
    painter.until("() => document.querySelector('.scdm-board-bar p').textContent.startsWith('This node is')")
    assert painter.status == f"This node is {why}, so no image follows it: turn that off in its menu."
    assert len(server.get("/history")) == runs
    page.evaluate(f"() => {{ {PAINTERS}[0].mode = 0; }}")
    painter.stroke(0.6)
    painter.until(FOLLOWED, seconds=300)
    painter.live(False)


@pytest.mark.parametrize("palette", ["ade20k", "cityscapes"])
def test_a_picture_in_another_palettes_colours_is_translated_by_name(painter: Painter, palette: str) -> None:
    page, other = painter.page, Palette.named(palette)
    colors = [other.colors[other.names.index(name)] for name in ("sky", "wall")]
    page.evaluate(NOISE, colors)
    asked = page.get_by_role("dialog", name="A layout of other classes")
    asked.wait_for()
    assert (
        f"in the colours of {palette}." in asked.inner_text()
        and "Unpainted for want of a class: wall" in asked.inner_text()
    )
    asked.get_by_role("button", name="Translate").click()
    painter.until("() => /unpainted now: wall/.test(document.querySelector('.scdm-status').textContent)")
    painter.until(f"() => ({VALUES})()[0].endsWith('.png [input]')")


def test_an_upload_that_nobody_answers_is_given_up(painter: Painter) -> None:
    page = painter.page
    page.evaluate(
        "() => { AbortSignal.usual = AbortSignal.timeout; AbortSignal.timeout = () => AbortSignal.usual(500); }"
    )
    page.route("**/upload/image", lambda route: None)
    page.evaluate(NOISE, SCENES.colors[:4])
    painter.until("() => /kept in the workflow/.test(document.querySelector('.scdm-status').textContent)")
    exported = page.evaluate("async () => (await app.graphToPrompt()).output")
    (node,) = [node for node in exported.values() if node["class_type"] == "SCDM_PaintLayout"]
    assert set(np.unique(ids_in(node["inputs"]["painting"]))) == {0, 1, 2, 3}, "and runs do not wait for it"
    page.unroute("**/upload/image")
    page.evaluate("() => { AbortSignal.timeout = AbortSignal.usual; }")


def test_two_live_painters_do_not_stop_each_other(painter: Painter) -> None:
    page = painter.page
    page.evaluate(f"""() => {{
      const [node] = {PAINTERS};
      const others = ['SCDM_PaintLayout', 'SCDM_EditImage', 'PreviewImage'].map(type => LiteGraph.createNode(type));
      const model = app.graph._nodes.find(node => node.type === 'SCDM_LoadModel');
      const link = (from, to, name) => from.connect(0, to, to.inputs.findIndex(input => input.name === name));
      const [twin, edit, shown] = others;
      others.forEach((node, i) => {{ app.graph.add(node); node.pos = [380 + 500 * i, 800]; }});
      for (const node of [twin, edit]) link(model, node, 'model');
      link(twin, edit, 'layout');
      link(edit, shown, 'images');
      for (const each of [node, twin]) each.properties.scdm_live = true;
    }}""")
    painter.until("() => document.querySelectorAll('.scdm-board .scdm-layout').length === 2")
    page.evaluate(STROKES)
    painter.until(f"() => new Set(({VALUES})()).size === 2 && ({VALUES})().every(Boolean)")
    followed = "/^Image after/.test(board.querySelector('.scdm-board-bar p').textContent)"
    painter.until(f"() => [...document.querySelectorAll('.scdm-board')].every(board => {followed})", seconds=120)


def test_a_painting_that_cannot_be_fetched_is_not_painted_over(painter: Painter, server: Server) -> None:
    page = painter.page
    page.evaluate(NOISE, SCENES.colors[:4])
    painter.until(f"() => ({VALUES})()[0].endsWith('.png [input]')")
    value, saved = painter.value, page.evaluate("() => JSON.stringify(app.graph.serialize())")
    page.route("**/view?*", lambda route: route.abort())
    open_template(page, saved)
    painter.until("() => /^ComfyUI does not answer/.test(document.querySelector('.scdm-status').textContent)")
    painter.stroke(settles=False)
    page.wait_for_timeout(500)
    assert painter.value == value
    page.unroute("**/view?*")
    page.mouse.move(5, 5)
    page.locator(".scdm-board-bar").first.hover()
    painter.until("() => !document.querySelector('.scdm-board-painter').inert")
    painter.choose("flower")
    painter.stroke()
    now = f"({VALUES})()[0]"
    painter.until(f"value => {now} !== value && {now}.endsWith('.png [input]')", value)
    kept = paintings.read(server.base / "input" / painter.value.removesuffix(" [input]"))
    assert {0, 1, 2, 3} < set(np.unique(kept.ids))


def test_an_underlay_is_shown_over_the_layout(painter: Painter, server: Server) -> None:
    page = painter.page
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (200, 30, 30)).save(file, "PNG")
    (server.base / "input" / "photo.png").write_bytes(file.getvalue())
    page.evaluate(f"""() => {{
      const [node] = {PAINTERS};
      const photo = LiteGraph.createNode('LoadImage');
      app.graph.add(photo);
      photo.pos = [0, 600];
      photo.widgets.find(widget => widget.name === 'image').value = 'photo.png';
      photo.connect(0, node, node.inputs.findIndex(input => input.name === 'underlay'));
    }}""")
    page.mouse.move(5, 5)
    page.locator(".scdm-board").first.hover()
    painter.until("() => document.querySelector('.scdm-under')?.hidden === false")


def test_shots(painter: Painter) -> None:
    """Pictures for people who look at them: SCDM_SHOTS names a folder."""
    folder = os.environ.get("SCDM_SHOTS")
    if not folder:
        pytest.skip("SCDM_SHOTS does not name a folder")
    painter.live(True)
    painter.choose("flower")
    painter.stroke(0.8)
    painter.until(FOLLOWED, seconds=300)
    kind = (
        "nodes2" if painter.page.evaluate("() => !!document.querySelector('[data-node-id] .scdm-board')") else "classic"
    )
    painter.page.screenshot(path=str(Path(folder) / f"{kind}.png"))
