"""The model that ships with the package."""

from __future__ import annotations

import torch

import scdm
from scdm import assets, checkpoint
from scdm.datasets.scenes import SKY, TREE, Scenes

NAME = "scenes64"


def test_it_is_there_small_and_has_a_model_card():
    assert NAME in checkpoint.embedded_models()
    file = next(path for path in assets.folder().iterdir() if path.name == f"{NAME}.safetensors")
    assert file.stat().st_size <= 20 * 2**20
    card = checkpoint.read_header(file).provenance
    assert {"data", "steps", "hours", "hardware", "licence", "layout_following"} <= set(card)


def test_it_follows_a_layout():
    """Of a scene that it has not seen: sky brighter than trees, at a fraction of the usual steps."""
    model = scdm.load(NAME)
    _, ids = next(item for item in (Scenes(50, seed=2)[i] for i in range(50)) if (item[1] == TREE).sum() > 300)
    labels = scdm.LabelMap(ids[None], model.palette.num_classes)
    image = scdm.generate(model, labels, scdm.GenerateOptions(steps=8, sampler="dpmpp_2m"))[0]
    assert torch.isfinite(image).all()
    assert image[:, ids == SKY].mean() > image[:, ids == TREE].mean() + 0.3
