"""The kernel distance between two sets of feature vectors: with features of Inception it is called KID."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


class KernelResult(NamedTuple):
    """Mean and standard deviation over the subsets."""

    mean: float
    spread: float


class KernelDistance:
    """The squared maximum mean discrepancy under the kernel (x.y / D + 1)^3, unbiased ("Demystifying MMD GANs", 2018).

    It is measured on `subsets` random parts of `size` vectors of each kind, or of all where there are fewer. Unlike the
    Frechet distance it does not depend on the number of images.
    """

    def __init__(self, subsets: int = 100, size: int = 1000, seed: int = 0) -> None:
        self.subsets, self.size, self.seed = subsets, size, seed
        self.features: dict[bool, list[Tensor]] = {True: [], False: []}  # by whether they are real

    def update(self, features: Tensor, real: bool) -> None:
        """Features (N, D) of real images, or of generated ones."""
        self.features[real].append(features.detach().cpu())

    def compute(self) -> KernelResult:
        """ValueError if there are fewer than two vectors of either kind."""
        size = min(self.size, *(sum(map(len, parts)) for parts in self.features.values()))
        if size < 2:
            raise ValueError("a kernel distance needs at least two real and two generated images")
        real, generated = (torch.cat(self.features[kind]).double() for kind in (True, False))
        rng = np.random.default_rng(self.seed)
        distances = [_discrepancy(_some(real, size, rng), _some(generated, size, rng)) for _ in range(self.subsets)]
        return KernelResult(float(np.mean(distances)), float(np.std(distances)))


def _some(features: Tensor, size: int, rng: np.random.Generator) -> Tensor:
    return features[torch.from_numpy(rng.choice(len(features), size, replace=False))]


def _discrepancy(x: Tensor, y: Tensor) -> float:
    """(N, D) each."""
    within = sum(kernel.sum() - kernel.trace() for kernel in (_kernel(x, x), _kernel(y, y)))
    return float(within / (len(x) * (len(x) - 1)) - 2 * _kernel(x, y).mean())


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3
