"""Annotations in COCO's JSON: whose image they belong to, and the shapes of instances as pixels.

Many tools export the format, and not all of what they write is in order. One odd shape is named and left out; the others of
its image count.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from ..files.untrusted import brief, content_of, shown
from .affixes import loosely, one_form, without_suffix

MOST_BYTES = 4 * 2**30  # of a file; that of the training images has half a gigabyte
FIRST_INSTANCE = 256  # values below are those of the pixel map
MOST_INSTANCES = 2**16 - FIRST_INSTANCE
FINER = 4  # polygons are drawn at this multiple of an image's size
FARTHEST = 1e6  # pixels, of a polygon's point


class Shape(NamedTuple):
    """An annotation: its name in messages, and its segmentation as it stands in the file."""

    called: str
    segmentation: Any


@dataclass
class Annotations:
    """A file of annotations. Images are known by the keys of their numbers.

    sizes: (height, width) where the file has them. names: of the files, without folders, by key.
    listed: the keys of the file's list of images, if it has one.
    problems: a sentence for the annotations of no image.
    """

    path: Path
    shapes: dict[str, list[Shape]] = field(default_factory=lambda: defaultdict(list))
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)
    by_name: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    names: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    listed: set[str] = field(default_factory=set)
    problems: list[str] = field(default_factory=list)

    def key_of(self, image: Path) -> str:
        """The image's key, by its file name, or by the number that is its name. ValueError if it has none."""
        key, reason = self._found(image)
        if key is None:
            raise ValueError(f"{image}: {self.path} {reason}")
        return key

    def _found(self, image: Path) -> tuple[str | None, str]:
        """The image's key; or None, and why."""
        for name in (one_form(image.name), loosely(image.name)):
            if found := self.by_name.get(name):
                return (min(found), "") if len(found) == 1 else (None, "has several images of this name")
        number = _key(image.stem) if image.stem.isdecimal() else None
        if number is None or (self.listed and number not in self.listed):
            return None, "names no image like this"
        names = self.names.get(number, ())
        if names and not any(_key(without_suffix(name)) == number for name in names):
            return None, f"calls the image of this number {brief(min(names))}"
        return number, ""

    def add_image(self, image: dict[str, Any]) -> None:
        """An entry of the list of images."""
        if (key := _key(image.get("id"))) is None:
            return
        self.listed.add(key)
        if isinstance(name := image.get("file_name"), str):
            self.names[key].add(self._enter(name, key))
        height, width = image.get("height"), image.get("width")
        if isinstance(height, int) and isinstance(width, int):
            self.sizes[key] = height, width

    def add_shape(self, called: str, entry: Any) -> bool:
        """An annotation, after all images. False if it belongs to none of them."""
        key = _key(entry.get("image_id")) if isinstance(entry, dict) else None
        if key is None or (self.listed and key not in self.listed):
            return False
        self.shapes[key].append(Shape(called, entry.get("segmentation")))
        if not self.listed and not key.isdecimal():  # no list of images: called by the names of files
            self._enter(key, key)
        return True

    def _enter(self, name: str, key: str) -> str:
        """Makes an image known by its file; returns the name without folders."""
        last = one_form(name.replace("\\", "/").rpartition("/")[2])
        self.by_name[last].add(key)
        self.by_name[loosely(last)].add(key)
        return last


def read_annotations(path: Path) -> Annotations:
    """ValueError if it is no file of instances."""
    content = _content(path)
    found = Annotations(path)
    images = content.get("images")
    for image in images if isinstance(images, list) else ():
        if isinstance(image, dict):
            found.add_image(image)
    lost = []
    for place, entry in enumerate(content["annotations"]):
        called = f"annotation {shown(entry['id'])}" if isinstance(entry, dict) and "id" in entry else f"entry {place}"
        if not found.add_shape(called, entry):
            lost.append(called)
    if lost:
        found.problems.append(f"{path}: {len(lost)} annotations of no image (such as {lost[0]}) are left out")
    return found


def _content(path: Path) -> dict[str, Any]:
    text = content_of(path, MOST_BYTES)
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON ({brief(str(error))})") from error
    annotations = content.get("annotations") if isinstance(content, dict) else None
    shapes = [entry for entry in annotations if isinstance(entry, dict)] if isinstance(annotations, list) else []
    if not isinstance(annotations, list) or (annotations and not any("segmentation" in entry for entry in shapes)):
        lack = "no annotation has a segmentation, as in captions, boxes or panoptic files"
        raise ValueError(f"{path}: not the instances of COCO ({lack if shapes else 'it holds no list of annotations'})")
    return content


def instance_map(values: np.ndarray, shapes: Sequence[Shape]) -> tuple[np.ndarray, list[str]]:
    """uint16 (H, W): a different number for each instance, and the pixel map's value where there is none; and what is odd
    about shapes, or parts of them, which are left out.
    """
    if len(shapes) > MOST_INSTANCES:
        raise ValueError(f"an image has at most {MOST_INSTANCES} instances, not {len(shapes)}")
    height, width = values.shape
    fine = np.zeros((height * FINER, width * FINER), np.uint16)
    masks: dict[int, np.ndarray] = {}
    problems: list[str] = []
    for number, (called, segmentation) in enumerate(shapes, start=FIRST_INSTANCE):
        with _noted(problems, called):
            if isinstance(segmentation, dict):
                masks[number] = mask_of_runs(segmentation, (height, width))
                continue
            for part in _parts(segmentation):
                with _noted(problems, called):
                    points = _points(part, (height, width))
                    cv2.fillPoly(fine, [(points * FINER).round().astype(np.int32)], number)
    numbers = fine[FINER // 2 :: FINER, FINER // 2 :: FINER]  # the pixels' centres: OpenCV draws outlines, too
    instances = np.where(numbers > 0, numbers, values.astype(np.uint16))
    for number, mask in masks.items():
        instances[mask] = number
    return instances, problems


@contextmanager
def _noted(problems: list[str], called: str) -> Iterator[None]:
    """A ValueError ends the block and becomes a problem of the shape."""
    try:
        yield
    except ValueError as error:
        problems.append(f"{called} has {error}: left out")


def mask_of_runs(segmentation: dict[str, Any], size: tuple[int, int]) -> np.ndarray:
    """Lengths of runs outside and inside in turn, column by column, as a list or compressed -> bool (H, W).

    The message of a ValueError follows "has".
    """
    height, width = size
    counts, meant_for = segmentation.get("counts"), segmentation.get("size")
    if meant_for not in (None, [height, width]):
        raise ValueError(f"runs for an image of (height, width) {shown(meant_for)}, not of {[height, width]}")
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
    if segmentation in (None, []):
        raise ValueError("no shape (its segmentation is null, absent or empty)")
    if not isinstance(segmentation, list):
        raise ValueError(f"a shape that is neither polygons nor runs, but {shown(segmentation)}")
    return [segmentation] if all(isinstance(part, int | float) for part in segmentation) else segmentation


def _points(part: Any, size: tuple[int, int]) -> np.ndarray:
    """A polygon as float (N, 2): x, y."""
    try:
        numbers = np.asarray(part, dtype=float)
    except (ValueError, TypeError, OverflowError):
        raise ValueError(f"a polygon that is no list of numbers, but {shown(part)}") from None
    if fault := _fault(numbers, size):
        raise ValueError(f"a polygon {fault}")
    return numbers.reshape(-1, 2)


def _fault(numbers: np.ndarray, size: tuple[int, int]) -> str | None:
    """What is wrong with a polygon's coordinates in an image of (height, width)."""
    if numbers.size % 2:
        return f"of {numbers.size} coordinates, an odd number"
    points = numbers.reshape(-1, 2)
    if len(points) < 3:
        return f"of {len(points)} points"
    if not (np.abs(points) <= FARTHEST).all():
        return "with points that are nowhere near an image"
    if points.max() <= 1:
        return "with coordinates of 0 to 1 (shares of a side?) where pixels are expected"
    if (points.min(axis=0) >= size[::-1]).any() or (points.max(axis=0) <= 0).any():
        return "outside the image"
    x, y = points.T
    doubled_area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))
    return "without an area" if doubled_area < 1e-6 else None


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
