"""Choosing a class by name: a list of the names that palettes and models have, or a text from elsewhere in the graph."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import folder_paths
from comfy_api.latest import io

from ..scdm.assets import embedded_models
from ..scdm.layouts.contents import UNPAINTED
from ..scdm.layouts.painting import class_choices
from ..scdm.layouts.palette import Palette, palette_names
from ..scdm.models.checkpoint import model_file, read_header
from .messages import complaint
from .models import FOLDER

USUAL = "scenes"  # the palette whose classes come first
ALL_CLASSES = "all classes"


def class_input(tooltip: str, first: tuple[str, ...] = ()) -> io.Input:
    """A list of classes, after the choices `first`; a link may bring any text. `web/classes.mjs` narrows the list to the
    palette of the layout that is connected.

    The node names `class_name` in `validate_inputs`: workflows may hold names that were typed, or ids.
    """
    palettes = shipped_classes()
    models = model_classes()
    names = dict.fromkeys((*first, *palettes[USUAL]))
    for others in (*palettes.values(), *models.values()):
        names |= dict.fromkeys(others)
    choices = [*(name for name in names if name != UNPAINTED), UNPAINTED]
    combo = io.Combo.Input("class_name", options=choices, default=choices[0], tooltip=tooltip)
    known = {"first": list(first), "palettes": palettes, "models": models}
    return io.MultiType.Input(combo, [io.String], extra_dict={"scdm_classes": known})


def class_complaint(name: str | None) -> bool | str:
    """For `validate_inputs`, which sees no palette: an empty name is no class of any."""
    return complaint(_require_name, name)


def shipped_classes() -> dict[str, list[str]]:
    """The choices of each palette that comes with SCDM, the usual one first."""
    names = sorted(palette_names(), key=lambda name: (name != USUAL, name))
    return {name: class_choices(Palette.named(name)) for name in names}


def model_classes() -> dict[str, list[str]]:
    """The choices of each model whose header says its classes."""
    found = {}
    for name in embedded_models():
        with model_file(name) as path:
            found[name] = _classes_of(path, path.stat().st_mtime_ns)
    for name in folder_paths.get_filename_list(FOLDER):
        path = Path(folder_paths.get_full_path(FOLDER, name) or "")
        if path.suffix.lower() == ".safetensors" and path.is_file():
            found[name] = _classes_of(path, path.stat().st_mtime_ns)
    return {name: classes for name, classes in found.items() if classes}


@lru_cache(maxsize=256)
def _classes_of(path: Path, changed: int) -> list[str]:
    """None where the file is no model of ours; the list of models shows it all the same. changed: when, in ns."""
    try:
        return class_choices(read_header(path).palette)
    except (ValueError, OSError):
        return []


def _require_name(name: str) -> None:
    if not isinstance(name, str) or not name.strip():
        raise ValueError("choose a class from the list")
