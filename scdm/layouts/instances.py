"""Instance maps: pictures in which each thing has another value or colour, so that things of one class that touch
have a border between them.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..files.images import read_image, require_eight_bits
from ..files.levels import Remark, require_lossless
from ..files.untrusted import naming
from .labels import LabelMap, instance_borders
from .pixels import codes_of, require_pictures, rgba
from .values import GREY_MODES

WORTH_A_REMARK = 0.5  # share of pixels on borders; things are larger than that
LEAST_COVERED = 0.5  # share of the borders between classes, in a map that numbers all that a layout shows


def read_instances(path: str | Path) -> LabelMap:
    """The instance map in an image file: of ids in 8, 16 or 32 bits, or of colours. ValueError names the file.

    Instances are numbered anew, as the classes of a layout are, so that what brings layouts to a size does it for them.
    """
    image = read_image(path)
    require_eight_bits(path, image)
    with naming(path):
        require_lossless(image)
        return _numbered(_values(image)[None])


def instances_of(pictures: np.ndarray) -> LabelMap:
    """Instance maps in memory, uint8 (B, H, W, C): of values, of colours, or of colours with an alpha (C 1, 3 or 4)."""
    require_pictures(pictures, "an instance map")
    return _numbered(_codes(pictures))


def bordered(labels: LabelMap, instances: LabelMap, remark: Remark = warnings.warn) -> LabelMap:
    """The layouts with the borders of instances of the same size: of one map, or of one for each layout.

    A map may number things only: where it misses most of the borders between classes, these are added.
    remark: receives that, and doubts about maps that cannot be right. ValueError if sizes differ.
    """
    require_one_size(labels, instances)
    edges = instance_borders(instances.expanded(labels.batch).ids).to(labels.ids.device)
    if edges.float().mean() > WORTH_A_REMARK:
        remark(
            f"{edges.float().mean():.0%} of the pixels of the instance map are on borders, as in a photograph, in JPEG or "
            "after smoothing: give one flat value or colour to each thing, in PNG"
        )
    between_classes = instance_borders(labels.ids)
    missed = between_classes & ~edges
    if missed.sum() > (1 - LEAST_COVERED) * between_classes.sum():
        share = missed.sum() / between_classes.sum()
        remark(
            f"the instance map has none of its borders at {share:.0%} of those between classes, so these are added: it "
            "numbers some things only, or belongs to another layout"
        )
        edges = edges | between_classes
    return replace(labels, edges=edges)


def require_one_size(labels: LabelMap, instances: LabelMap) -> None:
    own, given = (f"{one.width}x{one.height}" for one in (labels, instances))
    if own != given:
        raise ValueError(f"the instance map is {given}, the layout {own}: they must have the same size")


def _values(image: Image.Image) -> np.ndarray:
    """(H, W): a number for each value or colour; pixels of less than half opacity are one instance."""
    if image.mode == "LA" or image.mode not in (*GREY_MODES, "P"):
        return _codes(rgba(image))
    values = np.asarray(image)
    if image.mode == "F" and (values != np.floor(values)).any():
        raise ValueError("an instance map holds whole numbers or colours, not fractions: it may be smoothed")
    return values.astype(np.int64)


def _codes(levels: np.ndarray) -> np.ndarray:
    """uint8 (..., H, W, C) -> (..., H, W)."""
    codes = levels[..., 0] if levels.shape[-1] == 1 else codes_of(levels)
    return np.where(levels[..., 3] < 128, -1, codes) if levels.shape[-1] == 4 else codes


def _numbered(values: np.ndarray) -> LabelMap:
    different, numbers = np.unique(values, return_inverse=True)
    return LabelMap(torch.from_numpy(numbers.reshape(values.shape).astype(np.int64)), len(different))
