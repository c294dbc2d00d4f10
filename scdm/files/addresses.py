"""Addresses that fsspec reads, s3://bucket/model.safetensors, gs://..., https://..., beside the paths of files."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from .untrusted import brief

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+(://|::)")  # not C://, which is a path


def is_address(name: str) -> bool:
    return ADDRESS.match(name) is not None


def served(address: str) -> tuple[Any, str]:
    """fsspec's file system for an address, and the path in it.

    ValueError if fsspec, or the package for this kind of address, is not installed, or if there is no such kind.
    """
    try:
        from fsspec.core import url_to_fs

        files, path = url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{address} needs another package: {error}. pip install -e '.[remote]'") from error
    return files, path


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
