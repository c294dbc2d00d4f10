"""Layouts that were painted elsewhere and arrive as pixels in memory, without the file that would say what they hold."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from ..labels import LabelMap
from ..palette import TOLERANCE, Palette
from .fitting import covered


def decoded(
    pictures: np.ndarray,
    palette: Palette,
    tolerance: float = TOLERANCE,
    remark: Callable[[str], None] = warnings.warn,
    *,
    may_be_ids: bool = True,
) -> LabelMap:
    """Pictures, uint8 (B, H, W, C), as a batch of layouts; see `Palette.to_labels` for what becomes of colours.

    C: 1 for ids, 3 for colours, 4 for colours with an alpha. Ids are often handed on as colours, with three levels alike: a
    picture that is grey wherever it is opaque is read as ids, unless the palette paints in its greys, or `may_be_ids` is
    false, because somebody painted it.
    """
    if pictures.ndim != 4 or pictures.shape[-1] not in (1, 3, 4) or not pictures.size:
        raise ValueError(
            f"a painted layout has pixels of 1, 3 or 4 channels, not the shape {pictures.shape}: give an image of colours"
        )
    ids: list[torch.Tensor] = []
    remarks: list[str] = []
    for levels in pictures:
        try:
            ids.append(palette.to_labels(_picture(levels, may_be_ids), tolerance, remarks.append).ids)
        except ValueError as error:
            which = f"picture {len(ids) + 1} of {len(pictures)}: " if len(pictures) > 1 else ""
            raise ValueError(f"{which}{error}") from error
    for sentence in dict.fromkeys(remarks):  # once, however many pictures deserve it
        remark(sentence)
    return LabelMap(torch.cat(ids), palette.num_classes)


def with_opacity(pictures: np.ndarray, opacity: torch.Tensor) -> np.ndarray:
    """Pictures, uint8 (B, H, W, C), with an opacity (1 or B, h, w) in [0, 1] as their alpha: uint8 (B, H, W, 4).

    Where they have an alpha of their own, the lower of the two counts.
    """
    if len(opacity) not in (1, len(pictures)):
        raise ValueError(f"{len(opacity)} alphas cannot serve {len(pictures)} images: give one, or one for each")
    alpha = (255 * covered(opacity, *pictures.shape[1:3])).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    alpha = np.minimum(alpha[..., None], pictures[..., 3:] if pictures.shape[-1] == 4 else 255)
    shape = (*pictures.shape[:-1], 3)
    return np.concatenate(
        [np.broadcast_to(pictures[..., :3], shape), np.broadcast_to(alpha, (*shape[:-1], 1))], axis=-1
    )


def _picture(levels: np.ndarray, may_be_ids: bool) -> Image.Image:
    """uint8 (H, W, C) as a picture whose mode tells `Palette.to_labels` what it may hold: ids, colours, or either."""
    if not may_be_ids:
        return Image.fromarray(levels if levels.shape[-1] > 1 else levels.repeat(3, axis=-1))
    if levels.shape[-1] == 1:
        return Image.fromarray(levels[..., 0])
    opaque = levels[..., 3] >= 128 if levels.shape[-1] == 4 else np.ones(levels.shape[:2], dtype=bool)
    seen = levels[opaque]
    unused = np.flatnonzero(np.bincount(seen[:, 0], minlength=256) == 0)
    if not len(unused) or (seen[:, :1] != seen[:, 1:3]).any():
        return Image.fromarray(levels)
    # Either: an index into a colour table of greys, with one index to spare for what is transparent.
    either = Image.fromarray(np.where(opaque, levels[..., 0], unused[-1]).astype(np.uint8))
    either.putpalette(np.arange(256, dtype=np.uint8).repeat(3).tobytes())
    either.info["transparency"] = int(unused[-1])
    return either
