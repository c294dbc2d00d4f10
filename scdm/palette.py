"""Palettes: the classes of a data set, their colours, and the way between painted images and ids."""

from __future__ import annotations

import colorsys
import json
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageColor

from . import assets
from .class_tables import class_table
from .images import read_image
from .levels import id_map
from .outside import meant, shown

if TYPE_CHECKING:
    from .labels import LabelMap  # which brings torch along: what asks for ids alone answers without it

Color = tuple[int, int, int]

GOLDEN_ANGLE = "_golden_angle"  # the end of the names that `Palette.golden_angle` gives
TOLERANCE = 16.0  # above the noise of a mild JPEG, below the half-way blends of an anti-aliased edge
MAX_CLASSES = 65535  # ids fit into 16-bit images, with one to spare for "ignore"
LONGEST_NAME = 255  # characters, as of a file; so that names fit into messages and pictures
VOID = (255, 65535)  # "ignore" in 8-bit and 16-bit id images, wherever it is not the id of a class
GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16L", "I;16B", "I;16N")
WORTH_A_REMARK = 0.05  # share of painted pixels without a class; anti-aliased borders stay below it
MOST_NAMED = 8  # of the classes that share a colour, in a remark
BAND = 2**20  # pixels that are worked on at once


@dataclass(frozen=True)
class Palette:
    """The classes of a model in the order of their ids, and the colours in which they are painted.

    names, colors: one entry for each id 0..num_classes - 1; colour None = cannot be painted (drawn like MASK).
    unlabelled: the id of the class that stands for "the annotator left this out", where the model has one.
    edge_channel: the data set's models also read instance borders.
    """

    name: str
    names: tuple[str, ...]
    colors: tuple[Color | None, ...]
    unlabelled: int | None = None
    edge_channel: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        for text in (self.name, *self.names):
            if not isinstance(text, str) or len(text) > LONGEST_NAME:
                raise ValueError(
                    f"a palette and its classes are named by texts of up to {LONGEST_NAME} characters, not by {shown(text)}"
                )
        if not self.names or len(self.names) != len(self.colors):
            raise ValueError(
                f"palette {self.name} has {len(self.names)} names and {len(self.colors)} colours: "
                "it needs one of each for every class, and at least one class"
            )
        if self.unlabelled is not None and not 0 <= self.unlabelled < self.num_classes:
            raise ValueError(
                f"palette {self.name}: unlabelled id {self.unlabelled} is not in 0..{self.num_classes - 1}"
            )
        for name, color in zip(self.names, self.colors, strict=True):
            if color is not None and not _is_color(color):
                raise ValueError(
                    f"the colour of class {shown(name)} is {shown(color)}, not three levels, integers from 0 to 255"
                )

    @classmethod
    def named(cls, name: str) -> Palette:
        """One of the palettes that come with the package (`palette_names`); NAME_golden_angle in those colours."""
        if name.endswith(GOLDEN_ANGLE):
            return cls.named(name.removesuffix(GOLDEN_ANGLE)).golden_angle()
        if name not in palette_names():
            hint = meant(name, palette_names()) or f"choose one of {', '.join(palette_names())}, or give a file"
            raise ValueError(f"there is no palette {shown(name)}: {hint}")
        return cls.from_dict(json.loads((_class_tables() / f"{name}.json").read_text(encoding="utf-8")))

    @classmethod
    def from_file(cls, path: str | Path, remark: Callable[[str], None] = warnings.warn) -> Palette:
        """A class table of the user's own: JSON or YAML as `from_dict` reads it (`name` may be left out), or in the form of
        a labelling tool or a painting program, see `class_tables`. `remark` receives what was assumed of the latter.
        """
        table, remarks = class_table(path)
        try:
            palette = cls.from_dict(table)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        for sentence in remarks:
            remark(sentence)
        return palette

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Palette:
        """A class table: {"name": ..., "classes": [{"name": "sky", "id": 0, "color": [6, 230, 230]}, ...], ...}.

        `id` defaults to the place in the list; a colour is [r, g, b] or "#rrggbb", or absent. Optional: "num_channels"
        (ids below it that no class takes are unnamed and colourless), "unlabelled_channel" (an id), "edge_channel"
        (true), "note". Further keys are left alone. ValueError says which entry is wrong.
        """
        if not isinstance(table, Mapping) or not isinstance(table.get("classes"), list | tuple):
            raise ValueError('a class table is a mapping that holds "classes", a list of {"name": ..., "color": ...}')
        classes: dict[int, tuple[str, Color | None]] = {}
        for place, entry in enumerate(table["classes"]):
            if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
                raise ValueError(f'class {place} of the table is {shown(entry)}, not {{"name": ..., "color": ...}}')
            name = shown(entry["name"])
            class_id = _integer(entry.get("id", place), f"the id of class {name}")
            if class_id in classes:
                raise ValueError(f"classes {shown(classes[class_id][0])} and {name} have the same id {class_id}")
            classes[class_id] = entry["name"], _color(entry["color"], name) if "color" in entry else None
        num_classes = _integer(table.get("num_channels", max(classes, default=-1) + 1), "num_channels")
        if not 0 < num_classes < MAX_CLASSES:
            raise ValueError(f"a palette has 1 to {MAX_CLASSES - 1} classes, not {num_classes}")
        if any(not 0 <= class_id < num_classes for class_id in classes):
            raise ValueError(
                f"the ids of {num_classes} classes are 0..{num_classes - 1}, but {min(classes)}..{max(classes)} occur"
            )
        unlabelled = table.get("unlabelled_channel")
        rows = [classes.get(i, ("unlabelled" if i == unlabelled else f"unused {i}", None)) for i in range(num_classes)]
        return cls(
            name=table.get("name", "unnamed"),
            names=tuple(name for name, _ in rows),
            colors=tuple(color for _, color in rows),
            unlabelled=None if unlabelled is None else _integer(unlabelled, "unlabelled_channel"),
            edge_channel=bool(table.get("edge_channel", False)),
            note=_text(table.get("note", ""), "the note of a palette"),
        )

    def to_dict(self) -> dict[str, Any]:
        """What `from_dict` reads; of plain JSON types, for the header of a checkpoint."""
        return {
            "name": self.name,
            "note": self.note,
            "num_channels": self.num_classes,
            "unlabelled_channel": self.unlabelled,
            "edge_channel": self.edge_channel,
            "classes": [
                {"id": i, "name": name} if color is None else {"id": i, "name": name, "color": list(color)}
                for i, (name, color) in enumerate(zip(self.names, self.colors, strict=True))
            ],
        }

    @property
    def num_classes(self) -> int:
        return len(self.names)

    @property
    def duplicates(self) -> dict[Color, tuple[int, ...]]:
        """The colours that several classes share -> the ids of these, ascending: such a colour is read as the first."""
        ids_of: dict[Color, list[int]] = defaultdict(list)
        for i, color in enumerate(self.colors):
            if color is not None:
                ids_of[color].append(i)
        return {color: tuple(ids) for color, ids in ids_of.items() if len(ids) > 1}

    def read_as(self, class_id: int) -> int:
        """The id as which the colour of a class is read: its own, or the first of those that share it."""
        color = self.colors[class_id]
        return class_id if color is None else self._first_with[color]

    @cached_property
    def _first_with(self) -> dict[Color, int]:
        return {color: i for i, color in reversed([*enumerate(self.colors)]) if color is not None}

    def golden_angle(self) -> Palette:
        """The same classes in the colours of the OneFormer preprocessors of comfyui_controlnet_aux.

        Class i has hue i * 137.508 degrees, a saturation cycling through 0.6, 0.8, 1 and a value through 0.7, 1, cut
        to OpenCV's 8-bit HSV (hue in steps of 2 degrees); class 0 is black. Ids 144 apart share a colour now and then.
        The ids are those of the preprocessor's model: ADE20K's are ours, COCO's (133 panoptic classes) are not.
        """
        colors = tuple((0, 0, 0) if i == 0 else _golden_angle_color(i) for i in range(self.num_classes))
        return replace(self, name=self.name + GOLDEN_ANGLE, colors=colors)

    def to_labels(
        self, image: Image.Image, tolerance: float = TOLERANCE, remark: Callable[[str], None] = warnings.warn
    ) -> LabelMap:
        """A painted or annotated image as a layout of batch 1: the ids that `to_ids` reads."""
        return _as_labels(self.to_ids(image, tolerance, remark), self)

    def to_ids(
        self, image: Image.Image, tolerance: float = TOLERANCE, remark: Callable[[str], None] = warnings.warn
    ) -> np.ndarray:
        """A painted or annotated image as int64 ids (H, W); pixels of less than half opacity are MASK, `num_classes`.

        Colours (RGB and its kin): the class of the nearest colour, MASK if that is further than `tolerance`
        (Euclidean, in 8-bit levels). Grey images of 8 or 16 bits hold ids, taken as they are (no offset is guessed);
        255, 65535 and `num_classes` are MASK where they are no class. Images with a colour table (mode P) hold ids if
        all of these are valid, unless most pixels for which the two readings differ have exactly a class's colour.

        `remark` receives a sentence for each thing that the painter should know but that does not stop the work.
        ValueError: an id that no class has, or no pixel with the colour of a class (all transparent is fine: all MASK).
        """
        if not 0 <= tolerance <= 442:  # from black to white
            raise ValueError(f"the colour tolerance is a distance from 0 to 442, so not {tolerance}")
        opaque = _opaque(image)
        ids = self._ids_of_values(image, opaque, remark)
        if ids is None:
            ids = self._ids_of_colors(image, opaque, tolerance, remark)
        return ids

    def to_image(self, labels: LabelMap, mask_color: Color | None = None) -> np.ndarray:
        """uint8 (B, H, W, 4), MASK and colourless classes transparent; with a `mask_color` for them (B, H, W, 3)."""
        if labels.num_classes != self.num_classes:
            raise ValueError(
                f"layout has {labels.num_classes} classes, palette {self.name} has {self.num_classes}: "
                "choose the palette of the layout"
            )
        blank = (0, 0, 0, 0) if mask_color is None else mask_color
        painted = [None if color is None else (*color, 255)[: len(blank)] for color in self.colors]
        table = [color or blank for color in (*painted, None)]
        return np.array(table, dtype=np.uint8)[labels.ids.cpu().numpy()]

    def _ids_of_values(
        self, image: Image.Image, opaque: np.ndarray, remark: Callable[[str], None]
    ) -> np.ndarray | None:
        """(H, W) int64 ids of an image whose pixel values are ids; None for an image of colours."""
        if image.mode not in (*GREY_MODES, "P"):
            return None
        ids = np.array(image.getchannel("L") if image.mode == "LA" else image, dtype=np.int64)
        for void in VOID:
            if void >= self.num_classes:
                ids[ids == void] = self.num_classes
        wrong = opaque & ((ids < 0) | (ids > self.num_classes))
        if wrong.any():
            if image.mode == "P":
                return None
            raise ValueError(
                f"grey images hold class ids, and this one holds {ids[wrong][0]}, but palette {self.name} has ids "
                f"0..{self.num_classes - 1}: choose the palette that made this layout, or paint with its colours"
            )
        if image.mode == "P":
            by_color = self._nearest(image, tolerance=0)
            differ = opaque & (by_color != ids)
            if differ.any() and (by_color < self.num_classes)[differ].mean() >= 0.5:
                return None
            if opaque.any() and not (by_color[opaque] < self.num_classes).any():
                remark(f"no pixel has a colour of palette {self.name}, so the values are read as class ids")
        ids[~opaque] = self.num_classes
        return ids

    def _ids_of_colors(
        self, image: Image.Image, opaque: np.ndarray, tolerance: float, remark: Callable[[str], None]
    ) -> np.ndarray:
        """(H, W) int64 ids by nearest colour."""
        ids = self._nearest(image, tolerance)
        unknown = opaque & (ids == self.num_classes)
        share = unknown.sum() / max(opaque.sum(), 1)
        if share >= WORTH_A_REMARK:
            found = _most_frequent(image, unknown)
            if share == 1:
                raise ValueError(
                    f"no pixel has a colour of palette {self.name} (tolerance {tolerance:g}), they are {found}: "
                    "choose the palette that the layout was painted with, or raise the tolerance"
                )
            remark(
                f"{share:.0%} of the painted pixels have no colour of palette {self.name} and stay unpainted, {found}"
            )
        ids[~opaque] = self.num_classes
        pixels = np.bincount(ids.ravel(), minlength=self.num_classes)
        for color, group in self.duplicates.items():
            if pixels[group[0]]:
                first, *others = (f"{self.names[i]} ({i})" for i in group)
                more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
                shared = (
                    f"#{_codes(np.array(color)):06x} is the colour of {first} and of {', '.join(others[:MOST_NAMED])}"
                )
                remark(f"{shared}{more}: read as {first}")
        return ids

    def _nearest(self, image: Image.Image, tolerance: float) -> np.ndarray:
        """int64 (H, W): lowest id among the nearest colours, `num_classes` beyond `tolerance`."""
        ids = np.empty((image.height, image.width), dtype=np.int64)
        # A layout has millions of pixels but few colours, so each of the 2^24 colours is looked up at most once.
        found = np.zeros(1 << 24, dtype=np.int32)  # id + 1, 0 for not yet; pages that no colour touches cost nothing
        for rows, rgba in _bands(image):
            codes = _codes(rgba)
            new = np.unique(codes[found[codes] == 0])
            found[new] = self._nearest_of(new, tolerance) + 1
            ids[rows] = found[codes] - 1
        return ids

    def _nearest_of(self, codes: np.ndarray, tolerance: float) -> np.ndarray:
        """0xrrggbb (N,) -> int32 (N,), see `_nearest`."""
        class_ids = np.array([i for i, color in enumerate(self.colors) if color is not None], dtype=np.int32)
        class_colors = np.array([color for color in self.colors if color is not None], dtype=np.float32).reshape(-1, 3)
        ids = np.full(len(codes), self.num_classes, dtype=np.int32)
        if len(class_ids) == 0:
            return ids
        # |a - b|^2 - |a|^2 = (a, 1).(-2 b, |b|^2): integers below 2^24, exact in float32, so ties stay ties
        squares = (class_colors**2).sum(axis=-1, keepdims=True)
        distances = np.concatenate([-2 * class_colors, squares], axis=-1).T  # (4, classes)
        step = 1 + 2**19 // len(class_ids)  # distances are computed for so many at once
        for start in range(0, len(codes), step):
            some = codes[start : start + step]
            colors = np.stack([some >> 16, some >> 8 & 255, some & 255, np.ones_like(some)], axis=-1).astype(np.float32)
            nearest = (colors @ distances).argmin(axis=-1)
            squared = ((colors[:, :3] - class_colors[nearest]) ** 2).sum(axis=-1)
            ids[start : start + step] = np.where(squared <= tolerance**2, class_ids[nearest], self.num_classes)
        return ids


def palette_names() -> list[str]:
    return sorted(file.name.removesuffix(".json") for file in _class_tables().iterdir() if file.name.endswith(".json"))


def read_layout(
    path: str | Path, palette: Palette, tolerance: float = TOLERANCE, remark: Callable[[str], None] = warnings.warn
) -> LabelMap:
    """The layout in an image file: `read_image`, then `Palette.to_labels`; ValueError names the file."""
    return _as_labels(read_ids(path, palette, tolerance, remark), palette)


def read_ids(
    path: str | Path, palette: Palette, tolerance: float = TOLERANCE, remark: Callable[[str], None] = warnings.warn
) -> np.ndarray:
    """The int64 ids (H, W) of the layout in an image file, without torch: `read_image`, then `Palette.to_ids`."""
    if not isinstance(palette, Palette):
        raise ValueError(f"a palette is wanted, such as model.palette or Palette.named('ade20k'), not {shown(palette)}")
    image = read_image(path, remark, palette.colors)
    try:
        return palette.to_ids(id_map(image) if image.mode == "F" else image, tolerance, remark)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _as_labels(ids: np.ndarray, palette: Palette) -> LabelMap:
    import torch

    from .labels import LabelMap

    return LabelMap(torch.from_numpy(ids)[None], palette.num_classes)


def _class_tables() -> Any:
    return assets.folder() / "classes"


def _opaque(image: Image.Image) -> np.ndarray:
    """(H, W) bool: alpha of at least one half."""
    if image.mode.startswith("I") or not image.has_transparency_data:
        return np.ones((image.height, image.width), dtype=bool)
    return np.concatenate([rgba[..., 3] >= 128 for _, rgba in _bands(image)])


def _bands(image: Image.Image) -> Iterator[tuple[slice, np.ndarray]]:
    """The image from top to bottom, piece by piece: which rows, and their uint8 (h, W, 4), see `_rgba`."""
    height = max(1, BAND // image.width)
    for top in range(0, image.height, height):
        bottom = min(top + height, image.height)
        yield slice(top, bottom), _rgba(image.crop((0, top, image.width, bottom)))


def _rgba(image: Image.Image) -> np.ndarray:
    """uint8 (H, W, 4), the colours as they are: not blended with anything where the alpha is low."""
    try:
        return np.asarray(image.convert("RGBA"))
    except (OSError, ValueError) as error:
        raise ValueError(f"a layout in an image of mode {image.mode} cannot be read: save it as PNG") from error


def _most_frequent(image: Image.Image, where: np.ndarray, count: int = 3) -> str:
    """The most frequent colours where the bool (H, W) is true, in words; of many pixels, a sample speaks for all."""
    every = 1 + int(where.sum()) // 2**18
    sample = np.concatenate([_codes(rgba)[where[rows]][::every] for rows, rgba in _bands(image)])
    found, counts = np.unique(sample, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:count]
    often = [f"#{found[i]:06x} ({counts[i] / len(sample):.0%})" for i in order if counts[i] >= 0.005 * len(sample)]
    return (
        f"mostly {', '.join(often)}"
        if often
        else "of very many colours, as in photographs and JPEG files (paint in PNG)"
    )


def _codes(rgb: np.ndarray) -> np.ndarray:
    """uint8 (..., 3 or 4) -> int32 (...): 0xrrggbb."""
    red, green, blue = np.moveaxis(rgb[..., :3].astype(np.int32), -1, 0)
    return red << 16 | green << 8 | blue


def _golden_angle_color(i: int) -> Color:
    hue = int(i * 137.508 % 360 / 2)  # 0..179
    saturation = int((0.6 + 0.4 * (i % 3) / 2) * 255)
    value = int((0.7 + 0.3 * (i % 2)) * 255)
    red, green, blue = colorsys.hsv_to_rgb(hue / 180, saturation / 255, value / 255)
    return round(red * 255), round(green * 255), round(blue * 255)


def _integer(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > 2**63:
        raise ValueError(f"{what} must be an integer, not {shown(value)}")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} must be text, not {shown(value)}")
    return value


def _color(value: Any, name: str) -> Color:
    try:
        red, green, blue = ImageColor.getrgb(value)[:3] if isinstance(value, str) else value
    except (TypeError, ValueError, OverflowError):
        hint = " (quote it: in YAML a # begins a comment)" if value is None else ""
        raise ValueError(f'the colour of class {name} is {shown(value)}, not [r, g, b] or "#rrggbb"{hint}') from None
    return red, green, blue


def _is_color(value: Any) -> bool:
    levels = value if isinstance(value, tuple) else ()
    return len(levels) == 3 and all(type(level) is int and 0 <= level <= 255 for level in levels)
