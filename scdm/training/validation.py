"""The loss on images that training never sees, with noise and steps that never change: what differs is the network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ..datasets import Example, Validation
from ..models.model import Model
from .config import TrainConfig
from .objective import learning
from .stream import Drawing, DrawnBatch

SEED = 0  # of all runs, whatever theirs, so that their losses can be compared
LEVELS = 4  # steps at which each image is looked at, one in each quarter of the process
BATCH = 16  # images at a time, at most: a batch that training can have needs less memory without gradients


@torch.no_grad()
def validation_loss(model: Model, unseen: Validation, config: TrainConfig) -> dict[str, float]:
    """The mean loss of the first `config.validated` images, in all ("total") and in each quarter of the process.

    Each image is looked at once in each quarter, at steps that are spread evenly over it. Layouts are whole and exact, and
    diffused as in training; none is blanked, and no class counts more. The model's network may be on any device.
    """
    plain = replace(config, null_rate=0.0, loss=replace(config.loss, timesteps="uniform", emphasised=(), emphasis=None))
    objective = learning(plain, model).objective(model.network.eval())
    found: dict[int, list[Tensor]] = defaultdict(list)
    for quarter, drawn in _batches(unseen, config, model):
        found[quarter].append(objective(drawn, model.device).total.double().cpu())
    means = {quarter: float(torch.cat(losses).mean()) for quarter, losses in found.items()}
    names = {quarter: f"t {first}-{last}" for quarter, (first, last) in enumerate(_quarters(model.config.steps))}
    return {"total": sum(means.values()) / len(means), **{names[quarter]: mean for quarter, mean in means.items()}}


def _batches(unseen: Validation, config: TrainConfig, model: Model) -> Iterator[tuple[int, DrawnBatch]]:
    count = min(config.validated, len(unseen))
    drawing = Drawing(SEED, 0.0, model.config.network.num_classes, model.space)
    size = min(BATCH, config.batch)
    for start in range(0, count, size):
        examples = [unseen[i] for i in range(start, min(start + size, count))]
        for quarter in range(LEVELS):
            yield quarter, _drawn(examples, drawing, start, quarter, count)


def _drawn(examples: Sequence[Example], drawing: Drawing, start: int, quarter: int, count: int) -> DrawnBatch:
    """Examples with the draws of their places: another noise in each quarter, and steps spread over it."""
    placed = [example._replace(position=LEVELS * (start + i) + quarter) for i, example in enumerate(examples)]
    batch, draws = drawing(placed)
    within = (torch.arange(start, start + len(examples), dtype=torch.float64) + 0.5) / count
    return DrawnBatch(batch, draws._replace(step=(quarter + within) / LEVELS))


def _quarters(steps: int) -> list[tuple[int, int]]:
    return [(i * steps // LEVELS, (i + 1) * steps // LEVELS - 1) for i in range(LEVELS)]
