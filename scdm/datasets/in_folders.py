"""Data sets in folders of images and label maps.

`data.root` is the folder that holds:

* ade20k: images/{training,validation}, annotations/{training,validation}: the archive ADEChallengeData2016. Values are the
  class table's `annotations`: 0 is unlabelled (id 150), 1..150 are ids 0..149.
* celebamask_hq: {train,val}/{images,labels}, which `training/prepare_data.py` makes of the official archive. Values are ids;
  maps may be smaller than their images (512 and 1024 pixels in the archive). Borders lie between classes.
* cityscapes: leftImg8bit/{train,val}/CITY/X_leftImg8bit.png, gtFine/{train,val}/CITY/X_gtFine_labelIds.png and
  X_gtFine_instanceIds.png: the archives leftImg8bit and gtFine. Values are ids 0..33.
* coco_stuff: {train,val}_{img,label,inst}, which `training/prepare_data.py` makes of the official downloads. Values are ids,
  255 is unlabelled (id 182). Borders come from the instance maps.
* folder: {train,val}/{images,labels}, and `instances` beside them if the class table has "edge_channel"; without that
  folder, borders lie between classes. Label maps hold ids, 255 (or 65535) for unlabelled, or they are painted in the class
  table's colours. A root that has images and labels itself, and no train and val, serves for both. Maps have the proportions
  of their images, not always the size.

The setting `values` chooses another of the class table's conventions. Unlabelled pixels, and those of value -1, get the
class table's id for them, and are MASK where it has none.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

from ..layouts.palette import Palette
from .affixes import Affixes
from .config import AFFIXES, DataConfig, Split
from .pairs import PairSet
from .registry import DATASETS, Source
from .structure import FolderStructure

FILE_SETTINGS = ("list", "unpaired", "values")


def in_folders(structure: FolderStructure, palette: Palette | None = None) -> Source:
    """A data set of this structure. palette: its classes; None for the class table in `scdm.assets` of its name."""

    def opened(config: DataConfig, split: Split) -> PairSet:
        return PairSet(config, split, structure, palette or Palette.named(config.name))

    return Source(opened, needs=("root",), takes=FILE_SETTINGS)


DATASETS["ade20k"] = in_folders(
    FolderStructure(
        images="images/{split}",
        labels="annotations/{split}",
        train="training",
        val="validation",
        values="annotations",
    )
)
DATASETS["celebamask_hq"] = in_folders(FolderStructure("{split}/images", "{split}/labels", any_resolution=True))
DATASETS["cityscapes"] = in_folders(
    FolderStructure(
        images="leftImg8bit/{split}",
        labels="gtFine/{split}",
        instances="gtFine/{split}",
        affixes=(
            Affixes(suffix="_leftImg8bit"),
            Affixes(suffix="_gtFine_labelIds"),
            Affixes(suffix="_gtFine_instanceIds"),
        ),
        fit="stretch",
    )
)
DATASETS["coco_stuff"] = in_folders(
    FolderStructure("{split}_img", "{split}_label", "{split}_inst", values="annotations")
)


def own_folder(config: DataConfig, split: Split) -> PairSet:
    """The data set `folder`, by what lies in it and what the settings say of its names."""
    root = Path(config.root or ".")
    structure = FolderStructure(
        images="{split}/images",
        labels="{split}/labels",
        affixes=(
            Affixes(config.image_prefix, config.image_suffix),
            Affixes(config.label_prefix, config.label_suffix),
            Affixes(config.instance_prefix, config.instance_suffix),
        ),
        painted=True,
        any_resolution=True,
    )
    if not (root / split).is_dir() and (root / "images").is_dir():
        structure = replace(structure, images="images", labels="labels")
        if split == "val" and "{split}" not in (config.list or ""):
            warnings.warn(f"{root} has no folder val: the training images serve for validation too", stacklevel=2)
    instances = structure.labels.replace("labels", "instances")
    if (root / instances.format(split=split)).is_dir():
        structure = replace(structure, instances=instances)
    return PairSet(config, split, structure, Palette.from_file(config.classes or ""))


DATASETS["folder"] = Source(own_folder, needs=("root", "classes"), takes=(*FILE_SETTINGS, *AFFIXES))
