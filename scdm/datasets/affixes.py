"""What names of files have around the part that belonging files have in common: IMG_7_mask.png is IMG_7 with "_mask"."""

from __future__ import annotations

import unicodedata
from bisect import bisect
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from difflib import SequenceMatcher
from itertools import islice
from typing import NamedTuple

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".tga")
SEPARATORS = "_-. "
LOOKED_AT = 30  # names on each side, which a guess is made from
TRIED = 20  # guesses, the most frequent ones


class Affixes(NamedTuple):
    """Beginning and end of the names of a kind. Subfolders are before the beginning, and the end is before the file's
    suffix, or takes it in.
    """

    prefix: str = ""
    suffix: str = ""

    def common_part(self, file: str) -> str | None:
        """Of a file's name, without folders: what lies between beginning and end; None if it lacks one of them."""
        prefix, suffix = one_form(self.prefix), one_form(self.suffix)
        for name in (without_suffix(file), file):
            if name.startswith(prefix) and name.endswith(suffix) and len(name) > len(prefix) + len(suffix):
                return name[len(prefix) : len(name) - len(suffix)]
        return None

    def of_name(self, name: str) -> str | None:
        """`common_part` of a name that begins with subfolders, which stay."""
        folder, slash, last = name.rpartition("/")
        common = self.common_part(last)
        return None if common is None else folder + slash + common

    def around(self, inner: Affixes) -> Affixes:
        """Both, of names that have `inner` within this."""
        return Affixes(self.prefix + inner.prefix, inner.suffix + self.suffix)


def one_form(name: str) -> str:
    """Unicode has two forms of most accented letters, which look alike: macOS writes one, all others the other."""
    return unicodedata.normalize("NFC", name)


def without_suffix(file: str) -> str:
    """A name without the suffix of images, if it has one."""
    stem, dot, suffix = file.rpartition(".")
    return stem if stem and (dot + suffix).lower() in SUFFIXES else file


def loosely(name: str) -> str:
    """A name as it is compared where it finds no partner: without its capitals and a second suffix (photo.jpg.png)."""
    return without_suffix(one_form(name)).casefold()


def guessed(names: Collection[str], others: Collection[str]) -> tuple[Affixes, Affixes] | None:
    """What the names on two sides (with subfolders, without suffix) have around a common part, by which most of the fewer
    would find a partner. None if nothing will do, or if it would prove nothing.
    """
    best, most = None, 0
    shortest = min((len(_last(name)) for name in (*names, *others)), default=0)
    for guess, common in _guesses(sorted(names), sorted(others)):
        pairs = len(paired(names, others, guess))
        if pairs > most and (pairs > 1 or 2 * len(common) >= shortest):  # one pair may be chance
            best, most = guess, pairs
        if most == min(len(names), len(others)):
            break
    return best if 2 * most > min(len(names), len(others)) else None


def paired(names: Collection[str], others: Collection[str], affixes: tuple[Affixes, Affixes]) -> set[str]:
    """The common parts that occur on both sides."""
    found = [{side.of_name(name) for name in of_side} for of_side, side in zip((names, others), affixes, strict=True)]
    return {name for name in found[0] & found[1] if name is not None}


def _guesses(names: Sequence[str], others: Sequence[str]) -> Iterator[tuple[tuple[Affixes, Affixes], str]]:
    """The most frequent differences between names that look alike, each with a common part that it leaves."""
    counts: Counter[tuple[Affixes, Affixes]] = Counter()
    commons: dict[tuple[Affixes, Affixes], str] = {}
    for name, other in dict.fromkeys((*_first_of_all(names, others), *_neighbours(names, others))):
        if split := _split(name, other):
            guess, common = split
            counts[guess] += 1
            commons.setdefault(guess, common)
    for guess, _ in counts.most_common(TRIED):
        yield guess, commons[guess]


def _first_of_all(names: Sequence[str], others: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield from ((name, other) for name in names[:LOOKED_AT] for other in others[:LOOKED_AT])


def _neighbours(names: Sequence[str], others: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Names on both sides that begin alike, or end alike, where one side has far more of them."""
    swap = len(names) < len(others)
    few, many = (names, others) if swap else (others, names)
    every = 1 + len(few) // LOOKED_AT
    for turn in (1, -1):  # from the front, then from behind
        in_order = sorted(name[::turn] for name in many)
        for name in islice(few, 0, None, every):
            place = bisect(in_order, name[::turn])
            for near in in_order[max(0, place - 1) : place + 1]:
                yield (name, near[::turn]) if swap else (near[::turn], name)


def _split(name: str, other: str) -> tuple[tuple[Affixes, Affixes], str] | None:
    """Both names around the longest part that they share, if they lie in one subfolder."""
    if name.rpartition("/")[0] != other.rpartition("/")[0]:
        return None
    one, two = _last(name), _last(other)
    match = SequenceMatcher(None, one, two, autojunk=False).find_longest_match()
    common = one[match.a : match.a + match.size]
    first, second = one[: match.a], two[: match.b]
    last, end = one[match.a + match.size :], two[match.b + match.size :]
    if any(_continues_a_number(*parts) for parts in ((first, common), (second, common), (common, last), (common, end))):
        return None
    if first or second:  # "image_" and "gt_", not "image" and "gt"
        cut = len(common) - len(common.lstrip(SEPARATORS))
        first, second, common = first + common[:cut], second + common[:cut], common[cut:]
    if last or end:
        kept = len(common.rstrip(SEPARATORS))
        last, end, common = common[kept:] + last, common[kept:] + end, common[:kept]
    return ((Affixes(first, last), Affixes(second, end)), common) if common else None


def _continues_a_number(before: str, after: str) -> bool:
    """img_1 is no img_10 without an ending."""
    return before[-1:].isdecimal() and after[:1].isdecimal()


def _last(name: str) -> str:
    return name.rpartition("/")[2]
