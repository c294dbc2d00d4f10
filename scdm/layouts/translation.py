"""A layout in the classes of another palette: what a segmenter of one data set saw, for a model of another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import torch

from ..files.untrusted import shown
from .labels import LabelMap
from .painting import class_called
from .palette import Palette


def translated(labels: LabelMap, source: Palette, target: Palette, also: Mapping[str, str] | None = None) -> LabelMap:
    """Classes become those of the same name in `target`, whatever their case, and the rest becomes MASK.

    also: further classes of `source` and what they become ("sea": "water"), by name or id; "unpainted" drops one.
    ValueError for a name that is no class, and for a class that is to become two.
    """
    ids = {name: i for i, name in enumerate(_told_apart(target))}
    table = [ids.get(name, target.num_classes) for name in _told_apart(source)]
    table.append(target.num_classes)  # MASK
    said: dict[int, str] = {}  # what a class becomes, which is called by its name or its id
    for old, new in (also or {}).items():
        place, becomes = class_called(source, old), class_called(target, new)
        if place in said and table[place] != becomes:
            raise _twice(old, said[place], new)
        table[place], said[place] = becomes, new
    return LabelMap(torch.tensor(table, device=labels.ids.device)[labels.ids], target.num_classes, labels.edges)


def _told_apart(palette: Palette) -> list[tuple[str, int]]:
    """Names whatever their case, each with the number of its namesakes before it: ADE20K has two screens."""
    before: Counter[str] = Counter()
    found = []
    for name in map(str.casefold, palette.names):
        found.append((name, before[name]))
        before[name] += 1
    return found


def pairs(text: str) -> dict[str, str]:
    """Lines (or parts between commas) of the form "sea = water". ValueError for one that is not, and for two that contradict
    each other."""
    found: dict[str, str] = {}
    for line in filter(str.strip, text.replace(",", "\n").splitlines()):
        old, equals, new = line.partition("=")
        if not (old.strip() and equals and new.strip()):
            raise ValueError(
                f"{shown(line.strip())} does not say which class becomes which: write it as in 'sea = water'"
            )
        old, new = old.strip(), new.strip()
        if found.setdefault(old, new) != new:
            raise _twice(old, found[old], new)
    return found


def _twice(old: str, first: str, second: str) -> ValueError:
    return ValueError(f"{shown(old)} is to become both {shown(first)} and {shown(second)}: leave one of the two out")
