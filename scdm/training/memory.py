"""Memory: how much a run takes, and what to do when there is too little."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from accelerate import Accelerator

from ..files.untrusted import is_out_of_memory
from .config import RunConfig


@contextmanager
def explained(config: RunConfig, accelerator: Accelerator) -> Iterator[None]:
    """Running out of memory becomes a MemoryError that names the settings to change."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        part = config.batch // accelerator.num_processes // config.micro_batches
        raise MemoryError(
            f"out of memory on {accelerator.device.type} with {part} images of {config.sizes} pixels at a time "
            f"(batch {config.batch}, {accelerator.num_processes} processes, micro_batches {config.micro_batches}): "
            f"set micro_batches to {2 * config.micro_batches}, "
            f"{'' if config.checkpointing else 'checkpointing to true, '}or batch to less"
        ) from error


def synchronize(device: torch.device) -> None:
    """Waits until the device has done all that it was told."""
    if device.type != "cpu":
        torch.empty((), device=device).cpu()


def peak_gigabytes(device: torch.device) -> float:
    """The most that this process has held at once, on the device or, on a CPU, in all. nan where nobody counts."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    try:
        import resource  # not on Windows
    except ImportError:
        return float("nan")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
