"""Pictures to ids: which class each pixel of a painted or annotated picture stands for. Free of torch."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..files.levels import Remark, silent
from . import doubts, pixels
from .classes import Classes
from .doubts import WORTH_A_REMARK
from .values import COLORS, UNKNOWN, VOID, Convention, looked_up, ranges

TOLERANCE = 16.0  # above the noise of a mild JPEG, below the half-way blends of an anti-aliased edge
FARTHEST = 442  # levels between black and white
LOSSY_SLACK = 6  # levels by which the channels of a grey differ after a lossy format


def ids_of(
    image: Image.Image,
    palette: Classes,
    tolerance: float = TOLERANCE,
    remark: Remark = warnings.warn,
    *,
    values: str | None = None,
    file_name: str = "",
) -> np.ndarray:
    """A painted or annotated image as int64 ids (H, W); pixels of less than half opacity are MASK, `num_classes`.

    The picture decides whether it holds values or colours:

    * Grey images hold values, of any depth. If the palette knows none of them but all are greys of its classes, or if
      it would be without a class where the greys of several are, they are colours.
    * Colours (RGB and its kin) are colours: the class of the nearest one, MASK if that is further than `tolerance`
      (Euclidean, in 8-bit levels). But a picture that is grey wherever it is opaque, with greys that no class has
      exactly, holds values, three times each, as long as the palette knows them all.
      So does one of which a single channel holds anything, if that hits no class's colour but black.
    * A colour table (mode P): colours decide where most pixels are within the tolerance of a class's colour, unless the
      table is a usual one for values (a ramp of greys, PASCAL VOC's) and most colours are not exactly a class's. A table
      of other greys is a grey image's, unless these mean no class and the places in it do.

    The palette's conventions define what values mean: `values` names one, and then also the two last kinds are values.
    `values="colors"` reads any picture by its colours. Without it the file's name decides, or else the first of the
    conventions that know every value; `remark` receives what was assumed, if another would have read something else.

    A picture of nothing but the value 0, whose class is not black, is an empty one: all MASK.

    `remark` receives a sentence for each thing that the painter should know but that does not stop the work.
    ValueError: a value that no class has, no pixel with the colour of a class (all transparent is fine: all MASK),
    values from a lossy format (`image.info["scdm_lossy"]` names it), no such convention, or
    a convention for a picture of colours.
    """
    if not 0 <= tolerance <= FARTHEST:
        raise ValueError(f"the colour tolerance is a distance from 0 to {FARTHEST}, not {tolerance}")
    chosen = None if values in (None, COLORS) else palette.convention(values)
    lossy = str(image.info.get("scdm_lossy", ""))
    opaque = pixels.opaque_part(image)
    stored = None if values == COLORS else pixels.stored(image, opaque, LOSSY_SLACK if lossy else 0)
    if chosen and stored is None:
        raise ValueError(f"a picture of colours holds no values {chosen.name}: leave that choice (--values) out")
    reading = _Reading(palette, tolerance, remark, chosen, file_name, lossy)
    ids = None if stored is None else reading.ids_of_values(stored)
    if ids is None:
        return reading.ids_of_colors(image, opaque)
    if opaque is not None:
        ids[~opaque] = palette.num_classes
    return ids


def holds_colors(image: Image.Image, palette: Classes) -> bool:
    """Whether `ids_of` reads a picture by its colours. ValueError for values with fractions."""
    stored, reading = pixels.stored(image, pixels.opaque_part(image)), _Reading(palette)
    return stored is None or reading.verdict(stored, reading.meant(stored.found)).colors


class _Verdict(NamedTuple):
    """Whether numbers are colours, and sentences on that decision."""

    colors: bool
    sentences: list[str]


class _Match(NamedTuple):
    """How the colours of what was found fit the classes.

    near: the class of the nearest colour. known: it is within the tolerance; exact: it is that very colour. weights: shares
    of the pixels. differ: the value means another class than the colour. several: more than one class is met.
    """

    near: np.ndarray
    known: np.ndarray
    exact: np.ndarray
    weights: np.ndarray
    differ: np.ndarray
    several: bool

    @property
    def share(self) -> float:
        return float(self.weights[self.known].sum())

    @property
    def mostly(self) -> bool:
        return self.several and self.share >= 1 - WORTH_A_REMARK


@dataclass(frozen=True)
class _Reading:
    """How a picture is read, see `ids_of`.

    chosen: the convention that was asked for. lossy: the name of the file's format, if it is one that changes pixels.
    """

    palette: Classes
    tolerance: float = TOLERANCE
    remark: Remark = silent
    chosen: Convention | None = None
    file_name: str = ""
    lossy: str = ""

    def tell(self, sentences: Iterable[str]) -> None:
        for sentence in sentences:
            self.remark(sentence)

    # Values

    def ids_of_values(self, stored: pixels.Stored) -> np.ndarray | None:
        """(H, W) int64 ids of a picture whose numbers are values; None for a picture of colours."""
        places = self._places(stored)
        stored = places or stored
        convention = self.chosen or self._fitting(stored.found)
        table = self.palette.id_table(convention or self.palette.conventions[0])
        meant = looked_up(table, stored.found)
        if places:
            verdict = _Verdict(False, [doubts.PLACES])
        elif self.chosen:
            verdict = _Verdict(False, [])
        else:
            verdict = self.verdict(stored, meant if convention else None)
        if verdict.colors:
            self.tell(verdict.sentences)
            return None
        self._require_values(stored.found, meant)
        if not self.chosen and stored.found.tolist() == [0] and meant[0] == 0:
            return self._empty(stored)
        self.tell(verdict.sentences)
        if self.remark is not silent:  # in training nobody listens, and these look at all pixels again
            if convention and not self.chosen:
                self.tell(doubts.of_values(self.palette, stored.found, meant, convention, self.file_name))
            self.tell(doubts.of_smoothing(self.palette, stored.values, table))
        return looked_up(table, stored.values)

    def _require_values(self, found: np.ndarray, meant: np.ndarray) -> None:
        if self.lossy:
            raise ValueError(f"a map of ids does not survive {self.lossy}, which changes borders: save it as PNG")
        if not (wrong := found[meant == UNKNOWN]).size:
            return
        if self.chosen:
            raise ValueError(f"{wrong[0]} is none of the values {self.chosen.name} of palette {self.palette.name}")
        known = f"palette {self.palette.name} has {self.palette.conventions[0].name} {self._known_values()}"
        raise ValueError(f"this grey image holds {wrong[0]}, but {known}: choose its palette, or paint with colours")

    def _known_values(self) -> str:
        """The values of the first convention, in words."""
        table = self.palette.id_table(self.palette.conventions[0])[:-1]
        known = np.flatnonzero(table != UNKNOWN)
        if self.palette.conventions[0].lenient:
            known = known[(known != self.palette.num_classes) | (table[known] != self.palette.num_classes)]
        return ranges(known)

    def _empty(self, stored: pixels.Stored) -> np.ndarray:
        """(H, W) ids of a picture of nothing but 0."""
        black = self.palette.colors[0] == (0, 0, 0)
        self.tell([doubts.of_emptiness(self.palette, black)])
        return np.full(stored.values.shape, 0 if black else self.palette.num_classes, dtype=np.int64)

    def _fitting(self, found: np.ndarray) -> Convention | None:
        """The convention of the file's name, or the first that knows all values: one that declares them, if possible."""
        fitting = [c for c in self.palette.conventions if (looked_up(self.palette.id_table(c), found) != UNKNOWN).all()]
        named = [c for c in fitting if c.matches(self.file_name)]
        void = np.intersect1d(found[found >= self.palette.num_classes], VOID).size > 0
        declared = [c for c in fitting if not (c.lenient and void)]
        return next(iter((*named, *declared, *fitting)), None)

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

    # Values or colours?

    def verdict(self, stored: pixels.Stored, meant: np.ndarray | None) -> _Verdict:
        """Whether the pixels are colours, see `ids_of`. meant: the ids of what was found, None if unknown."""
        if stored.codes is None or not stored.found.size:
            return _Verdict(False, [])
        match = self._match(stored, stored.codes, meant)
        if stored.kind == pixels.GREY:
            colors = self._greys_are_colors(match, meant)
            return _Verdict(colors, [doubts.of_greys(self.palette)] if colors else [])
        if meant is None:
            return _Verdict(True, [])
        kinds = {pixels.TRIPLET: self._triplet, pixels.INDEX: self._index}
        colors, sentences = kinds[stored.kind](stored, match, meant)
        if (
            colors
            and match.differ.any()
            and (stored.kind == pixels.TRIPLET or stored.table_of_ids or match.share < 0.9)
        ):
            sentences.append(doubts.of_colors_or_values(self.palette))
        if colors and stored.found.tolist() == [0] and stored.codes[0] == 0:
            sentences.append(doubts.of_black(self.palette, int(match.near[0])))
        return _Verdict(colors, sentences)

    def _match(self, stored: pixels.Stored, codes: np.ndarray, meant: np.ndarray | None) -> _Match:
        near, far = pixels.Colors(self.palette.colors, self.tolerance).nearest(codes)
        known = near < self.palette.num_classes
        exact = known & (far == 0)
        differ = np.ones_like(known) if meant is None else near != meant
        several = len(np.unique(near[known if self.lossy else exact])) > 1
        return _Match(near, known, exact, stored.counts / stored.counts.sum(), differ, several)

    def _greys_are_colors(self, match: _Match, meant: np.ndarray | None) -> bool:
        if meant is None:
            return match.mostly or bool(match.exact.all())
        if self.lossy:
            return match.mostly
        return match.several and bool(match.exact.all()) and bool((meant == self.palette.num_classes).any())

    def _triplet(self, stored: pixels.Stored, match: _Match, meant: np.ndarray) -> _Verdict:
        if stored.channel:
            colors = bool(match.exact[stored.found > 0].any()) or not self._any_class(stored.found, meant)
            return _Verdict(colors, [] if colors else [doubts.of_channel(stored.channel)])
        colors = bool(match.exact.all()) or (bool(self.lossy) and match.mostly)
        return _Verdict(colors, [] if colors or stored.found[-1] == 0 else [doubts.GREY_THROUGHOUT])

    def _index(self, stored: pixels.Stored, match: _Match, meant: np.ndarray) -> _Verdict:
        differ, weights = match.differ, match.weights
        if not differ.any() or match.exact[differ] @ weights[differ] >= 0.5 * weights[differ].sum():
            return _Verdict(True, [])
        if match.share >= 0.5 and not stored.table_of_ids:
            return _Verdict(True, [])
        unknown = 1 - match.share if match.known.any() else 1
        return _Verdict(False, [doubts.of_table(self.palette, unknown, stored.table_of_ids)])

    # Colours

    def ids_of_colors(self, image: Image.Image, opaque: np.ndarray | None) -> np.ndarray:
        """(H, W) int64 ids by nearest colour."""
        ids, strays, off = pixels.Colors(self.palette.colors, self.tolerance).ids(image)
        unknown = ids == self.palette.num_classes
        if opaque is not None:
            unknown &= opaque
            ids[~opaque] = self.palette.num_classes
        share = np.count_nonzero(unknown) / max(1, ids.size if opaque is None else int(opaque.sum()))
        if share == 1:
            often = f"(tolerance {self.tolerance:g}), they are {pixels.most_frequent(image, unknown)}"
            raise ValueError(
                f"no pixel has a colour of palette {self.palette.name} {often}: choose the layout's palette"
            )
        if self.remark is not silent:  # what looks odd is searched for where somebody hears of it
            self.tell(doubts.Painting(self.palette, image, ids, self.lossy).doubts(unknown, share, strays, off))
        return ids
