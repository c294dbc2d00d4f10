"""Annotations in COCO's JSON: whose image they belong to, and the shapes of instances as pixels.

Many tools export the format, and not all of what they write is in order. One odd shape is named and left out; the others of
its image count.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ..files.untrusted import brief, file_at, shown
from .affixes import loosely, one_form, without_suffix

FIRST_INSTANCE = 256  # values below are those of the pixel map
MOST_INSTANCES = 2**16 - FIRST_INSTANCE
FINER = 4  # polygons are drawn at this multiple of an image's size
FARTHEST = 1e6  # pixels, of a polygon's point


class Shape(NamedTuple):
    """An annotation: what it is called in the file, and its segmentation as it stands there."""

    called: str
    segmentation: Any


@dataclass(frozen=True)
class Annotations:
    """A file of annotations. Images are known by the keys of their numbers.

    sizes: (height, width) where the file says them. names: of the files, without folders, by key.
    problems: a sentence for what belongs to no image.
    """

    path: Path
    shapes: dict[str, list[Shape]]
    sizes: dict[str, tuple[int, int]]
    by_name: dict[str, set[str]]
    names: dict[str, set[str]]
    lists_images: bool
    problems: list[str]

    def key_of(self, image: Path) -> str:
        """The image's key, by its file name, or by the number that is its name. ValueError if it has none."""
        for name in (one_form(image.name), loosely(image.name)):
            found = self.by_name.get(name, set())
            if len(found) > 1:
                raise ValueError(f"{image}: {self.path} has several images of this name, so the image is left out")
            if found:
                return next(iter(found))
        number = _key(image.stem) if image.stem.isdecimal() else None
        known = number in self.shapes or number in self.sizes
        if number is None or (self.lists_images and not known):
            raise ValueError(f"{image}: {self.path} names no image like this, so it is left out")
        names = self.names.get(number)
        if names and not any(_key(without_suffix(name)) == number for name in names):
            raise ValueError(
                f"{image}: {self.path} calls the image of this number {brief(min(names))}, so it is left out"
            )
        return number


def read_annotations(path: Path) -> Annotations:
    """ValueError if it is no file of instances."""
    file = file_at(path)
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON ({brief(str(error))})") from error
    annotations = content.get("annotations") if isinstance(content, dict) else None
    if not isinstance(annotations, list):
        raise ValueError(f'{path}: not the instances of COCO (it holds no list of "annotations")')
    entries = [entry for entry in annotations if isinstance(entry, dict)]
    if annotations and not any("segmentation" in entry for entry in entries):
        raise ValueError(
            f"{path}: not the instances of COCO (no annotation has a segmentation, as in captions, boxes or panoptic files)"
        )
    images = content.get("images")
    images = [image for image in images if isinstance(image, dict)] if isinstance(images, list) else []
    sizes: dict[str, tuple[int, int]] = {}
    by_name: dict[str, set[str]] = defaultdict(set)
    names: dict[str, set[str]] = defaultdict(set)
    keys = set()
    for image in images:
        if (key := _key(image.get("id"))) is None:
            continue
        keys.add(key)
        if isinstance(name := image.get("file_name"), str):
            names[key].add(_enter(by_name, name, key))
        height, width = image.get("height"), image.get("width")
        if isinstance(height, int) and isinstance(width, int):
            sizes[key] = height, width
    shapes: dict[str, list[Shape]] = defaultdict(list)
    lost = []
    for place, entry in enumerate(annotations):
        called = f"annotation {shown(entry['id'])}" if isinstance(entry, dict) and "id" in entry else f"entry {place}"
        key = _key(entry.get("image_id")) if isinstance(entry, dict) else None
        if key is None or (keys and key not in keys):
            lost.append(called)
        else:
            shapes[key].append(Shape(called, entry.get("segmentation")))
            if not keys and not key.isdecimal():  # no list of images: called by the names of files
                _enter(by_name, key, key)
    problems = [f"{path}: {len(lost)} annotations of no image (such as {lost[0]}) are left out"] if lost else []
    return Annotations(path, dict(shapes), sizes, dict(by_name), dict(names), bool(keys), problems)


def _enter(by_name: dict[str, set[str]], name: str, key: str) -> str:
    """What `Annotations.key_of` finds a file by; its name without folders."""
    last = one_form(name.replace("\\", "/").rpartition("/")[2])
    by_name[last].add(key)
    by_name[loosely(last)].add(key)
    return last


def instance_map(values: np.ndarray, shapes: Sequence[Shape]) -> tuple[np.ndarray, list[str]]:
    """uint16 (H, W): a number of its own for each instance, and the pixel map's value where there is none; and what is odd
    about shapes, or parts of them, which are left out.
    """
    if len(shapes) > MOST_INSTANCES:
        raise ValueError(f"an image has at most {MOST_INSTANCES} instances, not {len(shapes)}")
    height, width = values.shape
    fine = np.zeros((height * FINER, width * FINER), np.uint16)
    masks = {}
    problems = []
    for number, (called, segmentation) in enumerate(shapes, start=FIRST_INSTANCE):
        try:
            if isinstance(segmentation, dict):
                masks[number] = mask_of_runs(segmentation, (height, width))
                continue
            for part in _parts(segmentation):
                try:
                    points = _points(part, (height, width))
                except ValueError as error:
                    problems.append(f"{called} has {error}: left out")
                    continue
                cv2.fillPoly(fine, [(points * FINER).round().astype(np.int32)], number)
        except ValueError as error:
            problems.append(f"{called} has {error}: left out")
    numbers = fine[FINER // 2 :: FINER, FINER // 2 :: FINER]  # the pixels' centres: OpenCV draws outlines, too
    instances = np.where(numbers > 0, numbers, values.astype(np.uint16))
    for number, mask in masks.items():
        instances[mask] = number
    return instances, problems


def mask_of_runs(segmentation: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """Lengths of runs outside and inside in turn, column by column, as a list or compressed -> bool (H, W).

    ValueError says what is odd, so that "has" may stand before it.
    """
    height, width = size
    counts, said = segmentation.get("counts"), segmentation.get("size")
    if said is not None and said != [height, width]:
        raise ValueError(f"runs for an image of (height, width) {shown(said)}, not of {[height, width]}")
    runs = decompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise ValueError(f"runs that are no list of lengths, but {shown(runs)}")
    if sum(runs) != height * width:
        raise ValueError(f"runs of {sum(runs)} pixels in all, where the image has {height * width}")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def decompressed(text: str) -> list[int]:
    """COCO's compressed runs -> lengths. ValueError if it is none of these.

    A character stands for six bits, from "0" on: five of a number, the lowest first, and whether more follow; the last
    one's highest gives the sign. From the fourth on, a number is the difference from the length two places before.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - ord("0")
        if not 0 <= bits < 64 or shift > 30:
            raise ValueError(f"compressed runs that cannot be decoded, {shown(text)}")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        raise ValueError(f"compressed runs that break off, {shown(text)}")
    return runs


def _parts(segmentation: Any) -> list[Any]:
    """The polygons of a segmentation."""
    if segmentation is None:
        raise ValueError("no shape (its segmentation is null or absent)")
    if not isinstance(segmentation, list):
        raise ValueError(f"a shape that is neither polygons nor runs, but {shown(segmentation)}")
    if not segmentation:
        raise ValueError("no shape (its segmentation is empty)")
    return [segmentation] if all(isinstance(part, int | float) for part in segmentation) else segmentation


def _points(part: Any, size: tuple[int, int]) -> np.ndarray:
    """A polygon as float (N, 2): x, y."""
    try:
        numbers = np.asarray(part, dtype=float)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"a polygon that is no list of numbers, but {shown(part)}") from None
    if numbers.size % 2:
        raise ValueError(f"a polygon of {numbers.size} coordinates, an odd number")
    points = numbers.reshape(-1, 2)
    if len(points) < 3:
        raise ValueError(f"a polygon of {len(points)} points")
    if not (np.abs(points) <= FARTHEST).all():
        raise ValueError("a polygon with points that are nowhere near an image")
    if points.max() <= 1:
        raise ValueError("a polygon with coordinates of 0 to 1 (shares of a side?) where pixels are expected")
    if (points.min(axis=0) >= size[::-1]).any() or (points.max(axis=0) <= 0).any():
        raise ValueError("a polygon outside the image")
    x, y = points.T
    if abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) < 1e-6:
        raise ValueError("a polygon without an area")
    return points


def _key(number: Any) -> str | None:
    """Whether 7, 7.0 or "000007": one image."""
    if isinstance(number, bool) or not isinstance(number, int | float | str):
        return None
    if isinstance(number, float):
        return str(int(number)) if number.is_integer() else None
    if isinstance(number, str):
        number = number.strip()
        return (number.lstrip("0") or "0") if number.isdecimal() and number.isascii() else number or None
    return str(number) if abs(number) < 2**63 else None
