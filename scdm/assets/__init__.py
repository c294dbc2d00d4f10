"""Data that comes with the package: class tables, class rates, example layouts, embedded models."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Traversable


SUFFIX = ".safetensors"  # how the names of model files end
UPSAMPLERS = "upsamplers"  # the folder of those that embedded models share
ALIASES = {"scenes64": "scenes", "scenes64-fast": "scenes-fast"}  # former names of embedded models, and their names now


def embedded_models() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(file.name.removesuffix(SUFFIX) for file in folder().iterdir() if file.name.endswith(SUFFIX))


def upsamplers() -> list[str]:
    """Names of the upsamplers that come with the package."""
    there = folder() / UPSAMPLERS
    names = (file.name for file in there.iterdir()) if there.is_dir() else ()
    return sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))


def current(name: str) -> str:
    """The name that a model has now."""
    return ALIASES.get(name, name)


def is_embedded(name: str) -> bool:
    """Whether a model of this name, or once of this name, comes with the package."""
    return current(name) in embedded_models()


def renamed(name: str) -> str:
    """What to say to somebody who asks for an embedded model by a former name; "" for all other names."""
    return f"the model {name} is called {ALIASES[name]} now" if name in ALIASES else ""


def folder() -> Traversable:
    """The folder of the assets; also under the path-like package names that ComfyUI gives."""
    return resources.files(__package__)
