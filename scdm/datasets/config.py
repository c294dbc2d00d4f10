"""What a data set is, in a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from ..files.config import implied
from ..files.options import Option, check_fields, declared
from ..files.untrusted import shown
from .registry import DATASETS, Source

Fit = Literal["random_crop", "center_crop", "stretch"]
Exif = Literal["apply", "ignore"]
Split = Literal["train", "val"]
SPLITS: tuple[Split, ...] = get_args(Split)

AFFIXES = tuple(f"{kind}_{part}" for kind in ("image", "label", "instance") for part in ("prefix", "suffix"))
# Settings that a `Source` may need or take.
NOT_FOR_ALL = ("root", "classes", "list", "unpaired", "values", "showing", "close_ups", *AFFIXES)

MOST_SIDE = 8192
MOST_WORKERS = 256  # beyond it a number is a typing error that would stop the machine


Affix = Annotated[
    str,
    Option(
        "of a folder: what file names have around the part that a pair shares; with label_suffix _mask the map of a.jpg is "
        "a_mask.png, and files without it are left out"
    ),
]


@dataclass(frozen=True)
class DataConfig:
    """A data set by name, and what training sees of it."""

    name: Annotated[
        str,
        Option("data set: scenes are rendered, the others are read", choices=DATASETS, also=("dataset_mode",)),
    ] = "scenes"
    root: Annotated[
        str | None,
        Option(
            "folder that holds the data set, laid out as scdm.datasets.in_folders says; of shards also an address of fsspec",
            unset="scenes",
            also=("data_dir",),
        ),
    ] = None
    classes: Annotated[
        str | None, Option("class table of a folder, JSON or YAML", unset="the data set's own classes")
    ] = None
    image_prefix: Affix = ""
    image_suffix: Affix = ""
    label_prefix: Affix = ""
    label_suffix: Affix = ""
    instance_prefix: Affix = ""
    instance_suffix: Affix = ""
    list: Annotated[
        str | None,
        Option(
            "text file of the names to take, one a line, with or without suffix and folders; # begins a comment. It may lie "
            "in root, and {split} in its path stands for train or val: without it, the list is for training images",
            unset="all images",
        ),
    ] = None
    unpaired: Annotated[
        Literal["refuse", "skip"],
        Option(
            "images without a label map, and maps and listed names without an image: refuse to train until all is in order, "
            "or skip them"
        ),
    ] = "refuse"
    size: Annotated[
        int | tuple[int, int],
        Option("side of a square, or [height, width]", ge=1, le=MOST_SIDE, unit="pixels", also=("image_size",)),
    ] = 64
    fit: Annotated[
        Fit | None,
        Option(
            "how training images come to that size; validation images are stretched as published, or cropped by center_crop",
            unset="random_crop; stretch for Cityscapes, whose images are twice as wide as high (published at [256, 512])",
        ),
    ] = None
    flip: Annotated[
        bool, Option("mirror half of the training images, as published; not for sets that tell left from right")
    ] = True
    exif: Annotated[
        Exif | None,
        Option(
            "whether EXIF orientation turns photos and maps, where it differs within a pair",
            unset="where their sizes show it; else the pair is left out, as the map may lie the other way",
        ),
    ] = None
    seed: Annotated[int, Option("of the order, the augmentation, and what scenes show", ge=0)] = 0
    workers: Annotated[int, Option("processes that read ahead", ge=0, le=MOST_WORKERS, also=("num_workers",))] = 1
    values: Annotated[
        str | None,
        Option(
            "meaning of the values of label maps, by its name in the class table; colors: the maps of a folder are painted, "
            "also where they are grey",
            unset="as the data set stores them; of a folder, the first in its class table, or ids",
        ),
    ] = None
    showing: Annotated[
        tuple[str, ...],
        Option(
            "of scenes: classes of which every other training image shows any, for those that few have; to find such scenes "
            "takes a minute or two at the start, for each of the sizes' proportions"
        ),
    ] = implied(())
    close_ups: Annotated[
        float,
        Option(
            "of scenes: share of the training images that show a part of one, up to 2.5 times as near, around the classes "
            "of showing where it has any: people paint houses larger than scenes show them",
            ge=0,
            le=1,
        ),
    ] = implied(0.0)

    def __post_init__(self) -> None:
        check_fields(self, "data.")
        settings = declared(DataConfig)
        given = [name for name in NOT_FOR_ALL if getattr(self, name) != settings[name].default]
        if missing := [name for name in self.source.needs if name not in given]:
            raise ValueError(f"data set {self.name} needs data.{missing[0]}: the {settings[missing[0]].option.help}")
        if unused := [name for name in given if name not in (*self.source.needs, *self.source.takes)]:
            raise ValueError(f"data set {self.name} takes no data.{unused[0]}: leave it out")
        for name in AFFIXES:
            if {"/", "\\"} & set(getattr(self, name)):
                raise ValueError(f"data.{name} is a part of names, without folders: {shown(getattr(self, name))}")

    @property
    def source(self) -> Source:
        return DATASETS[self.name]

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
