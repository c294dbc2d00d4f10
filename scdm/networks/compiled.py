"""The network, compiled: its two halves, so that guidance can still decode twice what was encoded once."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..labels import LabelMap
from ..outside import brief
from .unet import Features, UNet


class CompiledUNet(UNet):
    """A `UNet` whose `encode` and `decode` go through `torch.compile`. It shares the weights of the one it is made of."""

    backend: str
    dynamic: bool | None

    @classmethod
    def of(cls, network: UNet, backend: str = "inductor", dynamic: bool | None = None) -> CompiledUNet:
        twin: Any = copy.copy(network)  # of the same layers
        twin.__class__ = cls
        twin.backend, twin.dynamic = backend, dynamic
        return twin

    def encode(self, x: Tensor, t: Tensor) -> Features:
        return _told(_compiled(UNet.encode, self.backend, self.dynamic), self, x, t)

    def decode(self, features: Features, labels: LabelMap | None) -> Tensor:
        return _told(_compiled(UNet.decode, self.backend, self.dynamic), self, features, labels)


@cache
def _compiled(half: Callable[..., Any], backend: str, dynamic: bool | None) -> Callable[..., Any]:
    return torch.compile(half, backend=backend, dynamic=dynamic, fullgraph=True)


def _told(half: Callable[..., Any], *given: Any) -> Any:
    from torch._dynamo.exc import TorchDynamoException  # slow to import, and there by now

    try:
        return half(*given)
    except TorchDynamoException as error:
        raise ValueError(
            f"torch cannot compile the network here: leave compile out, or see what it lacks ({brief(str(error))})"
        ) from error
