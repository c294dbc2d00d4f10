"""Files within tar archives, read in place: an archive of many small files is one file to a file system."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

from .addresses import Remote, Unreachable
from .untrusted import file_at

Archive = Path | Remote

WHOLE = 32 * 2**20  # bytes of a member at an address that are read at once; of larger ones, as many as are wanted
BLOCK = 2**16  # that are read at once of an archive at an address, to find headers


class Member(str):
    """ARCHIVE/NAME, as messages call it, which `open` reads. offset, size: of its content in the archive, in bytes.

    What is read of an archive at an address raises Unreachable, which names the member, if that fails for good.
    """

    archive: Archive
    inner: str  # its name in the archive
    offset: int
    size: int

    def __new__(cls, archive: Archive, name: str, offset: int, size: int) -> Member:
        member = super().__new__(cls, f"{archive}/{name}")
        member.archive, member.inner, member.offset, member.size = archive, name, offset, size
        return member

    def __getnewargs__(self) -> tuple[Archive, str, int, int]:  # type: ignore[override]
        return self.archive, self.inner, self.offset, self.size

    def read_bytes(self) -> bytes:
        if isinstance(self.archive, Remote):
            return self.archive.read(self.offset, self.offset + self.size, str(self))
        with self.archive.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)

    def open(self, mode: str = "rb", buffering: int = -1) -> BinaryIO:
        """buffering: bytes that are asked for at once at an address, by who wants no more than a header; -1 for all."""
        assert mode == "rb"
        if not isinstance(self.archive, Remote):
            return cast(BinaryIO, _Part(self.archive.open("rb"), self.offset, self.size))
        if buffering < 0 and self.size <= WHOLE:
            return io.BytesIO(self.read_bytes())
        return _ranges(self.archive, self.offset, self.size, buffering if buffering > 0 else WHOLE, str(self))


class _Part(io.RawIOBase):
    """`size` bytes of a file from `offset` on, as a file of their own: whoever wants a header reads no more than that."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self.file, self.start, self.end = file, offset, offset + size
        file.seek(offset)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.file.seek((self.start, self.file.tell(), self.end)[whence] + offset) - self.start

    def readinto(self, buffer: Any) -> int:
        left = max(0, self.end - self.file.tell())
        return self.file.readinto(memoryview(buffer)[:left])  # type: ignore[attr-defined]

    def close(self) -> None:
        self.file.close()
        super().close()


class _Ranges(io.RawIOBase):
    """`size` bytes as a file. read: (start, end) -> those from `start` to before `end`."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self.bytes_between, self.size, self.place = read, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.place = (0, self.place, self.size)[whence] + offset
        return self.place

    def readinto(self, buffer: Any) -> int:
        content = self._next(len(buffer))
        memoryview(buffer)[: len(content)] = content
        return len(content)

    def readall(self) -> bytes:  # which else goes by a few kilobytes
        return self._next(self.size)

    def _next(self, most: int) -> bytes:
        content = self.bytes_between(self.place, max(self.place, min(self.place + most, self.size)))
        self.place += len(content)
        return content


def _ranges(archive: Remote, offset: int, size: int, block: int, what: str) -> BinaryIO:
    """A part of an archive at an address, of which `block` bytes are read at once."""
    ranges = _Ranges(lambda start, end: archive.read(offset + start, offset + end, what), size)
    return io.BufferedReader(ranges, block)


File = Path | Member


def located(path: str | Path | Member) -> File:
    """What can be opened: a member, or the path of an ordinary file. ValueError names what is there instead."""
    return path if isinstance(path, Member) else file_at(path)


def members_of(archive: str | Archive) -> list[Member]:
    """The ordinary files in a tar archive, in their order. Nothing is unpacked. At an address each takes a request or so.

    ValueError if it is none, or is compressed, so that its files cannot be read in place. Unreachable as for `Remote`.
    """
    place = archive if isinstance(archive, Remote) else file_at(archive)
    headers = _ranges(place, 0, place.size(), BLOCK, "") if isinstance(place, Remote) else place.open("rb")
    try:
        with headers, tarfile.open(fileobj=headers, mode="r:") as opened:
            return [Member(place, info.name, info.offset_data, info.size) for info in opened if info.isreg()]
    except Unreachable:
        raise
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"{place} is no tar archive, or a compressed or damaged one: write it by tar -cf ({error})"
        ) from error
