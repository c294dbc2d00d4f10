"""Inputs for sampling: of Generate from Layout and Edit Image, and of Encode Layout for ComfyUI's own samplers."""

from __future__ import annotations

import math
from typing import Any

from comfy_api.latest import io

from ..scdm.diffusion.samplers import sampler_options
from ..scdm.layouts.labels import LabelMap
from ..scdm.models.model import Model
from ..scdm.pipeline.composition import with_roughness
from ..scdm.pipeline.options import GenerateOptions, every_option
from .pictures import fit_input
from .sockets import LayoutSocket
from .widgets import has_widget, value_of, widget

MOST_IMAGES = 64  # in a batch
MOST_STEPS = 1000
FIRST = ("variance", "eta", "repeats")  # options of samplers that stood last before others came


def subject_inputs() -> list[io.Input]:
    return [
        io.Model.Input("model", tooltip="The model, from Load SCDM Model."),
        LayoutSocket.Input("layout", tooltip="What to draw where, in the classes of the model."),
    ]


def option_input(name: str, tooltip: str = "", **changed: Any) -> io.Input:
    """The widget of an option of sampling."""
    return widget(every_option()[name], tooltip, **changed)


def seed_input(tooltip: str, changes: bool) -> io.Input:
    """changes: whether ComfyUI offers another seed after every run."""
    return option_input("seed", tooltip, control_after_generate=changes)


def sampling_inputs() -> list[io.Input]:
    return [
        option_input("steps", max=MOST_STEPS),
        option_input("sampler"),
        option_input("guidance"),
        option_input("label_noise"),
    ]


def precision_input(tooltip: str = "") -> io.Input:
    """The last of a node's own widgets, and optional: workflows that were saved without it still run."""
    return option_input("precision", tooltip, optional=True)


def sampler_inputs(but: tuple[str, ...] = ()) -> list[io.Input]:
    """The options that samplers declare, but for those that the node has elsewhere; how far to trust the layout; and how
    images of another size fit it.

    After all others, and optional. Saved workflows hold the values of widgets in order, so options of further samplers come
    last.
    """
    shown = [setting for name, setting in sampler_options().items() if name not in but and has_widget(setting)]
    first, further = (
        [widget(setting, optional=True) for setting in shown if (setting.name in FIRST) == wanted]
        for wanted in (True, False)
    )
    trust = [option_input("roughness", optional=True), option_input("layout_end", optional=True)]
    return [*first, *trust, fit_input(), *further]


def rough(model: Model, labels: LabelMap, options: GenerateOptions) -> tuple[LabelMap, list[str]]:
    """The layouts with the roughness that the options give or have estimated, and a line that says an estimate."""
    labels = with_roughness(model, labels, options)
    if options.roughness != "auto" or labels.roughness is None:
        return labels, []
    found = ["unknown" if math.isnan(one) else f"{one:.2f}" for one in labels.roughness.tolist()]
    return labels, [f"Roughness of the layout, estimated: {', '.join(found)}"]


def sampling(**shown: Any) -> GenerateOptions:
    """The options that widgets show, by name."""
    settings = every_option()
    values = {name: value_of(settings[name], value) for name, value in shown.items()}
    if (guidance := values.get("guidance")) is not None:
        values["guidance"] = max(guidance, 1.0)
    return GenerateOptions.of(values)


def batch_size_input(tooltip: str) -> io.Int.Input:
    return io.Int.Input("batch_size", default=1, min=1, max=MOST_IMAGES, tooltip=tooltip)


def check_batch(batch_size: int) -> None:
    """ValueError for what a link, which ComfyUI does not check, may bring."""
    if not 1 <= batch_size <= MOST_IMAGES:
        raise ValueError(f"a batch has 1 to {MOST_IMAGES} images, not {batch_size}")
