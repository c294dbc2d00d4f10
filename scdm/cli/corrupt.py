"""scdm corrupt: make a layout rough or sparse."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from ..diffusion.corruption import as_class, corrupt, settings
from ..diffusion.label_diffusion import shipped_rates
from ..files.images import picture_format, write_image
from ..layouts.labels import LabelMap
from ..layouts.palette import Palette
from ..layouts.reading import read_layout
from .arguments import corruption_flag, strengths
from .common import check_output, chosen_palette, note, writing

FAITHFUL = ("PNG", "TIFF")  # formats that change no colour and hold transparency


def run(arguments: Namespace) -> None:
    strength = _strength(arguments)
    check_output(arguments.output, [arguments.layout, Path(arguments.palette)])
    if picture_format(arguments.output) not in FAITHFUL:
        raise ValueError(
            f"{arguments.output}: a layout is written as .png or .tif, which keep its colours and what is open"
        )
    palette = chosen_palette(arguments.palette)
    labels = read_layout(arguments.layout, palette, arguments.tolerance, note, values=arguments.values)
    if "rates" in settings(arguments.kind):
        strength["rates"] = _rates(arguments.rates or palette.name)
    corrupted = corrupt(labels, arguments.kind, arguments.seed, **strength)
    if arguments.removed == "class":
        corrupted = as_class(corrupted, labels, palette.unlabelled, palette.name)
    if bool((corrupted.ids == labels.ids).all()):
        note(f"{arguments.layout} stays as it is: --kind {arguments.kind} changes nothing at this strength and size")
    _note_what_colours_cannot_tell(corrupted, palette)
    with writing(arguments.output):
        write_image(arguments.output, palette.to_image(corrupted)[0])


def _strength(arguments: Namespace) -> dict[str, Any]:
    """The settings that were given, by their names in `corrupt`."""
    given = {name: value for name in strengths() if (value := getattr(arguments, name)) is not None}
    for name in given.keys() - settings(arguments.kind):
        kinds = " or ".join(strengths()[name])
        raise ValueError(f"{corruption_flag(name)} belongs to --kind {kinds}, not to {arguments.kind}")
    return given


def _rates(name: str) -> tuple[float, ...] | None:
    """The class rates of a data set; None for "uniform"."""
    if name == "uniform":
        return None
    try:
        return shipped_rates(name)
    except ValueError as error:
        raise ValueError(f"{error}, and uniform: choose with --rates") from error


def _note_what_colours_cannot_tell(labels: LabelMap, palette: Palette) -> None:
    for i in labels.ids.unique().tolist():
        if i == labels.mask_id:
            continue
        if palette.colors[i] is None:
            note(f"{palette.names[i]} ({i}) has no colour and is written as unpainted")
        elif palette.read_as(i) != i:
            note(
                f"{palette.names[i]} ({i}) has the colour of {palette.names[palette.read_as(i)]} and will be read as that"
            )
