"""The painter in a browser: what tools, keys, fingers and hosts do to its document, and that Python reads what it writes."""

from __future__ import annotations

import base64
import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scdm.layouts import paintings
from scdm.layouts.palette import Palette

from .conftest import UNPAINTED, Board, classes

Put = Callable[..., Board]
HOST = """() => {
  globalThis.host = { keys: [], undone: 0, moved: 0 };
  window.addEventListener("keydown", ({ key }) => key === "Control" || host.keys.push(key));
  for (const type of ["pointerdown", "wheel", "dblclick"]) window.addEventListener(type, () => host.moved++);
  window.addEventListener("keydown", event => {
    if (event.ctrlKey && event.key === "z" && document.activeElement.tagName !== "INPUT") host.undone++;
  }, true);
}"""


def disc(board: Board, x: float, y: float, size: int) -> np.ndarray:
    """The pixels whose centres a round brush covers."""
    rows, columns = np.indices(board.ids.shape) + 0.5
    return np.hypot(columns - x, rows - y) <= size / 2


def set_size(board: Board, size: int) -> None:
    board.focus()
    board.page.evaluate("([number, size]) => painters[number].brushSize = size", [board.number, size])


def test_brackets_change_the_size_by_steps_that_grow_with_it(painter: Put) -> None:
    board = painter()
    board.focus()
    sizes = []
    for key in "]]]]]]]]]]]]]]]]]]]]":
        board.press(key)
        sizes.append(board.size)
    steps = np.diff(sizes)
    assert steps[0] == 1 and steps[-1] > 2 and (np.diff(steps) >= 0).all()
    board.press(*"[[")
    assert board.size < sizes[-1]
    assert board.root.locator(".scdm-bar output").text_content() == f"{board.size} px"
    set_size(board, 1)
    board.press("[")
    assert board.size == 1


def test_a_click_paints_a_disc_of_the_size_shown_without_anti_aliasing(painter: Put) -> None:
    board = painter()
    set_size(board, 8)
    board.press("3")
    board.click(20, 20)
    expected = np.where(disc(board, 20, 20, 8), 2, UNPAINTED)
    assert np.array_equal(board.ids, expected)
    assert board.get("edits") == [{"x": 16, "y": 16, "width": 8, "height": 8}]


def test_a_stroke_has_no_gaps_and_is_one_step(painter: Put) -> None:
    board = painter()
    set_size(board, 1)
    board.drag((2.5, 3.5), (60.5, 30.5))
    painted = board.ids == 0
    assert painted.any(0)[2:61].all(), "every column that it crosses"
    assert board.get("edits.length") == 1
    board.press("Control+z")
    assert (board.ids == UNPAINTED).all()
    board.press("Control+Shift+z")
    assert np.array_equal(board.ids == 0, painted)
    board.press("Control+z", "Control+y", "Control+y")
    assert np.array_equal(board.ids == 0, painted)
    assert board.status == "Nothing to redo."


def test_fill_line_rectangle_and_polygon(painter: Put) -> None:
    board = painter()
    board.focus()
    board.press("r", "2")
    board.drag((10.5, 10.5), (29.5, 19.5))
    expected = np.full((48, 64), UNPAINTED)
    expected[10:20, 10:30] = 1
    assert np.array_equal(board.ids, expected)
    board.press("f", "3")
    board.click(50, 40)
    board.press("4")
    board.click(15, 15)
    expected[expected == UNPAINTED] = 2
    expected[10:20, 10:30] = 3
    assert np.array_equal(board.ids, expected)
    set_size(board, 3)
    board.press("l", "5")
    board.drag((5.5, 40.5), (30, 5), (40.5, 40.5))
    expected[39:42, 5:41] = 4
    line = board.ids == 4
    assert np.array_equal(line[:, 6:40], (expected == 4)[:, 6:40]), "where it ended, and nothing of the way"
    assert board.get("edits.length") == 4
    board.press("p", "6")
    for corner in ((50, 5), (60, 5), (60, 15), (50, 15)):
        board.click(*corner)
    board.press("Enter")
    assert (board.ids[5:15, 50:60] == 5).all() and (board.ids == 5).sum() == 100
    assert board.status == "class 5, polygon or lasso", "and no longer how one is closed"


def test_a_polygon_closes_on_its_first_corner_and_a_movement_is_a_lasso(painter: Put) -> None:
    board = painter()
    board.focus()
    board.press("p")
    for corner in ((10, 10), (30, 10), (30, 30), (10, 30), (10.2, 10.2)):
        board.click(*corner)
    assert (board.ids == 0).sum() == 400
    board.click(40, 10)
    board.click(50, 10)
    board.press("Backspace", "Escape", "Enter")
    assert (board.ids == 0).sum() == 400, "given up"
    board.press("Control+z")
    board.drag((10, 10), (30, 10), (30, 30), (10, 30))
    assert (board.ids[12:28, 12:28] == 0).all() and 300 < (board.ids == 0).sum() < 500


def test_eraser_right_button_eyedropper_and_replace(painter: Put) -> None:
    board = painter()
    board.focus()
    board.press("f", "4")
    board.click(5, 5)
    set_size(board, 6)
    board.press("e")
    board.click(20, 20)
    assert np.array_equal(board.ids == UNPAINTED, disc(board, 20, 20, 6))
    board.press("b", "6")
    board.drag((40, 20), (40, 21), button="right")
    assert board.ids[20, 40] == UNPAINTED and not (board.ids == 5).any()
    board.press("i")
    board.click(60, 40)
    assert board.status.startswith("class 3, brush 6 pixels")
    board.press("a", "8")
    board.click(60, 40)
    assert set(np.unique(board.ids)) == {7, UNPAINTED} and board.ids[20, 20] == UNPAINTED
    board.press("Control+z")
    assert set(np.unique(board.ids)) == {3, UNPAINTED}


@pytest.mark.parametrize("count", [14, 150, 255, 256, 300])
def test_python_reads_what_the_painter_writes_and_the_other_way_round(painter: Put, count: int) -> None:
    board = painter(count=count)
    palette = Palette("own", tuple(f"class {i}" for i in range(count)), (None,) * count)
    ids = np.random.default_rng(count).integers(0, count + 1, (48, 64))
    written = io.BytesIO()
    paintings.write(written, palette, ids)
    board.load(written.getvalue())
    assert np.array_equal(board.ids, np.where(ids == count, UNPAINTED, ids))
    read = paintings.read(board.save())
    assert read.names == palette.names and np.array_equal(read.ids, ids)


def filtered(samples: np.ndarray, step: int) -> bytes:
    """Rows of bytes (H, W * step) under the five filters of PNG by turns."""
    rows = []
    above = np.zeros(samples.shape[1], int)
    for y, row in enumerate(samples.astype(int)):
        left = np.concatenate([np.zeros(step, int), row[:-step]])
        corner = np.concatenate([np.zeros(step, int), above[:-step]])
        distances = np.abs(np.stack([above - corner, left - corner, left + above - 2 * corner]))
        paeth = np.choose(distances.argmin(0), [left, above, corner])
        guess = [0 * row, left, above, (left + above) // 2, paeth][y % 5]
        rows.append(bytes([y % 5]) + ((row - guess) % 256).astype(np.uint8).tobytes())
        above = row
    return b"".join(rows)


def png(width: int, height: int, bits: int, kind: int, data: bytes, names: list[str]) -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    listed = b"scdm:classes\0\0\0\0\0" + json.dumps(names).encode()
    packed = zlib.compress(data)
    parts = [chunk(b"IHDR", header), chunk(b"PLTE", bytes(3 * 256)) if kind == 3 else b"", chunk(b"iTXt", listed)]
    halves = chunk(b"IDAT", packed[:50]) + chunk(b"IDAT", packed[50:])
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + halves + chunk(b"IEND", b"")


def test_every_filter_and_depth_of_png_is_read(painter: Put) -> None:
    random = np.random.default_rng(1)
    board = painter(count=300)
    wide = random.integers(0, 300, (20, 30))
    samples = wide.astype(">u2").view(np.uint8)
    board.load(png(30, 20, 16, 0, filtered(samples, 2), [f"class {i}" for i in range(300)]))
    assert np.array_equal(board.ids, wide)
    narrow = random.integers(0, 14, (20, 30))
    board.load(png(30, 20, 8, 3, filtered(narrow, 1), [f"class {i}" for i in range(14)]))
    assert np.array_equal(board.ids, narrow)
    nibbles = narrow[:, ::2] * 16 + narrow[:, 1::2]
    board.load(png(30, 20, 4, 3, filtered(nibbles, 1), [f"class {i}" for i in range(14)]))
    assert np.array_equal(board.ids, narrow)


def test_what_is_no_layout_is_refused_in_a_sentence_and_changes_nothing(painter: Put) -> None:
    board = painter()
    board.click(20, 20)
    before = board.ids
    document = board.save()
    photograph = io.BytesIO()
    Image.new("RGB", (20, 20), (255, 255, 255)).save(photograph, "PNG")
    huge = png(60_000, 60_000, 8, 3, b"", ["a"])
    names = [f"class {i}" for i in range(14)]
    for content, words in [
        (b"none", "The file is no picture that this browser reads"),
        (document[:-30], "The PNG is damaged or incomplete"),
        (document[:60] + bytes([document[60] ^ 1]) + document[61:], "The PNG is damaged or incomplete"),
        (photograph.getvalue(), "The picture has none of the classes' colours"),
        (huge, "60000 x 60000 pixels are more than"),
        (png(3, 1, 8, 3, b"\0\1\2\x63", names), "The PNG holds class 99, and lists 14 classes"),
        (png(3, 1, 8, 3, b"\0\1\2" + bytes(10_000), names), "The PNG is damaged or incomplete"),
        (png(3, 1, 8, 3, b"\0\1", names), "The PNG is damaged or incomplete"),
    ]:
        with pytest.raises(Exception, match=words):
            board.load(content)
    assert np.array_equal(board.ids, before) and board.get("edits.length") == 1


def test_a_picture_in_class_colours_becomes_a_layout_also_from_jpeg(painter: Put) -> None:
    board = painter()
    colors = np.array([each["color"] for each in classes(14)], np.uint8)
    ids = np.repeat(np.repeat(np.arange(12).reshape(3, 4), 16, 0), 16, 1)
    picture = np.dstack([colors[ids], np.full(ids.shape, 255, np.uint8)])
    picture[:4, :4, 3] = 0
    picture[-4:, -4:, :3] = 255
    expected = ids.copy()
    expected[:4, :4] = expected[-4:, -4:] = UNPAINTED
    written = io.BytesIO()
    Image.fromarray(picture).save(written, "PNG")
    board.load(written.getvalue())
    assert np.array_equal(board.ids, expected)
    assert board.status == "1 % of the picture have no class's colour and are unpainted."
    written = io.BytesIO()
    Image.fromarray(colors[ids]).save(written, "JPEG", quality=95, subsampling=0)
    board.load(written.getvalue())
    assert (board.ids == ids).mean() > 0.99


PALETTES = [  # as a host gives them: one of these classes in other colours, and others
    {
        "name": "bright",
        "classes": [{"name": each["name"], "color": [255 - level for level in each["color"]]} for each in classes(6)],
        "values": [],
    },
    {
        "name": "city",
        "classes": [{"name": name, "color": [9, 9, 90 + 70 * i]} for i, name in enumerate(("CLASS 3", "tram", "rail"))],
        "values": [
            ["ids", [[0, 0], [1, 1], [2, 2], [3, 3], [255, 3]]],
            ["counted", [[1, 0], [2, 1], [3, 2], [0, 3]]],
        ],
    },
]


def opened(board: Board, picture: Image.Image, form: str = "PNG") -> str:
    """What the painter asks about a file that is dropped on it; nothing if it takes it as it is."""
    file = io.BytesIO()
    picture.save(file, form)
    board.page.evaluate(DROP, [board.number, base64.b64encode(file.getvalue()).decode()])
    asked = board.root.get_by_role("dialog", name="A layout of other classes")
    return asked.inner_text() if asked.is_visible() else ""


DROP = """async ([number, text]) => {
  const painter = painters[number];
  const load = painter.constructor.prototype.load;
  const loaded = new Promise((done) => {
    painter.load = (...given) => load.apply(painter, given).finally(() => setTimeout(done));
  });
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([Uint8Array.from(atob(text), letter => letter.charCodeAt(0))], "layout"));
  painter.frame.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  await loaded;
}"""


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_picture_in_another_palettes_colours_is_recognised_and_translated_by_name(painter: Put, form: str) -> None:
    board = painter(palettes=PALETTES)
    board.click(20, 20)
    before = board.ids
    ids = np.repeat(np.repeat(np.array([[0, 0, 1], [0, 2, 2]]), 16, 0), 16, 1)
    colors = np.array([each["color"] for each in PALETTES[1]["classes"]], np.uint8)
    asked = opened(board, Image.fromarray(colors[ids]), form)
    assert "The picture is a layout in the colours of city." in asked
    assert "Here by name: CLASS 3. Unpainted for want of a class: rail, tram." in asked
    assert np.array_equal(board.ids, before) and board.status.endswith("choose that palette, or translate it.")
    board.root.get_by_role("button", name="Translate").click()
    assert (board.ids == np.where(ids == 0, 3, UNPAINTED)).mean() > (0.97 if form == "JPEG" else 1 - 1e-9)
    assert board.status == "The layout has classes that are not here, and are unpainted now: tram, rail."
    board.do("undo")
    assert np.array_equal(board.ids, before)


def test_the_own_colours_count_first_and_a_photograph_is_nobodys_layout(painter: Put) -> None:
    board = painter(palettes=PALETTES)
    ids = np.repeat(np.repeat(np.arange(6).reshape(2, 3), 8, 0), 8, 1)
    for palette, words in ((classes(6), ""), (PALETTES[0]["classes"], "in the colours of bright")):
        asked = opened(board, Image.fromarray(np.array([each["color"] for each in palette], np.uint8)[ids]))
        assert words in asked and bool(words) == bool(asked)
    assert "All its classes are here" in asked
    board.press("Escape")
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    assert opened(board, Image.fromarray(noise)) == "" and "no class's colour" in board.status


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, "triplets"])
def test_an_id_map_of_another_program_is_named_so_and_read_by_the_palette_that_is_chosen(
    painter: Put, kind: Any
) -> None:
    board = painter(palettes=PALETTES)
    stored = np.repeat(np.array([[1, 2, 3, 0]]), 4, 1).repeat(8, 0)
    picture = np.dstack([stored] * 3).astype(np.uint8) if kind == "triplets" else stored.astype(kind)
    asked = opened(board, Image.fromarray(picture))
    assert (
        f"looks like an id map without the names of its classes: greys of {16 if kind is np.uint16 else 8} bits"
        in asked
    )
    assert board.root.get_by_label("Palette of the picture").locator("option").all_inner_texts() == [
        "city, ids (1 is tram)",
        "city, counted (1 is CLASS 3)",
    ]
    board.root.get_by_label("Palette of the picture").select_option("city, counted (1 is CLASS 3)")
    board.root.get_by_role("button", name="Translate").click()
    assert np.array_equal(board.ids, np.where(stored == 1, 3, UNPAINTED))


def test_ids_of_no_palette_are_said_and_change_nothing(painter: Put) -> None:
    board = painter(palettes=PALETTES)
    picture = Image.fromarray(np.full((8, 8), 3000, np.uint16))
    assert opened(board, picture) == ""
    assert board.status.startswith("The picture is grey, without the names of classes, and its values, up to 3000,")
    assert (board.ids == UNPAINTED).all() and board.get("edits.length") == 0


def test_more_pixels_a_side_than_the_host_takes_are_refused_before_they_are_unpacked(painter: Put) -> None:
    board = painter(mostSide=100)
    with pytest.raises(Exception, match="A layout has up to 100 pixels a side here, not 101 x 2: scale it down first"):
        board.do("resize", 101, 2)
    with pytest.raises(Exception, match="not 300 x 2"):
        board.load(png(300, 2, 8, 3, b"none of it can be unpacked", ["class 0"]))
    with pytest.raises(Exception, match="not 300 x 2"):
        board.load(png(300, 2, 8, 2, b"none of it can be unpacked", []))
    board.root.get_by_role("button", name="Files and size").click()
    board.root.get_by_role("menuitem", name="Size of the canvas").click()
    assert board.root.get_by_label("Width").get_attribute("max") == "100"
    board.do("resize", 100, 2)
    assert board.ids.shape == (2, 100)


def test_a_stroke_ends_what_was_said_of_the_canvas_before_it(painter: Put) -> None:
    board = painter()
    board.do("message", "There is no painting x.png on the server: paint it again, or put the file back.")
    board.click(20, 20)
    assert board.status == "class 0, brush 3 pixels"
    board.do("undo")
    assert board.status == "Undone."


def test_other_classes_keep_names_and_lose_the_rest_in_one_step(painter: Put) -> None:
    board = painter()
    board.focus()
    board.press("r", "2")
    board.drag((0.5, 0.5), (9.5, 9.5))
    board.press("3")
    board.drag((20.5, 0.5), (29.5, 9.5))
    before = board.ids
    told = board.do("setClasses", [{"name": "else", "color": [1, 2, 3]}, {"name": "Class 1", "color": [4, 5, 6]}])
    assert told["kept"] == ["class 1"] and told["lost"] == ["class 2"]
    assert (
        (board.ids[:10, :10] == 1).all() and (board.ids == 1).sum() == 100 and (board.ids != 1).sum() == 48 * 64 - 100
    )
    assert board.options == [
        "else",
        "Class 1",
        "unpainted",
    ]
    board.press("Control+z")
    assert np.array_equal(board.ids, before) and board.get("document.classes.length") == 14
    board.press("Control+y")
    assert board.get("document.classes[0].name") == "else"


def test_a_document_of_other_classes_is_read_by_their_names_and_the_loss_is_said(painter: Put) -> None:
    board = painter()
    written = io.BytesIO()
    palette = Palette("own", ("nowhere", "class 5", "class 9"), (None,) * 3)
    paintings.write(written, palette, np.array([[0, 1, 2, 3]]))
    board.load(written.getvalue())
    assert board.ids.tolist() == [[UNPAINTED, 5, 9, UNPAINTED]]
    assert board.status == "The layout has classes that are not here, and are unpainted now: nowhere."


def test_resize_crop_pad_and_keep(painter: Put) -> None:
    board = painter(width=4, height=4)
    written = io.BytesIO()
    palette = Palette("own", tuple(f"class {i}" for i in range(14)), (None,) * 14)
    paintings.write(written, palette, np.array([[0, 1], [2, 3]]).repeat(2, 0).repeat(2, 1))
    board.load(written.getvalue())
    free = UNPAINTED
    for how, size, expected in [
        ("resize", (2, 4), [[0, 1], [0, 1], [2, 3], [2, 3]]),
        ("resize", (8, 2), [[0] * 4 + [1] * 4, [2] * 4 + [3] * 4]),
        ("crop", (4, 2), [[0, 0, 1, 1], [2, 2, 3, 3]]),
        ("pad", (4, 2), [[free, 0, 1, free], [free, 2, 3, free]]),
        ("keep", (2, 2), [[0, 1], [2, 3]]),
        ("keep", (6, 2), [[free, 0, 0, 1, 1, free], [free, 2, 2, 3, 3, free]]),
    ]:
        board.do("resize", *size, how)
        assert board.ids.tolist() == expected, how
        board.focus()
        board.press("Control+z")
        assert board.ids.shape == (4, 4)
    for size in ((0, 5), (1.5, 5), (9000, 9000)):
        with pytest.raises(Exception, match="pixels"):
            board.do("resize", *size, "resize")


def test_the_menu_asks_for_a_size(painter: Put) -> None:
    board = painter()
    board.root.get_by_label("Files and size").click()
    board.root.get_by_role("menuitem", name="Size of the canvas…").click()
    assert board.root.get_by_label("Width").input_value() == "64"
    board.root.get_by_label("Width").fill("100")
    board.root.get_by_label("How", exact=True).select_option("pad")
    board.root.get_by_role("button", name="Apply").click()
    assert board.ids.shape == (48, 100)
    board.press("Control+z")
    assert board.ids.shape == (48, 64), "the focus is where keys are heard"


def test_everything_is_within_reach_of_the_keyboard_alone(painter: Put) -> None:
    board = painter()
    board.focus()
    set_size(board, 8)
    board.press("2", "ArrowRight", "Space")
    assert np.array_equal(board.ids == 1, disc(board, 32, 24, 8)) or (board.ids == 1).sum() > 40
    board.press("3")
    board.keys.down("Space")
    board.press("Shift+ArrowDown")
    board.keys.up("Space")
    assert (board.ids[26:40, 32] == 2).all() and board.get("edits.length") == 2
    board.press("Enter", "Shift+ArrowLeft", "Enter")
    assert (board.ids[40, 18:32] == 2).all() and board.get("edits.length") == 3
    board.press("p", "4")
    for key in ("Shift+ArrowUp", "Shift+ArrowRight", "Shift+ArrowDown"):
        board.press("Space", key)
    board.press("Space", "Enter")
    assert (board.ids == 3).sum() > 50
    board.press("/")
    board.keys.type("unp")
    board.press("Enter")
    assert (
        board.status.startswith("unpainted, polygon")
        and board.page.evaluate("document.activeElement.className") == "scdm-keys"
    )
    board.press("Shift+Tab")
    assert board.focused == "scdm-icon Polygon or lasso"
    board.press("ArrowDown")
    assert "pick a class" in board.status


def test_a_search_finds_one_of_150_classes_and_gives_it_a_key(painter: Put) -> None:
    palette = Palette.named("ade20k")
    names = [
        {"name": name, "color": color or [0, 0, 0]} for name, color in zip(palette.names, palette.colors, strict=True)
    ]
    board = painter(names=names)
    board.focus()
    board.press("/")
    board.keys.type("mount")
    assert board.options == ["mountain"]
    board.press("Enter")
    assert board.status.startswith("mountain, brush")
    board.click(30, 20)
    assert board.ids[20, 30] == palette.names.index("mountain")
    board.press("2")
    assert board.status.startswith("building")
    board.press("9")
    assert board.status.startswith("mountain"), "it has the key of the class that was not used for longest"
    board.root.get_by_label("Search classes").fill("nothing like it")
    missing = board.root.get_by_text("No class is called “nothing like it”.")
    field = board.root.get_by_label("Search classes").bounding_box()
    assert missing.bounding_box()["y"] - field["y"] < 2 * field["height"], "right under what was typed"
    board.press("Escape")
    assert len(board.options) == len(names) + 1 and "scdm-keys" not in board.focused
    board.press("Escape")
    assert "scdm-keys" in board.focused


def test_the_canvas_stays_where_it_is_while_a_class_is_searched(painter: Put) -> None:
    board = painter(count=150, at=(620, 640))
    before = board.root.locator(".scdm-stage").bounding_box()
    for text in ("class 14", "class 149", "none"):
        board.root.get_by_label("Search classes").fill(text)
        assert board.root.locator(".scdm-stage").bounding_box() == before, text


def test_the_chosen_class_can_be_read_where_there_is_little_room(painter: Put) -> None:
    board = painter(names=[{"name": "mountain", "color": [9, 9, 9]}], at=(494, 640))
    name = board.root.locator(".scdm-chosen > span:nth-child(2)")
    assert name.evaluate("each => each.scrollWidth <= each.clientWidth")
    bar = board.root.locator(".scdm-bar")
    assert bar.evaluate("each => each.scrollWidth <= each.clientWidth")


def press_as(board: Board, key: str, code: str, **modifiers: bool) -> None:
    """A key of another keyboard than the one that playwright has."""
    script = """([number, options]) =>
      painters[number].keys.dispatchEvent(new KeyboardEvent("keydown", { bubbles: true, cancelable: true, ...options }))"""
    board.page.evaluate(script, [board.number, {"key": key, "code": code, **modifiers}])


@pytest.mark.parametrize(
    "modifiers",
    [
        {"ctrlKey": True, "altKey": True, "modifierAltGraph": True},  # a German keyboard on Windows
        {"modifierAltGraph": True},
        {"altKey": True},  # on a Mac
    ],
)
def test_brackets_are_typed_with_the_modifiers_that_a_keyboard_has_them_at(
    painter: Put, modifiers: dict[str, bool]
) -> None:
    board = painter()
    before = board.size
    press_as(board, "]", "Digit9", **modifiers)
    assert board.size > before
    press_as(board, "[", "Digit8", **modifiers)
    assert board.size == before


def test_keys_of_another_script_are_those_at_the_same_place(painter: Put) -> None:
    board = painter()
    board.click(20, 20)
    press_as(board, "я", "KeyZ", ctrlKey=True)
    assert (board.ids == UNPAINTED).all()
    press_as(board, "у", "KeyE")
    assert board.status.startswith("eraser")


def test_a_painter_without_classes_waits_for_them(painter: Put) -> None:
    board = painter(names=[])
    board.focus()
    board.press("1")
    board.click(20, 20)
    board.do("setClasses", classes(3))
    board.press("1")
    board.click(20, 20)
    assert board.ids[20, 20] == 0
    board.do("setClasses", [])
    board.click(40, 20)
    assert (board.ids == UNPAINTED).all()


def test_classes_that_keep_their_ids_are_no_step_and_keep_their_names_in_every_other(painter: Put) -> None:
    board = painter()
    board.click(20, 20)
    more = [{"name": each["name"], "color": [9, 9, 9]} for each in classes(16)]
    board.do("setClasses", more)
    assert board.ids[20, 20] == 0 and board.get("edits.length") == 1
    for key in ("Control+z", "Control+y", "Control+z"):
        board.press(key)
        assert board.get("document.classes") == more
    assert (board.ids == UNPAINTED).all(), "undo takes back the stroke"


def test_two_painters_on_a_page_do_not_mix(painter: Put) -> None:
    first = painter(at=(480, 400))
    second = painter(at=(320, 400), compact=True)
    assert first.page.locator("link[rel=stylesheet]").count() == 1
    first.click(20, 20)
    second.press("2")
    second.click(40, 20)
    assert first.ids[20, 20] == 0 and second.ids[20, 40] == 0, "keys are heard by the painter that has the focus"
    second.press("Control+z")
    assert (second.ids == UNPAINTED).all() and first.ids[20, 20] == 0
    second.root.locator(".scdm-chosen").click()
    second.root.get_by_role("option", name="class 6").click()
    assert not second.root.locator(".scdm-classes").is_visible()
    second.click(40, 20)
    assert second.ids[20, 40] == 6 and second.get("edits.length") == 3 and first.get("edits.length") == 1


def test_a_hosts_shortcuts_and_canvas_are_left_alone_and_its_scale_is_allowed_for(painter: Put) -> None:
    board = painter(at=(320, 400), compact=True)
    board.page.evaluate(HOST)
    board.page.evaluate("Object.assign(painters[0].root.style, {transform: 'scale(1.7)', transformOrigin: '0 0'})")
    board.click(20, 20)
    assert board.ids[20, 20] == 0
    board.press("r", "b", "Control+z", "Delete", "ArrowLeft", " ")
    board.root.get_by_label("Eraser").click()
    board.press("Control+z", "q")
    board.page.mouse.move(*board.place(30, 30))
    board.page.mouse.wheel(0, -100)
    assert board.page.evaluate("host") == {"keys": [], "undone": 0, "moved": 0}
    board.press("Control+s")
    assert board.page.evaluate("host.keys") == ["s"], "what the painter has no use for is the host's"


def test_undo_on_a_button_is_not_the_hosts_either(painter: Put) -> None:
    """ComfyUI looks, a frame after the key, whether an input has the focus."""
    board = painter()
    board.click(20, 20)
    board.page.evaluate("""() => {
      globalThis.undone = 0;
      window.addEventListener("keydown", ({ ctrlKey, key }) => {
        requestAnimationFrame(() => (undone += ctrlKey && key === "z" && document.activeElement.tagName !== "INPUT"));
      }, true);
    }""")
    board.root.get_by_label("Eraser").focus()
    board.press("Control+z")
    board.page.evaluate("new Promise(requestAnimationFrame)")
    assert (board.ids == UNPAINTED).all() and board.page.evaluate("undone") == 0


def test_the_wheel_zooms_about_the_pointer_and_with_shift_sizes_the_brush(painter: Put) -> None:
    board = painter()
    place = board.place(10, 30)
    zoom = board.get("view.zoom")
    board.page.mouse.move(*place)
    board.page.mouse.wheel(0, -240)
    board.page.wait_for_timeout(200)  # wheels are not waited for
    assert board.get("view.zoom") > zoom and np.allclose(board.place(10, 30), place, atol=1)
    board.keys.down("Shift")
    board.page.mouse.wheel(0, -100)
    board.root.get_by_text("brush 4 pixels").wait_for()
    board.keys.up("Shift")
    board.drag((10, 30), (14, 30), button="middle")
    assert (board.ids == UNPAINTED).all(), "the middle button moves the view"


def pointer(
    board: Board, kind: str, identity: int, x: float, y: float, type_: str = "touch", pressure: float = 0.5
) -> None:
    left, top = board.place(x, y)
    options: dict[str, Any] = {
        "pointerId": identity,
        "pointerType": type_,
        "clientX": left,
        "clientY": top,
        "pressure": pressure,
    }
    options |= {"bubbles": True, "cancelable": True, "buttons": 0 if kind == "pointerup" else 1}
    script = """([number, kind, options]) => {
      const { stage } = painters[number].view;
      stage.setPointerCapture = () => {};  // there is no such pointer
      stage.dispatchEvent(new PointerEvent(kind, options));
    }"""
    board.page.evaluate(script, [board.number, kind, options])


def test_one_finger_paints_and_two_move_what_is_seen(painter: Put) -> None:
    board = painter()
    pointer(board, "pointerdown", 1, 20, 20)
    pointer(board, "pointermove", 1, 24, 20)
    pointer(board, "pointerup", 1, 24, 20)
    assert board.ids[20, 22] == 0 and board.get("edits.length") == 1
    before, zoom = board.ids, board.get("view.zoom")
    pointer(board, "pointerdown", 1, 10, 40)
    pointer(board, "pointerdown", 2, 20, 40)
    pointer(board, "pointermove", 2, 30, 40)
    assert board.get("view.zoom") == pytest.approx(2 * zoom)
    pointer(board, "pointerup", 2, 30, 40)
    pointer(board, "pointerup", 1, 10, 40)
    assert np.array_equal(board.ids, before) and board.get("edits.length") == 1


def test_pressure_is_the_size_of_the_brush(painter: Put) -> None:
    board = painter()
    set_size(board, 16)
    for x, pressure in ((12, 0.2), (40, 1.0)):
        pointer(board, "pointerdown", 3, x, 20, "pen", pressure)
        pointer(board, "pointerup", 3, x, 20, "pen", 0)
    light, full = (board.ids[:, :26] == 0).sum(), (board.ids[:, 26:] == 0).sum()
    assert 0 < light < full / 4 and full == disc(board, 40, 20, 16).sum()


def test_a_hand_that_rests_beside_the_pen_does_nothing(painter: Put) -> None:
    board = painter()
    pointer(board, "pointerdown", 3, 20, 20, "pen", 1.0)
    for finger in (1, 2):
        pointer(board, "pointerdown", finger, 50, 40)
    pointer(board, "pointermove", 3, 40, 20, "pen", 1.0)
    pointer(board, "pointerup", 3, 40, 20, "pen", 0)
    zoom = board.get("view.zoom")
    pointer(board, "pointermove", 2, 55, 45)
    assert board.get("view.zoom") == zoom
    assert (board.ids[20, 20:40] == 0).all() and board.ids[40, 50] == UNPAINTED and board.get("edits.length") == 1


def test_two_fingers_move_the_view_while_a_polygon_is_half_done(painter: Put) -> None:
    board = painter()
    board.focus()
    board.press("p")
    for i, corner in enumerate(((10, 10), (30, 10), (30, 30))):
        if i == 2:
            pointer(board, "pointerdown", 1, 50, 40)
            pointer(board, "pointerdown", 2, 55, 40)
            pointer(board, "pointermove", 2, 56, 40)
            pointer(board, "pointerup", 1, 50, 40)
            pointer(board, "pointerup", 2, 56, 40)
        pointer(board, "pointerdown", 1, *corner)
        pointer(board, "pointerup", 1, *corner)
    board.press("Enter")
    assert board.ids[12, 28] == 0 and 150 < (board.ids == 0).sum() < 250


def test_a_pen_paints_although_the_hand_came_first(painter: Put) -> None:
    board = painter()
    pointer(board, "pointerdown", 1, 50, 40)
    pointer(board, "pointerdown", 3, 20, 20, "pen", 1.0)
    pointer(board, "pointermove", 1, 52, 40)
    pointer(board, "pointermove", 3, 30, 20, "pen", 1.0)
    pointer(board, "pointerup", 3, 30, 20, "pen", 0)
    pointer(board, "pointerup", 1, 52, 40)
    assert (board.ids[20, 20:30] == 0).all() and board.ids[40, 50] == UNPAINTED and board.get("edits.length") == 1


def test_the_outline_of_the_brush_is_around_the_pixels_that_it_paints(blank: Any) -> None:
    script = """async () => {
      const { LayoutDocument, stamp } = await import("/painter/document.mjs");
      const differing = [];
      for (let i = 0; i < 200; i++) {
        const point = { x: 20 + (i * 7 % 31) / 31, y: 20 + (i * 11 % 29) / 29, size: 1 + (i % 20) + (i % 3) / 3 };
        const layout = new LayoutDocument({ classes: [{ name: "a", color: [0, 0, 0] }], width: 40, height: 40 });
        layout.line(point, point, 0);
        const count = layout.ids.filter(id => id === 0).length;
        const rows = stamp(point);
        const inside = rows.every(([y, from, to]) => layout.ids.subarray(40 * y + from, 40 * y + to).every(id => id === 0));
        if (!inside || rows.reduce((sum, [, from, to]) => sum + to - from, 0) !== count || !count) differing.push(point);
      }
      return differing;
    }"""
    assert blank.evaluate(script) == []


def test_the_foot_says_the_size_before_and_after_a_change(painter: Put) -> None:
    board = painter()
    place = board.root.locator(".scdm-place")
    assert place.text_content() == "64 × 48"
    board.do("resize", 100, 50, "pad")
    assert place.text_content() == "100 × 50"


def test_undo_takes_back_any_mix_of_edits_and_forgets_the_oldest_first(blank: Any) -> None:
    """Random edits on a document alone, of several tiles, with room for some of them."""
    script = """async () => {
      const { LayoutDocument } = await import("/painter/document.mjs");
      const classes = Array.from({ length: 9 }, (_, i) => ({ name: `c${i}`, color: [i, i, i] }));
      const layout = new LayoutDocument({ classes, width: 150, height: 100, mostUndoBytes: 200_000 });
      let seed = 1;
      const random = n => (seed = (seed * 48271) % 2147483647) % n;
      const point = () => ({ x: random(200) - 25, y: random(150) - 25, size: 1 + random(30) });
      const hows = ["resize", "crop", "pad", "keep"];
      const states = [];
      const state = () => {
        if (layout.ids.some(id => id !== 65535 && id >= layout.classes.length)) throw Error("an id without a class");
        return `${layout.width} ${layout.height} ${layout.ids.join()}`;
      };
      for (let i = 0; i < 300; i++) {
        const before = state();
        const kind = random(9);
        let part = null;
        if (kind < 3) layout.line(point(), point(), random(layout.classes.length));
        else if (kind === 3) layout.rectangle(point(), point(), random(layout.classes.length));
        else if (kind === 4) layout.polygon([point(), point(), point(), point()], random(layout.classes.length));
        else if (kind === 5) layout.flood(random(layout.width), random(layout.height), random(layout.classes.length));
        else if (kind === 6) layout.replace(random(layout.classes.length), 65535);
        else if (kind === 7) part = layout.resize(80 + random(100), 80 + random(100), hows[random(4)]);
        else part = layout.setClasses(classes.slice(0, 3 + random(7))).isStep;
        part = layout.commit() ?? part;
        if (part) states.push(before);
        else if (before !== state()) return "a change without a step";
      }
      const last = state();
      let undone = 0;
      while (layout.canUndo) {
        layout.undo();
        undone++;
        if (state() !== states.at(-undone)) return `undo ${undone} differs`;
      }
      for (let i = 0; i < undone; i++) layout.redo();
      return [state() === last, undone > 20 && undone < states.length];
    }"""
    assert blank.evaluate(script) == [True, True]


def test_a_stroke_that_is_given_up_leaves_nothing_although_the_pointer_goes_on(painter: Put) -> None:
    board = painter()
    board.click(20, 20)
    before = board.ids
    for key in ("Escape", "Control+z"):
        board.page.mouse.move(*board.place(30, 30))
        board.page.mouse.down()
        board.page.mouse.move(*board.place(40, 30), steps=2)
        board.press(key)
        board.page.mouse.move(*board.place(50, 30), steps=2)
        board.page.mouse.up()
        assert np.array_equal(board.ids, before) and board.get("edits.length") == 1
    board.press("p")
    for x in (10, 30, 50):
        board.click(x, 40 if x == 30 else 10)
    board.press("Control+z", "Enter")
    assert np.array_equal(board.ids, before), "undo takes a corner, and two are no polygon"
    assert board.get("edits.length") == 1


def test_a_theme_of_the_host_counts_more_than_the_systems(painter: Put) -> None:
    board = painter()
    look = "stage => { const { color, backgroundColor } = getComputedStyle(stage); return [color, backgroundColor]; }"
    stage = board.root.locator(".scdm-stage")
    light = stage.evaluate(look)
    board.page.evaluate("painters[0].root.dataset.theme = 'dark'")
    dark = stage.evaluate(look)
    assert dark != light
    board.page.emulate_media(color_scheme="dark")
    board.page.evaluate("delete painters[0].root.dataset.theme")
    assert stage.evaluate(look) == dark
    board.page.evaluate("document.body.dataset.theme = 'light'")
    assert stage.evaluate(look) == light
    board.page.wait_for_timeout(50)  # a frame
    shown = board.page.evaluate("[...painters[0].view.context.getImageData(450, 300, 1, 1).data.slice(0, 3)]")
    assert min(shown) > 200, "unpainted pixels are drawn in the theme's colours"


def test_a_painter_made_outside_the_document_is_drawn_once_it_is_in(painter: Put) -> None:
    board = painter()
    board.page.evaluate("""async () => {
      const root = document.createElement("div");
      const { Painter } = await import("/painter/painter.mjs");
      painters.push(new Painter(root, { classes: painters[0].document.classes, width: 64, height: 48, compact: true }));
      painters[1].edits = [];
      Object.assign(root.style, { width: "320px", height: "400px", position: "fixed", top: 0, left: 0 });
      await new Promise(requestAnimationFrame);
      document.body.append(root);
    }""")
    board.page.wait_for_timeout(100)  # a few frames
    late = Board(board.page, 1)
    late.click(20, 20)
    assert late.ids[20, 20] == 0
    board.page.wait_for_timeout(100)
    read = "[...painters[1].view.context.getImageData(160, 140, 1, 1).data]"
    assert board.page.evaluate(read) in ([255, 255, 255, 255], [236, 238, 240, 255]), "checks of the light theme"


def test_an_underlay_shows_through_as_far_as_the_slider_says(painter: Put) -> None:
    board = painter()
    board.page.evaluate("""async () => {
      const canvas = new OffscreenCanvas(8, 6);
      const context = canvas.getContext("2d");
      context.fillStyle = "rgb(200 100 50)";
      context.fillRect(0, 0, 8, 6);
      painters[0].setUnderlay(await createImageBitmap(canvas), 0.3);
      await new Promise(requestAnimationFrame);
    }""")
    under = board.root.locator(".scdm-underlay")
    assert under.evaluate("canvas => canvas.style.opacity") == "0.3"
    middle = "canvas => [...canvas.getContext('2d').getImageData(canvas.width / 2, canvas.height / 2, 1, 1).data]"
    assert under.evaluate(middle) == [200, 100, 50, 255]
    board.root.get_by_label("Underlay", exact=True).fill("80")
    assert under.evaluate("canvas => canvas.style.opacity") == "0.8"
    board.root.get_by_label("Remove the underlay").click()
    assert not under.is_visible() and not board.root.get_by_label("Underlay", exact=True).is_visible()


def test_files_are_saved_as_picture_and_id_map_and_opened_again(painter: Put, tmp_path: Path) -> None:
    board = painter()
    set_size(board, 8)
    board.press("4")
    board.click(20, 20)
    before = board.ids
    saved = {}
    for item in ("Save as picture", "Save as id map"):
        board.root.get_by_label("Files and size").click()
        with board.page.expect_download() as download:
            board.root.get_by_role("menuitem", name=item).click()
        saved[item] = tmp_path / download.value.suggested_filename
        download.value.save_as(saved[item])
    with Image.open(saved["Save as picture"]) as picture:
        rgba = np.asarray(picture.convert("RGBA"))
    assert rgba[20, 20].tolist() == [*classes(14)[3]["color"], 255] and rgba[0, 0, 3] == 0
    with Image.open(saved["Save as id map"]) as picture:
        assert picture.mode == "L" and np.array_equal(np.asarray(picture), np.where(before == UNPAINTED, 255, before))
    for path in saved.values():
        board.do("clear")
        board.root.locator("input[type=file]").first.set_input_files(path)
        board.root.get_by_text("A layout of 64 x 48 pixels.").wait_for()
        assert np.array_equal(board.ids, before)
        board.do("message", "")
    (tmp_path / "none.png").write_bytes(b"none")
    board.root.locator("input[type=file]").first.set_input_files(tmp_path / "none.png")
    board.root.get_by_text("The file is no picture that this browser reads").wait_for()
