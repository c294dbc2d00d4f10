"""The rules of an accelerator: imposed where there is none, and kept where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# What brings numbers to a device, or looks up where they are.
MOVES = ("aten::_to_copy", "aten::copy_")


class OneDevice(TorchDispatchMode):
    """Every operation's tensors are on one device, but for those that bring them there: `meta` itself lets some of the
    host's pass. Single numbers may be on the host, as everywhere."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name not in MOVES:
            devices = {
                tensor.device for tensor in _tensors((args, kwargs)) if tensor.ndim or tensor.device.type != "cpu"
            }
            assert len(devices) <= 1, f"{func} was given tensors on {sorted(map(str, devices))}"
        return func(*args, **(kwargs or {}))


class AcceleratorLayouts(TorchFunctionMode):
    """Group norms as all devices but CPUs have them: the public one makes its tensors contiguous, the one beneath takes no
    others."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.group_norm, F.group_norm):
            args = (args[0].contiguous(), *args[1:])
        if func is torch.native_group_norm and not args[0].is_contiguous():
            raise RuntimeError("Expected X.is_contiguous(memory_format) to be true, but got false.")
        return func(*args, **(kwargs or {}))


@contextmanager
def no_waiting() -> Iterator[None]:
    """Whatever waits for the GPU raises."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def _tensors(values: Any) -> Iterator[Tensor]:
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, dict):
        yield from _tensors(list(values.values()))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _tensors(value)
