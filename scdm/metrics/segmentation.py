"""How well predicted class maps agree with true ones: intersection over union, and accuracy."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class SegmentationResult(NamedTuple):
    """Shares in [0, 1].

    miou: mean of `iou` over the classes that occur in the truth or in the prediction.
    iou: (num_classes,) float64, true positives / (true or predicted); NaN for a class that occurs in neither.
    """

    miou: float
    pixel_accuracy: float
    iou: Tensor


def intersection_over_union(counts: Any) -> Any:
    """Floats (..., 3, num_classes), pixels of each class that are right, true, and predicted, of tensors or arrays ->
    (..., num_classes), nan (0 / 0) where a class never occurs."""
    right, true, predicted = counts[..., 0, :], counts[..., 1, :], counts[..., 2, :]
    return right / (true + predicted - right)


class SegmentationScore:
    """Counts over a whole data set, of which the shares are taken once, as is usual for mIoU.

    confusion: (num_classes, num_classes) int64, pixels of true class (row) predicted as class (column). It is all
    there is: scores of several processes or splits merge by adding them, or by summing this tensor.
    """

    def __init__(self, num_classes: int, confusion: Tensor | None = None) -> None:
        self.num_classes = num_classes
        shape = (num_classes, num_classes)
        self.confusion = torch.zeros(shape, dtype=torch.int64) if confusion is None else confusion

    def update(self, predicted: Tensor, truth: Tensor) -> None:
        """Count the pixels of two integer class maps of one shape.

        True pixels that are no class (MASK, 255, negative) are left out, whatever was predicted there. ValueError if
        the prediction is no class where the truth is one.
        """
        known = (truth >= 0) & (truth < self.num_classes)
        predicted, truth = predicted[known].to(torch.int64), truth[known].to(torch.int64)
        wrong = predicted[(predicted < 0) | (predicted >= self.num_classes)]
        if len(wrong):
            raise ValueError(f"the prediction holds id {int(wrong[0])}, its classes are 0 to {self.num_classes - 1}")
        pairs = torch.bincount(truth * self.num_classes + predicted, minlength=self.num_classes**2)
        self.confusion = self.confusion + pairs.view_as(self.confusion).to(self.confusion.device)

    def compute(self) -> SegmentationResult:
        """ValueError if no labelled pixel has been counted."""
        counts = self.counts
        right, true, _ = counts.sum(1)
        if true == 0:
            raise ValueError("no labelled pixel has been counted, so there is nothing to score")
        iou = intersection_over_union(counts)
        return SegmentationResult(float(iou.nanmean()), float(right / true), iou)

    @property
    def counts(self) -> Tensor:
        """(3, num_classes) float64: pixels of each class that are right, true, and predicted."""
        confusion = self.confusion.to("cpu", torch.float64)
        return torch.stack([confusion.diagonal(), confusion.sum(1), confusion.sum(0)])

    def __add__(self, other: SegmentationScore) -> SegmentationScore:
        return SegmentationScore(self.num_classes, self.confusion + other.confusion.to(self.confusion.device))
