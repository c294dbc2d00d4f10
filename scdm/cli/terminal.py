"""Output to the terminal, which may be closed, and signals from it that end the work. Free of torch."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn, TextIO

from ..files.untrusted import harmless

ENDINGS = ("SIGTERM", "SIGHUP")  # SIGINT is Python's KeyboardInterrupt already


class Ended(KeyboardInterrupt):
    """The process is ended by the signal of this number."""

    def __init__(self, number: int):
        self.number = number


def say(line: str, stream: TextIO | None = None) -> None:
    """One line of standard output, or of `stream`; control characters in it are written out."""
    write(harmless(line) + "\n", stream or sys.stdout)


def write(text: str, stream: TextIO) -> None:
    """Writes at once. Where nobody listens any more, as in `scdm inspect FILE | head -1`, the work goes on in silence."""
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        if stream is sys.stdout and not isinstance(error, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def prepare() -> None:
    """Standard streams that were closed (`>&-`) lead nowhere; names that a terminal cannot write are no reason to stop."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@contextmanager
def alone_on_stderr() -> Iterator[None]:
    """Within it, what libraries in C print past Python (libtiff about damaged files) leads nowhere: an error is one line."""
    try:
        ours = sys.stderr.fileno() == 2
    except (OSError, ValueError, AttributeError):  # another stream was put in its place
        ours = False
    if not ours:
        yield
        return
    before = sys.stderr
    before.flush()
    saved = os.dup(2)
    with open(saved, "w", buffering=1, encoding=before.encoding, errors=before.errors) as stream:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        sys.stderr = stream
        try:
            yield
        finally:
            sys.stderr = before
            os.dup2(saved, 2)


@contextmanager
def stoppable() -> Iterator[None]:
    """Within it, signals that end a process raise `Ended`, so that nothing half made is left behind."""

    def end(number: int, frame: FrameType | None) -> NoReturn:
        raise Ended(number)

    # Those that are ignored (nohup) stay so. Another thread than the main one may not ask for signals.
    numbers = [getattr(signal, name) for name in ENDINGS if hasattr(signal, name)]
    heeded = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    with suppress(ValueError):
        for number in heeded:
            signal.signal(number, end)
    try:
        yield
    finally:
        with suppress(ValueError):
            for number in heeded:
                signal.signal(number, signal.SIG_DFL)
