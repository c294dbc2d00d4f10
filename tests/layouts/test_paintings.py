"""Documents of the painter keep ids exactly, show their colours to any viewer, and are read with suspicion."""

from __future__ import annotations

import io
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from scdm.layouts import paintings
from scdm.layouts.paintings import Painting, onto, read, stored_as, write
from scdm.layouts.palette import Palette

SAME = (9, 200, 9)  # a colour that two classes share
PALETTE = Palette("test", ("sky", "Wälder", "grass"), ((0, 0, 0), SAME, SAME))
MANY = Palette("many", tuple(f"class {i}" for i in range(300)), ((1, 2, 3),) * 300)


def written(palette: Palette, ids: np.ndarray) -> bytes:
    file = io.BytesIO()
    write(file, palette, ids)
    return file.getvalue()


def ids_of(palette: Palette, size: tuple[int, int] = (17, 23)) -> np.ndarray:
    return np.random.default_rng(3).integers(0, palette.num_classes + 1, size)


@pytest.mark.parametrize("palette", [PALETTE, MANY, Palette.named("ade20k")], ids=lambda palette: palette.name)
@pytest.mark.parametrize("form", ["path", "bytes"])
def test_what_is_written_is_read(palette: Palette, form: str, tmp_path: Path) -> None:
    ids = ids_of(palette)
    if form == "path":
        write(tmp_path / "a.png", palette, ids)
    painting = read(tmp_path / "a.png" if form == "path" else written(palette, ids))
    assert painting.names == palette.names and painting.ids.dtype == np.int64
    assert np.array_equal(painting.ids, ids), "also where classes share a colour"
    assert painting.ids.max() == palette.num_classes, "unpainted"


def chunks(content: bytes) -> dict[bytes, bytes]:
    found, at = {}, 8
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        found[content[at + 4 : at + 8]] = content[at + 8 : at + 8 + length]
        at += 12 + length
    return found


def test_the_form_is_the_one_that_the_painter_writes() -> None:
    found = chunks(written(PALETTE, ids_of(PALETTE)))
    assert found[b"IHDR"][8:10] == bytes([8, 3]), "8 bits, places in a colour table"
    assert found[b"PLTE"][:12] == bytes([0, 0, 0, *SAME, *SAME, 0, 0, 0])
    assert found[b"tRNS"][:4] == bytes([255, 255, 255, 0])
    keyword, text = found[b"iTXt"].split(b"\0", 1)
    assert keyword == b"scdm:classes" and json.loads(text[4:].decode("utf-8")) == list(PALETTE.names)
    assert chunks(written(MANY, ids_of(MANY)))[b"IHDR"][8:10] == bytes([16, 0]), "16-bit greys"


def test_a_painting_that_is_too_large_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    content = written(PALETTE, ids_of(PALETTE, (20, 41)))
    assert read(content, most_side=41).ids.shape == (20, 41)
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", lambda *_: pytest.fail("its pixels were decoded"))
    with pytest.raises(
        ValueError, match=r"^the painting: a canvas has up to 40 pixels a side here, not 41 x 20: scale it"
    ):
        read(content, most_side=40)


def test_painters_are_told_how_id_maps_store_classes() -> None:
    assert stored_as(PALETTE) == [["ids", [[0, 0], [1, 1], [2, 2], [3, 3], [255, 3], [65535, 3]]]]
    tables = {name: dict(map(tuple, pairs)) for name, pairs in stored_as(Palette.named("ade20k"))}
    assert tables["annotations"][1] == 0 and tables["annotations"][0] == 150 and tables["ids"][1] == 1


def test_any_viewer_shows_the_colours() -> None:
    with Image.open(io.BytesIO(written(PALETTE, np.array([[0, 1, 3]])))) as picture:
        shown = np.asarray(picture.convert("RGBA"))[0].tolist()
    assert shown == [[0, 0, 0, 255], [*SAME, 255], [0, 0, 0, 0]]


def test_the_list_of_classes_may_follow_the_pixels() -> None:
    """As programs do that edit what is said of a picture."""
    content = written(PALETTE, ids_of(PALETTE))
    at = content.index(b"iTXt") - 4
    (length,) = struct.unpack(">I", content[at : at + 4])
    text, rest = content[at : at + 12 + length], content[:at] + content[at + 12 + length :]
    end = rest.index(b"IEND") - 4
    assert read(rest[:end] + text + rest[end:]).names == PALETTE.names


def test_classes_are_found_by_name_and_what_is_lost_is_said() -> None:
    painting = Painting(("grass", "SKY", "lava", "absent"), np.array([[0, 1, 2, 4]]))
    labels, remarks = onto(painting, PALETTE)
    assert labels.ids.tolist() == [[[2, 0, 3, 3]]] and labels.num_classes == 3
    assert remarks == ["palette test has no class 'lava': 25 % of the painting became unpainted"]
    assert onto(Painting(PALETTE.names, painting.ids[:, :2]), PALETTE)[1] == []


def test_a_remark_names_a_few_of_many_classes() -> None:
    _, (remark,) = onto(Painting(MANY.names, np.arange(301)[None]), PALETTE)
    assert "'class 4' and 295 more: 100 % of the painting became unpainted" in remark


def picture(mode: str, text: str | None) -> bytes:
    file, about = io.BytesIO(), PngImagePlugin.PngInfo()
    if text is not None:
        about.add_itxt(paintings.KEYWORD, text)
    Image.new(mode, (4, 3)).save(file, "PNG", pnginfo=about)
    return file.getvalue()


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 3)).save(file, "JPEG")
    return file.getvalue()


def huge() -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", 30000, 30000, 8, 3, 0, 0, 0)
    pixels = b"\0\0\0\x04IDAT\0\0\0\0" + struct.pack(">I", zlib.crc32(b"IDAT\0\0\0\0"))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + pixels


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "is no document of the painter: read it as a picture of a layout"),
        (jpeg(), "is no document of the painter"),
        (picture("P", None), "is no document of the painter"),
        (picture("RGB", '["sky"]'), "is no document of the painter"),
        (
            picture("P", "[sky"),
            "its list of classes cannot be read \\(not valid JSON.*export it from the painter again",
        ),
        (picture("P", '{"sky": 1}'), "its list of classes holds no 1 to 65534 names"),
        (picture("P", "[]"), "its list of classes holds no 1 to 65534 names, but \\[\\]: export it"),
        (picture("P", '["sky", 3]'), "its list of classes holds no"),
        (picture("P", json.dumps(["x" * 256])), "names have up to 255 characters"),
        (
            written(PALETTE, ids_of(PALETTE, (200, 200)))[:400],
            "is damaged or incomplete .*: export it from the painter again",
        ),
        (huge(), "more than 64 megapixels"),
    ],
    ids=range(11),
)
def test_what_is_no_painting_is_refused_in_a_sentence(content: bytes, words: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"(?s)^the painting.*{words}"):
        read(content)
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(ValueError, match=f"a\\.png.*{words}"):
        read(tmp_path / "a.png")


def test_ids_beyond_the_listed_classes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paintings.json, "dumps", lambda *_, **__: '["sky"]')
    with pytest.raises(ValueError, match=r"holds class [23], and lists 1 classes"):
        read(written(PALETTE, ids_of(PALETTE)))
    with pytest.raises(ValueError, match=r"holds class \d+, and lists 1 classes"):
        read(written(MANY, ids_of(MANY)))


@pytest.mark.parametrize("ids", [[[4]], [[-1]], [[0.5]], [0], []])
def test_only_ids_of_the_palette_are_written(ids: list, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a painting is \\(height, width\\) of ids from 0 to 3"):
        write(tmp_path / "a.png", PALETTE, np.array(ids))
    assert not (tmp_path / "a.png").exists()
