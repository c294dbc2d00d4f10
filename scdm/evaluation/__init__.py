"""Evaluation: what a model makes of the layouts of a data set, clean, corrupted or painted, and how good it is."""

from .layouts import LayoutCorruption, Layouts, PaintedLayouts
from .measures import FeatureCache, Measured, Networks
from .report import latex, markdown, result, sheet
from .samples import Chunk, GivenImages, Samples

__all__ = [
    "Chunk",
    "FeatureCache",
    "GivenImages",
    "LayoutCorruption",
    "Layouts",
    "Measured",
    "Networks",
    "PaintedLayouts",
    "Samples",
    "latex",
    "markdown",
    "result",
    "sheet",
]
