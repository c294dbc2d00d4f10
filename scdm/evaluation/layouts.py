"""The layouts that are evaluated: those of a data set, clean or corrupted as in the noisy benchmark.

The benchmark corrupts label maps as large as they are stored, and what reads them brings them to the model's size, in one
step, nearest neighbour. Downsampled maps are stored at 64 x 64: they are never enlarged to their old size first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..datasets import DataConfig, DataSet, Example, Validation
from ..datasets.framing import fitted
from ..diffusion.corruption import MOST_SEED, Removed, check_request, corrupt, resampled, settings
from ..layouts.labels import LabelMap, instance_borders

CLEAN = "clean"


@dataclass(frozen=True)
class LayoutCorruption:
    """What is done to layouts before a model sees them.

    kind: "clean" for nothing, or one of `corruption.CORRUPTIONS`, at the benchmark's strength but for what `strength` says.
    seed: of the first layout; layout i has `seed` + i.
    removed: what becomes of the pixels that are removed: MASK, or, where the data set has such a class, "unlabelled", as in
        the benchmark's files. A model without label diffusion knows only the latter from its training.
    """

    kind: str = CLEAN
    seed: int = 0
    removed: Removed = "mask"
    strength: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
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


def stored(data: DataSet, index: int) -> LabelMap:
    """A layout as large as it is stored, with the borders of its instances if these are known."""
    instances = data.instances(index)
    borders = None if instances is None else instance_borders(torch.from_numpy(instances.astype(np.int64))[None])
    return LabelMap(torch.from_numpy(data.layout(index))[None], data.palette.num_classes, borders)


class Layouts(Validation):
    """The validation images of a data set with corrupted layouts.

    Borders of instances stay as they are, but in sparse layouts; those between classes are drawn anew.
    """

    def __init__(self, data: DataSet, config: DataConfig, corruption: LayoutCorruption) -> None:
        self.data, self.config, self.corruption = data, config, corruption
        self.clean = data.validation()
        self.names = self.clean.names

    def __getitem__(self, index: int) -> Example:
        clean = self.clean[index]
        if self.corruption.kind == CLEAN:
            return clean
        labels = stored(self.data, clean.position)  # not `index`: another stands in for a file that cannot be read
        ids = self._framed(self.corruption(labels, clean.position).ids[0], (labels.height, labels.width))
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
