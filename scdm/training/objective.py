"""What training minimises: the published loss of a batch, its layouts blanked and diffused by the batch's own draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ..diffusion.denoiser import Denoiser
from ..layouts.labels import LabelMap
from ..models.model import Model
from .config import LossConfig, TrainConfig
from .stream import DrawnBatch
from .timesteps import TIMESTEPS, Timesteps


class Losses(NamedTuple):
    """Of the examples of a batch, (B,) each, on the device: their steps and weights, and the terms of the loss.

    vb is nan for a network that does not learn the variance.
    """

    t: Tensor
    weight: Tensor
    total: Tensor
    mse: Tensor
    vb: Tensor


class Objective(Protocol):
    """The loss as a function of a batch."""

    @property
    def timesteps(self) -> Timesteps: ...

    def __call__(self, drawn: DrawnBatch, device: torch.device) -> Losses: ...


class Task(NamedTuple):
    """What a run is to do.

    model: the one to train, with its first weights.
    objective: of its network, as that was prepared for training.
    origin: provenance of what it is made from, as an entry of its own provenance.
    teacher: the model that it learns from, if it does not learn from data alone.
    """

    model: Model
    objective: Callable[[nn.Module], Objective]
    origin: dict[str, Any]
    teacher: Model | None = None


def learning(config: TrainConfig, model: Model, origin: dict[str, Any] | None = None) -> Task:
    """To teach `model` what a data set shows. origin: the provenance of the model whose weights it begins with."""

    def objective(network: nn.Module) -> DataObjective:
        timesteps = TIMESTEPS[config.loss.timesteps](model.config.steps, model.device)
        return DataObjective(model, model.config.denoiser(network), timesteps, config.loss, config.null_rate)

    return Task(model, objective, {"init": origin})


@dataclass(frozen=True)
class DataObjective:
    """To see what was painted where in the images of a data set.

    model: says how layouts are read. denoiser: the model's, around the network as it was prepared for training.
    """

    model: Model
    denoiser: Denoiser
    timesteps: Timesteps
    config: LossConfig
    null_rate: float

    def __call__(self, drawn: DrawnBatch, device: torch.device) -> Losses:
        batch, draws = drawn
        t, weight = (v.to(device, non_blocking=True) for v in self.timesteps.pick(draws.step))
        labels = layouts(drawn, self.model, self.null_rate, device)
        terms = self.denoiser.loss(
            self.model.space.encode(batch.images.to(device, memory_format=torch.channels_last, non_blocking=True)),
            labels,
            t,
            draws.noise.to(device, non_blocking=True),
            draws.label.to(device, non_blocking=True),
            objective=self.config.objective,
            vb_weight=self.config.vb_weight,
        )
        vb = torch.full_like(terms.mse, torch.nan) if terms.vb is None else terms.vb
        return Losses(t, weight, terms.total, terms.mse, vb)


def layouts(drawn: DrawnBatch, model: Model, null_rate: float, device: torch.device) -> LabelMap:
    """Those of a batch as the model reads them, a share of them blanked, on the device."""
    labels = model.prepared(drawn.batch.labels(model.config.network.num_classes))
    # Blanked where they go to: what was pinned for the journey is not copied before it.
    blanked = (drawn.draws.null < null_rate).to(device, non_blocking=True)
    return labels.to(device, non_blocking=True).blank(blanked)
