"""SCDM's nodes: they unwrap ComfyUI's values, call `scdm` once, and wrap its answer. Only this package imports ComfyUI."""

from comfy_api.latest import ComfyExtension, io

from .generate import Generate
from .layouts import LoadLayout
from .models import LoadModel


class ScdmExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [LoadModel, LoadLayout, Generate]
