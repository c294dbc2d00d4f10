"""From a layout to images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .options import GenerateOptions as GenerateOptions

if TYPE_CHECKING:
    from .composition import add_detail as add_detail
    from .composition import generate as generate


def __getattr__(name: str) -> Any:
    if name not in ("add_detail", "generate"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import composition  # with torch, which `scdm sample --help` does not need for the options

    return getattr(composition, name)
