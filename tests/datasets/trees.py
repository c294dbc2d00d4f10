"""Tiny data sets in the folders in which the official ones come."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from PIL import Image

from scdm.datasets import DataConfig

SIZE = (30, 40)


class Places(NamedTuple):
    """File names in the root; {split} and {name} stand for themselves."""

    image: str
    label: str
    instances: str | None = None


PLACES = {
    "ade20k": Places("images/{split}/{name}.png", "annotations/{split}/{name}.png"),
    "celebamask_hq": Places("{split}/images/{name}.png", "{split}/labels/{name}.png"),
    "cityscapes": Places(
        "leftImg8bit/{split}/aachen/{name}_leftImg8bit.png",
        "gtFine/{split}/aachen/{name}_gtFine_labelIds.png",
        "gtFine/{split}/aachen/{name}_gtFine_instanceIds.png",
    ),
    "coco_stuff": Places("{split}_img/{name}.png", "{split}_label/{name}.png", "{split}_inst/{name}.png"),
    "folder": Places("{split}/images/{name}.png", "{split}/labels/{name}.png"),
}
SPLITS = {"ade20k": {"train": "training", "val": "validation"}}
CLASSES = {"name": "three", "classes": [{"name": "sky", "color": [0, 0, 255]}, {"name": "sea"}, {"name": "sun"}]}


def path(root: Path, data: str, kind: str, name: str = "a", split: str = "train") -> Path:
    """Where a file of a data set lies; its folder is made."""
    split = SPLITS.get(data, {}).get(split, split)
    place = root / getattr(PLACES[data], kind).format(split=split, name=name)
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def write(
    root: Path,
    data: str,
    label: np.ndarray,
    image: np.ndarray | None = None,
    instances: np.ndarray | None = None,
    name: str = "a",
    split: str = "train",
) -> None:
    """A pair, with a random image if none is given, and instances where the data set has them."""
    if image is None:
        image = random_image(len(name), label.shape)
    Image.fromarray(image).save(path(root, data, "image", name, split))
    Image.fromarray(label).save(path(root, data, "label", name, split))
    if PLACES[data].instances:
        instances = label if instances is None else instances
        Image.fromarray(instances).save(path(root, data, "instances", name, split))


def random_image(seed: int, size: tuple[int, ...] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def random_label(seed: int, values: int = 3, size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, values, size, dtype=np.uint8)


def folder(root: Path, count: int, split: str = "train") -> DataConfig:
    """A `folder` of `count` pairs called 0, 1, ..., of three classes."""
    for index in range(count):
        write(root, "folder", random_label(index), random_image(index), name=str(index), split=split)
    return folder_config(root)


def folder_config(root: Path, classes: dict | None = None, **changes) -> DataConfig:
    table = root / "classes.yaml"
    table.write_text(yaml.safe_dump(classes or CLASSES))
    return DataConfig(
        **{"name": "folder", "root": str(root), "classes": str(table), "size": 16, "workers": 0, **changes}
    )
