"""What a run releases: its averaged weights as model files, and a sheet of their samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from ..datasets import Validation, collate
from ..files.atomic import made_folder
from ..files.contact_sheet import contact_sheet
from ..files.images import to_levels, write_image
from ..files.tensors import opened
from ..metrics import Evaluator, SegmentationScore, true_ids
from ..models import checkpoint
from ..models.model import Model
from ..networks import build
from ..pipeline import GenerateOptions, generate
from .config import MODEL, RunConfig, TrainConfig
from .posthoc import AVERAGE, snapshot_path
from .progress import Progress
from .run import Run
from .validation import validation_loss


def release(
    run: Run,
    averages: Mapping[float, Mapping[str, Tensor]],
    accelerator: Accelerator,
    progress: Progress,
    sheet: Path | None,
    validate: bool = False,
    posthoc: Mapping[float, Mapping[str, Any]] | None = None,
) -> None:
    """Writes the averaged weights as models, and a sheet of their samples to the path `sheet`, and reports what the run's
    evaluator reads in these; reports the validation loss, if it is to be measured.

    posthoc: states of power-function averages, whose snapshots are written where due.
    """
    write_snapshots(run, posthoc or {})
    models = {decay: with_weights(run.model, weights, run.provenance) for decay, weights in averages.items()}
    write_models(run.states.folder, models)
    if run.unseen is None or (sheet is None and not validate):
        return
    released = models[run.config.decays[0]].to(accelerator.device)
    if validate and run.config.validated:
        assert isinstance(run.config, TrainConfig)  # no other has a loss of its own
        progress.validated(run.step, validation_loss(released, run.unseen, run.config))
    if sheet is not None:
        picture, scores = sample_sheet(released, run.unseen, run.config.samples, sampling(run.config), run.evaluator)
        write_image(sheet, picture)
        progress.show(run.step, picture)
        progress.scored(run.step, scores)


def sheet_path(run: Run) -> Path | None:
    return None if run.unseen is None or not run.config.samples else run.states.folder / f"samples-{run.step}.png"


def provenance(run: Run, accelerator: Accelerator) -> dict[str, object]:
    config = run.config
    images = f"{run.step * config.batch} images at {config.sizes} pixels"
    return {
        "data": f"{run.model.palette.name}, seed {config.data.seed}, {images}",
        "steps": run.step,
        "hours": round(run.hours, 2),
        "hardware": f"{accelerator.num_processes} x {accelerator.device.type}",
        "precision": config.precision,
        "null_rate": config.null_rate,
        **run.origin,
        "note": config.note,
    }


def sampling(config: RunConfig) -> GenerateOptions:
    """As by default, but without guidance by a null condition that is never shown."""
    return GenerateOptions(seed=config.seed) if config.null_rate else GenerateOptions(seed=config.seed, guidance=1.0)


def write_models(folder: Path, averages: Mapping[float, Model]) -> None:
    """A file for each decay of the average, the first as model.safetensors, where it is not there yet.

    OSError if there is no room for them.
    """
    for place, (decay, model) in enumerate(averages.items()):
        path = folder / (MODEL if place == 0 else f"model-ema-{decay}.safetensors")
        if not holds(path, model):
            checkpoint.save(path, model)


def write_snapshots(run: Run, averages: Mapping[float, Mapping[str, Any]]) -> None:
    """A file for each power-function average, at the last step and every `posthoc_every` steps."""
    every = run.config.posthoc_every
    if every is None or (run.step % every and run.step != run.config.steps):
        return
    for width, state in averages.items():
        provenance = {**run.provenance, AVERAGE: {"width": width, "updates": state["updates"]}}
        path = snapshot_path(run.states.folder, run.step, width)
        model = with_weights(run.model, state["weights"], provenance)
        if not holds(path, model):
            made_folder(path.parent)
            checkpoint.save(path, model)


def holds(path: Path, model: Model) -> bool:
    """Whether a file has this model's weights, after as many steps."""
    try:
        if checkpoint.read_header(path).provenance.get("steps") != model.provenance["steps"]:
            return False
        weights = model.network.state_dict()
        with opened(path) as file:
            return set(file.keys()) == weights.keys() and all(
                torch.equal(file.get_tensor(name), weight) for name, weight in weights.items()
            )
    except (ValueError, RuntimeError):  # absent, damaged, or of another kind
        return False


def with_weights(model: Model, weights: Mapping[str, Tensor], provenance: dict[str, Any]) -> Model:
    """A copy of the model whose network has these weights."""
    return replace(model, network=build(model.config.network, weights), provenance=provenance)


def sample_sheet(
    model: Model, unseen: Validation, count: int, options: GenerateOptions, evaluator: Evaluator | None = None
) -> tuple[np.ndarray, dict[str, float]]:
    """Layouts that the model has not seen, a sample of each, and the images that they came from, uint8 (H, W, 3); how well
    the evaluator reads the layouts in the samples, by the name of the metric."""
    batch = collate([unseen[i] for i in range(min(count, len(unseen)))])
    labels = batch.labels(model.config.network.num_classes)
    samples = generate(model, labels, options)
    rows = [model.palette.to_image(labels, (0, 0, 0)), to_levels(samples), to_levels(batch.images)]
    picture = contact_sheet([list(row) for row in rows], least_side=128)
    return picture, {} if evaluator is None else scores_of(evaluator, samples, batch.ids)


def scores_of(evaluator: Evaluator, samples: Tensor, ids: Tensor) -> dict[str, float]:
    """mIoU and pixel accuracy of samples (B, 3, H, W) of the layouts ids (B, H, W); {} if these have no class that the
    evaluator knows."""
    score = SegmentationScore(len(evaluator.known))
    score.update(evaluator.ids(samples), true_ids(evaluator, ids))
    if not score.confusion.any():
        return {}
    shares = score.compute()
    return {"miou": shares.miou, "pixel_accuracy": shares.pixel_accuracy}
