"""The running average of the weights, which is what gets released."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class EMA:
    """p <- decay * p + (1 - decay) * new after every step, starting from the initial weights."""

    def __init__(self, network: nn.Module, decay: float):
        self.decay = decay
        self.weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        new: dict[str, Tensor] = network.state_dict()
        torch._foreach_lerp_(list(self.weights.values()), [new[name] for name in self.weights], 1 - self.decay)

    def state_dict(self) -> dict[str, Any]:
        return dict(self.weights)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, tensor in self.weights.items():
            tensor.copy_(state[name])
