"""Sparse layouts: scribbles of a layout, and here and there a whole shape.

For training on layouts as people paint them, and for testing with them ("Diffusion-based Semantic Image Synthesis from
Sparse Layouts", CGI 2023). A *region* is all pixels of one class in one image. Of each region a part is kept, in a
pattern that chance chooses: a stroke with bends, dabs, polygons or hatching. It grows from random pixels of the region until
it covers that part, and ends where the region ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from .labels import LabelMap, instance_borders

WHOLE = 0.35  # of the regions are kept as a whole or not at all, unless they are too large for that
STROKES, DABS, POLYGONS = 0.4, 0.2, 0.2  # shares of the patterns; the rest is hatched
SEGMENTS = 3  # of a stroke, and as many dabs, at most
SIDES = 5  # of a polygon, at most
WAVES = 8  # cosines along either side, of the smooth noise that makes outlines shaky
LEVELS = 256  # steps in which a pattern grows
AT_ONCE = 1 << 14  # pixels whose numbers fit into a CPU's cache


def sparse(labels: LabelMap, seeds: Sequence[int], share: float | None = None) -> LabelMap:
    """The layout with a little left of each class, or nothing, and the rest MASK.

    Instance borders would show the outlines of what is gone. As in a painted layout (`Model.prepared`), they become those
    between what is left.

    seeds: one for each image, which alone decides about it.
    share: of each image that is MASK in the end, in [0, 1). MASK of the layout counts, and an image with more of it stays
        as it is. It is met within 2 points, unless less than a dab of the brush would be left (7 pixels of 64 x 64, 31 of
        256 x 256): then all is MASK. None draws 0.4 + 0.5 u^(9/16) for each image: 0.4 to 0.9, on average 0.72.
    """
    device, (batch, height, width), classes = labels.ids.device, labels.ids.shape, labels.num_classes + 1
    brush = max(1.5, math.sqrt(height * width) / 80)  # the narrowest, in pixels
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    points = _points(generators, height, width, device)
    draws = Draws.joined([_draws(generator, classes) for generator in generators], device)
    masked = [_random_share(generator) if share is None else share for generator in generators]

    region = (labels.ids + classes * torch.arange(batch, device=device)[:, None, None]).flatten()  # (B*H*W,)
    pixels = region.bincount(minlength=batch * classes)
    budget = torch.tensor([round((1 - part) * height * width) for part in masked], device=device)
    kept = _kept(pixels.view(batch, classes), budget, draws, dab=3 * brush**2).flatten()
    present = pixels > 0  # from here on only these regions count, R of them
    region = (present.cumsum(0) - 1).index_select(0, region)
    pixels, kept, draws = pixels[present], kept[present], draws.only(present)

    patterns = _patterns(draws, _anchors(region, batch, draws.anchors, width), pixels, kept, brush)
    step = AT_ONCE if device.type == "cpu" else len(region)
    level = torch.cat(
        [
            _level(some, patterns.index_select(1, here))
            for some, here in zip(points.split(step, dim=1), region.split(step), strict=True)
        ]
    )
    grown = _grown(level, region, kept).index_select(0, region)
    left = labels.masked((level >= grown).view_as(labels.ids))
    return left if labels.edges is None else replace(left, edges=instance_borders(left.ids))


class Draws(NamedTuple):
    """What chance decides about K regions: uniform in [0, 1), but for the directions, which are (x, y)."""

    liking: Tensor  # (K,), as are the next
    whole: Tensor
    kind: Tensor
    number: Tensor
    length: Tensor
    spacing: Tensor
    anchors: Tensor  # (SEGMENTS + 1, K)
    direction: Tensor  # (2, K), unit
    sides: Tensor  # (2, SIDES, K): normals, the longer the nearer the side is to the middle

    @classmethod
    def joined(cls, images: Sequence[Draws], device: torch.device) -> Draws:
        return cls(*(torch.cat(draws, dim=-1).to(device) for draws in zip(*images, strict=True)))

    def only(self, regions: Tensor) -> Draws:
        return Draws(*(draw[..., regions] for draw in self))


def _draws(generator: torch.Generator, regions: int) -> Draws:
    """Of one image, on the CPU: the last bit of a sine may change with its place in a batch, and with the device."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, regions, generator=generator)

    turn = uniform()
    turns = turn + (torch.arange(SIDES)[:, None] + 0.8 * uniform(SIDES)) / SIDES  # without a gap of half a turn
    return Draws(
        liking=uniform(),
        whole=uniform(),
        kind=uniform(),
        number=uniform(),
        length=uniform(),
        spacing=uniform(),
        anchors=uniform(SEGMENTS + 1),
        direction=_unit(turn),
        sides=_unit(turns) / (0.5 + uniform(SIDES)),
    )


def _unit(turn: Tensor) -> Tensor:
    """(...) in turns -> (2, ...)"""
    return torch.stack([(math.tau * turn).cos(), (math.tau * turn).sin()])


def _random_share(generator: torch.Generator) -> float:
    return 0.4 + 0.5 * torch.rand((), generator=generator).item() ** (9 / 16)


def _points(generators: Sequence[torch.Generator], height: int, width: int, device: torch.device) -> Tensor:
    """(2, B*H*W): x and y of the pixels, displaced by smooth noise, so that straight outlines come out shaky."""
    wave = torch.arange(WAVES)
    swing = 0.05 * math.sqrt(height * width) / (1 + wave[:, None] ** 2 + wave**2)
    swings = [(swing * torch.randn(2, WAVES, WAVES, generator=generator)).to(device) for generator in generators]
    down, across = ((math.pi / n * wave * (torch.arange(n)[:, None] + 0.5)).cos().to(device) for n in (height, width))
    points = torch.stack([down @ swing @ across.T for swing in swings], dim=1)  # (2, B, H, W)
    points[0] += torch.arange(width, device=device)
    points[1] += torch.arange(height, device=device)[:, None]
    return points.flatten(1)


def _kept(pixels: Tensor, budget: Tensor, draws: Draws, dab: float) -> Tensor:
    """(B, C + 1) pixels of the classes and MASK -> how many of each to keep, none of MASK, `budget` (B,) in all.

    Of a class min(1, max(0, 1/2 + slope (liking + favour))) is kept, or nothing if that is less than a dab. The favour is
    the image's, and found by bisection.
    """
    pixels = pixels.float()
    pixels[:, -1] = 0
    budget = budget[:, None]
    whole = (draws.whole.view_as(pixels) < WHOLE) & (pixels < budget / 2)
    slope = torch.where(whole, 20.0, 0.5)
    liking = 2 * draws.liking.view_as(pixels) - 1
    least = pixels.clamp(max=dab)

    def kept(favour: Tensor) -> Tensor:
        part = pixels * (0.5 + slope * (liking + favour)).clamp(0, 1)
        return (part * (part >= least)).round().long()

    low, high = torch.full_like(budget, -3, dtype=pixels.dtype), torch.full_like(budget, 3, dtype=pixels.dtype)
    for _ in range(24):
        favour = (low + high) / 2
        over = kept(favour).sum(dim=1, keepdim=True) > budget
        low, high = torch.where(over, low, favour), torch.where(over, favour, high)
    return kept(low)


def _anchors(region: Tensor, batch: int, u: Tensor, width: int) -> Tensor:
    """(2, SEGMENTS + 1, R): x and y of random pixels of the regions, from about 1000 of an image and one of each region."""
    pixels = torch.arange(len(region), device=region.device)
    one = torch.zeros_like(u[0], dtype=torch.int64).scatter_reduce_(0, region, pixels, "amax")
    pixels = pixels.view(batch, -1)
    area = pixels.shape[1]
    some = pixels[:, :: area // 1024 | 1]  # an odd step meets every column of an even width
    some = torch.cat([some.flatten(), one])
    home = region[some]
    counts = home.bincount(minlength=len(one))
    first = counts.cumsum(0) - counts
    chosen = some[home.argsort(stable=True)][first + torch.minimum((u * counts).long(), counts - 1)]
    return torch.stack([chosen % width, chosen % area // width]).float()


def _patterns(draws: Draws, anchors: Tensor, pixels: Tensor, kept: Tensor, brush: float) -> Tensor:
    """(numbers, R): what `_level` reads of each region, in its order."""
    size, kept = pixels.float().sqrt(), kept.clamp(min=1).float()
    stroke = draws.kind < STROKES
    hatching = draws.kind >= STROKES + DABS + POLYGONS
    polygon = ~hatching & (draws.kind >= STROKES + DABS)

    # No longer, no more and no denser than the brush can paint with `kept` pixels.
    count = 1 + (draws.number * torch.where(polygon, SEGMENTS - 1, SEGMENTS)).long()
    count = torch.minimum(count, (kept / (4 * brush**2)).long()).clamp(min=1)
    used = torch.arange(SEGMENTS, device=pixels.device)[:, None] < count
    path = ((anchors.diff(dim=1) ** 2).sum(dim=0).sqrt() * used).sum(dim=0)
    bends = anchors[:, :1] + (anchors - anchors[:, :1]) * (kept / (brush * path)).clamp(max=1)
    dash = torch.minimum(0.8 * size * draws.length**2, kept / (brush * count)) * ~polygon
    spacing = torch.maximum((0.15 + 0.45 * draws.spacing) * size, 1.2 * brush * pixels / kept)

    dash = (draws.direction * dash)[:, None]
    start = torch.where(stroke, bends[:, :-1], anchors[:, :-1] - dash / 2)
    along = torch.where(stroke, bends.diff(dim=1), dash)
    start, along = torch.where(used, start, start[:, :1]), torch.where(used, along, along[:, :1])
    lines = draws.direction / spacing
    unit = 1 / (0.3 * size)  # so far away is half-way through the levels
    return torch.cat(
        [
            *start,  # x, y
            *along,
            1 / (along**2).sum(dim=0).clamp(min=1e-6),
            *(draws.sides * polygon * unit),
            *lines[:, None],
            (lines * anchors[:, 0]).sum(dim=0, keepdim=True),
            (2 * spacing * hatching * unit)[None],
            (torch.where(hatching, 0.07, torch.where(polygon, 0.2, 1.0)) * unit)[None],  # hatching thins out
        ]
    )


def _level(points: Tensor, patterns: Tensor) -> Tensor:
    """(2, N) points, (numbers, N) of their regions -> (N,) int64 in [0, LEVELS): how late the pattern reaches them.

    That is their distance from the nearest segment, as a polygon measures it where there is one, and from the next line of
    the hatching.
    """
    x, y = points
    rows = patterns.split([SEGMENTS] * 5 + [SIDES] * 2 + [1] * 5)
    start_x, start_y, along_x, along_y, inverse, side_x, side_y, line_x, line_y, shift, depth, slowness = rows
    x0, y0 = x - start_x, y - start_y  # (SEGMENTS, N)
    t = ((x0 * along_x + y0 * along_y) * inverse).clamp_(0, 1)
    x0, y0 = x0 - t * along_x, y0 - t * along_y  # from the nearest point of each segment
    late = (x0 * x0 + y0 * y0).sqrt_() * slowness
    for i in range(SIDES):
        late = torch.maximum(late, x0 * side_x[i] + y0 * side_y[i])
    line = x * line_x + y * line_y - shift  # (1, N)
    late = late.amin(dim=0) + ((line - line.round()).abs_() * depth)[0]
    return (late / (late + 1) * LEVELS).long().clamp_(max=LEVELS - 1)


def _grown(level: Tensor, region: Tensor, kept: Tensor) -> Tensor:
    """(N,) levels and regions, (R,) pixels to keep -> (R,): below which level they are, to the nearest one."""
    count = (region * LEVELS + level).bincount(minlength=len(kept) * LEVELS).view(-1, LEVELS)
    halfway = count.cumsum(dim=1) - count // 2
    return (halfway <= kept[:, None]).sum(dim=1) * (kept > 0)
