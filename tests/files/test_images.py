"""Image files: every bad file is a ValueError that names it."""

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from scdm.files.images import WRITTEN, as_stored, picture_size, read_image, write_image
from tests import icc


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


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp"])
def test_an_applied_orientation_is_reported_and_can_be_undone(tmp_path: Path, suffix: str) -> None:
    array = noise(16, 24)
    for orientation, size in [(1, (24, 16)), (3, (24, 16)), (6, (16, 24)), (8, (16, 24)), (5, (16, 24))]:
        path = tmp_path / f"photo{suffix}"
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"tiffinfo": {0x0112: orientation}} if suffix == ".tif" else {"exif": exif, "lossless": True}
        Image.fromarray(array).save(path, **options)
        image = read_image(path)
        assert image.size == size and image.info.get("scdm_orientation", 1) == orientation
        stored = as_stored(image)
        assert stored.size == (24, 16) and "scdm_orientation" not in stored.info
        assert suffix == ".jpg" or np.array_equal(np.asarray(stored), array)


@pytest.mark.parametrize(
    ("suffix", "options", "lossy"),
    [
        (".jpg", {}, "JPEG"),
        (".webp", {}, "WebP"),
        (".webp", {"lossless": True}, None),
        (".webp", {"exif": b"Exif\0\0", "icc_profile": icc.rgb_profile("odd", icc.SRGB)}, "WebP"),
        (".webp", {"lossless": True, "exif": b"Exif\0\0", "icc_profile": icc.rgb_profile("od", icc.SRGB)}, None),
        (".webp", {"save_all": True, "append_images": [Image.new("RGB", (8, 8))]}, "WebP"),
        (".webp", {"save_all": True, "append_images": [Image.new("RGB", (8, 8))], "lossless": True}, None),
        (".tif", {"compression": "jpeg"}, "JPEG"),
        (".tif", {"compression": "tiff_lzw"}, None),
        (".png", {}, None),
        (".gif", {}, None),
        (".bmp", {}, None),
    ],
)
def test_formats_that_change_pixels_are_reported(tmp_path: Path, suffix: str, options: dict, lossy: str | None) -> None:
    path = tmp_path / f"map{suffix}"
    Image.fromarray(noise(8, 8)).save(path, **options)
    assert read_image(path).info.get("scdm_lossy") == lossy


GREYS = np.arange(16, dtype=np.uint8).reshape(4, 4)


def pgm(path: Path, values: np.ndarray, most: int) -> None:
    height, width = values.shape
    path.write_bytes(b"P5 %d %d %d\n" % (width, height, most) + values.astype(">u2" if most > 255 else "u1").tobytes())


def png_of(path: Path, bits: int, samples: np.ndarray) -> None:
    """A grey PNG of `bits` a pixel, as Pillow does not write it."""
    rows = np.unpackbits(samples.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :].reshape(len(samples), -1)
    data = b"".join(b"\0" + np.packbits(row).tobytes() for row in rows)
    header = struct.pack(">IIBBBBB", samples.shape[1], len(samples), bits, 0, 0, 0, 0)
    chunks = [b"IHDR" + header, b"IDAT" + zlib.compress(data), b"IEND"]
    framed = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(framed))


def test_levels_are_those_in_the_file(tmp_path: Path) -> None:
    """Pillow scales grey files whose white is another than 255 or 65535: ids would become others."""
    remarks: list[str] = []
    pgm(tmp_path / "a.pgm", GREYS, 150)
    pgm(tmp_path / "b.pgm", GREYS, 255)
    pgm(tmp_path / "c.pgm", GREYS.astype(np.uint16) * 60, 1000)
    pgm(tmp_path / "d.pgm", GREYS.astype(np.uint16) * 4000, 65535)
    png_of(tmp_path / "e.png", 4, GREYS)
    png_of(tmp_path / "f.png", 2, GREYS % 4)
    expected = [GREYS, GREYS, GREYS * 60.0, GREYS * 4000.0, GREYS, GREYS % 4]
    whites = [150, None, 1000, None, 15, 3]
    for path, values, white in zip(sorted(tmp_path.iterdir()), expected, whites, strict=True):
        image = read_image(path, remarks.append)
        assert np.array_equal(np.asarray(image), values), path
        assert image.info.get("scdm_white") == white, path
    assert remarks == [f"white is the level {w} in this file: its values are read as 0 to {w}" for w in whites if w]


def test_sixteen_bits_of_which_eight_are_read_are_reported(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif"):
        cv2.imwrite(str(tmp_path / name), noise(4, 4).astype(np.uint16) * 257)
        remarks: list[str] = []
        image = read_image(tmp_path / name, remarks.append)
        assert image.info["scdm_bits"] == 16 and np.array_equal(np.asarray(image), noise(4, 4)[..., ::-1])
        assert remarks == ["the file has 16 bits a channel, of which the upper 8 are read"]
    Image.fromarray(noise(4, 4)).save(tmp_path / "b.png")
    assert "scdm_bits" not in read_image(tmp_path / "b.png").info


def test_sixteen_bits_that_hold_small_numbers_are_refused(tmp_path: Path) -> None:
    """Their upper 8 bits are empty: ids as grey triplets, or 8 bits that were widened without being scaled."""
    cv2.imwrite(str(tmp_path / "ids.png"), np.dstack([GREYS.astype(np.uint16)] * 3))
    with pytest.raises(ValueError, match=r"ids\.png: .* 16 bits a channel.* below 256 .* save it with 8 bits"):
        read_image(tmp_path / "ids.png")


def test_profiles_change_colours_and_leave_greys(tmp_path: Path) -> None:
    """A number may be an id: of grey maps, and of grey triplets, it stays what it is."""
    for picture in (
        Image.fromarray(GREYS),
        Image.fromarray(np.dstack([GREYS] * 3)),
        Image.fromarray(GREYS.astype(np.uint16)),
    ):
        profile = (
            icc.grey_profile("Dot Gain 20%", 1.7) if picture.mode != "RGB" else icc.rgb_profile("P3", icc.DISPLAY_P3)
        )
        picture.save(tmp_path / "ids.png", icc_profile=profile)
        assert np.array_equal(np.asarray(read_image(tmp_path / "ids.png")), np.asarray(picture))
    remarks: list[str] = []
    Image.fromarray(noise(4, 4)).save(
        tmp_path / "a.png", icc_profile=icc.rgb_profile("Adobe RGB (1998)", icc.ADOBE_RGB)
    )
    changed = read_image(tmp_path / "a.png", remarks.append)
    assert remarks == ["the file has a colour profile (Adobe RGB (1998)): converted to sRGB"]
    assert changed.info["scdm_profile"] == "Adobe RGB (1998)" and not np.array_equal(np.asarray(changed), noise(4, 4))
    Image.fromarray(noise(4, 4)).save(tmp_path / "b.png", icc_profile=b"broken")
    assert np.array_equal(np.asarray(read_image(tmp_path / "b.png", remarks.append)), noise(4, 4))
    assert remarks[1].startswith("the file's colour profile is left out: it is damaged")


def test_animations_show_their_first_frame(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (3, 3), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "animation.gif", save_all=True, append_images=frames[1:])
    remarks: list[str] = []
    assert read_image(tmp_path / "animation.gif", remarks.append).convert("RGB").getpixel((0, 0)) == (255, 0, 0)
    assert remarks == ["the file holds 2 pictures: the first is read"]


def test_pages_are_counted_and_smaller_copies_are_not(tmp_path: Path) -> None:
    """A page with that tag is an overview, as of aerial pictures."""
    page, small = Image.fromarray(noise(8, 8)), Image.fromarray(noise(4, 4))
    page.save(tmp_path / "stack.tif", save_all=True, append_images=[page, page])
    assert read_image(tmp_path / "stack.tif").info["scdm_pictures"] == 3
    small.encoderinfo = {"tiffinfo": {254: 1}}
    page.save(tmp_path / "overview.tif", save_all=True, append_images=[small])
    image = read_image(tmp_path / "overview.tif")
    assert "scdm_pictures" not in image.info and np.array_equal(np.asarray(image), noise(8, 8))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_size_of_a_picture_is_known_without_its_pixels(suffix: str, orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"tiffinfo": {0x0112: orientation}} if suffix == ".tif" else {"exif": exif}
    path = tmp_path / f"image{suffix}"
    Image.fromarray(noise(16, 24)).save(path, **options)
    image = read_image(path)
    assert picture_size(path) == (image.height, image.width) == ((24, 16) if orientation == 6 else (16, 24))
    assert picture_size(path, upright=False) == (16, 24)


def test_what_the_header_of_a_picture_cannot_say_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    path.write_bytes(claiming(40, 30))  # without any pixels
    assert picture_size(path) == (30, 40)
    for content, complaint in ((claiming(9000, 9000), "more than 64 megapixels"), (b"text", "not an image")):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"image.png: .*{complaint}"):
            picture_size(path)
    with pytest.raises(ValueError, match="no such file"):
        picture_size(tmp_path / "absent.png")


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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
def test_a_plain_tiff_is_turned_without_being_scrambled(dtype: type, compression: str | None, tmp_path: Path) -> None:
    """Pillow maps an uncompressed one into memory, with its sides exchanged before it is turned."""
    levels = np.zeros((40, 64), dtype)
    levels[:10, :20] = 200
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(levels).save(tmp_path / "turned.tif", exif=exif, compression=compression)
    remarks: list[str] = []
    read = read_image(tmp_path / "turned.tif", remarks.append)
    assert np.array_equal(np.asarray(read), np.rot90(levels, -1))
    assert remarks == ["turned as its EXIF orientation 6 says"]


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_a_layout_of_16_bits_a_channel_is_read_where_8_tell_the_same(suffix: str, tmp_path: Path) -> None:
    file, classes = tmp_path / f"layout.{suffix}", [(1, 2, 3)]
    for scale in (256, 257):
        cv2.imwrite(str(file), noise(4, 4).astype(np.uint16) * scale)
        assert np.array_equal(np.asarray(read_image(file, classes=classes)), noise(4, 4)[..., ::-1])
    cv2.imwrite(str(file), noise(4, 4).astype(np.uint16) + 26000)  # ids of cityscapes' kind, in three channels
    read_image(file)
    with pytest.raises(ValueError, match=r"layout\..*: the file has 16 bits a channel, .* a grey PNG of 16 bits"):
        read_image(file, classes=classes)


def test_colours_without_a_profile_are_not_reported_to_have_one(tmp_path: Path) -> None:
    for mode, named in (("CMYK", "CMYK without a profile"), ("LAB", "CIELAB")):
        remarks: list[str] = []
        Image.new(mode, (4, 4), (100,) * len(mode)).save(tmp_path / "picture.tif")
        read_image(tmp_path / "picture.tif", remarks.append)
        assert remarks == [f"the file is in {named}: converted to sRGB"]


@pytest.mark.parametrize("levels", [np.ones((4, 4, 3), np.float32), np.ones((4, 4), np.float64)])
def test_tiffs_that_pillow_does_not_read_are_called_so(levels: np.ndarray, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "floats.tif"), levels)
    with pytest.raises(
        ValueError, match=r"floats\.tif: a TIFF .* such as floats in three channels or of 64 bits: save"
    ):
        read_image(tmp_path / "floats.tif")
