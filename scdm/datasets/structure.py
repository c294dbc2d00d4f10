"""Where a data set keeps its files, and what the pixel values of its label maps mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..layouts.palette import Palette
from ..layouts.values import COLORS, Convention
from .affixes import Affixes
from .config import AFFIXES, DataConfig, Fit, Split
from .listing import IMAGE, INSTANCES, LABEL, Folder, Listing, listed


@dataclass(frozen=True)
class FolderStructure:
    """The folders of a data set and the meaning of its label maps' values.

    An image and its maps have one name, but for `affixes` and the suffix. Names are the same in any Unicode form; and where
    there is only one candidate, capitals and a second suffix (photo.jpg.png) do not count.

    images, labels, instances: folders in the root; {split} stands for `train` or `val`.
    affixes: what names of images, label maps and instance maps have around the part that they share.
    values: what the values mean, by the name that the class table has for it; None for its first convention.
    painted: label maps may be in the palette's colours.
    any_resolution: maps have the proportions of their images, but not always the size.
    anywhere: the root may also be an address that fsspec reads.
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
    anywhere: bool = False
    fit: Fit = "random_crop"

    def convention(self, palette: Palette) -> Convention:
        """ValueError if the class table has none of this name, or if `values` are colours and maps are not painted."""
        return palette.convention(None if self.values == COLORS and self.painted else self.values)

    def listing(self, config: DataConfig, split: Split, borders: bool) -> Listing:
        """The files of a split; those of instances only if `borders` are wanted. ValueError as for `listed`."""
        root = Path(config.root or ".")
        paths = {IMAGE: self.images, LABEL: self.labels}
        if borders and self.instances is not None:
            paths[INSTANCES] = self.instances
        within = self.train if split == "train" else self.val
        folders = {
            kind: Folder(root, path.format(split=within), affixes)
            for (kind, path), affixes in zip(paths.items(), self.affixes, strict=False)
        }
        names = config.names_of(split, split_in_folders="{split}" in self.images)
        return listed(folders, names, config.unpaired == "skip", settings=AFFIXES[0] in config.source.takes)
