"""Addresses that fsspec reads, s3://bucket/model.safetensors, gs://..., https://..., beside the paths of files.

What lies there is copied whole (`fetched`), or read in parts (`Remote`).
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from .untrusted import brief

T = TypeVar("T")

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(://|::)")  # not C://, which is a path
PAUSES = (0.5, 2.0, 8.0)  # seconds before what failed is tried again
TRANSIENT = (408, 425, 429)  # statuses of HTTP below 500 that another try may not have
NOT_THERE = (404, 405, 410)
FORBIDDEN = 403  # also what stores say of absent files where nobody may list them
PERMANENT = (
    FileNotFoundError,
    NotADirectoryError,
    IsADirectoryError,
    PermissionError,
    NotImplementedError,
    ImportError,
)


class Unreachable(OSError):
    """What lies at an address cannot be read, also not when it is tried again. The message names it.

    No ValueError, which a damaged file is: another image may stand in for that one, but not for what a network failed to
    bring, or the examples of a run would depend on it.
    """

    absent = False  # whether it is known not to be there
    status: int | None = None  # of HTTP


def is_address(name: str) -> bool:
    return ADDRESS.match(name) is not None


def served(address: str) -> tuple[Any, str]:
    """fsspec's file system for an address, and the path in it. Each process has its own.

    ValueError if fsspec, or the package for this kind of address, is not installed, or refuses the address.
    """
    try:
        _own_process()
        from fsspec.core import url_to_fs

        files, path = url_to_fs(address)
    except ImportError as error:
        raise ValueError(f"{address} needs another package: {error}. pip install -e '.[remote]'") from error
    except ValueError as error:
        raise ValueError(f"{address} cannot be opened: {error}") from error
    _kept[id(files)] = files
    return files, path


# fsspec lets go of file systems in a forked process. Those that nobody else held would close their connections there, and so
# strike them from the list of what the parent waits for, which both share.
_kept: dict[int, Any] = {}
_process = os.getpid()


def _own_process() -> None:
    """In a forked process, has fsspec start an event loop: the parent's does not run here, and old versions (2024.2) wait
    for it without end."""
    global _process
    if _process != os.getpid():
        from fsspec.asyn import reset_lock

        reset_lock()
        _process = os.getpid()


@contextmanager
def fetched(address: str) -> Iterator[Path]:
    """A copy of the file at an address, with its name, that goes when the block ends. Errors of the block that name the copy
    name the address instead. ValueError if there is no such file, or it cannot be copied."""
    files, path = served(address)
    with tempfile.TemporaryDirectory(prefix="scdm-", ignore_cleanup_errors=True) as folder:
        copy = Path(folder) / (PurePosixPath(path).name or "file")
        try:
            files.get_file(path, str(copy))
        except FileNotFoundError as error:
            raise ValueError(f"{address}: there is no such file") from error
        except Exception as error:  # of whatever package serves the address
            raise ValueError(f"{address} cannot be read: {brief(str(error) or type(error).__name__)}") from error
        try:
            yield copy
        except ValueError as error:
            raise ValueError(str(error).replace(str(copy), address)) from error


@dataclass(frozen=True)
class Remote:
    """A file or a folder at an address, read in parts. It holds nothing open, so that any process may have it.

    What fails for a moment is tried again (`PAUSES`). Unreachable if it fails for good, ValueError as for `served`.
    """

    address: str

    def __str__(self) -> str:
        return self.address

    def __truediv__(self, name: str) -> Remote:
        return Remote(f"{self.address.rstrip('/')}/{quote(name) if self._by_http() else name}")

    def relative_to(self, folder: str) -> PurePosixPath:
        """The path of this within a folder at an address, as of a `Path`."""
        return PurePosixPath(self.address).relative_to(folder)

    def read(self, start: int, end: int, what: str = "") -> bytes:
        """The bytes from `start` to before `end`, in one request. what: how an error calls them, if not by the address."""
        files, path = served(self.address)

        def part() -> bytes:
            content = files.cat_file(path, start=start, end=end)
            if len(content) < end - start:
                raise ConnectionError(f"{len(content)} bytes of {end - start} came")
            return content

        content = self._retried(part, what) if end > start else b""
        if len(content) > end - start:
            raise Unreachable(
                f"{what or self} cannot be read: {len(content)} bytes came, where {end - start} were asked"
            )
        return content

    def size(self) -> int:
        """In bytes. Unreachable also if the server does not say."""
        size = self.sizes([""])[""]
        if size is None:
            raise Unreachable(f"{self} cannot be read: the server does not say how many bytes it has")
        return size

    def sizes(self, names: Sequence[str]) -> dict[str, int | None]:
        """In bytes, of the files of this folder with these names, asked for at once; None where the server does not say."""
        files, _ = served(self.address)
        paths = [served(str(self / name if name else self))[1] for name in names]
        return dict(zip(names, self._retried(lambda: files.sizes(paths)), strict=True))

    def listed(self) -> dict[str, int | None]:
        """The sizes of the files in this folder by name, None where the server does not say. There are none if the folder is
        not there, and none if a server of HTTP does not list it."""
        files, path = served(self.address)
        try:
            entries = self._retried(lambda: files.ls(path, detail=True))
        except Unreachable as error:
            if error.absent:
                return {}
            raise
        found: dict[str, int | None] = {}
        for entry in entries:
            within, _, name = entry["name"].rpartition("/")
            if entry["type"] == "file" and within == path.rstrip("/"):  # a page of HTTP may lead anywhere
                found[unquote(name) if self._by_http() else name] = entry["size"]
        return found

    def require_parts(self, size: int) -> None:
        """ValueError if this file, of so many bytes, is on a server that gives no parts of files: where a part is asked for,
        it may send gigabytes. Unreachable if it cannot be read."""
        if not self._by_http():
            return
        files, path = served(self.address)
        block = min(512, size)

        def last_block() -> None:  # by `open`, which ends a reply that is no part; `cat_file` waits for all of it
            with files.open(path, "rb", block_size=block, cache_type="none", size=size) as file:
                file.seek(size - block)
                file.read(block)

        try:
            self._retried(last_block)
        except Unreachable as error:
            if not isinstance(error.__cause__, ValueError):
                raise
            raise ValueError(
                f"{self}: the server sends whole files only, and examples are parts of archives: choose one that answers "
                "requests for ranges of bytes, or copy the archives to a disk"
            ) from error

    def forget(self) -> None:
        """What was listed before, which fsspec keeps for the life of a process, is asked for again."""
        files, _ = served(self.address)
        files.invalidate_cache()

    def lists(self) -> bool:
        """Whether folders here can be listed whole: what a server of HTTP lists, if it does, is a page for people."""
        return not self._by_http()

    def _by_http(self) -> bool:
        return self.address.rpartition("::")[2].startswith(("http://", "https://"))

    def _retried(self, read: Callable[[], T], what: str = "") -> T:
        """The result of `read`, which is called again after each of `PAUSES` while it fails in a way that may pass."""
        for pause in (*PAUSES, None):
            try:
                return read()
            except Exception as error:  # of whatever package serves the address
                reason = self._reason(error)
                status = getattr(reason, "status", None)  # of HTTP, in aiohttp's errors
                if pause is None or not _may_pass(reason, status):
                    words = brief(str(reason) or type(reason).__name__)
                    unreachable = Unreachable(f"{what or self} cannot be read: {words}")
                    unreachable.absent = (
                        isinstance(reason, FileNotFoundError | NotADirectoryError) or status in NOT_THERE
                    )
                    unreachable.status = status if isinstance(status, int) else None
                    raise unreachable from reason
            time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def _reason(self, error: BaseException) -> BaseException:
        """fsspec says of HTTP that there is no file, whatever went wrong when it asked for the size."""
        hidden = self._by_http() and isinstance(error, FileNotFoundError)
        return error.__cause__ or error if hidden else error


def _may_pass(error: BaseException, status: Any) -> bool:
    if isinstance(status, int) and status >= 400:
        return status >= 500 or status in TRANSIENT
    return not isinstance(
        error, (*PERMANENT, ValueError, TypeError)
    )  # ValueError: also a certificate that is not trusted
