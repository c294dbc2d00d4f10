"""Edit Image: an image that follows its layout from edit to edit, and stays as it is where the layout does."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io
from torch import Tensor, nn

from ..scdm.editing.session import MOST_MARGIN, EditSession, Update
from ..scdm.files.images import from_levels, to_levels
from ..scdm.layouts.fitting import fitted
from ..scdm.layouts.labels import LabelMap
from ..scdm.pipeline import GenerateOptions
from .generate import Progress, enough_memory_for_one, to_comfy
from .messages import said, size_remarks
from .native import NativeModel, check_classes, on_device, scdm_model
from .pictures import at_size, rgb
from .sampling import (
    option_input,
    precision_input,
    rough,
    sampler_inputs,
    sampling,
    sampling_inputs,
    seed_input,
    subject_inputs,
)
from .sockets import Layout, LayoutSocket
from .versions import where_known

MOST_REMEMBERED = 8  # nodes
MOMENTS = 2  # in a session, of which no widget asks for more


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
                *sampling_inputs(),
                io.Int.Input(
                    "margin",
                    default=0,
                    min=0,
                    max=MOST_MARGIN,
                    tooltip="Pixels around a change that are painted anew as well, so that it settles into the image. 0: in "
                    "proportion to the image.",
                ),
                option_input(
                    "feather",
                    "Pixels over which the new part fades in, from the rim of the margin inwards. 0, or more than the "
                    "margin: the whole margin.",
                ),
                io.Image.Input(
                    "previous_image",
                    optional=True,
                    tooltip="The image before the edit. Of another size than the layout it is made to fit. Without it, the "
                    "one that this node made last.",
                ),
                LayoutSocket.Input(
                    "previous_layout",
                    optional=True,
                    tooltip="The layout that the previous image was made for. Where the layout differs from it, the image "
                    "is painted anew.",
                ),
                precision_input(),
                *sampler_inputs(),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The image, as large as the layout.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        model: ModelPatcher,
        layout: Layout,
        margin: int,
        previous_image: Tensor | None = None,
        previous_layout: Layout | None = None,
        fit: str = "resize",
        **shown: Any,
    ) -> io.NodeOutput:
        source = scdm_model(model)
        check_classes(layout, source)
        if previous_layout is not None:
            check_classes(previous_layout, source)
        remarks = size_remarks(source, layout.labels)
        given = previous(previous_image, previous_layout, layout, fit, remarks.append)
        node = cls.hidden.unique_id if cls.hidden is not None else None
        options = sampling(**shown)
        update = edited(model, node, layout.labels, given, options, margin or None)
        image = (
            update.image if given is None else torch.where(update.region, update.image, given.image)
        )  # finer than levels
        share = f"{float(update.region.float().mean()):.0%} of the image painted anew in {update.seconds:.1f} s"
        lines = "\n".join([share, *rough(source, layout.labels, options)[1]])
        return io.NodeOutput(to_comfy(image), ui=said(lines, remarks))


class Previous(NamedTuple):
    """A layout, and the image (1, 3, H, W) in [-1, 1] that was made for it."""

    labels: LabelMap
    image: Tensor


def previous(
    image: Tensor | None, layout: Layout | None, now: Layout, fit: str, remark: Callable[[str], None]
) -> Previous | None:
    """What is connected, at the size of the layout `now`. What it does not reach counts as edited. ValueError if it is only
    half of it."""
    if image is None and layout is None:
        return None
    if image is None or layout is None:
        raise ValueError(
            "an image shows nothing of an edit unless the layout that it was made for is known: connect both "
            "previous_image and previous_layout, or neither"
        )
    if len(image) != 1:
        raise ValueError(
            f"one image is edited at a time, not {len(image)}: choose one, with Image From Batch for instance"
        )
    size = (now.labels.height, now.labels.width)
    made, reached = at_size("previous image", rgb(image).movedim(-1, 1), size, fit, remark)
    labels = layout.labels
    if (labels.height, labels.width) != size:
        labels = fitted(labels, *size, fit)
    other = (now.labels.ids + 1) % labels.num_classes  # than what is there now
    return Previous(replace(labels, ids=labels.ids.where(reached, other)), made * 2 - 1)


def edited(
    model: ModelPatcher,
    node: str | None,
    labels: LabelMap,
    given: Previous | None,
    options: GenerateOptions,
    margin: int | None,
) -> Update:
    """The image as its layout becomes `labels`: the one that is given, else that of the node's last run, else a new one."""
    weights = digest(model.model) if given is None else ""  # of which nothing is then remembered
    with enough_memory_for_one(labels):
        ready = on_device(model, labels.batch, labels.height, labels.width)
        options = ready.options(options)
        last = given or remembered(node, weights, labels, options)
        before, image = last or (labels, None)
        session = EditSession(ready, before, options, margin=margin, image=image, moments=MOMENTS)
        session.change(labels)
        update = session.update(Progress())
    if node is not None and given is None:
        remember(
            node, Made(weights, options, session.labels.ids[0].numpy().astype(np.uint16), to_levels(update.image)[0])
        )
    return update


class Made(NamedTuple):
    """The image that a node made last, (H, W, 3) uint8, the ids (H, W) uint16 that it was made for, how, and by which
    weights: by content, for ComfyUI loads a model anew whenever its caches were emptied."""

    weights: str
    options: GenerateOptions
    ids: np.ndarray
    image: np.ndarray


_made: OrderedDict[str, Made] = OrderedDict()  # by node, the latest last


def remembered(node: str | None, weights: str, labels: LabelMap, options: GenerateOptions) -> Previous | None:
    """What the node made last, if it was by this model, with these options but for the feather, and of this size."""
    made = _made.get(node) if node is not None else None
    if made is None or made.weights != weights or made.ids.shape != (labels.height, labels.width):
        return None
    if replace(made.options, feather=options.feather) != options:
        return None
    ids = torch.from_numpy(made.ids.astype(np.int64))[None]
    return Previous(LabelMap(ids, labels.num_classes), from_levels(made.image[None]))


def remember(node: str, made: Made) -> None:
    """As the node's latest, in place of any that it had."""
    _made.pop(node, None)
    _made[node] = made
    while len(_made) > MOST_REMEMBERED:
        _made.popitem(last=False)


_digests: WeakKeyDictionary[nn.Module, str] = WeakKeyDictionary()


def digest(model: NativeModel) -> str:
    """What tells the model from any other: its weights, and the names of its classes. Worked out once for each load."""
    if model not in _digests:
        names = json.dumps(model.scdm.palette.names)
        _digests[model] = hashlib.sha256((model.scdm.digest() + names).encode()).hexdigest()
    return _digests[model]
