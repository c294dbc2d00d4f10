"""Parametrisations: what the output of a network means, and what it is trained to say.

A new one is an entry of `PARAMETRIZATIONS`: losses, sampling, configurations and model files know it by its name. Free of
torch, so that settings can name them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from .schedules import NoiseSchedule


@dataclass(frozen=True)
class Parametrization:
    """At the positions `index` (B,) of a schedule:

    to_x0: (schedule, x_t, index, output) -> x0.
    target: (schedule, x0, index, noise) -> the output that has no error.
    loss_weight: (schedule, index) -> (B,), the factor of the squared error of the output; 1 as published. The weightings of
        `WEIGHTINGS` take its place.
    """

    to_x0: Callable[[NoiseSchedule, Tensor, Tensor, Tensor], Tensor]
    target: Callable[[NoiseSchedule, Tensor, Tensor, Tensor], Tensor]
    loss_weight: Callable[[NoiseSchedule, Tensor], Tensor | float] = lambda schedule, index: 1.0


PARAMETRIZATIONS: dict[str, Parametrization] = {
    "eps": Parametrization(
        to_x0=lambda schedule, x, index, eps: schedule.x0_from_eps(x, index, eps),
        target=lambda schedule, x0, index, noise: noise,
    ),
    "v": Parametrization(
        to_x0=lambda schedule, x, index, v: schedule.x0_from_v(x, index, v),
        target=lambda schedule, x0, index, noise: schedule.v_from(x0, index, noise),
    ),
    "x0": Parametrization(
        to_x0=lambda schedule, x, index, x0: x0,
        target=lambda schedule, x0, index, noise: x0,
    ),
    "flow": Parametrization(
        to_x0=lambda schedule, x, index, flow: schedule.x0_from_flow(x, index, flow),
        target=lambda schedule, x0, index, noise: noise - x0,
    ),
}


# Weights of the squared error of x0, by the signal-to-noise ratio (B,) and the logarithm of a limit to it, so that what the
# loss measures is a setting of its own, whatever the network predicts: the error of eps, of v, that of eps where there is
# much noise (Kingma & Gao 2023; Hoogeboom et al. 2024), that of eps until the ratio reaches the limit (min-SNR, Hang et al.
# 2023, whose limit is 5, of logarithm 1.61), and likewise with the squared error of x0 where the ratio is below 1.
WEIGHTINGS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "eps": lambda snr, limit: snr,
    "v": lambda snr, limit: snr + 1,
    "sigmoid": lambda snr, limit: snr * (limit - snr.log()).sigmoid(),
    "min_snr": lambda snr, limit: snr.clamp(max=math.exp(limit)),
    "truncated": lambda snr, limit: snr.clamp(1, math.exp(limit)),
}


def split(output: Tensor, channels: int) -> tuple[Tensor, Tensor | None]:
    """A network's output (B, C or 2C, H, W) as the signal that a parametrisation reads (B, C, H, W), and, from a network
    that learns it, the variance (B, C, H, W) as a fraction between its bounds (see `denoiser.Prediction`)."""
    signal, variance = output[:, :channels], output[:, channels:]
    return signal, variance if variance.shape[1] else None
