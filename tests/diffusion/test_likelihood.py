"""The pieces of the variational bound: the published numbers, and the laws of probability."""

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from scdm.diffusion.likelihood import discretized_gaussian_log_likelihood, gaussian_kl, mean_bits
from tests.parity import arrays, deviation

MEANS, LOG_SCALES = st.floats(-1.5, 1.5), st.floats(-6, 2)


def double(*values: float) -> list[torch.Tensor]:
    return [torch.tensor([value], dtype=torch.float64) for value in values]


def test_likelihood_is_the_published_one() -> None:
    """Down to -5; the tails below are float32 cancellation in the published numbers."""
    golden = arrays("diffusion/likelihood")
    ours = discretized_gaussian_log_likelihood(golden["x"], golden["means"], golden["log_scales"])
    heard = golden["log_likelihood"] > -5
    assert heard.any()
    assert deviation(ours[heard], golden["log_likelihood"][heard]) <= 1e-3


def test_divergence_is_the_published_one() -> None:
    golden = arrays("diffusion/likelihood")
    ours = gaussian_kl(golden["kl_mean1"], golden["kl_logvar1"], golden["kl_mean2"], golden["kl_logvar2"])
    assert ((ours - golden["kl"]).abs() - 1e-5 * golden["kl"].abs()).max() <= 1e-5


@given(MEANS, LOG_SCALES)
def test_grey_levels_share_all_the_probability(mean: float, log_scale: float) -> None:
    levels = torch.arange(256, dtype=torch.float64) / 127.5 - 1
    log_p = discretized_gaussian_log_likelihood(levels, *double(mean, log_scale))
    assert abs(log_p.exp().sum().item() - 1) < 1e-6
    assert log_p.max() <= 0 and log_p.min() >= math.log(1e-12) - 1e-9


@given(MEANS, LOG_SCALES, MEANS, LOG_SCALES)
def test_divergence_is_torchs(mean1: float, log_scale1: float, mean2: float, log_scale2: float) -> None:
    """Not negative, nothing between equals, and what torch.distributions says."""
    m1, s1, m2, s2 = double(mean1, log_scale1, mean2, log_scale2)
    kl = gaussian_kl(m1, 2 * s1, m2, 2 * s2)
    normals = [torch.distributions.Normal(m, s.exp()) for m, s in ((m1, s1), (m2, s2))]
    torch.testing.assert_close(kl, torch.distributions.kl_divergence(*normals), rtol=1e-9, atol=1e-9)
    assert kl >= -1e-12
    assert gaussian_kl(m1, s1, m1, s1).abs() <= 1e-12


def test_bits_are_per_element() -> None:
    nats = torch.full((2, 3, 4, 4), math.log(2))
    assert deviation(mean_bits(nats), torch.ones(2)) <= 1e-6
