"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .scratch import PREFIX, scratch


@contextmanager
def written_whole(path: str | Path, durable: bool = False) -> Iterator[Path]:
    """A name to write to: moved to `path` on success, removed on failure. Nobody sees half a file, and whatever ends the
    process, what was there before is kept, and half a file goes when something is next written into the folder.

    durable: so that not even a power cut loses what is there under the new name.
    OSError names `path` and the reason.
    """
    path = Path(path)
    if not path.parent.is_dir() or path.is_dir():
        here = f"{path} is a folder: give the name of a file"
        raise ValueError(here if path.is_dir() else f"{path}: there is no folder {path.parent}")
    try:
        with scratch(path.parent) as folder:
            beside = folder / "new"
            beside.touch()
            usual_mode = beside.stat().st_mode  # safetensors, for one, makes files that only their owner may read
            yield beside
            beside.chmod(usual_mode)
            if durable:
                _to_disk(beside)
            beside.replace(path)
            if durable and os.name != "nt":
                with suppress(OSError):  # some file systems do so by themselves, and know no such request
                    _to_disk(path.parent)
    except OSError as error:
        if error.errno is None or (error.filename is not None and PREFIX not in str(error.filename)):
            raise  # about something else
        raise OSError(error.errno, error.strerror, str(path)) from error


def _to_disk(path: Path) -> None:
    file = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def made_folder(path: str | Path) -> Path:
    """A folder to write to, made with those above it if need be. ValueError if it cannot be made."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        blocked = isinstance(error, (FileExistsError, NotADirectoryError))
        raise ValueError(f"no folder {path}: {'a file is in its place' if blocked else error.strerror}") from error
    return path


def write_text(path: str | Path, text: str) -> None:
    """A text in UTF-8, whole or not at all."""
    with written_whole(path) as beside:
        beside.write_text(text, encoding="utf-8")
