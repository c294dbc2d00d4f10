"""Which steps of the process a batch is trained at."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor

HISTORY = 10  # losses that are remembered of each step
UNIFORM_SHARE = 0.001  # of importance sampling, so that no step is forgotten


class Timesteps(Protocol):
    def pick(self, chance: Tensor) -> tuple[Tensor, Tensor]:
        """Draws (B,) in [0, 1), on the CPU -> the steps t (B,) int64 and the weights of their losses (B,) float32."""

    def update(self, t: Tensor, loss: Tensor, taken: Tensor | None = None) -> None:
        """Learns from the losses (B,) that there were at t (B,), unless `taken`, bool (), is false.

        All processes must be told the same.
        """

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class UniformSteps:
    """Every step alike."""

    def __init__(self, steps: int, device: torch.device | str = "cpu"):
        self.steps = steps

    def pick(self, chance: Tensor) -> tuple[Tensor, Tensor]:
        return (chance * self.steps).long(), torch.ones(len(chance))

    def update(self, t: Tensor, loss: Tensor, taken: Tensor | None = None) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class ImportantSteps:
    """Steps by the root mean square of their latest losses, weighted so that the mean loss stays the same.

    Nichol & Dhariwal 2021, section 3.3. Uniform until there are HISTORY losses of every step. What it remembers lives on
    `device`, where the losses are made, so that nobody waits for them.
    """

    def __init__(self, steps: int, device: torch.device | str = "cpu"):
        if torch.device(device).type == "mps":  # which knows no float64
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
}
