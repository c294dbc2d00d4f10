"""Layouts for people: pictures, and words."""

from __future__ import annotations

from comfy_api.latest import io
from torch import Tensor

from ..scdm.layouts.contents import report
from ..scdm.layouts.preview import preview
from .messages import said
from .pictures import comfy_image, levels, rgb, shown
from .sockets import Layout, LayoutSocket
from .versions import where_known


class PreviewLayout(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_PreviewLayout",
            display_name="Preview Layout (SCDM)",
            category="SCDM",
            description="Shows a layout in the colours of its palette, by itself or over an image.",
            **where_known(search_aliases=["show segmentation", "layout legend", "layout overlay"]),
            inputs=[
                LayoutSocket.Input("layout", tooltip="The layout. What is unpainted appears chequered."),
                io.Boolean.Input(
                    "legend",
                    default=True,
                    tooltip="Adds the name of each class and its share of the pixels. Small pictures are enlarged for it.",
                ),
                io.Float.Input(
                    "opacity",
                    default=0.5,
                    min=0,
                    max=1,
                    step=0.05,
                    tooltip="How much the layout covers of the image. Without an image it has no effect.",
                ),
                io.Image.Input(
                    "image", optional=True, tooltip="What to lay the layout over, such as the generated image."
                ),
            ],
            outputs=[
                io.Image.Output(display_name="preview", tooltip="The picture, of the size of the image or the layout.")
            ],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, layout: Layout, legend: bool, opacity: float, image: Tensor | None = None) -> io.NodeOutput:
        under = None if image is None else levels(rgb(image))
        pictures = preview(layout.labels, layout.palette, under, opacity, legend)
        return io.NodeOutput(comfy_image(pictures), ui=shown(cls, pictures))


class LayoutInfo(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_LayoutInfo",
            display_name="Layout Info (SCDM)",
            category="SCDM",
            description="Says what a layout holds: its size, its classes with their ids and shares, and what is unpainted.",
            **where_known(search_aliases=["class shares", "layout text"]),
            inputs=[LayoutSocket.Input("layout", tooltip="The layout.")],
            outputs=[io.String.Output(display_name="info", tooltip="A line for each class, the largest first.")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, layout: Layout) -> io.NodeOutput:
        info = report(layout.labels, layout.palette)
        return io.NodeOutput(info, ui=said(info))
