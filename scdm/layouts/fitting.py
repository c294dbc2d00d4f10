"""Layouts and masks at another size, whatever their proportions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..files.images import MAX_PIXELS
from .labels import LabelMap, common_batch

FITS = ("resize", "crop", "pad")


def fitted(labels: LabelMap, height: int = 0, width: int = 0, fit: str = "resize") -> LabelMap:
    """The layout at `height` x `width` pixels; a side of 0 follows from the other in proportion, or both stay.

    fit: what becomes of other proportions. "resize" stretches; "crop" fills the frame and cuts off what hangs over, on
    both sides alike; "pad" shows the whole and leaves the rest of the frame unpainted. What shrinks takes the
    class of most of each part (`LabelMap.reduced`), what grows that of the nearest pixel.
    """
    _require_fit(fit)
    height, width = _completed(height, width, labels)
    if height * width > MAX_PIXELS:
        raise ValueError(f"a layout of {width} x {height} has more than {MAX_PIXELS // 2**20} megapixels: ask for less")
    if fit == "resize":
        return labels.reduced(height, width)
    scales = height / labels.height, width / labels.width
    scale = max(scales) if fit == "crop" else min(scales)
    if scale < 1:
        labels = labels.reduced(max(1, round(labels.height * scale)), max(1, round(labels.width * scale)))
        scale = 1.0
    rows = _sources(labels.height, height, scale).to(labels.ids.device)
    columns = _sources(labels.width, width, scale).to(labels.ids.device)
    inside_rows, inside_columns = rows.clamp(0, labels.height - 1), columns.clamp(0, labels.width - 1)
    outside = (rows != inside_rows)[:, None] | (columns != inside_columns)  # (height, width)
    placed = labels.picked(inside_rows, inside_columns).masked(outside)
    return placed if placed.edges is None else replace(placed, edges=placed.edges & ~outside)


def framed(planes: Tensor, height: int, width: int, fit: str = "resize") -> tuple[Tensor, Tensor]:
    """Images (N, C, h, w), or masks (N, 1, h, w), at `height` x `width` pixels, where `fitted` puts a layout of their size;
    and (height, width) bool: which part of the frame they reach. In the rest, which only "pad" leaves, they repeat their
    rim.
    """
    _require_fit(fit)
    size = planes.shape[-2:]
    scales = height / size[0], width / size[1]
    if fit == "resize":
        scaled_height, scaled_width = height, width
    else:
        scale = max(scales) if fit == "crop" else min(scales)
        scaled_height, scaled_width = (max(1, round(side * scale)) for side in size)
    rows = torch.arange(height, device=planes.device) + (scaled_height - height) // 2
    columns = torch.arange(width, device=planes.device) + (scaled_width - width) // 2
    inside_rows, inside_columns = rows.clamp(0, scaled_height - 1), columns.clamp(0, scaled_width - 1)
    scaled = _interpolated(planes, scaled_height, scaled_width)
    reached = (rows == inside_rows)[:, None] & (columns == inside_columns)
    return scaled[..., inside_rows[:, None], inside_columns], reached


def _interpolated(planes: Tensor, height: int, width: int) -> Tensor:
    """Masks, of one channel, by `covered`."""
    if planes.shape[-2:] == (height, width):
        return planes
    if planes.shape[1] == 1:
        return covered(planes[:, 0], height, width)[:, None]
    return F.interpolate(planes.float(), (height, width), mode="bilinear", antialias=True)


def _require_fit(fit: str) -> None:
    if fit not in FITS:
        raise ValueError(f"what has another size fits by {', '.join(FITS)}, not {fit!r}: choose one of these")


def covered(mask: Tensor, height: int, width: int) -> Tensor:
    """Masks (N, h, w) at another size: (N, height, width), of which each pixel is the mean of what lies under it."""
    if mask.shape[1:] == (height, width):
        return mask
    return F.interpolate(mask[:, None].float(), (height, width), mode="area")[:, 0]


def with_opacity(pictures: np.ndarray, opacity: Tensor) -> np.ndarray:
    """Pictures, uint8 (B, H, W, C), with an opacity (1 or B, h, w) in [0, 1] as their alpha: uint8 (B, H, W, 4).

    Where they already have an alpha, the lower of the two counts.
    """
    batch = common_batch(images=len(pictures), alphas=len(opacity))
    alpha = (255 * covered(opacity, *pictures.shape[1:3])).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    alpha = np.minimum(alpha[..., None], pictures[..., 3:] if pictures.shape[-1] == 4 else 255)
    size = (batch, *pictures.shape[1:3])
    return np.concatenate([np.broadcast_to(pictures[..., :3], (*size, 3)), np.broadcast_to(alpha, (*size, 1))], axis=-1)


def _completed(height: int, width: int, labels: LabelMap) -> tuple[int, int]:
    if height < 0 or width < 0:
        raise ValueError(f"a layout cannot be {width} x {height} pixels: give positive sides, or 0 for its own")
    if not height and not width:
        return labels.height, labels.width
    return (
        height or max(1, round(width * labels.height / labels.width)),
        width or max(1, round(height * labels.width / labels.height)),
    )


def _sources(source: int, target: int, scale: float) -> Tensor:
    """(target,) int64: the source index at each place of the target, on which the scaled source lies centred.

    Below 0, or `source` and beyond, where the scaled source does not reach.
    """
    length = max(1, round(source * scale))
    return (torch.arange(target) + (length - target) // 2) * source // length
