"""Paint Layout: a layout that is painted in the node itself. `web/comfyui/` is its painter."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io, ui
from torch import Tensor

from ..scdm.files.untrusted import content_of, shown
from ..scdm.layouts import paintings
from ..scdm.layouts.contents import summary
from ..scdm.layouts.fitting import fitted
from ..scdm.layouts.labels import LabelMap
from ..scdm.layouts.painting import class_masks
from ..scdm.layouts.palette import Palette
from .classes import model_subjects, shipped_subjects, shipped_values
from .files import existing_file
from .layouts import blank, blank_sides, chosen_size, model_input
from .messages import complaint, said
from .native import scdm_model
from .palettes import chosen_palette, model_palette_input, palette_input
from .pictures import comfy_image, rgb
from .sockets import Layout, LayoutSocket
from .versions import where_known

Painting = io.Custom("SCDM_PAINTING")  # its widget gives the document, or the name of one that was uploaded
INLINE = "data:image/png;base64,"
ANEW = "paint it again, or open a saved one in the painter"
MOST_INLINE = 2**26  # characters; larger documents are uploaded
UNPAINTED_COLOR = (0, 0, 0)


class PaintLayout(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_PaintLayout",
            display_name="Paint Layout (SCDM)",
            category="SCDM",
            description="Paints a layout in the node: choose a class, paint, and with Live the image follows each stroke.",
            **where_known(search_aliases=["draw layout", "paint segmentation", "GauGAN", "live painting", "canvas"]),
            inputs=[
                palette_input(),
                *blank_sides("the painting's own; of a blank one the model's"),
                Painting.Input(
                    "painting",  # without a tooltip, which Nodes 2.0 would lay over what is painted
                    extra_dict={
                        "default": "",
                        "socketless": True,
                        "scdm_palettes": shipped_subjects(),
                        "scdm_values": shipped_values(),
                        "scdm_models": model_subjects(),
                    },
                ),
                model_palette_input(),
                model_input(
                    "Load SCDM Model: its classes are painted, and a width and height of 0 are those of the largest "
                    "images which it was taught."
                ),
                io.Image.Input(
                    "underlay", optional=True, tooltip="A picture to paint by, which the painter shows over the layout."
                ),
            ],
            outputs=[
                LayoutSocket.Output(display_name="layout", tooltip="The class of each pixel, and the palette."),
                io.Image.Output(
                    display_name="image",
                    tooltip="The layout in the colours of its classes, as segmentation ControlNets read it; unpainted is "
                    "black.",
                ),
                io.Mask.Output(display_name="unpainted", tooltip="White where nothing is painted."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, painting: str | None) -> bool | str:
        return complaint(document, painting)

    @classmethod
    def fingerprint_inputs(cls, painting: str | None, **others: object) -> object:
        content = document(painting or "")
        return content if content is None else hashlib.sha256(content).hexdigest()

    @classmethod
    def execute(
        cls,
        palette: str,
        width: int,
        height: int,
        painting: str = "",
        model_palette: Palette | None = None,
        model: ModelPatcher | None = None,
        underlay: Tensor | None = None,
    ) -> io.NodeOutput:
        if model_palette is None and model is not None:
            model_palette = scdm_model(model).palette
        classes = chosen_palette(palette, model_palette)
        labels, remarks = painted(painting, classes, (height, width), model)
        colours = comfy_image(classes.to_image(labels, UNPAINTED_COLOR))
        unpainted = class_masks(labels, [classes.num_classes])
        about = for_painter(classes if model_palette is not None else None, model, underlay)
        return io.NodeOutput(
            Layout(labels, classes),
            colours,
            unpainted,
            ui={**said(summary(labels, classes), remarks), "scdm_painting": [about]},
        )


def painted(
    value: str, classes: Palette, size: tuple[int, int], model: ModelPatcher | None
) -> tuple[LabelMap, list[str]]:
    """The layout (1, H, W) of a widget's value in these classes, and what was lost of it. size: (height, width), 0 for the
    painting's or the model's own."""
    content = document(value)
    if content is None:
        return blank(classes, *size, model), []
    labels, remarks = paintings.onto(paintings.read(content), classes)
    return fitted(labels, *chosen_size(labels, *size, model)), remarks


def document(value: str) -> bytes | None:
    """The PNG behind a widget's value: the document itself, or the name of a file in ComfyUI's folders; None where nothing
    is painted. ValueError if there is none."""
    if not isinstance(value, str | None):
        raise ValueError(f"a painting is a document or the name of one, not {shown(value)}: {ANEW}")
    if value is None or not value.strip():
        return None
    if not value.startswith(INLINE):
        return _content(existing_file(value, "painting", "paint it again, or put the file back"))
    if len(value) > MOST_INLINE:
        raise ValueError(f"the painting is larger than {MOST_INLINE // 2**20} MB: paint fewer pixels, or upload it")
    try:
        return base64.b64decode(value.removeprefix(INLINE), validate=True)
    except ValueError as error:  # of a letter that is not ASCII, too
        raise ValueError(f"the painting is damaged: {ANEW}") from error


def _content(path: Path) -> bytes:
    try:
        return content_of(path, paintings.MOST_FILE_BYTES)
    except ValueError as error:
        raise ValueError(f"the painting {str(error).replace(str(path), path.name)}") from error


def for_painter(classes: Palette | None, model: ModelPatcher | None, underlay: Tensor | None) -> dict[str, Any]:
    """What only a run knows: the classes and size of a model whose file does not say them, and the underlay."""
    about: dict[str, Any] = {}
    if classes is not None:
        about["classes"] = paintings.colored(classes)
    if model is not None:
        height, width = scdm_model(model).config.taught.preferred
        about["size"] = [width, height]
    if underlay is not None:
        picture = rgb(underlay[:1]).clamp(0, 1)
        saved = ui.ImageSaveHelper.save_images(picture, "scdm_underlay", io.FolderType.temp, None, compress_level=1)
        about["underlay"] = saved[0]
    return about
