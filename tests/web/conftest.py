"""Pages of nothing but painters."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.browser import chromium, served

UNPAINTED = 65535
OPEN = """async ({at, ...options}) => {
  const { Painter } = await import("/painter/painter.mjs");
  const root = document.createElement("div");
  Object.assign(root.style, { width: `${at[0]}px`, height: `${at[1]}px` });
  document.body.append(root);
  const painter = new Painter(root, options);
  globalThis.painters = [...(globalThis.painters ?? []), painter];
  painter.edits = [];
  painter.addEventListener("edit", ({ detail }) => painter.edits.push(detail));
  const styles = document.querySelector("link[rel=stylesheet]");
  if (!styles.sheet) await new Promise(there => styles.addEventListener("load", there));
  await new Promise(requestAnimationFrame);
  painter.view.resize();
}"""
PLACE = """([number, x, y]) => {
  const { view } = painters[number];
  const { left, top } = view.stage.getBoundingClientRect();
  const [across, down] = view.toCanvas({ x, y });
  return [left + across / view.scale, top + down / view.scale];
}"""
IDS = """number => {
  const bytes = new Uint8Array(painters[number].document.ids.buffer);
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
}"""
LOAD = """async ([number, text]) => {
  const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
  await painters[number].load(new Blob([bytes]));
}"""
SAVE = """async number => {
  const bytes = new Uint8Array(await (await painters[number].toBlob()).arrayBuffer());
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
}"""


class Board:
    """A painter on a page, used as a person does: places are pixels of its document."""

    def __init__(self, page: Any, number: int):
        self.page, self.number = page, number
        self.root = page.locator(".scdm-painter").nth(number)
        self.keys = page.keyboard

    @property
    def ids(self) -> np.ndarray:
        """(H, W)"""
        height, width = self.get("[document.height, document.width]")
        content = base64.b64decode(self.page.evaluate(IDS, self.number))
        return np.frombuffer(content, "<u2").reshape(height, width).astype(np.int64)

    def get(self, expression: str) -> Any:
        """What an expression says about the painter: `document`, `edits`, `view`."""
        inside = f"({{document, edits, view}}) => {expression}"
        return self.page.evaluate(f"number => ({inside})(painters[number])", self.number)

    def do(self, call: str, *arguments: Any) -> Any:
        return self.page.evaluate(f"([number, values]) => painters[number].{call}(...values)", [self.number, arguments])

    def place(self, x: float, y: float) -> list[float]:
        return self.page.evaluate(PLACE, [self.number, x, y])

    def drag(self, *places: tuple[float, float], button: str = "left") -> None:
        self.page.mouse.move(*self.place(*places[0]))
        self.page.mouse.down(button=button)
        for place in places[1:]:
            self.page.mouse.move(*self.place(*place), steps=3)
        self.page.mouse.up(button=button)

    def click(self, x: float, y: float) -> None:
        self.page.mouse.click(*self.place(x, y))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.keys.press(key)

    def focus(self) -> None:
        self.root.locator(".scdm-keys").focus()

    def load(self, content: bytes) -> None:
        self.page.evaluate(LOAD, [self.number, base64.b64encode(content).decode()])

    def save(self) -> bytes:
        return base64.b64decode(self.page.evaluate(SAVE, self.number))

    @property
    def size(self) -> int:
        """Of the brush, in pixels of the document."""
        return self.page.evaluate("number => painters[number].brushSize", self.number)

    @property
    def options(self) -> list[str]:
        """The names in the list of classes."""
        return self.root.locator("[role=option] > span:nth-child(2)").all_inner_texts()

    @property
    def focused(self) -> str:
        return self.page.evaluate("document.activeElement.className + ' ' + document.activeElement.ariaLabel")

    @property
    def status(self) -> str:
        return self.root.locator("[role=status]").text_content()


@pytest.fixture(scope="module", name="chromium")  # not of the session: meanwhile no other test has an event loop
def _chromium() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def address() -> Iterator[str]:
    with served() as address:
        yield address


@pytest.fixture
def blank(chromium: Any, address: str) -> Iterator[Any]:
    """A page without anything, which no error may occur on."""
    context = chromium.new_context(viewport={"width": 1000, "height": 900}, has_touch=True)
    context.set_default_timeout(60_000)
    page = context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    yield page
    context.close()
    assert errors == []


def classes(count: int) -> list[dict[str, Any]]:
    """Class 0, class 1, ..., of colours that differ by more than a painter takes for the same."""
    return [{"name": f"class {i}", "color": [40 * (i % 7), 40 * (i // 7 % 7), 40 * (i // 49)]} for i in range(count)]


@pytest.fixture
def painter(blank: Any) -> Callable[..., Board]:
    """Puts a painter onto the page."""

    def put(
        width: int = 64,
        height: int = 48,
        count: int = 14,
        compact: bool = False,
        at: tuple[int, int] = (900, 640),
        names: list[dict[str, Any]] | None = None,
        **more: Any,
    ) -> Board:
        options = more | {
            "width": width,
            "height": height,
            "classes": classes(count) if names is None else names,
            "compact": compact,
            "at": at,
        }
        blank.evaluate(OPEN, options)
        return Board(blank, blank.evaluate("painters.length - 1"))

    return put
