"""What ends a run early: the death of a reader is told from an error of reading."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from scdm.training.interruption import Interruption, explained
from scdm.training.loop import new_accelerator
from tests.training.tiny import config

DEATHS = [
    RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "),
    ConnectionResetError(104, "Connection reset by peer"),
    EOFError(),
    FileNotFoundError(2, "No such file or directory"),  # the socket of a reader that is gone
]
ERRORS = [
    RuntimeError("mat1 and mat2 must have the same dtype"),
    FileNotFoundError("Caught FileNotFoundError in DataLoader worker process 0.\nTraceback ..."),
]


def failing(error: Exception) -> Iterator[list[int]]:
    yield [1]
    raise error


@pytest.mark.parametrize("error", DEATHS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("signum", [None, 15])
def test_a_dead_reader_ends_the_stream(error: Exception, signum: int | None) -> None:
    stream = failing(error)
    with Interruption() as interruption:
        interruption.signum = signum
        assert interruption.upcoming(stream) == [1] and interruption.upcoming(stream) == []
    assert (interruption.lost is None) == (signum is not None), "a signal to all is no loss"


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_other_errors_are_passed_on(error: Exception) -> None:
    with Interruption() as interruption, pytest.raises(type(error)):
        interruption.upcoming(failing_at_once(error))


def failing_at_once(error: Exception) -> Iterator[list[int]]:
    stream = failing(error)
    next(stream)
    return stream


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
