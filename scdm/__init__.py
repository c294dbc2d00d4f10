"""Semantic image synthesis with stochastic conditional diffusion: from a painted layout to an image.

import scdm

model = scdm.load("scenes")
labels = scdm.read_layout("layout.png", model.palette)
images = scdm.generate(model, labels, scdm.GenerateOptions(steps=25, seed=7))  # (B, 3, H, W) in [-1, 1]
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing's own takes longer to import than this file, which is the first of every program
if TYPE_CHECKING:
    from typing import Any

    from .editing.session import Cancelled as Cancelled
    from .editing.session import EditSession as EditSession
    from .files.images import read_image as read_image
    from .files.images import write_image as write_image
    from .layouts.labels import LabelMap as LabelMap
    from .layouts.palette import Palette as Palette
    from .layouts.reading import read_layout as read_layout
    from .models.checkpoint import save as save
    from .models.conversion import load as load
    from .models.model import Model as Model
    from .models.model import ModelConfig as ModelConfig
    from .pipeline import GenerateOptions as GenerateOptions
    from .pipeline import generate as generate

# Imported when first asked for: the command line's help, and hosts that only list their plug-ins, need none of torch.
_HOMES = {
    "LabelMap": "layouts.labels",
    "Palette": "layouts.palette",
    "read_layout": "layouts.reading",
    "Model": "models.model",
    "ModelConfig": "models.model",
    "load": "models.conversion",
    "save": "models.checkpoint",
    "GenerateOptions": "pipeline",
    "generate": "pipeline",
    "EditSession": "editing.session",
    "Cancelled": "editing.session",
    "read_image": "files.images",
    "write_image": "files.images",
}
__all__ = list(_HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
