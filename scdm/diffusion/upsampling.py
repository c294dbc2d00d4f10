"""Images in two stages: a small one, and the detail that an upsampler adds to it (cascaded diffusion, Ho et al. 2022).

The first stage decides what there is and in which light, at a size at which that is cheap. The second is a diffusion model
of its own that is given the small image beside the noisy one (SR3, Saharia et al. 2021), and reads the layout at full size.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..layouts.labels import LabelMap
from ..networks import Network

LEAST = 1.5  # times the small side from which an image is made in two stages
NEIGHBOURS = 0.02  # weight of the cells around one, for pixels of a class that no nearer cell has
SCARCE = 1e-3  # of that weight: below it a pixel's class is too far away to tell its colour


def small_size(size: tuple[int, int], side: int) -> tuple[int, int] | None:
    """The (height, width) of the first stage, whose shorter side is `side`, for images of `size`; None where they are made
    at once, since they are hardly larger."""
    if min(size) < LEAST * side:
        return None
    height, width = (max(side, round(length * side / min(size))) for length in size)
    return height, width


def reduced(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (B, C, H, W) -> (B, C, *size): the mean of the area."""
    return F.adaptive_avg_pool2d(planes, size)


def enlarged(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (B, C, h, w) -> (B, C, *size)."""
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


def enlarged_within(images: Tensor, labels: LabelMap) -> Tensor:
    """Images (B or 1, C, h, w) -> (B, C, H, W), the size of `labels`, as an upsampler is given them: within outlines.

    A pixel is interpolated among the cells whose class in the small layout is its own (joint upsampling, Kopf et al. 2007,
    with the layout as its guide), so that outlines are those of the layout and not the small image's steps. Unpainted
    pixels, and those whose class no cell nearby has, are interpolated among all. As far as a layout is rough, so are all
    pixels: its outlines are not to be kept.
    """
    size = labels.height, labels.width
    plain = enlarged(images, size).expand(labels.batch, -1, -1, -1)
    ids = labels.ids.to(images.device)
    small = labels.reduced(*images.shape[-2:]).ids.to(images.device)
    found = plain
    for class_id in small[small < labels.num_classes].unique():
        own = (small == class_id)[:, None].to(images)
        cells = torch.cat([images * own, own], dim=1)
        cells = cells + NEIGHBOURS * F.avg_pool2d(cells, 3, stride=1, padding=1)
        colours, weight = enlarged(cells, size).split((images.shape[1], 1), dim=1)
        inside = (ids == class_id)[:, None] & (weight > SCARCE)
        found = torch.where(inside, colours / weight.clamp(min=SCARCE), found)
    if labels.roughness is None:
        return found
    return torch.lerp(found, plain, labels.roughness.to(found).nan_to_num()[:, None, None, None])


class Upsampling(Network):
    """An upsampler's network together with the image (B, C, H, W) that it adds detail to."""

    def __init__(self, network: Network, image: Tensor):
        super().__init__(network.config)
        self.network, self.image = network, image

    @property
    def dtype(self) -> torch.dtype:
        return self.network.dtype

    def encode(self, x: Tensor, t: Tensor, height: int | None = None) -> Any:
        return self.network.encode(torch.cat([x, self.image.to(x)], dim=1), t, height)

    def decode(self, features: Any, labels: LabelMap | None) -> Tensor:
        return self.network.decode(features, labels)
