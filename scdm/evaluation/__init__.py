"""Evaluation: what a model makes of the layouts of a data set, clean or corrupted, and how good it is."""

from .layouts import LayoutCorruption, Layouts
from .measures import FeatureCache, Measured, Networks
from .report import markdown, result, sheet
from .samples import Chunk, GivenImages, Samples

__all__ = [
    "Chunk",
    "FeatureCache",
    "GivenImages",
    "LayoutCorruption",
    "Layouts",
    "Measured",
    "Networks",
    "Samples",
    "markdown",
    "result",
    "sheet",
]
