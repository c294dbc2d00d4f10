"""Evaluation: what a model makes of the layouts of a data set, clean or spoilt, and how good it is."""

from .layouts import Layouts, Spoiling
from .measures import FeatureCache, Measured, Networks
from .report import markdown, result, sheet
from .samples import Part, Samples

__all__ = [
    "FeatureCache",
    "Layouts",
    "Measured",
    "Networks",
    "Part",
    "Samples",
    "Spoiling",
    "markdown",
    "result",
    "sheet",
]
