"""The palette that a layout is painted with: one that comes with SCDM, or the model's own."""

from __future__ import annotations

from comfy_api.latest import io

from ..scdm.layouts.palette import GOLDEN_ANGLE, Palette, palette_names
from ..scdm.layouts.values import COLORS
from .sockets import PaletteSocket

AUTO = "auto"


def palette_input() -> io.Combo.Input:
    names = palette_names()
    return io.Combo.Input(
        "palette",
        options=[*names, *(name + GOLDEN_ANGLE for name in names)],
        default="scenes",
        tooltip="The classes and their colours, with which the layout was painted and the model trained. golden_angle: the "
        "same classes in the colours of the OneFormer preprocessors.",
    )


def model_palette_input() -> PaletteSocket.Input:
    return PaletteSocket.Input(
        "model_palette",
        optional=True,
        tooltip="The palette from Load SCDM Model, to be used instead of the one chosen here.",
    )


def chosen_palette(name: str, model_palette: Palette | None) -> Palette:
    """What the two inputs say. ValueError for a name that is not in the list: ComfyUI does not check it."""
    return Palette.named(name) if model_palette is None else model_palette


def values_input() -> io.Combo.Input:
    """The last of a node's inputs, and optional, so that workflows from before there was one go on loading."""
    named = {convention.name for name in palette_names() for convention in Palette.named(name).conventions}
    return io.Combo.Input(
        "values",
        options=[AUTO, COLORS, *sorted(named)],
        default=AUTO,
        optional=True,
        tooltip="What grey images hold. auto: decided by the image, with a note on what was assumed. colors: painted greys. "
        "ids: the number of the class. annotations: as ADE20K and COCO-Stuff store them. train_ids: Cityscapes' 19 classes. "
        "unpainted: COCO-Stuff's, but 255 is left to the model.",
    )


def chosen_values(values: str) -> str | None:
    """For `Palette.to_labels`."""
    return None if values == AUTO else values
