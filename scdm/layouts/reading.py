"""Layouts in image files, and in pictures in memory."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..files.images import read_image
from ..files.levels import Remark
from ..files.untrusted import naming, shown
from .decoding import TOLERANCE
from .palette import Palette, as_labels
from .pixels import require_pictures

if TYPE_CHECKING:
    from .labels import LabelMap


def read_layout(
    path: str | Path,
    palette: Palette,
    tolerance: float = TOLERANCE,
    remark: Remark = warnings.warn,
    *,
    values: str | None = None,
) -> LabelMap:
    """The layout in an image file: `read_image`, then `Palette.to_labels`; ValueError names the file."""
    return as_labels(read_ids(path, palette, tolerance, remark, values=values)[None], palette)


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
    with naming(path):
        return palette.to_ids(image, tolerance, remark, values=values, file_name=Path(path).name)


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
    require_pictures(pictures, "a painted layout")
    ids: list[np.ndarray] = []
    remarks: list[str] = []
    for number, levels in enumerate(pictures, start=1):
        with naming(f"picture {number} of {len(pictures)}") if len(pictures) > 1 else nullcontext():
            ids.append(palette.to_ids(_picture(levels), tolerance, remarks.append, values=values))
    for sentence in dict.fromkeys(remarks):  # once, however many pictures deserve it
        remark(sentence)
    return as_labels(np.stack(ids), palette)


def _picture(levels: np.ndarray) -> Image.Image:
    return Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)
