"""Palettes: the classes of a data set, their colours, and how label maps store them."""

from __future__ import annotations

import colorsys
import json
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from PIL import Image, ImageColor

from .. import assets
from ..files.levels import Remark
from ..files.options import Option, check_fields
from ..files.profiles import Color
from ..files.untrusted import content_of, meant, naming, shown
from .class_tables import class_table
from .decoding import TOLERANCE, ids_of
from .values import COLORS, IDS, Convention

if TYPE_CHECKING:
    from .labels import LabelMap  # which brings torch along: what asks for ids alone answers without it

GOLDEN_ANGLE = "_golden_angle"  # the end of the names that `Palette.golden_angle` gives
CITYSCAPES_TRAIN = "cityscapes_train"
MAX_CLASSES = 65535  # ids fit into 16-bit images, with one to spare for "ignore"
LONGEST_NAME = 255  # characters, as of a file; so that names fit into messages and pictures


@dataclass(frozen=True)
class Palette:
    """The classes of a model in the order of their ids, and the colours in which they are painted.

    names, colors: one entry for each id 0..num_classes - 1; colour None = cannot be painted (drawn like MASK).
    unlabelled: the id of the class that stands for "the annotator left this out", where the model has one.
    edge_channel: the data set's models also read instance borders.
    values: how label maps store the classes, if not as ids alone; see `conventions`.
    """

    name: Annotated[str, Option("of the data set")]
    names: Annotated[tuple[str, ...], Option("of the classes")]
    colors: tuple[Color | None, ...]
    unlabelled: Annotated[int | None, Option("class of what the annotator left out", ge=0)] = None
    edge_channel: bool = False
    note: Annotated[str, Option("for people")] = ""
    values: tuple[Convention, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self, "palette: ")
        if long := [text for text in (self.name, *self.names) if len(text) > LONGEST_NAME]:
            raise ValueError(f"names have up to {LONGEST_NAME} characters, not {shown(long[0])}")
        most, colors = len(self.names), len(self.colors)
        if not most or most != colors:
            raise ValueError(f"palette {self.name} has {most} names and {colors} colours: a class has one of each")
        if self.unlabelled is not None and self.unlabelled >= most:
            raise ValueError(f"palette {self.name}: unlabelled id {self.unlabelled} is not in 0..{most - 1}")
        if wrong := [pair for pair in zip(self.names, self.colors, strict=True) if not _is_color(pair[1])]:
            name, color = map(shown, wrong[0])
            raise ValueError(f"the colour of class {name} is {color}, not three integers from 0 to 255")
        if high := [(known.name, i) for known in self.values for i in known.classes if i >= most]:
            raise ValueError(f"the values {high[0][0]} stand for class {high[0][1]}, but ids are 0..{most - 1}")

    @classmethod
    def named(cls, name: str) -> Palette:
        """One of the palettes that come with the package (`palette_names`); NAME_golden_angle in those colours.

        cityscapes_train: the same classes, for maps that store the 19 train ids.
        """
        if name.endswith(GOLDEN_ANGLE):
            return cls.named(name.removesuffix(GOLDEN_ANGLE)).golden_angle()
        if name == CITYSCAPES_TRAIN:
            whole = cls.named("cityscapes")
            return replace(whole, name=name, values=(whole.convention("train_ids"),))
        if name not in palette_names():
            hint = meant(name, palette_names()) or f"choose one of {', '.join(palette_names())}, or give a file"
            raise ValueError(f"there is no palette {shown(name)}: {hint}")
        return cls.from_dict(json.loads((_class_tables() / f"{name}.json").read_text(encoding="utf-8")))

    @classmethod
    def from_file(cls, path: str | Path, remark: Remark = warnings.warn) -> Palette:
        """A class table of the user's own: JSON or YAML as `from_dict` reads it (`name` may be left out), or in the form of
        a labelling tool or a painting program, see `class_tables`. `remark` receives what was assumed of the latter, and
        which keys are ignored that are nearly those that are read.
        """
        content = content_of(path)
        with naming(path):
            table, remarks = class_table(content, Path(path))
            palette = cls.from_dict(table)
        for sentence in (*remarks, *_misspelt(table, path)):
            remark(sentence)
        return palette

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Palette:
        """A class table: {"name": ..., "classes": [{"name": "sky", "id": 0, "color": [6, 230, 230]}, ...], ...}.

        `id` defaults to the place in the list; a colour is [r, g, b] or "#rrggbb", or absent. Optional: "num_channels"
        (ids below it that no class takes are unnamed and colourless), "unlabelled_channel" (an id), "edge_channel"
        (true), "note", and "values": [{"name": "annotations", "first": 1, "unlabelled": [0]}, ...], see `Convention`, of
        which the first is assumed by default (a table with a shipped palette's name and classes has its values).
        Further keys are ignored. ValueError names the entry that is wrong.
        """
        if not isinstance(table, Mapping) or not isinstance(table.get("classes"), list | tuple):
            raise ValueError('a class table is a mapping that holds "classes", a list of {"name": ..., "color": ...}')
        classes = _classes(table["classes"])
        num_classes = _integer(table.get("num_channels", max(classes, default=-1) + 1), "num_channels")
        if not 0 < num_classes < MAX_CLASSES:
            raise ValueError(f"a palette has 1 to {MAX_CLASSES - 1} classes, not {num_classes}")
        if classes and not 0 <= min(classes) <= max(classes) < num_classes:
            raise ValueError(f"ids are 0..{num_classes - 1}, but {min(classes)}..{max(classes)} occur")
        unlabelled = table.get("unlabelled_channel")
        rows = [classes.get(i, ("unlabelled" if i == unlabelled else f"unused {i}", None)) for i in range(num_classes)]
        name, names = table.get("name", "unnamed"), tuple(name for name, _ in rows)
        return cls(
            name=name,
            names=names,
            colors=tuple(color for _, color in rows),
            unlabelled=unlabelled,
            edge_channel=bool(table.get("edge_channel", False)),
            note=table.get("note", ""),
            values=_conventions(table["values"]) if "values" in table else _shipped_values(name, names),
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
            **({"values": [convention.to_dict() for convention in self.values]} if self.values else {}),
        }

    @property
    def num_classes(self) -> int:
        return len(self.names)

    def require_same(self, other: Palette, whose: str, others: str) -> None:
        """ValueError unless the classes have the same names: `whose` has this palette ("the layout"), `others` the other."""
        from .labels import require_same_classes

        advice = f"one has those of palette {self.name}, the other of {other.name}"
        require_same_classes(whose, self.names, others, other.names, advice)

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
        self,
        image: Image.Image,
        tolerance: float = TOLERANCE,
        remark: Remark = warnings.warn,
        *,
        values: str | None = None,
        file_name: str = "",
    ) -> LabelMap:
        """A painted or annotated image as a layout of batch 1: the ids that `to_ids` reads."""
        return as_labels(self.to_ids(image, tolerance, remark, values=values, file_name=file_name)[None], self)

    def to_ids(
        self,
        image: Image.Image,
        tolerance: float = TOLERANCE,
        remark: Remark = warnings.warn,
        *,
        values: str | None = None,
        file_name: str = "",
    ) -> np.ndarray:
        """A painted or annotated image as int64 ids (H, W); pixels of less than half opacity are MASK, `num_classes`.

        Grey images and colour tables hold values, whose meaning `values` names, or colours; see `decoding.ids_of`. `remark`
        receives a sentence for each thing that the painter should know but that does not stop the work.
        ValueError: a value that no class has, no pixel with the colour of a class, or a choice that does not fit.
        """
        return ids_of(image, self, tolerance, remark, values=values, file_name=file_name)

    @property
    def conventions(self) -> tuple[Convention, ...]:
        """The ways in which label maps store the classes; the first is the default."""
        return self.values or (IDS,)

    def convention(self, name: str | None = None) -> Convention:
        """The way to store values of that name, or the first. ValueError with those that there are."""
        named = {convention.name: convention for convention in self.conventions}
        if name is None:
            return self.conventions[0]
        if name not in named:
            raise ValueError(f"palette {self.name} has no values {shown(name)}: choose {', '.join(named)}, or {COLORS}")
        return named[name]

    def id_table(self, convention: Convention) -> np.ndarray:
        """(65537,) int64, for one of the `conventions`, see `Convention.table`."""
        return self._id_tables[convention]

    @cached_property
    def _id_tables(self) -> dict[Convention, np.ndarray]:
        return {convention: convention.table(self.num_classes, self.unlabelled) for convention in self.conventions}

    def called(self, class_id: int) -> str:
        """A class, or MASK, in words."""
        return "unpainted" if class_id == self.num_classes else f"{self.names[class_id]} ({class_id})"

    def to_image(self, labels: LabelMap, mask_color: Color | None = None) -> np.ndarray:
        """uint8 (B, H, W, 4), MASK and colourless classes transparent; with a `mask_color` for them (B, H, W, 3)."""
        from .labels import require_same_classes

        advice = "choose the palette that belongs to it"
        require_same_classes("the layout", labels.num_classes, f"palette {self.name}", self.num_classes, advice)
        blank = (0, 0, 0, 0) if mask_color is None else mask_color
        painted = [None if color is None else (*color, 255)[: len(blank)] for color in self.colors]
        table = [color or blank for color in (*painted, None)]
        return np.array(table, dtype=np.uint8)[labels.ids.cpu().numpy()]


def palette_names() -> list[str]:
    return sorted(file.name.removesuffix(".json") for file in _class_tables().iterdir() if file.name.endswith(".json"))


def as_labels(ids: np.ndarray, palette: Palette) -> LabelMap:
    """int64 ids (B, H, W) as layouts in the classes of a palette."""
    import torch

    from .labels import LabelMap

    return LabelMap(torch.from_numpy(ids), palette.num_classes)


KEYS = ("name", "classes", "num_channels", "unlabelled_channel", "edge_channel", "note", "values")  # of class tables
CLASS_KEYS = ("name", "id", "color")


def _class_tables() -> Any:
    return assets.folder() / "classes"


def _misspelt(table: Mapping[str, Any], path: str | Path) -> Iterator[str]:
    """Sentences on keys that are like those of a class table or of a class, such as "unlabeled_channel" and "colours"."""
    entries = dict.fromkeys(str(key) for entry in table["classes"] for key in entry)
    for found, known, where in ((map(str, table), KEYS, ""), (entries, CLASS_KEYS, " of classes")):
        for key in found:
            if key not in known and (hint := meant(key, known)):
                yield f"{path}: the key {shown(key)}{where} is ignored, {hint}"


def _classes(entries: Sequence[Any]) -> dict[int, tuple[str, Color | None]]:
    """The name and the colour of each id."""
    classes: dict[int, tuple[str, Color | None]] = {}
    for place, entry in enumerate(entries):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
            raise ValueError(f'class {place} of the table is {shown(entry)}, not {{"name": ..., "color": ...}}')
        name = shown(entry["name"])
        class_id = _integer(entry.get("id", place), f"the id of class {name}")
        if class_id in classes:
            raise ValueError(f"classes {shown(classes[class_id][0])} and {name} have the same id {class_id}")
        classes[class_id] = entry["name"], _color(entry["color"], name) if "color" in entry else None
    return classes


def _conventions(entries: Any) -> tuple[Convention, ...]:
    if not isinstance(entries, list | tuple):
        raise ValueError(f'the values of a palette are a list such as [{{"name": "ids"}}], not {shown(entries)}')
    found = tuple(Convention.from_dict(how) for how in entries)
    if len({convention.name for convention in found}) < len(found):
        raise ValueError("two of a palette's values have the same name")
    return found


def _shipped_values(name: Any, names: tuple[str, ...]) -> tuple[Convention, ...]:
    """Those of the shipped palette of this name and these classes: tables written before there were any have none."""
    shipped = name.removesuffix(GOLDEN_ANGLE) if isinstance(name, str) else ""
    known = _values_of_names(shipped) if shipped in palette_names() else None
    return known[1] if known is not None and known[0] == names[: len(known[0])] else ()


@cache
def _values_of_names(name: str) -> tuple[tuple[str, ...], tuple[Convention, ...]]:
    table = json.loads((_class_tables() / f"{name}.json").read_text(encoding="utf-8"))
    return tuple(entry["name"] for entry in table["classes"]), _conventions(table.get("values", []))


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


def _color(value: Any, name: str) -> Color:
    try:
        red, green, blue = ImageColor.getrgb(value)[:3] if isinstance(value, str) else value
    except (TypeError, ValueError, OverflowError):
        hint = " (quote it: in YAML a # begins a comment)" if value is None else ""
        raise ValueError(f'the colour of class {name} is {shown(value)}, not [r, g, b] or "#rrggbb"{hint}') from None
    return red, green, blue


def _is_color(value: Any) -> bool:
    levels = value if isinstance(value, tuple) else ()
    return value is None or (len(levels) == 3 and all(type(level) is int and 0 <= level <= 255 for level in levels))
