"""Devices and precision: which type to compute in, and copies to a device that do not block."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .files.untrusted import shown

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
HALVES = (torch.bfloat16, torch.float16)
AUTO = "auto"


def dtype_called(name: str | torch.dtype | None) -> torch.dtype:
    """float32, bfloat16 or float16, by its name or as itself; None is float32. ValueError for any other."""
    dtype = torch.float32 if name is None else PRECISIONS.get(name) if isinstance(name, str) else name
    if not isinstance(dtype, torch.dtype) or dtype not in PRECISIONS.values():
        raise ValueError(f"a model's weights are of the type {', '.join(PRECISIONS)}, not {shown(name)}")
    return dtype


def device_called(name: str | torch.device) -> torch.device:
    """A device by torch's name ("cuda", "cuda:1", "mps", "cpu"), or "auto", the best that there is. ValueError for one that
    torch does not know or cannot use here."""
    usable = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == AUTO:
        name = next(kind for kind, there in usable.items() if there)
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise ValueError(f"torch knows no device {shown(name)}: choose {AUTO}, {', '.join(usable)}") from None
    if not usable.get(device.type, True):
        there = ", ".join(kind for kind, there in usable.items() if there)
        raise ValueError(f"this computer has no {device.type} device that torch can use: choose {AUTO} ({there})")
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        raise ValueError(f"this computer has no device {device}, only cuda:0 to cuda:{count - 1}")
    return device


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def fast_dtype(device: torch.device | str) -> torch.dtype:
    """What a device is fast and safe in.

    A CPU: float32, since few have units for less. CUDA: bfloat16 where the GPU has it (Ampere and later), which spans the
    numbers of float32; else float16 where there are tensor cores for it (Volta and Turing); else float32. All others, MPS
    among them: float32, for nothing else has been tried there.
    """
    device = torch.device(device)
    if device.type != "cuda":
        return torch.float32
    generation, _ = torch.cuda.get_device_capability(device)  # of ROCm's GPUs, gfx90a is 9.0
    if generation >= 8:
        return torch.bfloat16
    return torch.float16 if generation == 7 else torch.float32


def sent(values: Tensor, device: torch.device) -> Tensor:
    """The values on the device. A copy to a GPU is asynchronous."""
    # From memory that is not pinned, CUDA has taken a copy before it returns; of others that is not known.
    return values.to(device, non_blocking=device.type == "cuda" and values.device.type == "cpu")


def exact_device(device: torch.device) -> torch.device:
    """Where float64 can be had for work on `device`: there, but MPS has none, so that the host has to help."""
    return torch.device("cpu") if device.type == "mps" else device


class Table:
    """Numbers by position (N,), of float64 or integers, and a copy for each type and device that asked: rounded once."""

    def __init__(self, values: np.ndarray):
        with torch.inference_mode(False):  # or training could not go by what sampling has left here
            self.values = torch.from_numpy(np.array(values))
        self._copies: dict[tuple[torch.dtype, torch.device], Tensor] = {}

    def on(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """(N,)"""
        copy = self._copies.get((dtype, device))
        if copy is not None:
            return copy
        if torch.compiler.is_compiling():  # what is made within a graph is not to be kept
            return self.values.to(dtype).to(device)
        with torch.inference_mode(False):
            # Rounded before it is moved: MPS knows no float64.
            self._copies[dtype, device] = copy = self.values.to(dtype).to(device)
        return copy

    def index_of(self, values: Tensor) -> Tensor:
        """Positions (B,) of values (B,) in a table of ascending integers."""
        return torch.searchsorted(self.on(torch.int64, values.device), values.contiguous())
