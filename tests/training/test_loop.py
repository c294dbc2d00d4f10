"""A run does what its configuration says, leaves whole files, and goes on where it stopped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scdm import checkpoint
from scdm.networks import UNetConfig
from scdm.training.config import DataConfig, LabelDiffusionConfig, OptimizerConfig, TrainConfig

pytest.importorskip("accelerate", reason="training needs the extra 'train'")

from scdm.training.loop import learning_rate, train

NETWORK = UNetConfig(14, channels=32, channel_mult=(1, 1), res_blocks=1, attention=(), head_channels=None, hidden=8)


def config(run: Path, **changes) -> TrainConfig:
    base = TrainConfig(
        run=str(run),
        network=NETWORK,
        data=DataConfig(size=16, workers=0),
        label_diffusion=LabelDiffusionConfig("classwise", "scenes"),
        optimizer=OptimizerConfig(lr=1e-3),
        batch=2,
        steps=4,
        save_every=2,
        samples=0,
    )
    return replace(base, **changes)


def weights(file: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(file).network.state_dict()


def test_a_run_leaves_a_model_that_explains_itself_and_a_sheet(tmp_path):
    file = train(config(tmp_path / "run", samples=2))
    model = checkpoint.load(file)
    assert model.palette.name == "scenes" and model.config.size == (16, 16)
    assert model.config.class_rates is not None and len(model.config.class_rates) == 14
    assert model.provenance["steps"] == 4 and "8 images" in model.provenance["data"]
    assert any(parameter.abs().max() > 0 for parameter in model.network.out[2].parameters())  # zero before training
    assert (tmp_path / "run" / "samples-4.png").is_file()
    assert [state.name for state in (tmp_path / "run").glob("state-*")] == ["state-4"]


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path):
    whole = train(config(tmp_path / "whole"))
    train(config(tmp_path / "parts", steps=2))
    parts = train(config(tmp_path / "parts"))
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(parts)[name]), name


def test_a_run_starts_from_another_models_weights_and_says_so(tmp_path):
    first = train(config(tmp_path / "first"))
    second = train(config(tmp_path / "second", init=str(first), optimizer=OptimizerConfig(lr=0.0)))
    for name, tensor in weights(first).items():
        torch.testing.assert_close(weights(second)[name], tensor)
    assert checkpoint.read_header(second).provenance["init"]["steps"] == 4


def test_the_learning_rate_warms_up_and_decays_and_is_never_negative():
    shape = TrainConfig(run="-", network=NETWORK, steps=100, optimizer=OptimizerConfig(lr=1.0, warmup=10, decay=20))
    rates = [learning_rate(step, shape) for step in range(130)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[50] == 1
    assert rates[90] == pytest.approx(0.5) and set(rates[100:]) == {0}
