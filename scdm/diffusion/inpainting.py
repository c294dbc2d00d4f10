"""Repainting part of an image: what the mask leaves alone is known, and the sampler is told so at every step."""

from __future__ import annotations

import math

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
    rows, columns = _around(mask > 0, 1)
    faded, part = mask.clone(), mask[..., rows, columns]
    faded[..., rows, columns] = part * _depth(part > 0, radius + 1) / (radius + 1)
    return faded


def grown(where: Tensor, pixels: float) -> Tensor:
    """What the bool tensor `where` (H, W) covers, and what is no more than `pixels` away from it."""
    rows, columns = _around(where, math.ceil(pixels))
    whole = torch.zeros_like(where)
    whole[rows, columns] = _depth(~where[None, None, rows, columns], pixels + 1)[0, 0] <= pixels
    return whole


def _around(where: Tensor, pixels: int) -> tuple[slice, slice]:
    """Rows and columns of a box about all that is true in `where` (..., H, W), with `pixels` to spare on each side. Nothing
    farther away matters, and a stroke is small on its canvas."""
    plane = where.reshape(-1, *where.shape[-2:]).any(dim=0)

    def span(used: Tensor) -> slice:
        places = used.nonzero()
        return slice(max(0, int(places.min()) - pixels), int(places.max()) + 1 + pixels) if len(places) else slice(0)

    return span(plane.any(dim=1)), span(plane.any(dim=0))


def _depth(inside: Tensor, most: float) -> Tensor:
    """Pixels from each that is `inside` (B, 1, H, W) to the nearest that is not, `most` at the most."""
    squared = torch.where(inside, most**2, 0.0)
    for axis in (2, 3):  # Euclid's squares add up, so that one axis can follow the other
        length, along = inside.shape[axis], squared.clone()
        for step in range(1, min(math.ceil(most), length)):
            for start, target in ((0, step), (step, 0)):
                reached = squared.narrow(axis, target, length - step)
                torch.minimum(reached, along.narrow(axis, start, length - step) + step**2, out=reached)
    return squared.sqrt()


def paste(generated: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """`generated` where `mask` is above 0 (it was mixed on the way), elsewhere the image's own values, to the bit."""
    return torch.where(mask > 0, generated, image)
