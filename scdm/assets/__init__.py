"""Data that comes with the package: class tables, class rates, example layouts, embedded models."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Traversable


def folder() -> Traversable:
    """The folder of the assets; also under the path-like package names that ComfyUI gives."""
    return resources.files(__package__)
