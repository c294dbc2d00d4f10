"""Layouts that were painted elsewhere and arrive as pixels in memory, without the file that would say what they hold."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from PIL import Image

from ..files.levels import Remark
from .fitting import covered
from .labels import LabelMap
from .palette import TOLERANCE, Palette


def decoded(
    pictures: np.ndarray,
    palette: Palette,
    tolerance: float = TOLERANCE,
    remark: Remark = warnings.warn,
    *,
    values: str | None = None,
) -> LabelMap:
    """Pictures, uint8 (B, H, W, C), as a batch of layouts, each as `Palette.to_labels` reads it (`values` as there).

    C: 1 for values, 3 for colours (or values handed on as colours, with three levels alike), 4 for colours with an alpha.
    """
    if pictures.ndim != 4 or pictures.shape[-1] not in (1, 3, 4) or not pictures.size:
        raise ValueError(
            f"a painted layout has pixels of 1, 3 or 4 channels, not the shape {pictures.shape}: give an image of colours"
        )
    ids: list[torch.Tensor] = []
    remarks: list[str] = []
    for levels in pictures:
        try:
            ids.append(palette.to_labels(_picture(levels), tolerance, remarks.append, values=values).ids)
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


def _picture(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)
