"""From a layout to images: the one composition that the command line, the nodes and evaluation use."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ..devices import AUTO, HALVES, PRECISIONS
from ..diffusion.denoiser import Denoise, Denoiser, Prediction
from ..diffusion.guidance import Colours, guided, shaped
from ..diffusion.inpainting import feathered, inpainting, paste
from ..diffusion.noise import Noise, image_noise, mixed
from ..diffusion.padding import Padding
from ..diffusion.samplers import SAMPLERS, Step
from ..diffusion.schedules import NoiseSchedule
from ..files.untrusted import shown
from ..layouts.labels import LabelMap
from ..models.model import Model
from .inputs import checked_source, label_noise_of, noise_of, require
from .options import SINGLE_STEP, GenerateOptions


def generate(
    model: Model,
    labels: LabelMap,
    options: GenerateOptions | None = None,
    *,
    image: Tensor | None = None,
    mask: Tensor | None = None,
    noise: Tensor | Noise | None = None,
    draws: Tensor | None = None,
    on_step: Callable[[Step, int], None] | None = None,
) -> Tensor:
    """Images (B, 3, H, W) in [-1, 1] that follow `labels` (B, H, W), of the layout's own size.

    image: (1 or B, 3, H, W) in [-1, 1] to start from (`strength` below 1), to keep around a mask, or both.
    mask: (1 or B, 1, H, W) in [0, 1]; 1 is repainted, and where it is 0 the result is `image`, to the bit.
    noise: what the image is made from in place of the seed's. (1 or B, 3, H, W) standard normal numbers to start from, after
        which the seed goes on; or a function like `noise.image_noise`, for the start and each step of a sampler that adds
        noise. It is asked for the size of the network's canvas: that of the layout, each side rounded up to a multiple of
        `model.config.stride`, and of two at least. Noise for labels is an option, `label_noise`.
    draws: (H, W) integers from 0 to add to the seed, so that one place can have other noise than the next; None is 0.
    on_step: called after every step with the step, whose x0 is a preview (B, 3, h, w), and their number; an exception from
        it stops the work.
    ValueError for sizes that do not fit each other or classes that are not the model's.
    """
    options = GenerateOptions() if options is None else options
    require_kinds(model, options)
    require(isinstance(labels, LabelMap), f"the layout is a LabelMap, as scdm.read_layout gives, not {shown(labels)}")
    options = options.for_model(model)
    options.require_use(image is not None, mask is not None)
    labels = model.prepared(labels)
    batch, size = labels.batch, (labels.height, labels.width)
    image, mask = checked_source(image, mask, batch, size)
    draws = torch.zeros(size, dtype=torch.int64) if draws is None else draws
    require(
        draws.shape == size and not draws.is_floating_point() and bool((draws >= 0).all()),
        f"draws must be integers from 0, of the layout's shape {size}, not {draws.dtype} {tuple(draws.shape)}",
    )
    schedule, denoiser = _process(model, options, partial=image is not None)
    device, seeds = model.device, [(options.seed + i) % 2**64 for i in range(batch)]
    with torch.inference_mode():
        space = model.space
        canvas = Padding(size, model.config.stride)
        frame = Padding(space.size(*size), model.config.network.stride)  # of the samples
        layout = canvas.padded_labels(labels.to(device))
        draws = canvas.padded(draws[None, None].double())[0, 0].long()
        offsets = draws[:: space.stride, :: space.stride]
        noise = noise_of(noise, mixed(image_noise, seeds, offsets), batch, (space.channels, *frame.size))
        x = noise(torch.empty(batch, space.channels, *frame.padded_size, device=device))
        if image is not None:
            image = canvas.padded(image.to(device))
            last = torch.full((batch,), len(schedule) - 1, device=device)
            known = space.encode(image)
            x = schedule.add_noise(known, last, x) if options.strength < 1 else x
        if mask is not None:
            mask = canvas.padded(feathered(mask, options.feather).to(device))
        label_noise = label_noise_of(options.label_noise, seeds, draws)
        guidance = options.guidance if model.config.distilled_guidance is None else 1.0
        assert guidance is not None
        denoise = _in_precision(guided(denoiser, layout, guidance, label_noise), options, model)
        denoise = shaped(
            denoise,
            space,
            extrapolation=options.extrapolation,
            repeats=options.repeats,
            clip=bool(options.clip),
            dynamic_threshold=options.dynamic_threshold,
            colours=_colours(options, device),
        )
        if image is not None and mask is not None:
            denoise = inpainting(denoise, known, space.covered(mask))
        for step in _steps(denoise, x, schedule, noise, options):
            x = step.x
            if on_step is not None:
                # Copies: what is done to them does not reach the sampler.
                on_step(
                    step._replace(x=frame.cropped(step.x).clone(), x0=space.preview(frame.cropped(step.x0)).clone()),
                    len(schedule),
                )
        x = space.decode(x)
        if image is not None and mask is not None:
            x = paste(x, image, mask)
        x = canvas.cropped(x).float().cpu()
    require(
        bool(x.isfinite().all()),
        "the image's numbers overflowed on the way: ask for less guidance, extrapolation or repeats"
        + (", for bfloat16 or float32 in place of float16" if options.precision == "float16" else "")
        + ", or look whether the model's weights are whole",
    )
    return x.clamp(-1, 1)  # an ordinary tensor, which may be changed and learned from


def require_kinds(model: Any, options: Any) -> None:
    """ValueError for what is no model or no options, such as a model's name."""
    require(isinstance(model, Model), f"the model is one that scdm.load gives, not {shown(model)}")
    require(isinstance(options, GenerateOptions), f"the options are GenerateOptions(...), not {shown(options)}")


def _process(model: Model, options: GenerateOptions, partial: bool) -> tuple[NoiseSchedule, Denoiser]:
    """The steps to walk, and the model that knows them. Of a partial walk only the last, least noisy part."""
    assert options.steps is not None
    denoiser = model.denoiser.respaced(options.steps)
    schedule = denoiser.schedule
    if partial and options.strength < 1:
        schedule = schedule.first(max(1, round(options.strength * len(schedule))))
    return schedule, denoiser


def _in_precision(denoise: Denoise, options: GenerateOptions, model: Model) -> Denoise:
    """The network in half precision, if its weights are not there already. All else is always in float32."""
    dtype, device = PRECISIONS[options.precision], model.device.type
    if dtype not in HALVES or model.dtype in HALVES:
        return denoise  # autocast is not even asked for in float32: not every device has it
    try:
        autocast = torch.autocast(device, dtype)
    except RuntimeError as error:
        raise ValueError(
            f"torch cannot compute in {options.precision} here with weights that are in float32: load them in that type "
            f"(scdm.load(..., dtype={options.precision!r})), or leave the precision at {AUTO}"
        ) from error

    def denoise_coarsely(x: Tensor, t: Tensor) -> Prediction:
        with autocast:
            return denoise(x, t)

    return denoise_coarsely


def _colours(options: GenerateOptions, device: torch.device) -> Colours | None:
    if options.mean is None or options.std is None:
        return None
    return Colours(torch.tensor(options.mean, device=device), torch.tensor(options.std, device=device))


def _steps(
    denoise: Denoise, x: Tensor, schedule: NoiseSchedule, noise: Noise, options: GenerateOptions
) -> Iterator[Step]:
    assert options.sampler is not None
    own: dict[str, Any] = {"repeats": options.repeats} if options.sampler in SINGLE_STEP else {}
    if options.sampler == "ddim":
        own["eta"] = options.eta
    if options.sampler == "ddpm":
        own["variance"] = options.variance
    return SAMPLERS[options.sampler](denoise, x, schedule, noise, **own)
