"""What data sets give: examples, the batches made of them, and the interface that all data sets share."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ..files.addresses import Unreachable
from ..layouts.labels import LabelMap
from ..layouts.palette import Palette
from .parallel import before_fork

ENDLESS = 2**53  # items of a stream that never ends: samplers want a number


class Example(NamedTuple):
    """An image and its layout.

    image: (3, H, W) float32 in [-1, 1]. ids: (H, W) int64 in [0, num_classes], the last being MASK.
    edges: (1, H, W) bool instance borders, None for data sets whose models do not read them.
    position: in the stream, or among the images of `DataSet.validation`.
    height: of the whole image, where this is a window of it.
    small: (3, h, w) the same made small by another model, where a run asks for that (`training.redrawing`).
    """

    image: Tensor
    ids: Tensor
    edges: Tensor | None
    position: int
    height: int | None = None
    small: Tensor | None = None


class Batch(NamedTuple):
    """Examples, stacked: images (B, 3, H, W), ids (B, H, W), edges (B, 1, H, W) or None, positions (B,) int64.

    height: of the whole images, where these are windows of them.
    roughness: (B,) float32 of the layouts, as `LabelMap` has it.
    exact: (B, H, W) the ids of the layouts before they were made rough or sparse, where they were.
    small: (B, 3, h, w) those of the examples, if they have any.
    """

    images: Tensor
    ids: Tensor
    edges: Tensor | None
    positions: Tensor
    height: int | None = None
    roughness: Tensor | None = None
    exact: Tensor | None = None
    small: Tensor | None = None

    def labels(self, num_classes: int) -> LabelMap:
        return LabelMap(self.ids, num_classes, self.edges, self.roughness)


class Validation(Dataset[Example]):
    """The images of a split, each once, always in the same order and never augmented.

    An image that cannot be read is reported and the next one given instead, with that one's position.
    """

    names: Sequence[str]  # of the images, without suffix; subfolders are part of them

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Example:
        raise NotImplementedError


class DataSet(Protocol):
    """One split of a data set. Its length is the number of different images."""

    palette: Palette

    def __len__(self) -> int: ...

    def training(self, start: int = 0) -> Dataset[Example]:
        """The endless stream of training examples, from position `start` on.

        The example at a position is a function of the configuration and the position alone, whatever the number of workers
        and processes: a run goes on where it stopped by starting there.
        """

    def validation(self) -> Validation: ...

    def at(self, size: int | tuple[int, int]) -> DataSet:
        """The same data at another size, like `DataConfig.size`. ValueError if they cannot have it."""

    def layout(self, index: int) -> np.ndarray:
        """Ids (H, W) of image `index`, whole and as large as it is stored. ValueError if it cannot be read."""

    def instances(self, index: int) -> np.ndarray | None:
        """Instance ids (H, W), like `layout`; None where borders lie between classes, or are not read."""

    def check(self) -> Iterator[str]:
        """Reads every file; yields a sentence with the file's name for each problem or `reader.Doubt`."""


def collate(examples: Sequence[Example]) -> Batch:
    edges = [example.edges for example in examples if example.edges is not None]
    small = [example.small for example in examples if example.small is not None]
    return Batch(
        torch.stack([example.image for example in examples]),
        torch.stack([example.ids for example in examples]),
        torch.stack(edges) if edges else None,
        torch.tensor([example.position for example in examples]),
        height=examples[0].height,
        small=torch.stack(small) if small else None,
    )


def loader(
    data: Dataset[Example],
    batch: int | Sequence[Sequence[int]],
    workers: int = 0,
    collated: Callable[[Sequence[Example]], Any] = collate,
) -> DataLoader[Example]:
    """Batches of `data`, read ahead by `workers` processes. ValueError if an image cannot be read, Unreachable if a
    network does not bring it.

    batch: examples in each, in the order of the data, of which the last batch may have fewer; or the places of the examples
        of each.
    collated: makes a batch of examples; the workers do it.
    """
    if workers:
        before_fork()
    return _Loader(
        data,
        **({"batch_size": batch} if isinstance(batch, int) else {"batch_sampler": batch}),
        num_workers=workers,
        collate_fn=collated,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=_leave_signals,
    )


class _Loader(DataLoader[Example]):
    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        try:
            yield from super().__iter__()
        except (ValueError, Unreachable) as error:  # a worker's comes with its whole history
            kind = Unreachable if isinstance(error, Unreachable) else ValueError  # others may want more than a text
            raise kind(re.split(rf"\n(?:[\w.]+\.)?{type(error).__name__}: ", str(error))[-1].strip()) from error


def _leave_signals(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # sent to all processes, meant for the main one
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # raised as an exception, it could come at any line
