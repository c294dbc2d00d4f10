"""Between layouts and masks: painting a class by mask, and masks of what is painted."""

from __future__ import annotations

import torch
from comfy_api.latest import io
from torch import Tensor

from ..scdm.layouts.contents import UNPAINTED, summary
from ..scdm.layouts.painting import class_called, class_masks, painted
from .classes import ALL_CLASSES, class_complaint, class_input
from .messages import said
from .pictures import fit_input, mask_at_size, strength
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
                    "mask", tooltip="Where to paint. It is made to fit the layout; what it half covers is painted."
                ),
                class_input("The class to paint, of the layout's palette. unpainted erases: there the model decides."),
                fit_input(),
            ],
            outputs=[LayoutSocket.Output(display_name="layout", tooltip="The layout with the class on it.")],
        )

    @classmethod
    def validate_inputs(cls, class_name: str | None) -> bool | str:
        return class_complaint(class_name)

    @classmethod
    def execute(cls, layout: Layout, mask: Tensor, class_name: str, fit: str = "resize") -> io.NodeOutput:
        class_id = class_called(layout.palette, class_name)
        remarks: list[str] = []
        size = (layout.labels.height, layout.labels.width)
        where = mask_at_size(strength(mask, remarks.append), size, fit, remarks.append)
        labels = painted(layout.labels, where, class_id)
        same = torch.equal(labels.ids, layout.labels.ids.expand_as(labels.ids))
        if same:
            remarks.insert(0, "nothing was painted: the mask covers too little, or what has that class already")
        return io.NodeOutput(Layout(labels, layout.palette), ui=said(summary(labels, layout.palette), remarks))


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
                class_input(
                    "One class, or unpainted. all classes: a mask for every class of the palette in order, and one for what "
                    "is unpainted.",
                    first=(ALL_CLASSES,),
                ),
            ],
            outputs=[
                io.Mask.Output(display_name="masks", tooltip="White where the class is; one mask after the other."),
                io.String.Output(display_name="names", tooltip="What each mask shows: a name on each line."),
            ],
        )

    @classmethod
    def validate_inputs(cls, class_name: str | None) -> bool | str:
        return True  # instead of a look at the list, which need not have the palette's names; empty stands for all

    @classmethod
    def execute(cls, layout: Layout, class_name: str) -> io.NodeOutput:
        labels, palette = layout.labels, layout.palette
        every = class_name.strip().casefold() in ("", ALL_CLASSES)
        ids = list(range(palette.num_classes + 1)) if every else [class_called(palette, class_name)]
        names = [(*palette.names, UNPAINTED)[i] for i in ids]
        return io.NodeOutput(class_masks(labels, ids), "\n".join(names * labels.batch))
