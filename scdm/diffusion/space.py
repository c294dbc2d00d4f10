"""Spaces: where the samples of a diffusion process live, and how images become samples and samples images.

Images are (B, 3, H, W) in [-1, 1] everywhere. A network, its schedule and its samplers see only samples; layouts and masks
have the size of the image. A new space is a class and an entry of `SPACES`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from .likelihood import discretized_gaussian_log_likelihood


class Space(ABC):
    """Samples (B, channels, h, w), with h = H / stride and w = W / stride, rounded up.

    bound: clean samples lie in [-bound, bound]; None where they have no bounds.
    """

    channels: ClassVar[int]
    stride: ClassVar[int]
    bound: ClassVar[float | None]

    @abstractmethod
    def encode(self, images: Tensor) -> Tensor:
        """Images, whose sides are multiples of `stride`, as samples."""

    @abstractmethod
    def decode(self, samples: Tensor) -> Tensor:
        """Samples as images, not clamped."""

    @abstractmethod
    def preview(self, samples: Tensor) -> Tensor:
        """Samples as small images (B, 3, h, w), at hardly any cost."""

    @abstractmethod
    def log_likelihood(self, x0: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
        """Log probability in nats of clean samples under N(mean, exp(log_scale)^2), elementwise: the last term of the
        variational bound (Ho et al. 2020, section 3.3)."""

    def size(self, height: int, width: int) -> tuple[int, int]:
        """(h, w) of the samples for images of (H, W)."""
        return -(-height // self.stride), -(-width // self.stride)

    def clipped(self, samples: Tensor) -> Tensor:
        """Samples kept within the bound, if there is one."""
        return samples if self.bound is None else samples.clamp(-self.bound, self.bound)

    def covered(self, mask: Tensor) -> Tensor:
        """A mask (B, 1, H, W) of images as one of samples (B, 1, h, w): where any pixel is repainted, its sample is."""
        return mask if self.stride == 1 else F.max_pool2d(mask, self.stride)


class Pixels(Space):
    """Samples that are the images themselves, of 8 bits a channel."""

    channels = 3
    stride = 1
    bound = 1.0

    def encode(self, images: Tensor) -> Tensor:
        return images

    def decode(self, samples: Tensor) -> Tensor:
        return samples

    def preview(self, samples: Tensor) -> Tensor:
        return samples

    def log_likelihood(self, x0: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
        return discretized_gaussian_log_likelihood(x0, mean, log_scale)


PIXELS = Pixels()
SPACES: dict[str, Space] = {"pixels": PIXELS}
