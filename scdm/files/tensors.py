"""Files of tensors: safetensors, and those of `torch.save` without running what else they hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from .kinds import what_is
from .untrusted import brief


def tensors_in(path: str | Path, mmap: bool = False) -> Any:
    """What torch.save wrote to a file, on the CPU. Objects whose loading would run code are refused.

    A damaged file makes torch raise almost anything. mmap: tensors are read from the file where they are used.
    """
    return torch.load(str(path), map_location="cpu", weights_only=True, mmap=mmap)


@contextmanager
def opened(path: str | Path) -> Iterator[Any]:
    """A safetensors file, whose tensors are read when they are asked for. ValueError says what is there instead."""
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        kind = what_is(path)
        detail = f"; it looks like {kind}" if kind else f" ({brief(str(error))}): download it again"
        raise ValueError(f"not a safetensors file or checkpoint, or incomplete{detail}") from error
