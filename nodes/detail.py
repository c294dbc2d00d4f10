"""Add Detail: the second stage of larger images, after ComfyUI's own samplers."""

from __future__ import annotations

from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import Tensor

from ..scdm.pipeline import add_detail
from .generate import Progress, enough_memory_for_one, to_comfy
from .messages import said
from .native import check_classes, on_device, scdm_model
from .pictures import rgb
from .sampling import option_input, precision_input, rough, sampling, seed_input, subject_inputs
from .sockets import Layout
from .versions import where_known


class AddDetail(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_AddDetail",
            display_name="Add Detail (SCDM)",
            category="SCDM",
            description="Makes the small image that a sampler made from Encode Layout as large as its layout, with the "
            "detail that the model's upsampler adds. Generate from Layout and Edit Image do so by themselves.",
            **where_known(search_aliases=["upscale", "upsampler", "super resolution", "second stage"]),
            inputs=[
                *subject_inputs(),
                io.Image.Input("image", tooltip="The small image, from VAE Decode."),
                seed_input("The same seed gives the same detail.", changes=True),
                option_input("roughness", optional=True),
                precision_input(),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The images, as large as the layout.")],
        )

    @classmethod
    def execute(cls, model: ModelPatcher, layout: Layout, image: Tensor, **shown: Any) -> io.NodeOutput:
        source = scdm_model(model)
        options = sampling(**shown)
        check_classes(layout, source)
        small = rgb(image).movedim(-1, 1) * 2 - 1
        labels, estimates = rough(source, layout.labels.expanded(max(layout.labels.batch, len(small))), options)
        with enough_memory_for_one(labels):
            ready = on_device(model, labels.batch, labels.height, labels.width)
            images = add_detail(ready, labels, small, ready.options(options), on_step=Progress())
        return io.NodeOutput(to_comfy(images), ui=said("\n".join(estimates), []))
