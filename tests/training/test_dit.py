"""Training with the transformer: the same loop, the same files, the same command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scdm.cli import main
from scdm.datasets import open_dataset
from scdm.files.images import read_image, write_image
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.models import checkpoint
from scdm.models.conversion import load
from scdm.models.model import Model
from scdm.networks.dit import DiTConfig
from scdm.training import loop
from scdm.training.config import DataConfig, OptimizerConfig, TrainConfig
from scdm.training.objective import learning
from scdm.training.run import new_model, start_from
from scdm.training.stream import steps_from
from tests.training.tiny import config

TINY = DiTConfig(14, patch=4, width=32, depth=2, heads=2)


def run_in(folder: Path) -> TrainConfig:
    return config(
        folder,
        network=TINY,
        prediction="v",
        data=DataConfig(size=32, workers=0),
        optimizer=OptimizerConfig(lr=2e-3),
        batch=8,
        steps=30,
        save_every=30,
        ema=0.0,
        checkpointing=True,
    )


@torch.no_grad()
def loss_of(model: Model, run: TrainConfig) -> float:
    """On the first batches of the stream."""
    objective = learning(run, model).objective(model.network)
    steps = steps_from(0, open_dataset(run.data), run)
    parts = [part for _ in range(4) for part in next(steps)]
    return float(torch.cat([objective(part, torch.device("cpu")).mse for part in parts]).mean())


def test_a_run_lowers_the_loss_and_its_model_paints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, path, layout = run_in(tmp_path / "run"), tmp_path / "run" / "model.safetensors", tmp_path / "layout.png"
    loop.train(run)
    model = load(path)
    assert model.config.network == TINY
    assert loss_of(model, run) < 0.9 * loss_of(new_model(run, Palette.named("scenes")), run)
    assert main(["inspect", str(path)]) == 0
    assert "transformer, 2 blocks of width 32 with 2 attention heads" in capsys.readouterr().out

    ids = open_dataset(run.data, "val").validation()[0].ids[None]
    write_image(layout, model.palette.to_image(LabelMap(ids, 14))[0])
    request = ["sample", str(layout), "-o", str(tmp_path / "image.png"), "--model", str(path), "--steps", "2"]
    assert main(request) == 0 and np.asarray(read_image(tmp_path / "image.png")).shape == (32, 32, 3)


def test_weights_of_a_network_of_another_kind_are_no_start(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    other = new_model(config(tmp_path), Palette.named("scenes"))
    checkpoint.save(tmp_path / "unet.safetensors", other)
    with pytest.raises(
        ValueError, match=r"another network than the configuration describes: .*kind 'unet' instead of 'dit'"
    ):
        start_from(str(tmp_path / "unet.safetensors"), new_model(run, Palette.named("scenes")))
