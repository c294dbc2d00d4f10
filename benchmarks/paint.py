"""How long an image takes to follow a stroke on the page of `scdm paint`, from the end of the stroke until it is drawn.

    python benchmarks/paint.py --sizes 256 512
    python benchmarks/paint.py --sizes 512 --strokes 0 --screenshot docs/images/paint.png
    python benchmarks/paint.py --comfyui --sizes 256 512

Paints in a Chromium without a window, with the mouse, on a page whose canvas holds an example. "fast strokes" end every 0.3
seconds: how many of their images are shown, and how long the last one takes. Needs the extras paint and dev, and Chromium.
With --comfyui the same strokes go to Paint Layout in the template workflows/paint.json, in the ComfyUI of COMFYUI_DIR and
COMFYUI_PYTHON with its own front end or that of COMFYUI_FRONT_END.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where tests/browser.py is

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("paint")

import base64
import io
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

from scdm.files.arguments import Parser
from scdm.layouts import paintings
from scdm.layouts.reading import read_layout
from scdm.models import checkpoint
from scdm.training.command import ending
from tests.browser import found

EXAMPLE = Path(__file__).resolve().parents[1] / "scdm" / "assets" / "examples" / "landscape.png"
WINDOW = {"width": 1280, "height": 800}
FAST, PAUSE = 12, 0.3  # strokes, and seconds from one to the next
TEMPLATE = Path(__file__).resolve().parents[1] / "workflows" / "paint.json"
OPEN = """async graph => {
  await app.loadGraphData(graph);
  app.canvas.ds.scale = 0.7;
  app.canvas.ds.offset = [-300, 120];
  app.canvas.setDirty(true, true);
}"""
# Milliseconds from the end of the last stroke until its first preview and its image were shown, and those of its run. A
# preview is a blob, an image a file of the server.
WATCH = """() => {
  let shown = null, end = 0, began = 0;
  const element = () => document.querySelector(".scdm-board-picture img");
  globalThis.times = {};
  addEventListener("pointerup", () => {
    globalThis.times = {};
    end = performance.now();
    shown = element();
  }, true);
  new MutationObserver(() => {
    if (element() === shown) return;
    shown = element();
    if (shown) times[shown.src.startsWith("blob:") ? "preview" : "image"] ??= performance.now() - end;
  }).observe(document.body, { childList: true, subtree: true });
  app.api.addEventListener("execution_start", () => (began = performance.now()));
  app.api.addEventListener("execution_success", () => (times.run = performance.now() - began));
}"""
LOAD = """async text => {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  await page.painter.load(new Blob([bytes], {type: "image/png"}));
}"""


@ending("paint")
def main() -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("--model", default="scenes-fast", help="embedded model or file (default %(default)s)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512], help="of square canvases")
    parser.add_argument("--strokes", type=int, default=9, help="that are timed (default %(default)s)")
    parser.add_argument("--screenshot", type=Path, metavar="FILE", help="of the page at the last size, 1280x800")
    parser.add_argument("--comfyui", action="store_true", help="time the node in ComfyUI instead of the page")
    parser.add_argument("--dark", action="store_true", help="take it of the dark theme")
    arguments = parser.parse_args()
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(
        f"{os.cpu_count()} cores at a load of {load:.1f} before, model {arguments.model}, medians (and ranges) of "
        f"{arguments.strokes} strokes\n"
    )
    if arguments.comfyui:
        return in_comfyui(arguments.model, arguments.sizes, arguments.strokes, arguments.screenshot)
    print("| canvas | first image, s | stroke to image, s | of it painting, s | undo to image, s | fast strokes |")
    print("| --- | --- | --- | --- | --- | --- |")
    with page_at(arguments.model, arguments.dark) as page:
        for size in arguments.sizes:
            print(row(page, arguments.model, size, arguments.strokes), flush=True)
        if arguments.screenshot:
            page.mouse.move(0, 0)
            page.wait_for_timeout(300)  # while the bar of progress goes
            page.screenshot(path=arguments.screenshot)
    return 0


@contextmanager
def page_at(model: str, dark: bool = False) -> Iterator[Any]:
    """A page in a browser, at a server of its own."""
    from playwright.sync_api import sync_playwright

    browser = found()
    if browser is None:
        raise ValueError("there is no Chromium here: install one, or name it in CHROMIUM")
    command = [sys.executable, "-m", "scdm", "paint", "--model", model, "--port", "0", "--no-browser"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().split()[2]
        with sync_playwright() as tools, tempfile.TemporaryDirectory() as profile:
            look: Any = {"viewport": WINDOW, "color_scheme": "dark" if dark else "light"}
            context = tools.chromium.launch_persistent_context(
                profile, executable_path=browser, args=["--no-sandbox"], **look
            )
            page = context.new_page()
            page.goto(address)
            wait(page, "globalThis.page?.mine")
            yield page
            context.close()
    finally:
        server.kill()
        server.wait()


def row(page: Any, model: str, size: int, strokes: int) -> str:
    page.evaluate("page.insisted = true")  # slow or not, images are live
    page.evaluate(LOAD, example(model, size))
    first = followed(page)
    times, painting, undone = [], [], []
    for number in range(strokes):
        stroke(page, number)
        times.append(followed(page))
        painting.append(page.evaluate("page.spent"))
    if strokes:
        page.keyboard.press("Control+z")
        undone.append(followed(page))
    cells = (f"{size}x{size}", f"{first:.2f}", *map(spread, (times, painting, undone)), hasty(page, strokes))
    return f"| {' | '.join(cells)} |"


def in_comfyui(model: str, sizes: list[int], strokes: int, screenshot: Path | None) -> int:
    print("| canvas | first image, s | stroke to image, s | of it the run, s | to the first preview, s |")
    print("| --- | --- | --- | --- | --- |")
    with comfyui_page() as page:
        for size in sizes:
            print(comfyui_row(page, model, size, strokes), flush=True)
        if screenshot:
            page.screenshot(path=screenshot)
    return 0


@contextmanager
def comfyui_page() -> Iterator[Any]:
    """The front end of a ComfyUI of its own, in a browser that notes when strokes end and images come."""
    from playwright.sync_api import sync_playwright

    from tests.nodes.server import READY, Server

    browser, checkout, python = found(), os.environ.get("COMFYUI_DIR"), os.environ.get("COMFYUI_PYTHON")
    if not (browser and checkout and python):
        raise ValueError("this needs a Chromium, and a ComfyUI: COMFYUI_DIR names it, COMFYUI_PYTHON what runs it")
    with tempfile.TemporaryDirectory() as base, sync_playwright() as tools:
        server = Server(checkout, python, Path(base))
        try:
            launched = tools.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            look: Any = {"viewport": WINDOW}
            page = launched.new_page(**look)
            server.request("/api/settings/Comfy.TutorialCompleted", True)
            page.goto(server.url, wait_until="domcontentloaded")
            wait(page, READY)
            page.evaluate(WATCH)
            yield page
            launched.close()
        finally:
            server.stop()


def comfyui_row(page: Any, model: str, size: int, strokes: int) -> str:
    page.keyboard.press("Escape")  # what the front end greets with
    page.evaluate(OPEN, comfyui_graph(model, size))
    wait(page, "document.querySelector('.scdm-board .scdm-layout')")
    page.wait_for_timeout(1000)  # the painter has opened its document
    told = [comfyui_stroke(page, number) for number in range(strokes + 1)]
    first, rest = told[0], told[1:]
    columns = [[each[name] for each in rest if name in each] for name in ("image", "run", "preview")]
    return f"| {size}x{size} | {first['image']:.2f} | {' | '.join(map(spread, columns))} |"


def comfyui_graph(model: str, size: int) -> dict[str, Any]:
    """The template with the example at this size."""
    graph: dict[str, Any] = json.loads(TEMPLATE.read_text(encoding="utf-8"))
    nodes = {node["type"]: node for node in graph["nodes"]}
    nodes["SCDM_LoadModel"]["widgets_values"][0] = model
    document = "data:image/png;base64," + example(model, size)
    nodes["SCDM_PaintLayout"]["widgets_values"][1:4] = [size, size, document]
    return graph


def comfyui_stroke(page: Any, number: int) -> dict[str, float]:
    """Seconds from the end of a stroke to its image and the first preview, and those of its run."""
    box = page.query_selector(".scdm-board .scdm-stage").bounding_box()
    page.evaluate("document.querySelector('.scdm-board .scdm-keys').focus()")
    drag(page, box, number)
    wait(page, "times.run && times.image")
    return {name: value / 1000 for name, value in page.evaluate("times").items()}


def spread(times: list[float]) -> str:
    if not times:
        return ""
    one = f"{median(times):.2f}"
    return one if len(times) == 1 else f"{one} ({min(times):.2f} to {max(times):.2f})"


def hasty(page: Any, strokes: int) -> str:
    """What becomes of strokes that do not wait for images."""
    if not strokes:
        return ""
    before = page.evaluate("page.images")
    for number in range(FAST):
        start = time.monotonic()
        stroke(page, number + strokes)
        page.wait_for_timeout(1000 * max(0.0, PAUSE - (time.monotonic() - start)))
    last = followed(page)
    return f"{page.evaluate('page.images') - before} of {FAST}, the last after {last:.2f} s"


def example(model: str, size: int) -> str:
    """The example as a document of the painter, in base64."""
    with checkpoint.model_file(model) as path:
        palette = checkpoint.read_header(path).palette
    labels = read_layout(EXAMPLE, palette).reduced(size, size)
    document = io.BytesIO()
    paintings.write(document, palette, labels.ids[0].numpy())
    return base64.b64encode(document.getvalue()).decode()


def stroke(page: Any, number: int) -> None:
    """A short one, each elsewhere and of another class."""
    canvases = page.query_selector_all("#painter canvas")
    box = max((canvas.bounding_box() for canvas in canvases), key=lambda each: each["width"] if each else 0)
    page.evaluate("document.querySelector('#painter .scdm-keys').focus()")
    drag(page, box, number)


def drag(page: Any, box: dict[str, float], number: int) -> None:
    x = box["x"] + (0.2 + 0.07 * (number % 9)) * box["width"]
    y = box["y"] + (0.25 + 0.11 * (number % 5)) * box["height"]
    page.keyboard.press(str(1 + number % 8))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 0.1 * box["width"], y, steps=6)
    page.mouse.up()


def followed(page: Any) -> float:
    """Waits for the image of the newest document: the seconds that it took."""
    wait(page, "page.isUpToDate")
    return float(page.evaluate("page.latency"))


def wait(page: Any, expression: str) -> None:
    """Until the expression is true. (Playwright's own way evaluates text in the page, which its policy forbids.)"""
    while not page.evaluate(f"Boolean({expression})"):
        page.wait_for_timeout(10)


if __name__ == "__main__":
    sys.exit(perform(main))
