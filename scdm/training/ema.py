"""The running average of the weights, which is what gets released."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class EMA:
    """The average of a network in training: p <- decay * p + (1 - decay) * new after every step, from the first weights on.

    With `warmup` the n-th update's decay is at most (1 + n) / (10 + n): the average of a young run then forgets the
    untrained weights that it started from. Of a network that is sharded, every process averages its own part.
    """

    def __init__(self, network: nn.Module, decay: float, warmup: bool = False):
        self.decay, self.warmup, self.updates = decay, warmup, 0
        self.weights = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay
        torch._foreach_lerp_(list(self.weights.values()), list(network.parameters()), 1 - decay)

    def whole(self, wanted: bool = True) -> dict[str, Tensor]:
        """The averaged weights on the CPU, for reading only. Every process must call it, wanted there or not."""
        gathered = ((name, _gathered(weight)) for name, weight in self.weights.items())
        return {name: weight.cpu() for name, weight in gathered if wanted}

    def state_dict(self, wanted: bool = True) -> dict[str, Any]:
        return {"updates": self.updates, "weights": self.whole(wanted)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates = state["updates"]
        for name, weight in self.weights.items():
            weight.copy_(_spread_like(weight, state["weights"][name].to(weight.device)))


def _gathered(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # a DTensor of torch.distributed


def _spread_like(own: Any, whole: Tensor) -> Tensor:
    if not hasattr(own, "full_tensor"):
        return whole
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole, own.device_mesh, own.placements)
