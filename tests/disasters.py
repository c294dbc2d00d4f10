"""Ends of a process and full disks, at any operation on files."""

from __future__ import annotations

import builtins
import errno
import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from scdm.files import scratch
from scdm.models import checkpoint

CHANGING = ("mkdir", "open", "replace", "unlink", "rmdir", "chmod", "fsync", "utime")
MAKING = {"mkdir", "open", "write", "fsync"}  # what needs room


class Killed(BaseException):
    """The process is no more."""


class Operations:
    """Counts operations on files, and from number `at` on has them fail: of a process that was `killed` all, on a full disk
    those that need room. Of content that was being written then, half is there."""

    def __init__(self, at: int, killed: bool):
        self.at, self.killed, self.count, self.failed = at, killed, 0, False

    def met(self, name: str) -> bool:
        """Whether an operation is to fail."""
        if not self.killed and name not in MAKING:
            return False
        self.count += 1
        self.failed |= self.count > self.at
        return self.count > self.at

    def fail(self) -> None:
        if self.killed:
            raise Killed
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextmanager
def failing_from(at: int, killed: bool) -> Iterator[Operations]:
    """Within it operations fail as `Operations` says, with Killed or with what a full disk raises."""
    operations = Operations(at, killed)

    def watched(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        def watching(*arguments: Any, **options: Any) -> Any:
            if operations.met(name):
                operations.fail()
            return act(*arguments, **options)

        return watching

    def watched_open(file: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if set(mode) & set("wxa+") and operations.met("open"):
            operations.fail()
        return real_open(file, mode, *arguments, **options)

    def torn_state(content: object, file: Any) -> None:
        real_save(content, whole := io.BytesIO())
        torn(file.write, whole.getvalue())

    def torn_model(tensors: Any, beside: Path, metadata: Any) -> None:
        """By a file of the library's own, as safetensors does it."""
        own = beside.with_name(".tmpAbCdEf")
        real_save_file(tensors, own, metadata)
        content = own.read_bytes()
        os.truncate(own, 0)
        torn(own.write_bytes, content)
        own.replace(beside)

    def torn(write: Callable[[bytes], Any], content: bytes) -> None:
        if operations.met("write"):
            write(content[: len(content) // 2])
            operations.fail()
        write(content)

    real_open, real_save, real_save_file = io.open, torch.save, checkpoint.save_file
    with pytest.MonkeyPatch.context() as patch:
        for name in CHANGING:
            # Waiting for the disk takes longer than all the rest, and says nothing here.
            patch.setattr(os, name, watched(name, (lambda file: None) if name == "fsync" else getattr(os, name)))
        patch.setattr(io, "open", watched_open)
        patch.setattr(builtins, "open", watched_open)
        patch.setattr(torch, "save", torn_state)
        patch.setattr(checkpoint, "save_file", torn_model)
        patch.setattr(scratch, "_swept", set())
        yield operations
