"""Sizes that a network cannot take: everything grows to the next one that it can, and the result is cropped back."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layouts.labels import LabelMap


class Canvas:
    """The frame around images of `size` (height, width) for a network whose levels divide by `stride`."""

    def __init__(self, size: tuple[int, int], stride: int):
        self.size = size
        # Two strides at least: the deepest level's norm needs more than one pixel.
        self.padded_size = (max(2, -(-size[0] // stride)) * stride, max(2, -(-size[1] // stride)) * stride)

    def padded(self, pixels: Tensor) -> Tensor:
        """(B, C, *size) -> (B, C, *padded_size): the last row and column go on."""
        bottom, right = self.padded_size[0] - self.size[0], self.padded_size[1] - self.size[1]
        return F.pad(pixels, (0, right, 0, bottom), mode="replicate") if bottom or right else pixels

    def padded_labels(self, labels: LabelMap) -> LabelMap:
        rows, columns = (
            torch.arange(padded, device=labels.ids.device).clamp(max=side - 1)
            for padded, side in zip(self.padded_size, self.size, strict=True)
        )
        return labels.picked(rows, columns)

    def cropped(self, pixels: Tensor) -> Tensor:
        return pixels[:, :, : self.size[0], : self.size[1]]
