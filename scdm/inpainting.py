"""Repainting part of an image: what the mask leaves alone is known, and the sampler is told so at every step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .denoiser import Denoise, Prediction


def inpainting(denoise: Denoise, image: Tensor, mask: Tensor) -> Denoise:
    """x0 from the model where `mask` (B, 1, H, W) is 1, from `image` (B, 3, H, W) where it is 0, mixed in between.

    A sampler that believes this x0 keeps the known part exactly on its way from noise to `image`: no second trajectory
    is needed.
    """

    def denoise_within(x: Tensor, t: Tensor) -> Prediction:
        prediction = denoise(x, t)
        return prediction._replace(x0=torch.lerp(image, prediction.x0, mask))

    return denoise_within


def feathered(mask: Tensor, radius: float) -> Tensor:
    """A mask (B, 1, H, W) that falls off inside its border over `radius` pixels. What was 0 stays 0."""
    if radius <= 0:
        return mask
    return torch.stack([torch.from_numpy(_ramp(sample.numpy(), radius)) for sample in mask[:, 0].cpu()])[:, None].to(
        mask
    )


def _ramp(mask: np.ndarray, radius: float) -> np.ndarray:
    import cv2  # only here, so that a host without OpenCV can do all else

    distance = cv2.distanceTransform((mask > 0).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return mask * np.clip(distance / (radius + 1), 0, 1)


def paste(generated: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """`generated` where `mask` is above 0 (it was mixed on the way), elsewhere the image's own values, to the bit."""
    return torch.where(mask > 0, generated, image)
