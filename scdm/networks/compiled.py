"""The network, compiled: its two halves, so that guidance can still decode twice what was encoded once."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor

from ..files.untrusted import brief
from ..layouts.labels import LabelMap
from .unet import Features, UNet

LIMIT = "FailOnRecompileLimitHit"  # of newer torch, after 8 variants; older ones raise a TorchDynamoException


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
        return self._run(UNet.encode, x, t)

    def decode(self, features: Features, labels: LabelMap | None) -> Tensor:
        return self._run(UNet.decode, features, labels)

    def _run(self, half: Callable[..., Any], *given: Any) -> Any:
        from torch._dynamo.exc import TorchDynamoException  # slow to import

        try:
            return _compiled(half, self.backend, self.dynamic)(self, *given)
        except TorchDynamoException as error:
            raise ValueError(
                f"torch cannot compile the network here: leave compile out, or see what it lacks ({brief(str(error))})"
            ) from error
        except Exception as error:
            if type(error).__name__ != LIMIT:
                raise
            warnings.warn(
                "torch compiles no more variants of the network (sizes, batches, precisions) in this process: what is new "
                "runs as it does without compile",
                stacklevel=2,
            )
            return half(self, *given)


@cache
def _compiled(half: Callable[..., Any], backend: str, dynamic: bool | None) -> Callable[..., Any]:
    return torch.compile(half, backend=backend, dynamic=dynamic, fullgraph=True)
