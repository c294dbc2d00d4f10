"""Encode Layout: a layout for ComfyUI's own samplers."""

from __future__ import annotations

from typing import Any

import torch
from comfy import model_management
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from .messages import said, size_remarks
from .native import check_classes, conditioning, scdm_model
from .sampling import batch_size_input, check_batch, option_input, rough, sampling, subject_inputs
from .sockets import Layout
from .versions import where_known


class EncodeLayout(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_EncodeLayout",
            display_name="Encode Layout (SCDM)",
            category="SCDM",
            description="Makes a layout into what ComfyUI's own samplers take: positive and negative conditioning, and an "
            "empty latent of the size at which the model makes it.",
            **where_known(search_aliases=["layout conditioning", "segmentation conditioning", "empty pixel latent"]),
            inputs=[
                *subject_inputs(),
                option_input("label_noise"),
                batch_size_input("Number of images in the latent, at least one for each layout."),
                option_input("roughness", optional=True),
            ],
            outputs=[
                io.Conditioning.Output(display_name="positive", tooltip="The layout."),
                io.Conditioning.Output(display_name="negative", tooltip="An empty layout, to be guided away from."),
                io.Latent.Output(
                    display_name="latent",
                    tooltip="Empty, in pixels: of the layout's size, or of the small image that Add Detail (SCDM) adds "
                    "detail to, for a model with an upsampler.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls, model: ModelPatcher, layout: Layout, label_noise: str, batch_size: int, **shown: Any
    ) -> io.NodeOutput:
        source = scdm_model(model)
        # Raises for what a link, which ComfyUI does not check, may bring.
        options = sampling(label_noise=label_noise, **shown).for_model(source)
        check_batch(batch_size)
        check_classes(layout, source)
        labels, space = rough(source, layout.labels, options)[0], source.space
        size = source.small_size((labels.height, labels.width)) or (labels.height, labels.width)
        shape = (max(batch_size, labels.batch), space.channels, *space.size(*size))
        empty = torch.zeros(shape, device=model_management.intermediate_device())
        return io.NodeOutput(
            conditioning(Layout(labels, layout.palette), label_noise),
            conditioning(Layout(labels.blank(), layout.palette), label_noise),
            {"samples": empty},
            ui=said("", size_remarks(source, labels)),
        )
