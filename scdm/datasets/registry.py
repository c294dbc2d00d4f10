"""The data sets that a configuration can name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .examples import DataSet


@dataclass(frozen=True)
class Source:
    """A data set with a name.

    open: (config: DataConfig, split: Split) -> that split of it. Folders are listed, but no image is opened. ValueError if
        there is nothing to open.
    needs, takes: the fields of `DataConfig` that must be set, and that may be, of those that are not for all data sets.
    """

    open: Callable[[Any, Any], DataSet]
    needs: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()


DATASETS: dict[str, Source] = {}
