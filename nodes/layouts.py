"""Where layouts come from: a file, an image of the graph, or nothing at all."""

from __future__ import annotations

import hashlib

import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import Tensor

from ..scdm.layouts.contents import summary
from ..scdm.layouts.decoding import FARTHEST, TOLERANCE
from ..scdm.layouts.fitting import FITS, fitted, with_opacity
from ..scdm.layouts.instances import bordered, instances_of, require_one_size
from ..scdm.layouts.labels import LabelMap
from ..scdm.layouts.palette import Palette
from ..scdm.layouts.preview import preview
from ..scdm.layouts.reading import decoded, read_layout
from ..scdm.layouts.values import COLORS
from .files import layout_file, layout_names
from .messages import complaint, said
from .native import scdm_model
from .palettes import AUTO, chosen_palette, chosen_values, model_palette_input, palette_input, values_input
from .pictures import flat, levels, shown
from .sockets import Layout, LayoutSocket
from .versions import where_known

MAX_SIDE = 8192  # pixels
USUAL_SIDE = 512  # pixels, where no model says which
ALPHA_SHOWS = ("unpainted", "painted")


class LoadLayout(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_LoadLayout",
            display_name="Load Layout (SCDM)",
            category="SCDM",
            description="Reads a painted image, one colour for each class. Transparent pixels and unknown colours are left "
            "to the model. The preview shows what was understood.",
            **where_known(search_aliases=["load segmentation map", "load label map", "semantic map", "color map"]),
            inputs=[
                io.Combo.Input(
                    "image",
                    options=layout_names(),
                    upload=io.UploadType.image,
                    image_folder=io.FolderType.input,
                    tooltip="The painted layout: an example that comes with SCDM, or a file of ComfyUI's input folder.",
                ),
                *reading_inputs(),
                model_palette_input(),
                values_input(),
                instances_input(),
                model_input(),
            ],
            outputs=[LayoutSocket.Output(display_name="layout", tooltip="The class of each pixel, and the palette.")],
        )

    @classmethod
    def validate_inputs(cls, image: str | None) -> bool | str:
        return complaint(layout_file, image)

    @classmethod
    def fingerprint_inputs(cls, image: str | None, **others: object) -> object:
        if image is None:
            return float("nan")  # a linked name: equal to nothing, so the file is read every time
        return hashlib.sha256(layout_file(image).read_bytes()).hexdigest()

    @classmethod
    def execute(
        cls,
        image: str,
        palette: str,
        tolerance: float,
        width: int,
        height: int,
        fit: str,
        model_palette: Palette | None = None,
        values: str = AUTO,
        instances: Tensor | None = None,
        model: ModelPatcher | None = None,
    ) -> io.NodeOutput:
        remarks: list[str] = []
        classes = chosen_palette(palette, model_palette)
        path = layout_file(image)
        try:
            labels = read_layout(path, classes, tolerance, remarks.append, values=chosen_values(values))
        except ValueError as error:
            raise ValueError(
                str(error).replace(str(path), image)
            ) from error  # as in the list: not where the server has it
        labels = sized(labels, instances, (*chosen_size(labels, height, width, model), fit), remarks)
        return made(cls, Layout(labels, classes), remarks)


class LayoutFromImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_LayoutFromImage",
            display_name="Layout from Image (SCDM)",
            category="SCDM",
            description="Reads an image of the graph as a layout, one colour for each class: from Krita, a segmentation "
            "preprocessor or Load Image. Transparent pixels and unknown colours are left to the model.",
            **where_known(search_aliases=["segmentation to layout", "image to label map", "semantic map", "OneFormer"]),
            inputs=[
                io.Image.Input("image", tooltip="The painted layout, or several of them."),
                *reading_inputs(),
                io.Combo.Input(
                    "alpha_shows",
                    options=list(ALPHA_SHOWS),
                    default="unpainted",
                    tooltip="What is white in the alpha: unpainted, as Load Image gives it, or painted, as Krita's layers "
                    "give it.",
                ),
                io.Mask.Input(
                    "alpha",
                    optional=True,
                    tooltip="What is transparent: the mask that came with the image. Half is painted.",
                ),
                model_palette_input(),
                values_input(),
                instances_input(),
                model_input(),
            ],
            outputs=[LayoutSocket.Output(display_name="layout", tooltip="The class of each pixel, and the palette.")],
        )

    @classmethod
    def execute(
        cls,
        image: Tensor,
        palette: str,
        tolerance: float,
        width: int,
        height: int,
        fit: str,
        alpha_shows: str,
        alpha: Tensor | None = None,
        model_palette: Palette | None = None,
        values: str = AUTO,
        instances: Tensor | None = None,
        model: ModelPatcher | None = None,
    ) -> io.NodeOutput:
        if alpha_shows not in ALPHA_SHOWS:
            raise ValueError(
                f"the alpha shows what is {' or '.join(ALPHA_SHOWS)}, not {alpha_shows!r}: choose one of these"
            )
        remarks: list[str] = []
        classes = chosen_palette(palette, model_palette)
        pictures, painted = levels(image), alpha_shows == "painted"
        if alpha is not None:
            pictures = with_opacity(pictures, flat(alpha if painted else 1 - alpha))
        if values == AUTO and alpha is not None and painted:
            values = COLORS  # in Krita's layers the grey of paper or of a pencil is a colour, and no class
        labels = decoded(pictures, classes, tolerance, remarks.append, values=chosen_values(values))
        labels = sized(labels, instances, (*chosen_size(labels, height, width, model), fit), remarks)
        return made(cls, Layout(labels, classes), remarks)


class BlankLayout(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_BlankLayout",
            display_name="Blank Layout (SCDM)",
            category="SCDM",
            description="A layout on which nothing is painted yet: to paint classes on it, or to leave all to the model.",
            **where_known(search_aliases=["empty layout", "new layout"]),
            inputs=[
                palette_input(),
                *blank_sides("the model's own"),
                model_palette_input(),
                model_input(
                    "Load SCDM Model: a width or height of 0 is that of the largest images which it was taught."
                ),
            ],
            outputs=[LayoutSocket.Output(display_name="layout", tooltip="A layout without a class, and the palette.")],
        )

    @classmethod
    def execute(
        cls,
        palette: str,
        width: int,
        height: int,
        model_palette: Palette | None = None,
        model: ModelPatcher | None = None,
    ) -> io.NodeOutput:
        classes = chosen_palette(palette, model_palette)
        return io.NodeOutput(Layout(blank(classes, height, width, model), classes))


def blank(classes: Palette, height: int, width: int, model: ModelPatcher | None) -> LabelMap:
    """A layout on which nothing is painted. A side of 0 is the model's own."""
    own = (USUAL_SIDE, USUAL_SIDE) if model is None else scdm_model(model).config.taught.preferred
    pixel = LabelMap(torch.full((1, 1, 1), classes.num_classes), classes.num_classes)
    return fitted(pixel, height or own[0], width or own[1])


def blank_sides(zero: str) -> list[io.Input]:
    """Width and height, of which 0 is what `zero` says, or the usual side without a model."""
    return [_blank_side(name, zero) for name in ("width", "height")]


def _blank_side(name: str, zero: str) -> io.Input:
    tooltip = f"{name.capitalize()} in pixels. 0: {zero}, or {USUAL_SIDE} where none is connected."
    return io.Int.Input(name, default=0, min=0, max=MAX_SIDE, tooltip=tooltip)


def reading_inputs() -> list[io.Input]:
    """How a painted image becomes a layout, and of which size."""
    return [
        palette_input(),
        io.Float.Input(
            "tolerance",
            default=TOLERANCE,
            min=0,
            max=FARTHEST,
            step=1,
            tooltip="How far a colour may be from that of its class (0 to 442: from black to white). Pixels further "
            "off are unpainted.",
        ),
        io.Int.Input(
            "width",
            default=0,
            min=0,
            max=MAX_SIDE,
            tooltip="Width of the image to generate, in pixels. 0: follows from the height, or from the "
            "model that is connected, or stays as painted.",
        ),
        io.Int.Input(
            "height",
            default=0,
            min=0,
            max=MAX_SIDE,
            tooltip="Height of the image to generate, in pixels. 0: follows from the width, or from the "
            "model that is connected, or stays as painted.",
        ),
        io.Combo.Input(
            "fit",
            options=list(FITS),
            default="resize",
            tooltip="If width and height have other proportions than the painting: resize stretches it, crop cuts off what "
            "hangs over, pad leaves the rest unpainted.",
        ),
    ]


def instances_input() -> io.Input:
    return io.Image.Input(
        "instances",
        optional=True,
        tooltip="Tells things of one class that touch apart, for models that read borders (Cityscapes, COCO-Stuff): an "
        "image of the painting's size with a different colour for each thing. Without it borders lie between classes.",
    )


def model_input(
    tooltip: str = "Load SCDM Model: with a width and height of 0, a painting that is larger or smaller than the "
    "images which it was taught is brought to their size.",
) -> io.Input:
    return io.Model.Input("model", optional=True, tooltip=tooltip)


def chosen_size(labels: LabelMap, height: int, width: int, model: ModelPatcher | None) -> tuple[int, int]:
    """(height, width) for `sized`: as asked for, or where nothing is, what the model that is connected was taught."""
    if height or width or model is None:
        return height, width
    return scdm_model(model).config.taught.nearest((labels.height, labels.width))


def sized(labels: LabelMap, instances: Tensor | None, size: tuple[int, int, str], remarks: list[str]) -> LabelMap:
    """The layouts at a size (height, width, fit), with the borders of instances if there is a picture of these."""
    if instances is None:
        return fitted(labels, *size)
    things = instances_of(levels(instances))
    require_one_size(labels, things)
    return bordered(fitted(labels, *size), fitted(things, *size), remarks.append)


def made(node: type[io.ComfyNode], layout: Layout, remarks: list[str]) -> io.NodeOutput:
    """The output of a node that has read a layout, which shows what was understood."""
    picture = shown(node, preview(layout.labels, layout.palette))
    return io.NodeOutput(layout, ui=picture.as_dict() | said(summary(layout.labels, layout.palette), remarks))
