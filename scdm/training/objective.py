"""What training minimises, and at which steps of the process.

The published loss of a batch, its layouts blanked and diffused by the batch's own draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from ..diffusion.denoiser import Denoiser
from ..layouts.labels import LabelMap
from ..layouts.painting import classes_called
from ..layouts.palette import Palette
from ..models.model import Model
from .config import LossConfig, TrainConfig
from .stream import DrawnBatch

HISTORY = 10  # losses that are remembered of each step
UNIFORM_SHARE = 0.001  # of importance sampling, so that no step is forgotten


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

    def state_dict(self) -> dict[str, Any]:
        """What the loss itself has learned."""

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class LearnsTimesteps:
    """An objective that learns nothing but at which steps there is most to learn."""

    timesteps: Timesteps

    def state_dict(self) -> dict[str, Any]:
        return self.timesteps.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.timesteps.load_state_dict(state)


class Task(NamedTuple):
    """What a run trains, and by what loss.

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
    """Training `model` on a data set. origin: the provenance of the model whose weights it begins with."""
    weights = emphasis(config.loss, model.palette)

    def objective(network: nn.Module) -> DataObjective:
        timesteps = TIMESTEPS[config.loss.timesteps](model.config.steps, model.device)
        counts = None if weights is None else weights.to(model.device)
        return DataObjective(model, model.config.denoiser(network), timesteps, config.loss, config.null_rate, counts)

    return Task(model, objective, {"init": origin})


def emphasis(config: LossConfig, palette: Palette) -> Tensor | None:
    """The weights of classes, (num_classes + 1,) by the ids of the palette, and of MASK; None if all count alike.

    ValueError for what is no class of the palette.
    """
    if config.emphasis is None:
        return None
    classes = classes_called(palette, config.emphasised)
    if palette.num_classes in classes:
        raise ValueError("loss.emphasised names classes: of what is unpainted the network is not told which it is")
    weights = torch.ones(palette.num_classes + 1)
    weights[list(classes)] = config.emphasis
    return weights


@dataclass(frozen=True)
class DataObjective(LearnsTimesteps):
    """The denoising loss of a data set's images.

    model: prepares layouts. denoiser: the model's, around the network as it was prepared for training.
    class_weights: as `Denoiser.loss` takes them, on the model's device.
    """

    model: Model
    denoiser: Denoiser
    timesteps: Timesteps
    config: LossConfig
    null_rate: float
    class_weights: Tensor | None = None

    def __call__(self, drawn: DrawnBatch, device: torch.device) -> Losses:
        batch, draws = drawn
        t, weight = (v.to(device, non_blocking=True) for v in self.timesteps.pick(draws.step))
        labels = layouts(drawn, self.model, self.null_rate, device)
        terms = replace(self.denoiser, height=batch.height).loss(
            self.model.space.encode(batch.images.to(device, memory_format=torch.channels_last, non_blocking=True)),
            labels,
            t,
            draws.noise.to(device, non_blocking=True),
            draws.label.to(device, non_blocking=True),
            objective=self.config.objective,
            vb_weight=self.config.vb_weight,
            weighting=self.config.weighting,
            log_snr_limit=self.config.log_snr_limit,
            class_weights=self.class_weights,
        )
        vb = torch.full_like(terms.mse, torch.nan) if terms.vb is None else terms.vb
        return Losses(t, weight, terms.total, terms.mse, vb)


def layouts(drawn: DrawnBatch, model: Model, null_rate: float, device: torch.device) -> LabelMap:
    """Those of a batch as the model reads them, a share of them blanked, on the device."""
    labels = model.prepared(drawn.batch.labels(model.config.network.num_classes))
    # Blanked on the device: indexing here would copy out of pinned memory.
    blanked = (drawn.draws.null < null_rate).to(device, non_blocking=True)
    return labels.to(device, non_blocking=True).blank(blanked)


class Timesteps(Protocol):
    def pick(self, chance: Tensor) -> tuple[Tensor, Tensor]:
        """Draws (B,) in [0, 1), on the CPU -> the steps t (B,) int64 and the weights of their losses (B,) float32."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class UniformSteps:
    """Every step alike."""

    def __init__(self, steps: int, device: torch.device | str = "cpu"):
        self.steps = steps

    def pick(self, chance: Tensor) -> tuple[Tensor, Tensor]:
        return (chance * self.steps).long(), torch.ones(len(chance))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class QuadraticSteps(UniformSteps):
    """Spaced as `visited_steps` spaces "quadratic": a shifted schedule leaves few steps near the image, where fine detail is
    decided.
    """

    def pick(self, chance: Tensor) -> tuple[Tensor, Tensor]:
        return (chance.square() * self.steps).long(), torch.ones(len(chance))


class ImportantSteps:
    """Steps by the root mean square of their latest losses, weighted so that the mean loss stays the same.

    Nichol & Dhariwal 2021, section 3.3. Uniform until there are HISTORY losses of every step. What it remembers lives on
    `device`, where the losses are computed, so that no step waits for them.
    """

    def __init__(self, steps: int, device: torch.device | str = "cpu"):
        if torch.device(device).type == "mps":  # which has no float64
            device = "cpu"
        self.losses = torch.zeros(steps, HISTORY, dtype=torch.float64, device=device)  # of each step, the latest last
        self.counts = torch.zeros(steps, dtype=torch.int64, device=device)

    @property
    def weights(self) -> Tensor:
        """(T,) float64: how likely each step is. All 1 while there is too little to go by, then of sum 1."""
        size = self.losses.square().mean(1).sqrt()
        shares = size / size.sum() * (1 - UNIFORM_SHARE) + UNIFORM_SHARE / len(size)
        return torch.where((self.counts < HISTORY).any(), torch.ones_like(shares), shares)

    def pick(self, chance: Tensor) -> tuple[Tensor, Tensor]:
        weights = self.weights
        p = weights / weights.sum()  # (T,)
        chance = chance.double().to(p.device, non_blocking=True)
        t = torch.searchsorted(p.cumsum(0), chance, right=True).clamp(max=len(p) - 1)
        return t, (1 / (len(p) * p[t])).float()

    def update(self, t: Tensor, loss: Tensor, taken: Tensor | None = None) -> None:
        """Learns from the losses (B,) that there were at t (B,), unless `taken`, bool (), is false.

        All processes must be given the same.
        """
        t, loss = t.to(self.losses.device), loss.to(self.losses)
        learned = torch.ones_like(t) if taken is None else taken.to(t.device).expand_as(t).long()
        for step, new, one in zip(t.split(1), loss.split(1), learned.split(1), strict=True):  # one may occur twice
            before = self.losses.index_select(0, step)  # (1, HISTORY)
            after = torch.cat([before[:, 1:], new[:, None]], dim=1)
            self.losses.index_copy_(0, step, torch.where(one[:, None] > 0, after, before))
        self.counts.index_add_(0, t, learned)

    def state_dict(self) -> dict[str, Any]:
        return {"losses": self.losses, "counts": self.counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.losses.copy_(state["losses"])
        self.counts.copy_(state["counts"])


TIMESTEPS: dict[str, type[UniformSteps] | type[ImportantSteps]] = {
    "uniform": UniformSteps,
    "importance": ImportantSteps,
    "quadratic": QuadraticSteps,
}
