"""What a run gives away: its averaged weights as model files, and a sheet of what they paint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..datasets import Validation, collate
from ..files.contact_sheet import contact_sheet
from ..files.images import to_levels
from ..models import checkpoint
from ..models.model import Model
from ..networks import build
from ..pipeline import GenerateOptions, generate
from .config import MODEL


def write_models(folder: Path, averages: Mapping[float, Model]) -> None:
    """A file for each decay of the average, the first as model.safetensors, where it is not there yet.

    OSError if there is no room for them.
    """
    for place, (decay, model) in enumerate(averages.items()):
        path = folder / (MODEL if place == 0 else f"model-ema-{decay}.safetensors")
        if not holds(path, model):
            checkpoint.save(path, model)


def holds(path: Path, model: Model) -> bool:
    """Whether a file has this model's weights, after as many steps."""
    try:
        if checkpoint.read_header(path).provenance.get("steps") != model.provenance["steps"]:
            return False
        weights = model.network.state_dict()
        with safe_open(path, framework="pt") as file:
            return set(file.keys()) == weights.keys() and all(
                torch.equal(file.get_tensor(name), weight) for name, weight in weights.items()
            )
    except (ValueError, OSError, SafetensorError, RuntimeError):  # absent, damaged, or of another kind
        return False


def with_weights(model: Model, weights: Mapping[str, Tensor], provenance: dict[str, Any]) -> Model:
    """The same model with a network of its own that has these weights."""
    return replace(model, network=build(model.config.network, weights), provenance=provenance)


def sample_sheet(model: Model, unseen: Validation, count: int, options: GenerateOptions) -> np.ndarray:
    """Layouts that the model has not seen, a sample of each, and the images that they came from: uint8 (H, W, 3)."""
    batch = collate([unseen[i] for i in range(min(count, len(unseen)))])
    labels = batch.labels(model.config.network.num_classes)
    samples = generate(model, labels, options)
    rows = [model.palette.to_image(labels, (0, 0, 0)), to_levels(samples), to_levels(batch.images)]
    return contact_sheet([list(row) for row in rows], least_side=128)
