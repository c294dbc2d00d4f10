"""Where data sets keep their files, and what the pixel values of their label maps mean.

ROOT is the data set's folder. An image and its maps have one name, but for the endings given here and the suffix.

* ade20k: ROOT/images/{training,validation}, ROOT/annotations/{training,validation}: the archive ADEChallengeData2016.
  Values are the class table's `annotations`: 0 is unlabelled (id 150), 1..150 are ids 0..149.
* coco_stuff: ROOT/{train,val}_{img,label,inst}, which `training/prepare_data.py` makes of the official downloads. Values are
  ids, 255 is unlabelled (id 182). Borders come from the instance maps.
* celebamask_hq: ROOT/{train,val}/{images,labels}, which `training/prepare_data.py` makes of the official archive. Values are
  ids; maps may be smaller than their images (512 and 1024 pixels in the archive). Borders lie between classes.
* cityscapes: ROOT/leftImg8bit/{train,val}/CITY/X_leftImg8bit.png, ROOT/gtFine/{train,val}/CITY/X_gtFine_labelIds.png and
  X_gtFine_instanceIds.png: the archives leftImg8bit and gtFine. Values are ids 0..33.
* folder: ROOT/{train,val}/{images,labels}, and `instances` beside them if the class table says "edge_channel"; without
  that folder, borders lie between classes. Label maps hold ids, 255 (or 65535) for unlabelled, or they are painted in the
  class table's colours. A ROOT that has images and labels itself, and no train and val, serves for both.

The setting `values` chooses another of the class table's conventions.

Unlabelled pixels, and those of value -1, get the class table's id for them, and are MASK where it has none.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..palette import Palette
from ..values import COLORS, VALUES, Convention
from ..values import UNKNOWN as UNKNOWN
from .config import Fit, Split
from .listing import IMAGE, INSTANCES, LABEL, Listing, listed


@dataclass(frozen=True)
class Layout:
    """The folders of a data set and the meaning of its label maps' values.

    images, labels, instances: folders in the root; {split} stands for `train` or `val`.
    endings: of the names of images, label maps and instance maps, before the suffix.
    values: what the values mean, by the name that the class table has for it; None for its first convention.
    painted: label maps may be in the palette's colours.
    any_resolution: maps have the proportions of their images, but not always the size.
    """

    images: str
    labels: str
    instances: str | None = None
    endings: tuple[str, str, str] = ("", "", "")
    train: str = "train"
    val: str = "val"
    values: str | None = None
    painted: bool = False
    any_resolution: bool = False
    fit: Fit = "random_crop"

    def convention(self, palette: Palette) -> Convention:
        """ValueError if the class table has none of this name, or if maps that cannot be painted are said to be."""
        if self.values == COLORS and self.painted:
            return palette.convention()
        return palette.convention(self.values)

    def id_table(self, palette: Palette) -> np.ndarray:
        """(65536,) int64: the id of each value, UNKNOWN if no class has it."""
        return palette.id_table(self.convention(palette))[:VALUES]

    def listing(self, root: Path, split: Split, borders: bool) -> Listing:
        """The files of a split; those of instances only if `borders` are wanted. ValueError as for `listed`."""
        folders = {IMAGE: self.images, LABEL: self.labels}
        if borders and self.instances is not None:
            folders[INSTANCES] = self.instances
        place = self.train if split == "train" else self.val
        paths = [root / folder.format(split=place) for folder in folders.values()]
        return listed(dict(zip(folders, zip(paths, self.endings, strict=False), strict=True)))


LAYOUTS = {
    "ade20k": Layout("images/{split}", "annotations/{split}", train="training", val="validation", values="annotations"),
    "celebamask_hq": Layout("{split}/images", "{split}/labels", any_resolution=True),
    "cityscapes": Layout(
        images="leftImg8bit/{split}",
        labels="gtFine/{split}",
        instances="gtFine/{split}",
        endings=("_leftImg8bit", "_gtFine_labelIds", "_gtFine_instanceIds"),
        fit="stretch",
    ),
    "coco_stuff": Layout("{split}_img", "{split}_label", "{split}_inst", values="annotations"),
}


def folder_layout(root: Path, palette: Palette, split: Split) -> Layout:
    """The layout of a `folder`, by what lies in it."""
    layout = Layout("{split}/images", "{split}/labels", painted=True)
    if not (root / split).is_dir() and (root / "images").is_dir():
        layout = replace(layout, images="images", labels="labels")
        if split == "val":
            warnings.warn(f"{root} has no folder val: the training images serve for validation too", stacklevel=2)
    instances = layout.labels.replace("labels", "instances")
    return replace(layout, instances=instances) if (root / instances.format(split=split)).is_dir() else layout
