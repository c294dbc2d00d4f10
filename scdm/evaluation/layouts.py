"""The layouts that are evaluated: those of a data set, clean or corrupted as in the noisy benchmark.

The benchmark corrupts label maps as large as they are stored, and what reads them brings them to the model's size, in one
step, nearest neighbour. Downsampled maps are stored at 64 x 64: they are never enlarged to their old size first. The papers'
scripts remove borders and single pixels from maps that have been resized to 256 x 256, where two pixels are more than in a
photograph.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..datasets import DataConfig, DataSet, Example, Validation
from ..datasets.framing import fitted
from ..diffusion.corruption import MOST_SEED, Removed, check_request, corrupt, resampled, settings
from ..layouts.labels import LabelMap, instance_borders

CLEAN = "clean"
PUBLISHED_SIZE = 256  # pixels, of the sides of the maps from which the papers' scripts remove borders and single pixels


@dataclass(frozen=True)
class LayoutCorruption:
    """What is done to layouts before a model sees them.

    kind: "clean" for nothing, or one of `corruption.CORRUPTIONS`, at the benchmark's strength but for what `strength` says.
    seed: of the first layout; layout i has `seed` + i.
    removed: what becomes of the pixels that are removed: MASK, or, where the data set has such a class, "unlabelled", as in
        the benchmark's files. A model without label diffusion knows only the latter from its training.
    resized: side of the square to which layouts are resized before pixels are removed; None for the stored size.
    """

    kind: str = CLEAN
    seed: int = 0
    removed: Removed = "mask"
    strength: Mapping[str, Any] = field(default_factory=dict)
    resized: int | None = None

    def __post_init__(self) -> None:
        if self.resized is not None and self.kind not in ("edges", "random"):
            raise ValueError(f"resized belongs to the corruptions edges and random, not to {self.kind}")
        if self.kind == CLEAN:
            if self.strength:
                raise ValueError(f"clean layouts have no setting {next(iter(self.strength))!r}: choose a corruption")
        else:
            check_request(self.kind, self.seed, self.strength)

    def __call__(self, labels: LabelMap, index: int) -> LabelMap:
        """Layout number `index` at its stored size (smaller if downsampled), MASK where pixels are removed."""
        if self.kind == CLEAN:
            return labels
        if self.kind == "downsample":
            size = self.strength.get("size", settings("downsample")["size"].default)
            return LabelMap(resampled(labels.ids, size, size), labels.num_classes)
        return corrupt(labels, self.kind, (self.seed + index) & MOST_SEED, **self.strength)

    def record(self) -> dict[str, Any]:
        """For files; without `resized` where layouts are corrupted as they are stored, as files have always had it."""
        return {name: value for name, value in asdict(self).items() if name != "resized" or value is not None}

    def no_effect(self, size: Sequence[int]) -> str:
        """A sentence if the corruption hardly changes layouts of this size (H, W), as many blocks as pixels, or ""."""
        blocks = self.strength.get("size", settings("downsample")["size"].default) if self.kind == "downsample" else 0
        if blocks < max(size):
            return ""
        return (
            f"downsampling to {blocks} blocks a side hardly changes layouts of {size[1]}x{size[0]} pixels: ask for fewer "
            f"(--strength size={max(1, max(size) // 4)})"
        )


BENCHMARKS = {  # the published corruptions: DS, Edge and Random, beside clean layouts
    "published": (
        LayoutCorruption(removed="class"),
        LayoutCorruption("downsample", removed="class"),
        LayoutCorruption("edges", removed="class", resized=PUBLISHED_SIZE),
        LayoutCorruption("random", removed="class", resized=PUBLISHED_SIZE),
    )
}


def stored(data: DataSet, index: int) -> LabelMap:
    """A layout as large as it is stored, with the borders of its instances if these are known."""
    return _labels(data, *_maps(data, index))


def _maps(data: DataSet, index: int) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(1, H, W) int64: the classes, and the instances if these are known."""
    instances = data.instances(index)
    things = None if instances is None else torch.from_numpy(instances.astype(np.int64))[None]
    return torch.from_numpy(data.layout(index))[None], things


def _labels(data: DataSet, ids: torch.Tensor, things: torch.Tensor | None, side: int | None = None) -> LabelMap:
    """side: of the square that the maps are resized to, before borders are drawn; None for as they are."""
    if side is not None:
        ids, things = resampled(ids, side, side), None if things is None else resampled(things, side, side)
    return LabelMap(ids, data.palette.num_classes, None if things is None else instance_borders(things))


class Layouts(Validation):
    """The validation images of a data set with corrupted layouts.

    Borders of instances stay as they are, but in sparse layouts; those between classes are drawn anew.
    """

    def __init__(self, data: DataSet, config: DataConfig, corruption: LayoutCorruption) -> None:
        self.data, self.config, self.corruption = data, config, corruption
        self.clean = data.validation()
        self.names = self.clean.names

    @cached_property
    def no_effect(self) -> str:
        """A sentence if the corruption hardly changes layouts, at the size in use or that of the first map, or ""."""
        if self.corruption.kind != "downsample":
            return ""
        in_use = self.corruption.no_effect(self.config.height_width)
        return in_use or self.corruption.no_effect(stored(self.data, self.clean[0].position).ids.shape[1:])

    def __getitem__(self, index: int) -> Example:
        clean = self.clean[index]
        if self.corruption.kind == CLEAN:
            return clean
        place = clean.position  # not `index`: another stands in for a file that cannot be read
        ids, things = _maps(self.data, place)
        labels = _labels(self.data, ids, things, self.corruption.resized)
        ids = self._framed(self.corruption(labels, place).ids[0], (ids.shape[1], ids.shape[2]))
        unlabelled = self.data.palette.unlabelled
        if self.corruption.removed == "class" and unlabelled is not None:
            ids = ids.masked_fill(ids == labels.mask_id, unlabelled)
        between_classes = labels.edges is None or self.corruption.kind == "patterns"  # nobody paints instances
        anew = clean.edges is not None and between_classes
        return clean._replace(ids=ids, edges=instance_borders(ids[None])[0] if anew else clean.edges)

    def _framed(self, ids: torch.Tensor, stored_size: tuple[int, int]) -> torch.Tensor:
        """Ids (h, w) at the model's size, cut as the image of a map of `stored_size` is."""
        frame = fitted(stored_size, self.config.height_width, self.config.fit)
        return torch.from_numpy(frame.values(Image.fromarray(ids.numpy().astype(np.int32))).astype(np.int64))
