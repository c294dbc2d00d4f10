"""Images: in files, read whatever a user points at or say what is wrong with it, write whole files or none; in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from .outside import file_at
from .scratch import PREFIX, scratch

MAX_PIXELS = 64 * 2**20  # 8192 x 8192; a small file can claim far more, and would be decoded into memory
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "TGA")  # not EPS: Pillow would run Ghostscript on it
WRITTEN = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}


def read_image(path: str | Path) -> Image.Image:
    """The picture in a file, in the file's own mode, upright (EXIF orientation applied); an animation's first frame.

    ValueError names the file and says what is wrong: absent, not an image, damaged, or more than `MAX_PIXELS`.
    """
    path = file_at(path)
    try:
        with Image.open(path, formats=FORMATS) as image:
            too_large = image.width * image.height > MAX_PIXELS
            if not too_large:
                return ImageOps.exif_transpose(image)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        too_large = True
    except Image.UnidentifiedImageError:
        raise ValueError(f"{path}: not an image that can be read ({', '.join(FORMATS)})") from None
    except PermissionError:
        raise ValueError(f"{path}: the file may not be read (permission denied)") from None
    except Exception as error:  # damaged files make decoders raise almost anything
        raise ValueError(f"{path}: the image is damaged or incomplete ({error})") from error
    raise ValueError(f"{path}: the image has more than {MAX_PIXELS // 2**20} megapixels: scale it down first")


def write_image(path: str | Path, image: Image.Image | np.ndarray | Tensor) -> None:
    """Write a picture, a uint8 array (H, W), (H, W, 3) or (H, W, 4), or a tensor (3, H, W) in [-1, 1], in the format that
    the suffix names.

    ValueError for a suffix that names no format, and for a format that cannot hold the picture (JPEG and transparency).
    """
    path = Path(path)
    if isinstance(image, Tensor):
        image = _pixels(path, image)
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    file_format = picture_format(path)
    with written_whole(path) as beside:
        try:
            image.save(beside, format=file_format, quality=95)  # of the lossy formats
        except (OSError, KeyError, ValueError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # no space, no permission: not about the format
                raise
            raise ValueError(f"{path}: {file_format} cannot hold a picture of mode {image.mode} ({error})") from error


def picture_format(path: str | Path) -> str:
    """Pillow's name of the format that the suffix of an image file names; ValueError if images are not written in it."""
    suffix = Path(path).suffix.lower()
    if suffix not in WRITTEN:
        raise ValueError(f"{path}: the name of an image ends in {', '.join(WRITTEN)}")
    return WRITTEN[suffix]


@contextmanager
def written_whole(path: str | Path, durable: bool = False) -> Iterator[Path]:
    """A name to write to: moved to `path` on success, removed on failure. Nobody sees half a file, and whatever ends the
    process, what was there before is kept, and half a file goes when something is next written into the folder.

    durable: so that not even a power cut loses what is there under the new name.
    OSError names `path` and the reason.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}")
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the name of a file")
    try:
        with scratch(path.parent) as folder:
            beside = folder / "new"
            beside.touch()
            usual_mode = beside.stat().st_mode  # safetensors, for one, makes files that only their owner may read
            yield beside
            beside.chmod(usual_mode)
            if durable:
                _to_disk(beside)
            beside.replace(path)
            if durable and os.name != "nt":
                with suppress(OSError):  # some file systems do so by themselves, and know no such request
                    _to_disk(path.parent)
    except OSError as error:
        if error.errno is None or (error.filename is not None and PREFIX not in str(error.filename)):
            raise  # about something else
        raise OSError(error.errno, error.strerror, str(path)) from error


def _to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def made_folder(path: str | Path) -> Path:
    """A folder to write to, made with those above it if need be. ValueError says what is in the way."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"{path} cannot be a folder, because a file is in its place: choose another") from None
    except OSError as error:
        raise ValueError(f"{path}: the folder cannot be made ({error.strerror})") from error
    return path


def write_text(path: str | Path, text: str) -> None:
    """A text in UTF-8, whole or not at all."""
    with written_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")


def to_levels(images: Tensor) -> np.ndarray:
    """(B, 3, H, W) in [-1, 1] -> uint8 (B, H, W, 3)."""
    return ((images.movedim(1, -1).float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu().numpy()


def from_levels(levels: np.ndarray) -> Tensor:
    """uint8 (B, H, W, C) -> float32 (B, C, H, W) in [-1, 1]. `to_levels` gives back the same levels."""
    return torch.from_numpy(levels).movedim(-1, 1).float() / 127.5 - 1


PAPER, UNPAINTED = (250, 250, 248), (190, 190, 190)  # of sheets: their ground, and what a layout on them leaves open
GAP = 8  # pixels between the pictures of a contact sheet


def contact_sheet(rows: Sequence[Sequence[np.ndarray]], least_side: int = 1) -> np.ndarray:
    """Pictures, uint8 (h, w, 3) each, in rows on paper: uint8 (H, W, 3). Those smaller than `least_side` are enlarged."""
    rows = [[_enlarged(picture, least_side) for picture in row] for row in rows]
    heights = [GAP + max(picture.shape[0] for picture in row) for row in rows]
    width = GAP + max(sum(GAP + picture.shape[1] for picture in row) for row in rows)
    paper = np.full((GAP + sum(heights), width, 3), PAPER, dtype=np.uint8)
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        left = GAP
        for picture in row:
            paper[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            left += picture.shape[1] + GAP
        top += height
    return paper


def _enlarged(picture: np.ndarray, least_side: int) -> np.ndarray:
    times = max(1, -(-least_side // max(picture.shape[:2])))
    return picture.repeat(times, axis=0).repeat(times, axis=1)


def _pixels(path: Path, image: Tensor) -> np.ndarray:
    if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point():
        raise ValueError(
            f"{path}: an image is a tensor (3, height, width) of floats, not {tuple(image.shape)} of {image.dtype}: "
            "images[0] is the first of a batch"
        )
    return to_levels(image.detach()[None])[0]
