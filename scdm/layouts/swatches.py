"""Palettes for painters: a picture of all colours with their names, and palette files for Krita and GIMP."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from xml.etree import ElementTree as xml

from PIL import Image, ImageDraw, ImageFont

from ..files.atomic import written_whole
from ..files.contact_sheet import PAPER
from ..files.images import MAX_PIXELS, write_image
from ..files.untrusted import CONTROL
from .class_tables import own_comment
from .palette import Color, Palette

COLUMNS = 10  # of the swatches in a palette docker


def export(palette: Palette, path: str | Path) -> None:
    """Write the palette in the format of the suffix: .kpl (Krita), .gpl (GIMP, Krita, Inkscape), .png (picture)."""
    path = Path(path)
    match path.suffix.lower():
        case ".kpl":
            content = krita_palette(palette)
        case ".gpl":
            content = gimp_palette(palette).encode()
        case ".png":
            return write_image(path, swatches(palette))
        case other:
            raise ValueError(f"{path}: palettes are written as .kpl, .gpl or .png, not {other or 'without a suffix'}")
    with written_whole(path) as beside:
        beside.write_bytes(content)


def gimp_palette(palette: Palette) -> str:
    """The text of a GIMP palette (.gpl): one named colour for each class that has one."""
    head = ["GIMP Palette", f"Name: {_line(palette.name)}", f"Columns: {COLUMNS}", f"# {_comment(palette)}"]
    rows = [f"{r:3d} {g:3d} {b:3d}\t{name}" for (r, g, b), name in _named_colors(palette)]
    return "\n".join([*head, *rows]) + "\n"


def krita_palette(palette: Palette) -> bytes:
    """A Krita palette (.kpl, format version 2.0): one named sRGB swatch for each class that has a colour."""
    named_colors = _named_colors(palette)
    rows = -(-len(named_colors) // COLUMNS)
    about = {"version": "2.0", "name": _line(palette.name), "comment": _comment(palette)}
    root = xml.Element("ColorSet", about, columns=str(COLUMNS), rows=str(rows))
    for place, (color, name) in enumerate(named_colors):
        entry = xml.SubElement(root, "ColorSetEntry", name=name, id=str(place), bitdepth="U8", spot="false")
        xml.SubElement(
            entry, "sRGB", {channel: f"{level / 255:.8f}" for channel, level in zip("rgb", color, strict=True)}
        )
        xml.SubElement(entry, "Position", row=str(place // COLUMNS), column=str(place % COLUMNS))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        # The type comes first and uncompressed, so that it is found at a fixed place in the file.
        _add(archive, "mimetype", "krita/x-colorset", zipfile.ZIP_STORED)
        _add(archive, "colorset.xml", xml.tostring(root, encoding="unicode"))
        _add(archive, "profiles.xml", "<Profiles/>")  # sRGB is built in
    return content.getvalue()


def swatches(palette: Palette) -> Image.Image:
    """An RGB picture of all colours that can be painted, with their names. ValueError where they are too many."""
    shown = [(i, color) for i, color in enumerate(palette.colors) if color is not None]
    columns = min(5, 1 + len(shown) // 8)
    rows = -(-len(shown) // columns)

    heading, names = _line(palette.name), {i: _line(palette.names[i]) for i, _ in shown}
    text, small, title = (ImageFont.load_default(size) for size in (15, 12, 22))
    cell_width = max([220, *(BLOCK + 26 + int(text.getlength(name)) for name in names.values())])
    width = max(2 * MARGIN + columns * cell_width, 2 * MARGIN + int(title.getlength(heading)) + 120)
    height = 2 * MARGIN + TITLE + rows * CELL - GAP
    if width * height > MAX_PIXELS:
        raise ValueError(f"a picture of {len(shown)} colours would have {width}x{height} pixels: write .gpl or .kpl")
    picture = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, MARGIN - 4), heading, INK, title)
    draw.text((width - MARGIN, MARGIN + 2), f"{len(shown)} classes", FAINT, text, anchor="ra")
    for place, (i, color) in enumerate(shown):
        r, g, b = color
        row, column = place % rows, place // rows
        x, y = MARGIN + column * cell_width, MARGIN + TITLE + row * CELL
        draw.rectangle((x, y, x + BLOCK, y + CELL - GAP), color, outline=OUTLINE)
        shared = "" if palette.read_as(i) == i else f"   read as {palette.read_as(i)}"
        draw.text((x + BLOCK + 10, y + 1), names[i], INK, text)
        draw.text((x + BLOCK + 10, y + 19), f"{i}   #{r:02x}{g:02x}{b:02x}{shared}", FAINT, small)
    return picture


INK, FAINT, OUTLINE = (34, 34, 38), (128, 128, 134), (210, 210, 206)
MARGIN, TITLE, CELL, GAP, BLOCK = 24, 40, 44, 10, 52  # pixels


def _named_colors(palette: Palette) -> list[tuple[Color, str]]:
    """Every class that can be painted; with a note in the name of one that is read as another class."""
    named = []
    for i, (color, name) in enumerate(zip(palette.colors, palette.names, strict=True)):
        if color is not None:
            first = palette.read_as(i)
            named.append((color, _line(name if first == i else f"{name} (read as {palette.names[first]})")))
    return named


def _comment(palette: Palette) -> str:
    """The note, and what colours with names cannot say of the classes, so that a palette file can be read again."""
    return " ".join(part for part in (_line(palette.note), own_comment(palette.to_dict())) if part)


def _line(text: str) -> str:
    """On one line, without the control characters that would break the file."""
    return " ".join(CONTROL.sub(" ", text).split())


def _add(archive: zipfile.ZipFile, name: str, content: str, compression: int = zipfile.ZIP_DEFLATED) -> None:
    entry = zipfile.ZipInfo(name)  # dated 1980: the same palette is the same file
    entry.compress_type = compression
    archive.writestr(entry, content)
