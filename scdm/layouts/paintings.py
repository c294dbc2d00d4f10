"""Documents of the painter: the class id of each pixel, and the names of the classes, in a PNG that any viewer shows.

Up to 255 classes are places in the PNG's colour table, which holds their colours; the place after the last class is
unpainted. More classes are 16-bit greys, of which 65535 is unpainted. An iTXt chunk `scdm:classes` lists the names in JSON.
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

from ..files.atomic import written_whole
from ..files.images import MAX_PIXELS
from ..files.parsing import parsed
from ..files.untrusted import brief, content_of, is_out_of_memory, naming, shown
from .contents import UNPAINTED
from .palette import MAX_CLASSES, Palette, as_labels
from .translation import translated
from .values import UNKNOWN

if TYPE_CHECKING:
    from .labels import LabelMap

KEYWORD = "scdm:classes"
MOST_INDEXED = 255  # classes in a colour table of 256, of which one is unpainted
UNPAINTED_GREY = 65535
MOST_FILE_BYTES = 2**28
NAMED_IN_A_REMARK = 5  # classes
COLORLESS = (128, 128, 128)  # how painters show classes without a colour
AGAIN = "export it from the painter again"
NOT_ONE = f"no document of the painter: read it as a picture of a layout, or {AGAIN}"


class Painting(NamedTuple):
    """What a document holds.

    names: of the classes. ids: (H, W) int64, of which len(names) is unpainted.
    """

    names: tuple[str, ...]
    ids: np.ndarray


def colored(palette: Palette) -> list[list[Any]]:
    """The classes in the order of their ids, each [name, colour], as painters show them."""
    return [[name, color or COLORLESS] for name, color in zip(palette.names, palette.colors, strict=True)]


def stored_as(palette: Palette) -> list[list[Any]]:
    """How id maps store the classes, each [name, [[value, id], ...]], as painters ask for it; num_classes is unpainted."""
    tables = {convention.name: palette.id_table(convention)[:-1] for convention in palette.conventions}
    return [[name, [[int(i), int(ids[i])] for i in np.flatnonzero(ids != UNKNOWN)]] for name, ids in tables.items()]


def read(source: str | Path | bytes, most_side: int | None = None) -> Painting:
    """The painting in a file, or in the content of one. ValueError names the file and says what is wrong with it.

    most_side: pixels of a side. A larger painting is refused by its header, before memory is taken for it.
    """
    if isinstance(source, bytes):
        return _read(source, "the painting", most_side)
    return _read(content_of(source, MOST_FILE_BYTES), str(source), most_side)


def write(target: str | Path | BinaryIO, palette: Palette, ids: np.ndarray) -> None:
    """Writes the painting (H, W) of a palette's classes, num_classes being unpainted: a file whole or not at all."""
    ids = np.asarray(ids)
    known = ids.ndim == 2 and ids.size and ids.dtype.kind in "iu" and 0 <= ids.min() <= ids.max() <= palette.num_classes
    if not known:
        most = palette.num_classes
        found = f"{ids.dtype} of {ids.shape}" + (f" up to {ids.max()}" if ids.size else "")
        raise ValueError(f"a painting is (height, width) of ids from 0 to {most}, which is unpainted, not {found}")
    if not isinstance(target, str | Path):
        return _save(target, palette, ids)
    with written_whole(target) as beside, beside.open("wb") as file:
        _save(file, palette, ids)


def onto(painting: Painting, palette: Palette) -> tuple[LabelMap, list[str]]:
    """The painting as a layout (1, H, W) in the classes of a palette, by their names, whatever their case.

    What the palette lacks becomes unpainted, and a sentence says so.
    """
    source = Palette("the painting's", painting.names, (None,) * len(painting.names))
    labels = as_labels(painting.ids[None], source)
    made = labels if painting.names == palette.names else translated(labels, source, palette)
    lost = np.unique(painting.ids[(made.ids[0].numpy() == palette.num_classes) & (painting.ids < len(painting.names))])
    return made, [_loss(painting, lost, palette)] if lost.size else []


def _loss(painting: Painting, lost: np.ndarray, palette: Palette) -> str:
    names = [painting.names[i] for i in lost]
    more = f" and {len(names) - NAMED_IN_A_REMARK} more" if len(names) > NAMED_IN_A_REMARK else ""
    share = np.isin(painting.ids, lost).mean()
    return (
        f"palette {palette.name} has no class {', '.join(map(shown, names[:NAMED_IN_A_REMARK]))}{more}: "
        f"{max(1, round(100 * share))} % of the painting became {UNPAINTED}"
    )


def _read(content: bytes, name: str, most_side: int | None) -> Painting:
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            if most_side is not None and max(picture.size) > most_side:
                size = f"{picture.width} x {picture.height}"
                raise ValueError(
                    f"{name}: a canvas has up to {most_side} pixels a side here, not {size}: scale it down"
                )
            picture.load()  # the list of classes may follow the pixels
            if not isinstance(picture.info.get(KEYWORD), str) or picture.mode not in ("P", "I;16", "I"):
                raise Image.UnidentifiedImageError
            with naming(name):
                return _painting(picture)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(f"{name}: it has more than {MAX_PIXELS // 2**20} megapixels: scale it down first") from error
    except Image.UnidentifiedImageError as error:
        raise ValueError(f"{name} is {NOT_ONE}") from error
    except Exception as error:  # damaged files make decoders raise almost anything
        if is_out_of_memory(error) or (isinstance(error, ValueError) and str(error).startswith(name)):
            raise
        raise ValueError(f"{name} is damaged or incomplete ({brief(str(error))}): {AGAIN}") from error


def _painting(picture: Image.Image) -> Painting:
    names = _names(picture.info[KEYWORD])
    values = np.asarray(picture).astype(np.int64)
    if picture.mode != "P":
        values[values == UNPAINTED_GREY] = len(names)
    if wrong := values[(values < 0) | (values > len(names))][:1].tolist():
        raise ValueError(f"it holds class {wrong[0]}, and lists {len(names)} classes: {AGAIN}")
    return Painting(names, values)


def _names(listed: str) -> tuple[str, ...]:
    try:
        names = parsed(listed.encode("utf-8", "replace"), "JSON")
    except ValueError as error:
        raise ValueError(f"its list of classes cannot be read ({error}): {AGAIN}") from error
    listing = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if not listing or not 0 < len(names) < MAX_CLASSES:
        raise ValueError(f"its list of classes holds no 1 to {MAX_CLASSES - 1} names, but {shown(names)}: {AGAIN}")
    return Palette("the painting's", tuple(names), (None,) * len(names)).names  # which checks each


def _save(file: BinaryIO, palette: Palette, ids: np.ndarray) -> None:
    about = PngImagePlugin.PngInfo()
    about.add_itxt(KEYWORD, json.dumps(palette.names, ensure_ascii=False))
    if palette.num_classes > MOST_INDEXED:
        greys = np.where(ids == palette.num_classes, UNPAINTED_GREY, ids).astype(np.uint16)
        Image.fromarray(greys).save(file, "PNG", pnginfo=about)
        return
    table = np.zeros((256, 3), np.uint8)  # a whole one, or Pillow would write fewer bits
    opacity = np.zeros(256, np.uint8)
    for i, color in enumerate(palette.colors):
        table[i], opacity[i] = color or (0, 0, 0), 0 if color is None else 255
    picture = Image.fromarray(ids.astype(np.uint8), "P")
    picture.putpalette(table.tobytes())
    picture.save(file, "PNG", pnginfo=about, transparency=opacity.tobytes())
