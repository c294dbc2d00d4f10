"""Noise schedules: how much of the image is left at each step, and which steps are visited."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ..devices import Table, sent
from ..files.untrusted import shown


def linear_betas(steps: int = 1000) -> np.ndarray:
    """DDPM's schedule (Ho et al. 2020), scaled so that any number of steps spans the same noise. (steps,) float64.

    ValueError below 21 steps, of which one would have to add all noise there is, or more.
    """
    if steps <= 20:
        raise ValueError(f"a linear noise schedule has at least 21 steps, not {steps}: a cosine one may have fewer")
    return np.linspace(0.0001 * 1000 / steps, 0.02 * 1000 / steps, steps)


def cosine_betas(steps: int = 1000) -> np.ndarray:
    """Nichol & Dhariwal 2021, eq. 17, betas capped at 0.999. (steps,) float64."""
    s = np.arange(steps + 1) / steps
    f = np.cos((s + 0.008) / 1.008 * math.pi / 2) ** 2
    return np.minimum(1 - f[1:] / f[:-1], 0.999)


def flow_betas(steps: int = 1000) -> np.ndarray:
    """Those of rectified flow, x_t = (1 - t) x_0 + t noise (Liu et al. 2022; Lipman et al. 2022), at the times
    t = 1 / (steps + 1), ..., steps / (steps + 1). (steps,) float64.

    The process here is x_t / sqrt((1 - t)^2 + t^2), of the same signal-to-noise ratio: variances are kept, as everywhere in
    this library. DDIM's steps through it are Euler's through the flow.
    """
    t = np.arange(1, steps + 1) / (steps + 1)
    kept = (1 - t) ** 2 / ((1 - t) ** 2 + t**2)
    return 1 - kept / np.append(1.0, kept[:-1])


def shifted(betas: np.ndarray, shift: float) -> np.ndarray:
    """The betas (N,) of the process whose signal-to-noise ratio is shift^2 times that of `betas` at every step."""
    kept = np.cumprod(1 - betas)
    kept = kept * shift**2 / (kept * shift**2 + 1 - kept)
    return 1 - kept / np.append(1.0, kept[:-1])


BETAS = {"linear": linear_betas, "cosine": cosine_betas, "flow": flow_betas}


class NoiseSchedule:
    """q(x_t | x_0) = N(sqrt(A_t) x_0, (1 - A_t) I) over the steps that a process visits.

    betas: (N,) in (0, 1]. timesteps: (N,) the visited steps on the original scale 0..T-1, ascending, which the network and
    the label diffusion read. Arrays are float64, by position 0..N-1 in that list. What a step of sampling reads is a
    `Table`, which keeps a copy on each device: nothing is computed twice, sent twice or read back.

    signal, sigma: sqrt(A_t) and sqrt(1 - A_t); signal_prev, sigma_prev: the same of the step before.
    inverse_signal, inverse_sigma: sqrt(1 / A_t) and sqrt(1 / A_t - 1).
    log_beta, log_posterior, log_fixed_large: log variances of a reverse step.
    """

    def __init__(self, betas: np.ndarray, timesteps: Sequence[int] | np.ndarray | None = None):
        self.betas = np.asarray(betas, dtype=np.float64)
        self.timesteps = np.arange(len(self.betas)) if timesteps is None else np.asarray(timesteps, dtype=np.int64)
        self._tabulate()

    def _tabulate(self) -> None:
        # At once, not on demand: a compiled step must find them.
        a, a_prev = self.alphas_cumprod, self.alphas_cumprod_prev
        with np.errstate(divide="ignore"):  # a beta of 1 leaves no signal, which has no inverse
            self.signal, self.sigma = Table(np.sqrt(a)), Table(np.sqrt(1 - a))  # the shares of x0 and of noise in x_t
            self.signal_prev, self.sigma_prev = Table(np.sqrt(a_prev)), Table(np.sqrt(1 - a_prev))
            self.inverse_signal, self.inverse_sigma = Table(np.sqrt(1 / a)), Table(np.sqrt(1 / a - 1))
            self.log_beta, self.log_posterior = Table(np.log(self.betas)), Table(self.posterior_log_variance)
        # beta, but the second step's posterior variance at the first step, as published: the first posterior variance is 0.
        second = self.posterior_variance[1] if len(self) > 1 else self.betas[0]
        self.log_fixed_large = Table(np.log(np.append(second, self.betas[1:])))
        self._posterior_x0, self._posterior_xt = Table(self.posterior_mean_coef_x0), Table(self.posterior_mean_coef_xt)
        self._visits = Table(self.timesteps)

    @classmethod
    def named(cls, name: str, steps: int = 1000, shift: float = 1.0) -> NoiseSchedule:
        """One of `BETAS`, its signal-to-noise ratio times shift^2 at every step.

        Images of d times the base's side that are shifted by 1 / d lose their large structures at the same steps as those of
        the base (Hoogeboom et al. 2023, eq. 8).
        """
        betas = BETAS[name](steps)
        return cls(betas if shift == 1 else shifted(betas, shift))

    def __len__(self) -> int:
        return len(self.betas)

    @cached_property
    def alphas_cumprod(self) -> np.ndarray:
        """A_t, the share of the signal's variance that is left."""
        return np.cumprod(1 - self.betas)

    @cached_property
    def alphas_cumprod_prev(self) -> np.ndarray:
        return np.append(1.0, self.alphas_cumprod[:-1])

    @cached_property
    def half_log_snr(self) -> np.ndarray:
        """log(sqrt(A_t) / sqrt(1 - A_t)), the time in which multistep solvers measure a step."""
        return 0.5 * np.log(self.alphas_cumprod / (1 - self.alphas_cumprod))

    @cached_property
    def posterior_variance(self) -> np.ndarray:
        """Variance of q(x_{t-1} | x_t, x_0); 0 at the first step."""
        return self.betas * (1 - self.alphas_cumprod_prev) / (1 - self.alphas_cumprod)

    @cached_property
    def posterior_log_variance(self) -> np.ndarray:
        """Its logarithm, the first entry (log 0) replaced by the second, as published.

        A process of one step has no second entry. Its step adds no noise, so that beta may replace it.
        """
        second = self.posterior_variance[1] if len(self) > 1 else self.betas[0]
        return np.log(np.append(second, self.posterior_variance[1:]))

    @cached_property
    def posterior_mean_coef_x0(self) -> np.ndarray:
        return self.betas * np.sqrt(self.alphas_cumprod_prev) / (1 - self.alphas_cumprod)

    @cached_property
    def posterior_mean_coef_xt(self) -> np.ndarray:
        return (1 - self.alphas_cumprod_prev) * np.sqrt(1 - self.betas) / (1 - self.alphas_cumprod)

    def respaced(self, spec: str | int | Sequence[int]) -> NoiseSchedule:
        """The shorter process that visits only the steps chosen by `spec` (see `visited_steps`).

        Its betas are 1 - A_kept / A_previous_kept, so q(x_t | x_0) at the kept steps is unchanged.
        """
        kept = visited_steps(len(self), spec)
        alphas_cumprod = self.alphas_cumprod[kept]
        return NoiseSchedule(1 - alphas_cumprod / np.append(1.0, alphas_cumprod[:-1]), self.timesteps[kept])

    def first(self, count: int) -> NoiseSchedule:
        """The process that starts `count` steps from the clean image."""
        return NoiseSchedule(self.betas[:count], self.timesteps[:count])

    def at(self, table: Table, index: Tensor, like: Tensor) -> Tensor:
        """`table` at the (B,) positions `index`, as (B, 1, ..., 1) of `like`'s rank, type and device."""
        values = table.on(like.dtype, like.device)[sent(index, like.device)]
        return values.view(-1, *[1] * (like.ndim - 1))

    def index(self, position: int, like: Tensor) -> Tensor:
        """(B,) the position, beside `like`."""
        return torch.full((len(like),), position, device=like.device)

    def step(self, position: int, like: Tensor) -> Tensor:
        """(B,) the original step at a position, on the host."""
        return torch.full((len(like),), int(self.timesteps[position]), device="cpu")

    def split_noise(self, eta: float) -> tuple[Table, Table]:
        """How much fresh noise a reverse step adds at `eta`, and how much it keeps of x_t's (Song et al. 2021, eq. 16)."""
        a, a_prev = self.alphas_cumprod, self.alphas_cumprod_prev
        sigmas = eta * np.sqrt((1 - a_prev) / (1 - a)) * np.sqrt(1 - a / a_prev)
        return Table(sigmas), Table(np.sqrt(np.maximum(1 - a_prev - sigmas**2, 0)))

    def index_of(self, t: Tensor) -> Tensor:
        """Positions of the original steps t (B,) in this process."""
        return self._visits.index_of(t)

    def steps_at(self, index: Tensor) -> Tensor:
        """The original steps at the positions `index` (B,) of this process."""
        return self._visits.on(torch.int64, index.device)[index]

    def add_noise(self, x0: Tensor, index: Tensor, noise: Tensor) -> Tensor:
        """x_t = sqrt(A_t) x0 + sqrt(1 - A_t) noise."""
        return self.at(self.signal, index, x0) * x0 + self.at(self.sigma, index, x0) * noise

    def x0_from_eps(self, x: Tensor, index: Tensor, eps: Tensor) -> Tensor:
        """x0 = sqrt(1/A_t) x_t - sqrt(1/A_t - 1) eps."""
        return self.at(self.inverse_signal, index, x) * x - self.at(self.inverse_sigma, index, x) * eps

    def x0_from_v(self, x: Tensor, index: Tensor, v: Tensor) -> Tensor:
        """x0 = sqrt(A_t) x_t - sqrt(1 - A_t) v, with v = sqrt(A_t) eps - sqrt(1 - A_t) x0 (Salimans & Ho 2022)."""
        return self.at(self.signal, index, x) * x - self.at(self.sigma, index, x) * v

    def x0_from_flow(self, x: Tensor, index: Tensor, flow: Tensor) -> Tensor:
        """x0 = (x_t - sqrt(1 - A_t) flow) / (sqrt(A_t) + sqrt(1 - A_t)), with flow = eps - x0, the velocity of rectified
        flow (Liu et al. 2022)."""
        signal, sigma = self.at(self.signal, index, x), self.at(self.sigma, index, x)
        return (x - sigma * flow) / (signal + sigma)

    def v_from(self, x0: Tensor, index: Tensor, eps: Tensor) -> Tensor:
        """v = sqrt(A_t) eps - sqrt(1 - A_t) x0."""
        return self.at(self.signal, index, x0) * eps - self.at(self.sigma, index, x0) * x0

    def eps_from_x0(self, x: Tensor, index: Tensor, x0: Tensor) -> Tensor:
        """eps = (sqrt(1/A_t) x_t - x0) / sqrt(1/A_t - 1)."""
        return (self.at(self.inverse_signal, index, x) * x - x0) / self.at(self.inverse_sigma, index, x)

    def posterior_mean(self, x0: Tensor, x: Tensor, index: Tensor) -> Tensor:
        """Mean of q(x_{t-1} | x_t, x_0)."""
        return self.at(self._posterior_x0, index, x) * x0 + self.at(self._posterior_xt, index, x) * x

    def learned_log_variance(self, fraction: Tensor, index: Tensor) -> Tensor:
        """Log variance between the posterior's (fraction -1) and beta's (fraction 1) (Nichol & Dhariwal 2021, eq. 15)."""
        low = self.at(self.log_posterior, index, fraction)
        high = self.at(self.log_beta, index, fraction)
        f = (fraction + 1) / 2
        return f * high + (1 - f) * low


def visited_steps(steps: int, spec: str | int | Sequence[int]) -> np.ndarray:
    """Which of the steps 0..steps-1 a shortened process visits, ascending int64.

    A count or a list of counts ("25", "10,15,25", [10, 15, 25]) spreads each count evenly over its equal section, ends
    included. "ddim25" takes the smallest whole stride that gives exactly 25 steps from 0. "trailing4" takes 4 equal strides
    that begin at the last step (Lin et al. 2024, table 2), as sampling from pure noise needs; "quadratic4" begins there too,
    and its strides shrink towards 0 in proportion to the root of the step (Song et al. 2021, appendix D.3), so that the last
    of few steps has little noise left to remove. "" keeps all.
    ValueError where the request cannot be met.
    """
    if isinstance(spec, str):
        spec = spec.strip()
        if not spec:
            return np.arange(steps)
        for prefix, visits in (
            ("ddim", _strided_steps),
            ("trailing", _trailing_steps),
            ("quadratic", _quadratic_steps),
        ):
            if spec.startswith(prefix):
                return visits(steps, _count(spec.removeprefix(prefix), spec))
        counts = [_count(part, spec) for part in spec.split(",")]
    else:
        counts = [spec] if isinstance(spec, int) else list(spec)
    length, longer = divmod(steps, max(1, len(counts)))
    visited, start = [], 0
    for section, count in enumerate(counts or [0]):
        size = length + (section < longer)
        visited += [start + step for step in _spread(size, count)]
        start += size
    return np.array(visited, dtype=np.int64)


def _count(text: str, spec: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(
            f"steps must look like 25, ddim25, trailing4, quadratic4 or 10,15,25, not {shown(spec)}"
        ) from None


def _strided_steps(steps: int, count: int) -> np.ndarray:
    for stride in range(1, steps + 1):
        if len(range(0, steps, stride)) == count:
            return np.arange(0, steps, stride)
    raise ValueError(f"no whole stride through {steps} steps visits exactly {count} of them")


def _trailing_steps(steps: int, count: int) -> np.ndarray:
    _require_within(count, steps)
    return np.round(steps - steps / count * np.arange(count)).astype(np.int64)[::-1] - 1


def _quadratic_steps(steps: int, count: int) -> np.ndarray:
    _require_within(count, steps)
    ends = np.round(steps * (np.arange(1, count + 1) / count) ** 2).astype(np.int64)  # of 4: 1/16, 4/16, 9/16, 1
    return np.maximum(ends, np.arange(1, count + 1)) - 1  # distinct, however short the process


def _spread(length: int, count: int) -> list[int]:
    _require_within(count, length)
    # The published rule accumulates the stride in double precision and rounds ties to even; both are visible in the result.
    stride = (length - 1) / (count - 1) if count > 1 else 1
    position, steps = 0.0, []
    for _ in range(count):
        steps.append(round(position))
        position += stride
    return steps


def _require_within(count: int, length: int) -> None:
    if not 1 <= count <= length:
        raise ValueError(
            f"cannot take {count} steps of a section of {length}: take at least 1, and no more than it has"
        )
