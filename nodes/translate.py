"""Translate Layout: a layout in the classes of another palette."""

from __future__ import annotations

from comfy_api.latest import io

from ..scdm.layouts.palette import Palette
from ..scdm.layouts.translation import pairs, translated
from .messages import said
from .sockets import Layout, LayoutSocket, PaletteSocket
from .versions import where_known


class TranslateLayout(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_TranslateLayout",
            display_name="Translate Layout (SCDM)",
            category="SCDM",
            description="Puts a layout into the classes of a model, such as what a segmenter saw in a photo. Classes of the "
            "same name stay what they are, the rest is left to the model.",
            **where_known(search_aliases=["remap classes", "rename classes", "convert palette"]),
            inputs=[
                LayoutSocket.Input("layout", tooltip="A layout in the classes of any palette."),
                PaletteSocket.Input("model_palette", tooltip="The classes to use, from Load SCDM Model."),
                io.String.Input(
                    "also",
                    default="",
                    multiline=True,
                    tooltip="Further classes and what they become, one in each line: sea = water. By name or id; "
                    "= unpainted leaves one to the model.",
                ),
            ],
            outputs=[LayoutSocket.Output(display_name="layout_in_palette", tooltip="The layout, for that model.")],
        )

    @classmethod
    def execute(cls, layout: Layout, model_palette: Palette, also: str) -> io.NodeOutput:
        made = translated(layout.labels, layout.palette, model_palette, pairs(also))
        lost = layout.labels.ids[made.unpainted & ~layout.labels.unpainted]
        names = [
            layout.palette.names[i] for i in lost.bincount().argsort(descending=True)[: len(lost.unique())].tolist()
        ]
        share = f"{lost.numel() / made.ids.numel():.0%} of the layout is unpainted now"
        found = f"{share}: {', '.join(names)}" if names else "Every class has its name."
        return io.NodeOutput(Layout(made, model_palette), ui=said(found))
