"""Which steps of the process a batch is trained at."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

HISTORY = 10  # losses that are remembered of each step
UNIFORM_SHARE = 0.001  # of importance sampling, so that no step is forgotten


class Timesteps(Protocol):
    def pick(self, chance: Tensor) -> tuple[Tensor, Tensor]:
        """Draws (B,) in [0, 1) -> the steps t (B,) int64 and the weights of their losses (B,) float32."""

    def update(self, t: Tensor, loss: Tensor) -> None:
        """Learns from the losses (B,) that there were at t (B,). All processes must be told the same."""

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class UniformSteps:
    """Every step alike."""

    def __init__(self, steps: int):
        self.steps = steps

    def pick(self, chance: Tensor) -> tuple[Tensor, Tensor]:
        return (chance * self.steps).long(), torch.ones(len(chance))

    def update(self, t: Tensor, loss: Tensor) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class ImportantSteps:
    """Steps by the root mean square of their latest losses, weighted so that the mean loss stays the same.

    Nichol & Dhariwal 2021, section 3.3. Uniform until there are HISTORY losses of every step.
    """

    def __init__(self, steps: int):
        self.losses = torch.zeros(steps, HISTORY, dtype=torch.float64)  # of each step, the latest last
        self.counts = torch.zeros(steps, dtype=torch.int64)

    @property
    def weights(self) -> Tensor:
        """(T,) float64: how likely each step is. All 1 while there is too little to go by, then of sum 1."""
        if (self.counts < HISTORY).any():
            return torch.ones(len(self.counts), dtype=torch.float64)
        size = self.losses.square().mean(1).sqrt()
        return size / size.sum() * (1 - UNIFORM_SHARE) + UNIFORM_SHARE / len(size)

    def pick(self, chance: Tensor) -> tuple[Tensor, Tensor]:
        weights = self.weights
        p = weights / weights.sum()  # (T,)
        t = torch.searchsorted(p.cumsum(0), chance.double(), right=True).clamp(max=len(p) - 1)
        return t, (1 / (len(p) * p[t])).float()

    def update(self, t: Tensor, loss: Tensor) -> None:
        for step, value in zip(t.tolist(), loss.tolist(), strict=True):
            self.losses[step] = self.losses[step].roll(-1)
            self.losses[step, -1] = value
            self.counts[step] += 1

    def state_dict(self) -> dict[str, Any]:
        return {"losses": self.losses, "counts": self.counts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.losses, self.counts = state["losses"].clone(), state["counts"].clone()


TIMESTEPS: dict[str, type[UniformSteps] | type[ImportantSteps]] = {
    "uniform": UniformSteps,
    "importance": ImportantSteps,
}
