"""From a layout to images: the one composition that the command line, the nodes and evaluation use."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from .canvas import Canvas
from .denoiser import Denoise, Denoiser
from .guidance import clipped, colour_matched, extrapolated, guided, thresholded
from .inpainting import feathered, inpainting, paste
from .labels import LabelMap
from .model import MOST_GUIDANCE, Model, ModelConfig
from .noise import LABEL_NOISE, LabelNoise, Noise, image_noise, mixed
from .outside import shown
from .samplers import SAMPLERS, Step
from .schedules import NoiseSchedule, visited_steps

SINGLE_STEP = ("ddpm", "ddim")  # samplers that can take a step again
MOST_VALUE = 2.0  # of an image in [-1, 1] that was resampled
MOST_FEATHER = 1024  # pixels; a mask that never gets to fade in repaints nothing


@dataclass(frozen=True)
class GenerateOptions:
    """How an image is made from a layout.

    None is what the model was made for (`for_model`).

    steps: a count (25), "ddim25", "trailing25", or counts for equal sections of the process ("10,15").
    sampler: a key of `samplers.SAMPLERS`.
    guidance: scale of classifier-free guidance; 1 is none.
    seed: image i of a batch has the seed `seed` + i, and is the same in any batch.
    label_noise: "fresh" draws at every step as in the paper, "coupled", one draw for the whole way, "none", which
        leaves the layout as it is, or a function of one's own, such as `noise.recorded_label_noise`.
    variance: of "ddpm", see there; "learned" is "fixed_large" for a model that has not learned it.
    clip: whether the prediction is cut to [-1, 1].
    dynamic_threshold: quantile such as 0.95, by which it is scaled to that range instead.
    extrapolation: weight, 0 is none.
    mean, std: colour statistics (3 values each in [-1, 1] units) to hold the prediction to, or None.
    eta: share of fresh noise in "ddim", 0 to 1.
    strength: with an image, how much of the way is walked: 1 from pure noise, 0.3 changes little.
    repeats: times that each step is taken, to harmonise an inpainted seam ("ddpm" and "ddim").
    feather: pixels over which the inpainted part fades in, inside the mask.
    precision: "float32", or "bfloat16" where the hardware is fast at it.
    """

    steps: str | int | None = None
    sampler: str | None = None
    guidance: float | None = None
    seed: int = 0
    label_noise: str | LabelNoise = "fresh"
    variance: Literal["learned", "fixed_large", "fixed_small"] = "learned"
    clip: bool | None = None
    dynamic_threshold: float | None = None
    extrapolation: float = 0.0
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    eta: float = 0.0
    strength: float = 1.0
    repeats: int = 1
    feather: float = 0.0
    precision: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        _require(
            self.sampler in (None, *SAMPLERS),
            f"no sampler is called {shown(self.sampler)}; there are {', '.join(SAMPLERS)}",
        )
        known = callable(self.label_noise) or self.label_noise in tuple(LABEL_NOISE)
        _require(known, f"label noise is {' or '.join(LABEL_NOISE)}, not {shown(self.label_noise)}")
        _require(
            self.variance in ("learned", "fixed_large", "fixed_small"),
            f"the variance is learned, fixed_large or fixed_small, not {shown(self.variance)}",
        )
        counted = self.steps is None or (isinstance(self.steps, str) and self.steps.strip()) or _is_whole(self.steps, 1)
        _require(
            bool(counted), f"steps must be at least 1, not {shown(self.steps)}: a whole number, or a text like ddim25"
        )
        _require(
            _is_whole(self.seed, 0, 2**64 - 1), f"a seed is a whole number from 0 to 2^64 - 1, not {shown(self.seed)}"
        )
        _require(_is_whole(self.repeats, 1, 100), f"repeats is a whole number from 1 to 100, not {shown(self.repeats)}")
        _require(
            self.guidance is None or _is_number(self.guidance, 0, MOST_GUIDANCE),
            f"guidance is a scale from 0 to {MOST_GUIDANCE}, not {shown(self.guidance)}",
        )
        _require(self.clip in (None, True, False), f"clip is true, false or None, not {shown(self.clip)}")
        quantile = self.dynamic_threshold
        _require(
            quantile is None or (_is_number(quantile, 0, 1) and quantile > 0),
            f"a dynamic threshold is a quantile in (0, 1], not {shown(quantile)}",
        )
        _require(
            _is_number(self.extrapolation, 0, 10),
            f"extrapolation is a weight from 0 to 10, not {shown(self.extrapolation)}",
        )
        _require((self.mean is None) == (self.std is None), "colour statistics need both mean and std")
        for values, low in ((self.mean, -1), (self.std, 0)):
            three = isinstance(values, tuple | list) and len(values) == 3 and all(_is_number(v, low, 1) for v in values)
            _require(
                values is None or three,
                f"colour statistics are three numbers each, for red, green and blue from -1 to 1, not {shown(values)}",
            )
        _require(_is_number(self.eta, 0, 1), f"eta is a share from 0 to 1, not {shown(self.eta)}")
        _require(
            _is_number(self.strength, 0, 1) and self.strength > 0,
            f"strength is a share in (0, 1], not {shown(self.strength)}",
        )
        single = self.repeats == 1 or self.sampler in (None, *SINGLE_STEP)
        _require(single, f"only {' and '.join(SINGLE_STEP)} can repeat steps, {self.sampler} cannot")
        _require(
            _is_number(self.feather, 0, MOST_FEATHER),
            f"feather is a number of pixels from 0 to {MOST_FEATHER}, not {shown(self.feather)}",
        )
        _require(
            self.precision in ("float32", "bfloat16"), f"precision is float32 or bfloat16, not {shown(self.precision)}"
        )

    def for_model(self, model: Model) -> GenerateOptions:
        """These options with nothing left open: 25 clipped steps of "ddpm" at guidance 1.5, or what a distilled model was
        distilled to. ValueError for steps or guidance that such a model does not know.
        """
        distilled = model.config.distilled_steps
        return replace(
            self,
            steps=self._steps_for(model.config),
            sampler=self.sampler or ("ddpm" if distilled is None else "ddim"),
            guidance=self._guidance_for(model.config),
            clip=self.clip if self.clip is not None else distilled is None,
        )

    def _steps_for(self, config: ModelConfig) -> str | int:
        own = config.distilled_steps
        if own is None:
            steps = 25 if self.steps is None else self.steps
            visited_steps(config.steps, steps)  # objects to what the process does not have
            return steps
        count = len(visited_steps(config.steps, own))
        _require(
            self.steps in (None, own, count, str(count)),
            f"this model was distilled to {count} steps and knows no others: leave steps out, or take the model that it was "
            f"distilled from, instead of asking for {self.steps}",
        )
        return own

    def _guidance_for(self, config: ModelConfig) -> float:
        own = config.distilled_guidance
        if own is None:
            return 1.5 if self.guidance is None else self.guidance
        _require(
            self.guidance in (None, own),
            f"this model has a guidance of {own:g} built in: leave guidance out, or take the model that it was distilled "
            f"from, instead of asking for {self.guidance}",
        )
        return own


def generate(
    model: Model,
    labels: LabelMap,
    options: GenerateOptions | None = None,
    *,
    image: Tensor | None = None,
    mask: Tensor | None = None,
    draws: Tensor | None = None,
    on_step: Callable[[Step, int], None] | None = None,
) -> Tensor:
    """Images (B, 3, H, W) in [-1, 1] that follow `labels` (B, H, W), of the layout's own size.

    image: (1 or B, 3, H, W) in [-1, 1] to start from (`strength`) and, with a mask, to keep.
    mask: (1 or B, 1, H, W) in [0, 1]; 1 is repainted, and where it is 0 the result is `image`, to the bit.
    draws: (H, W) integers from 0 to add to the seed, so that one place can have other noise than the next; None is 0.
    on_step: called after every step with the step and their number; an exception from it stops the work.
    ValueError for sizes that do not fit each other or classes that are not the model's.
    """
    options = GenerateOptions() if options is None else options
    require_kinds(model, options)
    _require(isinstance(labels, LabelMap), f"the layout is a LabelMap, as scdm.read_layout gives, not {shown(labels)}")
    options = options.for_model(model)
    labels = model.prepared(labels)
    batch, size = labels.batch, (labels.height, labels.width)
    image, mask = _checked_source(image, mask, batch, size)
    draws = torch.zeros(size, dtype=torch.int64) if draws is None else draws
    _require(
        draws.shape == size and not draws.is_floating_point() and bool((draws >= 0).all()),
        f"draws must be integers from 0, of the layout's shape {size}, not {draws.dtype} {tuple(draws.shape)}",
    )
    schedule, denoiser = _process(model, options, partial=image is not None)
    device, seeds = model.device, [(options.seed + i) % 2**64 for i in range(batch)]
    # Not even asked for in float32: not every device has autocast.
    autocast = torch.autocast(device.type, torch.bfloat16) if options.precision == "bfloat16" else nullcontext()
    with torch.inference_mode(), autocast:
        canvas = Canvas(size, model.config.network.stride)
        layout = canvas.padded_labels(labels.to(device))
        draws = canvas.padded(draws[None, None].double())[0, 0].long()
        noise = mixed(image_noise, seeds, draws)
        x = noise(torch.empty(batch, 3, *canvas.padded_size, device=device))
        if image is not None:
            image = canvas.padded(image.to(device))
            last = torch.full((batch,), len(schedule) - 1, device=device)
            x = schedule.add_noise(image, last, x) if options.strength < 1 else x
        if mask is not None:
            mask = canvas.padded(feathered(mask, options.feather).to(device))
        kind = options.label_noise
        label_noise = mixed(LABEL_NOISE[kind], seeds, draws) if isinstance(kind, str) else kind
        guidance = options.guidance if model.config.distilled_guidance is None else 1.0
        assert guidance is not None
        denoise = guided(denoiser, layout, guidance, label_noise)
        denoise = _shaped(denoise, options, image, mask)
        for step in _steps(denoise, x, schedule, noise, options):
            x = step.x
            if on_step is not None:
                # Copies: what is done to them does not reach the sampler.
                on_step(
                    step._replace(x=canvas.cropped(step.x).clone(), x0=canvas.cropped(step.x0).clone()), len(schedule)
                )
        if image is not None and mask is not None:
            x = paste(x, image, mask)
        x = canvas.cropped(x).float().cpu()
    _require(
        bool(x.isfinite().all()),
        "the image's numbers overflowed on the way: ask for less guidance, extrapolation or repeats, or look whether the "
        "model's weights are whole",
    )
    return x.clamp(-1, 1)  # an ordinary tensor, which may be changed and learned from


def require_kinds(model: Any, options: Any) -> None:
    """ValueError for what is no model or no options, such as a model's name."""
    _require(isinstance(model, Model), f"the model is one that scdm.load gives, not {shown(model)}")
    _require(isinstance(options, GenerateOptions), f"the options are GenerateOptions(...), not {shown(options)}")


def _process(model: Model, options: GenerateOptions, partial: bool) -> tuple[NoiseSchedule, Denoiser]:
    """The steps to walk, and the model that knows them. Of a partial walk only the last, least noisy part."""
    assert options.steps is not None
    denoiser = model.denoiser.respaced(options.steps)
    schedule = denoiser.schedule
    if partial and options.strength < 1:
        schedule = schedule.first(max(1, round(options.strength * len(schedule))))
    return schedule, denoiser


def _shaped(denoise: Denoise, options: GenerateOptions, image: Tensor | None, mask: Tensor | None) -> Denoise:
    """What the options and a known part of the image make of a prediction."""
    if options.extrapolation:
        denoise = extrapolated(denoise, options.extrapolation)
    if options.dynamic_threshold is not None:
        denoise = thresholded(denoise, options.dynamic_threshold)
    elif options.clip:
        denoise = clipped(denoise)
    if options.mean is not None and options.std is not None:
        denoise = colour_matched(denoise, torch.tensor(options.mean), torch.tensor(options.std))
    if image is not None and mask is not None:
        denoise = inpainting(denoise, image, mask)
    return denoise


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


def _checked_source(
    image: Tensor | None, mask: Tensor | None, batch: int, size: tuple[int, int]
) -> tuple[Tensor | None, Tensor | None]:
    """Image and mask fit the layout, and the mask chooses a part."""
    _require(mask is None or image is not None, "a mask says which part of an image to repaint: give the image too")
    # Resampling may overshoot an image's range of [-1, 1] by much, and round a mask's 1 up by little.
    for name, given, channels, low, high in (
        ("image", image, 3, -MOST_VALUE, MOST_VALUE),
        ("mask", mask, 1, -0.001, 1.001),
    ):
        if given is None:
            continue
        shape = tuple(given.shape)
        _require(
            len(shape) == 4 and shape[0] in (1, batch) and shape[1] == channels,
            f"the {name} must have the shape (1 or {batch}, {channels}, height, width), not {shape}",
        )
        _require(
            shape[2:] == size,
            f"the {name} is {shape[3]}x{shape[2]}, the layout {size[1]}x{size[0]}: they must have the same size",
        )
        _require(bool(given.isfinite().all()), f"the {name} holds values that are no numbers")
        least, most = float(given.min()), float(given.max())
        _require(
            low <= least and most <= high,
            f"the {name} holds values from {least:g} to {most:g}, where an image has -1 to 1 and a mask 0 to 1: scale it",
        )
    if mask is not None:
        empty = ~(mask > 0).flatten(1).any(dim=1)
        which = f"mask {int(empty.int().argmax()) + 1} of {len(mask)}" if len(mask) > 1 else "the mask"
        _require(not empty.any(), f"{which} is empty, so there is nothing to repaint: paint the part to change")
        _require(
            bool((mask < 1).any()),
            "the mask covers the whole image, so nothing is kept: leave the mask and the image out",
        )
    expand = lambda given: None if given is None else given.float().expand(batch, -1, -1, -1)  # noqa: E731
    return expand(image), expand(mask)


def _is_whole(value: object, least: int, most: float = math.inf) -> bool:
    return isinstance(value, int) and _is_number(value, least, most)


def _is_number(value: Any, least: float, most: float) -> bool:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and least <= value <= most


def _require(holds: bool, sentence: str) -> None:
    if not holds:
        raise ValueError(sentence)
