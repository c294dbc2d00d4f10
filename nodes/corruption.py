"""Corrupt Layout: what a coarse segmentation, sparse scribbles or label diffusion leave of a clean layout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from comfy_api.latest import io

from ..scdm.diffusion.corruption import CORRUPTIONS, MOST_SEED, about, corrupt, settings
from ..scdm.diffusion.label_diffusion import shipped_rates
from ..scdm.files.options import Declared
from ..scdm.layouts.contents import summary
from ..scdm.layouts.palette import GOLDEN_ANGLE, Palette
from .messages import said
from .sockets import Layout, LayoutSocket
from .versions import where_known
from .widgets import has_widget, value_of, widget

# Inputs of saved workflows, which are stored by their place: new settings come after them.
ESTABLISHED = {
    ("downsample", "size"): "downsample_to",
    ("edges", "radius"): "edge_radius",
    ("random", "share"): "random_share",
    ("patterns", "share"): "pattern_share",
    ("diffuse", "step"): "diffusion_step",
}


class CorruptLayout(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_CorruptLayout",
            display_name="Corrupt Layout (SCDM)",
            category="SCDM",
            description="Corrupts a clean layout, to see what a model makes of rough ones. Each setting belongs to the kind "
            "that it is named after; those of downsample, edges and random begin as in the paper's benchmark.",
            **where_known(search_aliases=["noisy layout", "degrade segmentation", "sparse layout"]),
            inputs=[
                LayoutSocket.Input("layout", tooltip="A clean layout."),
                io.Combo.Input(
                    "kind",
                    options=list(CORRUPTIONS),
                    tooltip=" ".join(f"{kind}: {about(kind)}." for kind in CORRUPTIONS),
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MOST_SEED,
                    control_after_generate=True,
                    tooltip="The same seed corrupts the same layout in the same way, where this is random.",
                ),
                *setting_inputs(),
            ],
            outputs=[LayoutSocket.Output(display_name="layout", tooltip="The corrupted layout.")],
        )

    @classmethod
    def execute(cls, layout: Layout, kind: str, seed: int, **values: Any) -> io.NodeOutput:
        strength = {
            setting.name: value_of(setting, values[name])
            for name, owner, setting in shown_settings()
            if owner == kind and name in values
        }
        if kind in CORRUPTIONS and "rates" in settings(kind):
            strength["rates"] = class_rates(layout.palette)
        labels = corrupt(layout.labels, kind, seed, **strength)
        return io.NodeOutput(Layout(labels, layout.palette), ui=said(summary(labels, layout.palette)))


def setting_inputs() -> list[io.Input]:
    """Optional where workflows may be older than the setting."""
    return [
        widget(setting, f"{kind}: {setting.option.help}.", id=name, optional=(kind, setting.name) not in ESTABLISHED)
        for name, kind, setting in shown_settings()
    ]


def shown_settings() -> Iterator[tuple[str, str, Declared]]:
    """Of each setting that a widget can show: the input's name, the corruption, and the setting."""
    found = {(kind, name): setting for kind in CORRUPTIONS for name, setting in settings(kind).items()}
    for kind, name in (*ESTABLISHED, *(key for key in found if key not in ESTABLISHED)):
        if has_widget(found[kind, name]):
            yield ESTABLISHED.get((kind, name), f"{kind}_{name}"), kind, found[kind, name]


def class_rates(palette: Palette) -> tuple[float, ...] | None:
    """Those that come with SCDM for the palette's data set, in whatever colours; None (all classes alike) for others."""
    try:
        rates = shipped_rates(palette.name.removesuffix(GOLDEN_ANGLE))
    except ValueError:
        return None
    return rates if len(rates) == palette.num_classes else None
