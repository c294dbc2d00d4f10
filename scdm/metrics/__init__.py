"""Metrics: accumulators with `update` and `compute`, and the networks that they need."""

from .evaluators import Evaluator, FeatureExtractor, SmallSegmenter, open_evaluator, open_extractor, true_ids
from .fine_detail import EnergyResult, HighFrequencyEnergy
from .frechet import FrechetDistance
from .inception import Inception
from .kernel import KernelDistance, KernelResult
from .perceptual import Diversity, PerceptualNetwork
from .segmentation import SegmentationResult, SegmentationScore

__all__ = [
    "Diversity",
    "EnergyResult",
    "Evaluator",
    "FeatureExtractor",
    "FrechetDistance",
    "HighFrequencyEnergy",
    "Inception",
    "KernelDistance",
    "KernelResult",
    "PerceptualNetwork",
    "SegmentationResult",
    "SegmentationScore",
    "SmallSegmenter",
    "open_evaluator",
    "open_extractor",
    "true_ids",
]
