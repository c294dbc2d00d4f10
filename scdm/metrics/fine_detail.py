"""High-frequency energy: how much detail images have at the scale of single pixels, as grain or blur would change it."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.2126, 0.7152, 0.0722)  # of red, green and blue (ITU-R BT.709)
BINOMIAL = (0.25, 0.5, 0.25)


class EnergyResult(NamedTuple):
    """Squared luma, of images in [-1, 1].

    mean: over all pixels. classes: (num_classes,) float64, over the pixels within each class; NaN where there are none.
    """

    mean: float
    classes: Tensor


def fine_energy(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [-1, 1] -> (B, H - 2, W - 2): the square of the finest Laplacian level of their luma.

    That level is Y - b * Y, where b is the binomial filter (1, 2, 1)/4 in both directions (Burt & Adelson 1983, without
    subsampling). A wave of amplitude a and frequencies (u, v) in radians per pixel leaves the mean energy
    a^2/2 (1 - cos^2(u/2) cos^2(v/2))^2: none of what is constant or a ramp, a quarter of a wave halfway to Nyquist in one
    direction, all of one at Nyquist. White noise leaves 41/64 of its variance. Pixels at the border have no value, so that
    no padding counts. ValueError for images below 3x3.
    """
    if min(images.shape[-2:]) < 3:
        raise ValueError(f"high-frequency energy needs images of 3x3 pixels, not {images.shape[-1]}x{images.shape[-2]}")
    luma = (images.float() * images.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)
    return (luma[..., 1:-1, 1:-1] - smoothed(luma))[:, 0].square()


def smoothed(images: Tensor) -> Tensor:
    """Images (B, C, H, W) -> (B, C, H - 2, W - 2), by the binomial filter in both directions."""
    b = images.new_tensor(BINOMIAL)
    kernel = torch.outer(b, b).expand(images.shape[1], 1, 3, 3)
    return F.conv2d(images, kernel, groups=images.shape[1])


class HighFrequencyEnergy:
    """Mean of `fine_energy` over a set of images of any sizes, and within each class of their layouts.

    A pixel is within a class if its eight neighbours are of it, too, so that outlines count in the mean alone. Two sets are
    compared by the ratio of their means: below 1 the first is blurred, above 1 it has grain or edges that the second lacks.
    Accumulators of several parts of a set are added.
    """

    def __init__(self, num_classes: int, sums: Tensor | None = None) -> None:
        """sums: (2, num_classes + 1) float64, energy and number of pixels; the last column is of all pixels."""
        self.num_classes = num_classes
        self.sums = torch.zeros((2, num_classes + 1), dtype=torch.float64) if sums is None else sums

    def update(self, images: Tensor, ids: Tensor) -> None:
        """Images (B, 3, H, W) in [-1, 1], ids (B, H, W) of their layouts. Ids that are no class count in the mean alone."""
        energy = fine_energy(images).double().cpu()
        of_class = within(ids.cpu(), self.num_classes)
        values = torch.stack([energy, torch.ones_like(energy)])
        sums = torch.zeros((2, self.num_classes + 1), dtype=torch.float64)
        sums.index_add_(1, of_class.flatten(), values.flatten(1))
        sums[:, -1] = values.flatten(1).sum(dim=1)
        self.sums = self.sums + sums

    def compute(self) -> EnergyResult:
        """ValueError if no image has been counted."""
        energy, pixels = self.sums
        if pixels[-1] == 0:
            raise ValueError("no image has been counted, so there is no energy to tell")
        means = energy / pixels  # 0 / 0 = NaN where a class never occurs
        return EnergyResult(float(means[-1]), means[:-1])

    def __add__(self, other: HighFrequencyEnergy) -> HighFrequencyEnergy:
        return HighFrequencyEnergy(self.num_classes, self.sums + other.sums)


def within(ids: Tensor, num_classes: int) -> Tensor:
    """Ids (B, H, W) -> (B, H - 2, W - 2): the class of pixels whose neighbours are all of it, `num_classes` of others."""
    known = ids.masked_fill((ids < 0) | (ids >= num_classes), num_classes).float()[:, None]
    highest, lowest = F.max_pool2d(known, 3, stride=1)[:, 0], -F.max_pool2d(-known, 3, stride=1)[:, 0]
    return torch.where(highest == lowest, highest, num_classes).long()
