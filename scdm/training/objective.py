"""What training minimises: the published loss of a batch, its layouts blanked and diffused by the batch's own draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from ..denoiser import Denoiser
from ..model import Model
from .config import LossConfig
from .stream import DrawnBatch
from .timesteps import Timesteps


class Losses(NamedTuple):
    """Of the examples of a batch, (B,) each: their steps and weights (on the CPU), and the terms of the loss.

    vb is nan for a network that does not learn the variance.
    """

    t: Tensor
    weight: Tensor
    total: Tensor
    mse: Tensor
    vb: Tensor


@dataclass(frozen=True)
class Objective:
    """The loss as a function of a batch.

    model: says how layouts are read. denoiser: the model's, around the network as it was prepared for training.
    """

    model: Model
    denoiser: Denoiser
    timesteps: Timesteps
    config: LossConfig
    null_rate: float

    def __call__(self, drawn: DrawnBatch, device: torch.device) -> Losses:
        batch, draws = drawn
        t, weight = self.timesteps.pick(draws.step)
        labels = self.model.prepared(batch.labels(self.model.config.network.num_classes))
        terms = self.denoiser.loss(
            batch.images.to(device, memory_format=torch.channels_last, non_blocking=True),
            labels.blank(draws.null < self.null_rate).to(device),
            t.to(device),
            draws.noise.to(device, non_blocking=True),
            draws.label.to(device, non_blocking=True),
            objective=self.config.objective,
            vb_weight=self.config.vb_weight,
        )
        vb = torch.full_like(terms.mse, torch.nan) if terms.vb is None else terms.vb
        return Losses(t, weight, terms.total, terms.mse, vb)
