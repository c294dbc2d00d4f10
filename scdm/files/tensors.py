"""Files of `torch.save`: tensors and plain data, without running what else they hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch


def tensors_in(path: str | Path, mmap: bool = False) -> Any:
    """What torch.save wrote to a file, on the CPU. Objects whose loading would run code are refused.

    A damaged file makes torch raise almost anything. mmap: tensors are read from the file where they are used.
    """
    return torch.load(str(path), map_location="cpu", weights_only=True, mmap=mmap)
