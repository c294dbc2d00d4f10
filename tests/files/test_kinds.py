"""Files that are not what was asked for are called by their name, with what to do about them."""

import gzip
import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scdm.cli import main
from scdm.files.images import read_image
from scdm.files.kinds import looks_like_a_picture, what_is
from scdm.models.checkpoint import load


def saved(save: object, *arguments: object) -> bytes:
    content = io.BytesIO()
    save(content, *arguments)  # type: ignore[operator]
    return content.getvalue()


def zipped(**members: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return content.getvalue()


LABELME = {"version": "5.0.0", "flags": {}, "shapes": [{"label": "road", "points": [[1, 1]]}], "imagePath": "a.jpg"}

FILES = [
    ("a.npy", saved(np.save, np.zeros((2, 2))), "a NumPy array", "save it as a grey PNG"),
    ("a.npz", saved(np.savez, np.zeros((2, 2))), "arrays of NumPy", "as a grey PNG"),
    ("a.mat", b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(90), "a file of MATLAB", "grey PNG"),
    ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(90), "a file of HDF5", "grey PNG"),
    (
        "a.ora",
        zipped(mimetype="image/openraster", **{"mergedimage.png": "x"}),
        "OpenRaster",
        "export the document as PNG",
    ),
    ("a.kra", zipped(mimetype="application/x-krita", **{"maindoc.xml": "x"}), "Krita", "export the document as PNG"),
    ("a.kpl", zipped(mimetype="krita/x-colorset", **{"colorset.xml": "x"}), "a palette of Krita", "--palette"),
    ("a.zip", zipped(**{"a/b.png": "x"}), "a zip archive", "unpack it first"),
    ("a.tgz", gzip.compress(b"x", mtime=0), "a gzip archive", "unpack it first"),
    ("a.psd", b"8BPS\0\1" + bytes(90), "Photoshop", "PNG"),
    ("a.xcf", b"gimp xcf v011\0", "GIMP", "PNG"),
    ("a.pdf", b"%PDF-1.7\n", "PDF", "PNG"),
    ("a.svg", b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "vectors", "PNG"),
    ("a.mp4", b"\0\0\0\x18ftypisom" + bytes(90), "a video", "a frame of it"),
    ("a.heic", b"\0\0\0\x18ftypheic" + bytes(90), "HEIF", "save it as PNG or JPEG"),
    ("a.avif", b"\0\0\0\x18ftypavif" + bytes(90), "AVIF", "save it as PNG or JPEG"),
    ("a.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer", "git lfs pull"),
    ("a.safetensors", b"<!DOCTYPE html><html></html>", "a web page", "download the file itself"),
    ("a.pkl", pickle.dumps({"a": 1}), "a pickle of Python", "may run code"),
    ("a.png", b"", "an empty file", "download"),
    ("a.png", bytes(5000), "a file of zeros", "make it again"),
    ("a.txt", "Möwe\n".encode(), "a text", ""),
    ("a.txt", ("Möwe\n" * 1000).encode("utf-16"), "a text", ""),
    ("a.json", json.dumps(LABELME).encode(), "polygons (LabelMe)", "draw them into a PNG first"),
    ("a", b"\xef\xbb\xbf" + json.dumps(LABELME).encode(), "polygons (LabelMe)", "draw them into a PNG first"),
    (
        "a.json",
        json.dumps({"annotation": {"filename": "a.jpg", "object": []}}).encode(),
        "polygons (ADE20K)",
        "_seg.png",
    ),
    (
        "a.json",
        b'{"images": [], "annotations": [{"segmentation": [[1, 2, 3]]}], "categories": []}',
        "(COCO)",
        "draw them",
    ),
    (
        "a.json",
        b'{"imgHeight": 1, "objects": [{"label": "road", "polygon": [[0, 0]]}]}',
        "(Cityscapes)",
        "_labelIds.png",
    ),
    ("a.json", b'{"type": "FeatureCollection", "features": []}', "(GeoJSON)", "draw them"),
    ("a.json", b'{"shapes": [', "a damaged file of JSON", ""),
    ("a.json", b"[" * 10**5, "a damaged file of JSON", ""),
    ("a.xml", b"<annotation><folder>x</folder></annotation>", "annotations in XML", "draw them"),
]


@pytest.mark.parametrize(("name", "content", "kind", "advice"), FILES)
def test_files_of_other_kinds_are_named(name: str, content: bytes, kind: str, advice: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    found = what_is(path) or ""
    assert kind in found and advice in found
    with pytest.raises(ValueError, match="image that can be read") as caught:
        read_image(path)
    assert kind in str(caught.value) and advice in str(caught.value)
    with pytest.raises(ValueError, match="not a safetensors file") as caught:
        load(path)
    assert kind in str(caught.value) and "download it again, or convert" not in str(caught.value)


def test_what_is_read_has_no_other_kind(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg", ".webp", ".tif", ".bmp", ".gif", ".ppm", ".tga"):
        Image.new("RGB", (4, 4), (9, 8, 7)).save(tmp_path / f"a{suffix}")
        assert what_is(tmp_path / f"a{suffix}", picture_wanted=True) is None
        assert what_is(tmp_path / f"a{suffix}") == (None if suffix == ".tga" else "a picture")
        assert looks_like_a_picture(tmp_path / f"a{suffix}") or suffix == ".tga"
    (tmp_path / "noise").write_bytes(b"\x81\xfe\x07" * 100)
    assert what_is(tmp_path / "noise") is None
    assert what_is(tmp_path / "absent") is None and what_is(tmp_path) is None
    assert not looks_like_a_picture(tmp_path / "noise")


@pytest.mark.parametrize("name", ["a.npy", "a.ora", "a.json", "a.txt"])
def test_inspect_takes_none_for_a_broken_model(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, kind, advice = next(file[1:] for file in FILES if file[0] == name)
    (tmp_path / name).write_bytes(content)
    assert main(["inspect", str(tmp_path / name)]) == 2
    sentence = capsys.readouterr().err
    assert "neither a layout nor a model, but a" in sentence and kind in sentence and advice in sentence


def test_inspect_knows_a_picture_without_a_suffix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("L", (2, 2)).save(tmp_path / "layout", format="PNG")
    assert main(["inspect", str(tmp_path / "layout")]) == 0
    assert "100.00%" in capsys.readouterr().out
