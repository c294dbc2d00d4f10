"""training/fit_roughness.py: an estimator that tells exact layouts from rough ones, in the model's file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scdm.datasets.scenes import render
from scdm.files.config import to_dict
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.layouts.roughening import roughened
from scdm.models import checkpoint
from scdm.training.config import DataConfig
from scdm.training.roughness import examples, fitted, joined, simple
from scdm.training.run import new_model
from tests.training.tiny import config
from training import fit_roughness

SIZE = 48


def scene(index: int) -> LabelMap:
    return LabelMap(torch.from_numpy(render(index, 2, SIZE)[1].astype(np.int64))[None], 14)


def test_rough_layouts_are_told_from_exact_ones():
    estimator = fitted(joined(examples(scene(index), index) for index in range(40)), steps=200)
    unseen = LabelMap(torch.cat([scene(1000 + index).ids for index in range(24)]), 14)
    exact = estimator(unseen).nanmean()
    cells = [estimator(roughened(unseen, [one] * 24, range(24), only="cells")).nanmean() for one in (0.5, 1.0)]
    assert exact < 0.15 and 0.3 < cells[0] < cells[1]


def test_neat_drawings_are_of_the_classes_of_a_layout():
    labels = scene(1)
    drawings = [simple(labels, np.random.default_rng(seed)) for seed in range(40)]
    assert all(set(one.ids.unique().tolist()) <= set(labels.ids.unique().tolist()) for one in drawings)
    assert all(one.ids.shape == labels.ids.shape for one in drawings)
    assert len({one.ids.numpy().tobytes() for one in drawings}) > 35
    unpainted = LabelMap(torch.full((1, SIZE, SIZE), 14), 14)
    assert simple(unpainted, np.random.default_rng(0)).ids.min() >= 0


def test_too_few_layouts_are_refused():
    with pytest.raises(ValueError, match="too few to fit an estimator"):
        fitted(examples(scene(0), 0))


def run(folder: Path, roughness: bool, *more: str, code: int = 0) -> Path:
    path, settings = folder / "model.safetensors", folder / "config.yaml"
    base = config(data=DataConfig(size=32, workers=0))
    base = replace(base, network=replace(base.network, roughness=roughness))
    settings.write_text(json.dumps(to_dict(base)))
    checkpoint.save(path, new_model(base, Palette.named("scenes")))
    given = ["--config", str(settings), "--model", str(path), "--layouts", "20", "--unseen", "4", *more]
    assert fit_roughness.main(given) == code
    return path


def test_the_estimator_is_written_into_the_model_and_the_weights_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = run(tmp_path, True, "--dry-run")
    before = checkpoint.load(path)
    assert before.roughness is None and "| exact |" in capsys.readouterr().out
    after = checkpoint.load(run(tmp_path, True))
    assert after.roughness is not None and after.digest() == before.digest()
    again = tmp_path / "again.safetensors"
    checkpoint.save(again, after)
    assert checkpoint.load(again).roughness == after.roughness


def test_a_model_that_reads_no_roughness_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, False, code=2).stat().st_size
    assert "does not read roughness: train it with network.roughness" in capsys.readouterr().err
