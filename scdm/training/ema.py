"""The running average of the weights, which is what gets released."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class EMA:
    """The average of a network in training: p <- decay * p + (1 - decay) * new after every step, from the first weights on.

    With `warmup` the n-th update's decay is at most (1 + n) / (10 + n): the average of a young run then forgets the
    untrained weights that it started from. Of a network that is sharded, every process averages its own part.

    All of it, the count of updates too, lives on the network's device: the host never waits for a number.
    """

    def __init__(self, network: nn.Module, decay: float, warmup: bool = False):
        self.decay, self.warmup = decay, warmup
        self.weights = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
        self.updates = torch.zeros((), dtype=torch.int64, device=next(network.parameters()).device)

    @torch.no_grad()
    def update(self, network: nn.Module, taken: Tensor | None = None) -> None:
        """taken: bool (), on the network's device. If it is false, nothing changes."""
        self.updates += 1 if taken is None else taken
        share = torch.full_like(self.updates, 1 - self.decay, dtype=torch.float32)  # of what is new
        if self.warmup:
            share = share.maximum(9 / (10 + self.updates))  # 1 - (1 + n) / (10 + n)
        if taken is not None:
            share = share * taken
        averages, news = ([_own(v) for v in values] for values in (self.weights.values(), network.parameters()))
        torch._foreach_lerp_(averages, news, [share] * len(averages))

    def whole(self, wanted: bool = True) -> dict[str, Tensor]:
        """The averaged weights on the CPU, for reading only. Every process must call it, wanted there or not."""
        weights = ((name, gathered(weight)) for name, weight in self.weights.items())
        return {name: weight.cpu() for name, weight in weights if wanted}

    def state_dict(self, wanted: bool = True) -> dict[str, Any]:
        return {"updates": int(self.updates), "weights": self.whole(wanted)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates.fill_(state["updates"])
        for name, weight in self.weights.items():
            weight.copy_(_spread_like(weight, state["weights"][name].to(weight.device)))


def _own(tensor: Any) -> Tensor:
    """What this process holds of a tensor."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor  # a DTensor of torch.distributed


def gathered(tensor: Any) -> Tensor:
    """The whole of a tensor that may be sharded over the processes, all of which must call this."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def _spread_like(own: Any, whole: Tensor) -> Tensor:
    if not hasattr(own, "full_tensor"):
        return whole
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(whole, own.device_mesh, own.placements)
