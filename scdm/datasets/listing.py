"""Which files of a data set belong together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".ppm", ".tga")
IMAGE, LABEL, INSTANCES = "image", "label map", "instance map"  # kinds of files, as errors call them


class Pair(NamedTuple):
    """The files of one example. The name has no suffix; it begins with the subfolders, if any."""

    name: str
    image: str
    label: str
    instances: str | None = None


class Listing(NamedTuple):
    """Pairs in the order of their names, and a sentence for every file that belongs to none."""

    pairs: list[Pair]
    problems: list[str]


def listed(folders: Mapping[str, tuple[Path, str]]) -> Listing:
    """The pairs in `folders`, given for each kind the folder and the ending of its names. No file is opened.

    ValueError if a folder is missing, or if nothing belongs together.
    """
    if missing := [folder for folder, _ in folders.values() if not folder.is_dir()]:
        expected = ", ".join(f"{folder} ({kind}s)" for kind, (folder, _) in folders.items())
        raise ValueError(f"there is no folder {missing[0]}; expected are {expected}")
    files: dict[str, dict[str, str]] = {}
    problems = []
    for kind, (folder, ending) in folders.items():
        files[kind], doubles = _files(folder, ending)
        problems += [f"{path}: there is another {kind} of this name: keep one of them" for path in doubles]
    names = sorted(set.intersection(*map(set, files.values())))
    if not names:
        found = ", ".join(f"{len(found)} {kind}s in {folders[kind][0]}" for kind, found in files.items())
        raise ValueError(f"there are no images with a label map of the same name: {found}")
    problems += _unpaired(files, set(names))
    instances = files.get(INSTANCES, {})
    return Listing(
        [Pair(name, files[IMAGE][name], files[LABEL][name], instances.get(name)) for name in names], problems
    )


def _files(folder: Path, ending: str) -> tuple[dict[str, str], list[str]]:
    """The images in a folder and below: paths by name, without `ending` and suffix; and those whose name is taken."""
    found: dict[str, str] = {}
    doubles = []
    for name, path in sorted(_walk(folder)):
        if name.endswith(ending):
            name = name[: len(name) - len(ending)]
            if name in found:
                doubles.append(path)
            found.setdefault(name, path)
    return found, doubles


def _walk(folder: Path) -> Iterator[tuple[str, str]]:
    """(name, path) of what looks like an image and is not hidden. Strings, because data sets have 100,000 files."""
    for parent, _, files in os.walk(folder, followlinks=True):
        within = parent[len(str(folder)) :].lstrip(os.sep).replace(os.sep, "/")
        for file in files:
            stem, dot, suffix = file.rpartition(".")
            if (dot + suffix).lower() in SUFFIXES and not file.startswith("."):
                yield f"{within}/{stem}" if within else stem, f"{parent}{os.sep}{file}"


def _unpaired(files: Mapping[str, Mapping[str, str]], paired: set[str]) -> Iterator[str]:
    """A sentence for each name that lacks a file of some kind."""
    for name in sorted(set().union(*files.values()) - paired):
        lacking = [kind for kind, found in files.items() if name not in found]
        path = next(found[name] for found in files.values() if name in found)
        yield f"{path}: there is no {' and no '.join(lacking)} of this name"
