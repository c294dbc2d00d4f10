"""Pixels of painted pictures: which are opaque, which colours they have, and whether they are values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..files.profiles import Color
from .class_tables import voc_color
from .values import distinct, numbers

BAND = 2**20  # pixels that are worked on at once
NEAR = 4  # levels: a pixel within this distance of a colour has that colour but for rounding
GREY, TRIPLET, INDEX = "grey", "triplet", "index"  # kinds of `Stored`
ALL, CHANNELS = "all", ("red", "green", "blue")  # where a triplet holds its number


class Stored(NamedTuple):
    """The numbers that a picture may hold.

    kind: GREY for an image of one channel, TRIPLET for colours that are all grey, INDEX for places in a colour table.
    values: (H, W) integers. found, counts: those of opaque pixels, ascending, and how often each occurs.
    codes: 0xrrggbb, the colour of each that was found; None where numbers are larger than levels.
    channel: the name of the only channel that holds anything, for a TRIPLET that is not grey.
    places: those in the colour table, for a TRIPLET of the greys of one.
    table_of_ids: the colour table is one of those that programs give to maps of ids, for show.
    """

    kind: str
    values: np.ndarray
    found: np.ndarray
    counts: np.ndarray
    codes: np.ndarray | None
    table_of_ids: bool = False
    channel: str = ""
    places: Stored | None = None


def stored(image: Image.Image, opaque: np.ndarray | None, slack: int = 0) -> Stored | None:
    """The numbers in a picture, None if it can only be one of colours.

    slack: by how many levels the channels of a grey may differ, in files of lossy formats.
    """
    values = numbers(image)
    if values is not None:
        found, counts = _histogram(image) if opaque is None and image.mode == "L" else distinct(values, opaque)
        levels = found * 255 if image.mode == "1" else found
        small = not found.size or (found[0] >= 0 and found[-1] <= 255)
        return Stored(GREY, values, found, counts, levels * 0x010101 if small else None)
    if image.mode in ("P", "PA"):
        return _stored_indices(image, opaque)
    return _stored_greys(image, opaque, slack)


def _stored_indices(image: Image.Image, opaque: np.ndarray | None) -> Stored:
    values = np.asarray(image if image.mode == "P" else image.getchannel(0))
    found, counts = _histogram(image) if opaque is None and image.mode == "P" else distinct(values, opaque)
    table = np.zeros((256, 3), dtype=np.uint8)
    own = np.array(image.getpalette("RGB") or [], dtype=np.uint8).reshape(-1, 3)[:256]
    table[: len(own)] = own
    codes = codes_of(table)
    greys = codes[found] == table[found, 0] * np.int32(0x010101)
    for_show = any((codes[found] == usual[found]).all() for usual in (_GREY_RAMP, _VOC_COLORS))
    places = Stored(INDEX, values, found, counts, codes[found], for_show)
    if greys.all() and (table[found, 0] != found).any():  # as optimisers of file sizes store grey images
        levels, order = np.unique(table[found, 0].astype(np.int64), return_inverse=True)
        own_counts = np.bincount(order, weights=counts).astype(np.int64)
        return Stored(TRIPLET, table[:, 0][values], levels, own_counts, levels * 0x010101, places=places)
    return places


def _stored_greys(image: Image.Image, opaque: np.ndarray | None, slack: int) -> Stored | None:
    """Of a picture that is grey throughout, or without a slack one whose other channels are all 0."""
    held: tuple[str, ...] = (ALL,) if slack else (ALL, *CHANNELS)
    if image.width * image.height > 2**14:
        held = _held_in(rgba(image.resize((64, 64), Image.Resampling.NEAREST)), slack, held)
        if not held:
            return None
    levels = np.empty((image.height, image.width), dtype=np.uint8)
    for rows, pixels in bands(image):
        held = _held_in(pixels, slack, held)
        if not held:
            return None
        levels[rows] = pixels[..., 1 if held[0] == ALL else CHANNELS.index(held[0])]  # so far, all of `held` are equal
    found, counts = distinct(levels, opaque)
    if held[0] == ALL:
        return Stored(TRIPLET, levels, found, counts, found * 0x010101)
    codes = found << (16 - 8 * CHANNELS.index(held[0]))
    return Stored(TRIPLET, levels, found, counts, codes, channel=held[0])


def _held_in(pixels: np.ndarray, slack: int, among: tuple[str, ...]) -> tuple[str, ...]:
    """Which of `ALL` and `CHANNELS` hold the whole colour of uint8 (..., 4), wherever it is opaque."""
    visible = pixels[..., 3] >= 128
    return tuple(held for held in among if not (_held_elsewhere(pixels, slack, held) & visible).any())


def _held_elsewhere(pixels: np.ndarray, slack: int, held: str) -> np.ndarray:
    red, green, blue, _ = np.moveaxis(pixels, -1, 0)
    if held != ALL:
        others = np.delete(pixels[..., :3], CHANNELS.index(held), axis=-1)
        return np.asarray(others.any(axis=-1))
    if not slack:
        return np.asarray((red != green) | (green != blue))
    differ: np.ndarray = pixels[..., :3].max(axis=-1) - pixels[..., :3].min(axis=-1) > slack
    return differ


def _histogram(image: Image.Image) -> tuple[np.ndarray, np.ndarray]:
    counts = np.array(image.histogram()[:256])
    found = np.flatnonzero(counts)
    return found, counts[found]


def opaque_part(image: Image.Image) -> np.ndarray | None:
    """(H, W) bool: alpha of at least one half; None if that is so everywhere."""
    unseen = image.info.get("transparency")
    if image.mode.startswith(("1", "I")):  # of which Pillow applies none
        where = np.asarray(image) != unseen if type(unseen) is int else np.ones(1, bool)
        return None if where.all() else where
    if image.mode == "F" or not image.has_transparency_data:
        return None
    where = np.concatenate([pixels[..., 3] >= 128 for _, pixels in bands(image)])
    return None if where.all() else where


def bands(image: Image.Image) -> Iterator[tuple[slice, np.ndarray]]:
    """The image from top to bottom, piece by piece: which rows, and their uint8 (h, W, 4), see `rgba`."""
    height = max(1, BAND // image.width)
    for top in range(0, image.height, height):
        bottom = min(top + height, image.height)
        yield slice(top, bottom), rgba(image.crop((0, top, image.width, bottom)))


def rgba(image: Image.Image) -> np.ndarray:
    """uint8 (H, W, 4), the colours as they are: not blended with anything where the alpha is low."""
    if image.mode.startswith(("I", "F")):
        image = _of_levels(image)
    try:
        return np.asarray(image.convert("RGBA"))
    except (OSError, ValueError) as error:
        raise ValueError(f"a layout in an image of mode {image.mode} cannot be read: save it as PNG") from error


def _of_levels(image: Image.Image) -> Image.Image:
    values = numbers(image)
    if values is None or (values.size and (values.min() < 0 or values.max() > 255)):
        raise ValueError(f"a picture of mode {image.mode} with more than 8 bits has no colours: leave that choice out")
    return Image.fromarray(values.astype(np.uint8))


class Colors:
    """The colours of classes, to find the nearest."""

    def __init__(self, colors: Sequence[Color | None], tolerance: float) -> None:
        self.count, self.tolerance = len(colors), tolerance
        self._ids = np.array([i for i, color in enumerate(colors) if color is not None], dtype=np.int32)
        self._colors = np.array([color for color in colors if color is not None], dtype=np.float32).reshape(-1, 3)

    def ids(self, image: Image.Image) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """int64 (H, W): the lowest id among the nearest colours, `count` beyond `tolerance`; the colours, 0xrrggbb, that are
        no class's own but only within the tolerance of one; and (count,), how many colours that are not exactly its own
        each class has."""
        ids = np.empty((image.height, image.width), dtype=np.int64)
        # A layout has millions of pixels but few colours, so each of the 2^24 colours is looked up at most once.
        found = np.zeros(1 << 24, dtype=np.int32)  # id + 1, 0 for not yet; pages that no colour touches cost nothing
        strays, off = [], np.zeros(self.count, dtype=np.int64)
        for rows, pixels in bands(image):
            codes = codes_of(pixels)
            new = np.unique(codes[found[codes] == 0])
            ids_of_new, far = self.nearest(new)
            strays.append(new[(ids_of_new < self.count) & (far > NEAR**2)])
            off += np.bincount(ids_of_new[(ids_of_new < self.count) & (far > 0)], minlength=self.count)
            found[new] = ids_of_new + 1
            ids[rows] = found[codes] - 1
        return ids, np.concatenate(strays), off

    def nearest(self, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """0xrrggbb (N,) -> int32 (N,) as `ids`, and the squares of the distances."""
        ids = np.full(len(codes), self.count, dtype=np.int32)
        far = np.full(len(codes), np.inf, dtype=np.float32)
        if len(self._ids) == 0:
            return ids, far
        # |a - b|^2 - |a|^2 = (a, 1).(-2 b, |b|^2): integers below 2^24, exact in float32, so ties stay ties
        squares = (self._colors**2).sum(axis=-1, keepdims=True)
        distances = np.concatenate([-2 * self._colors, squares], axis=-1).T  # (4, classes)
        step = 1 + 2**19 // len(self._ids)  # distances are computed for so many at once
        for start in range(0, len(codes), step):
            some = codes[start : start + step]
            colors = np.stack([some >> 16, some >> 8 & 255, some & 255, np.ones_like(some)], axis=-1).astype(np.float32)
            nearest = (colors @ distances).argmin(axis=-1)
            squared = ((colors[:, :3] - self._colors[nearest]) ** 2).sum(axis=-1)
            ids[start : start + step] = np.where(squared <= self.tolerance**2, self._ids[nearest], self.count)
            far[start : start + step] = squared
        return ids, far


def having(image: Image.Image, codes: np.ndarray) -> np.ndarray:
    """(H, W) bool: which pixels have one of these colours."""
    among = np.zeros(1 << 24, dtype=bool)
    among[codes] = True
    return np.concatenate([among[codes_of(pixels)] for _, pixels in bands(image)])


def most_frequent(image: Image.Image, where: np.ndarray) -> str:
    """The three most frequent colours where the bool (H, W) is true, in words; of many pixels, a sample speaks for all."""
    every = 1 + int(where.sum()) // 2**18
    sample = np.concatenate([codes_of(pixels)[where[rows]][::every] for rows, pixels in bands(image)])
    found, counts = np.unique(sample, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:3]
    often = [f"#{found[i]:06x} ({counts[i] / len(sample):.0%})" for i in order if counts[i] >= 0.005 * len(sample)]
    return (
        f"mostly {', '.join(often)}"
        if often
        else "of very many colours, as in photographs and JPEG files (paint in PNG)"
    )


def require_pictures(pictures: np.ndarray, what: str) -> None:
    """ValueError unless these are pictures (B, H, W, C) of values, of colours, or of colours with an alpha."""
    if pictures.ndim != 4 or pictures.shape[-1] not in (1, 3, 4) or not pictures.size:
        raise ValueError(f"{what} has pixels of 1, 3 or 4 channels, not the shape {pictures.shape}")


def codes_of(rgb: np.ndarray) -> np.ndarray:
    """uint8 (..., 3 or 4) -> int32 (...): 0xrrggbb."""
    red, green, blue = np.moveaxis(rgb[..., :3].astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def without_interior(ids: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Those of the classes that nowhere in the (H, W) ids fill a square of 3 x 3 pixels, but for a tenth of their pixels."""
    inner = ids[1:-1, 1:-1]
    same = np.isin(inner, classes)
    for down in range(3):
        for right in range(3):
            same &= inner == ids[down : down + inner.shape[0], right : right + inner.shape[1]]
    full = np.bincount(inner[same], minlength=int(classes.max()) + 1)[classes]
    return classes[full <= 0.1 * np.bincount(ids.ravel(), minlength=int(classes.max()) + 1)[classes]]


def in_between(values: np.ndarray) -> tuple[np.ndarray, int]:
    """The values of pixels that lie between those to their left and right, or above and below, as interpolation makes them;
    and how many borders were looked at. Of large maps, one in so many rows and columns."""
    every = 1 + values.size // 2**18
    between, borders = [], 0
    for lines in (values[::every], np.ascontiguousarray(values[:, ::every].T)):
        before, here, after = lines[:, :-2], lines[:, 1:-1], lines[:, 2:]
        rises, falls = (before < here) & (here < after), (before > here) & (here > after)
        between.append(here[rises | falls])
        borders += int(np.count_nonzero(before != here))
    return np.concatenate(between), borders


_GREY_RAMP = np.arange(256, dtype=np.int32) * 0x010101
_VOC_COLORS = codes_of(np.array([voc_color(i) for i in range(256)], dtype=np.uint8))
