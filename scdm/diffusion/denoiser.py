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
from .likelihood import discretized_gaussian_log_likelihood, gaussian_kl, mean_bits
from .schedules import NoiseSchedule

PREDICTIONS = ("eps", "v", "x0")


class Prediction(NamedTuple):
    """What is known of the clean image.

    x0: (B, 3, H, W), not clipped.
    variance: (B, 3, H, W) where between its bounds the variance of the next step lies, -1 to 1 (not clamped), or None
        if the network does not learn it; `NoiseSchedule.learned_log_variance` turns it into a number.
    """

    x0: Tensor
    variance: Tensor | None = None


# Everything that sampling asks of a model: x (B, 3, H, W) at the original steps t (B,) -> Prediction. Samplers know on the
# host where they are and hand in a t that is there, so that nobody has to ask the device.
Denoise = Callable[[Tensor, Tensor], Prediction]


class LossTerms(NamedTuple):
    """Per-sample means over all elements, (B,) each; `vb` in bits is None without learned variance."""

    total: Tensor
    mse: Tensor
    vb: Tensor | None = None


@dataclass(frozen=True)
class Denoiser:
    """A network, with what it is shown of a layout and what its output means: the same in training and in sampling.

    network: (x, t, labels or None) -> (B, 3 or 6, H, W); for sampling also `encode` and `decode`.
    label_diffusion: None for plain SDM, whose layout stands still.
    prediction: what the network's first three channels mean.
    """

    network: Network
    schedule: NoiseSchedule
    label_diffusion: LabelDiffusion | None = None
    prediction: Literal["eps", "v", "x0"] = "eps"

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            raise ValueError(f"prediction must be one of {', '.join(PREDICTIONS)}, not {self.prediction!r}")

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
        return self.label_diffusion(labels, t, u)

    def interpret(self, output: Tensor, x: Tensor, t: Tensor) -> Prediction:
        """The network's output as a prediction of the clean image."""
        index = self.schedule.index_of(sent(t, x.device))
        signal, variance = output[:, :3], output[:, 3:] if output.shape[1] == 6 else None
        if self.prediction == "eps":
            return Prediction(self.schedule.x0_from_eps(x, index, signal), variance)
        if self.prediction == "v":
            return Prediction(self.schedule.x0_from_v(x, index, signal), variance)
        return Prediction(signal, variance)

    def __call__(self, x: Tensor, t: Tensor, labels: LabelMap, u: Tensor | None = None) -> Prediction:
        """x (B, 3, H, W) at the original steps t (B,), clean labels and their uniform draws."""
        return self.interpret(self.network(x, t, self.diffused(labels, t, u)), x, t)

    def loss(
        self,
        image: Tensor,
        labels: LabelMap,
        t: Tensor,
        noise: Tensor,
        u: Tensor | None = None,
        *,
        objective: Literal["hybrid", "kl"] = "hybrid",
        vb_weight: float = 1.0,
    ) -> LossTerms:
        """The training loss at the original steps t (B,) for clean images (B, 3, H, W) in [-1, 1].

        "hybrid" is L_simple + vb_weight * L_vb, the bound training only the variance (Nichol & Dhariwal 2021, eq. 16);
        "kl" is the bound alone, times the number of steps. ValueError if the network does not learn the variance, of which
        the bound is.
        """
        t = sent(t, image.device)
        index = self.schedule.index_of(t)
        x = self.schedule.add_noise(image, index, noise)
        output = self.network(x, t, self.diffused(labels, t, u)).to(x.dtype)
        signal = output[:, :3]
        if output.shape[1] == 3 and objective == "kl":
            raise ValueError(
                "the objective kl is the bound on the likelihood, which needs a network that learns the variance: set "
                "learn_sigma, or choose the objective hybrid"
            )
        mse = ((self._target(image, noise, index) - signal) ** 2).flatten(1).mean(1)
        if output.shape[1] == 3:
            return LossTerms(mse, mse)
        if objective == "kl":
            vb = self._variational_bound(output, image, x, t)
            return LossTerms(vb * len(self.schedule), mse, vb)
        vb = vb_weight * self._variational_bound(torch.cat([signal.detach(), output[:, 3:]], dim=1), image, x, t)
        return LossTerms(mse + vb, mse, vb)

    def _target(self, image: Tensor, noise: Tensor, index: Tensor) -> Tensor:
        if self.prediction == "eps":
            return noise
        if self.prediction == "x0":
            return image
        return self.schedule.v_from(image, index, noise)

    def _variational_bound(self, output: Tensor, image: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """(B,) bits: how far the model's step is from the true posterior; at the first step, the image's likelihood."""
        schedule, index = self.schedule, self.schedule.index_of(t)
        prediction = self.interpret(output, x, t)
        assert prediction.variance is not None  # 6 channels
        mean = schedule.posterior_mean(prediction.x0, x, index)
        log_variance = schedule.learned_log_variance(prediction.variance, index)
        true_mean = schedule.posterior_mean(image, x, index)
        true_log_variance = schedule.at(schedule.log_posterior, index, x)
        kl = mean_bits(gaussian_kl(true_mean, true_log_variance, mean, log_variance))
        nll = mean_bits(-discretized_gaussian_log_likelihood(image, mean, log_variance / 2))
        return torch.where(index == 0, nll, kl)
