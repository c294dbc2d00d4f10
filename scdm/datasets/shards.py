"""The data set `shards`: a folder's images and label maps in tar archives, as the webdataset library writes them.

`data.root` holds {train,val}/*.tar. Files of one example follow each other in no special order, and have one name up to the
first dot: street_7.jpg (or .png, .webp, .tif, .bmp), street_7.label.png, and street_7.instance.png if the class table has
"edge_channel". An archive is read in place, and any of its examples at any time, so that order, augmentation and resumption
are those of a folder. Values of label maps are as in a folder.

The root may be an address that fsspec reads. An index.json beside the archives (`files.archive_index`) spares their headers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ..files.addresses import Remote, Unreachable, is_address, served
from ..files.archive_index import members_in
from ..files.members import Member
from ..files.untrusted import brief
from ..layouts.palette import Palette
from .config import DataConfig, Split
from .listing import IMAGE, INSTANCES, LABEL, Listing, Pair
from .pairs import PairSet
from .registry import DATASETS, Source
from .structure import FolderStructure

KINDS = {
    **dict.fromkeys(("jpg", "jpeg", "png", "webp", "tif", "tiff", "bmp"), IMAGE),
    **dict.fromkeys(("label.png", "seg.png", "mask.png"), LABEL),
    **dict.fromkeys(("instance.png", "instances.png", "inst.png"), INSTANCES),
}


@dataclass(frozen=True)
class ShardStructure(FolderStructure):
    """images: the folder of the archives; what is in them says what it is by its suffix (`KINDS`)."""

    def listing(self, config: DataConfig, split: Split, borders: bool) -> Listing:
        """The files of a split. ValueError if there is no archive, or one cannot be read, or the index is of others."""
        folder = _root(config.root or ".") / self.images.format(split=split)
        try:
            members, notes = members_in(folder)
        except Unreachable as error:
            raise ValueError(str(error)) from error
        found = _by_name(members)
        pairs = [_pair(name, files, borders) for name, files in sorted(found.items())]
        problems = [
            f"{name}: there is no {IMAGE if IMAGE not in files else LABEL} of this name in the archives"
            for name, files in sorted(found.items())
            if not {IMAGE, LABEL} <= files.keys()
        ]
        whole = [pair for pair in pairs if pair is not None]
        if not whole:
            raise ValueError(
                f"the archives in {folder} have no images (x.jpg) with a label map of their name (x.label.png)"
            )
        if config.unpaired == "skip" and problems:
            notes.append(f"{len(problems)} examples left out for want of a file, such as {problems[0]}")
            problems = []
        return Listing(whole, problems, notes)


def _root(name: str) -> Path | Remote:
    """ValueError if it is an address for which a package is not installed."""
    if not is_address(name):
        return Path(name)
    served(name)  # so that the error names the address as it was given
    return Remote(name)


def _by_name(members: Iterable[Member]) -> dict[str, dict[str, Member]]:
    """The files of each example by kind. ValueError if there are two of one kind."""
    found: dict[str, dict[str, Member]] = defaultdict(dict)
    for member in members:
        inner = PurePosixPath(member.inner)
        stem, _, suffix = inner.name.partition(".")
        if (kind := KINDS.get(suffix.lower())) is None:
            continue  # such as captions
        name = str(inner.with_name(stem)).removeprefix("./") if stem else str(inner)
        if other := found[name].get(kind):
            raise ValueError(f"{brief(name)} has two {kind}s: {brief(other)} and {brief(member)}")
        found[name][kind] = member
    return found


def _pair(name: str, files: dict[str, Member], borders: bool) -> Pair | None:
    if not {IMAGE, LABEL} <= files.keys():
        return None
    return Pair(name, files[IMAGE], files[LABEL], files.get(INSTANCES) if borders else None)


def _opened(config: DataConfig, split: Split) -> PairSet:
    structure = ShardStructure("{split}", "{split}", painted=True, any_resolution=True, anywhere=True)
    return PairSet(config, split, structure, Palette.from_file(config.classes or ""))


DATASETS["shards"] = Source(_opened, needs=("root", "classes"), takes=("unpaired", "values"))
