"""Image files: read whatever a user points at, or say what is wrong with it; and images as tensors."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

from .addresses import Unreachable
from .atomic import made_folder, written_whole
from .kinds import what_is
from .levels import Remark, silent
from .members import File, Member, located
from .profiles import LAB, NO_PROFILE, Color, in_srgb

if TYPE_CHECKING:
    from torch import Tensor

MAX_PIXELS = 64 * 2**20  # 8192 x 8192; a small file can claim far more, and would be decoded into memory
HEADER = 2**16  # bytes that are read at once of a file whose size is asked for: few have more before their pixels
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "TGA")  # not EPS: Pillow would run Ghostscript on it
EIGHT_BITS = ("L", "LA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK")  # modes of so many a channel
LOSSY_TIFF = {"jpeg": "JPEG", "tiff_jpeg": "JPEG", "webp": "WebP"}  # by Pillow's names of compressions
ORIENTATION_TAG = 0x0112  # of EXIF
SIDEWAYS = (5, 6, 7, 8)  # orientations that exchange width and height
WIDTH_TAG, HEIGHT_TAG = 256, 257  # of TIFF
SUBFILE_TAG = 254  # of TIFF: not 0 for smaller copies and for masks of another page
TURNED_BACK = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # what undoes each orientation
SIXTEEN_BITS = "the file has 16 bits a channel"
WRITTEN = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}


def read_image(
    path: str | Path | Member,
    remark: Remark = silent,
    classes: Collection[Color | None] = (),
) -> Image.Image:
    """The picture in a file: the file's own values, upright (EXIF orientation applied); an animation's first frame.

    Colours are in sRGB: an embedded profile is applied, CMYK and CIELAB are converted. Greys, RGB of equal channels among
    them, stay as they are, as they may be ids. What cannot be seen any more lies in the picture's `info`:

    scdm_lossy: the name of the format, if it is one that changes pixels, such as "JPEG".
    scdm_profile: the name of the profile that the colours were converted from.
    scdm_profile_ignored: why an embedded profile was not applied.
    scdm_profile_unneeded: the name of one that was not, because the colours are exactly those of `classes`.
    scdm_orientation: the EXIF orientation, 2 to 8, that was applied (`as_stored` undoes it).
    scdm_bits: 16, if the file has 16 bits a channel and the picture the upper 8.
    scdm_white: the level of white, where it is neither that of 8 bits nor of 16.
    scdm_pictures: how many pictures the file holds, if several.

    classes: the colours of classes, for a layout, whose 16 bits must be 8 in truth (`require_eight_bits`).
    remark: receives what bears on the meaning of the values, a sentence at a time.
    ValueError names the file and the reason: absent, not an image, damaged, or more than `MAX_PIXELS`.
    Unreachable if it is a member of an archive at an address, which a network does not bring.
    """
    path = located(path)
    try:
        # Not by its name, by which Pillow maps plain TIFFs into memory, those of an EXIF orientation with sides exchanged.
        with path.open("rb") as file, Image.open(file, formats=FORMATS) as opened:
            image = _decoded(opened, path, classes)
    except Unreachable:
        raise
    except Exception as error:  # damaged files make decoders raise almost anything
        raise ValueError(f"{path}: {_reason(error, path)}") from error
    if "scdm_bits" in image.info and not any(most for _, most in _extrema(image)):
        raise ValueError(f"{path}: {SIXTEEN_BITS}, but levels below 256 only: save it with 8 bits a channel")
    if classes:
        require_eight_bits(path, image)
    for sentence in _remarks(image):
        remark(sentence)
    return image


def encoded(pixels: np.ndarray, form: str = "PNG", **settings: Any) -> bytes:
    """A picture's pixels as the content of a file."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, form, **settings)
    return content.getvalue()


def picture_size(path: str | Path | Member, upright: bool = True) -> tuple[int, int]:
    """(height, width) in pixels of the picture in a file, by what precedes its pixels, which are not decoded.

    upright: as `read_image` turns it, unless a PNG has its orientation behind its pixels; else as it is stored.
    ValueError and Unreachable as for `read_image`, where so much says that the file cannot be read.
    """
    path = located(path)
    try:
        with path.open("rb", buffering=HEADER) as file, Image.open(file, formats=FORMATS) as opened:
            _require_few_pixels(opened)
            tags = getattr(opened, "tag_v2", None)  # of a TIFF, whose size Pillow has turned already
            width, height = opened.size if tags is None else (tags[WIDTH_TAG], tags[HEIGHT_TAG])
            exif = Image.Image.getexif(opened)  # as a PNG's own method decodes it to find more
            turned = upright and exif.get(ORIENTATION_TAG) in SIDEWAYS
            return (width, height) if turned else (height, width)
    except Unreachable:
        raise
    except Exception as error:  # damaged files make decoders raise almost anything
        raise ValueError(f"{path}: {_reason(error, path)}") from error


def require_eight_bits(path: str | Path | Member, image: Image.Image) -> None:
    """ValueError if the picture, which `read_image` has read from a file of ids or colours of 16 bits a channel, lacks some
    of what distinguishes them: lower bytes that are neither 0 nor the upper ones again.
    """
    if "scdm_bits" in image.info and (loss := _loss_of_eight_bits(located(path))):
        raise ValueError(f"{path}: {SIXTEEN_BITS}{loss}")


def _loss_of_eight_bits(path: File) -> str:
    import cv2  # late: few files need it

    levels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    if levels is None or levels.dtype != np.uint16:
        return ", of which only 8 can be read: save it with 8"
    upper, lower = np.divmod(levels[..., :3], 256)  # any alpha comes fourth
    needed = ((lower != 0) & (lower != upper)).any()
    advice = "save colours with 8 bits a channel, and ids or an instance map as a grey PNG of 16 bits"
    return f", and its levels need all of them, where 8 can be read: {advice}" if needed else ""


def doubts(image: Image.Image) -> Iterator[str]:
    """What may have been misread in a file that `read_image` has read, in sentences."""
    info = image.info
    if "scdm_profile_ignored" in info:
        yield f"the file's colour profile is left out: {info['scdm_profile_ignored']}"
    if "scdm_bits" in info:
        yield f"the file has {info['scdm_bits']} bits a channel, of which the upper 8 are read"
    if "scdm_pictures" in info:
        yield f"the file holds {info['scdm_pictures']} pictures: the first is read"


def as_stored(image: Image.Image) -> Image.Image:
    """A picture that `read_image` has turned upright, as it lies in the file."""
    orientation = image.info.get("scdm_orientation")
    if orientation is None:
        return image
    image = image.transpose(TURNED_BACK[orientation])
    del image.info["scdm_orientation"]
    return image


def write_image(path: str | Path, image: Image.Image | np.ndarray | Tensor) -> None:
    """Write a picture, a uint8 array (H, W), (H, W, 3) or (H, W, 4), or a tensor (3, H, W) in [-1, 1], in the format that
    the suffix names.

    ValueError for a suffix that names no format, and for a format that cannot hold the picture (JPEG and transparency).
    """
    path = Path(path)
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image if isinstance(image, np.ndarray) else _pixels(path, image))
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


def require_writable(path: str | Path) -> None:
    """ValueError, before any work is done, if no image can be written there. Makes its folder."""
    picture_format(path)
    made_folder(Path(path).parent)


def to_levels(images: Tensor) -> np.ndarray:
    """(B, 3, H, W) in [-1, 1] -> uint8 (B, H, W, 3)."""
    return ((images.movedim(1, -1).float() + 1) * 127.5).round().clamp(0, 255).byte().cpu().numpy()


def from_levels(levels: np.ndarray) -> Tensor:
    """uint8 (B, H, W, C) -> float32 (B, C, H, W) in [-1, 1]. `to_levels` gives back the same levels."""
    import torch  # late: pictures that are none of tensors are written without it

    return torch.from_numpy(levels).movedim(-1, 1).float() / 127.5 - 1


def _decoded(opened: Image.Image, path: File, classes: Collection[Color | None]) -> Image.Image:
    _require_few_pixels(opened)
    facts = _facts(opened, path)  # before the pixels: these are of the file
    ImageOps.exif_transpose(opened, in_place=True)  # else it copies what need not be turned
    opened.info.update(facts)
    return _own_values(opened, classes)


def _require_few_pixels(opened: Image.Image) -> None:
    if opened.width * opened.height > MAX_PIXELS:
        raise Image.DecompressionBombError


def _reason(error: Exception, path: File) -> str:
    """Why an image could not be read, and what to do."""
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"the image has more than {MAX_PIXELS // 2**20} megapixels: scale it down first"
    if isinstance(error, PermissionError):
        return "the file may not be read (permission denied)"
    if not isinstance(error, Image.UnidentifiedImageError):
        return f"the image is damaged or incomplete ({error})"
    if kind := what_is(path, picture_wanted=True):
        return f"not an image that can be read ({', '.join(FORMATS)}), but {kind}"
    if _is_tiff(path):
        return (
            "a TIFF that is damaged, or of a kind that Pillow cannot read, such as floats in three channels or of 64 bits: "
            "save it with 8 bits a channel, or greys with 16"
        )
    return f"not an image that can be read ({', '.join(FORMATS)})"


def _facts(image: Image.Image, path: File) -> dict[str, Any]:
    """See `read_image`, of an opened file whose pixels are not read yet."""
    raw_mode, most = _coding(image)
    bits = int(found[1]) if (found := re.search(r";(\d+)", raw_mode)) else 8
    orientation = image.getexif().get(ORIENTATION_TAG)
    other_white = {  # than 255 or 65535
        "L": bits < 8 or most not in (0, 255),
        "I;16": bits == 12,
        "I": most not in (0, 65535),
    }
    facts = {
        "scdm_lossy": _lossy_format(image, path),
        "scdm_orientation": orientation if orientation in TURNED_BACK else None,
        "scdm_bits": 16 if image.mode in EIGHT_BITS and (bits == 16 or most > 255) else None,
        "scdm_white": (most or 2**bits - 1) if other_white.get(image.mode) else None,
        "scdm_pictures": _pictures(image),
    }
    return {key: fact for key, fact in facts.items() if fact is not None}


def _pictures(image: Image.Image) -> int | None:
    """How many pictures an opened file holds, if several: not counting previews and depth of phones, and smaller copies."""
    count = getattr(image, "n_frames", 1) if image.format not in ("MPO", "JPEG") else 1
    if image.format == "TIFF" and count > 1:
        whole = 0
        for page in range(count):
            image.seek(page)
            whole += not image.tag_v2.get(SUBFILE_TAG, 0)  # type: ignore[attr-defined]
        image.seek(0)
        count = whole
    return count if count > 1 else None


def _coding(image: Image.Image) -> tuple[str, int]:
    """The arrangement of samples in a file, such as "RGB;16B"; and of a PNM file its greatest level, else 0."""
    tiles = getattr(image, "tile", [])  # WebP has none
    if not tiles:
        return "", 0
    codec, _, _, arguments = tiles[0]
    first, *others = arguments if isinstance(arguments, tuple) else (arguments,)
    return str(first), int(others[0]) if codec.startswith("ppm") and others else 0


def _lossy_format(image: Image.Image, path: File) -> str | None:
    if image.format in ("JPEG", "MPO"):
        return "JPEG"
    if image.format == "WEBP":
        return None if _is_lossless_webp(path) else "WebP"
    if image.format == "TIFF":
        return LOSSY_TIFF.get(str(image.info.get("compression")))
    return None


def _is_tiff(path: File) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _is_lossless_webp(path: File) -> bool:
    """The kind of the first frame's pixels: "VP8L", not "VP8 "."""
    with path.open("rb") as file:
        file.seek(12)  # RIFF, size, WEBP
        while len(head := file.read(8)) == 8:
            kind, size = struct.unpack("<4sI", head)
            if kind in (b"VP8 ", b"VP8L"):
                return bool(kind == b"VP8L")
            file.seek(16 if kind == b"ANMF" else size + size % 2, 1)  # a frame holds chunks after its own fields
    return False


def _own_values(image: Image.Image, classes: Collection[Color | None]) -> Image.Image:
    """Levels as they are in the file, colours in sRGB."""
    white = image.info.get("scdm_white")
    if white is not None and image.mode in ("L", "I"):  # which Pillow has scaled to 8 or 16 bits
        scaled = np.asarray(image).astype(np.float64) * (white / (255 if image.mode == "L" else 65535))
        image = _with_info(Image.fromarray(scaled.round().astype(np.uint8 if image.mode == "L" else np.int32)), image)
    if image.mode in ("RGBX", "RGBa", "La", "YCbCr", "HSV"):
        image = image.convert({"RGBa": "RGBA", "La": "LA"}.get(image.mode, "RGB"))
    return in_srgb(image, classes, greys=False)


def _with_info(image: Image.Image, source: Image.Image) -> Image.Image:
    image.info = dict(source.info)
    return image


def _extrema(image: Image.Image) -> list[tuple[int, int]]:
    """The least and greatest level of each channel but alpha."""
    channels = [channel for channel in image.getbands() if channel != "A"]
    return [image.getchannel(channel).getextrema() for channel in channels]  # type: ignore[misc]


def _remarks(image: Image.Image) -> Iterator[str]:
    info = image.info
    if "scdm_profile" in info:
        profile = info["scdm_profile"]
        named = profile not in (NO_PROFILE, LAB)
        yield f"the file {f'has a colour profile ({profile})' if named else f'is in {profile}'}: converted to sRGB"
    if "scdm_orientation" in info:
        yield f"turned as its EXIF orientation {info['scdm_orientation']} says"
    if "scdm_profile_unneeded" in info:
        yield (
            f"the file has a colour profile ({info['scdm_profile_unneeded']}), which is left out, as its levels are exactly "
            "those of classes"
        )
    if "scdm_white" in info:
        yield f"white is the level {info['scdm_white']} in this file: its values are read as 0 to {info['scdm_white']}"
    yield from doubts(image)


def _pixels(path: Path, image: Tensor) -> np.ndarray:
    if image.ndim != 3 or image.shape[0] != 3 or not image.is_floating_point():
        found = f"{tuple(image.shape)} of {image.dtype}: images[0] is the first of a batch"
        raise ValueError(f"{path}: an image is a tensor (3, height, width) of floats, not {found}")
    return to_levels(image.detach()[None])[0]
