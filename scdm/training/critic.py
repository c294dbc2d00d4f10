"""A critic that reads which class each part of an image shows, and whether it is a rendering at all (OASIS, Schönfeld et al.
2021): what it says of a made image teaches texture that the squared error averages away."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BASE_HEIGHT = 64  # of the image whose size is given as 0, three octaves more as 1
SLOPE = 0.2
GAIN = 8.0  # of fine detail, whose contrast is an eighth of that of colours or less
CELL = 2  # pixels along a side of what it judges
RAREST = 1e-3  # share of pixels from which rare classes have no more weight


class Critic(nn.Module):
    """A U-Net of four levels: images (B, 3, H, W) in [-1, 1] of whole images of some height -> logits
    (B, num_classes + 1, H / 2, W / 2), the last of which is "made". Sides are multiples of 16.
    """

    def __init__(self, num_classes: int, width: int):
        super().__init__()
        self.num_classes = num_classes
        first = max(1, width - width // 4)
        widths = (first, width, 2 * width, 4 * width, 4 * width)
        self.first = nn.Conv2d(7, first, 3, padding=1)  # a stride at once would not see every pixel alike
        self.down = nn.ModuleList(nn.Conv2d(*pair, 4, stride=2, padding=1) for pair in pairwise(widths))
        self.up = nn.ModuleList(
            nn.Conv2d(inner, outer, 3, padding=1)
            for inner, outer in ((8 * width, 3 * width), (5 * width, 2 * width), (3 * width, width + width // 2))
        )
        self.out = nn.Conv2d(width + width // 2, num_classes + 1, 1)

    def forward(self, images: Tensor, height: int) -> Tensor:
        scale = torch.full_like(images[:, :1], math.log2(height / BASE_HEIGHT) / 3)
        blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        h = F.leaky_relu(self.first(torch.cat([images, scale, GAIN * (images - blurred)], dim=1)), SLOPE)
        skips = []
        for layer in self.down:
            h = F.leaky_relu(layer(h), SLOPE)
            skips.append(h)
        for layer, skip in zip(self.up, reversed(skips[:-1]), strict=True):
            h = torch.cat([F.interpolate(h, scale_factor=2), skip], dim=1)
            h = F.leaky_relu(layer(h), SLOPE)
        return self.out(h)


def cells(ids: Tensor) -> Tensor:
    """Layouts (B, H, W) as the critic reads them, (B, H / 2, W / 2)."""
    return ids[:, ::CELL, ::CELL]


def class_weights(ids: Tensor, num_classes: int) -> Tensor:
    """(num_classes + 1,) of mean 1 over the pixels of ids: the inverse root of a class's share. MASK has none."""
    counts = torch.bincount(ids.flatten(), minlength=num_classes + 1)[:num_classes].float()
    share = counts / counts.sum().clamp(min=1)
    weights = share.clamp(min=RAREST).rsqrt()
    weights = weights / (weights * share).sum().clamp(min=1e-6)
    return torch.cat([weights, weights.new_zeros(1)])


def loss_of_critic(real: Tensor, made: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
    """For logits of renderings and of made images: the first are to show their classes, the second to be "made"."""
    num_classes = real.shape[1] - 1
    own = F.nll_loss(real.log_softmax(1), ids.clamp(max=num_classes - 1), reduction="none")
    other = -made.log_softmax(1)[:, num_classes]
    return ((own + other) * weights[ids]).mean()


def loss_of_maker(made: Tensor, ids: Tensor, known: Tensor, weights: Tensor) -> Tensor:
    """(B,) for logits of made images: where the maker was told the class (`known`, bool), they are to show it, elsewhere
    any."""
    num_classes = made.shape[1] - 1
    log_p = made.log_softmax(1)
    own = F.nll_loss(log_p, ids.clamp(max=num_classes - 1), reduction="none") * weights[ids]
    real = -log_p[:, :num_classes].logsumexp(1)
    return torch.where(known, own, real).flatten(1).mean(1)
