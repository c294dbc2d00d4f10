"""Painting by mask: a class where a mask is, and a mask where a class is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..files.untrusted import meant, shown
from .contents import UNPAINTED
from .fitting import covered
from .labels import LabelMap, common_batch
from .palette import Palette

MAX_VALUES = 2**30  # of masks: 4 GB


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
    """The id of the class of that name, in whatever case, or of that id; "unpainted" is MASK. ValueError with a hint."""
    wanted = " ".join(text.split()).casefold()
    same = [i for i, name in enumerate(palette.names) if name.casefold() == wanted]
    if not same and wanted in (UNPAINTED, str(palette.num_classes)):
        same = [palette.num_classes]
    if not same and wanted in map(str, range(palette.num_classes)):
        same = [int(wanted)]
    if len(same) == 1:
        return same[0]
    found = f"{len(same)} classes called {wanted}" if same else f"no class {shown(text)}"
    raise ValueError(f"palette {palette.name} has {found}: {_advice(palette, wanted, same)}")


def _advice(palette: Palette, wanted: str, same: Sequence[int]) -> str:
    if same:
        return f"give an id, {' or '.join(map(str, same))}"
    containing = [name for name in map(str.casefold, palette.names) if wanted and wanted in name][:3]
    hint = f"did you mean {' or '.join(map(repr, containing))}?" if containing else meant(wanted, palette.names)
    return (
        f"{hint or f'give the name of one, such as {palette.names[0]}.'} Its ids are 0 to {palette.num_classes - 1}, and "
        f"what no class covers is called {UNPAINTED}"
    )
