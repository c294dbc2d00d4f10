"""LPIPS: the published number, all pairs of samples, and what the lpips package itself says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from scdm.metrics import Diversity, PerceptualNetwork
from scdm.metrics.perceptual import perceptual_distance
from tests.parity import arrays, facts, tensors

SAMPLES = torch.rand(4, 3, 64, 80, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_the_distance_is_the_published_one() -> None:
    published = facts("data/metrics")["lpips_value"]
    count = sum(name.startswith("lpips.") and name.endswith(".w") for name in tensors("data/metrics"))
    layers = [arrays("data/metrics", f"lpips.{i}") for i in range(count)]
    x, y = [layer["fx"] for layer in layers], [layer["fy"] for layer in layers]
    found = perceptual_distance(x, y, [layer["w"].flatten() for layer in layers])
    assert found.shape == (len(x[0]),)
    assert found.mean().item() == pytest.approx(published, rel=1e-5)


def test_the_distance_sees_directions_only() -> None:
    """Features are scaled to unit length at every pixel, and weighed by channel."""
    x, y = torch.tensor([[3.0, 4.0]]), torch.tensor([[8.0, 6.0]])
    found = perceptual_distance([x[..., None, None]], [y[..., None, None]], [torch.tensor([1.0, 10.0])])
    assert found.item() == pytest.approx(0.2**2 + 10 * 0.2**2)
    assert perceptual_distance([x[..., None, None]], [2 * x[..., None, None]], [torch.ones(2)]).item() < 1e-10


def test_diversity_is_the_mean_over_layouts_however_many_samples_each_has() -> None:
    first, second = Diversity(), Diversity()
    first.update(torch.tensor([1.0, 2.0, 3.0]))
    second.update(torch.tensor([4.0]))
    assert (first + second).compute() == 3
    assert first.compute() == 2


def test_distances_are_those_of_the_package_for_all_pairs(optional: Any, trunk: Path) -> None:
    optional("lpips")
    network = PerceptualNetwork(trunk)
    assert network.name == "alex"
    found = network.distances(SAMPLES)
    pairs = [(i, j) for i in range(4) for j in range(i + 1, 4)]
    expected = [network.network(SAMPLES[i : i + 1], SAMPLES[j : j + 1]).item() for i, j in pairs]
    assert found.tolist() == pytest.approx(expected, rel=1e-4)
    assert found.min() > 0


def test_files_without_the_weights_are_named(optional: Any, trunk: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with pytest.raises(ValueError, match=r"weights.pth: there is no such file"):
        PerceptualNetwork(path)
    for nonsense in (b"", b"no weights", b"run: runs/camvid\ndata: {name: scenes}\n"):  # torch has an error for each
        path.write_bytes(nonsense)
        with pytest.raises(ValueError, match=r"weights.pth is damaged, or holds no weights of torchvision's AlexNet"):
            PerceptualNetwork(path)
    torch.save({"conv.weight": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"weights.pth does not hold"):
        PerceptualNetwork(path)
    for other in ([torch.zeros(1)], {"conv.weight": [1.0]}):
        torch.save(other, path)
        with pytest.raises(ValueError, match="tensors by name"):
            PerceptualNetwork(path)
    optional("lpips")
    weights = torch.load(trunk)
    torch.save({name: weight for name, weight in weights.items() if name != "features.8.bias"}, path)
    with pytest.raises(ValueError, match=r"incomplete: it has no features\.8\.bias"):
        PerceptualNetwork(path)
