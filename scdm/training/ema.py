"""The running average of the weights, which is what gets released."""

from __future__ import annotations

import copy
from typing import Any, Generic, TypeVar

import torch
from torch import nn

N = TypeVar("N", bound=nn.Module)


class EMA(Generic[N]):
    """The average of a network in training: p <- decay * p + (1 - decay) * new after every step, from the first weights on.

    With `warmup` the n-th update's decay is at most (1 + n) / (10 + n): the average of a young run then forgets the
    untrained weights that it started from.
    """

    def __init__(self, network: N, decay: float, warmup: bool = False):
        self.decay, self.warmup, self.updates = decay, warmup, 0
        self.network: N = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay
        own, new = self.network.state_dict(), network.state_dict()
        torch._foreach_lerp_(list(own.values()), [new[name] for name in own], 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "weights": self.network.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates = state["updates"]
        self.network.load_state_dict(state["weights"])
