"""Between layouts and masks: painting a class by mask, and masks of what is painted."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from torch import Tensor

from ..scdm.layouts.contents import UNPAINTED, summary
from ..scdm.layouts.painting import class_called, class_masks, painted
from .messages import tell
from .pictures import strength
from .sockets import Layout, LayoutSocket
from .versions import where_known


class PaintClass(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_PaintClass",
            display_name="Paint Class (SCDM)",
            category="SCDM",
            description="Paints one class onto a layout, where a mask is.",
            **where_known(search_aliases=["mask to layout", "mask to class", "draw layout"]),
            inputs=[
                LayoutSocket.Input("layout", tooltip="What is already painted, from Blank Layout for instance."),
                io.Mask.Input(
                    "mask", tooltip="Where to paint. It is stretched to the layout; what it half covers is painted."
                ),
                io.String.Input(
                    "class_name",
                    default="",
                    placeholder="sky",
                    tooltip="The class, by its name in the palette or by its id. unpainted erases: there the model decides.",
                ),
            ],
            outputs=[LayoutSocket.Output(display_name="layout", tooltip="The layout with the class on it.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, layout: Layout, mask: Tensor, class_name: str) -> io.NodeOutput:
        class_id = class_called(layout.palette, class_name)
        remarks: list[str] = []
        labels = painted(layout.labels, strength(mask, remarks.append), class_id)
        same = torch.equal(labels.ids, layout.labels.ids.expand_as(labels.ids))
        if same:
            remarks.append("nothing was painted: the mask covers too little, or what has that class already")
        tell(cls, summary(labels, layout.palette), remarks)
        return io.NodeOutput(Layout(labels, layout.palette))


class LayoutToMasks(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_LayoutToMasks",
            display_name="Layout to Masks (SCDM)",
            category="SCDM",
            description="Makes masks of the classes of a layout: to repaint one of them, or for any node that takes masks.",
            **where_known(search_aliases=["class mask", "segmentation to mask", "layout mask"]),
            inputs=[
                LayoutSocket.Input("layout", tooltip="The layout."),
                io.String.Input(
                    "class_name",
                    default="",
                    placeholder="all classes",
                    tooltip="One class, by its name in the palette or by its id, or unpainted. Empty: a mask for every "
                    "class of the palette in order, and one for what is unpainted.",
                ),
            ],
            outputs=[
                io.Mask.Output(display_name="masks", tooltip="White where the class is; one mask after the other."),
                io.String.Output(display_name="names", tooltip="What each mask shows: a name on each line."),
            ],
        )

    @classmethod
    def execute(cls, layout: Layout, class_name: str) -> io.NodeOutput:
        labels, palette = layout.labels, layout.palette
        ids = [class_called(palette, class_name)] if class_name.strip() else list(range(palette.num_classes + 1))
        names = [(*palette.names, UNPAINTED)[i] for i in ids]
        return io.NodeOutput(class_masks(labels, ids), "\n".join(names * labels.batch))
