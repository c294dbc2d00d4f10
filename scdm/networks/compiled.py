"""A network, compiled: its two halves, so that guidance can still decode twice what was encoded once."""

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
from .network import Network

LIMIT = "FailOnRecompileLimitHit"  # of newer torch, after 8 variants; older ones raise a TorchDynamoException


class Compiled(Network):
    """A network whose `encode` and `decode` go through `torch.compile`. It shares the weights of the one it is made of."""

    plain: type[Network]
    backend: str
    dynamic: bool | None

    @classmethod
    def of(cls, network: Network, backend: str = "inductor", dynamic: bool | None = None) -> Compiled:
        twin: Any = copy.copy(network)  # of the same layers
        twin.__class__ = _compiled_kind(type(network))  # type: ignore[arg-type]
        twin.backend, twin.dynamic = backend, dynamic
        return twin

    def encode(self, x: Tensor, t: Tensor, height: int | None = None) -> Any:
        return self._run(self.plain.encode, x, t, height)

    def decode(self, features: Any, labels: LabelMap | None) -> Tensor:
        return self._run(self.plain.decode, features, labels)

    def _run(self, half: Callable[..., Any], *given: Any) -> Any:
        from torch._dynamo.exc import TorchDynamoException  # slow to import

        try:
            return _compiled(half, self.backend, self.dynamic)(self, *given)
        except TorchDynamoException as error:
            advice = f"leave compile out, or see what it lacks ({brief(str(error))})"
            raise ValueError(f"torch cannot compile the network here: {advice}") from error
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
def _compiled_kind(plain: type[Network]) -> type[Network]:
    return type(f"Compiled{plain.__name__}", (Compiled, plain), {"plain": plain})


@cache
def _compiled(half: Callable[..., Any], backend: str, dynamic: bool | None) -> Callable[..., Any]:
    return torch.compile(half, backend=backend, dynamic=dynamic, fullgraph=True)
