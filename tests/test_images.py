"""Image files: every bad file is a ValueError that names it, and writing never leaves half a file."""

import errno
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scdm.images import WRITTEN, made_folder, read_image, write_image, written_whole


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def claiming(width: int, height: int) -> bytes:
    """A tiny PNG whose header claims a size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(b"")
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, data, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_written_images_are_read_back(tmp_path: Path) -> None:
    for shape in ((5, 7), (5, 7, 3), (5, 7, 4)):
        array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
        write_image(tmp_path / "image.PNG", array)
        assert np.array_equal(np.asarray(read_image(tmp_path / "image.PNG")), array)
    for wrong in (
        torch.zeros(1, 3, 2, 2),
        torch.zeros(2, 2),
        torch.zeros(2, 2, 3),
        torch.zeros(3, 2, 2, dtype=torch.uint8),
    ):
        with pytest.raises(ValueError, match=r"a tensor \(3, height, width\) of floats, not .* images\[0\]"):
            write_image(tmp_path / "image.PNG", wrong)
    write_image(tmp_path / "image.PNG", torch.linspace(-1, 1, 256).expand(3, 2, 256))
    assert np.array_equal(np.asarray(read_image(tmp_path / "image.PNG"))[1, :, 2], np.arange(256))
    assert [file.name for file in tmp_path.iterdir()] == ["image.PNG"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "no such file"),
        (b"", "not an image"),
        (b"id,name\n0,wall\n", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),  # never handed to Ghostscript
        (claiming(9000, 9000), "more than 64 megapixels"),
        (claiming(60000, 60000), "more than 64 megapixels"),  # Pillow itself refuses this one
        (claiming(40, 40), "damaged or incomplete"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bad_files_are_named_and_described(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    path = tmp_path / "layout.png"
    if content is not None:
        path.write_bytes(content)
    limit = Image.MAX_IMAGE_PIXELS
    with pytest.raises(ValueError, match=complaint) as caught:
        read_image(path)
    assert str(path) in str(caught.value)
    assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".gif"])
def test_truncated_files_are_damaged(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"layout{suffix}"
    Image.fromarray(noise(64, 64)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match=f"layout{suffix}: .*(damaged|not an image)"):
        read_image(path)


def test_folders_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder"):
        read_image(tmp_path)


def test_photographs_come_upright(tmp_path: Path) -> None:
    """EXIF orientation 6: the camera was held on its side, so rows become columns."""
    exif = Image.Exif()
    exif[0x0112] = 6
    array = noise(4, 6)
    Image.fromarray(array).save(tmp_path / "photo.png", exif=exif)
    upright = np.asarray(read_image(tmp_path / "photo.png"))
    assert np.array_equal(upright, np.rot90(array, -1))


def test_animations_show_their_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (3, 3), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "animation.gif", save_all=True, append_images=frames[1:])
    assert read_image(tmp_path / "animation.gif").convert("RGB").getpixel((0, 0)) == (255, 0, 0)


def test_formats_that_cannot_hold_the_picture_are_refused(tmp_path: Path) -> None:
    for name in ("image.txt", "image", "image.pdf", "image.xbm", "image.gif", ".png"):
        with pytest.raises(ValueError, match=rf"{name}: the name of an image ends in \.png, \.jpg"):
            write_image(tmp_path / name, noise(2, 2))
    with pytest.raises(ValueError, match="JPEG cannot hold a picture of mode RGBA"):
        write_image(tmp_path / "image.jpg", np.zeros((2, 2, 4), dtype=np.uint8))
    with pytest.raises(ValueError, match="there is no folder"):
        write_image(tmp_path / "absent" / "image.png", noise(2, 2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", WRITTEN)
def test_every_format_is_written_under_the_longest_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / ("x" * (255 - len(suffix)) + suffix)
    write_image(path, noise(8, 8))
    assert read_image(path).size == (8, 8)
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_text("old")
    with pytest.raises(RuntimeError), written_whole(path) as beside:
        beside.write_text("half of the ne")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_in_the_way_of_a_file_or_a_folder_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert made_folder(tmp_path / "a" / "b").is_dir() and made_folder(tmp_path / "a" / "b").is_dir()
    for folder in (file, file / "below"):
        with pytest.raises(ValueError, match="a file is in its place"):
            made_folder(folder)
    with pytest.raises(ValueError, match="a is a folder: give the name of a file"), written_whole(tmp_path / "a"):
        pytest.fail("nothing can be written")


def test_a_full_disk_is_an_error_that_names_the_file_and_keeps_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("old")
    with pytest.raises(OSError, match="No space left on device") as told, written_whole(path) as beside:
        beside.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert told.value.filename == str(path)
    with pytest.raises(PermissionError, match="notes") as told, written_whole(path) as beside:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(beside))
    assert told.value.filename == str(path)
    with pytest.raises(FileNotFoundError, match="what is read meanwhile"), written_whole(path):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "what is read meanwhile")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
