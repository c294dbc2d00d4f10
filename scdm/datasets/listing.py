"""Which files of a data set belong together."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ..files.parsing import parsed
from ..files.untrusted import brief, harmless
from .affixes import Affixes, guessed, loosely, one_form, paired, without_suffix
from .name_list import Known, chosen, read_entries

IMAGE, LABEL, INSTANCES = "image", "label map", "instance map"  # kinds of files, as errors call them
OWN_SETTINGS = "data.label_suffix, label_prefix, image_suffix and image_prefix say what names have beside a common part"
SETTINGS = {IMAGE: "image", LABEL: "label", INSTANCES: "instance"}  # what settings of a kind begin with


class Pair(NamedTuple):
    """The files of one example. The name has no suffix; it begins with the subfolders, if any."""

    name: str
    image: str
    label: str
    instances: str | None = None


class Folder(NamedTuple):
    """A folder of files of one kind, within that of the data set; and what their names have around the common part."""

    root: Path
    within: str
    affixes: Affixes = Affixes()

    @property
    def path(self) -> Path:
        return self.root / self.within


class Listing(NamedTuple):
    """Pairs in the order of their names.

    problems: a sentence for every file without a partner, and for each other fault. notes: on what was left out or taken
    without being a fault.
    """

    pairs: list[Pair]
    problems: list[str]
    notes: list[str]


def listed(
    folders: Mapping[str, Folder], names: Path | None = None, skip: bool = False, settings: bool = False
) -> Listing:
    """The pairs in folders, given for each kind of file. No image is opened.

    Names are compared in one Unicode form. A file that finds no partner takes one whose name differs from its own in
    capitals or by a second suffix only (photo.jpg and photo.jpg.png), if there is just one.

    names: a list of those to take, and no others (`name_list`). skip: leave out what finds no partner; it is no problem.
    settings: whether a user can set what names have around the common part, so that errors should speak of it.
    ValueError if a folder is missing, or if nothing belongs together.
    """
    if missing := [folder.path for folder in folders.values() if not folder.path.is_dir()]:
        expected = ", ".join(f"{folder.path} ({kind}s)" for kind, folder in folders.items())
        raise ValueError(f"there is no folder {missing[0]}; expected are {expected}")
    search = _Search(folders, settings)
    advice, lost = search.advice() if settings else "", list[str]()
    if not search.complete():
        how = f": {advice or OWN_SETTINGS}" if settings else ""
        raise ValueError(f"there are no images with a label map of the same name: {search.found()}{how}")
    if names:
        advice, lost = "", search.take(names)
    unpaired = [*lost, *search.unpaired()]
    if unpaired and skip:
        search.notes.append(f"{_number(len(unpaired), 'file')} left out for want of a partner, such as {unpaired[0]}")
        unpaired = []
    if unpaired and advice:
        unpaired.insert(0, f"names of images and maps differ{search.examples()}: {advice}")
    return Listing(search.pairs(), search.problems + unpaired, search.notes)


class _Files(NamedTuple):
    """Files of a kind: paths by name, and by the whole of the name; and paths of those that lack what names should have."""

    paths: dict[str, str]
    called: dict[str, str]
    others: list[str]


class _Search:
    """The files of a data set, while partners are searched.

    by_kind: as they are called. files: paths of each kind by the name of the image that they belong to.
    """

    def __init__(self, folders: Mapping[str, Folder], settings: bool) -> None:
        self.folders = folders
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.by_kind = {kind: _files(kind, folder, self.problems, self.notes) for kind, folder in folders.items()}
        self.maps = [kind for kind in folders if kind != IMAGE]
        self.files = {IMAGE: self.by_kind[IMAGE].paths}
        for kind in self.maps:
            found = self.by_kind[kind]
            self.files[kind] = _aligned(kind, self.files[IMAGE], found.paths, self.notes)
            if settings and found.others and found.paths:
                self.notes.append(self._left_out(kind))

    def complete(self) -> set[str]:
        """The names that have a file of every kind."""
        return set.intersection(*map(set, self.files.values()))

    def pairs(self) -> list[Pair]:
        images, labels, instances = (self.files.get(kind, {}) for kind in (IMAGE, LABEL, INSTANCES))
        return [Pair(name, images[name], labels[name], instances.get(name)) for name in sorted(self.complete())]

    def take(self, names: Path) -> list[str]:
        """Keeps the names of a list. Returns a sentence for each of its entries that names nothing."""
        choice = chosen(names, read_entries(names), self._known())
        if not self.complete() & choice.names:
            raise ValueError(f"no name in {names} is one of an image with a label map: {self.found()}")
        for kind, paths in self.files.items():
            self.files[kind] = {name: path for name, path in paths.items() if name in choice.names}
        self.notes += choice.notes
        return choice.problems

    def unpaired(self) -> Iterator[str]:
        """A sentence for each name that lacks a file of some kind."""
        for name in sorted(set().union(*self.files.values()) - self.complete()):
            lacking = [kind for kind, found in self.files.items() if name not in found]
            path = next(found[name] for found in self.files.values() if name in found)
            yield f"{path}: there is no {' and no '.join(lacking)} of this name"

    def found(self) -> str:
        """How many files of each kind there are, with `examples`."""
        counts = (f"{len(files.paths)} {kind}s in {self.folders[kind].path}" for kind, files in self.by_kind.items())
        return f"{', '.join(counts)}{self.examples()}"

    def examples(self) -> str:
        """The first names without a partner, one of each side; or why one side has none."""
        for kind, files in self.by_kind.items():
            if files.others and not files.paths:
                return f", but {self._left_out(kind)}"
        for kind in self.maps:
            images, others = self.files[IMAGE].keys(), self.files[kind].keys()
            if images - others and others - images:
                return f", such as {brief(min(images - others))} and {brief(min(others - images))}"
        return ""

    def advice(self) -> str:
        """The settings by which more pairs would be found; "" if none are known that would."""
        for kind in self.maps:
            images, others = self.files[IMAGE].keys(), self.files[kind].keys()
            guess = guessed(images, others) if images - others and others - images else None
            more = len(paired(images, others, guess)) - len(images & others) if guess else 0
            if guess and more > 0:
                wanted = " and ".join(self._settings(IMAGE, guess[0]) + self._settings(kind, guess[1]))
                return f"set {wanted}, and {_number(more, 'more pair')} will be found"
        return ""

    def _settings(self, kind: str, affixes: Affixes) -> list[str]:
        """What to set for names of this kind that have further affixes."""
        whole = self.folders[kind].affixes.around(affixes)
        parts = zip(affixes._fields, whole, affixes, strict=True)
        return [f"data.{SETTINGS[kind]}_{part}={_as_yaml(value)}" for part, value, further in parts if further]

    def _known(self) -> Known:
        """What a list may name: pairs, and the whole of their files' names."""
        names = {name: name for paths in self.files.values() for name in paths}
        called = {whole: name for one in self.by_kind.values() for whole, name in one.called.items() if name in names}
        return Known(called | names, tuple(folder.within for folder in self.folders.values()))

    def _left_out(self, kind: str) -> str:
        folder, others = self.folders[kind], self.by_kind[kind].others
        parts = zip(("begin with", "end in"), folder.affixes, strict=True)
        how = " and ".join(f"{verb} {brief(value)}" for verb, value in parts if value)
        return f"{_number(len(others), kind)} in {folder.path} left out, such as {others[0]}: names should {how}"


def _files(kind: str, folder: Folder, problems: list[str], notes: list[str]) -> _Files:
    """What is in a folder and below. Of files whose name is taken the first counts."""
    found = _Files({}, {}, [])
    for within, file, path in sorted(_walk(folder.path, problems, notes)):
        common = folder.affixes.common_part(one_form(file))
        if common is None:
            found.others.append(path)
            continue
        subfolder = one_form(f"{within}/") if within else ""
        if found.paths.setdefault(subfolder + common, path) != path:
            problems.append(f"{path}: there is another {kind} of this name: keep one of them")
        found.called[subfolder + without_suffix(one_form(file))] = subfolder + common
    return found


def _walk(root: Path, problems: list[str], notes: list[str]) -> Iterator[tuple[str, str, str]]:
    """(subfolder, file, path) of what looks like an image and is not hidden. Strings, because data sets have 100,000 files.

    Links to folders are followed, but a folder is read once, under its own name rather than a link's, and none of those that
    hold the root: links may lead round in a circle.
    """
    seen = {_identity(str(folder)) for folder in root.resolve().parents}
    folders, links = [(str(root), "")], list[tuple[str, str]]()
    while folders or links:
        is_link = not folders
        path, within = links.pop(0) if is_link else folders.pop()
        try:
            identity = _identity(path)
            if identity in seen:
                notes.append(f"{path} leads to a folder that is read already, or holds this one: not followed")
                continue
            seen.add(identity)
            entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        except OSError as error:
            problems.append(f"{path}: the folder cannot be read ({error.strerror})")
            continue
        for entry in entries:
            if Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir():
                inner = f"{within}/{entry.name}" if within else entry.name
                (links if entry.is_symlink() else folders).append((entry.path, inner))
            elif not entry.name.startswith(".") and without_suffix(entry.name) != entry.name:
                yield within, entry.name, entry.path


def _identity(folder: str) -> tuple[int, int]:
    found = os.stat(folder)  # noqa: PTH116
    return found.st_dev, found.st_ino


def _aligned(kind: str, images: Mapping[str, str], files: dict[str, str], notes: list[str]) -> dict[str, str]:
    """`files` by the names of their images, where these are called a little otherwise and there is no doubt."""
    open_images, open_files = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for name in images.keys() - files.keys():
        open_images[loosely(name)].append(name)
    for name in files.keys() - images.keys():
        open_files[loosely(name)].append(name)
    new = {
        found[0]: open_images[key][0]
        for key, found in open_files.items()
        if len(found) == 1 and len(open_images.get(key, ())) == 1
    }
    if new:
        file = min(new)
        notes.append(
            f"{_number(len(new), kind)} taken for an image that is called a little otherwise, such as {files[file]} for "
            f"{images[new[file]]}"
        )
    return {new.get(name, name): path for name, path in files.items()}


def _number(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _as_yaml(value: str) -> str:
    """A text as it must be typed to be read as one."""
    try:
        plain = parsed(value, "YAML") == value
    except ValueError:
        plain = False
    return harmless(value) if plain else json.dumps(value, ensure_ascii=False)
