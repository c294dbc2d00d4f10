"""What reading a picture asks of its classes. `palette.Palette` answers it, which in turn offers to read pictures."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ..files.profiles import Color
from .values import Convention


class Classes(Protocol):
    """The classes of a palette: their names, colours and stored values (see `Palette`)."""

    @property
    def name(self) -> str: ...
    @property
    def colors(self) -> tuple[Color | None, ...]: ...
    @property
    def unlabelled(self) -> int | None: ...
    @property
    def num_classes(self) -> int: ...
    @property
    def duplicates(self) -> dict[Color, tuple[int, ...]]: ...
    @property
    def conventions(self) -> tuple[Convention, ...]: ...
    def convention(self, name: str | None = None) -> Convention: ...
    def id_table(self, convention: Convention) -> np.ndarray: ...
    def called(self, class_id: int) -> str: ...
