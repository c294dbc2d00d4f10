"""From a layout to images: the one composition that the command line, the nodes and evaluation use."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..devices import AUTO, HALVES, PRECISIONS
from ..diffusion.denoiser import Denoise, Denoiser, Prediction
from ..diffusion.guidance import Colours, guided, released, shaped
from ..diffusion.inpainting import feathered, inpainting, paste
from ..diffusion.noise import LabelNoise, Noise, image_noise, mixed
from ..diffusion.padding import Padding
from ..diffusion.samplers import SAMPLERS, Step
from ..diffusion.schedules import NoiseSchedule
from ..diffusion.space import Space
from ..diffusion.upsampling import Upsampling, enlarged, enlarged_within, reduced
from ..files.untrusted import shown
from ..layouts.labels import LabelMap
from ..models.model import Model
from ..models.sizes import UnfamiliarSize
from .inputs import checked_draws, checked_size, checked_source, label_noise_of, noise_of, require, require_kinds
from .options import GenerateOptions

CHANGED = 0.4  # difference of colour, of [-1, 1], about which an image's own detail begins not to belong there

OVERFLOWED = (
    "the image overflowed: ask for less guidance, extrapolation or repeats, for float32 instead of float16, or look whether "
    "the model's weights are whole"
)


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
    noise: what the image is made from in place of the seed's. (1 or B, C, h, w) standard normal numbers of the model's
        space, (1 or B, 3, H, W) for pixels, to start from, after which the seed goes on; or a function like
        `noise.image_noise`, for the start and each step of a sampler that adds noise. It is asked for the size of the
        network's canvas: that of the layout, each side rounded up to a multiple of `model.config.stride`, two of them at
        least. Of a model with an upsampler, numbers are those of the small image (`Model.small_size`), and a function is
        asked for both sizes. Noise for labels is an option, `label_noise`.
    draws: (H, W) integers from 0 to add to the seed, so that one place can have other noise than the next; None is 0.
    on_step: called after every step with the step, whose x0 is a preview (B, 3, h, w), and their number; an exception from
        it stops the work.
    UnfamiliarSize warns of sizes far from those that the model was taught.
    ValueError for whole images of more than 2^25 pixels, for sizes that do not fit each other, for classes that are not the
        model's, and for an image that overflows.
    """
    options = GenerateOptions() if options is None else options
    require_kinds(model, options, labels)
    options = options.for_model(model)
    options.require_use(image is not None, mask is not None)
    if mask is None:
        options = replace(options, repeats=1)  # there is no seam to settle: more would only take longer
    labels = with_roughness(model, model.prepared(labels), options)
    batch, size = labels.batch, checked_size(labels, whole=mask is None)
    if far := model.config.taught.remark(size):
        warnings.warn(far, UnfamiliarSize, stacklevel=2)  # shown once for each caller and size
    image, mask = checked_source(image, mask, batch, size)
    draws = checked_draws(draws, size)
    given = _Given(image, mask, noise, draws)
    if model.small_size(size):
        return _whole(_made_small_first(model, labels, options, given, on_step))
    return _whole(_made(_Stage.of(model, options, given), labels, given, on_step))


class _Given(NamedTuple):
    """What an image is made from beside layout and options, see `generate`; checked. draws: (H, W)."""

    image: Tensor | None
    mask: Tensor | None
    noise: Tensor | Noise | None
    draws: Tensor


class _Stage(NamedTuple):
    """A model, and how it makes images: all of them, or of two stages one."""

    model: Model
    options: GenerateOptions
    schedule: NoiseSchedule
    denoiser: Denoiser

    @classmethod
    def of(cls, model: Model, options: GenerateOptions, given: _Given) -> _Stage:
        return cls(model, options, *_process(model, options, partial=given.image is not None))


OnStep = Callable[[Step, int], None]


def add_detail(
    model: Model,
    labels: LabelMap,
    small: Tensor,
    options: GenerateOptions | None = None,
    *,
    on_step: OnStep | None = None,
) -> Tensor:
    """The second stage of `generate` alone: images (B, 3, H, W) in [-1, 1] of the size of `labels`, with the detail that the
    model's upsampler adds to `small` (1 or B, 3, h, w) in [-1, 1], of about `Model.small_size`.

    Of the options it reads the seed, the precision and the roughness.
    ValueError for a model without an upsampler, for classes that are not the model's, and for what is no small image.
    """
    options = GenerateOptions() if options is None else options
    require_kinds(model, options, labels)
    upsampler, size = model.upsampler, (labels.height, labels.width)
    require(upsampler is not None, "this model has no upsampler, so there is no detail that it could add")
    assert upsampler is not None
    labels = with_roughness(model, model.prepared(labels), options.for_model(model))
    require(isinstance(small, Tensor) and small.ndim == 4, f"the image must be a tensor, not {shown(small)}")
    height, width = small.shape[-2:]
    low, _ = checked_source(small, None, labels.batch, (height, width))
    assert low is not None
    require(
        height <= size[0] and width <= size[1],
        f"the image is {width}x{height} and the layout {size[1]}x{size[0]}: detail is added to smaller images",
    )
    finishing = GenerateOptions(seed=options.seed, precision=options.precision).for_model(upsampler)
    given = _Given(None, None, None, checked_draws(None, size))
    return _whole(
        _made(_Stage.of(upsampler, finishing, given), labels, given, on_step, enlarged_within(low.clamp(-1, 1), labels))
    )


def _whole(images: Tensor) -> Tensor:
    """Images of the last stage, an ordinary tensor, which may be changed and learned from. ValueError if they overflowed."""
    require(bool(images.isfinite().all()), OVERFLOWED)
    return images.clamp(-1, 1)


def _made_small_first(
    model: Model, labels: LabelMap, options: GenerateOptions, given: _Given, on_step: OnStep | None
) -> Tensor:
    """A small image, to which the upsampler then adds detail.

    Both see the noise of the same seeds. In a part of an image that is kept, the small one is that image, reduced.

    At a strength below 1 the small image alone starts from the image. Given the image's detail with noise, an upsampler of
    two steps draws flecks; so it draws all detail anew. Of the image's own, which is what the image has beyond the detail
    drawn for its small one, as much is added as strength leaves, where the small image has stayed as it was.
    """
    upsampler, size = model.upsampler, (labels.height, labels.width)
    small = model.small_size(size)
    assert upsampler is not None and small is not None
    finishing = GenerateOptions(
        seed=options.seed, feather=options.feather, precision=options.precision, label_noise=options.label_noise
    ).for_model(upsampler)
    small_given = _reduced(given, small)
    first = _Stage.of(model, replace(options, feather=0), small_given)
    second = _Stage.of(upsampler, finishing, given)
    changes = given.image is not None and options.strength < 1
    before, each = len(first.schedule), len(second.schedule)
    steps = before + (2 * each if changes else each)
    low = _made(first, labels.reduced(*small), small_given, _counted(on_step, 0, steps, size)).clamp(-1, 1)
    given = given._replace(noise=_later(given.noise))

    def detailed(low: Tensor, done: int) -> Tensor:
        return _made(second, labels, given, _counted(on_step, done, steps, size), enlarged_within(low, labels))

    if not changes:
        return detailed(low, before)
    assert given.image is not None and small_given.image is not None
    was = small_given.image.cpu()
    own = given.image.cpu() - detailed(was, before)
    change = F.max_pool2d((low - was).abs().mean(1, keepdim=True), 3, stride=1, padding=1)
    kept = (1 - options.strength) / (1 + (change / CHANGED) ** 4)
    return detailed(low, before + each) + enlarged(kept, size) * own


def _made(stage: _Stage, labels: LabelMap, given: _Given, on_step: OnStep | None, low: Tensor | None = None) -> Tensor:
    """The images of one stage, not clamped, on the CPU. low: (B, 3, H, W) that an upsampler adds detail to."""
    model, options, schedule, denoiser = stage
    image, mask, noise, draws = given
    batch, size = labels.batch, (labels.height, labels.width)
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
        label_noise = label_noise_of(options.label_noise, seeds, draws)
        if low is not None:
            network = Upsampling(denoiser.network, canvas.padded(low.to(device)))
            denoiser = replace(denoiser, network=network)
        denoise = _denoise(model, denoiser, schedule, layout, label_noise, options)
        if image is not None:
            image = canvas.padded(image.to(device))
            known = space.encode(image)
            last = torch.full((batch,), len(schedule) - 1, device=device)
            x = schedule.add_noise(known, last, x) if options.strength < 1 else x
        if image is not None and mask is not None:
            mask = canvas.padded(feathered(mask, options.feather).to(device))
            denoise = inpainting(denoise, known, space.covered(mask))
        for step in SAMPLERS[str(options.sampler)](denoise, x, schedule, noise, **options.for_sampler()):
            x = step.x
            if on_step is not None:
                on_step(_shown(step, frame, space), len(schedule))
        x = space.decode(x)
        if image is not None and mask is not None:
            x = paste(x, image, mask)
        return canvas.cropped(x).float().cpu()


def _reduced(given: _Given, small: tuple[int, int]) -> _Given:
    """The same for a small image. Where any pixel of an area is repainted, all of it is."""
    image, mask, noise, draws = given
    rows, columns = (torch.arange(own) * length // own for own, length in zip(small, draws.shape, strict=True))
    return _Given(
        None if image is None else reduced(image, small),
        None if mask is None else F.adaptive_max_pool2d(mask, small),
        noise,
        draws[rows][:, columns],
    )


def _later(noise: Tensor | Noise | None) -> Noise | None:
    """Noise for the second stage: what is given as numbers was for the first."""
    return None if isinstance(noise, Tensor) else noise


def _counted(on_step: OnStep | None, before: int, steps: int, size: tuple[int, int]) -> OnStep | None:
    """`on_step` for a stage that begins after so many steps of all, its previews as large as the image."""
    if on_step is None:
        return None

    def told(step: Step, _: int) -> None:
        x0 = step.x0 if step.x0.shape[-2:] == size else enlarged(step.x0, size)
        on_step(step._replace(done=before + step.done, x0=x0), steps)

    return told


def with_roughness(model: Model, labels: LabelMap, options: GenerateOptions) -> LabelMap:
    """The layouts with the roughness that the options give, or say to estimate; without one for models that read none."""
    if options.roughness == "unknown" or not model.config.network.roughness:
        return replace(labels, roughness=None)
    if options.roughness == "auto":
        if labels.roughness is not None or model.roughness is None:
            return labels
        # Beyond the sizes that were taught outlines have steps of enlargement, which are no roughness of what was painted.
        size = model.config.taught.shrunk((labels.height, labels.width))
        return replace(labels, roughness=model.roughness(labels.reduced(*size)))
    given = torch.full((labels.batch,), float(options.roughness), device=labels.ids.device)
    return replace(labels, roughness=given)


def _shown(step: Step, frame: Padding, space: Space) -> Step:
    """A copy of a step, its samples without padding and its x0 as a preview: changes to it do not reach the sampler."""
    return step._replace(x=frame.cropped(step.x).clone(), x0=space.preview(frame.cropped(step.x0)).clone())


def _process(model: Model, options: GenerateOptions, partial: bool) -> tuple[NoiseSchedule, Denoiser]:
    """The steps to take, and the denoiser that knows them. At a strength below 1 only the last, least noisy ones."""
    config = (
        model.config if options.label_counting is None else replace(model.config, label_counting=options.label_counting)
    )
    denoiser = config.denoiser(model.network).respaced(options.steps or "")
    schedule = denoiser.schedule
    if partial and options.strength < 1:
        schedule = schedule.first(max(1, round(options.strength * len(schedule))))
    return schedule, denoiser


def _denoise(
    model: Model,
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    layout: LabelMap,
    label_noise: LabelNoise,
    options: GenerateOptions,
) -> Denoise:
    """The denoiser, guided by the layout as long as that is read, in the precision asked for, its prediction shaped."""
    guidance = options.guidance if model.config.distilled_guidance is None else None
    denoise = guided(denoiser, layout, guidance or 1.0, label_noise)
    read = max(1, round(options.layout_end * len(schedule)))
    if unread := len(schedule) - read:
        denoise = released(denoise, denoiser, int(schedule.timesteps[unread]))
    return shaped(
        _in_precision(denoise, options, model),
        model.space,
        extrapolation=options.extrapolation,
        repeats=options.repeats,
        clip=bool(options.clip),
        dynamic_threshold=options.dynamic_threshold,
        colours=_colours(options, model.device),
    )


def _in_precision(denoise: Denoise, options: GenerateOptions, model: Model) -> Denoise:
    """The network in half precision, if its weights are not there already. All else is always in float32."""
    dtype, device = PRECISIONS[options.precision], model.device.type
    if dtype not in HALVES or model.dtype in HALVES:
        return denoise  # autocast is not even asked for in float32: not every device has it
    try:
        autocast = torch.autocast(device, dtype)
    except RuntimeError as error:
        raise ValueError(
            f"torch cannot compute in {options.precision} here with weights in float32: leave the precision at {AUTO}, or "
            f"load the model with dtype={options.precision!r}"
        ) from error

    def denoise_coarsely(x: Tensor, t: Tensor) -> Prediction:
        with autocast:
            return denoise(x, t)

    return denoise_coarsely


def _colours(options: GenerateOptions, device: torch.device) -> Colours | None:
    if options.mean is None or options.std is None:
        return None
    return Colours(torch.tensor(options.mean, device=device), torch.tensor(options.std, device=device))
