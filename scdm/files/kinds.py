"""The kind of a file, by which a message names what was given instead of an image, a model or a class table.

By its first bytes, and where these say nothing by its suffix; nothing is decoded. Free of torch.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from .untrusted import MOST_BYTES

HEAD = 2048  # bytes that are looked at
PICTURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
AS_PNG = "export it as PNG"
UNPACK = "unpack it first"
NO_ADVICE = ""

Kind = tuple[str, str]  # what it is, and what to do

VIDEO: Kind = ("a video", "save a frame of it as an image")

# Suffix -> what the file is and what to do, where bytes do not tell.
BY_SUFFIX = {
    ".xcf": ("a document of GIMP", AS_PNG),
    ".clip": ("a document of Clip Studio", AS_PNG),
    ".procreate": ("a document of Procreate", AS_PNG),
    ".ckpt": ("a checkpoint", "convert it with 'scdm convert'"),
    ".mdp": ("a document of MediBang", AS_PNG),
}

# What a file begins with -> what it is and what to do.
BY_START: tuple[tuple[bytes | tuple[bytes, ...], str, str], ...] = (
    (b"\x93NUMPY", "a NumPy array (.npy)", "save it as a grey PNG"),
    (b"MATLAB 5.0", "a file of MATLAB (.mat)", "save the map in it as a grey PNG"),
    (b"\x89HDF\r\n\x1a\n", "a file of HDF5 (.h5, or .mat of MATLAB 7.3)", "save the map in it as a grey PNG"),
    (b"8BPS", "a document of Photoshop (.psd)", AS_PNG),
    (b"gimp xcf", "a document of GIMP (.xcf)", AS_PNG),
    (b"CSFCHUNK", "a document of Clip Studio (.clip)", AS_PNG),
    (b"%PDF", "a PDF document", AS_PNG),
    ((b"%!PS", b"\xc5\xd0\xd3\xc6"), "a PostScript document", AS_PNG),
    (b"version https://git-lfs", "a Git LFS pointer, not the file that it stands for", "fetch it with 'git lfs pull'"),
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!", "a RAR archive", UNPACK),
    (b"\xfd7zXZ", "an xz archive", UNPACK),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", UNPACK),
    ((b"\x1aE\xdf\xa3", b"\0\0\1\xba", b"\0\0\1\xb3"), *VIDEO),
    (b"GGUF", "a model in the form GGUF", "take the PyTorch or safetensors file of it"),
    (b"v/1\x01", "an OpenEXR image", "export it as PNG with 8 or 16 bits"),
    (b"#?RADIANCE", "a Radiance HDR image", "export it as PNG with 8 or 16 bits"),
    ((b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51"), "a JPEG 2000 image", AS_PNG),
    ((b"\0\0\0\x0cJXL ", b"\xff\x0a"), "a JPEG XL image", AS_PNG),
    (b"\0\0\1\0", "an icon (.ico)", AS_PNG),
    (b"DDS ", "a DDS texture", AS_PNG),
    (b"DICM", "a DICOM image", "export it as a grey PNG"),
    (b"SQLite format 3", "an SQLite database", "export what is wanted from it as PNG"),
    ((b"\x7fELF", b"MZ"), "a program", NO_ADVICE),
    (
        (b"\x80\2", b"\x80\3", b"\x80\4", b"\x80\5"),
        "a pickle of Python",
        "it may run code, so it is not opened: save its tensors with torch.save or safetensors",
    ),
)

# Brands of the ISO base media format, at byte 8 behind "ftyp".
PHOTOGRAPHS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis", b"crx ")

# What a zip archive holds -> what it is and what to do.
BY_MEMBER = (
    ("mergedimage.png", "a document of OpenRaster (.ora: Krita, MyPaint, GIMP)", "export the document as PNG"),
    ("maindoc.xml", "a document of Krita (.kra)", "export the document as PNG"),
    ("colorset.xml", "a palette of Krita (.kpl)", "give it as --palette"),
    ("Document.archive", "a document of Procreate", "export the document as PNG"),
    ("word/document.xml", "a document of Word", NO_ADVICE),
    ("xl/workbook.xml", "a spreadsheet", NO_ADVICE),
    ("model_index.json", "a model of the diffusers library in a zip archive", "SCDM reads none of these"),
)


def what_is(path: str | Path, *, picture_wanted: bool = False) -> str | None:
    """The kind of a file, if it is known and not what was wanted, and what to do about it:
    "a NumPy array (.npy): save it as a grey PNG". None for safetensors files."""
    if not picture_wanted and looks_like_a_picture(path):
        return "a picture"
    kind = _kind(Path(path))
    return None if kind is None else ": ".join(part for part in kind if part)


def looks_like_a_picture(path: str | Path) -> bool:
    """Whether the first bytes are those of a picture in one of the usual formats."""
    head = _head(Path(path))
    return head.startswith(PICTURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or bool(PNM.match(head))


PNM = re.compile(rb"P[1-7fF][\s#]")


def _kind(path: Path) -> Kind | None:
    head = _head(path)
    if not head:
        return (
            ("an empty file", "nothing was written into it, or its download is incomplete") if path.is_file() else None
        )
    if not any(head):
        return "a file of zeros", "its copy or download was cut off, make it again"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _archive(path)
    if head[4:8] == b"ftyp":
        return _media(head)
    if head[:4] == b"RIFF":
        return VIDEO if head[8:12] == b"AVI " else None
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < 2**40:
        return None  # safetensors
    for start, name, advice in BY_START:
        if head.startswith(start):
            return name, advice
    if head[128:132] == b"DICM":
        return "a DICOM image", "export it as a grey PNG"
    if head[257:262] == b"ustar":
        return "a tar archive", UNPACK
    return _text(path, head) or BY_SUFFIX.get(path.suffix.lower())


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD)
    except OSError:
        return b""


def _media(head: bytes) -> Kind:
    brand = head[8:12]
    if brand in PHOTOGRAPHS:
        return f"a photograph in the form {'AVIF' if brand[:2] == b'av' else 'HEIF'}", "save it as PNG or JPEG first"
    return VIDEO


def _archive(path: Path) -> Kind | None:
    """None for what PyTorch writes."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return None if path.suffix.lower() in TORCH else ("a damaged zip archive", "make or download it again")
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in members):
        return "a checkpoint of PyTorch", "convert it with 'scdm convert'"
    for member, name, advice in BY_MEMBER:
        if member in members:
            return name, advice
    if members and all(name.endswith(".npy") for name in members):
        return "arrays of NumPy (.npz)", "save the one that is the map as a grey PNG"
    return "a zip archive", UNPACK


TORCH = (".pt", ".pth", ".ckpt", ".bin")


def _text(path: Path, head: bytes) -> Kind | None:
    """Files of words; None for what is no text."""
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = head.decode(encoding, errors="strict" if len(head) < HEAD else "ignore").lstrip()
    except UnicodeDecodeError:
        return None
    if "\0" in text or any(c < " " and c not in "\t\r\n\f" for c in text):
        return None
    start = text[:512].lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body")) or "<html" in start:
        return "a web page", "its address leads to a page about the file: download the file itself"
    if "<svg" in text.lower():
        return "a drawing of vectors (SVG)", "export it as PNG"
    if start.startswith("<"):
        return _annotation_xml(text)
    if start.startswith("gimp palette"):
        return "a palette of GIMP (.gpl)", "give it as --palette"
    if start.startswith(("{", "[")):
        return _json(path)
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        return "a file of settings or a class table (YAML)", "a class table is given as --palette"
    return "a text", NO_ADVICE


def _annotation_xml(text: str) -> Kind:
    if "<annotation" in text:
        return "annotations in XML (Pascal VOC, CVAT)", "draw them into a PNG first"
    return "a text in XML", NO_ADVICE


POLYGONS = "draw them into a PNG first, each in the colour of its class"
Content = Mapping[str, Any]


def _json(path: Path) -> Kind:
    """By the keys that the tools write."""
    content = _json_content(path)
    if isinstance(content, list):
        first = content[0] if content and isinstance(content[0], dict) else {}
        results = {"segmentation", "bbox"} & first.keys()
        return ("annotations in JSON (COCO results)", POLYGONS) if results else ("a list in JSON", NO_ADVICE)
    if not isinstance(content, dict):
        return "a damaged file of JSON", "make or download it again"
    return next((kind for holds, kind in BY_KEYS if holds(content)), ("a file of JSON", NO_ADVICE))


def _any_of(content: Any, key: str) -> bool:
    """Whether one of the first few mappings in `content` has the key."""
    some = [*content][:8] if isinstance(content, Iterable) and not isinstance(content, str) else []
    return any(key in part for part in some if isinstance(part, Mapping))


# What an object in JSON holds -> what it is and what to do. The first that fits counts.
BY_KEYS: tuple[tuple[Callable[[Content], bool], Kind], ...] = (
    (lambda it: "shapes" in it, ("a file of polygons (LabelMe)", POLYGONS)),
    (
        lambda it: {"annotations", "images"} <= it.keys() and _any_of(it["annotations"], "segments_info"),
        ("the list of a panoptic data set (COCO)", "the maps are in the folder of PNG files beside it"),
    ),
    (lambda it: {"annotations", "images"} <= it.keys(), ("a file of polygons (COCO)", POLYGONS)),
    (
        lambda it: isinstance(it.get("annotation"), dict),
        ("a file of polygons (ADE20K)", "the map is the file ..._seg.png beside it, or draw them into a PNG"),
    ),
    (
        lambda it: _any_of(it.get("objects"), "polygon"),
        ("a file of polygons (Cityscapes)", "the map is the file ..._labelIds.png beside it"),
    ),
    (lambda it: "objects" in it, ("a file of polygons (Supervisely)", POLYGONS)),
    (
        lambda it: "_via_img_metadata" in it or _any_of(it.values(), "regions"),
        ("a file of polygons (VIA)", POLYGONS),
    ),
    (
        lambda it: it.keys() == {"type", "features"} or it.get("type") == "FeatureCollection",
        ("a file of polygons (GeoJSON)", POLYGONS),
    ),
    (
        lambda it: {"nodes", "links"} <= it.keys() or {"last_node_id", "nodes"} <= it.keys(),
        ("a workflow of ComfyUI", "open it there"),
    ),
    (
        lambda it: bool({"classes", "labels", "label_map", "categories", "names"} & it.keys()),
        ("a class table", "give it as --palette"),
    ),
    (
        lambda it: {"metrics", "settings"} <= it.keys(),
        ("the result of an evaluation", "compare such files with training/compare_evaluations.py"),
    ),
)


def _json_content(path: Path) -> Any:
    """None for what is no JSON; of a long file, the keys that its beginning shows."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) <= MOST_BYTES:
            return json.loads(content)
        return dict.fromkeys(re.findall(r'"(\w+)"\s*:', content[:MOST_BYTES].decode("utf-8", "replace")), ())
    except (OSError, ValueError, RecursionError):
        return None
