"""Where data sets keep their files, and what the pixel values of their label maps mean.

ROOT is the data set's folder. An image and its maps have one name, but for the endings given here and the suffix. Names are
the same whatever form Unicode has for their letters; and where there is only one candidate, capitals and a second suffix
(photo.jpg.png) do not count.

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
  class table's colours. A ROOT that has images and labels itself, and no train and val, serves for both. What names have
  around the part that they share, `DataConfig` says. Maps have the proportions of their images, not always the size.

The setting `values` chooses another of the class table's conventions.

Unlabelled pixels, and those of value -1, get the class table's id for them, and are MASK where it has none.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from pathlib import Path

from ..layouts.palette import Palette
from ..layouts.values import COLORS, Convention
from .affixes import Affixes
from .config import DataConfig, Fit, Split
from .listing import IMAGE, INSTANCES, LABEL, Listing, Place, listed


@dataclass(frozen=True)
class Layout:
    """The folders of a data set and the meaning of its label maps' values.

    images, labels, instances: folders in the root; {split} stands for `train` or `val`.
    values: what the values mean, by the name that the class table has for it; None for its first convention.
    affixes: what names of images, label maps and instance maps have around the part that they share.
    painted: label maps may be in the palette's colours.
    any_resolution: maps have the proportions of their images, but not always the size.
    """

    images: str
    labels: str
    instances: str | None = None
    affixes: tuple[Affixes, Affixes, Affixes] = (Affixes(), Affixes(), Affixes())
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

    def listing(self, config: DataConfig, split: Split, borders: bool) -> Listing:
        """The files of a split; those of instances only if `borders` are wanted. ValueError as for `listed`."""
        root = Path(config.root or ".")
        folders = {IMAGE: self.images, LABEL: self.labels}
        if borders and self.instances is not None:
            folders[INSTANCES] = self.instances
        within = self.train if split == "train" else self.val
        places = {
            kind: Place(root, folder.format(split=within), affixes)
            for (kind, folder), affixes in zip(folders.items(), self.affixes, strict=False)
        }
        names = config.names_of(split, split_in_folders="{split}" in self.images)
        return listed(places, names, config.unpaired == "skip", settings=config.name == "folder")


LAYOUTS = {
    "ade20k": Layout("images/{split}", "annotations/{split}", train="training", val="validation", values="annotations"),
    "celebamask_hq": Layout("{split}/images", "{split}/labels", any_resolution=True),
    "cityscapes": Layout(
        images="leftImg8bit/{split}",
        labels="gtFine/{split}",
        instances="gtFine/{split}",
        affixes=(
            Affixes(suffix="_leftImg8bit"),
            Affixes(suffix="_gtFine_labelIds"),
            Affixes(suffix="_gtFine_instanceIds"),
        ),
        fit="stretch",
    ),
    "coco_stuff": Layout("{split}_img", "{split}_label", "{split}_inst", values="annotations"),
}


def folder_layout(config: DataConfig, palette: Palette, split: Split) -> Layout:
    """The layout of a `folder`, by what lies in it and what the settings say of its names."""
    root = Path(config.root or ".")
    layout = Layout("{split}/images", "{split}/labels", painted=True)
    layout = replace(
        layout,
        affixes=(
            Affixes(config.image_prefix, config.image_suffix),
            Affixes(config.label_prefix, config.label_suffix),
            Affixes(config.instance_prefix, config.instance_suffix),
        ),
        any_resolution=True,
    )
    if not (root / split).is_dir() and (root / "images").is_dir():
        layout = replace(layout, images="images", labels="labels")
        if split == "val" and "{split}" not in (config.list or ""):
            warnings.warn(f"{root} has no folder val: the training images serve for validation too", stacklevel=2)
    instances = layout.labels.replace("labels", "instances")
    return replace(layout, instances=instances) if (root / instances.format(split=split)).is_dir() else layout
