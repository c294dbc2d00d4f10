"""The running average of the weights, which is what gets released."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class EMA:
    """p <- decay * p + (1 - decay) * new after every step, starting from the initial weights.

    With `warmup` the n-th update's decay is at most (1 + n) / (10 + n): the average of a young run then forgets the
    untrained weights that it started from.
    """

    def __init__(self, network: nn.Module, decay: float, warmup: bool = False):
        self.decay, self.warmup, self.updates = decay, warmup, 0
        self.weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay
        new: dict[str, Tensor] = network.state_dict()
        torch._foreach_lerp_(list(self.weights.values()), [new[name] for name in self.weights], 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates = state["updates"]
        for name, tensor in self.weights.items():
            tensor.copy_(state["weights"][name])
