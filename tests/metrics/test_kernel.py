"""The kernel distance: against sums over pairs written out, without bias, and the same for the same seed."""

from __future__ import annotations

import itertools

import pytest
import torch

from scdm.metrics import KernelDistance


def distance(real: torch.Tensor, generated: torch.Tensor, **settings: int) -> KernelDistance:
    found = KernelDistance(**settings)
    found.update(real, real=True)
    found.update(generated, real=False)
    return found


def features(count: int, seed: int, width: int = 4) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def test_it_is_the_mean_over_pairs() -> None:
    real, generated = features(5, 0).double(), features(5, 1).double() + 0.5

    def mean(pairs) -> float:
        kernels = [(float(x @ y) / 4 + 1) ** 3 for x, y in pairs]
        return sum(kernels) / len(kernels)

    expected = mean(itertools.permutations(real, 2)) + mean(itertools.permutations(generated, 2))
    expected -= 2 * mean(itertools.product(real, generated))
    found = distance(real, generated).compute()
    assert found.mean == pytest.approx(expected)
    assert found.spread == pytest.approx(0, abs=1e-12)  # every subset is the whole


def test_it_is_around_zero_for_images_of_one_kind_however_few() -> None:
    found = distance(features(400, 0), features(400, 1), subsets=200, size=20).compute()
    assert abs(found.mean) < 0.1 < found.spread
    assert distance(features(400, 0), features(400, 1) + 1, subsets=200, size=20).compute().mean > 1


def test_parts_add_up_to_the_whole_and_a_seed_means_one_result() -> None:
    real, generated = features(30, 0), features(20, 1)
    parts, whole = distance(real[:15], generated[:10], size=8), distance(real, generated, size=8)
    parts.update(generated[10:], real=False)
    parts.update(real[15:], real=True)
    assert parts.compute() == whole.compute() == whole.compute()
    assert distance(real, generated, size=8, seed=1).compute() != whole.compute()


def test_one_image_of_a_kind_is_too_few() -> None:
    with pytest.raises(ValueError, match="at least two real and two generated"):
        distance(features(5, 0), features(1, 1)).compute()
    with pytest.raises(ValueError, match="at least two real"):
        KernelDistance().compute()
