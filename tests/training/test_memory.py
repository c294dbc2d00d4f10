"""Memory: what runs out is told with the settings to change, whatever the machine calls it."""

from __future__ import annotations

import pytest
import torch

from scdm.training.loop import new_accelerator
from scdm.training.memory import explained
from tests.training.tiny import config


@pytest.mark.parametrize(
    "failure",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: not enough memory: you tried ..."),
        MemoryError(),
    ],
)
def test_every_lack_of_memory_is_explained(failure: Exception) -> None:
    run = config(batch=6, micro_batches=2)
    words = r"3 images of 16 pixels at a time .*: set micro_batches to 4"
    with pytest.raises(MemoryError, match=words) as caught, explained(run, new_accelerator(run)):
        raise failure
    assert caught.value.__cause__ is failure


def test_nothing_else_is() -> None:
    run = config()
    with pytest.raises(RuntimeError, match="shapes do not match"), explained(run, new_accelerator(run)):
        raise RuntimeError("shapes do not match")
