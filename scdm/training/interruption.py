"""What ends a run early: signals, readers that are killed, and too little memory."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, TypeVar

from ..files.untrusted import is_out_of_memory
from .config import RunConfig

if TYPE_CHECKING:
    from accelerate import Accelerator

SIGNALS = (signal.SIGINT, signal.SIGTERM)
CHILD: int | None = getattr(signal, "SIGCHLD", None)  # not on Windows
READER = re.compile(r"DataLoader worker \(pid")  # how torch's message begins
# What a killed reader raises here: torch notices, or the connection over which it shares memory is gone.
DEATHS = (RuntimeError, ConnectionError, EOFError, FileNotFoundError)

T = TypeVar("T")


class Interrupted(Exception):
    """A run ended early, and saved, because a signal asked it to. The message says how to go on."""

    def __init__(self, signum: int, message: str):
        super().__init__(message)
        self.signum = signum


class Interruption:
    """Within this context SIGINT and SIGTERM are only noted; `signum` is the first that came, or None.

    More of them change nothing: launchers and clusters often send several. SIGKILL ends a run at once, and loses the steps
    since the last save.

    lost: torch's message about a data loader process that was killed, or None.
    """

    def __init__(self) -> None:
        self.signum: int | None = None
        self.lost: str | None = None
        self._before: dict[int, Any] = {}
        self._when_reading: Any = None

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():  # no other may
            self._before = {signum: signal.signal(signum, self._note) for signum in SIGNALS}
            if CHILD is not None:
                self._before[CHILD] = self._when_reading = signal.signal(CHILD, _ignored)
        return self

    def __exit__(self, *error: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, signal.SIG_DFL if handler is None else handler)

    def upcoming(self, stream: Iterator[list[T]]) -> list[T]:
        """The next batch; an empty one if the processes that read were killed."""
        try:
            with self._reading():
                return next(stream)
        except DEATHS as error:
            if self.signum is None:  # else a signal to all processes has ended them
                if not _is_a_death(error):
                    raise
                self.lost = str(error)
            return []

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Only within it may torch raise, from a handler of its own, because a reader has died: between any two other
        instructions it would leave half a step, or half a save."""
        if CHILD is None or CHILD not in self._before:
            yield
            return
        signal.signal(CHILD, self._when_reading)
        try:
            yield
        finally:
            self._when_reading = signal.getsignal(CHILD)  # torch sets it when it starts the first reader
            signal.signal(CHILD, _ignored)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.signum = self.signum or signum


@contextmanager
def explained(config: RunConfig, accelerator: Accelerator) -> Iterator[None]:
    """Running out of memory becomes a MemoryError that names the settings to change."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryError(out_of_memory(config, accelerator)) from error


def out_of_memory(config: RunConfig, accelerator: Accelerator) -> str:
    processes, parts = accelerator.num_processes, config.micro_batches
    return (
        f"out of memory on {accelerator.device.type} with {config.batch // processes // parts} images of {config.sizes} "
        f"pixels at a time (batch {config.batch}, {processes} processes, micro_batches {parts}): set micro_batches to "
        f"{2 * parts}, {'' if config.checkpointing else 'checkpointing to true, '}or batch to less"
    )


def _is_a_death(error: Exception) -> bool:
    """Whether this is not an error of reading, which torch hands on from a reader in words that begin with Caught."""
    if isinstance(error, RuntimeError):
        return bool(READER.match(str(error)))
    return not str(error).startswith("Caught")


def _ignored(signum: int, frame: FrameType | None) -> None:
    pass
