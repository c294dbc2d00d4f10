"""The Frechet distance: the published numbers, Gaussians whose distance is known, and parts that add up."""

from __future__ import annotations

import pytest
import torch

from scdm.metrics import FrechetDistance
from tests.parity import arrays, facts, numbers


def distance(real: torch.Tensor, generated: torch.Tensor) -> FrechetDistance:
    found = FrechetDistance()
    found.update(real, real=True)
    found.update(generated, real=False)
    return found


@pytest.mark.parametrize("case", numbers("data/metrics"))
def test_distances_are_the_published_ones(case: int) -> None:
    golden = arrays("data/metrics", str(case))
    rows, columns = golden["feat1"].shape
    tolerance = 1e-6 if rows > columns else 1e-2  # of singular covariances
    found = distance(golden["feat1"], golden["feat2"]).compute()
    assert found == pytest.approx(facts("data/metrics")["frechet"][case], rel=tolerance)


def test_of_normal_features_along_the_axes_it_is_that_of_means_and_deviations() -> None:
    """|m1 - m2|^2 + sum (s1 - s2)^2; the four points of each set have exactly these moments."""
    corners = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]]) * (3 / 4) ** 0.5  # unit variance with N - 1
    real, generated = corners * torch.tensor([1.0, 3]), corners * torch.tensor([2.0, 5]) + torch.tensor([3.0, 4])
    assert distance(real, generated).compute() == pytest.approx(25 + 1 + 4)
    assert distance(real, real).compute() == pytest.approx(0, abs=1e-12)


def test_parts_add_up_to_the_whole_even_far_from_zero() -> None:
    generator = torch.Generator().manual_seed(0)
    real, generated = torch.randn(2, 60, 5, generator=generator, dtype=torch.float64) + 1e6
    generated += 0.1
    parts = FrechetDistance()
    for start in (0, 20, 40):
        parts.update(real[start : start + 20], real=True)
        parts.update(generated[start : start + 20], real=False)
    assert parts.compute() == pytest.approx(distance(real, generated).compute(), rel=1e-6)
    assert parts.real is not None and parts.real.count == 60


def test_a_distance_of_few_images_to_themselves_is_not_negative() -> None:
    """With fewer images than features covariances are singular, and rounding leaves less than nothing."""
    for seed in range(8):
        features = torch.randn(5, 32, generator=torch.Generator().manual_seed(seed))
        assert 0 <= distance(features, features).compute() < 1e-6


def test_what_cannot_be_measured_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two real and two generated"):
        FrechetDistance().compute()
    with pytest.raises(ValueError, match="at least two real"):
        distance(torch.zeros(1, 3), torch.zeros(5, 3)).compute()
    with pytest.raises(ValueError, match="NaN or infinite"):
        distance(torch.full((2, 3), torch.nan), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"not \(3,\)"):
        distance(torch.zeros(3), torch.zeros(3))
