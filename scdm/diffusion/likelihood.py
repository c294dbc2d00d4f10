"""Gaussian divergences and likelihoods of the variational bound (Ho et al. 2020, section 3), elementwise and in nats."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gaussian_kl(mean1: Tensor, log_variance1: Tensor, mean2: Tensor, log_variance2: Tensor) -> Tensor:
    """KL(N(mean1, exp log_variance1) || N(mean2, exp log_variance2))."""
    return 0.5 * (
        log_variance2
        - log_variance1
        - 1
        + torch.exp(log_variance1 - log_variance2)
        + (mean1 - mean2) ** 2 * torch.exp(-log_variance2)
    )


def discretized_gaussian_log_likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log probability of 8-bit images x in [-1, 1] under a Gaussian with log standard deviation `log_scale`.

    Each of the 256 grey levels is a bin of half-width 1/255; the outermost two are open-ended.
    """
    inverse_scale = torch.exp(-log_scale)
    upper = _normal_cdf((x - mean + 1 / 255) * inverse_scale)
    lower = _normal_cdf((x - mean - 1 / 255) * inverse_scale)
    probability = torch.where(x < -0.999, upper, torch.where(x > 0.999, 1 - lower, upper - lower))
    return probability.clamp(min=1e-12).log()


def mean_bits(nats: Tensor) -> Tensor:
    """(B, ...) nats -> (B,) bits, the mean over a sample's elements."""
    return nats.flatten(1).mean(1) / math.log(2)


def _normal_cdf(z: Tensor) -> Tensor:
    """The tanh approximation that the published losses were computed with."""
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))
