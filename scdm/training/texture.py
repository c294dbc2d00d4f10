"""How far the texture of made images is from that of renderings, class by class.

Texture is described as in Portilla & Simoncelli 2000 and Gatys et al. 2015: by the means and products (the Gram matrix) of
what a bank of filters answers at three scales. Filters drawn at random do as well for that as trained ones (Ustyuzhaninov et
al. 2016), and belong to no weights that would have to be shipped. Grass is compared with grass and sky with sky, in every
image by itself, since light and weather change them together.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from ..metrics.fine_detail import smoothed

FILTERS = 32
SIDE = 7  # pixels
ENVELOPE = 1.6  # pixels: standard deviation of the filters' window
CONTRASTS = (0.04, 0.04, 0.1)  # at each scale: root mean square of answers to renderings, in about the middle
FEWEST = 40  # samples of a class from which its means are worth comparing
FLOOR = 1e-4  # energy of an answer: what is flatter counts as flat (0.01 is about one level of 255)


@functools.cache
def filters(device: torch.device) -> Tensor:
    """(FILTERS, 3, SIDE, SIDE), of mean 0 and norm 1; half of them read brightness, the others colours."""
    drawn = torch.randn(FILTERS, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(7))
    y = torch.arange(SIDE) - SIDE // 2
    window = torch.exp(-(y[:, None].square() + y.square()) / (2 * ENVELOPE**2))
    drawn *= window
    drawn[: FILTERS // 2] = drawn[: FILTERS // 2].mean(1, keepdim=True)
    drawn -= drawn.sum((2, 3), keepdim=True) / window.sum() * window
    return (drawn / drawn.flatten(1).norm(dim=1)[:, None, None, None]).to(device)


def responses(images: Tensor) -> list[Tensor]:
    """Images (B, 3, H, W) -> rectified answers (B, FILTERS, h, w) at half, half and a quarter of their sides.

    Each scale is read by itself, as a level of a Laplacian pyramid (Burt & Adelson 1983), the last with all that is broader:
    what is broad answers any filter more strongly than single leaves, which would count for nothing beside it.
    """
    found = []
    for scale in range(len(CONTRASTS)):
        if scale:
            images = F.avg_pool2d(images, 2)
        last = scale == len(CONTRASTS) - 1
        level = images if last else images - smoothed(F.pad(images, (1, 1, 1, 1), mode="replicate"))
        found.append(F.conv2d(level, filters(images.device), stride=1 if scale else 2, padding=SIDE // 2).relu())
    return found


def statistics(answers: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
    """Answers (B, C, h, w) and masks (B, K, h, w) of 0 and 1 -> of each class, the mean products of answers (B, K, C, C) and
    their means (B, K, C)."""
    flat, own = answers.flatten(2), masks.flatten(2)[:, :, None]
    area = own.sum(-1).clamp(min=1)
    chosen = flat[:, None] * own
    return chosen @ flat[:, None].mT / area[..., None], chosen.sum(-1) / area


def texture_distance(made: Tensor, images: Tensor, ids: Tensor, left_out: Tensor | None = None) -> Tensor:
    """(B,), 0 for equal textures: for images (B, 3, H, W) in [-1, 1] and the layouts (B, H, W) of `images`, whose sides are
    multiples of 4. left_out: (n,) classes that have none.

    The squared distance of a class's statistics and its root, of which the first counts what is far off and the second goes
    on where they are close; filters alike: answers are measured in the root mean square of the rendering's own. Classes
    count by the root of their area and by that contrast, as they do in a squared error: what is measured in its own contrast
    would pull at a sky's pixels harder than at a tree's.
    """
    total = weight = torch.zeros(len(made), device=made.device)
    with torch.no_grad():
        wanted = responses(images)
    classes = ids.unique()
    if left_out is not None:
        classes = classes[~torch.isin(classes, left_out)]
    for answers, goal, contrast in zip(responses(made), wanted, CONTRASTS, strict=True):
        stride = ids.shape[-1] // answers.shape[-1]
        masks = (ids[:, None, ::stride, ::stride] == classes[:, None, None]).to(answers)
        products, means = statistics(answers, masks)
        own_products, own_means = statistics(goal, masks)
        unit = (own_products.diagonal(dim1=-2, dim2=-1) + FLOOR).sqrt()
        products = (products - own_products) / (unit[..., None] * unit[..., None, :])
        means = (means - own_means) / unit
        distance = products.square().mean((2, 3)) + means.square().mean(2)
        distance = distance / (1 + distance.detach())  # so that one class that is far off does not outweigh the others
        area = masks.sum((2, 3))
        share = area.sqrt() * (area >= FEWEST)
        seen = unit.mean(2) / contrast
        total = total + (share * seen * (distance + 0.3 * (distance + 1e-4).sqrt())).sum(1)
        weight = weight + share.sum(1)
    return total / weight.clamp(min=1)
