"""From a model and a layout to a `Denoise`, and what may be done to its prediction of the clean image.

Each function takes a `Denoise` and returns one. `shaped` puts them in the published order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ..devices import exact_device, sent
from ..layouts.labels import LabelMap
from .denoiser import Denoise, Denoiser, Prediction
from .noise import LabelNoise
from .space import PIXELS, Space


class Colours(NamedTuple):
    """Mean and standard deviation of an image's red, green and blue, (3,) each, on the scale of [-1, 1]."""

    mean: Tensor
    std: Tensor


def guided(denoiser: Denoiser, labels: LabelMap, scale: float = 1.0, label_noise: LabelNoise | None = None) -> Denoise:
    """Classifier-free guidance: null + scale * (conditional - null), the null being the all-MASK layout.

    At a scale of 1 or below there is no guidance and only one network call, as published. The variance is the conditional
    branch's. Both branches share the encoder, which never sees a layout. `label_noise` is needed with label diffusion.
    """

    def denoise(x: Tensor, t: Tensor) -> Prediction:
        u = None
        if denoiser.label_diffusion and label_noise:
            u = sent(label_noise(t, labels.ids.shape), x.device)
        return guided_step(denoiser, labels, scale, x, sent(t, exact_device(x.device)), u)

    return denoise


def guided_step(
    denoiser: Denoiser, labels: LabelMap, scale: float, x: Tensor, t: Tensor, u: Tensor | None
) -> Prediction:
    """A step of `guided` for given draws u (B, H, W): a function of tensors alone, which compiles whole."""
    network = denoiser.network
    features = network.encode(x, t, **denoiser.whole)
    signal, variance = denoiser.split(network.decode(features, denoiser.diffused(labels, t, u)).to(x.dtype))
    if scale > 1:
        null, _ = denoiser.split(network.decode(features, None).to(x.dtype))
        signal = null + scale * (signal - null)
    return Prediction(denoiser.x0(signal, x, t), variance)


def released(denoise: Denoise, denoiser: Denoiser, last: int) -> Denoise:
    """Without a layout at the original steps below `last`, where noise is weakest, and `denoise` before."""

    def denoise_until(x: Tensor, t: Tensor) -> Prediction:
        if int(t[0]) >= last:
            return denoise(x, t)
        t = sent(t, exact_device(x.device))
        signal, variance = denoiser.split(denoiser.network(x, t, None).to(x.dtype))
        return Prediction(denoiser.x0(signal, x, t), variance)

    return denoise_until


def shaped(
    denoise: Denoise,
    space: Space = PIXELS,
    *,
    extrapolation: float = 0.0,
    repeats: int = 1,
    clip: bool = True,
    dynamic_threshold: float | None = None,
    colours: Colours | None = None,
) -> Denoise:
    """What the options make of a (guided) prediction, in the published order: extrapolated, then thresholded or else
    clipped to the bound of the space, then held to colours. For one trajectory (`extrapolated`)."""
    if extrapolation:
        denoise = extrapolated(denoise, extrapolation, repeats)
    if dynamic_threshold is not None:
        denoise = thresholded(denoise, dynamic_threshold, space)
    elif clip:
        denoise = clipped(denoise, space)
    return denoise if colours is None else colour_matched(denoise, *colours, space)


def extrapolated(denoise: Denoise, weight: float, repeats: int = 1) -> Denoise:
    """x0 + weight * (x0 - x0 of the step before).

    repeats: how many calls in succession are one step, taken again and again (`samplers.ddpm`). To each of them the step
        before is the one that was visited before, in its last form: a repeat does not run ahead of the repeat before it.
    Remembers one trajectory: make a new one for every trajectory.
    """
    calls = 0
    before: Tensor | None = None  # the prediction of the step before
    latest: Tensor | None = None

    def extrapolate(x0: Tensor) -> Tensor:
        nonlocal calls, before, latest
        if calls % repeats == 0:
            before = latest
        calls += 1
        latest = x0 if before is None else x0 + weight * (x0 - before)
        return latest

    return _changing_x0(denoise, extrapolate)


def clipped(denoise: Denoise, space: Space = PIXELS) -> Denoise:
    """x0 kept within the bound of the space; as it is where there is none."""
    return _changing_x0(denoise, space.clipped)


def thresholded(denoise: Denoise, quantile: float, space: Space = PIXELS) -> Denoise:
    """Dynamic thresholding of x0 (Saharia et al. 2022), see `dynamic_threshold`; none in a space without a bound."""
    bound = space.bound
    return denoise if bound is None else _changing_x0(denoise, lambda x0: dynamic_threshold(x0, quantile, bound))


def colour_matched(denoise: Denoise, mean: Tensor, std: Tensor, space: Space = PIXELS) -> Denoise:
    """x0 whose image has the colour statistics `mean` and `std` (3,), see `match_colours`."""
    return _changing_x0(denoise, lambda x0: space.encode(match_colours(space.decode(x0), mean, std)))


def dynamic_threshold(x0: Tensor, quantile: float, bound: float = 1.0) -> Tensor:
    """Each sample clamped to [-s, s], s its own quantile of |x0|, `bound` at least, and then scaled by bound / s."""
    s = torch.stack([_quantile(sample, quantile) for sample in x0.abs().flatten(1)]).clamp(min=bound)
    s = s[:, None, None, None]
    return torch.minimum(torch.maximum(x0, -s), s) / (s / bound)


def _quantile(values: Tensor, share: float) -> Tensor:
    """Of (N,) values, interpolated; `torch.quantile` without its limit of 2^24 values."""
    ordered = values.sort().values
    place = share * (len(values) - 1)
    low = int(place)
    return torch.lerp(ordered[low], ordered[min(low + 1, len(values) - 1)], place - low)


def match_colours(x0: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Each channel of the images x0 (B, 3, H, W) moved and scaled to mean and std (3,) over height and width."""
    own_std, own_mean = torch.std_mean(x0, dim=(2, 3), keepdim=True)
    mean, std = (v.to(x0).view(1, -1, 1, 1) for v in (mean, std))
    return (x0 - own_mean) / own_std * std + mean


def _changing_x0(denoise: Denoise, change: Callable[[Tensor], Tensor]) -> Denoise:
    def changed(x: Tensor, t: Tensor) -> Prediction:
        prediction = denoise(x, t)
        return prediction._replace(x0=change(prediction.x0))

    return changed
