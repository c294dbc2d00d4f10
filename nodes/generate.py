"""Generate from Layout: images that follow a layout."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from comfy import model_management
from comfy.model_patcher import ModelPatcher
from comfy.utils import ProgressBar
from comfy_api.latest import io
from PIL import Image
from torch import Tensor

from ..scdm.diffusion.samplers import Step
from ..scdm.files.images import to_levels
from ..scdm.files.untrusted import is_out_of_memory
from ..scdm.layouts.labels import LabelMap
from ..scdm.pipeline import GenerateOptions, generate
from .messages import said, size_remarks
from .native import check_classes, on_device, scdm_model
from .pictures import at_size, mask_at_size, rgb, strength
from .sampling import (
    batch_size_input,
    check_batch,
    option_input,
    precision_input,
    rough,
    sampler_inputs,
    sampling,
    sampling_inputs,
    seed_input,
    subject_inputs,
)
from .sockets import Layout
from .versions import where_known

log = logging.getLogger(__name__)

PREVIEW_SIDE = 512  # pixels


class Generate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_Generate",
            display_name="Generate from Layout (SCDM)",
            category="SCDM",
            description="Makes images that follow a layout. Unpainted parts are left to the model.",
            **where_known(search_aliases=["semantic image synthesis", "layout to image", "label to image", "paint"]),
            inputs=[
                *subject_inputs(),
                seed_input(
                    "The same seed gives the same image. Further images of a batch have the seeds that follow.",
                    changes=True,
                ),
                *sampling_inputs(),
                option_input("dynamic_threshold"),
                option_input("extrapolation"),
                option_input("strength", id="denoise"),
                batch_size_input("Number of images, of each layout if there are several."),
                option_input("repeats"),
                option_input("feather"),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="An image to start from: with a mask, with a denoise below 1, or both. Of another size than the "
                    "layout it is made to fit.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="What to paint anew of the image: white. Elsewhere it stays as it is.",
                ),
                precision_input(),
                *sampler_inputs(but=("repeats",)),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The images, as large as the layout.")],
        )

    @classmethod
    def execute(
        cls,
        model: ModelPatcher,
        layout: Layout,
        batch_size: int,
        denoise: float,
        image: Tensor | None = None,
        mask: Tensor | None = None,
        fit: str = "resize",
        **shown: Any,
    ) -> io.NodeOutput:
        options = sampling(strength=denoise, **shown)
        check_batch(batch_size)
        check_classes(layout, scdm_model(model))
        remarks = size_remarks(scdm_model(model), layout.labels)
        mask = None if mask is None else strength(mask, remarks.append)
        dubious = mask is not None and bool(remarks)
        image, mask = source(image, mask, layout.labels, fit, remarks.append)
        labels, estimates = rough(scdm_model(model), layout.labels, options)
        job = Job.of(labels, image, mask, batch_size)
        if dubious:
            estimates = ["What a mask shows white is painted anew.", *estimates]
        if mask is None and options.repeats > 1:
            remarks.append("repeats settles the seam around a mask, and has no effect without one")
        ui = said("\n".join(estimates), remarks)  # which logs them before the images are made
        return io.NodeOutput(to_comfy(painted(model, job, options)), ui=ui)


def source(
    image: Tensor | None, mask: Tensor | None, labels: LabelMap, fit: str, remark: Callable[[str], None]
) -> tuple[Tensor | None, Tensor | None]:
    """An IMAGE and a mask (B, h, w) at the size of the layout. With a mask, what the image does not reach is repainted."""
    size = (labels.height, labels.width)
    reached = torch.ones(size, dtype=torch.bool)
    if image is not None:
        placed, reached = at_size("image", rgb(image).movedim(-1, 1), size, fit, remark)
        image = placed.movedim(1, -1)
    if mask is not None:
        mask = mask_at_size(mask, size, fit, remark).where(reached, 1)
    return image, mask


@dataclass(frozen=True)
class Job:
    """Images to make: a layout for each and, as far as given, the image that each starts from and the part to repaint."""

    labels: LabelMap
    image: Tensor | None  # (B, 3, H, W) in [-1, 1]
    mask: Tensor | None  # (B, 1, H, W) in [0, 1]

    @classmethod
    def of(cls, labels: LabelMap, image: Tensor | None, mask: Tensor | None, times: int) -> Job:
        """Of an IMAGE and a mask (B, H, W). Single ones serve all of a batch, and the batch is made `times` times.

        ValueError for batches that do not fit.
        """
        batch = max(labels.batch, *(given.shape[0] for given in (image, mask) if given is not None), 1)
        if image is not None:
            image = _batched(rgb(image).movedim(-1, 1) * 2 - 1, batch, "images").repeat(times, 1, 1, 1)
        if mask is not None:
            mask = _batched(mask[:, None], batch, "masks").repeat(times, 1, 1, 1)
        labels = labels.expanded(batch)
        return cls(labels[torch.arange(batch).repeat(times)], image, mask)

    def halves(self) -> tuple[Job, Job]:
        middle = self.labels.batch // 2
        return self._part(slice(None, middle)), self._part(slice(middle, None))

    def _part(self, samples: slice) -> Job:
        image, mask = (None if given is None else given[samples] for given in (self.image, self.mask))
        return Job(self.labels[samples], image, mask)


def painted(model: ModelPatcher, job: Job, options: GenerateOptions) -> Tensor:
    """(B, 3, H, W) in [-1, 1]. What is too much for the memory of the device is made in halves: an image does not depend on
    what is made beside it."""
    labels = job.labels
    try:
        ready = on_device(model, labels.batch, labels.height, labels.width)
        return generate(ready, labels, ready.options(options), image=job.image, mask=job.mask, on_step=Progress())
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        if labels.batch == 1:
            raise too_large(labels) from None
    model_management.soft_empty_cache()
    log.warning("Not enough memory for %d images at once: making them in two parts.", labels.batch)
    first, second = job.halves()
    following = replace(options, seed=(options.seed + first.labels.batch) % 2**64)
    return torch.cat([painted(model, first, options), painted(model, second, following)])


def ran_out_of_memory(error: Exception) -> bool:
    return isinstance(error, model_management.OOM_EXCEPTION) or is_out_of_memory(error)


@contextmanager
def enough_memory_for_one(labels: LabelMap) -> Iterator[None]:
    """ValueError where there is not the memory for a single image; it is free again then."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        model_management.soft_empty_cache()
        raise too_large(labels) from None


def too_large(labels: LabelMap) -> ValueError:
    """What to say where there is not the memory for a single image."""
    return ValueError(
        f"the device has not enough memory for an image of {labels.width} x {labels.height}: load a smaller layout, "
        "or free memory by unloading other models"
    )


class Progress:
    """Shows each step and what the image will be. The progress bar also raises when the painter interrupts."""

    def __init__(self) -> None:
        self.bar = ProgressBar(1)

    def __call__(self, step: Step, steps: int) -> None:
        self.bar.update_absolute(step.done, steps, ("JPEG", Image.fromarray(to_levels(step.x0[:1])[0]), PREVIEW_SIDE))


def to_comfy(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> ComfyUI's IMAGE: (B, H, W, 3) in [0, 1]."""
    return ((images.float() + 1) / 2).clamp(0, 1).movedim(1, -1)


def _batched(given: Tensor, batch: int, what: str) -> Tensor:
    if given.shape[0] not in (1, batch):
        raise ValueError(f"{given.shape[0]} {what} cannot serve a batch of {batch}: give one, or one for each")
    return given.expand(batch, -1, -1, -1)
