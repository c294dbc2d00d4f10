"""benchmarks/label_noise.py: what is left of layouts, filled up from what is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import label_noise
from scdm.layouts.labels import LabelMap


def test_masked_pixels_are_filled_up_from_the_nearest_label() -> None:
    labels = LabelMap(torch.tensor([[[0, 3, 3, 1], [3, 3, 3, 3]]]), 3)
    assert label_noise.filled(labels).ids.tolist() == [[[0, 0, 1, 1], [0, 0, 1, 1]]]
    blank = labels.blank()
    assert torch.equal(label_noise.filled(blank).ids, blank.ids)


def test_the_resolution_leaves_more_of_a_small_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = np.kron(np.random.default_rng(0).integers(3, size=(8, 8)), np.ones((8, 8))).astype(np.uint8)
    Image.fromarray(ids).save(tmp_path / "0.png")
    assert label_noise.main([str(tmp_path), "--classes", "3", "--heights", "32", "--masked", "0", "0.99"]) == 0
    *_, row = capsys.readouterr().out.splitlines()
    height, nothing, published, aware_of_nothing, aware = (float(cell) for cell in row.strip("| ").split("|"))
    assert (height, nothing, aware_of_nothing) == (32, 100, 100) and published + 10 < aware
