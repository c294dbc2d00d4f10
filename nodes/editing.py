"""Edit Image: an image that follows its layout from edit to edit, and stays as it is where the layout does."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from dataclasses import dataclass, replace

import torch
from comfy import model_management
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import Tensor, nn

from ..scdm.editing.session import MOST_MARGIN, EditSession, Update
from ..scdm.layouts.labels import LabelMap
from ..scdm.pipeline import MOST_FEATHER, GenerateOptions
from .generate import Progress, is_want_of_memory, to_comfy, too_large
from .messages import tell
from .native import check_classes, on_device, scdm_model
from .pictures import rgb
from .sampling import AUTO, DEFAULT, precision_input, seed_input, subject_inputs, way, way_inputs
from .sockets import Layout, LayoutSocket
from .versions import where_known

MOST_REMEMBERED = 8  # nodes


class EditImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_EditImage",
            display_name="Edit Image (SCDM)",
            category="SCDM",
            description="Makes an image that follows a layout and, when the layout is edited, paints anew what has changed "
            "and nothing else.",
            **where_known(search_aliases=["interactive painting", "live painting", "edit layout", "inpaint layout"]),
            inputs=[
                *subject_inputs(),
                seed_input("Keep it from edit to edit. Another seed begins with another image.", changes=False),
                *way_inputs(),
                io.Int.Input(
                    "margin",
                    default=0,
                    min=0,
                    max=MOST_MARGIN,
                    tooltip="Pixels around a change that are painted anew as well, so that it settles into the image. 0: in "
                    "proportion to the image.",
                ),
                io.Float.Input(
                    "feather",
                    default=DEFAULT.feather,
                    min=0,
                    max=MOST_FEATHER,
                    step=0.5,
                    tooltip="Pixels over which the new part fades in, from the rim of the margin inwards. 0, or more than "
                    "the margin: the whole margin.",
                ),
                io.Image.Input(
                    "previous_image",
                    optional=True,
                    tooltip="The image before the edit, of the layout's size. Without it, the one that this node made last.",
                ),
                LayoutSocket.Input(
                    "previous_layout",
                    optional=True,
                    tooltip="The layout that the previous image was made for. Where the layout differs from it, the image "
                    "is painted anew.",
                ),
                precision_input(),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The image, as large as the layout.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: ModelPatcher,
        layout: Layout,
        seed: int,
        steps: int,
        sampler: str,
        guidance: float,
        label_noise: str,
        margin: int,
        feather: float,
        previous_image: Tensor | None = None,
        previous_layout: Layout | None = None,
        precision: str = AUTO,
    ) -> io.NodeOutput:
        options = way(seed, steps, sampler, guidance, label_noise, precision)
        source = scdm_model(model)
        node = cls.hidden.unique_id if cls.hidden is not None else None
        check_classes(layout, source)
        given = previous(previous_image, previous_layout, layout)
        if previous_layout is not None:
            check_classes(previous_layout, source)
        before = given or remembered(node, source.network, options, layout.labels)
        update = edited(model, before, layout.labels, replace(options, feather=feather), margin or None)
        image = update.image
        if given is None:
            remember(node, Made(layout.labels, image, weakref.ref(source.network), options))
        else:
            image = torch.where(update.region, image, given.image)  # which may be finer than levels
        tell(cls, f"{float(update.region.float().mean()):.0%} of the image painted anew in {update.seconds:.1f} s")
        return io.NodeOutput(to_comfy(image))


@dataclass(frozen=True)
class Made:
    """A layout and the image (1, 3, H, W) in [-1, 1] that belongs to it; of what a node made, also by which means."""

    labels: LabelMap
    image: Tensor
    network: weakref.ref[nn.Module] | None = None
    options: GenerateOptions | None = None


_made: OrderedDict[str, Made] = OrderedDict()  # by node, the latest last


def previous(image: Tensor | None, layout: Layout | None, now: Layout) -> Made | None:
    """What is connected. ValueError if it is only half of it, or of another size than the layout `now`."""
    if image is None and layout is None:
        return None
    if image is None or layout is None:
        raise ValueError(
            "an image shows nothing of an edit unless the layout that it was made for is known: connect both "
            "previous_image and previous_layout, or neither"
        )
    size = (now.labels.height, now.labels.width)
    for name, found in (("image", tuple(image.shape[1:3])), ("layout", (layout.labels.height, layout.labels.width))):
        if found != size:
            raise ValueError(
                f"the previous {name} is {found[1]} x {found[0]} pixels, the layout {size[1]} x {size[0]}: they must have "
                "the same size"
            )
    if len(image) != 1:
        raise ValueError(
            f"one image is edited at a time, not {len(image)}: choose one, with Image From Batch for instance"
        )
    return Made(layout.labels, rgb(image).movedim(-1, 1) * 2 - 1)


def remembered(node: str | None, network: nn.Module, options: GenerateOptions, labels: LabelMap) -> Made | None:
    """What the node made last, if it was with this network and these options, and of this size."""
    made = _made.get(node) if node is not None else None
    if made is None or made.network is None or made.network() is not network or made.options != options:
        return None
    return made if made.labels.ids.shape == labels.ids.shape else None


def remember(node: str | None, made: Made) -> None:
    if node is not None:
        _made[node] = made
        _made.move_to_end(node)
        while len(_made) > MOST_REMEMBERED:
            _made.popitem(last=False)


def edited(
    model: ModelPatcher, before: Made | None, labels: LabelMap, options: GenerateOptions, margin: int | None
) -> Update:
    """The image of `before` as its layout becomes `labels`; without one, the whole image."""
    try:
        ready = on_device(model, labels.batch, labels.height, labels.width)
        session = EditSession(
            ready,
            before.labels if before else labels,
            ready.options(options),
            margin=margin,
            image=before.image if before else None,
        )
        session.change(labels)
        return session.update(Progress())
    except (MemoryError, RuntimeError) as error:
        if not is_want_of_memory(error):
            raise
        model_management.soft_empty_cache()
        raise too_large(labels) from None
