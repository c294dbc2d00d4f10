"""What a data set is, in a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..files.untrusted import shown

Fit = Literal["random_crop", "center_crop", "stretch"]
Exif = Literal["apply", "ignore"]
Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = get_args(Split)

AFFIXES = tuple(f"{kind}_{part}" for kind in ("image", "label", "instance") for part in ("prefix", "suffix"))

MOST_PIXELS = 8192  # along a side
MOST_WORKERS = 256  # beyond it a number is a slip of the pen, which would stop the machine


@dataclass(frozen=True)
class DataConfig:
    """A data set by name, and what training sees of it.

    root: the folder that holds it; `scenes` has none. What is expected there, `scdm.datasets.layouts` says.
    classes: the class table of a `folder`, JSON or YAML (`Palette.from_dict`). The others bring theirs.
    image_prefix, image_suffix, label_prefix, label_suffix, instance_prefix, instance_suffix: of a `folder`, what names of
        images, label maps and instance maps have around the part that a pair shares: with label_suffix "_mask" the map of
        a.jpg is a_mask.png. Files without it are left out.
    list: a text file with the names to take, one a line, with or without suffix and folders; # begins a comment. Its path
        may be within root, and {split} in it stands for train or val: without it, it is for the training images.
    unpaired: what becomes of images without a label map, and of maps and listed names without an image: "refuse" to train
        until all is in order, or "skip" them.
    size: pixels, the side of a square or [height, width].
    fit: how training images come to that size. None is as published: "random_crop", but "stretch" for Cityscapes, whose
        images are twice as wide as high (published at [256, 512]). Validation images are stretched, as published, unless
        fit is "center_crop".
    flip: mirror half of the training images, as published. Not for sets that tell left from right.
    exif: whether photos and maps that say so (EXIF orientation) are turned, where one of a pair says otherwise than the
        other. None: where their sizes show it; else the pair is left out, as the map may lie the other way.
    seed: of the order and the augmentation; of what `scenes` shows.
    workers: processes that read ahead.
    values: what the values of label maps mean, by the name that the class table has for it. None is as the data set stores
        them; for a `folder`, the first that the class table has, which is ids if it has none. "colors": the
        maps of a folder are painted, also where they are grey.
    """

    name: Literal["scenes", "ade20k", "celebamask_hq", "cityscapes", "coco_stuff", "folder"] = "scenes"
    root: str | None = None
    classes: str | None = None
    image_prefix: str = ""
    image_suffix: str = ""
    label_prefix: str = ""
    label_suffix: str = ""
    instance_prefix: str = ""
    instance_suffix: str = ""
    list: str | None = None
    unpaired: Literal["refuse", "skip"] = "refuse"
    size: int | tuple[int, int] = 64
    fit: Fit | None = None
    flip: bool = True
    exif: Exif | None = None
    seed: int = 0
    workers: int = 1
    values: str | None = None

    def __post_init__(self) -> None:
        if (self.name == "scenes") != (self.root is None):
            raise ValueError(
                f"scenes are made, not read, so they have no root, not {self.root!r}: leave it out"
                if self.root is not None
                else f"data set {self.name} needs a root: the folder that holds its images and labels"
            )
        if (self.name == "folder") != (self.classes is not None):
            raise ValueError(
                "data set folder needs classes: a class table, a JSON or YAML file with names and colours"
                if self.classes is None
                else f"{self.name} has its own classes: leave {self.classes} out, or call the data set folder"
            )
        given = [name for name in AFFIXES if getattr(self, name)]
        if given and self.name != "folder":
            raise ValueError(f"{self.name} has names of its own: leave {given[0]} out, or call the data set folder")
        if any("/" in getattr(self, name) or "\\" in getattr(self, name) for name in given):
            raise ValueError(
                f"{given[0]} is a part of names, which have no folders in them, not {shown(getattr(self, given[0]))}"
            )
        if self.name == "scenes" and (self.list is not None or self.unpaired != "refuse"):
            raise ValueError(
                "scenes are made, not read, so there is no list of them, and nothing to skip: leave that out"
            )
        if not all(1 <= side <= MOST_PIXELS for side in self.height_width):
            raise ValueError(f"images have sides of 1 to {MOST_PIXELS} pixels, not {self.size}")
        if self.name == "scenes" and self.values is not None:
            raise ValueError(f"scenes are made, not read, so they have no values, not {self.values!r}: leave it out")
        if self.seed < 0:
            raise ValueError(f"the seed of a data set is not negative, so not {self.seed}")
        if not 0 <= self.workers <= MOST_WORKERS:
            raise ValueError(f"a data set has 0 to {MOST_WORKERS} workers, not {self.workers}")

    def names_of(self, split: Split, split_in_folders: bool) -> Path | None:
        """The list of names to take; None for all, as where folders tell the other split from that of the list."""
        if self.list is None or (split != "train" and split_in_folders and "{split}" not in self.list):
            return None
        path = Path(self.list.replace("{split}", split))
        inner = Path(self.root or ".") / path
        return inner if inner.is_file() and not path.is_file() else path

    @property
    def height_width(self) -> tuple[int, int]:
        return (self.size, self.size) if isinstance(self.size, int) else self.size
