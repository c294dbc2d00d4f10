"""Repainting part of an image: where the mask is 0, x0 is known at every step of sampling."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .denoiser import Denoise, Prediction


def inpainting(denoise: Denoise, known: Tensor, mask: Tensor) -> Denoise:
    """x0 from the model where `mask` (B, 1, h, w) is 1, from the clean sample `known` (B, C, h, w) where it is 0, a mixture
    in between.

    With this x0 every sampler leads the known part from noise to `known` exactly, without a second trajectory.
    """

    def denoise_within(x: Tensor, t: Tensor) -> Prediction:
        prediction = denoise(x, t)
        return prediction._replace(x0=torch.lerp(known, prediction.x0, mask))

    return denoise_within


def feathered(mask: Tensor, radius: float) -> Tensor:
    """The mask (B, 1, H, W) with a ramp of `radius` pixels inside its border. What was 0 stays 0."""
    if radius <= 0:
        return mask
    rows, columns = _around(mask > 0, 1)
    faded, part = mask.clone(), mask[..., rows, columns]
    faded[..., rows, columns] = part * _depth(part > 0, radius + 1) / (radius + 1)
    return faded


def grown(where: Tensor, pixels: float) -> Tensor:
    """(H, W) bool: `where` (H, W), dilated by a disc of radius `pixels`."""
    rows, columns = _around(where, math.ceil(pixels))
    whole = torch.zeros_like(where)
    whole[rows, columns] = _depth(~where[None, None, rows, columns], pixels + 1)[0, 0] <= pixels
    return whole


def _around(where: Tensor, pixels: int) -> tuple[slice, slice]:
    """Rows and columns of the bounding box of `where` (..., H, W) bool, with a margin of `pixels`: distances are computed in
    there alone, since a stroke is small on its canvas."""
    plane = where.reshape(-1, *where.shape[-2:]).any(dim=0)

    def span(used: Tensor) -> slice:
        places = used.nonzero()
        return slice(max(0, int(places.min()) - pixels), int(places.max()) + 1 + pixels) if len(places) else slice(0)

    return span(plane.any(dim=1)), span(plane.any(dim=0))


def _depth(inside: Tensor, most: float) -> Tensor:
    """Euclidean distance of each pixel that is `inside` (B, 1, H, W) to the nearest that is not, capped at `most`."""
    squared = torch.where(inside, most**2, 0.0)
    for axis in (2, 3):  # squared distances are separable: one axis after the other
        length, along = inside.shape[axis], squared.clone()
        for step in range(1, min(math.ceil(most), length)):
            for start, target in ((0, step), (step, 0)):
                reached = squared.narrow(axis, target, length - step)
                torch.minimum(reached, along.narrow(axis, start, length - step) + step**2, out=reached)
    return squared.sqrt()


def paste(generated: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """`generated` where `mask` is above 0, elsewhere `image`, to the bit; all are images (B, 3, H, W)."""
    return torch.where(mask > 0, generated, image)
