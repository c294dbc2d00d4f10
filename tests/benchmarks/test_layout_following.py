"""How well samples follow their layouts: which layouts they are given."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from benchmarks.layout_following import main, sampled
from scdm.datasets.scenes import Scenes
from scdm.layouts.palette import Palette
from scdm.models import checkpoint
from scdm.pipeline import GenerateOptions
from scdm.training.run import new_model
from tests.training.tiny import config
from tests.weights import randomize


def test_every_other_layout_is_rough_and_the_true_ones_count() -> None:
    model = new_model(config(), Palette.named("scenes"))
    randomize(model.network)
    scenes = Scenes(4, 1, (16, 16))
    options = GenerateOptions(steps=1)
    exact = sampled(model, DataLoader(scenes, 2), options, 1)
    rough = sampled(model, DataLoader(scenes, 4), options, 1, 0.8)
    true = torch.stack([scenes[i][1] for i in range(4)])
    assert torch.equal(exact[0], true) and torch.equal(exact[3], true)
    assert torch.equal(rough[0], true) and torch.equal(rough[1], exact[1])
    assert [torch.equal(one, other) for one, other in zip(rough[3], true, strict=True)] == [True, False, True, False]


def test_the_sheet_and_the_conditions_are_of_what_was_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = new_model(config(), Palette.named("scenes"))
    randomize(model.network)
    checkpoint.save(tmp_path / "model.safetensors", model)
    command = [str(tmp_path / "model.safetensors"), "--layouts", "2", "--size", "16", "--steps", "1"]
    assert main([*command, "--rough", "0.5", "--sheet", str(tmp_path / "rough.png")]) == 0
    assert "16x16, every other one of roughness 0.5" in capsys.readouterr().out
    assert main([*command, "--sheet", str(tmp_path / "exact.png")]) == 0
    assert "roughness" not in capsys.readouterr().out
    assert (tmp_path / "rough.png").read_bytes() != (tmp_path / "exact.png").read_bytes()
    with pytest.raises(SystemExit):
        main([*command, "--rough", "2"])
    assert "rough is a roughness from 0 to 1, not 2" in capsys.readouterr().err
