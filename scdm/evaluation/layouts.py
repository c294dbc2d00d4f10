"""The layouts that are evaluated: those of a data set, clean or corrupted as in the noisy benchmark, or painted ones.

The benchmark corrupts label maps as large as they are stored, and what reads them brings them to the model's size, in one
step, nearest neighbour. Downsampled maps are stored at 64 x 64: they are never enlarged to their old size first. The papers'
scripts remove borders and single pixels from maps that have been resized to 256 x 256, where two pixels are more than in a
photograph.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..datasets import DataConfig, DataSet, Example, Validation
from ..datasets.framing import fitted
from ..diffusion.corruption import MOST_SEED, Removed, check_request, corrupt, resampled, settings
from ..files.levels import silent
from ..files.untrusted import brief, sha256_of
from ..layouts.labels import LabelMap, instance_borders
from ..layouts.reading import read_ids
from .samples import SUFFIXES, pictures_of

CLEAN = "clean"
PAINTED = "painted"  # the kind of layouts that a folder holds
REMOVE_NOTHING = (CLEAN, PAINTED, "downsample")  # kinds of which the seed, too, decides nothing
REMOVED = {"mask": "MASK", "class": 'the class "unlabelled"'}  # what removed pixels become, in words
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
            return LabelMap(resampled(labels.ids, self.blocks, self.blocks), labels.num_classes)
        return corrupt(labels, self.kind, (self.seed + index) & MOST_SEED, **self.strength)

    @property
    def blocks(self) -> int:
        """That downsampling leaves on either side; 0 if it is something else that is done."""
        if self.kind != "downsample":
            return 0
        return int(self.strength.get("size", settings("downsample")["size"].default))

    def record(self) -> dict[str, Any]:
        """For files; without `resized` where layouts are corrupted as they are stored, as files have always had it."""
        return {name: value for name, value in asdict(self).items() if name != "resized" or value is not None}

    def no_effect(self, size: Sequence[int]) -> str:
        """A sentence if the corruption hardly changes layouts of this size (H, W), as many blocks as pixels, or ""."""
        if self.blocks < max(size):
            return ""
        return (
            f"downsampling to {self.blocks} blocks a side hardly changes layouts of {size[1]}x{size[0]} pixels: ask for "
            f"fewer (--strength size={max(1, max(size) // 4)})"
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

    def record(self) -> dict[str, Any]:
        """All that decides about the layouts, for files."""
        return self.corruption.record()

    @property
    def in_words(self) -> str:
        """What readers of a result need to know of them."""
        corruption = self.corruption
        if corruption.kind == CLEAN:
            return CLEAN
        if corruption.kind == "downsample":
            blocks = f"to {corruption.blocks}x{corruption.blocks}"
            return ", ".join([corruption.kind, blocks, *(["which hardly changes them"] if self.no_effect else [])])
        words = [f"{key} {value}" for key, value in corruption.strength.items()]
        words += [] if corruption.resized is None else [f"at {corruption.resized}x{corruption.resized}"]
        removed = "mask" if self.data.palette.unlabelled is None else corruption.removed  # as `__getitem__` has it
        return ", ".join([corruption.kind, *words, f"seed {corruption.seed}", f"removed pixels are {REMOVED[removed]}"])

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


class PaintedLayouts(Layouts):
    """Layouts from a folder, by hand or by another program, of as many of the validation images as it has some of.

    FOLDER/NAME.png is that of the image NAME, in any form in which layouts are read (`read_ids`), of any size with the
    proportions of the image's own. ValueError if one cannot be read, has other proportions, or belongs to no image.
    """

    def __init__(self, data: DataSet, config: DataConfig, folder: str | Path) -> None:
        super().__init__(data, config, LayoutCorruption())
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ValueError(f"there is no folder {self.folder} of layouts")
        self.files = pictures_of([self.folder], self.names)
        self._require_images()
        for place, path in self.files.items():
            _require_proportions(path, read_ids(path, data.palette).shape, data.layout(place).shape)
        self.clean = _Some(self.clean, list(self.files))
        self.names = self.clean.names

    def record(self) -> dict[str, Any]:
        return {"kind": PAINTED, "digest": self.digest}

    @cached_property
    def digest(self) -> str:
        """What tells these layouts from any others."""
        parts = [sha256_of(path) for path in self.files.values()]
        return hashlib.sha256("".join(parts).encode()).hexdigest()[:16]

    @property
    def in_words(self) -> str:
        return f"painted, the files of {self.folder}, digest {self.digest}"

    def __getitem__(self, index: int) -> Example:
        clean = self.clean[index]
        ids = torch.from_numpy(read_ids(self.files[clean.position], self.data.palette, remark=silent))
        ids = self._framed(ids, (ids.shape[0], ids.shape[1]))
        return clean._replace(ids=ids, edges=None if clean.edges is None else instance_borders(ids[None])[0])

    def _require_images(self) -> None:
        known = set(self.files.values())
        pictures = (path for path in sorted(self.folder.rglob("*")) if path.suffix.lower() in SUFFIXES)
        if stray := next((path for path in pictures if path not in known), None):
            raise ValueError(
                f"{stray} is the layout of no image of the validation split: it is called like one, such as "
                f"{brief(self.names[0])}.png"
            )
        if not known:
            raise ValueError(
                f"{self.folder} has no layouts: they are called like the images, such as {brief(self.names[0])}.png"
            )


class _Some(Validation):
    """Those of the validation images that are at `places`."""

    def __init__(self, images: Validation, places: Sequence[int]) -> None:
        self.images, self.places = images, places
        self.names = [images.names[place] for place in places]

    def __getitem__(self, index: int) -> Example:
        example = self.images[self.places[index]]
        if example.position != self.places[index]:
            raise ValueError(f"the image {brief(self.names[index])} cannot be read: take its layout out of the folder")
        return example


def _require_proportions(path: Path, size: Sequence[int], own: Sequence[int]) -> None:
    """Up to a pixel."""
    (height, width), (own_height, own_width) = size, own
    if abs(height * own_width - width * own_height) > max(own_height, own_width):
        raise ValueError(
            f"{path} is {width}x{height}, and the label map of its image {own_width}x{own_height}: crop or scale it to "
            "these proportions"
        )
