"""Samplers: from noise to an image, one step at a time.

All have one signature, `sampler(denoise, x, schedule, noise, **own options) -> Iterator[Step]`. `schedule` is the process
whose steps are taken (respaced to the steps wanted); x is drawn from its last step; `noise(like)` gives standard normal
draws. They read nothing of a prediction but x0, and the ancestral sampler its variance. The steps t that they hand to
`denoise` are on the host, so that nobody waits for the device.

A new sampler is a function here and a line in `SAMPLERS`. Its own options are keywords with an `Option`: from there
`GenerateOptions`, the command line and the nodes have them. Torch and NumPy are not imported here: `--help` reads this file.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from ..files.options import Declared, Option, declared

if TYPE_CHECKING:
    from torch import Tensor

    from ..devices import Table
    from .denoiser import Denoise, Prediction
    from .noise import Noise
    from .schedules import NoiseSchedule

Variance = Annotated[
    Literal["learned", "fixed_large", "fixed_small"],
    Option("variance of a step; fixed_large is beta, fixed_small the posterior's, learned is between", metavar="KIND"),
]
Eta = Annotated[
    float,
    Option(
        "share of fresh noise in each step; 0 is deterministic, 1 ancestral", ge=0, le=1, step=0.05, metavar="SHARE"
    ),
]
Repeats = Annotated[
    int,
    Option("times that each step is taken, so that the seam of a repainted part settles", ge=1, le=100, metavar="N"),
]


class Step(NamedTuple):
    """The state after step number `done` of the trajectory (from 1), which began at the original step `t`."""

    done: int
    t: int
    x: Tensor
    x0: Tensor


def ddpm(
    denoise: Denoise,
    x: Tensor,
    schedule: NoiseSchedule,
    noise: Noise,
    *,
    variance: Variance = "learned",
    repeats: Repeats = 1,
) -> Iterator[Step]:
    """Ancestral sampling (Ho et al. 2020, algorithm 2).

    variance: "learned" between the bounds (Nichol & Dhariwal 2021), "fixed_large" (beta) or "fixed_small" (posterior);
    a network that has not learned it is sampled with "fixed_large". `repeats`: see `_single_step`.
    """

    def advance(prediction: Prediction, x: Tensor, position: int) -> Tensor:
        index = schedule.index(position, x)
        mean = schedule.posterior_mean(prediction.x0, x, index)
        if position == 0:
            return mean
        return mean + (0.5 * step_log_variance(schedule, prediction, index, variance)).exp() * noise(x)

    return _single_step(denoise, x, schedule, noise, advance, repeats)


def step_log_variance(schedule: NoiseSchedule, prediction: Prediction, index: Tensor, variance: str) -> Tensor:
    """Log variance of the reverse step at `index`, broadcastable to x0."""
    if variance == "learned" and prediction.variance is not None:
        return schedule.learned_log_variance(prediction.variance, index)
    table = schedule.log_posterior if variance == "fixed_small" else schedule.log_fixed_large
    return schedule.at(table, index, prediction.x0)


def ddim(
    denoise: Denoise, x: Tensor, schedule: NoiseSchedule, noise: Noise, *, eta: Eta = 0.0, repeats: Repeats = 1
) -> Iterator[Step]:
    """Song et al. 2021, eq. 12: deterministic at eta 0, ancestral at eta 1. `repeats`: see `_single_step`."""
    fresh, kept = schedule.split_noise(eta)

    def advance(prediction: Prediction, x: Tensor, position: int) -> Tensor:
        index = schedule.index(position, x)
        mean = ddim_mean(schedule, prediction.x0, x, index, kept)
        if eta == 0 or position == 0:
            return mean
        return mean + schedule.at(fresh, index, x) * noise(x)

    return _single_step(denoise, x, schedule, noise, advance, repeats)


def ddim_mean(schedule: NoiseSchedule, x0: Tensor, x: Tensor, index: Tensor, kept: Table | None = None) -> Tensor:
    """Where a step from the positions `index` (B,) leads, but for fresh noise. kept: by position, how much noise of x's own
    the result holds; None is all that belongs there, so that none is to be added."""
    eps = schedule.eps_from_x0(x, index, x0)
    kept = schedule.sigma_prev if kept is None else kept
    return schedule.at(schedule.signal_prev, index, x) * x0 + schedule.at(kept, index, x) * eps


def dpmpp_2m(denoise: Denoise, x: Tensor, schedule: NoiseSchedule, noise: Noise) -> Iterator[Step]:
    """DPM-Solver++(2M), Lu et al. 2022, algorithm 2: second order from the last two predictions, deterministic."""
    return _multistep(denoise, x, schedule, None)


def dpmpp_2m_sde(denoise: Denoise, x: Tensor, schedule: NoiseSchedule, noise: Noise) -> Iterator[Step]:
    """SDE-DPM-Solver++(2M) (same paper, section on the SDE): the stochastic relative, midpoint form."""
    return _multistep(denoise, x, schedule, noise)


def unipc(denoise: Denoise, x: Tensor, schedule: NoiseSchedule, noise: Noise) -> Iterator[Step]:
    """UniPC of order 2, B(h) = e^h - 1 (Zhao et al. 2023): each new prediction first corrects the step that led to it."""
    x0s: list[Tensor] = []
    before = x
    for done, index in enumerate(reversed(range(len(schedule))), start=1):
        prediction = denoise(x, schedule.step(index, x)).x0
        if x0s:
            x = _unipc_correct(before, x0s, prediction, schedule, index)
        x0s = [prediction, *x0s[:1]]
        before, x = x, _second_order(x, x0s, schedule, index)
        yield Step(done, int(schedule.timesteps[index]), x, prediction)


SAMPLERS: dict[str, Callable[..., Iterator[Step]]] = {
    "ddpm": ddpm,
    "ddim": ddim,
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_2m_sde": dpmpp_2m_sde,
    "unipc": unipc,
}


def sampler_options() -> dict[str, Declared]:
    """The options that samplers declare, by name, each with its owners. ValueError if two declare one name differently."""
    owned = {sampler: declared(function) for sampler, function in SAMPLERS.items()}
    found = {name: setting for settings in owned.values() for name, setting in settings.items()}
    for sampler, settings in owned.items():
        if unlike := [name for name, setting in settings.items() if setting != found[name]]:
            raise ValueError(f"another sampler declares {unlike[0]} otherwise than {sampler}: choose another name")
    return {
        name: replace(setting, owners=tuple(sampler for sampler, settings in owned.items() if name in settings))
        for name, setting in found.items()
    }


def _single_step(
    denoise: Denoise,
    x: Tensor,
    schedule: NoiseSchedule,
    noise: Noise,
    advance: Callable[[Prediction, Tensor, int], Tensor],
    repeats: int,
) -> Iterator[Step]:
    """Single-step methods. With `repeats` above 1 each step is undone by fresh noise and taken again so many times in
    all, which lets the repainted part of an image settle with what surrounds it (RePaint, Lugmayr et al. 2022)."""
    for done, position in enumerate(reversed(range(len(schedule))), start=1):
        for repeat in range(repeats if position else 1):
            if repeat:
                beta = schedule.betas[position]
                x = math.sqrt(1 - beta) * x + math.sqrt(beta) * noise(x)
            prediction = denoise(x, schedule.step(position, x))
            x = advance(prediction, x, position)
        yield Step(done, int(schedule.timesteps[position]), x, prediction.x0)


def _multistep(denoise: Denoise, x: Tensor, schedule: NoiseSchedule, noise: Noise | None) -> Iterator[Step]:
    x0s: list[Tensor] = []
    for done, index in enumerate(reversed(range(len(schedule))), start=1):
        x0s = [denoise(x, schedule.step(index, x)).x0, *x0s[:1]]
        x = _second_order(x, x0s, schedule, index, noise)
        yield Step(done, int(schedule.timesteps[index]), x, x0s[0])


def _second_order(
    x: Tensor,
    x0s: list[Tensor],
    schedule: NoiseSchedule,
    index: int,
    noise: Noise | None = None,
) -> Tensor:
    """One step of DPM-Solver++(2M), from `index` to `index` - 1, given the latest predictions, newest first.

    The last step goes to the clean image, where the half log SNR is infinite and the step is the prediction itself.
    """
    if index == 0:
        return x0s[0]
    half_log_snr = schedule.half_log_snr
    h = half_log_snr[index - 1] - half_log_snr[index]
    x0 = x0s[0]
    if len(x0s) > 1:
        r = (half_log_snr[index] - half_log_snr[index + 1]) / h
        x0 = x0 + (x0 - x0s[1]) / (2 * r)
    signal, sigma, sigma_before = _signal(schedule, index - 1), _sigma(schedule, index - 1), _sigma(schedule, index)
    if noise is None:
        return sigma / sigma_before * x - signal * math.expm1(-h) * x0
    mean = sigma / sigma_before * math.exp(-h) * x - signal * math.expm1(-2 * h) * x0
    return mean + sigma * math.sqrt(-math.expm1(-2 * h)) * noise(x)


def _unipc_correct(before: Tensor, x0s: list[Tensor], x0: Tensor, schedule: NoiseSchedule, index: int) -> Tensor:
    """The step from `index` + 1 (state `before`, predictions `x0s`) to `index`, again, knowing the prediction x0 there."""
    import numpy as np

    half_log_snr = schedule.half_log_snr
    h = half_log_snr[index] - half_log_snr[index + 1]
    b = math.expm1(-h)
    slopes = [x0 - x0s[0]]
    weights = [0.5]
    if len(x0s) > 1:
        r = (half_log_snr[index + 2] - half_log_snr[index + 1]) / h
        slopes = [(x0s[1] - x0s[0]) / r, *slopes]
        phi = b / -h - 1
        conditions = [phi / b, 2 * (phi / -h - 0.5) / b]
        weights = np.linalg.solve([[1.0, 1.0], [r, 1.0]], conditions).tolist()
    correction = sum(weight * slope for weight, slope in zip(weights, slopes, strict=True))
    signal, sigma, sigma_before = _signal(schedule, index), _sigma(schedule, index), _sigma(schedule, index + 1)
    return sigma / sigma_before * before - signal * b * (x0s[0] + correction)


def _signal(schedule: NoiseSchedule, index: int) -> float:
    return math.sqrt(schedule.alphas_cumprod[index])


def _sigma(schedule: NoiseSchedule, index: int) -> float:
    return math.sqrt(1 - schedule.alphas_cumprod[index])
