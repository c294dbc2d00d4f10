"""Padding to a network's stride: images grow to the next size that it can take, and the result is cropped back."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layouts.labels import LabelMap


class Padding:
    """At the bottom and at the right of planes of `size` (height, width), to multiples of `stride`."""

    def __init__(self, size: tuple[int, int], stride: int):
        self.size = size
        # Two strides at least: the deepest level's norm needs more than one pixel.
        self.padded_size = (max(2, -(-size[0] // stride)) * stride, max(2, -(-size[1] // stride)) * stride)

    def padded(self, planes: Tensor) -> Tensor:
        """(B, C, *size) -> (B, C, *padded_size): the last row and column are repeated."""
        bottom, right = self.padded_size[0] - self.size[0], self.padded_size[1] - self.size[1]
        return F.pad(planes, (0, right, 0, bottom), mode="replicate") if bottom or right else planes

    def padded_labels(self, labels: LabelMap) -> LabelMap:
        """The same of a layout."""
        rows, columns = (
            torch.arange(padded, device=labels.ids.device).clamp(max=side - 1)
            for padded, side in zip(self.padded_size, self.size, strict=True)
        )
        return labels.picked(rows, columns)

    def cropped(self, planes: Tensor) -> Tensor:
        """(B, C, *padded_size) -> (B, C, *size)."""
        return planes[:, :, : self.size[0], : self.size[1]]
