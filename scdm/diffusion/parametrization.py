"""Parametrisations: what the output of a network means, and what it is trained to say.

A new one is an entry of `PARAMETRIZATIONS`: losses, sampling, configurations and model files know it by its name. Free of
torch, so that settings can name them.
"""

from __future__ import annotations

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
    gain: (signal-to-noise ratio (B,)) -> (B,), the squared error of the output for a squared error of 1 of x0.
    """

    to_x0: Callable[[NoiseSchedule, Tensor, Tensor, Tensor], Tensor]
    target: Callable[[NoiseSchedule, Tensor, Tensor, Tensor], Tensor]
    gain: Callable[[Tensor], Tensor]


def torch_ones(snr: Tensor) -> Tensor:
    return snr * 0 + 1


PARAMETRIZATIONS: dict[str, Parametrization] = {
    "eps": Parametrization(
        to_x0=lambda schedule, x, index, eps: schedule.x0_from_eps(x, index, eps),
        target=lambda schedule, x0, index, noise: noise,
        gain=lambda snr: snr,
    ),
    "v": Parametrization(
        to_x0=lambda schedule, x, index, v: schedule.x0_from_v(x, index, v),
        target=lambda schedule, x0, index, noise: schedule.v_from(x0, index, noise),
        gain=lambda snr: snr + 1,
    ),
    "x0": Parametrization(
        to_x0=lambda schedule, x, index, x0: x0,
        target=lambda schedule, x0, index, noise: x0,
        gain=torch_ones,
    ),
}


# Weights of the squared error of x0 by the signal-to-noise ratio (B,), and a bias: what the loss measures, whatever the
# network puts out. "output" is the squared error of the output, as published.
WEIGHTINGS: dict[str, Callable[[Tensor, float], Tensor] | None] = {
    "output": None,
    "eps": lambda snr, bias: snr,
    "v": lambda snr, bias: snr + 1,
    "sigmoid": lambda snr, bias: snr * (bias - snr.log()).sigmoid(),
}


def split(output: Tensor, channels: int) -> tuple[Tensor, Tensor | None]:
    """A network's output (B, C or 2C, H, W) as the signal that a parametrisation reads (B, C, H, W), and, from a network
    that learns it, the variance (B, C, H, W) as a fraction between its bounds (see `denoiser.Prediction`)."""
    signal, variance = output[:, :channels], output[:, channels:]
    return signal, variance if variance.shape[1] else None
