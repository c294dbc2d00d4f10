"""What looks odd in a picture that is read as a layout, or was assumed of it: sentences for the painter. Free of torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from . import pixels
from .classes import Classes
from .values import COLORS, UNKNOWN, VOID, Convention, looked_up

WORTH_A_REMARK = 0.05  # share of painted pixels without a class; anti-aliased borders stay below it
MOST_NAMED = 8  # classes in a remark
MOST_STRAY = 0.5  # share of pixels only near a class's colour; above it the painter's colours are off, not blended
MANY_SHADES = 4  # colours that are no class's own and all read as one class, worth a remark
LEAST_ACCIDENTS = 0.001  # share of all pixels of a class that nobody painted, if it is the only one
LEAST_BETWEEN, LEAST_BETWEEN_SHARE = 24, 0.2  # pixels of ids in between others, and their share of all borders

PLACES = (
    "the greys of the colour table are neither ids nor colours of several classes, so the places in it are read as ids"
)
GREY_THROUGHOUT = "the picture is grey throughout, with greys that no class has: read as ids (values colors: as paint)"


# Values or colours


def of_greys(palette: Classes) -> str:
    return f"the greys are those of classes of palette {palette.name}, so they are read as colours"


def of_channel(channel: str) -> str:
    return (
        f"only the {channel} channel holds anything, in colours that no class has: read as ids in the {channel} channel "
        "(values colors: as paint)"
    )


def of_table(palette: Classes, unknown: float, table_of_ids: bool) -> str:
    """Of a colour table whose places are read. unknown: the share of pixels without a class's colour."""
    if unknown == 1:
        return f"no pixel has a colour of palette {palette.name}, so the values are read as class ids"
    if table_of_ids:
        return "the colour table is one for maps of ids, so the places in it are read as class ids"
    return (
        f"{unknown:.0%} of the pixels have no colour of palette {palette.name}, so the places in the colour table are read "
        "as class ids"
    )


def of_colors_or_values(palette: Classes) -> str:
    return (
        "the pixels are read as colours, but could be values too: if they are, choose the values "
        f"{palette.conventions[0].name}"
    )


def of_black(palette: Classes, class_id: int) -> str:
    return f"every pixel is black, so all of it is {palette.called(class_id)}"


# Values


def of_emptiness(palette: Classes, black: bool) -> str:
    """Of a picture of nothing but 0. black: that is the colour of class 0."""
    if black:
        return f"every pixel is 0, so all of it is {palette.called(0)}"
    return (
        f"every pixel is 0, as in an empty picture, so all is unpainted: if it is {palette.called(0)}, choose the values "
        f"{palette.conventions[0].name}"
    )


def of_values(
    palette: Classes, found: np.ndarray, meant: np.ndarray, convention: Convention, file_name: str
) -> Iterator[str]:
    """Of values (ascending) that stand for the ids `meant`, by a convention that nobody chose."""
    yield from of_convention(palette, found, convention, file_name)
    left_out = [int(value) for value in found[meant == palette.unlabelled] if value < 0 or value in VOID]
    if left_out and convention.lenient and palette.unlabelled not in left_out:
        yield (
            f"{left_out[0]} is read as {palette.called(int(palette.unlabelled or 0))}, as in training; what is transparent "
            f"or {palette.num_classes} is unpainted"
        )
    if found.tolist() == [0, 255] and meant[1] == palette.num_classes:
        yield f"the picture holds 0 and 255 only, like a mask: read as {palette.called(int(meant[0]))} and unpainted"


def of_convention(palette: Classes, found: np.ndarray, read_as: Convention, file_name: str = "") -> Iterator[str]:
    """Why maps of these values (ascending) may be stored otherwise, in one sentence or none."""
    ids = {convention: looked_up(palette.id_table(convention), found) for convention in palette.conventions}
    certain = read_as is palette.conventions[0] and read_as.matches(file_name)
    for other, meant in ids.items():
        if certain or other is read_as or (meant == UNKNOWN).any():
            continue
        if (differ := np.flatnonzero(meant != ids[read_as])).size:
            value, (mine, theirs) = found[differ[0]], (palette.called(ids[c][differ[0]]) for c in (read_as, other))
            yield (
                f"the values are read as {read_as.name} ({value} is {mine}): if they are {other.name} ({value} is "
                f"{theirs}), choose the values {other.name}"
            )
            return
    most = palette.num_classes
    if read_as.lenient and ((found == most) & (ids[read_as] == most)).any():
        yield _of_counting(found, most)
    elif found.tolist() in ([value] for value in VOID) and ids[read_as][0] in (most, palette.unlabelled):
        yield _of_nothing(palette, int(found[0]))


def _of_counting(found: np.ndarray, most: int) -> str:
    """The number of classes occurs; and whatever else speaks for a map that counts from 1."""
    from_one = {"name": "from_one", "first": 1} | ({"unpainted": [0]} if found[0] == 0 else {})
    seems = "" if found[0] <= 0 else ", and as no 0 occurs, the map seems to count from 1"
    return (
        f"the value {most}, which is no class of 0..{most - 1}, is read as unpainted{seems}: if the map counts from 1, "
        f'say so in the class table ("values": [{json.dumps(from_one)}])'
    )


def _of_nothing(palette: Classes, value: int) -> str:
    whites = [i for i, color in enumerate(palette.colors) if color == (255, 255, 255)]
    white = f": if that is the white of {palette.called(whites[0])}, choose the values {COLORS}" if whites else ""
    return f"every pixel is {value}, so nothing is labelled{white if value == 255 else ''}"


def of_smoothing(palette: Classes, values: np.ndarray, table: np.ndarray) -> Iterator[str]:
    """Whether (H, W) stored values look interpolated, in one sentence or none. table: of `Convention.table`."""
    between, borders = pixels.in_between(values)
    if len(between) < LEAST_BETWEEN or len(between) < LEAST_BETWEEN_SHARE * borders:
        return
    ids, counts = np.unique(looked_up(table, between), return_counts=True)
    often = [palette.called(int(i)) for i in ids[np.argsort(-counts, kind="stable")] if i >= 0][:MOST_NAMED]
    yield (
        f"{len(between) / borders:.0%} of the borders between classes pass through values in between ({', '.join(often)}): "
        "the map seems to have been resized with smoothing, which makes classes that nobody chose: use nearest neighbour"
    )


# Colours


@dataclass(frozen=True)
class Painting:
    """A picture that was read by its colours, as the (H, W) `ids`. lossy: the format's name, if it changes pixels."""

    palette: Classes
    image: Image.Image
    ids: np.ndarray
    lossy: str

    def doubts(self, unknown: np.ndarray, share: float, strays: np.ndarray, off: np.ndarray) -> Iterator[str]:
        """unknown: (H, W) bool, the `share` of painted pixels without a class. strays, off: of `pixels.Colors.ids`."""
        if share:
            yield from self._of_unknown(unknown, share)
        shaded = np.flatnonzero(off)
        if len(shaded) == 1 and off[shaded[0]] >= MANY_SHADES and (not self.lossy or np.ptp(self.ids) == 0):
            yield from self._of_shades(int(shaded[0]), int(off[shaded[0]]))
        if len(strays):
            yield from self._of_accidents(strays)
        yield from self._of_shared_colors()

    def _of_unknown(self, unknown: np.ndarray, share: float) -> Iterator[str]:
        if share >= WORTH_A_REMARK:
            changed = f" ({self.lossy} changes colours: save layouts as PNG)" if self.lossy else ""
            yield (
                f"{share:.0%} of the painted pixels have no colour of palette {self.palette.name} and stay unpainted, "
                f"{pixels.most_frequent(self.image, unknown)}{changed}"
            )
        elif self.lossy:
            yield (
                f"{share:.2%} of the painted pixels have no colour of palette {self.palette.name} any more and stay "
                f"unpainted, since {self.lossy} changes colours: save layouts as PNG"
            )

    def _of_shades(self, class_id: int, count: int) -> Iterator[str]:
        """So many colours are read as one class; those of soft edges are few pixels."""
        own = pixels.codes_of(np.array([self.palette.colors[class_id]], dtype=np.uint8))
        shades = (self.ids == class_id) & ~pixels.having(self.image, own)
        if np.count_nonzero(shades) >= WORTH_A_REMARK * self.ids.size:
            yield (
                f"{count} different colours, none of them a class's own, are all read as {self.palette.called(class_id)}: "
                "if they are ids, save them as a grey image"
            )

    def _of_accidents(self, strays: np.ndarray) -> Iterator[str]:
        """Names the classes that nobody painted: no pixel has their very colour, and they are as thin as blended borders.

        strays: colours, 0xrrggbb, that are only near that of a class.
        """
        most = self.palette.num_classes
        stray = pixels.having(self.image, strays) & (self.ids < most)
        counts = np.bincount(self.ids.ravel(), minlength=most + 1)
        if np.count_nonzero(stray) > MOST_STRAY * counts[:most].sum():
            return
        of_strays = np.bincount(self.ids[stray], minlength=most + 1)
        mostly = np.flatnonzero((of_strays > 0) & (of_strays >= 0.8 * counts))
        accidents = pixels.without_interior(self.ids, mostly) if mostly.size else mostly
        share = counts[accidents].sum() / self.ids.size
        if len(accidents) > 1 or share >= LEAST_ACCIDENTS:
            classes = "1 class lies" if len(accidents) == 1 else f"{len(accidents)} classes lie"
            order = accidents[np.argsort(-counts[accidents], kind="stable")].tolist()
            yield (
                f"{classes} only along borders of others, in colours that are not quite theirs, {share:.2%} in all: "
                f"{_some([self.palette.called(i) for i in order])}. The picture seems to have been resized with smoothing, "
                "or drawn with soft edges: use nearest neighbour and hard brushes, or less tolerance"
            )

    def _of_shared_colors(self) -> Iterator[str]:
        counts = np.bincount(self.ids.ravel(), minlength=self.palette.num_classes)
        for color, group in self.palette.duplicates.items():
            if counts[group[0]]:
                first, *others = (self.palette.called(i) for i in group)
                code = "#{:02x}{:02x}{:02x}".format(*color)
                yield f"{code} is the colour of {first} and of {_some(others)}: read as {first}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more
