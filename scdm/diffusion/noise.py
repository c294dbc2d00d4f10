"""Randomness with an owner: every image of a batch draws from its own seed, so no neighbour can change it.

Draws are made on the CPU and sent to the device, so that a seed means the same image on every one. Nothing is read back
from there: label noise goes by the step, which samplers know on the host.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..devices import sent

Noise = Callable[[Tensor], Tensor]  # like (B, 3, H, W) -> standard normal draws of its shape, new ones at every call
# t (B,) original steps, shape (B, H, W) -> uniform draws of that shape. Samplers hand in a t that is on the host; the draws
# may be there too.
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
    """`noise`, but the upper left part of its first draws is `start` (B, 3, H, W)."""
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
    """New draws at every step, as in the paper. A function of (seed, t): the order of visits does not matter."""

    def draw(t: Tensor, shape: torch.Size) -> Tensor:
        steps = t.tolist()
        draws = [
            torch.rand(shape[1:], generator=_generator(seed, _LABELS, step))
            for seed, step in zip(seeds, steps, strict=True)
        ]
        return sent(torch.stack(draws), t.device)

    return draw


def coupled_label_noise(seeds: Sequence[int]) -> LabelNoise:
    """The same draws at every step: as the noise falls, pixels of the layout come back and stay."""

    def draw(t: Tensor, shape: torch.Size) -> Tensor:
        draws = [torch.rand(shape[1:], generator=_generator(seed, _LABELS)) for seed in seeds]
        return sent(torch.stack(draws), t.device)

    return draw


def no_label_noise(seeds: Sequence[int]) -> LabelNoise:
    """Draws of 1, at which no label is lost: the layout stands still. To see what label diffusion does."""
    return lambda t, shape: torch.ones(shape, device=t.device)


def mixed(make: Callable[[Sequence[int]], Source], seeds: Sequence[int], draws: Tensor) -> Source:
    """Noise that `make` makes of seeds, to which `draws` (H, W), of integers from 0, adds its value at each pixel."""
    parts = [(more, make([(seed + more) % 2**64 for seed in seeds])) for more in draws.unique().tolist()]
    (_, first), *others = parts
    where: dict[torch.device, list[Tensor]] = {}  # each is drawn, sent once

    def draw(*given: Any) -> Tensor:
        noise = first(*given)
        if noise.device not in where:
            where[noise.device] = [sent(draws == more, noise.device) for more, _ in others]
        for chosen, (_, part) in zip(where[noise.device], others, strict=True):
            noise = torch.where(chosen, part(*given), noise)
        return noise

    return draw


def recorded_label_noise(draws: Mapping[int, Tensor]) -> LabelNoise:
    """Draws (B, H, W) written down before, by original step: to replay a trajectory."""

    def draw(t: Tensor, shape: torch.Size) -> Tensor:
        step = int(t[0])
        if step not in draws or draws[step].shape != shape:
            raise ValueError(f"no label noise of shape {tuple(shape)} is recorded for step {step}")
        return sent(draws[step], t.device)

    return draw


LABEL_NOISE: dict[str, Callable[[Sequence[int]], LabelNoise]] = {
    "fresh": fresh_label_noise,
    "coupled": coupled_label_noise,
    "none": no_label_noise,
}


def _generator(*key: int) -> torch.Generator:
    low, high = np.random.SeedSequence(key).generate_state(2).tolist()
    return torch.Generator().manual_seed(high << 31 ^ low)
