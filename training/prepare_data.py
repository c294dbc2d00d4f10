"""Bring data sets into the folders that training reads (scdm/datasets/layouts.py). What is there already is not made again.

CelebAMask-HQ: the archive has a mask for each part of a face; they become one map of ids. The last faces are held out:

    python training/prepare_data.py celebamask_hq CelebAMask-HQ data/celebamask_hq

COCO-Stuff: folders of images (train2017, val2017), of pixel maps (train2017, val2017 of stuffthingmaps_trainval2017) and of
annotations_trainval2017 (instances_train2017.json, instances_val2017.json):

    python training/prepare_data.py coco_stuff --images coco --maps stuffthingmaps --instances annotations data/coco_stuff

Any data set: a smaller copy, to be data.root where reading takes longer than training. Its images are resized twice, which
is not as published; little is lost if it is twice as large as the training images. Photographs of more than 8 bits become
such of 8, upright and in sRGB:

    python training/prepare_data.py resize --config CONFIG --side 512 data/ade20k_512
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
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from tqdm.auto import tqdm

from scdm import assets
from scdm.config import load
from scdm.datasets.config import SPLITS
from scdm.datasets.framing import keep_aspect
from scdm.datasets.listing import Pair
from scdm.datasets.pairs import PairSet
from scdm.datasets.parallel import mapped
from scdm.datasets.reader import Reader
from scdm.images import made_folder, read_image, write_image, written_whole
from scdm.levels import mask_strength
from scdm.training.config import TrainConfig

FACES_TO_A_FOLDER = 2000  # of masks
HELD_OUT = 2000  # faces
FIRST_INSTANCE = 256  # values below are those of the pixel map
FINER = 4  # polygons are drawn at this multiple of an image's size


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        complaints = arguments.prepare(arguments)
    except (ValueError, OSError) as error:
        print(f"prepare_data: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("prepare_data: interrupted; the same command goes on", file=sys.stderr)
        return 130
    return 1 if complaints else 0


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
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
    for kind in (faces, coco, smaller):
        kind.add_argument("out", type=Path, help="folder to make, data.root of a configuration")
        kind.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (%(default)s)")
    return top


def done(make: Callable[[Any], None], things: Iterable[Any], workers: int, total: int) -> int:
    """`make` done to each of `things`. Prints what goes wrong and returns how often it did."""
    complaints = 0
    for complaint in tqdm(mapped(partial(attempted, make), things, workers), total=total, unit="image"):
        if complaint:
            tqdm.write(complaint)
            complaints += 1
    return complaints


def attempted(make: Callable[[Any], None], thing: Any) -> str | None:
    try:
        make(thing)
    except ValueError as error:
        return str(error)
    return None


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
        raise ValueError(f"{folder}: there is no mask {number:05}_*.png, so face {number} is left out")
    ids = np.zeros(next(iter(found.values())).shape, np.uint8)
    for i, mask in found.items():
        if mask.shape != ids.shape:
            raise ValueError(f"{masks[i]}: its size is not that of the other masks, so face {number} is left out")
        ids[mask] = i
    return ids


@cache
def parts() -> list[str]:
    """The names of the classes in the archive's file names, in the order of their ids."""
    table = json.loads((assets.folder() / "classes" / "celebamask_hq.json").read_text(encoding="utf-8"))
    return [entry["key"] for entry in table["classes"]]


# ---- COCO-Stuff ------------------------------------------------------------------------------------------------------


class Picture(NamedTuple):
    """An image of COCO and the shapes of its instances: polygons, or runs of a crowd's pixels."""

    image: Path
    shapes: list[Any]


def prepare_coco(arguments: argparse.Namespace) -> int:
    splits = [split for split in SPLITS if (arguments.images / f"{split}2017").is_dir()]
    if not splits:
        raise ValueError(f"{arguments.images} has neither train2017 nor val2017: give the folder that holds them")
    complaints = 0
    for split in splits:
        images = sorted((arguments.images / f"{split}2017").glob("*.jpg"))
        shapes = instance_shapes(arguments.instances / f"instances_{split}2017.json")
        for kind in ("img", "label", "inst"):
            made_folder(arguments.out / f"{split}_{kind}")
        pictures = (Picture(image, shapes[int(image.stem)]) for image in images)
        make = partial(prepare_picture, arguments.maps / f"{split}2017", arguments.out, split)
        complaints += done(make, pictures, arguments.workers, len(images))
    return complaints


def instance_shapes(annotations: Path) -> dict[int, list[Any]]:
    """Image number -> the shapes of its instances."""
    try:
        content = json.loads(annotations.read_text(encoding="utf-8"))
        shapes: dict[int, list[Any]] = defaultdict(list)
        for annotation in content["annotations"]:
            shapes[annotation["image_id"]].append(annotation["segmentation"])
        return shapes
    except OSError as error:
        raise ValueError(f"{annotations}: cannot be read ({error.strerror})") from error
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{annotations}: not the instances of COCO ({error})") from error


def prepare_picture(maps: Path, out: Path, split: str, picture: Picture) -> None:
    name = f"{picture.image.stem}.png"
    instances = out / f"{split}_inst" / name
    if not instances.exists():
        write_image(instances, instance_map(np.asarray(read_image(maps / name)), picture))
    placed(maps / name, out / f"{split}_label" / name)
    placed(picture.image, out / f"{split}_img" / picture.image.name)


def instance_map(values: np.ndarray, picture: Picture) -> np.ndarray:
    """uint16 (H, W): a number of its own for each instance, and the pixel map's value where there is none."""
    height, width = values.shape
    fine = np.zeros((height * FINER, width * FINER), np.uint16)
    crowds = {}
    for number, shape in enumerate(picture.shapes, start=FIRST_INSTANCE):
        if isinstance(shape, list):
            for polygon in shape:
                points = np.reshape(polygon, (-1, 2)) * FINER
                cv2.fillPoly(fine, [points.round().astype(np.int32)], number)
        else:
            crowds[number] = crowd_mask(shape["counts"], picture.image, values.shape)
    numbers = fine[FINER // 2 :: FINER, FINER // 2 :: FINER]  # the pixels' centres: OpenCV draws outlines, too
    instances = np.where(numbers > 0, numbers, values.astype(np.uint16))
    for number, mask in crowds.items():
        instances[mask] = number
    return instances


def crowd_mask(counts: Any, image: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Lengths of runs outside and inside in turn, column by column -> bool (H, W)."""
    if not isinstance(counts, list) or sum(counts) != shape[0] * shape[1]:
        raise ValueError(f"{image}: the runs of a crowd's pixels do not fit, so the image is left out")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(shape[::-1]).T


# ---- a smaller copy --------------------------------------------------------------------------------------------------


def prepare_smaller(arguments: argparse.Namespace) -> int:
    config = load(TrainConfig, arguments.config, arguments.set).data
    if config.root is None:
        raise ValueError("scenes are made at any size: there is nothing to resize")
    if arguments.side < 1:
        raise ValueError(f"images have sides of at least 1 pixel, not {arguments.side}")
    if arguments.out.resolve() == Path(config.root).resolve():
        raise ValueError(f"{arguments.out} is the data set itself: give its copy another folder")
    made_folder(arguments.out)
    complaints = 0
    for split in [split for split in SPLITS if arguments.split in (None, split)]:
        data = PairSet(config, split)
        make = partial(prepare_pair, data.reader, Path(config.root), arguments.out, arguments.side)
        for complaint in data.unpaired:
            tqdm.write(complaint)
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
        raise ValueError(
            f"{file} holds values from {low} to {high}, and the copy is a PNG of 16 bits: number them anew"
        )
    return values.astype(np.uint8 if high < 2**8 else np.uint16)


if __name__ == "__main__":
    sys.exit(perform(main))
