"""Painting by mask: a class where a mask is, and a mask where a class is."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from ..files.untrusted import shown
from .contents import UNPAINTED
from .fitting import covered
from .labels import LabelMap, common_batch
from .palette import LONGEST_NAME, Palette

MAX_VALUES = 2**30  # of masks: 4 GB
MOST_HINTS = 3  # names that a wrong one may have been meant for
MOST_LISTED = 40  # names of classes in a message


def painted(labels: LabelMap, mask: Tensor, class_id: int) -> LabelMap:
    """The layout with `class_id` (or MASK, which erases) where the mask (N, h, w) in [0, 1] covers half a pixel or more.

    One layout and many masks, or the reverse, give as many layouts as there are of the many. Borders between instances are
    forgotten: who paints over an instance changes it.
    """
    common_batch(layouts=labels.batch, masks=len(mask))
    where = covered(mask.to(labels.ids.device), labels.height, labels.width) >= 0.5
    return LabelMap(torch.where(where, class_id, labels.ids), labels.num_classes)


def class_masks(labels: LabelMap, class_ids: Sequence[int]) -> Tensor:
    """(B * len(class_ids), H, W) of 0 and 1: where each class (or MASK) is, all of the first layout before the second."""
    if labels.ids.numel() * len(class_ids) > MAX_VALUES:
        size = f"{labels.batch * len(class_ids)} masks of {labels.width} x {labels.height} pixels"
        raise ValueError(f"{size} take more than {4 * MAX_VALUES // 2**30} GB: ask for one class at a time")
    wanted = torch.tensor(class_ids, device=labels.ids.device)[:, None, None]
    return (labels.ids[:, None] == wanted).flatten(0, 1).float()


def class_called(palette: Palette, text: str) -> int:
    """The id of the class of that name, in whatever case, or of that id, or of both: "screen (58)"; "unpainted" is MASK.
    ValueError with a hint."""
    wanted = " ".join(text.split()).casefold()
    same = [i for i, name in enumerate(palette.names) if wanted in (name.casefold(), f"{name.casefold()} ({i})")]
    if not same and wanted in (UNPAINTED, str(palette.num_classes)):
        same = [palette.num_classes]
    if not same and wanted in map(str, range(palette.num_classes)):
        same = [int(wanted)]
    if len(same) == 1:
        return same[0]
    found = f"{len(same)} classes called {wanted}" if same else f"no class {shown(text)}"
    raise ValueError(f"palette {palette.name} has {found}: {_advice(palette, wanted, same)}")


def classes_called(palette: Palette, names: Iterable[str]) -> tuple[int, ...]:
    """The ids of several classes, as `class_called` finds each."""
    return tuple(class_called(palette, name) for name in names)


def class_choices(palette: Palette) -> list[str]:
    """What `class_called` finds each class by, in the order of their ids: its name, with the id where others share it; and
    "unpainted"."""
    shared = Counter(map(str.casefold, palette.names))
    named = [f"{name} ({i})" if shared[name.casefold()] > 1 else name for i, name in enumerate(palette.names)]
    return [*named, UNPAINTED]


def _advice(palette: Palette, wanted: str, same: Sequence[int]) -> str:
    if same:
        return f"give an id, {' or '.join(map(str, same))}"
    near = near_names(palette, wanted)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"give the name of one: {_some(palette)}."
    return f"{hint} Its ids are 0 to {palette.num_classes - 1}, and what no class covers is called {UNPAINTED}"


def near_names(palette: Palette, wanted: str) -> list[str]:
    """Up to three classes: those whose names contain the text, or else those that are spelled like it."""
    by_case = {name.casefold(): name for name in palette.names}
    containing = [name for name in by_case if wanted and wanted in name]
    spelled = difflib.get_close_matches(wanted[:LONGEST_NAME], [*by_case, UNPAINTED], n=MOST_HINTS)
    return [by_case.get(name, name) for name in (containing or spelled)[:MOST_HINTS]]


def _some(palette: Palette) -> str:
    """The names of a palette, or of a large one the first."""
    names = ", ".join(palette.names[:MOST_LISTED])
    rest = palette.num_classes - MOST_LISTED
    return f"{names} and {rest} more, which Layout to Masks lists" if rest > 0 else names
