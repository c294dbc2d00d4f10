"""A function applied to many things by several processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import cv2
import torch

A = TypeVar("A")
B = TypeVar("B")

_CHUNK = 16  # things that travel together


def mapped(function: Callable[[A], B], things: Iterable[A], workers: int) -> Iterator[B]:
    """The results in the order of `things`. With `workers` below 2 this process does the work itself."""
    if workers < 2:
        yield from map(function, things)
        return
    before_fork()
    with multiprocessing.Pool(workers, _adopt, (function,)) as pool:
        yield from pool.imap(_call, things, _CHUNK)


def before_fork() -> None:
    """To be called before worker processes are made."""
    # Threads do not survive a fork, but their locks do: OpenCV would wait forever.
    cv2.setNumThreads(1)


_function: Callable[[Any], Any]  # of a worker: it may hold a large data set and should travel once only


def _adopt(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function
    torch.set_num_threads(1)  # or the first large operation waits for threads that the fork did not copy
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers


def _call(thing: Any) -> Any:
    return _function(thing)
