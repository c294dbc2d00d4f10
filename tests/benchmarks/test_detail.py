"""What an upsampler makes of renderings' small images: the errors of each class, and what each step predicts."""

from __future__ import annotations

import pytest
import torch

import scdm
from benchmarks.detail import errors, steps_of, table
from scdm.datasets.scenes import Scenes
from scdm.diffusion.upsampling import reduced


def test_errors_are_those_of_each_class():
    ids = torch.tensor([[0, 0, 2], [2, 2, 2]])
    image = torch.zeros(3, 2, 3)
    made = torch.where(ids == 0, 0.5, 1.0).expand(1, 3, 2, 3)
    found = errors(made, image, ids, 3)
    assert torch.equal(found, torch.tensor([[0.5, 2.0], [0.0, 0.0], [4.0, 4.0]]))
    lines = table(("a", "b", "c"), torch.stack([found, found / 2], dim=1)).splitlines()
    assert lines[0] == "| squared error | enlarged | step 1 |" and "b" not in "".join(lines[2:])
    assert lines[2:] == ["| a | 0.2500 | 0.2500 |", "| c | 1.0000 | 1.0000 |"]


def test_pictures_are_the_enlarged_image_and_what_each_step_predicts():
    model = scdm.load("scenes-fast")
    image, ids = Scenes(2, 999, (128, 128))[1]
    labels = scdm.LabelMap(ids[None], 14)
    pictures = steps_of(model, image[None], labels, 0)
    assert len(pictures) == 3 and all(one.shape == (1, 3, 128, 128) for one in pictures)
    assert torch.allclose(reduced(pictures[0], (64, 64)), reduced(image[None], (64, 64)), atol=0.2)
    with pytest.raises(ValueError, match="set --size to more"):
        steps_of(model, image[None, :, :64, :64], scdm.LabelMap(ids[None, :64, :64], 14), 0)
