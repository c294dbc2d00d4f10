"""SCDM's nodes: they unwrap ComfyUI's values, call `scdm` once, and wrap its answer. Only this package imports ComfyUI."""

from comfy_api.latest import ComfyExtension, io

from .corruption import CorruptLayout
from .detail import AddDetail
from .editing import EditImage
from .encode import EncodeLayout
from .files import place_examples
from .generate import Generate
from .layouts import BlankLayout, LayoutFromImage, LoadLayout
from .models import LoadModel
from .paint import PaintLayout
from .painting import LayoutToMasks, PaintClass
from .previews import LayoutInfo, PreviewLayout
from .translate import TranslateLayout


class ScdmExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        place_examples()  # before their names are listed
        return [
            LoadModel,
            LoadLayout,
            LayoutFromImage,
            BlankLayout,
            PaintLayout,
            PaintClass,
            LayoutToMasks,
            PreviewLayout,
            LayoutInfo,
            CorruptLayout,
            TranslateLayout,
            EncodeLayout,
            AddDetail,
            Generate,
            EditImage,
        ]
