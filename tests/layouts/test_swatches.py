"""Palettes for painters: files for Krita and GIMP, and a picture."""

import io
import zipfile
from pathlib import Path
from xml.etree import ElementTree as xml

import pytest
from PIL import Image

from scdm.layouts.palette import Palette
from scdm.layouts.swatches import export, gimp_palette, krita_palette, swatches
from tests.layouts.palettes import SKY, THREE, TREE


def test_gimp_palette_lists_every_colour() -> None:
    head, *lines = gimp_palette(Palette.named("ade20k")).splitlines()
    assert head == "GIMP Palette"
    assert lines[:2] == ["Name: ade20k", "Columns: 10"]
    assert len(lines) == 3 + 150
    assert lines[3] == "120 120 120\twall"
    assert lines[3 + 48] == "140 140 140\tskyscraper (read as road)"


def test_krita_palette_is_what_krita_reads() -> None:
    """The type first and uncompressed; sRGB levels that round to the very colours; places inside the grid."""
    content = krita_palette(Palette.named("ade20k"))
    assert content[30:54] == b"mimetypekrita/x-colorset"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert xml.fromstring(archive.read("profiles.xml")).tag == "Profiles"
        root = xml.fromstring(archive.read("colorset.xml"))
    columns, rows = int(root.attrib["columns"]), int(root.attrib["rows"])
    found = []
    for entry in root.iter("ColorSetEntry"):
        color, place = entry.find("sRGB"), entry.find("Position")
        assert color is not None and place is not None
        assert int(place.attrib["row"]) < rows and int(place.attrib["column"]) < columns
        found.append(tuple(round(float(color.attrib[channel]) * 255) for channel in "rgb"))
    assert found == list(Palette.named("ade20k").colors[:150])
    assert content == krita_palette(Palette.named("ade20k"))


def test_exports_hold_no_control_characters() -> None:
    hostile = Palette("a\x1b[31m\nb", ("sky\0\nGIMP", "\ud800\uffff"), (SKY, TREE), note="\x1b\x85x")
    assert gimp_palette(hostile).splitlines() == [
        "GIMP Palette",
        "Name: a [31m b",
        "Columns: 10",
        "# x",
        "  6 230 230\tsky GIMP",
        "  4 200   3\t",
    ]
    gimp_palette(hostile).encode()
    with zipfile.ZipFile(io.BytesIO(krita_palette(hostile))) as archive:
        root = xml.fromstring(archive.read("colorset.xml"))
    assert (root.attrib["name"], root.attrib["comment"]) == ("a [31m b", "x")
    assert swatches(hostile).height > 0


def test_export_chooses_by_suffix(tmp_path: Path) -> None:
    for name in ("three.gpl", "three.kpl", "three.png"):
        export(THREE, tmp_path / name)
    assert Image.open(tmp_path / "three.png").mode == "RGB"
    assert {file.name for file in tmp_path.iterdir()} == {"three.gpl", "three.kpl", "three.png"}
    with pytest.raises(ValueError, match=r"three\.aco: palettes are written as \.kpl, \.gpl or \.png"):
        export(THREE, tmp_path / "three.aco")


def test_swatches_show_every_colour() -> None:
    for palette in (THREE, Palette.named("ade20k")):
        shown = {color for _, color in swatches(palette).getcolors(2**24)}
        assert {color for color in palette.colors if color} <= shown
