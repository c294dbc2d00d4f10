"""What a data set is, in a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Fit = Literal["random_crop", "center_crop", "stretch"]
Exif = Literal["apply", "ignore"]
Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = get_args(Split)

MOST_PIXELS = 8192  # along a side
MOST_WORKERS = 256  # beyond it a number is a slip of the pen, which would stop the machine


@dataclass(frozen=True)
class DataConfig:
    """A data set by name, and what training sees of it.

    root: the folder that holds it; `scenes` has none. What is expected there, `scdm.datasets.layouts` says.
    classes: the class table of a `folder`, JSON or YAML (`Palette.from_dict`). The others bring theirs.
    size: pixels, the side of a square or [height, width].
    fit: how training images come to that size. None is as published: "random_crop", but "stretch" for Cityscapes, whose
        images are twice as wide as high (published at [256, 512]). Validation images are stretched, as published, unless
        fit is "center_crop".
    flip: mirror half of the training images, as published. Not for sets that tell left from right.
    exif: whether photos that say so (EXIF orientation) are turned beside maps that do not. None: where the sizes of photo
        and map show that it was done to the map; else the photo is left out, as its map may lie the other way.
    seed: of the order and the augmentation; of what `scenes` shows.
    workers: processes that read ahead.
    values: what the values of label maps mean, by the name that the class table has for it. None is as the data set stores
        them; for a `folder`, the first that the class table has, which is ids if it has none. "colors": the
        maps of a folder are painted, also where they are grey.
    """

    name: Literal["scenes", "ade20k", "celebamask_hq", "cityscapes", "coco_stuff", "folder"] = "scenes"
    root: str | None = None
    classes: str | None = None
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
        if not all(1 <= side <= MOST_PIXELS for side in self.height_width):
            raise ValueError(f"images have sides of 1 to {MOST_PIXELS} pixels, not {self.size}")
        if self.name == "scenes" and self.values is not None:
            raise ValueError(f"scenes are made, not read, so they have no values, not {self.values!r}: leave it out")
        if self.seed < 0:
            raise ValueError(f"the seed of a data set is not negative, so not {self.seed}")
        if not 0 <= self.workers <= MOST_WORKERS:
            raise ValueError(f"a data set has 0 to {MOST_WORKERS} workers, not {self.workers}")

    @property
    def height_width(self) -> tuple[int, int]:
        return (self.size, self.size) if isinstance(self.size, int) else self.size
