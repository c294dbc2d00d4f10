"""Folders for what is being written: whatever ends a process, nothing of them stays for ever.

A folder is locked for as long as its process lives. What a killed one left is not locked, and goes when another process
writes to the same place. Whole folders, because libraries write further files beside the one that they are given.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed
    fcntl = None  # type: ignore[assignment]

PREFIX = ".scdm-"
LOCK = "lock"

_swept: set[Path] = set()  # where this process has looked for what others left


@contextmanager
def scratch(place: Path) -> Iterator[Path]:
    """A new folder in the folder `place`, removed at the end with what is left in it."""
    _sweep_once(place)
    folder, lock = _locked(place)
    try:
        yield folder
    finally:
        with suppress(OSError):  # what cannot be removed now goes with a later sweep
            _remove(folder, lock)


def sweep(place: Path) -> None:
    """Removes from a folder what processes that no longer live were writing."""
    for folder in place.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another process was faster, or may do what this one may not
            _remove_unlocked(folder)


def clear(place: Path) -> None:
    """Removes from a folder all that was being written: for those who know that nobody is."""
    for left in place.glob(f"{PREFIX}*"):
        _discard(left)


def _sweep_once(place: Path) -> None:
    place = place.resolve()
    if place not in _swept:
        _swept.add(place)
        sweep(place)


def _locked(place: Path) -> tuple[Path, int]:
    while True:  # a sweep takes what is not locked yet for left behind
        folder = place / f"{PREFIX}{secrets.token_hex(8)}"
        folder.mkdir()
        try:
            lock = os.open(folder / LOCK, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        except FileNotFoundError:
            if place.is_dir():
                continue
            raise
        except BaseException:
            folder.rmdir()
            raise
        if _lock(lock) and (folder / LOCK).exists():
            return folder, lock
        os.close(lock)


def _lock(file: int) -> bool:
    """False if a sweep was faster."""
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system that knows no locks, where sweeps remove nothing
        return True
    return True


def _remove_unlocked(folder: Path) -> None:
    try:
        lock = os.open(folder / LOCK, os.O_RDWR)
    except FileNotFoundError:
        folder.rmdir()  # its process ended before there was anything in it, or while it was removed
        return
    if fcntl is None:
        os.close(lock)
        (folder / LOCK).unlink()  # an error if it is open elsewhere
        shutil.rmtree(folder)
    elif _is_free(lock):
        _remove(folder, lock)
    else:
        os.close(lock)


def _is_free(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # locked, or on a file system that knows no locks
        return False
    return True


def _remove(folder: Path, lock: int) -> None:
    """The lock goes last: without it there is never anything else in the folder."""
    try:
        for left in folder.iterdir():
            if left.name != LOCK:
                _discard(left)
        if fcntl is None:
            os.close(lock)
        (folder / LOCK).unlink()
        folder.rmdir()
    finally:
        if fcntl is not None:
            os.close(lock)


def _discard(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
