"""What a program does first, before it imports what takes seconds. Needs no other room, and nothing of Python's that is not
there already: until `begin` is called, Ctrl-C is still a traceback.
"""

from __future__ import annotations

import _signal as signal  # what `signal` wraps in enums, by which it takes longer to import than all that happens here
import os
import sys

TYPE_CHECKING = False  # as typing has it, whose own import would take as long
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import NoReturn

INTERRUPTED = 128 + signal.SIGINT  # exit status, as in shells

_program: str | None = None


def begin(program: str) -> None:
    """For the first lines of a program, which no library may call: from here to `perform`, Ctrl-C ends it at once.

    OpenMP's threads, of which torch has its own, sleep instead of spinning while they wait: beside other busy programs
    work is up to three times as fast, alone it is as fast (benchmarks/busy.py). It is read when torch is loaded.
    """
    global _program
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _program = program
    _heed(_end)


def perform(work: Callable[[], int | None]) -> int | None:
    """The exit status of the work of a program that has begun. Ctrl-C is a KeyboardInterrupt in it, and ends in a line."""
    try:
        _heed(signal.default_int_handler)
        status = work()
        _heed(_end)  # the work is done, and Python tidies up
    except KeyboardInterrupt:
        _heed(_end)
        print(f"{_program}: interrupted", file=sys.stderr)
        status = INTERRUPTED
    return status


class importing:
    """Within it Ctrl-C ends a program at once, as after `begin`: no work is under way, and while other packages are
    imported, a KeyboardInterrupt may be swallowed or become another error. Without `begin` it does nothing.
    """

    def __enter__(self) -> None:
        self._before = signal.getsignal(signal.SIGINT)
        _heed(_end)

    def __exit__(self, *error: object) -> None:
        _heed(self._before)


def _heed(handler: Callable[[int, FrameType | None], object] | int | None) -> None:
    """Sets the handler of Ctrl-C, unless it is ignored (nohup), or another program's."""
    if _program is not None and signal.getsignal(signal.SIGINT) in (signal.default_int_handler, _end):
        try:
            signal.signal(signal.SIGINT, handler)
        except ValueError:  # in another thread than the main one
            return


def _end(number: int, frame: FrameType | None) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # closed, or just being written to
            continue
    try:
        where = sys.stderr.fileno()  # not 2 while the command line keeps that from libraries
    except Exception:
        where = 2
    try:
        os.write(where, f"{_program}: interrupted\n".encode())
    finally:
        os._exit(128 + number)
