"""Palettes: the classes of a data set, their colours, and the way between painted images and ids."""

from __future__ import annotations

import colorsys
import json
import warnings
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageColor

from .. import assets
from ..files.images import read_image
from ..files.levels import Remark, silent
from ..files.profiles import Color
from ..files.untrusted import meant, shown
from . import pixels
from .class_tables import class_table
from .values import COLORS, IDS, UNKNOWN, VOID, Convention, looked_up, ranges

if TYPE_CHECKING:
    from .labels import LabelMap  # which brings torch along: what asks for ids alone answers without it

GOLDEN_ANGLE = "_golden_angle"  # the end of the names that `Palette.golden_angle` gives
CITYSCAPES_TRAIN = "cityscapes_train"
TOLERANCE = 16.0  # above the noise of a mild JPEG, below the half-way blends of an anti-aliased edge
MAX_CLASSES = 65535  # ids fit into 16-bit images, with one to spare for "ignore"
LONGEST_NAME = 255  # characters, as of a file; so that names fit into messages and pictures
WORTH_A_REMARK = 0.05  # share of painted pixels without a class; anti-aliased borders stay below it
MOST_NAMED = 8  # of the classes that share a colour, in a remark
LOSSY_SLACK = 6  # levels by which the channels of a grey differ after a lossy format
MOST_STRAY = (
    0.5  # share of pixels near a class's colour beyond which the painter's colours are off, and nothing is blended
)
MANY_SHADES = 4  # colours that are no class's own and all read as one class, worth a remark
LEAST_ACCIDENTS = 0.001  # share of all pixels of a class that nobody painted, if it is the only one
LEAST_BETWEEN, LEAST_BETWEEN_SHARE = 24, 0.2  # pixels of ids in between others, and their share of all borders


@dataclass(frozen=True)
class Palette:
    """The classes of a model in the order of their ids, and the colours in which they are painted.

    names, colors: one entry for each id 0..num_classes - 1; colour None = cannot be painted (drawn like MASK).
    unlabelled: the id of the class that stands for "the annotator left this out", where the model has one.
    edge_channel: the data set's models also read instance borders.
    values: how label maps store the classes, if not as ids alone; see `conventions`.
    """

    name: str
    names: tuple[str, ...]
    colors: tuple[Color | None, ...]
    unlabelled: int | None = None
    edge_channel: bool = False
    note: str = ""
    values: tuple[Convention, ...] = ()

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
        for convention in self.values:
            if wrong := [i for i in convention.classes if i >= self.num_classes]:
                raise ValueError(
                    f"the values {convention.name} of palette {self.name} stand for class {wrong[0]}, but its ids are "
                    f"0..{self.num_classes - 1}"
                )

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
        (true), "note", and "values": [{"name": "annotations", "first": 1, "unlabelled": [0]}, ...], see `Convention`, of
        which the first is assumed where nothing tells (a table with a shipped palette's name and classes has its values).
        Further keys are left alone. ValueError says which entry is wrong.
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
        name, names = table.get("name", "unnamed"), tuple(name for name, _ in rows)
        return cls(
            name=name,
            names=names,
            colors=tuple(color for _, color in rows),
            unlabelled=None if unlabelled is None else _integer(unlabelled, "unlabelled_channel"),
            edge_channel=bool(table.get("edge_channel", False)),
            note=_text(table.get("note", ""), "the note of a palette"),
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
        if self.names != other.names:
            raise ValueError(
                f"{whose} has the {self.num_classes} classes of palette {self.name}, {others} the {other.num_classes} of "
                f"{other.name}: choose two of the same classes"
            )

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
        return _as_labels(self.to_ids(image, tolerance, remark, values=values, file_name=file_name), self)

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

        What a picture holds is told by the picture:

        * Grey images hold values, of any depth. If the palette knows none of them but all are greys of its classes, or if
          it would be without a class where the greys of several are, they are colours.
        * Colours (RGB and its kin) are colours: the class of the nearest one, MASK if that is further than `tolerance`
          (Euclidean, in 8-bit levels). But a picture that is grey wherever it is opaque, with greys that no class has
          exactly, holds values, three times each, as long as the palette knows them all.
          So does one of which a single channel holds anything, if that hits no class's colour but black.
        * A colour table (mode P): colours decide where most pixels are within the tolerance of a class's colour, unless the
          table is a usual one for values (a ramp of greys, PASCAL VOC's) and most colours are not exactly a class's. A table
          of other greys is a grey image's, unless these mean no class and the places in it do.

        What values mean, the palette's conventions say: `values` names one, and then also the two last kinds are values.
        `values="colors"` reads any picture by its colours. Without it the file's name tells, or else the first of the
        conventions that know every value; what it took, `remark` is told if another would have read something else.

        A picture of nothing but the value 0, whose class is not black, is an empty one: all MASK.

        `remark` receives a sentence for each thing that the painter should know but that does not stop the work.
        ValueError: a value that no class has, no pixel with the colour of a class (all transparent is fine: all MASK),
        values from a lossy format (`image.info["scdm_lossy"]` names it), no such convention, or
        a convention for a picture of colours.
        """
        if not 0 <= tolerance <= 442:  # from black to white
            raise ValueError(f"the colour tolerance is a distance from 0 to 442, so not {tolerance}")
        chosen = None if values in (None, COLORS) else self.convention(values)
        lossy = str(image.info.get("scdm_lossy", ""))
        opaque = pixels.opaque_part(image)
        stored = None if values == COLORS else pixels.stored(image, opaque, LOSSY_SLACK if lossy else 0)
        if chosen and stored is None:
            raise ValueError(
                f"the layout is a picture of colours and holds no values, neither {chosen.name} nor others: leave the "
                "choice of values (--values) out"
            )
        reading = _Reading(self, tolerance, remark, chosen, file_name, lossy)
        ids = None if stored is None else reading.ids_of_values(stored)
        if ids is None:
            ids = reading.ids_of_colors(image, opaque)
        elif opaque is not None:
            ids[~opaque] = self.num_classes
        return ids

    @property
    def conventions(self) -> tuple[Convention, ...]:
        """The ways in which label maps store the classes; the first is assumed where nothing tells."""
        return self.values or (IDS,)

    def convention(self, name: str | None = None) -> Convention:
        """The way to store values of that name, or the first. ValueError with those that there are."""
        named = {convention.name: convention for convention in self.conventions}
        if name is None:
            return self.conventions[0]
        if name not in named:
            raise ValueError(
                f"palette {self.name} has no values {shown(name)}: choose {', '.join(named)}, or {COLORS} to read any "
                "picture by its colours"
            )
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

    def holds_colors(self, image: Image.Image) -> bool:
        """Whether `to_labels` reads a picture by its colours. ValueError for numbers that are none."""
        stored, reading = pixels.stored(image, pixels.opaque_part(image)), _Reading(self)
        return stored is None or reading.shows_colors(stored, reading.meant(stored.found))

    def doubts(self, found: np.ndarray, read_as: Convention, file_name: str = "") -> str:
        """Why maps of these values (ascending) may be stored otherwise, in a sentence; "" if nothing says so."""
        ids = {convention: looked_up(self.id_table(convention), found) for convention in self.conventions}
        fitting = [convention for convention, meant in ids.items() if (meant != UNKNOWN).all()]
        others = [convention for convention in fitting if convention is not read_as]
        told = read_as is self.conventions[0] and read_as.tells(file_name)
        for other in () if told else others:
            if (differ := np.flatnonzero(ids[other] != ids[read_as])).size:
                value = differ[:1]
                mine, theirs = (self.called(ids[convention][value][0]) for convention in (read_as, other))
                return (
                    f"the values are read as {read_as.name} ({found[value][0]} is {mine}): if they are {other.name} "
                    f"({found[value][0]} is {theirs}), choose the values {other.name}"
                )
        return (
            self._doubts_of_counting(found, ids[read_as])
            if read_as.lenient
            else self._nothing_labelled(found, ids[read_as])
        )

    def _doubts_of_counting(self, found: np.ndarray, meant: np.ndarray) -> str:
        """Says that the number of classes occurs, and what else speaks for a map that counts from 1."""
        most = self.num_classes
        if not ((found == most) & (meant == most)).any():
            return self._nothing_labelled(found, meant)
        from_one = {"name": "from_one", "first": 1} | ({"unpainted": [0]} if found[0] == 0 else {})
        seems = "" if found[0] <= 0 else ", and as no 0 occurs, the map seems to count from 1"
        return (
            f"the value {most}, which is no class of 0..{most - 1}, is read as unpainted{seems}: if the map counts from 1, "
            f'say so in the class table ("values": [{json.dumps(from_one)}])'
        )

    def _nothing_labelled(self, found: np.ndarray, meant: np.ndarray) -> str:
        if found.tolist() not in ([value] for value in VOID) or meant[0] not in (self.num_classes, self.unlabelled):
            return ""
        whites = [i for i, color in enumerate(self.colors) if color == (255, 255, 255)]
        white = f": if that is the white of {self.called(whites[0])}, choose the values {COLORS}" if whites else ""
        return f"every pixel is {found[0]}, so nothing is labelled{white if found[0] == 255 else ''}"

    def to_image(self, labels: LabelMap, mask_color: Color | None = None) -> np.ndarray:
        """uint8 (B, H, W, 4), MASK and colourless classes transparent; with a `mask_color` for them (B, H, W, 3)."""
        labels.require_classes(self.num_classes, f"palette {self.name}")
        blank = (0, 0, 0, 0) if mask_color is None else mask_color
        painted = [None if color is None else (*color, 255)[: len(blank)] for color in self.colors]
        table = [color or blank for color in (*painted, None)]
        return np.array(table, dtype=np.uint8)[labels.ids.cpu().numpy()]

    def smoothed(self, values: np.ndarray, table: np.ndarray) -> str:
        """Whether (H, W) stored values look interpolated, in a sentence; "" if they do not. table: of `Convention.table`."""
        between, borders = pixels.in_between(values)
        if len(between) < LEAST_BETWEEN or len(between) < LEAST_BETWEEN_SHARE * borders:
            return ""
        ids, counts = np.unique(looked_up(table, between), return_counts=True)
        often = [self.called(int(i)) for i in ids[np.argsort(-counts, kind="stable")] if i >= 0][:MOST_NAMED]
        share = len(between) / borders
        return (
            f"{share:.0%} of the borders between classes pass through values in between ({', '.join(often)}): "
            "the map seems to have been resized with smoothing, which makes classes that nobody chose: use nearest neighbour"
        )


@dataclass(frozen=True)
class _Reading:
    """How a picture is read, see `Palette.to_ids`.

    chosen: the convention that was asked for. lossy: the name of the file's format, if it is one that changes pixels.
    """

    palette: Palette
    tolerance: float = TOLERANCE
    remark: Remark = silent
    chosen: Convention | None = None
    file_name: str = ""
    lossy: str = ""

    def ids_of_values(self, stored: pixels.Stored) -> np.ndarray | None:
        """(H, W) int64 ids of a picture whose numbers are values; None for a picture of colours."""
        places = self._places(stored)
        stored = places or stored
        convention = self.chosen or self._fitting(stored.found)
        table = self.palette.id_table(convention or self.palette.conventions[0])
        meant = looked_up(table, stored.found)
        heard: list[str] = []  # before it is known whether they matter
        if places:
            heard.append(
                "the greys of the colour table are neither ids nor colours of several classes, so the places in it are read "
                "as ids"
            )
        elif not self.chosen and self.shows_colors(stored, meant if convention else None, heard.append):
            self._tell(heard)
            return None
        if self.lossy:
            raise ValueError(
                f"a map of ids does not survive {self.lossy}, which changes them at every border: save it as PNG"
            )
        if (meant == UNKNOWN).any():
            wrong = stored.found[meant == UNKNOWN][0]
            if self.chosen:
                raise ValueError(
                    f"{wrong} is none of the values {self.chosen.name} of palette {self.palette.name}: choose others"
                )
            raise ValueError(
                f"grey images hold class ids, and this one holds {wrong}, but palette {self.palette.name} has "
                f"{self.palette.conventions[0].name} {self._known_values()}: choose the palette that made this layout, or "
                "paint with its colours"
            )
        if not self.chosen and stored.found.tolist() == [0] and meant[0] == 0:
            return self._empty(stored)
        self._tell(heard)
        if self.remark is not silent:  # in training nobody hears, and these look at all pixels again
            if convention and not self.chosen:
                if doubt := self.palette.doubts(stored.found, convention, self.file_name):
                    self.remark(doubt)
                self._remark_on_void(stored.found, meant, convention)
            if smoothed := self.palette.smoothed(stored.values, table):
                self.remark(smoothed)
        return looked_up(table, stored.values)

    def _tell(self, sentences: list[str]) -> None:
        for sentence in sentences:
            self.remark(sentence)

    def _known_values(self) -> str:
        """The values of the first convention, in words."""
        table = self.palette.id_table(self.palette.conventions[0])[:-1]
        known = np.flatnonzero(table != UNKNOWN)
        if self.palette.conventions[0].lenient:
            known = known[(known != self.palette.num_classes) | (table[known] != self.palette.num_classes)]
        return ranges(known)

    def _fitting(self, found: np.ndarray) -> Convention | None:
        """The convention that the file's name tells, or the first that knows all values: if possible by saying so."""
        fitting = [c for c in self.palette.conventions if (looked_up(self.palette.id_table(c), found) != UNKNOWN).all()]
        told = [c for c in fitting if c.tells(self.file_name)]
        void = np.intersect1d(found[found >= self.palette.num_classes], VOID).size > 0
        said = [c for c in fitting if not (c.lenient and void)]
        return next(iter((*told, *said, *fitting)), None)

    def meant(self, found: np.ndarray) -> np.ndarray | None:
        """The ids of values by the convention that was asked for, or else fits; None if none does."""
        convention = self.chosen or self._fitting(found)
        return looked_up(self.palette.id_table(convention), found) if convention else None

    def _places(self, stored: pixels.Stored) -> pixels.Stored | None:
        """The places in a colour table of greys, where these mean no classes, be it as values or colours, but places do."""
        places = stored.places
        if places is None or places.codes is None or not places.found.any():
            return None
        if self._means_classes(stored.found) or not self._means_classes(places.found):
            return None
        near, _ = pixels.Colors(self.palette.colors, TOLERANCE).nearest(places.codes)
        return None if not self.chosen and (near < self.palette.num_classes).all() else places

    def _means_classes(self, found: np.ndarray) -> bool:
        meant = self.meant(found)
        return meant is not None and bool((meant != UNKNOWN).all()) and self._any_class(found, meant)

    def _any_class(self, found: np.ndarray, meant: np.ndarray) -> bool:
        """Whether values other than 0 stand for classes, and not for what is left out."""
        void = (found >= self.palette.num_classes) & np.isin(found, VOID)
        return bool(((found > 0) & (meant < self.palette.num_classes) & ~void).any())

    def shows_colors(self, stored: pixels.Stored, meant: np.ndarray | None, remark: Remark = silent) -> bool:
        """Whether the pixels are colours, see `Palette.to_ids`. meant: the ids of what was found, None if unknown."""
        if stored.codes is None or not stored.found.size:
            return False
        near, far = pixels.Colors(self.palette.colors, self.tolerance).nearest(stored.codes)
        weights = stored.counts / stored.counts.sum()
        known = near < self.palette.num_classes
        exact = known & (far == 0)
        several = len(np.unique(near[known if self.lossy else exact])) > 1
        mostly = several and weights[known].sum() >= 1 - WORTH_A_REMARK
        differ = np.ones_like(known) if meant is None else near != meant
        if stored.kind == pixels.GREY:
            if self.lossy:
                colors = mostly or bool(exact.all() and meant is None)
            elif meant is None:
                colors = mostly or bool(exact.all())
            else:
                colors = bool(exact.all()) and several and bool((meant == self.palette.num_classes).any())
            if colors:
                remark(f"the greys are those of classes of palette {self.palette.name}, so they are read as colours")
            return colors
        if meant is None:
            return True
        if stored.kind == pixels.TRIPLET:
            colors = bool(exact.all()) or (bool(self.lossy) and mostly)
            if stored.channel:
                colors = bool(exact[stored.found > 0].any()) or not self._any_class(stored.found, meant)
            if not colors and stored.channel:
                remark(
                    f"only the {stored.channel} channel holds anything, in colours that no class has: read as ids in the "
                    f"{stored.channel} channel (values colors: as paint)"
                )
            elif not colors and stored.found[-1] > 0:
                remark(
                    "the picture is grey throughout, with greys that no class has: read as ids (values colors: as paint)"
                )
        elif not differ.any() or exact[differ] @ weights[differ] >= 0.5 * weights[differ].sum():
            colors = True
        else:
            colors = not stored.table_of_ids and weights[known].sum() >= 0.5
            if not known.any():
                remark(f"no pixel has a colour of palette {self.palette.name}, so the values are read as class ids")
            elif not colors:
                remark(
                    f"{1 - weights[known].sum():.0%} of the pixels have no colour of palette {self.palette.name}, so the "
                    "places in the colour table are read as class ids"
                    if not stored.table_of_ids
                    else "the colour table is one for maps of ids, so the places in it are read as class ids"
                )
        doubtful = stored.kind == pixels.TRIPLET or stored.table_of_ids or weights[known].sum() < 0.9
        if colors and differ.any() and doubtful:
            remark(
                f"the pixels are read as colours, but could be values too: if they are, choose the values "
                f"{self.palette.conventions[0].name}"
            )
        if colors and stored.found.tolist() == [0] and stored.codes[0] == 0:
            remark(f"every pixel is black, so all of it is {self.palette.called(int(near[0]))}")
        return colors

    def _empty(self, stored: pixels.Stored) -> np.ndarray:
        """(H, W) ids of a picture of nothing but 0."""
        black = self.palette.colors[0] == (0, 0, 0)
        self.remark(
            f"every pixel is 0, so all of it is {self.palette.called(0)}"
            if black
            else f"every pixel is 0, as in an empty picture, so all is unpainted: if it is {self.palette.called(0)}, choose "
            f"the values {self.palette.conventions[0].name}"
        )
        return np.full(stored.values.shape, 0 if black else self.palette.num_classes, dtype=np.int64)

    def _remark_on_void(self, found: np.ndarray, meant: np.ndarray, convention: Convention) -> None:
        left_out = [int(value) for value in found[meant == self.palette.unlabelled] if value < 0 or value in VOID]
        if left_out and convention.lenient and self.palette.unlabelled not in left_out:
            self.remark(
                f"{left_out[0]} is read as {self.palette.called(int(self.palette.unlabelled or 0))}, as in training; "
                f"what is transparent or {self.palette.num_classes} is unpainted"
            )
        if found.tolist() == [0, 255] and meant[1] == self.palette.num_classes:
            self.remark(
                f"the picture holds 0 and 255 only, like a mask: read as {self.palette.called(int(meant[0]))} and unpainted"
            )

    def ids_of_colors(self, image: Image.Image, opaque: np.ndarray | None) -> np.ndarray:
        """(H, W) int64 ids by nearest colour."""
        ids, strays, off = pixels.Colors(self.palette.colors, self.tolerance).ids(image)
        unknown = ids == self.palette.num_classes
        if opaque is not None:
            unknown &= opaque
            ids[~opaque] = self.palette.num_classes
        painted = ids.size if opaque is None else int(opaque.sum())
        share = np.count_nonzero(unknown) / max(painted, 1)
        if share == 1:
            raise ValueError(
                f"no pixel has a colour of palette {self.palette.name} (tolerance {self.tolerance:g}), they are "
                f"{pixels.most_frequent(image, unknown)}: choose the palette that the layout was painted with, or raise "
                "the tolerance"
            )
        if self.remark is not silent:  # what looks odd is looked for where somebody hears of it
            if share:
                self._remark_on_unknown(image, unknown, share)
            shaded = np.flatnonzero(off)
            if len(shaded) == 1 and off[shaded[0]] >= MANY_SHADES and (not self.lossy or np.ptp(ids) == 0):
                self._remark_on_shades(image, ids == shaded[0], int(shaded[0]), int(off[shaded[0]]))
            if len(strays):
                self._remark_on_accidents(image, ids, strays)
            self._remark_on_shared_colors(ids)
        return ids

    def _remark_on_unknown(self, image: Image.Image, unknown: np.ndarray, share: float) -> None:
        """On the share of painted pixels, those of the bool (H, W) `unknown`, whose colour no class has."""
        if share >= WORTH_A_REMARK:
            changed = f" ({self.lossy} changes colours: save layouts as PNG)" if self.lossy else ""
            self.remark(
                f"{share:.0%} of the painted pixels have no colour of palette {self.palette.name} and stay unpainted, "
                f"{pixels.most_frequent(image, unknown)}{changed}"
            )
        elif self.lossy:
            self.remark(
                f"{share:.2%} of the painted pixels have no colour of palette {self.palette.name} any more and stay "
                f"unpainted, since {self.lossy} changes colours: save layouts as PNG"
            )

    def _remark_on_shared_colors(self, ids: np.ndarray) -> None:
        counts = np.bincount(ids.ravel(), minlength=self.palette.num_classes)
        for color, group in self.palette.duplicates.items():
            if counts[group[0]]:
                first, *others = (f"{self.palette.names[i]} ({i})" for i in group)
                more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
                code = "#{:02x}{:02x}{:02x}".format(*color)
                shared = f"{code} is the colour of {first} and of {', '.join(others[:MOST_NAMED])}"
                self.remark(f"{shared}{more}: read as {first}")

    def _remark_on_shades(self, image: Image.Image, where: np.ndarray, class_id: int, count: int) -> None:
        """On so many colours that are read as one class, in the bool (H, W) `where`; those of soft edges are few pixels."""
        own = pixels.codes_of(np.array([self.palette.colors[class_id]], dtype=np.uint8))
        if np.count_nonzero(where & ~pixels.having(image, own)) >= WORTH_A_REMARK * where.size:
            self.remark(
                f"{count} different colours, none of them a class's own, are all read as {self.palette.called(class_id)}: "
                "if they are ids, save them as a grey image"
            )

    def _remark_on_accidents(self, image: Image.Image, ids: np.ndarray, strays: np.ndarray) -> None:
        """Names the classes that nobody painted: no pixel has their very colour, and they are as thin as blended borders.

        strays: colours, 0xrrggbb, that are only near that of a class.
        """
        stray = pixels.having(image, strays) & (ids < self.palette.num_classes)
        counts = np.bincount(ids.ravel(), minlength=self.palette.num_classes + 1)
        if np.count_nonzero(stray) > MOST_STRAY * counts[: self.palette.num_classes].sum():
            return
        of_strays = np.bincount(ids[stray], minlength=self.palette.num_classes + 1)
        mostly = np.flatnonzero((of_strays > 0) & (of_strays >= 0.8 * counts))
        accidents = pixels.without_interior(ids, mostly) if mostly.size else mostly
        share = counts[accidents].sum() / ids.size
        if len(accidents) > 1 or share >= LEAST_ACCIDENTS:
            order = accidents[np.argsort(-counts[accidents], kind="stable")]
            more = f" and {len(order) - MOST_NAMED} more" if len(order) > MOST_NAMED else ""
            classes = "1 class lies" if len(order) == 1 else f"{len(order)} classes lie"
            self.remark(
                f"{classes} only along borders of others, in colours that are not quite theirs, {share:.2%} in all: "
                f"{', '.join(self.palette.called(int(i)) for i in order[:MOST_NAMED])}{more}. The picture seems to have "
                "been resized with smoothing, or drawn with soft edges: use nearest neighbour and hard brushes, or less "
                "tolerance"
            )


def palette_names() -> list[str]:
    return sorted(file.name.removesuffix(".json") for file in _class_tables().iterdir() if file.name.endswith(".json"))


def read_layout(
    path: str | Path,
    palette: Palette,
    tolerance: float = TOLERANCE,
    remark: Remark = warnings.warn,
    *,
    values: str | None = None,
) -> LabelMap:
    """The layout in an image file: `read_image`, then `Palette.to_labels`; ValueError names the file."""
    return _as_labels(read_ids(path, palette, tolerance, remark, values=values), palette)


def read_ids(
    path: str | Path,
    palette: Palette,
    tolerance: float = TOLERANCE,
    remark: Remark = warnings.warn,
    *,
    values: str | None = None,
) -> np.ndarray:
    """The int64 ids (H, W) of the layout in an image file, without torch: `read_image`, then `Palette.to_ids`."""
    if not isinstance(palette, Palette):
        raise ValueError(f"a palette is wanted, such as model.palette or Palette.named('ade20k'), not {shown(palette)}")
    image = read_image(path, remark, palette.colors)
    try:
        return palette.to_ids(image, tolerance, remark, values=values, file_name=Path(path).name)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _as_labels(ids: np.ndarray, palette: Palette) -> LabelMap:
    import torch

    from .labels import LabelMap

    return LabelMap(torch.from_numpy(ids)[None], palette.num_classes)


def _class_tables() -> Any:
    return assets.folder() / "classes"


def _conventions(told: Any) -> tuple[Convention, ...]:
    if not isinstance(told, list | tuple):
        raise ValueError(f'the values of a palette are a list such as [{{"name": "ids"}}], not {shown(told)}')
    found = tuple(Convention.from_dict(how) for how in told)
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
