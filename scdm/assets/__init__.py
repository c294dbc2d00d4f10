"""Data that comes with the package: class tables, class rates, example layouts, embedded models."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Traversable


SUFFIX = ".safetensors"  # how the names of model files end


def embedded_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(file.name.removesuffix(SUFFIX) for file in folder().iterdir() if file.name.endswith(SUFFIX))


def folder() -> Traversable:
    """The folder of the assets; also under the path-like package names that ComfyUI gives."""
    return resources.files(__package__)
