"""Seeded noise: every image of a batch has a seed, and is the same in any batch.

Draws (random numbers) are made on the CPU and sent to the device, so that a seed means the same image on every one. Nothing
is read back from there: label noise depends on the step, which samplers know on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..devices import sent

Noise = Callable[[Tensor], Tensor]  # like (B, C, H, W) -> standard normal draws of its shape, new ones at every call
# t (B,) original steps, on the host, and a shape (B, H, W) -> uniform draws of that shape, on any device.
LabelNoise = Callable[[Tensor, torch.Size], Tensor]

Source = TypeVar("Source", Noise, LabelNoise)

_IMAGE, _LABELS = 0, 1  # streams of one seed


def image_noise(seeds: Sequence[int]) -> Noise:
    """One stream for each image of the batch, drawn from in turn."""
    generators = [_generator(seed, _IMAGE) for seed in seeds]

    def draw(like: Tensor) -> Tensor:
        draws = [torch.randn(like.shape[1:], generator=generator) for generator in generators]
        return sent(torch.stack(draws), like.device).to(like.dtype)

    return draw


def beginning_with(start: Tensor, noise: Noise) -> Noise:
    """`noise`, but the upper left part of its first draws is `start` (B, C, H, W)."""
    first = [start]

    def draw(like: Tensor) -> Tensor:
        draws = noise(like)
        if first:
            given = first.pop()
            draws = draws.clone()
            draws[..., : given.shape[-2], : given.shape[-1]] = sent(given, like.device)
        return draws

    return draw


def fresh_label_noise(seeds: Sequence[int]) -> LabelNoise:
    """New draws at every step, as in the paper. A function of (seed, t): the order of steps does not matter."""

    def draw(t: Tensor, shape: torch.Size) -> Tensor:
        steps = t.tolist()
        draws = [
            torch.rand(shape[1:], generator=_generator(seed, _LABELS, step))
            for seed, step in zip(seeds, steps, strict=True)
        ]
        return sent(torch.stack(draws), t.device)

    return draw


def coupled_label_noise(seeds: Sequence[int]) -> LabelNoise:
    """The same draws at every step: a pixel of the layout that is visible at one step stays so at all later ones."""

    def draw(t: Tensor, shape: torch.Size) -> Tensor:
        draws = [torch.rand(shape[1:], generator=_generator(seed, _LABELS)) for seed in seeds]
        return sent(torch.stack(draws), t.device)

    return draw


def no_label_noise(seeds: Sequence[int]) -> LabelNoise:
    """Draws of 1, at which no label is masked: the layout is clean at every step, as without label diffusion."""
    return lambda t, shape: torch.ones(shape, device=t.device)


def mixed(make: Callable[[Sequence[int]], Source], seeds: Sequence[int], offsets: Tensor) -> Source:
    """The noise that `make` gives for seeds, with `offsets` (H, W), integers from 0, added to the seed of each pixel."""
    parts = [(offset, make([(seed + offset) % 2**64 for seed in seeds])) for offset in offsets.unique().tolist()]
    (_, first), *others = parts
    where: dict[torch.device, list[Tensor]] = {}  # for each device the masks of `others`, sent once

    def draw(*given: Any) -> Tensor:
        noise = first(*given)
        if noise.device not in where:
            where[noise.device] = [sent(offsets == offset, noise.device) for offset, _ in others]
        for chosen, (_, part) in zip(where[noise.device], others, strict=True):
            noise = torch.where(chosen, part(*given), noise)
        return noise

    return draw


LABEL_NOISE: dict[str, Callable[[Sequence[int]], LabelNoise]] = {
    "fresh": fresh_label_noise,
    "coupled": coupled_label_noise,
    "none": no_label_noise,
}


def _generator(*key: int) -> torch.Generator:
    low, high = np.random.SeedSequence(key).generate_state(2).tolist()
    return torch.Generator().manual_seed(high << 31 ^ low)
