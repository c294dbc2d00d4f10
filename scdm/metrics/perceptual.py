"""How different the samples of one layout look: LPIPS ("The Unreasonable Effectiveness of Deep Features", 2018)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .optional import library, state_dict


def perceptual_distance(x: Sequence[Tensor], y: Sequence[Tensor], weights: Sequence[Tensor]) -> Tensor:
    """(B,): the sum over layers of the mean over space of sum_c w_c (x^ - y^)^2, x^ = x / sqrt(sum_c x^2 + 1e-10).

    x, y: for each layer (B, C, H, W) features of two images. weights: for each layer (C,).
    """
    layers = [
        (weight[:, None, None] * (_unit(one) - _unit(other)).square()).sum(dim=1).mean(dim=(1, 2))
        for one, other, weight in zip(x, y, weights, strict=True)
    ]
    return torch.stack(layers).sum(dim=0)


class Diversity:
    """The mean distance between two samples of a layout: of all pairs, then of all layouts."""

    def __init__(self, layouts: int = 0, total: float = 0.0) -> None:
        self.layouts, self.total = layouts, total

    def update(self, distances: Tensor) -> None:
        """Those of all pairs of samples of one layout."""
        self.layouts, self.total = self.layouts + 1, self.total + float(distances.mean())

    def compute(self) -> float:
        return self.total / self.layouts

    def __add__(self, other: Diversity) -> Diversity:
        return Diversity(self.layouts + other.layouts, self.total + other.total)


class PerceptualNetwork:
    """The `lpips` package: its weights of the layers, and a network for images whose weights lie in a file.

    path: weights of torchvision's AlexNet, VGG16 or SqueezeNet 1.1 for ImageNet; which of them, they tell themselves.
    """

    def __init__(self, path: str | Path, device: torch.device | str = "cpu") -> None:
        weights = state_dict(path, "weights of torchvision's AlexNet, VGG16 or SqueezeNet")
        self.name = _architecture(weights, path)
        lpips = library("lpips", "the diversity of samples")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its ways of asking torchvision for a network
            network = lpips.LPIPS(net=self.name, pnet_rand=True, verbose=False)
        _adopt(network.net, weights, path)
        self.network = network.eval().requires_grad_(False).to(device)
        self.device = torch.device(device)

    @torch.no_grad()
    def distances(self, samples: Tensor) -> Tensor:
        """Samples (N, 3, H, W) in [-1, 1] -> (N (N - 1) / 2,) distances of all pairs. Each is looked at once."""
        features = list(self.network.net(self.network.scaling_layer(samples.to(self.device))))
        weights = [layer.model[-1].weight.flatten() for layer in self.network.lins]
        some = [
            perceptual_distance([f[i].expand_as(f[i + 1 :]) for f in features], [f[i + 1 :] for f in features], weights)
            for i in range(len(samples) - 1)
        ]
        return torch.cat(some).cpu()


def _architecture(weights: dict[str, Tensor], path: str | Path) -> str:
    first = weights.get("features.0.weight")
    shape = None if first is None else tuple(first.shape)
    if shape == (64, 3, 11, 11):
        return "alex"
    if shape == (64, 3, 3, 3):
        return "squeeze" if "features.3.squeeze.weight" in weights else "vgg"
    raise ValueError(f"{path} does not hold the weights of torchvision's AlexNet, VGG16 or SqueezeNet 1.1")


def _adopt(network: Any, weights: dict[str, Tensor], path: str | Path) -> None:
    """torchvision's layer features.3 is called slice2.3 in the package."""
    own = {name: f"features.{name.split('.', 1)[1]}" for name in network.state_dict()}
    if missing := next((theirs for theirs in own.values() if theirs not in weights), None):
        raise ValueError(f"{path} is incomplete: it has no {missing}")
    network.load_state_dict({name: weights[theirs] for name, theirs in own.items()})


def _unit(features: Tensor) -> Tensor:
    return features / (features.square().sum(dim=1, keepdim=True) + 1e-10).sqrt()
