"""Choosing a class by name: a list of the names that palettes and models have, or a text from elsewhere in the graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeVar

import folder_paths
from comfy_api.latest import io

from ..scdm.assets import embedded_models
from ..scdm.layouts.contents import UNPAINTED
from ..scdm.layouts.painting import class_choices
from ..scdm.layouts.paintings import colored, stored_as
from ..scdm.layouts.palette import GOLDEN_ANGLE, Palette, palette_names
from ..scdm.models.checkpoint import Header, model_file, read_header
from .messages import complaint
from .models import FOLDER

USUAL = "scenes"  # the palette whose classes come first
ALL_CLASSES = "all classes"


def class_input(tooltip: str, first: tuple[str, ...] = ()) -> io.Input:
    """A list of classes, after the choices `first`; a link may bring any text. `web/comfyui/classes.mjs` narrows the list to
    the palette of the layout that is connected.

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


@cache
def shipped_classes() -> dict[str, list[str]]:
    """The choices of each palette that comes with SCDM, the usual one first."""
    names = sorted(palette_names(), key=lambda name: (name != USUAL, name))
    return {name: class_choices(Palette.named(name)) for name in names}


def model_classes() -> dict[str, list[str]]:
    """The choices of each model whose header says its classes."""
    return of_models(lambda header: class_choices(header.palette))


# For painters: classes with their colours, and the size (width, height) that a model paints best.


@cache
def shipped_subjects() -> dict[str, list[list[Any]]]:
    """The classes of each palette that comes with SCDM, [name, colour], by the names in `palette_input`."""
    names = palette_names()
    return {name: colored(Palette.named(name)) for name in (*names, *(name + GOLDEN_ANGLE for name in names))}


@cache
def shipped_values() -> dict[str, list[list[Any]]]:
    """How id maps store the classes of each palette that comes with SCDM."""
    return {name: stored_as(Palette.named(name)) for name in palette_names()}


def model_subjects() -> dict[str, dict[str, Any]]:
    """The same of each model whose header says its classes, and its size."""
    return of_models(_subject)


def _subject(header: Header) -> dict[str, Any]:
    height, width = header.config.taught.preferred
    return {"classes": colored(header.palette), "size": [width, height]}


Told = TypeVar("Told")


def of_models(tell: Callable[[Header], Told]) -> dict[str, Told]:
    """What is told of the header of each model that has one; the list of models shows the others all the same."""
    found = {}
    for name in embedded_models():
        with model_file(name) as path:
            found[name] = _header_of(path, path.stat().st_mtime_ns)
    for name in folder_paths.get_filename_list(FOLDER):
        path = Path(folder_paths.get_full_path(FOLDER, name) or "")
        if path.suffix.lower() == ".safetensors" and path.is_file():
            found[name] = _header_of(path, path.stat().st_mtime_ns)
    return {name: tell(header) for name, header in found.items() if header is not None}


@lru_cache(maxsize=256)
def _header_of(path: Path, changed: int) -> Header | None:
    """None where the file is no model of ours. changed: when, in ns."""
    try:
        return read_header(path)
    except (ValueError, OSError):
        return None


def _require_name(name: str) -> None:
    if not isinstance(name, str) or not name.strip():
        raise ValueError("choose a class from the list")
