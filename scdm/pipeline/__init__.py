"""From a layout to images."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .options import MOST_FEATHER as MOST_FEATHER
from .options import GenerateOptions as GenerateOptions

if TYPE_CHECKING:
    from .composition import generate as generate
    from .inputs import MOST_VALUE as MOST_VALUE
    from .inputs import require_kinds as require_kinds

# What needs torch is imported when it is first asked for: `scdm sample --help` asks for the options alone.
_HOMES = {"generate": "composition", "MOST_VALUE": "inputs", "require_kinds": "inputs"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
