"""Metrics: accumulators with `update` and `compute`, mergeable over processes, and the networks that they need."""

from .segmentation import SegmentationResult, SegmentationScore

__all__ = ["SegmentationResult", "SegmentationScore"]
