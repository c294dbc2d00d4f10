"""The small segmenter learns from any data set, and its file says from which."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from scdm.labels import LabelMap
from scdm.metrics.segmenter import load
from tests.evaluation.conftest import configuration, write_maps
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
