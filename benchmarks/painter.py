"""How long the frames of a stroke take in the painter, while the mouse moves, at several sizes of layout and brush.

    python benchmarks/painter.py
    python benchmarks/painter.py --sizes 2048 --brushes 300 --screenshot painter.png

Paints in a Chromium without a window, with the mouse, on a layout of many shapes. "script" is what the painter itself takes
in a frame: painting into the ids, and drawing what has changed. "interval" is the time from one frame to the next while the
mouse moves; a screen of 60 frames a second leaves 16.7 ms. Needs the extra dev, and Chromium.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # where tests/browser.py is

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("painter")

import os
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median, quantiles
from typing import Any

from scdm.files.arguments import Parser
from scdm.layouts.palette import Palette
from scdm.training.command import ending
from tests.browser import found, served

OPEN = """async ({side, classes, shapes}) => {
  const { Painter } = await import("/painter/painter.mjs");
  globalThis.painter?.destroy();
  const root = document.querySelector("body");
  Object.assign(root.style, { margin: 0, width: "900px", height: "800px" });
  globalThis.painter = new Painter(root, { classes, width: side, height: side });
  const layout = painter.document;
  for (const [x, y, size, id] of shapes) {
    layout.line({ x: x * side, y: y * side, size: 1 }, { x: y * side, y: x * side, size: size * side }, id);
  }
  layout.commit();
  painter.view.redraw();
  const timed = (target, name) => {
    const own = target[name].bind(target);
    target[name] = (...values) => {
      const start = performance.now();
      const told = own(...values);
      frame.script += performance.now() - start;
      return told;
    };
  };
  globalThis.frame = { script: 0, last: 0 };
  globalThis.frames = [];
  timed(layout, "line");
  timed(layout, "commit");
  timed(painter.view, "draw");
  const tell = now => {
    frames.push([frame.script, now - frame.last]);
    globalThis.frame = { script: 0, last: now };
    requestAnimationFrame(tell);
  };
  requestAnimationFrame(tell);
}"""


@ending("painter")
def main() -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 2048], help="of square layouts")
    parser.add_argument("--brushes", type=int, nargs="+", default=[24, 300], help="sizes of the brush in pixels")
    parser.add_argument("--strokes", type=int, default=4, help="of about 60 movements each (default %(default)s)")
    parser.add_argument("--screenshot", type=Path, metavar="FILE", help="of the painter at the last size, 900x800")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, medians (95 %, most) of frames in which a stroke moves\n")
    print("| layout | brush, pixels | zoom | script, ms | interval, ms | undo, ms |")
    print("| --- | --- | --- | --- | --- | --- |")
    with page_of_painter() as page:
        for side in arguments.sizes:
            for brush in arguments.brushes:
                for zoom in (None, 1):
                    print(row(page, side, brush, zoom, arguments.strokes), flush=True)
        if arguments.screenshot:
            page.screenshot(path=arguments.screenshot)
    return 0


@contextmanager
def page_of_painter() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    browser = found()
    if browser is None:
        raise ValueError("there is no Chromium here: install one, or name it in CHROMIUM")
    with served() as address, sync_playwright() as tools:
        running = tools.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = running.new_page(viewport={"width": 900, "height": 800})
        page.goto(address)
        yield page
        running.close()


def row(page: Any, side: int, brush: int, zoom: float | None, strokes: int) -> str:
    palette = Palette.named("ade20k")
    classes = [{"name": name, "color": color} for name, color in zip(palette.names, palette.colors, strict=True)]
    shapes = [[(37 * i % 97) / 97, (53 * i % 89) / 89, 0.02 + (i % 7) / 60, i % 150] for i in range(400)]
    page.evaluate(OPEN, {"side": side, "classes": classes, "shapes": shapes})
    page.wait_for_timeout(500)
    if zoom:
        page.evaluate("zoom => painter.view.zoomTo(zoom)", zoom)
    page.evaluate("size => painter.brushSize = size", brush)
    frames = [frame for i in range(strokes) for frame in stroke(page, i)]
    undo = page.evaluate("() => { const at = performance.now(); painter.undo(); return performance.now() - at; }")
    shown = "whole" if zoom is None else f"{round(100 * zoom)} %"
    script, interval = ([frame[i] for frame in frames] for i in (0, 1))
    return f"| {side} | {brush} | {shown} | {spread(script)} | {spread(interval)} | {undo:.1f} |"


def stroke(page: Any, number: int) -> list[list[float]]:
    """[script, interval] in ms of each frame of a stroke in which something was painted."""
    page.keyboard.press(str(1 + number % 9))
    page.evaluate("frames.length = 0")
    page.mouse.move(120, 150 + 60 * number)
    page.mouse.down()
    page.mouse.move(600, 700 - 60 * number, steps=40)
    page.mouse.move(560, 120, steps=20)
    page.mouse.up()
    return [frame for frame in page.evaluate("frames") if frame[0] > 0]


def spread(values: list[float]) -> str:
    return f"{median(values):.1f} ({quantiles(values, n=20)[-1]:.1f}, {max(values):.1f})"


if __name__ == "__main__":
    perform(main)
