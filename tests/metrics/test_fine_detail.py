"""High-frequency energy: what constant images, waves, noise and blur leave is known in closed form."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from scdm.metrics import HighFrequencyEnergy
from scdm.metrics.fine_detail import fine_energy, within


def grey(values: Tensor) -> Tensor:
    """(H, W) -> (1, 3, H, W)."""
    return values.float().expand(1, 3, *values.shape)


def wave(u: float, v: float, size: tuple[int, int] = (66, 66), phase: float = 0.0) -> Tensor:
    y, x = (torch.arange(side, dtype=torch.float64)[shape] for side, shape in zip(size, ((..., None), ()), strict=True))
    return grey(0.5 * torch.cos(u * x + v * y + phase))


def noise(side: int) -> Tensor:
    return grey(0.3 * torch.randn(side, side, generator=torch.Generator().manual_seed(0)))


def test_constants_and_ramps_have_none() -> None:
    ramp = torch.arange(40.0)[:, None] / 50 + torch.arange(30.0) / 60 - 0.9
    assert fine_energy(grey(ramp)).max() < 1e-12 and fine_energy(grey(torch.full((5, 7), 0.7))).max() < 1e-12


def test_a_checkerboard_is_all_fine_detail() -> None:
    board = (torch.arange(8)[:, None] + torch.arange(12)) % 2 * 2.0 - 1
    assert torch.allclose(fine_energy(grey(board)), torch.ones(1, 6, 10))


@pytest.mark.parametrize(("u", "v"), [(math.pi / 2, 0), (math.pi / 4, math.pi / 8), (math.pi / 2, math.pi / 2)])
def test_waves_leave_what_the_filter_lets_through(u: float, v: float) -> None:
    expected = 0.5**2 / 2 * (1 - math.cos(u / 2) ** 2 * math.cos(v / 2) ** 2) ** 2
    for phase in (0.0, 0.3):  # a shift of the image changes nothing
        assert fine_energy(wave(u, v, phase=phase)).mean() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("side", [128, 512])
def test_noise_leaves_41_64ths_of_its_variance_at_every_size(side: int) -> None:
    assert fine_energy(noise(side)).mean() == pytest.approx(0.09 * 41 / 64, rel=0.03)


def test_blur_leaves_less() -> None:
    """Of white noise after a mean of 3x3, by the coefficients of both filters together."""
    b = torch.tensor([0.25, 0.5, 0.25])
    level = -torch.outer(b, b)
    level[1, 1] += 1
    both = F.conv2d(F.pad(level[None, None], (2, 2, 2, 2)), torch.full((1, 1, 3, 3), 1 / 9))
    blurred = F.avg_pool2d(noise(512), 3, stride=1)
    assert fine_energy(blurred).mean() == pytest.approx(0.09 * float(both.square().sum()), rel=0.05)


def test_only_luma_counts() -> None:
    board = (torch.arange(8)[:, None] + torch.arange(8)) % 2 * 2.0 - 1
    colours = torch.stack([board, -board * 0.2126 / 0.7152, 0 * board])[None]
    assert fine_energy(colours).max() < 1e-12


def test_classes_are_told_apart_within_their_outlines() -> None:
    """Left is noise, right is flat, and their border is within neither."""
    image = noise(64).clone()
    image[..., 32:] = 0.9
    ids = torch.zeros(1, 64, 64, dtype=torch.int64)
    ids[..., 32:] = 2
    energy = HighFrequencyEnergy(3)
    energy.update(image, ids)
    mean, classes = energy.compute()
    assert classes[0] == pytest.approx(0.09 * 41 / 64, rel=0.1) and classes[2] < 1e-12 and classes[1].isnan()
    assert mean > float(classes[0]) * 31 / 62  # the step between them counts in the mean


def test_unpainted_pixels_count_in_the_mean_alone() -> None:
    energy = HighFrequencyEnergy(3)
    energy.update(noise(32), torch.full((1, 32, 32), 3))
    mean, classes = energy.compute()
    assert mean > 0 and classes.isnan().all()
    assert (within(torch.full((1, 5, 5), -1), 3) == 3).all()


def test_parts_add_up_to_the_whole_whatever_their_sizes() -> None:
    images, sizes = [noise(16), noise(24)], (16, 24)
    parts = []
    for image, side in zip(images, sizes, strict=True):
        parts.append(HighFrequencyEnergy(2))
        parts[-1].update(image, torch.ones(1, side, side, dtype=torch.int64))
    expected = torch.cat([fine_energy(image).flatten() for image in images]).mean()
    assert (parts[0] + parts[1]).compute().mean == pytest.approx(float(expected))


def test_what_has_no_energy_is_refused() -> None:
    with pytest.raises(ValueError, match="3x3 pixels, not 5x2"):
        fine_energy(torch.zeros(1, 3, 2, 5))
    with pytest.raises(ValueError, match="no image has been counted"):
        HighFrequencyEnergy(3).compute()
