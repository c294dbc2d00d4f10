"""From a layout to images: the one composition that the command line, the nodes and evaluation use."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from .devices import AUTO, HALVES, PRECISIONS, fast_dtype, name_of, sent
from .diffusion.canvas import Canvas
from .diffusion.denoiser import Denoise, Denoiser, Prediction
from .diffusion.guidance import Colours, guided, shaped
from .diffusion.inpainting import feathered, inpainting, paste
from .diffusion.noise import LABEL_NOISE, LabelNoise, Noise, beginning_with, image_noise, mixed
from .diffusion.samplers import SAMPLERS, Step
from .diffusion.schedules import NoiseSchedule, visited_steps
from .files.untrusted import shown
from .layouts.labels import LabelMap
from .models.model import MOST_GUIDANCE, Model, ModelConfig

SINGLE_STEP = ("ddpm", "ddim")  # samplers that can take a step again
MOST_VALUE = 2.0  # of an image in [-1, 1] that was resampled
MOST_FEATHER = 1024  # pixels; a mask that never gets to fade in repaints nothing


@dataclass(frozen=True)
class GenerateOptions:
    """How an image is made from a layout.

    None is what the model was made for (`for_model`).

    steps: a count (25), "ddim25", "trailing25", or counts for equal sections of the process ("10,15").
    sampler: a key of `samplers.SAMPLERS`.
    guidance: scale of classifier-free guidance, from 1, which is none.
    seed: image i of a batch has the seed `seed` + i, and is the same in any batch.
    label_noise: "fresh" draws at every step as in the paper, "coupled", one draw for the whole way, "none", which
        leaves the layout as it is, or a function of one's own, such as `noise.recorded_label_noise`.
    variance: of "ddpm", see there; "learned" is "fixed_large" for a model that has not learned it.
    clip: whether the prediction is cut to [-1, 1].
    dynamic_threshold: quantile such as 0.95, by which it is scaled to that range instead.
    extrapolation: weight, 0 is none; with `repeats`, all of a step's go by the step before.
    mean, std: colour statistics (3 values each in [-1, 1] units) to hold the prediction to, or None.
    eta: share of fresh noise in "ddim", 0 to 1.
    strength: with an image, how much of the way is walked: 1 from pure noise, which keeps nothing but what a mask protects,
        0.3 changes little.
    repeats: times that each step is taken, to harmonise an inpainted seam ("ddpm" and "ddim").
    feather: pixels over which the inpainted part fades in, inside the mask.
    precision: "float32", "bfloat16", "float16", or "auto", what the model's device is fast and safe in (`fast_dtype`).
        Weights that are in half precision already are computed with as they are; of others, each is rounded when used.
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
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"

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
            self.guidance is None or _is_number(self.guidance, 1, MOST_GUIDANCE),
            f"guidance is a scale from 1, which is none, to {MOST_GUIDANCE}, not {shown(self.guidance)}: leave it out for "
            "what the model was made for",
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
            self.precision in (AUTO, *PRECISIONS),
            f"precision is {AUTO}, {', '.join(PRECISIONS)}, not {shown(self.precision)}",
        )

    def for_model(self, model: Model) -> GenerateOptions:
        """These options with nothing left open: 25 clipped steps of "ddpm" at guidance 1.5, or what a distilled model was
        distilled to, in what its device is fast in. ValueError for steps or guidance that such a model does not know, and
        for a precision that its weights do not have.
        """
        distilled = model.config.distilled_steps
        return replace(
            self,
            steps=self._steps_for(model.config),
            sampler=self.sampler or ("ddpm" if distilled is None else "ddim"),
            guidance=self._guidance_for(model.config),
            clip=self.clip if self.clip is not None else distilled is None,
            precision=self._precision_for(model),
        )

    def require_use(self, image: bool, mask: bool) -> None:
        """ValueError if nothing would come of an image, or of a mask, that is given."""
        _require(image or not mask, "a mask says which part of an image to repaint: give the image too")
        _require(
            mask or not image or self.strength < 1,
            "at full strength nothing is kept of the image: give a mask too, a strength below 1, or no image",
        )

    def _precision_for(self, model: Model) -> Any:
        own = model.dtype
        if own not in HALVES:
            return name_of(fast_dtype(model.device)) if self.precision == AUTO else self.precision
        _require(
            self.precision in (AUTO, name_of(own)),
            f"the model's weights are in {name_of(own)}: leave the precision at {AUTO}, or load the model in "
            f"{self.precision} (scdm.load(..., dtype={self.precision!r}))",
        )
        return name_of(own)

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
        `model.config.network.stride`, and of two at least. Noise for labels is an option, `label_noise`.
    draws: (H, W) integers from 0 to add to the seed, so that one place can have other noise than the next; None is 0.
    on_step: called after every step with the step and their number; an exception from it stops the work.
    ValueError for sizes that do not fit each other or classes that are not the model's.
    """
    options = GenerateOptions() if options is None else options
    require_kinds(model, options)
    _require(isinstance(labels, LabelMap), f"the layout is a LabelMap, as scdm.read_layout gives, not {shown(labels)}")
    options = options.for_model(model)
    options.require_use(image is not None, mask is not None)
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
    with torch.inference_mode():
        canvas = Canvas(size, model.config.network.stride)
        layout = canvas.padded_labels(labels.to(device))
        draws = canvas.padded(draws[None, None].double())[0, 0].long()
        noise = _noise(noise, mixed(image_noise, seeds, draws), batch, size)
        x = noise(torch.empty(batch, 3, *canvas.padded_size, device=device))
        if image is not None:
            image = canvas.padded(image.to(device))
            last = torch.full((batch,), len(schedule) - 1, device=device)
            x = schedule.add_noise(image, last, x) if options.strength < 1 else x
        if mask is not None:
            mask = canvas.padded(feathered(mask, options.feather).to(device))
        label_noise = _label_noise(options.label_noise, seeds, draws)
        guidance = options.guidance if model.config.distilled_guidance is None else 1.0
        assert guidance is not None
        denoise = _in_precision(guided(denoiser, layout, guidance, label_noise), options, model)
        denoise = shaped(
            denoise,
            extrapolation=options.extrapolation,
            repeats=options.repeats,
            clip=bool(options.clip),
            dynamic_threshold=options.dynamic_threshold,
            colours=_colours(options, device),
        )
        if image is not None and mask is not None:
            denoise = inpainting(denoise, image, mask)
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
        "the image's numbers overflowed on the way: ask for less guidance, extrapolation or repeats"
        + (", for bfloat16 or float32 in place of float16" if options.precision == "float16" else "")
        + ", or look whether the model's weights are whole",
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


def _noise(given: Tensor | Noise | None, seeded: Noise, batch: int, size: tuple[int, int]) -> Noise:
    """The source of noise, which checks what it is given."""
    if given is None:
        return seeded
    if isinstance(given, Tensor):
        shape = tuple(given.shape)
        _require(
            shape in ((1, 3, *size), (batch, 3, *size)) and given.is_floating_point(),
            f"the noise must be floats of the shape (1 or {batch}, 3, {size[0]}, {size[1]}), not {given.dtype} {shape}",
        )
        _require(bool(given.isfinite().all()), "the noise holds NaN or infinite values")
        return beginning_with(given.expand(batch, -1, -1, -1), seeded)
    _require(
        callable(given), f"noise is a tensor or a function of one, like noise.image_noise([7]), not {shown(given)}"
    )

    return lambda like: sent(_as_asked(given(like), like.shape, "noise"), like.device).to(like.dtype)


def _as_asked(made: Any, shape: torch.Size, name: str) -> Tensor:
    """What a function of the user's made, if it is what it was asked for. Whether it is finite, only the host is asked."""
    found = f"{made.dtype} {tuple(made.shape)}" if isinstance(made, Tensor) else shown(made)
    _require(
        isinstance(made, Tensor) and made.shape == shape and made.is_floating_point(),
        f"the {name} must be floats of the shape that it is asked for, {tuple(shape)}, not {found}",
    )
    _require(made.device.type != "cpu" or bool(made.isfinite().all()), f"the {name} holds NaN or infinite values")
    return made


def _label_noise(kind: str | LabelNoise, seeds: Sequence[int], draws: Tensor) -> LabelNoise:
    if isinstance(kind, str):
        return mixed(LABEL_NOISE[kind], seeds, draws)
    return lambda t, shape: _as_asked(kind(t, shape), shape, "label noise")


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


def _checked_source(
    image: Tensor | None, mask: Tensor | None, batch: int, size: tuple[int, int]
) -> tuple[Tensor | None, Tensor | None]:
    """Image and mask fit the layout, and the mask chooses a part."""
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
