"""The small segmenter learns from any data set, and its file says from which."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from scdm.layouts.labels import LabelMap
from scdm.metrics.segmenter import load
from tests.evaluation.conftest import configuration, write_maps
from training import train_segmenter
from training.train_segmenter import cross_entropy_and_overlap, main


def test_it_learns_a_folder_of_two_colours(tmp_path: Path, capsys) -> None:
    (tmp_path / "classes.yaml").write_text(
        "unlabelled_channel: 2\nclasses: [{name: dark}, {name: bright}]\nnum_channels: 3"
    )
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        labels = rng.integers(0, 2, (6, 4, 4)).repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)
        write_maps(tmp_path / split / "images", np.stack([200 * labels] * 3, axis=-1).astype(np.uint8))
        labels[:, :2] = 2  # nobody knows what is there
        write_maps(tmp_path / split / "labels", labels)
    classes = str(tmp_path / "classes.yaml")
    data = {"name": "folder", "root": str(tmp_path), "classes": classes, "size": 16, "fit": "stretch", "workers": 0}
    out = tmp_path / "made" / "segmenter.safetensors"
    more = ["--steps", "30", "--batch", "4", "--held-out", "4", "--lr", "0.01"]
    assert main(["--data", str(configuration(tmp_path, data)), "--out", str(out), *more]) == 0
    segmenter = load(out)
    assert segmenter.palette.name == "classes" and segmenter.provenance["steps"] == 30
    assert "folder" in segmenter.provenance["data"] and segmenter.provenance["held_out"]["miou"] > 0.9
    assert "nan" in capsys.readouterr().out.split("unlabelled")[1].split("\n")[0]


def test_images_without_a_label_teach_nothing() -> None:
    logits = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = cross_entropy_and_overlap(logits, LabelMap(torch.full((1, 4, 4), 3), 3))
    loss.backward()
    assert loss == 0 and logits.grad is not None and not logits.grad.any()


def test_data_that_cannot_be_opened_is_named(tmp_path: Path, capsys) -> None:
    data = {"name": "ade20k", "root": str(tmp_path / "absent")}
    assert main(["--data", str(configuration(tmp_path, data)), "--out", str(tmp_path / "s.safetensors")]) == 2
    assert "train_segmenter: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "more, complaint",
    [
        (["--lr", "nan"], "lr must be above 0"),
        (["--seed", "-1"], "the seed from 0"),
        (["--device", "quantum"], "torch knows no device 'quantum'"),
        (["--out", "."], ". is a folder: give the name of a file"),
        (["--out", "{file}/segmenter.safetensors"], "a file is in its place"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_learnt(
    more: list[str], complaint: str, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(train_segmenter, "train", lambda *_: pytest.fail("it trained"))
    data = str(configuration(tmp_path, {"name": "scenes", "size": 16}))
    more = [word.format(file=data) for word in more]
    try:
        assert main(["--data", data, "--out", str(tmp_path / "s.safetensors"), *more]) == 2
    except SystemExit as usage:
        assert usage.code == 2
    assert complaint in capsys.readouterr().err


def test_a_run_that_diverges_writes_nothing(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(train_segmenter, "cross_entropy_and_overlap", lambda logits, truth: logits.sum() * math.nan)
    data = str(configuration(tmp_path, {"name": "scenes", "size": 16, "workers": 0}))
    assert main(["--data", data, "--out", str(tmp_path / "s.safetensors"), "--steps", "3", "--batch", "1"]) == 2
    assert "at step 1 the loss is NaN or infinite" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.safetensors"))
