"""The one place where noise, labels and network meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from ..devices import sent
from ..layouts.labels import LabelMap
from ..networks import Network
from .label_diffusion import LabelDiffusion
from .likelihood import gaussian_kl, mean_bits
from .parametrization import PARAMETRIZATIONS, WEIGHTINGS, split
from .schedules import NoiseSchedule
from .space import PIXELS, Space


class Prediction(NamedTuple):
    """What is known of the clean sample, (B, C, H, W) in the channels of its space.

    x0: not clipped.
    variance: where between its bounds the variance of the next step lies, -1 to 1 (not clamped), or None if the network
        does not learn it; `NoiseSchedule.learned_log_variance` turns it into a number.
    """

    x0: Tensor
    variance: Tensor | None = None


# Everything that sampling asks of a model: x (B, C, H, W) at the original steps t (B,) -> Prediction. Samplers know t on
# the host and hand it in there, so that nobody has to ask the device.
Denoise = Callable[[Tensor, Tensor], Prediction]


class LossTerms(NamedTuple):
    """Per-sample means over all elements, (B,) each; `vb` in bits is None without learned variance."""

    total: Tensor
    mse: Tensor
    vb: Tensor | None = None


@dataclass(frozen=True)
class Denoiser:
    """A network, with what it is shown of a layout and what its output means: the same in training and in sampling.

    network: (x, t, labels or None) -> (B, C or 2C, H, W); for sampling also `encode` and `decode`.
    label_diffusion: None for plain SDM, which sees the clean layout at every step.
    prediction: a key of `PARAMETRIZATIONS`.
    space: where x and x0 live; it has C channels.
    height: of the whole images in pixels, where x are windows of them; None where they are whole.
    """

    network: Network
    schedule: NoiseSchedule
    label_diffusion: LabelDiffusion | None = None
    prediction: str = "eps"
    space: Space = PIXELS
    height: int | None = None

    @property
    def whole(self) -> dict[str, int]:
        """What a network is given beside x, t and labels."""
        return {} if self.height is None else {"height": self.height // self.space.stride}

    def respaced(self, spec: str | int) -> Denoiser:
        """The same model, visiting fewer steps."""
        schedule = self.schedule.respaced(spec)
        diffusion = self.label_diffusion and self.label_diffusion.respaced(schedule.timesteps)
        return replace(self, schedule=schedule, label_diffusion=diffusion)

    def diffused(self, labels: LabelMap, t: Tensor, u: Tensor | None) -> LabelMap:
        """The layout as the network sees it at t. `u` may be None only without label diffusion."""
        if self.label_diffusion is None:
            return labels
        if u is None:
            raise ValueError("label diffusion needs its uniform draws u (B, H, W)")
        return self.label_diffusion(labels, t, u, self.height)

    def split(self, output: Tensor) -> tuple[Tensor, Tensor | None]:
        """The network's output as signal and variance, (B, C, H, W) each; variance is None where it is not learned."""
        return split(output, self.space.channels)

    def x0(self, signal: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """The clean sample that a signal says, for x (B, C, H, W) at the original steps t (B,)."""
        index = self.schedule.index_of(sent(t, x.device))
        return PARAMETRIZATIONS[self.prediction].to_x0(self.schedule, x, index, signal)

    def __call__(self, x: Tensor, t: Tensor, labels: LabelMap, u: Tensor | None = None) -> Prediction:
        """x (B, C, H, W) at the original steps t (B,), clean labels and their uniform draws."""
        signal, variance = self.split(self.network(x, t, self.diffused(labels, t, u), **self.whole))
        return Prediction(self.x0(signal, x, t), variance)

    def loss(
        self,
        x0: Tensor,
        labels: LabelMap,
        t: Tensor,
        noise: Tensor,
        u: Tensor | None = None,
        *,
        objective: Literal["hybrid", "kl"] = "hybrid",
        vb_weight: float = 1.0,
        weighting: str = "output",
        log_snr_limit: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> LossTerms:
        """The training loss at the original steps t (B,) for clean samples (B, C, H, W).

        "hybrid" is L_simple + vb_weight * L_vb, the bound training only the variance (Nichol & Dhariwal 2021, eq. 16);
        "kl" is the bound alone, times the number of steps. ValueError for "kl" if the network does not learn the variance.
        weighting: what L_simple is: the squared error of the output ("output"), or that of x0 with one of `WEIGHTINGS`.
        class_weights: (num_classes + 1,) what the squared error at a pixel counts in L_simple, by the label that the network
            is shown there. It is given that label, so that its best output stays what it is without. None: all alike.
        """
        t = sent(t, x0.device)
        index, parametrization = self.schedule.index_of(t), PARAMETRIZATIONS[self.prediction]
        x = self.schedule.add_noise(x0, index, noise)
        shown = self.diffused(labels, t, u)
        signal, variance = self.split(self.network(x, t, shown, **self.whole).to(x.dtype))
        target = parametrization.target(self.schedule, x0, index, noise)
        mse = _squared_error(signal, target)
        counts = None if class_weights is None else class_weights[shown.resized(*x.shape[-2:]).ids][:, None]
        if weighting == "output":
            weighted = mse if counts is None else _squared_error(signal, target, counts)
            simple = weighted * parametrization.loss_weight(self.schedule, index)
        else:
            snr = self.schedule.at(self.schedule.inverse_sigma, index, mse) ** -2
            simple = WEIGHTINGS[weighting](snr, log_snr_limit) * _squared_error(self.x0(signal, x, t), x0, counts)
        if variance is None:
            if objective == "kl":
                raise ValueError("the objective kl needs a network that learns the variance: set learn_sigma")
            return LossTerms(simple, mse)
        predicted = self.x0(signal if objective == "kl" else signal.detach(), x, t)
        vb = self._variational_bound(Prediction(predicted, variance), x0, x, index)
        if objective == "kl":
            return LossTerms(vb * len(self.schedule), mse, vb)
        return LossTerms(simple + vb_weight * vb, mse, vb_weight * vb)

    def _variational_bound(self, prediction: Prediction, x0: Tensor, x: Tensor, index: Tensor) -> Tensor:
        """(B,) bits: KL(q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)), and at the first step -log p(x_0 | x_1)."""
        schedule = self.schedule
        assert prediction.variance is not None
        mean = schedule.posterior_mean(prediction.x0, x, index)
        log_variance = schedule.learned_log_variance(prediction.variance, index)
        true_mean = schedule.posterior_mean(x0, x, index)
        true_log_variance = schedule.at(schedule.log_posterior, index, x)
        kl = mean_bits(gaussian_kl(true_mean, true_log_variance, mean, log_variance))
        nll = mean_bits(-self.space.log_likelihood(x0, mean, log_variance / 2))
        return torch.where(index == 0, nll, kl)


def _squared_error(found: Tensor, target: Tensor, counts: Tensor | None = None) -> Tensor:
    """(B, C, H, W) -> (B,) means, of the elements as often as they count, (B, 1, H, W)."""
    error = (target - found) ** 2
    return (error if counts is None else error * counts).flatten(1).mean(1)
