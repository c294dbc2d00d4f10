"""Networks without training, in files of the kinds that users bring."""

from __future__ import annotations

import importlib
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from scdm.metrics.optional import library


@cache
def complete_torchvision() -> torch.library.Library | None:
    """Declares the operators without which a torchvision built for CUDA cannot be imported beside a CPU's torch.

    They stay declared as long as what is returned lives. What needs them would not work; no test here does.
    """
    try:
        importlib.import_module("torchvision")
    except ModuleNotFoundError:
        pass
    except RuntimeError:  # which says that the operator nms does not exist
        declared = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            declared.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return declared
    return None


@pytest.fixture
def optional() -> Any:
    """`library` for tests: they are skipped where the package is not there, or does not fit the others."""

    complete_torchvision()

    def find(name: str) -> Any:
        try:
            return library(name, "this test")
        except ValueError as error:
            pytest.skip(str(error))

    return find


@pytest.fixture(scope="session")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of AlexNet, under torchvision's names."""
    shapes = {0: (64, 3, 11, 11), 3: (192, 64, 5, 5), 6: (384, 192, 3, 3), 8: (256, 384, 3, 3), 10: (256, 256, 3, 3)}
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for number, shape in shapes.items():
        weights[f"features.{number}.weight"] = 0.05 * torch.randn(shape, generator=generator)
        weights[f"features.{number}.bias"] = 0.1 * torch.rand(shape[0], generator=generator)
    path = tmp_path_factory.mktemp("trunk") / "alexnet.pth"
    torch.save(weights, path)
    return path
