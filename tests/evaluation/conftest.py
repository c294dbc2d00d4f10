"""A model and a segmenter that have learned nothing, and data sets of a few files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scdm.layouts.palette import Palette
from scdm.metrics import segmenter
from scdm.models import checkpoint
from scdm.models.model import Model, ModelConfig
from scdm.networks import UNetConfig

NETWORK = {"num_classes": 14, "channels": 32, "channel_mult": [1, 1], "res_blocks": 1, "attention": [], "hidden": 8}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of scenes, 16 x 16."""
    torch.manual_seed(0)
    config = UNetConfig(14, channels=32, channel_mult=(1, 1), res_blocks=1, attention=(), head_channels=None, hidden=8)
    untrained = Model.new(ModelConfig(config, (16, 16), label_diffusion="uniform"), Palette.named("scenes"))
    with torch.no_grad():
        for parameter in untrained.network.parameters():  # the last layers of a new network are zero
            parameter.add_(0.05 * torch.randn(parameter.shape))
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    checkpoint.save(path, untrained)
    return path


@pytest.fixture(scope="session")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("segmenter") / "segmenter.safetensors"
    segmenter.save(path, segmenter.Segmenter(Palette.named("scenes"), channels=(8,)), torch.float32)
    return path


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """The configuration of a run on scenes, 16 x 16."""
    return configuration(tmp_path, {"name": "scenes", "size": 16, "workers": 0})


def configuration(folder: Path, data: dict[str, object]) -> Path:
    path = folder / "run.yaml"
    network = {**NETWORK, "head_channels": None}
    path.write_text(json.dumps({"run": str(folder / "run"), "data": data, "network": network}))  # JSON is YAML
    return path


def write_maps(folder: Path, maps: Sequence[np.ndarray]) -> None:
    folder.mkdir(parents=True)
    for i, values in enumerate(maps):
        Image.fromarray(values).save(folder / f"{i}.png")


@pytest.fixture
def ade20k(tmp_path: Path) -> Callable[[Sequence[np.ndarray]], Path]:
    """Makes the validation split of an ADE20K with these label maps, uint8 (H, W); returns its root."""

    def make(maps: Sequence[np.ndarray]) -> Path:
        root = tmp_path / "ade20k"
        write_maps(root / "annotations" / "validation", maps)
        write_maps(root / "images" / "validation", [np.stack([values] * 3, axis=-1) for values in maps])
        return root

    return make


@pytest.fixture
def one_process() -> Iterator[None]:
    """accelerate keeps the state of a process, and other tests want another."""
    state = pytest.importorskip("accelerate.state", reason="evaluation needs the extra 'train'")
    state.AcceleratorState._reset_state(reset_partial_state=True)
    yield
    state.AcceleratorState._reset_state(reset_partial_state=True)
