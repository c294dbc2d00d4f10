"""The painting page in a browser, at a server of its own: what a stroke leads to, and what survives whatever ends."""

from __future__ import annotations

import base64
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("aiohttp", reason="the extra paint is not installed: pip install -e '.[paint]'")

from scdm.layouts.palette import Palette
from scdm.models import checkpoint
from scdm.paint import pages
from tests.editing.test_session import build

SIDE = 48
FOLLOWED = "The image came after"
UNPAINTED = 65535


class Served:
    """`scdm paint` in a process of its own."""

    def __init__(self, model: Path):
        self.model = model
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}/"
        self.start()

    def start(self) -> None:
        options = ["--steps", "2", "--sampler", "ddim", "--size", f"{SIDE}x{SIDE}", "--no-browser", "--threads", "1"]
        command = [
            sys.executable,
            "-m",
            "scdm",
            "paint",
            "--model",
            str(self.model),
            "--port",
            str(self.port),
            *options,
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"Painting at {self.address} (Ctrl-C ends it)\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    checkpoint.save(path, build())
    return path


@pytest.fixture
def served(model: Path) -> Iterator[Served]:
    served = Served(model)
    yield served
    served.kill()


@pytest.fixture
def context(chromium: Any) -> Iterator[Any]:
    context = chromium.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(60_000)
    yield context
    context.close()


def wait(page: Any, expression: str, seconds: float = 60) -> None:
    """Until the expression is true. (Playwright's own way evaluates text in the page, which its policy forbids.)"""
    end = time.monotonic() + seconds
    while not page.evaluate(f"Boolean({expression})"):
        assert time.monotonic() < end, f"{expression} is not so after {seconds} s: {page.inner_text('#status')}"
        page.wait_for_timeout(20)


def opened(context: Any, served: Served) -> Any:
    page = context.new_page()
    page.goto(served.address)
    wait(page, "globalThis.page?.mine")
    return page


def stroke(page: Any, top: float = 0.3, key: str = "1") -> None:
    """A stroke across the canvas at this height, of the class with this key."""
    page.evaluate("document.querySelector('#painter .scdm-keys').focus()")
    page.keyboard.press(key)
    box = canvas(page).bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + top * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + top * box["height"], steps=5)
    page.mouse.up()


def canvas(page: Any) -> Any:
    """The painter's largest."""
    return max(page.query_selector_all("#painter canvas"), key=lambda each: (each.bounding_box() or {}).get("width", 0))


def followed(page: Any) -> None:
    """Waits until the image is that of the document."""
    wait(page, "page.isUpToDate")


def followed_by_another(page: Any, before: np.ndarray, seconds: float = 60) -> np.ndarray:
    """The next image that is not `before`. That it was asked for shows for moments only, on a fast machine for none."""
    end = time.monotonic() + seconds
    while np.array_equal(image(page), before):
        assert time.monotonic() < end, f"the image is as before after {seconds} s: {page.inner_text('#status')}"
        page.wait_for_timeout(20)
    followed(page)
    return image(page)


def ids(page: Any) -> np.ndarray:
    return np.array(page.evaluate("[...page.painter.document.ids]"))


def image(page: Any) -> np.ndarray:
    read = "[...image.getContext('2d').getImageData(0, 0, image.width, image.height).data]"
    return np.array(page.evaluate(read))


def test_the_image_follows_a_stroke_and_undo_and_nothing_comes_from_elsewhere(context: Any, served: Served) -> None:
    requests: list[str] = []
    errors: list[str] = []
    context.on("request", lambda request: requests.append(request.url))
    context.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page = opened(context, served)
    assert "The image appears here" in page.inner_text("#empty") and page.is_disabled("#paint")
    stroke(page)
    followed(page)
    assert FOLLOWED in page.inner_text("#status") and "to paint 100 % of it" in page.inner_text("#status")
    first_ids, first = ids(page), image(page)
    assert set(first_ids) == {0, UNPAINTED} and first.std() > 0
    stroke(page, 0.7, "2")
    second = followed_by_another(page, first)
    page.keyboard.press("Control+z")
    wait(page, "document.querySelector('#status').textContent.includes('as it was')")
    assert np.array_equal(ids(page), first_ids) and np.array_equal(image(page), first)
    page.keyboard.press("Control+y")
    wait(page, "page.asked.size || page.painter.document.ids.includes(1)")
    followed(page)
    assert np.array_equal(image(page), second)
    assert {url.split("/")[2] for url in requests if not url.startswith("blob:")} == {f"127.0.0.1:{served.port}"}
    assert errors == []


def test_a_finger_paints_and_two_zoom_the_layout_but_not_the_page(chromium: Any, served: Served) -> None:
    context = chromium.new_context(viewport={"width": 1024, "height": 768}, has_touch=True)
    context.set_default_timeout(60_000)
    page = opened(context, served)
    touches = context.new_cdp_session(page)
    box = canvas(page).bounding_box()

    def touch(kind: str, *shares: tuple[float, float]) -> None:
        """Shares of the canvas."""
        points = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": i}
            for i, (x, y) in enumerate(shares)
        ]
        touches.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})

    for kind, *shares in (("Start", (0.4, 0.5)), ("Move", (0.6, 0.5)), ("End",)):
        touch(kind, *shares)
    followed(page)
    before, zoom = ids(page), page.evaluate("page.painter.view.zoom")
    assert 0 in before and image(page).std() > 0
    for kind, *shares in (("Start", (0.4, 0.5), (0.6, 0.5)), ("Move", (0.2, 0.5), (0.8, 0.5)), ("End",)):
        touch(kind, *shares)
    wait(page, f"page.painter.view.zoom > 2 * {zoom}")
    assert page.evaluate("visualViewport.scale") == 1 and np.array_equal(ids(page), before)
    context.close()


def test_a_reload_keeps_painting_image_and_settings(context: Any, served: Served) -> None:
    page = opened(context, served)
    page.fill("#seed", "77")
    page.press("#seed", "Enter")
    stroke(page)
    followed(page)
    before = ids(page), image(page)
    page.wait_for_timeout(200)  # the record is written
    page.reload()
    wait(page, "globalThis.page?.mine")
    followed(page)
    assert np.array_equal(ids(page), before[0]) and np.array_equal(image(page), before[1])
    assert page.input_value("#seed") == "77"


def test_nothing_painted_shows_no_image_whatever_was_under_way(context: Any, served: Served) -> None:
    page = opened(context, served)
    stroke(page)
    page.evaluate("page.painter.undo()")
    wait(page, "!page.asked.size && document.querySelector('#status').textContent === 'Ready.'")
    page.wait_for_timeout(1500)  # in which the image of the stroke would come
    assert page.is_visible("#empty") and page.inner_text("#status") == "Ready." and page.is_disabled("#download")
    page.evaluate("page.painter.redo()")
    followed(page)
    assert not page.is_visible("#empty") and image(page).std() > 0
    page.evaluate("page.painter.clear()")
    wait(page, "!page.image")
    page.wait_for_timeout(200)  # the record is written
    page.reload()
    wait(page, "globalThis.page?.mine")
    page.wait_for_timeout(500)  # in which the server's session would come back
    assert set(ids(page)) == {UNPAINTED} and page.is_visible("#empty") and page.is_disabled("#download")


def test_undo_ends_at_what_a_reload_brought_back(context: Any, served: Served) -> None:
    page = opened(context, served)
    stroke(page)
    followed(page)
    before = ids(page)
    page.wait_for_timeout(200)  # the record is written
    page.reload()
    wait(page, "globalThis.page?.mine")
    page.evaluate("page.painter.undo()")
    assert np.array_equal(ids(page), before)


def test_undo_of_another_model_chooses_the_one_before(context: Any, served: Served) -> None:
    page = opened(context, served)
    page.uncheck("#live")
    stroke(page, key="2")
    page.evaluate("page.note('The model was taught images of 16x16 pixels.')")
    page.select_option("#model", "scenes-fast")
    assert page.inner_text("#note") == "The model has no sea: unpainted now. Undo brings it back."
    page.evaluate("page.painter.undo()")
    assert page.input_value("#model") == "tiny" and set(ids(page)) == {1, UNPAINTED} and not page.is_visible("#note")
    page.evaluate("page.painter.redo()")
    assert page.input_value("#model") == "scenes-fast", "and not another of the same classes"


def test_a_killed_server_costs_nothing_but_the_update_that_ran(context: Any, served: Served) -> None:
    page = opened(context, served)
    stroke(page, 0.2)
    followed(page)
    first = image(page)
    page.fill("#seed", "77")
    page.press("#seed", "Enter")
    before = followed_by_another(page, first).reshape(SIDE, SIDE, 4)
    served.kill()
    wait(page, "document.querySelector('#status').textContent.startsWith('The server does not answer')")
    stroke(page, 0.9, "2")
    painted = ids(page)
    assert set(painted) == {0, 1, UNPAINTED}
    page.wait_for_timeout(200)
    served.start()
    wait(page, "page.mine")
    wait(page, "document.querySelector('#status').textContent.startsWith('The image came after')")
    followed(page)
    assert np.array_equal(ids(page), painted) and page.input_value("#seed") == "77"
    after = image(page).reshape(SIDE, SIDE, 4)
    assert np.array_equal(after[: SIDE // 3], before[: SIDE // 3]), "only what changed is painted anew"
    assert not np.array_equal(after[-SIDE // 5 :], before[-SIDE // 5 :])


def test_a_second_window_may_take_over_and_finds_the_painting(context: Any, served: Served) -> None:
    first = opened(context, served)
    stroke(first)
    followed(first)
    first.wait_for_timeout(200)
    second = context.new_page()
    second.goto(served.address)
    second.click("#take")
    wait(second, "globalThis.page?.mine")
    followed(second)
    assert np.array_equal(ids(second), ids(first)) and np.array_equal(image(second), image(first))
    first.bring_to_front()
    first.wait_for_selector("#elsewhere[open]")
    stroke(second, 0.8, "2")
    followed(second)
    second.wait_for_timeout(200)
    first.click("#take")
    wait(first, "globalThis.page.mine")
    wait(first, "page.painter.document.ids.includes(1)")


def test_another_browser_finds_what_is_painted(chromium: Any, context: Any, served: Served) -> None:
    first = opened(context, served)
    stroke(first)
    followed(first)
    other = chromium.new_context()
    second = other.new_page()
    second.goto(served.address)
    second.click("#take")
    wait(second, "globalThis.page?.mine && page.image")
    followed(second)
    assert np.array_equal(ids(second), ids(first)) and np.array_equal(image(second), image(first))
    other.close()


def test_a_session_is_saved_and_opened_through_the_page(context: Any, served: Served, tmp_path: Path) -> None:
    page = opened(context, served)
    stroke(page)
    followed(page)
    before = ids(page), image(page)
    with page.expect_download() as download:
        page.click("#save")
    download.value.save_as(tmp_path / "painting.scdm")
    stroke(page, 0.7, "3")
    followed(page)
    page.set_input_files("#file", tmp_path / "painting.scdm")
    wait(page, "!page.painter.document.ids.includes(2)")
    followed(page)
    assert np.array_equal(ids(page), before[0]) and np.array_equal(image(page), before[1])
    (tmp_path / "none").write_bytes(b"none")
    page.set_input_files("#file", tmp_path / "none")
    wait(page, "document.querySelector('#status').textContent.startsWith('The file is no session')")
    assert np.array_equal(ids(page), before[0])


def test_a_seed_that_is_left_out_is_shown_as_0(context: Any, served: Served) -> None:
    page = opened(context, served)
    page.fill("#seed", "")
    page.press("#seed", "Tab")
    assert page.input_value("#seed") == "0"


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_mark_of_a_ticked_box_stands_out(chromium: Any, served: Served, scheme: str) -> None:
    context = chromium.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(served.address)
    mark, box = page.evaluate("""() => ["::before", null].map((part) =>
      getComputedStyle(document.querySelector("#live"), part).backgroundColor.match(/[\\d.]+/g).map(Number))""")
    context.close()
    assert contrast(mark, box) >= 6


def contrast(*colors: list[float]) -> float:
    """Of two colours, [r, g, b], as WCAG 2 defines it."""
    levels = [np.array(color[:3]) / 255 for color in colors]
    linear = [np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4) for level in levels]
    dark, light = sorted(float(each @ [0.2126, 0.7152, 0.0722]) for each in linear)
    return (light + 0.05) / (dark + 0.05)


DROP = """([at, name, text]) => {
  const dataTransfer = new DataTransfer();
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  dataTransfer.items.add(new File([bytes], name));
  const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
  document.querySelector(at).dispatchEvent(event);
  return event.defaultPrevented;
}"""


def test_a_dropped_file_never_takes_the_place_of_the_page(context: Any, served: Served, tmp_path: Path) -> None:
    page = opened(context, served)
    stroke(page)
    followed(page)
    before = ids(page)
    with page.expect_download() as download:
        page.click("#save")
    content = base64.b64encode(Path(download.value.path()).read_bytes()).decode()
    assert page.evaluate(DROP, ["#image", "layout.png", ""])
    assert page.inner_text("#status").startswith("Drop layouts on the painter")
    page.uncheck("#live")
    stroke(page, 0.7, "3")
    assert page.evaluate(DROP, ["#painter .scdm-stage", "painting.scdm", content])
    wait(page, "!page.painter.document.ids.includes(2)")
    assert np.array_equal(ids(page), before)


def test_a_layout_in_another_palettes_colours_is_recognised_and_translated(context: Any, served: Served) -> None:
    page = opened(context, served)
    page.uncheck("#live")
    page.select_option("#model", "scenes-fast")
    ade20k = Palette.named("ade20k")
    colors = [ade20k.colors[ade20k.names.index(name)] for name in ("sky", "wall")]
    file = io.BytesIO()
    Image.fromarray(np.array(colors, np.uint8).repeat(8, 0).repeat(8, 0).reshape(16, 8, 3)).save(file, "PNG")
    page.evaluate(DROP, ["#painter .scdm-stage", "layout.png", base64.b64encode(file.getvalue()).decode()])
    page.get_by_text("The picture is a layout in the colours of ade20k.", exact=True).wait_for()
    assert "Here by name: sky. Unpainted for want of a class: wall." in page.inner_text("#painter form:visible")
    page.click("#painter >> text=Translate")
    assert set(ids(page)) == {0, UNPAINTED}
    page.evaluate("page.painter.clear()")
    for call in ("page.painter.resize(4097, 8)", "page.painter.resize(8, 4097)"):
        assert "up to 4096 pixels a side" in page.evaluate(
            f"(() => {{ try {{ {call} }} catch (error) {{ return error.message; }} }})()"
        )


def test_the_painter_hears_keys_from_the_start_and_undo_from_anywhere(context: Any, served: Served) -> None:
    page = opened(context, served)
    page.uncheck("#live")
    page.reload()
    wait(page, "globalThis.page?.mine")
    page.keyboard.press("e")
    assert page.inner_text("#painter .scdm-status").startswith("Eraser")
    stroke(page, key="2")
    page.focus("#paint")
    page.keyboard.press("Control+z")
    assert set(ids(page)) == {UNPAINTED}
    page.keyboard.press("Control+Shift+z")
    assert set(ids(page)) == {1, UNPAINTED}
    page.focus("#seed")
    page.keyboard.press("Control+z")
    assert set(ids(page)) == {1, UNPAINTED}, "there it is the text's"


def test_a_slow_model_says_how_long_it_takes_and_waits_to_be_asked(context: Any, served: Served) -> None:
    script = (pages.folder() / "page" / "page.mjs").read_text(encoding="utf-8")
    slow = script.replace("const SLOW = 10;", "const SLOW = 0;").replace("SLOW_WHOLE = 30;", "SLOW_WHOLE = 0;")
    assert len(slow) == len(script) - 2
    context.route("**/page.mjs", lambda route: route.fulfill(body=slow, content_type="text/javascript"))
    page = opened(context, served)
    stroke(page)
    followed(page)
    assert not page.is_checked("#live") and "An image takes about" in page.inner_text("#note")
    first = image(page)
    stroke(page, 0.7, "2")
    followed(page)
    assert np.array_equal(image(page), first) and "Paint image brings it up to date" in page.inner_text("#status")
    page.click("#paint")
    followed(page)
    assert not np.array_equal(image(page), first)
    page.evaluate("page.painter.undo()")
    followed(page)
    assert np.array_equal(image(page), first), "what is known costs nothing"
    page.check("#live")
    stroke(page, 0.5, "3")
    followed(page)
    assert page.is_checked("#live"), "who insists has live images"


def test_a_preview_that_is_decoded_late_does_not_cover_its_image(context: Any, served: Served) -> None:
    page = opened(context, served)
    page.evaluate("""() => {
      const decoded = createImageBitmap;
      globalThis.late = [];
      globalThis.createImageBitmap = async (source, ...more) => {
        const bitmap = await decoded(source, ...more);
        if (source.type !== "image/jpeg") return bitmap;
        const wait = new Promise((done) => setTimeout(done, 1500));
        late.push(wait);
        return wait.then(() => bitmap);
      };
    }""")
    stroke(page)
    followed(page)
    finished = image(page)
    assert page.evaluate("Promise.all(late).then((all) => all.length)") > 0, "there were previews"
    assert np.array_equal(image(page), finished)


def test_again_here_is_within_reach_of_the_keyboard_alone(context: Any, served: Served) -> None:
    page = opened(context, served)
    stroke(page)
    followed(page)
    before = image(page).reshape(SIDE, SIDE, 4)
    reached = reach(page, "frame")
    assert reached, "the image takes the focus"
    for key in ("Enter", "ArrowRight", "Shift+ArrowDown"):
        page.keyboard.press(key)
    assert page.inner_text("#again") == "Again here"
    assert reach(page, "again", "Shift+Tab")
    page.keyboard.press("Enter")
    after = followed_by_another(page, before.ravel()).reshape(SIDE, SIDE, 4)
    assert np.array_equal(after[:6], before[:6])
    assert reach(page, "earlier")
    page.keyboard.press("Enter")
    wait(page, "document.querySelector('#status').textContent.includes('as it was')")
    assert np.array_equal(image(page).reshape(SIDE, SIDE, 4), before)


def reach(page: Any, wanted: str, key: str = "Tab") -> bool:
    """Goes on with the key until the focus is there."""
    for _ in range(200):
        if page.evaluate("document.activeElement.id") == wanted:
            return True
        page.keyboard.press(key)
    return False


@pytest.mark.skipif(os.name == "nt", reason="signals are not sent so on Windows")
def test_an_interrupt_ends_the_server_in_silence(model: Path) -> None:
    served = Served(model)
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(timeout=30) == 0
    assert served.process.stdout is not None and served.process.stdout.read() == ""
