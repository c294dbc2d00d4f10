"""Metrics: accumulators with `update` and `compute`, and the networks that they need."""

from .frechet import FrechetDistance
from .inception import Inception
from .judges import FeatureExtractor, Judge, SmallSegmenter, open_extractor, open_judge
from .kernel import KernelDistance, KernelResult
from .perceptual import Diversity, PerceptualNetwork
from .segmentation import SegmentationResult, SegmentationScore

__all__ = [
    "Diversity",
    "FeatureExtractor",
    "FrechetDistance",
    "Inception",
    "Judge",
    "KernelDistance",
    "KernelResult",
    "PerceptualNetwork",
    "SegmentationResult",
    "SegmentationScore",
    "SmallSegmenter",
    "open_extractor",
    "open_judge",
]
