"""Bring data sets into the folders that training reads (scdm/datasets/in_folders.py). Files that exist are kept.

CelebAMask-HQ: the archive has a mask for each part of a face; they become one map of ids. The last faces are held out:

    python training/prepare_data.py celebamask_hq CelebAMask-HQ data/celebamask_hq

COCO-Stuff: folders of images (train2017, val2017), of pixel maps (train2017, val2017 of stuffthingmaps_trainval2017) and of
annotations_trainval2017 (instances_train2017.json, instances_val2017.json):

    python training/prepare_data.py coco_stuff --images coco --maps stuffthingmaps --instances annotations data/coco_stuff

An invalid shape is reported and left out, its image is made with the others; an image is left out if it has no entry in the
annotations, no map, or one of another size. The status is 1 if anything was left out.

Any data set: a smaller copy, to be data.root where reading takes longer than training. Its images are resized twice, which
is not as published; little is lost if it is twice as large as the training images. Photographs of more than 8 bits become
such of 8, upright and in sRGB:

    python training/prepare_data.py resize --config CONFIG --side 512 data/ade20k_512

Archives for the data set shards: an index.json beside those of each split, which says what lies where in them, so that a run
need not read their headers, over a network above all. It is made anew each time:

    python training/prepare_data.py index data/streets
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("prepare_data")  # before the imports that take seconds

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from scdm import assets
from scdm.datasets import open_pairs
from scdm.datasets.affixes import SUFFIXES
from scdm.datasets.coco import FIRST_INSTANCE, Annotations, Shape, instance_map, read_annotations
from scdm.datasets.config import SPLITS
from scdm.datasets.framing import keep_aspect
from scdm.datasets.listing import Pair
from scdm.datasets.parallel import mapped
from scdm.datasets.reader import Reader
from scdm.files.addresses import is_address
from scdm.files.archive_index import INDEX, write_index
from scdm.files.arguments import Parser
from scdm.files.atomic import made_folder, written_whole
from scdm.files.config import load
from scdm.files.images import read_image, write_image
from scdm.files.levels import mask_strength
from scdm.files.untrusted import naming
from scdm.training.command import ending
from scdm.training.config import TrainConfig

FACES_TO_A_FOLDER = 2000  # of masks
HELD_OUT = 2000  # faces


@ending("prepare_data", "the same command goes on")
def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return 1 if arguments.prepare(arguments) else 0


def parser() -> argparse.ArgumentParser:
    top = Parser(description=__doc__)
    kinds = top.add_subparsers(metavar="KIND", required=True)
    faces = kinds.add_parser("celebamask_hq", help="part masks into id maps")
    faces.add_argument("archive", type=Path, help="folder of CelebA-HQ-img and CelebAMask-HQ-mask-anno")
    faces.add_argument("--held-out", type=int, default=HELD_OUT, metavar="N", help="faces for validation (%(default)s)")
    faces.set_defaults(prepare=prepare_faces)
    coco = kinds.add_parser("coco_stuff", help="images and pixel maps into one folder, with instance maps")
    for name in ("images", "maps", "instances"):
        coco.add_argument(f"--{name}", type=Path, required=True, metavar="FOLDER")
    coco.set_defaults(prepare=prepare_coco)
    smaller = kinds.add_parser("resize", help="a smaller copy")
    smaller.add_argument("--config", required=True, help="YAML file of the run that reads the data set")
    smaller.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="data.root=/data/ade20k")
    smaller.add_argument("--side", type=int, required=True, help="pixels of the smaller side; smaller images stay")
    smaller.add_argument("--split", choices=SPLITS, help="only this one")
    smaller.set_defaults(prepare=prepare_smaller)
    index = kinds.add_parser("index", help="say what lies where in archives")
    index.add_argument("root", help="folder of {train,val}/*.tar, before it is uploaded")
    index.set_defaults(prepare=prepare_index)
    for kind in (faces, coco, smaller):
        kind.add_argument("out", type=Path, help="folder to make, data.root of a configuration")
        kind.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (%(default)s)")
    return top


def done(make: Callable[[Any], list[str] | None], things: Iterable[Any], workers: int, total: int) -> int:
    """`make` applied to each of `things`. Prints what goes wrong, raised or returned, and returns how often it did."""
    complaints = 0
    for sentences in tqdm(mapped(partial(attempted, make), things, workers), total=total, unit="image"):
        for sentence in sentences:
            tqdm.write(sentence)
        complaints += len(sentences)
    return complaints


def attempted(make: Callable[[Any], list[str] | None], thing: Any) -> list[str]:
    try:
        return make(thing) or []
    except ValueError as error:
        return [f"{error}: left out"]


def placed(source: Path, target: Path) -> None:
    """The file at another place too: the same file where the disk allows it, else a copy."""
    if target.exists():
        return
    try:
        os.link(source, target)
    except OSError:
        with written_whole(target) as beside:
            shutil.copyfile(source, beside)


# ---- CelebAMask-HQ ---------------------------------------------------------------------------------------------------


def prepare_faces(arguments: argparse.Namespace) -> int:
    images, masks = arguments.archive / "CelebA-HQ-img", arguments.archive / "CelebAMask-HQ-mask-anno"
    for folder in (images, masks):
        if not folder.is_dir():
            raise ValueError(f"there is no folder {folder}: is {arguments.archive} the unpacked archive?")
    numbers = sorted(int(image.stem) for image in images.glob("*.jpg") if image.stem.isdecimal())
    if not 0 < arguments.held_out < len(numbers):
        raise ValueError(f"of the {len(numbers)} faces in {images}, {arguments.held_out} cannot be held out")
    first_held_out = numbers[-arguments.held_out]
    for split in SPLITS:
        for kind in ("images", "labels"):
            made_folder(arguments.out / split / kind)
    make = partial(prepare_face, images, masks, arguments.out, first_held_out)
    return done(make, numbers, arguments.workers, len(numbers))


def prepare_face(images: Path, masks: Path, out: Path, first_held_out: int, number: int) -> None:
    folder = out / ("train" if number < first_held_out else "val")
    label = folder / "labels" / f"{number}.png"
    if not label.exists():
        write_image(label, face_ids(masks / str(number // FACES_TO_A_FOLDER), number))
    placed(images / f"{number}.jpg", folder / "images" / f"{number}.jpg")


def face_ids(folder: Path, number: int) -> np.ndarray:
    """uint8 (H, W). The parts are laid over each other in the order of their ids; what none covers is background."""
    masks = {i: folder / f"{number:05}_{part}.png" for i, part in enumerate(parts()) if i > 0}
    found = {i: mask_strength(read_image(mask)) > 0 for i, mask in masks.items() if mask.is_file()}
    if not found:
        raise ValueError(f"{folder}: there is no mask {number:05}_*.png")
    ids = np.zeros(next(iter(found.values())).shape, np.uint8)
    for i, mask in found.items():
        if mask.shape != ids.shape:
            raise ValueError(f"{masks[i]}: its size is not that of the other masks")
        ids[mask] = i
    return ids


@cache
def parts() -> list[str]:
    """The names of the classes in the archive's file names, in the order of their ids."""
    table = json.loads((assets.folder() / "classes" / "celebamask_hq.json").read_text(encoding="utf-8"))
    return [entry["key"] for entry in table["classes"]]


# ---- COCO-Stuff ------------------------------------------------------------------------------------------------------


class Picture(NamedTuple):
    """An image of COCO, the shapes of its instances, the size that they are meant for if that is known, or what is wrong."""

    image: Path
    shapes: list[Shape]
    size: tuple[int, int] | None = None
    problem: str | None = None


def prepare_coco(arguments: argparse.Namespace) -> int:
    splits = [split for split in SPLITS if (arguments.images / f"{split}2017").is_dir()]
    if not splits:
        raise ValueError(f"{arguments.images} has neither train2017 nor val2017: give the folder that holds them")
    complaints = 0
    for split in splits:
        images = images_in(arguments.images / f"{split}2017")
        annotations = read_annotations(arguments.instances / f"instances_{split}2017.json")
        for kind in ("img", "label", "inst"):
            made_folder(arguments.out / f"{split}_{kind}")
        pictures = pictures_of(images, annotations)
        make = partial(prepare_picture, arguments.maps / f"{split}2017", arguments.out, split)
        for problem in annotations.problems:
            tqdm.write(problem)
        found = len(annotations.problems) + done(make, pictures, arguments.workers, len(images))
        there = len(list((arguments.out / f"{split}_img").iterdir()))
        print(f"{split}: {there} of {len(images)} images are there, {found or 'no'} problem{'' if found == 1 else 's'}")
        complaints += found
    return complaints


def images_in(folder: Path) -> list[Path]:
    images = sorted(
        file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")
    )
    if not images:
        raise ValueError(f"there are no images in {folder} (names that end in {', '.join(SUFFIXES)})")
    return images


def pictures_of(images: Iterable[Path], annotations: Annotations) -> Iterator[Picture]:
    stems: dict[str, Path] = {}
    for image in images:
        try:
            if (other := stems.setdefault(image.stem, image)) != image:
                raise ValueError(f"{image}: {other.name} has the same name")
            key = annotations.key_of(image)
            yield Picture(image, annotations.shapes.get(key, []), annotations.sizes.get(key))
        except ValueError as error:
            yield Picture(image, [], problem=str(error))


def prepare_picture(maps: Path, out: Path, split: str, picture: Picture) -> list[str]:
    """Returns the faults of shapes, which are left out. ValueError if the image must be left out."""
    if picture.problem:
        raise ValueError(picture.problem)
    name = f"{picture.image.stem}.png"
    instances = out / f"{split}_inst" / name
    odd: list[str] = []
    if not instances.exists():
        values = pixel_map(maps / name, picture)
        with naming(picture.image):
            map_, odd = instance_map(values, picture.shapes)
        write_image(instances, map_)
    placed(maps / name, out / f"{split}_label" / name)
    placed(picture.image, out / f"{split}_img" / picture.image.name)
    return [f"{picture.image}: {sentence}" for sentence in odd]


def pixel_map(file: Path, picture: Picture) -> np.ndarray:
    """(H, W), the values of the classes. ValueError if it is no such map, or the shapes are meant for another size."""
    image = read_image(file)
    values = np.asarray(image)
    if image.mode not in ("1", "L", "P", "I", "I;16") or not 0 <= values.min() <= values.max() < FIRST_INSTANCE:
        raise ValueError(f"{picture.image}: its pixel map {file} is no grey image of values below {FIRST_INSTANCE}")
    if picture.size not in (None, values.shape):
        sizes = f"{_size(picture.size or ())} pixels, but its pixel map {file} has {_size(values.shape)}"
        raise ValueError(f"{picture.image}: its shapes are meant for {sizes}")
    return values


def _size(height_width: tuple[int, ...]) -> str:
    return " x ".join(str(side) for side in reversed(height_width))


# ---- a smaller copy --------------------------------------------------------------------------------------------------


def prepare_smaller(arguments: argparse.Namespace) -> int:
    config = load(TrainConfig, arguments.config, arguments.set).data
    root = Path(config.root or ".")
    if arguments.side < 1:
        raise ValueError(f"--side is at least 1 pixel, not {arguments.side}")
    if arguments.out.resolve() == root.resolve():
        raise ValueError(f"{arguments.out} is the data set itself: give its copy another folder")
    made_folder(arguments.out)
    complaints = 0
    for split in [split for split in SPLITS if arguments.split in (None, split)]:
        data = open_pairs(config, split)
        make = partial(prepare_pair, data.reader, root, arguments.out, arguments.side)
        for sentence in [*(f"note: {note}" for note in data.notes), *data.unpaired]:
            tqdm.write(sentence)
        if (names := data.config.names_of(split, split_in_folders=True)) and names.is_relative_to(root):
            placed(names, made(arguments.out / names.relative_to(root)))
        complaints += len(data.unpaired) + done(make, data.pairs, arguments.workers, len(data))
    return complaints


def prepare_pair(reader: Reader, root: Path, out: Path, side: int, pair: Pair) -> None:
    copy = out / Path(pair.image).relative_to(root)
    if copy.exists():
        return
    image, *maps = reader.read(pair)
    frame = keep_aspect((image.height, image.width), side)
    small = min(image.size) <= side
    for file, map_ in zip((pair.label, pair.instances), maps, strict=True):
        if file is not None and map_ is not None:
            target = made(out / Path(file).relative_to(root))
            if small:
                placed(Path(file), target)
            elif not target.with_suffix(".png").exists():  # whatever the map was, its copy must not lose a bit
                write_image(target.with_suffix(".png"), compact(frame.values(map_), file))
    if small:  # last: who finds the image finds its maps
        placed(Path(pair.image), made(copy))
    else:
        write_image(made(copy), frame.image(image))


def made(file: Path) -> Path:
    made_folder(file.parent)
    return file


def compact(values: np.ndarray, file: str) -> np.ndarray:
    """In 8 bits if they suffice, else 16, where -1, "nothing" in signed maps, is 65535. ValueError if they do not fit."""
    low, high = int(values.min()), int(values.max())
    if low == -1 and high < 2**16 - 1:
        values, high = np.where(values == -1, 2**16 - 1, values), 2**16 - 1
    elif low < 0 or high >= 2**16:
        raise ValueError(f"{file} holds values from {low} to {high}, which a PNG of 16 bits cannot hold: renumber them")
    return values.astype(np.uint8 if high < 2**8 else np.uint16)


# ---- an index of archives --------------------------------------------------------------------------------------------


def prepare_index(arguments: argparse.Namespace) -> int:
    if is_address(arguments.root):
        raise ValueError(
            f"an index is made of archives on a disk, not at an address like {arguments.root}: upload it after"
        )
    folders = [folder for split in SPLITS if (folder := Path(arguments.root) / split).is_dir()]
    if not folders:
        raise ValueError(f"{arguments.root} has no folder {' or '.join(SPLITS)}, which hold the archives (*.tar)")
    for folder in folders:
        print(f"{folder / INDEX}: {write_index(folder):,} files")
    return 0


if __name__ == "__main__":
    sys.exit(perform(main))
