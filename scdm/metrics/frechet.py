"""The Frechet distance between two sets of feature vectors: with features of Inception it is called FID."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Moments:
    """Mean and spread of N feature vectors; those of parts of a set are added, without loss of precision.

    mean: (D,) float64. scatter: (D, D) float64, the sum of (f - mean) (f - mean)^T.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """Of (N, D) features. ValueError if there are none, or if some are NaN or infinite."""
        if features.ndim != 2 or features.numel() == 0:
            raise ValueError(f"features are (N, D), at least one of them, not {tuple(features.shape)}")
        if not features.isfinite().all():
            raise ValueError("some features are NaN or infinite: the images, or the network's weights, are damaged")
        features = features.detach().to("cpu", torch.float64)
        mean = features.mean(dim=0)
        return cls(len(features), mean, (features - mean).T @ (features - mean))

    def __add__(self, other: Moments) -> Moments:
        count, apart = self.count + other.count, other.mean - self.mean
        mean = self.mean + apart * (other.count / count)
        between = torch.outer(apart, apart) * (self.count * other.count / count)
        return Moments(count, mean, self.scatter + other.scatter + between)

    @property
    def covariance(self) -> Tensor:
        """(D, D), with N - 1."""
        return self.scatter / (self.count - 1)


class FrechetDistance:
    """|m1 - m2|^2 + tr(C1) + tr(C2) - 2 tr((C1 C2)^(1/2)), m and C being mean and covariance of real and generated features.

    Distances of N images to one set are comparable for equal N only: the fewer images, the larger.
    """

    def __init__(self) -> None:
        self.real: Moments | None = None
        self.generated: Moments | None = None

    def update(self, features: Tensor, real: bool) -> None:
        """Features (N, D) of real images, or of generated ones."""
        if real:
            self.real = _sum(self.real, Moments.of(features))
        else:
            self.generated = _sum(self.generated, Moments.of(features))

    def compute(self) -> float:
        """ValueError if there are fewer than two vectors of either kind."""
        if self.real is None or self.generated is None or min(self.real.count, self.generated.count) < 2:
            raise ValueError("a Frechet distance needs at least two real and two generated images")
        first, second = self.real.covariance, self.generated.covariance
        apart = (self.real.mean - self.generated.mean).square().sum()
        found = float(apart + first.trace() + second.trace() - 2 * _trace_of_root(first, second))
        return max(found, 0.0)  # rounding: of equal moments the terms cancel


def _sum(first: Moments | None, second: Moments | None) -> Moments | None:
    return first + second if first and second else first or second


def _trace_of_root(first: Tensor, second: Tensor) -> Tensor:
    """tr((A B)^(1/2)) of symmetric matrices without negative eigenvalues, singular ones included.

    A B has the eigenvalues of A^(1/2) B A^(1/2), which is symmetric, so that no complex root is ever taken.
    """
    values, vectors = torch.linalg.eigh(first)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    return torch.linalg.eigvalsh(root @ second @ root).clamp(min=0).sqrt().sum()
