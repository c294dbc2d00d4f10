"""Class tables in the forms that labelling tools and painting programs write them, as the mapping of `Palette.from_dict`.

The content decides the form, hardly the name. Ids that a file does not give follow its order, and colours that
it does not give are those of PASCAL VOC's colour map; what was taken for granted is returned as remarks.
"""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as xml

from ..files.kinds import what_is
from ..files.parsing import parsed
from ..files.untrusted import brief, naming, shown

SMALLEST = 'the smallest class table is {"classes": [{"name": "road", "color": [128, 64, 128]}]}, in JSON or YAML'
NO_TABLE = f'a class table is a mapping that holds "classes", a list of {{"name": ..., "color": ...}}; {SMALLEST}'
AMBIGUOUS = f"lines of four numbers can be read in several ways: {SMALLEST}"
LONGEST_LINE = 80  # characters of a class's name in a list of nothing but names
MOST_XML = 2**24  # bytes of the colours of a Krita palette, unpacked
OWN = "classes: "  # begins the JSON on classes in the comment of our palette files

NAMES = ("name", "class", "class name", "label", "label name", "category", "title")
IDS = ("id", "pixel value", "value", "index", "class id", "label id", "pixel")
COLORS = ("color", "colour", "rgb", "hex", "color rgb")
LEVELS = (("r", "g", "b"), ("red", "green", "blue"))

FLAGS = ("unlabelled_channel", "edge_channel")

IGNORED = ("__ignore__",)  # LabelMe's line for pixels of no class, stored as -1 or 255


class Entry(NamedTuple):
    """A class as a file has it, unchecked. What it does not have is None."""

    name: Any
    color: Any = None
    id: int | None = None


class Found(NamedTuple):
    """The classes of a file of a known form. more: further keys of a class table, such as its name."""

    form: str
    entries: list[Entry]
    more: dict[str, Any] = {}  # noqa: RUF012


def class_table(content: bytes, path: Path) -> tuple[Any, list[str]]:
    """What a file holds of classes, for `Palette.from_dict`, and remarks on what was assumed.

    Our own JSON and YAML; labelmap.txt (CVAT, Pascal VOC), .gpl (GIMP) and .kpl (Krita), _classes.csv (Roboflow) and other
    CSV with a header, lines of a name and three levels, with an alpha or none (3D Slicer, FreeSurfer, ITK-SNAP), JSON of
    Datumaro, Mapillary, COCO, Supervisely and transformers, lists of names (LabelMe). ValueError shows the
    smallest table.
    """
    found = _read(content, path)
    if not isinstance(found, Found):
        return ({"name": path.stem, **found} if isinstance(found, dict) else found), []
    return _table(found, path)


def _table(found: Found, path: Path) -> tuple[dict[str, Any], list[str]]:
    remarks = []
    entries = [entry for entry in found.entries if entry.name not in IGNORED]
    if not entries:
        raise ValueError(f"there is no class in this {found.form}: {SMALLEST}")
    if len(entries) < len(found.entries):
        remarks.append(f"{IGNORED[0]} is no class but what is left open (stored as -1 or 255)")
    if all(entry.id is None for entry in entries):
        remarks.append(
            f"the ids of its {len(entries)} classes follow their order, from {brief(str(entries[0].name))} (0)"
        )
        ids = list(range(len(entries)))
    elif any(entry.id is None for entry in entries):
        raise ValueError(f"some classes of this {found.form} have an id and others have none: give all or none")
    else:
        ids = [entry.id for entry in entries if entry.id is not None]
    colors = [entry.color for entry in entries]
    if "values" in found.more:
        remarks.append(f"its levels 1 to {len(ids)} are the values of label maps, and there are no colours")
    elif all(color is None for color in colors) and all(type(i) is int and 0 <= i < 256 for i in ids):
        remarks.append("it gives no colours: those of PASCAL VOC's colour map are taken, black for 0")
        colors = [voc_color(i) for i in ids]
    classes = [
        {"name": entry.name, "id": i, **({} if color is None else {"color": color})}
        for entry, i, color in zip(entries, ids, colors, strict=True)
    ]
    table = {"name": path.stem, **found.more, "classes": [*classes, *found.more.get("classes", [])]}
    return table, [f"{path} is read as {found.form}: {'; '.join(remarks)}"] if remarks else []


def voc_color(i: int) -> list[int]:
    """PASCAL VOC's colour of id `i`, 0 to 255: the bits of the id, dealt out to red, green and blue from the highest on."""
    return [sum((i >> 3 * bit + channel & 1) << 7 - bit for bit in range(3)) for channel in range(3)]


def _read(content: bytes, path: Path) -> Found | Any:
    """The classes in a file, or the data of one that is no tool's but ours, if any."""
    if content.startswith(b"PK\x03\x04"):
        return _krita(content, path)
    text = _text(content, path)
    suffix = path.suffix.lower()
    if text.startswith("GIMP Palette"):
        return _gimp(text)
    if suffix == ".json":
        return _of_data(_data(content, "JSON"), path)
    if suffix not in YAML and text.startswith(("{", "[")):
        with suppress(ValueError):
            return _of_data(parsed(content, "JSON"), path)
    elif suffix not in YAML:
        lines = [line.strip() for line in text.splitlines()]
        lines = [line for line in lines if line and (not line.startswith("#") or HEX.match(line))]
        for form in (_labelmap, _csv, _lines_of_colors, _lines_of_ids):
            if found := form(lines):
                return found
        if lines and suffix in LISTS and not any(re.match(r"(classes|labels|names)\s*:", line) for line in lines):
            return _names(lines, path)
    data = _data(content, "YAML")
    if isinstance(data, str) or data is None:
        raise ValueError(f"this is {what_is(path) or 'a text'}, no class table: {SMALLEST}")
    return _of_data(data, path)


YAML = (".yaml", ".yml")
LISTS = (".txt", ".names", ".labels", ".lst", ".list", "")


def _data(content: bytes, form: Any) -> Any:
    try:
        return parsed(content, form)
    except ValueError as error:
        raise ValueError(f"it is {error}; {SMALLEST}") from error


def _text(content: bytes, path: Path) -> str:
    utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueError(f"this is {what_is(path) or 'no text in UTF-8'}, no class table: {SMALLEST}")
    return text.lstrip()


# Lines

HEX = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})\b")
LABELMAP = re.compile(r"(?P<name>[^:]+):\s*(?P<color>\d+\s*,\s*\d+\s*,\s*\d+)?\s*(:[^:]*){0,2}")
LEVEL = r"\d{1,3}"
BETWEEN = r"[\s,;]+"
COLOR_FIRST = re.compile(rf"({LEVEL}){BETWEEN}({LEVEL}){BETWEEN}({LEVEL})(?:{BETWEEN}(.*))?")
COLOR_LAST = re.compile(rf"(.*?\S)(?:{BETWEEN}|\s*:\s*)\(?({LEVEL}){BETWEEN}({LEVEL}){BETWEEN}({LEVEL})\)?")
COLOR_AND_ALPHA = re.compile(rf"(.*?\D.*?){BETWEEN}({LEVEL}){BETWEEN}({LEVEL}){BETWEEN}({LEVEL}){BETWEEN}({LEVEL})")
OPAQUE = ("0", "255")  # alphas of the class tables that give one: 3D Slicer writes 255, FreeSurfer 0
ITK_SNAP = re.compile(rf'(\d{{1,5}})\s+({LEVEL})\s+({LEVEL})\s+({LEVEL})\s+[\d.]+\s+[01]\s+[01]\s+"(.+)"')
NUMBERS = re.compile(r"(?<![\w.])\d[\d.]*[\s,;]+\d[\d.]*[\s,;]+\d")  # as of colours
ID_FIRST = re.compile(r"(\d{1,5})\s*[:,;=\s]\s*(.*\D.*)")
AROUND = " \t,;\"'"  # a name


def _labelmap(lines: Sequence[str]) -> Found | None:
    """name:r,g,b:parts:actions"""
    found = _matches(LABELMAP, lines)
    if not any(one["color"] for one in found) and not all(line.count(":") > 1 for line in lines):
        return None
    entries = [Entry(one["name"].strip(), _levels(one["color"])) for one in found]
    return Found("labelmap.txt (CVAT, Pascal VOC)", entries) if entries else None


def _matches(pattern: re.Pattern[str], lines: Sequence[str]) -> list[re.Match[str]]:
    """Of all lines; none if one of them is of another form."""
    found = [one for line in lines if (one := pattern.fullmatch(line))]
    return found if len(found) == len(lines) else []


def _levels(text: str | None) -> list[int] | None:
    return None if text is None else [int(level) for level in re.findall(r"\d+", text)]


def _csv(lines: Sequence[str]) -> Found | None:
    """With a header that calls a column the classes' names."""
    if len(lines) < 2:
        return None
    delimiter = max(",;\t", key=lines[0].count)
    try:
        header, *rows = csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter, skipinitialspace=True)
    except csv.Error:
        return None
    places = {re.sub(r"[\s_]+", " ", title).strip().lower(): place for place, title in enumerate(header)}
    name, number, color = (
        next((places[title] for title in titles if title in places), None) for titles in (NAMES, IDS, COLORS)
    )
    if name is None or len(places) < 2:
        return None
    levels = next(([places[t] for t in titles] for titles in LEVELS if set(titles) <= places.keys()), None)
    entries = []
    for row in rows:
        cells = [cell.strip() for cell in row]
        if len(cells) != len(header):
            raise ValueError(f"line {shown(delimiter.join(row))} has {len(cells)} columns, the header {len(header)}")
        given: Any = None
        if levels:
            given = [_whole(cells[place], "a level of a colour") for place in levels]
        elif color is not None and cells[color]:
            given = cells[color] if cells[color].startswith("#") else _levels(cells[color])
        class_id = None if number is None else _whole(cells[number], "an id")
        entries.append(Entry(cells[name], given, class_id))
    return Found("CSV with a header (Roboflow's _classes.csv and others)", entries)


def _whole(text: str, what: str) -> int:
    if not re.fullmatch(r"-?\d{1,9}", text):
        raise ValueError(f"{what} is a whole number, not {shown(text)}")
    return int(text)


def _lines_of_colors(lines: Sequence[str]) -> Found | None:
    """r g b name, or name r g b; with an id before the name, or none. r g b may be #rrggbb."""
    lines = [HEX.sub(lambda one: " ".join(str(int(level, 16)) for level in one.groups()), line) for line in lines]
    if found := _matches(ITK_SNAP, lines):
        entries = [Entry(one[5], [int(one[place]) for place in (2, 3, 4)], int(one[1])) for one in found]
    elif found := _matches(COLOR_FIRST, lines):
        names = [(one[4] or "").strip(AROUND) or f"class {place}" for place, one in enumerate(found)]
        numbers = any(re.fullmatch(r"[\d\s,;.]+", name) for name in names)
        if numbers or all(re.match(r"[\d.]+[\s,;]", name) for name in names):
            raise ValueError(AMBIGUOUS)
        entries = [Entry(name, [*map(int, one.groups()[:3])]) for name, one in zip(names, found, strict=True)]
    elif found := _matches(COLOR_LAST, _without_alpha(lines)):
        entries = [Entry(one[1].strip(AROUND + ":"), [*map(int, one.groups()[1:])]) for one in found]
        if numbered := _matches(ID_FIRST, [entry.name for entry in entries]):
            entries = [
                Entry(one[2].strip(AROUND), entry.color, int(one[1]))
                for entry, one in zip(entries, numbered, strict=True)
            ]
    else:
        return None
    return Found("lines of names and colours", entries)


def _without_alpha(lines: Sequence[str]) -> Sequence[str]:
    """Lines that end in r g b a, without a. ValueError if the first of four numbers may be of the name as well."""
    found = [one for line in lines if (one := COLOR_AND_ALPHA.fullmatch(line))]
    names = {re.sub(r"^\d+", "", one[1]) for one in found}
    if len(found) < len(lines) or len(names) < len(lines):  # zone 1, zone 2: numbers of names
        return lines
    if not all(one[5] in OPAQUE for one in found):
        raise ValueError(AMBIGUOUS)
    return [f"{one[1]} {one[2]} {one[3]} {one[4]}" for one in found]


def _lines_of_ids(lines: Sequence[str]) -> Found | None:
    """0: unlabeled"""
    if len(found := _matches(ID_FIRST, lines)) < 2:
        return None
    if strange := next((line for line in lines if NUMBERS.search(line)), None):
        raise ValueError(f"the line {shown(strange)} is no id and name of a class: {SMALLEST}")
    return Found("lines of ids and names", [Entry(one[2].strip(" \t\"'"), None, int(one[1])) for one in found])


def _names(lines: Sequence[str], path: Path) -> Found:
    """A name a line."""
    strange = next(
        (
            line
            for line in lines
            if len(line) > LONGEST_LINE or re.search(r"[<>{}=]|://|\.\s|\.$", line) or NUMBERS.search(line)
        ),
        None,
    )
    reason = "a name stands twice" if strange is None else f"{shown(strange)} is no name of a class"
    if strange is not None or len(set(lines)) < len(lines):
        raise ValueError(f"this is no list of classes, one a line ({reason}): {SMALLEST}")
    return Found("a list of names, one a line (LabelMe's labels.txt)", [Entry(line) for line in lines])


# Palettes of painting programs


def _gimp(text: str) -> Found:
    entries: list[Entry] = []
    more: dict[str, Any] = {}
    columns = 3
    for number, line in enumerate(text.splitlines()[1:], start=2):
        key, _, value = (part.strip() for part in line.partition(":"))
        if key.startswith("#"):
            more |= _comment(line.strip()[1:].strip())
        elif key.lower() == "name":
            more["name"] = value
        elif key.lower() == "channels":
            columns = 4 if value.upper() == "RGBA" else 3
        elif line.strip() and key.lower() != "columns":
            parts = line.split(None, columns)
            if len(parts) < columns or not all(re.fullmatch(LEVEL, part) for part in parts[:columns]):
                raise ValueError(f"line {number} of this GIMP palette is no colour: {shown(line)}")
            name = parts[columns].strip() if len(parts) > columns else ""
            entries.append(Entry(name or f"class {len(entries)}", [int(part) for part in parts[:3]]))
    return _own("a GIMP palette (.gpl)", entries, more)


def _krita(content: bytes, path: Path) -> Found:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            large = archive.getinfo("colorset.xml").file_size > MOST_XML
            text = "" if large else archive.read("colorset.xml").decode()
        root = xml.fromstring("" if "<!DOCTYPE" in text or "<!ENTITY" in text else text)  # neither occurs in a palette
    except KeyError:
        raise ValueError(f"this is {what_is(path) or 'a zip archive'}, no class table: {SMALLEST}") from None
    except Exception as error:  # zipfile and zlib raise almost anything on damage
        raise ValueError(f"this palette of Krita is damaged: {brief(str(error))}") from error
    placed: list[tuple[int, int, int, Entry]] = []
    parts = enumerate([root, *root.iter("Group")])
    for group, swatch in ((i, swatch) for i, part in parts for swatch in part.findall("ColorSetEntry")):
        color, place = swatch.find("sRGB"), swatch.find("Position")
        if color is None:
            raise ValueError(f"its swatch {shown(swatch.get('name'))} has no sRGB colour, and only these are read")
        row, column = (_place(place, axis) for axis in ("row", "column"))
        levels = [_unit(color.get(channel)) for channel in "rgb"]
        placed.append((group, row, column, Entry(swatch.get("name") or f"class {len(placed)}", levels)))
    entries = [entry for *_, entry in sorted(placed, key=lambda one: one[:3])]
    more = {"name": root.get("name") or path.stem, **_comment(root.get("comment") or "")}
    return _own("a palette of Krita (.kpl)", entries, more)


def _place(place: Any, axis: str) -> int:
    return _whole(place.get(axis, "0") if place is not None else "0", "the place of a swatch")


def _unit(text: str | None) -> int:
    if not re.fullmatch(r"[\d.]{1,20}(e-?\d{1,3})?", text or "") or (text or "").count(".") > 1:
        raise ValueError(f"a level of a swatch is a number from 0 to 1, not {shown(text)}")
    return round(float(text or 0) * 255)


def _comment(text: str) -> dict[str, Any]:
    """The comment of a palette: its note, and what our palette files add on its classes."""
    note, own, added = text.rpartition(OWN) if OWN + "{" in text else (text, "", "")
    found: dict[str, Any] = {"note": note.strip()} if note.strip() else {}
    if own:
        with naming("its comment on classes"):
            found["own"] = parsed(added, "JSON")
    return found


def _own(form: str, entries: list[Entry], more: dict[str, Any]) -> Found:
    """With what our palette files add on the classes, if it is one."""
    names = {entry.name for entry in entries}
    firsts: dict[tuple[int, ...], str] = {}
    plain = []
    for entry in entries:
        shared = re.fullmatch(r"(.*) \(read as (.*)\)", entry.name)
        same = shared and shared[2] in names and firsts.get(tuple(entry.color)) == shared[2]
        plain.append(entry._replace(name=shared[1]) if shared and same else entry)
        firsts.setdefault(tuple(entry.color), plain[-1].name)
    own = more.pop("own", None)
    if own is None:
        return Found(form, plain, more)
    ids = own.get("ids") if isinstance(own, dict) else None
    if not isinstance(ids, list) or len(ids) != len(plain) or not all(type(i) is int for i in ids):
        raise ValueError(f"its comment has ids of other classes than its {len(plain)} colours: remove the comment")
    uncolored = own.get("uncolored", [])
    added = {key: own[key] for key in ("num_channels", *FLAGS) if key in own}
    plain = [entry._replace(id=i) for entry, i in zip(plain, ids, strict=True)]
    return Found(form, plain, {**more, **added, "classes": uncolored if isinstance(uncolored, list) else []})


# Data


def _of_data(data: Any, path: Path) -> Found | Any:
    """The classes in JSON or YAML, by the keys that the tools write; `data` itself if it is ours."""
    if _are_mappings(data):
        # CVAT's labels have the numbers of its data base
        return _of_mappings("a list of classes", data, ids=not all("attributes" in entry for entry in data))
    data = data if isinstance(data, dict) else {}
    if isinstance(data.get("classes"), list) and not _supervisely(data["classes"]):
        return {**data, "classes": [_with_color(entry) for entry in data["classes"]]}
    if "label_map" in data:
        return _datumaro(data)
    forms = {
        "labels": lambda: _of_mappings("Mapillary's config.json", data["labels"], ids=False),
        "categories": lambda: _of_mappings("COCO's categories", data["categories"]),
        "classes": lambda: _of_mappings("Supervisely's meta.json", data["classes"], ids=False),
        "id2label": lambda: _of_numbered(data["id2label"]),
        "names": lambda: _of_names(data["names"]) if isinstance(data["names"], list) else _of_numbered(data["names"]),
    }
    for key, read in forms.items():
        if key in data:
            return read()
    if "polygons" in (kind := what_is(path) or ""):
        raise ValueError(f"this is {kind}; it is no class table: {SMALLEST}")
    if data and all(_is_number(key) for key in data):
        return _of_numbered(data)
    if data and all(isinstance(value, list) and len(value) == 3 for value in data.values()):
        return _of_colors(data)
    if data and all(type(value) is int for value in data.values()):
        return Found("names and ids", [Entry(name, None, number) for name, number in data.items()])
    raise ValueError(NO_TABLE)


def _with_color(entry: Any) -> Any:
    """A class of ours, whose colour may be spelt so."""
    if not isinstance(entry, dict) or "colour" not in entry or "color" in entry:
        return entry
    return {"color" if key == "colour" else key: value for key, value in entry.items()}


def _are_mappings(data: Any) -> bool:
    return isinstance(data, list) and bool(data) and all(isinstance(entry, Mapping) for entry in data)


def _supervisely(classes: list[Any]) -> bool:
    return _are_mappings(classes) and all("title" in entry and "name" not in entry for entry in classes)


def _of_mappings(form: str, data: Any, ids: bool = True) -> Found | Any:
    """Classes as mappings with a name and perhaps a colour. ids: whether theirs are those of label maps."""
    if not _are_mappings(data):
        return _of_names(data)
    entries = []
    for entry in data:
        name = next((entry[key] for key in ("name", "title", "label") if isinstance(entry.get(key), str)), None)
        color = next((entry[key] for key in ("color", "colour", "rgb") if entry.get(key) is not None), None)
        number = entry.get("id") if ids else None
        entries.append(Entry(name, color, number))
    return Found(form, entries)


def _of_names(data: Any) -> Found:
    if not isinstance(data, list) or not data or not all(isinstance(name, str) for name in data):
        raise ValueError(f"a class table lists classes by name, not {shown(data)}: {SMALLEST}")
    return Found("a list of names", [Entry(name) for name in data])


def _of_colors(data: Mapping[Any, list[Any]]) -> Found:
    """{"car": [1, 1, 1], "road": [2, 2, 2]} are no colours, but values."""
    values = {name: color[0] for name, color in data.items() if color == [color[0]] * 3 and type(color[0]) is int}
    first = min(values.values(), default=0)
    if first != 1 or sorted(values.values()) != list(range(1, len(data) + 1)):
        return Found("names and colours", [Entry(name, color) for name, color in data.items()])
    return Found(
        "Supervisely's obj_class_to_machine_color.json",
        [Entry(name) for name in sorted(values, key=values.__getitem__)],
        {"values": [{"name": "machine colors", "first": 1, "unpainted": [0]}]},
    )


def _of_numbered(data: Any) -> Found:
    """{"0": "wall", "1": "building"}"""
    if not isinstance(data, Mapping) or not data or not all(_is_number(key) for key in data):
        raise ValueError(f"ids are whole numbers, and their classes' names are texts, not {shown(data)}: {SMALLEST}")
    numbered = sorted(((int(i), name) for i, name in data.items()), key=lambda one: one[0])
    return Found("ids and names", [Entry(name, None, i) for i, name in numbered])


def _is_number(key: Any) -> bool:
    return type(key) is int or (isinstance(key, str) and re.fullmatch(r"\d{1,9}", key) is not None)


def _datumaro(data: Mapping[str, Any]) -> Found:
    """{"label_map": {"0": "background", ...}, "segmentation_colors": [[0, 0, 0], ...]}, in the order of the map."""
    names = data["label_map"]
    names = dict(enumerate(names)) if isinstance(names, list) else names
    entries = _of_numbered(names).entries
    if (colors := data.get("segmentation_colors")) is not None:
        if not isinstance(colors, list) or len(colors) != len(entries):
            raise ValueError(f"there are {len(entries)} names in label_map, and other segmentation_colors")
        given = dict(zip(map(int, names), colors, strict=True))
        entries = [entry._replace(color=given[entry.id or 0]) for entry in entries]
    return Found("Datumaro's dataset_meta.json", entries)


def own_comment(palette_table: Mapping[str, Any]) -> str:
    """What a list of named colours cannot say of a class table, for the comment of a palette file; "" if nothing."""
    classes = palette_table["classes"]
    ids = [entry["id"] for entry in classes if "color" in entry]
    flags = {key: palette_table[key] for key in FLAGS if palette_table[key] not in (None, False)}
    if ids == list(range(palette_table["num_channels"])) and not flags:
        return ""
    added: dict[str, Any] = {"ids": ids, "num_channels": palette_table["num_channels"], **flags}
    if uncolored := [entry for entry in classes if "color" not in entry]:
        added["uncolored"] = uncolored
    return OWN + json.dumps(added)
