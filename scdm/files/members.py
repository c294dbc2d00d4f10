"""Files within tar archives, read in place: an archive of many small files is one file to a file system."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any, BinaryIO, cast

from .untrusted import file_at


class Member(str):
    """ARCHIVE/NAME, as messages call it, which `open` reads. offset, size: of its content in the archive, in bytes."""

    archive: Path
    inner: str  # its name in the archive
    offset: int
    size: int

    def __new__(cls, archive: Path, name: str, offset: int, size: int) -> Member:
        member = super().__new__(cls, f"{archive}/{name}")
        member.archive, member.inner, member.offset, member.size = archive, name, offset, size
        return member

    def __getnewargs__(self) -> tuple[Path, str, int, int]:  # type: ignore[override]
        return self.archive, self.inner, self.offset, self.size

    def read_bytes(self) -> bytes:
        with self.archive.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)

    def open(self, mode: str = "rb") -> BinaryIO:
        assert mode == "rb"
        return cast(BinaryIO, _Part(self.archive.open("rb"), self.offset, self.size))


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


File = Path | Member


def located(path: str | Path | Member) -> File:
    """What can be opened: a member, or the path of an ordinary file. ValueError names what is there instead."""
    return path if isinstance(path, Member) else file_at(path)


def members_of(archive: str | Path) -> list[Member]:
    """The ordinary files in a tar archive, in their order. Nothing is unpacked.

    ValueError if it is none, or is compressed, so that its files cannot be read in place.
    """
    path = file_at(archive)
    try:
        with tarfile.open(path, "r:") as opened:
            return [Member(path, info.name, info.offset_data, info.size) for info in opened if info.isreg()]
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"{path} is no tar archive, or a compressed or damaged one: write it by tar -cf ({error})"
        ) from error
