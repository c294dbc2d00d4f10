"""Which files of a data set belong together."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ..files.untrusted import brief, harmless, parsed
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


class Place(NamedTuple):
    """Where files of a kind lie: a folder in the data set's own; and what their names have around the common part."""

    root: Path
    within: str
    affixes: Affixes = Affixes()

    @property
    def folder(self) -> Path:
        return self.root / self.within


class Listing(NamedTuple):
    """Pairs in the order of their names; a sentence for every file that belongs to none, and for all else that is not in
    order; and sentences on what was left out or taken without being a fault.
    """

    pairs: list[Pair]
    problems: list[str]
    notes: list[str]


class _Files(NamedTuple):
    """Files of a kind: paths by name, and by the whole of the name; and paths of those that lack what names should have."""

    paths: dict[str, str]
    called: dict[str, str]
    others: list[str]


def listed(
    places: Mapping[str, Place], names: Path | None = None, skip: bool = False, settings: bool = False
) -> Listing:
    """The pairs in `places`, given for each kind of file. No image is opened.

    Names are compared in one Unicode form. A file that finds no partner takes one whose name differs from its own in
    capitals or by a second suffix only (photo.jpg and photo.jpg.png), if there is just one.

    names: a list of those to take, and no others (`name_list`). skip: leave out what finds no partner; it is no problem.
    settings: whether a user can set what names have around the common part, so that errors should speak of it.
    ValueError if a folder is missing, or if nothing belongs together.
    """
    if missing := [place.folder for place in places.values() if not place.folder.is_dir()]:
        expected = ", ".join(f"{place.folder} ({kind}s)" for kind, place in places.items())
        raise ValueError(f"there is no folder {missing[0]}; expected are {expected}")
    problems: list[str] = []
    notes: list[str] = []
    found = {kind: _files(kind, place, problems, notes) for kind, place in places.items()}
    files = {IMAGE: found[IMAGE].paths}
    for kind in [kind for kind in places if kind != IMAGE]:
        files[kind] = _aligned(kind, files[IMAGE], found[kind].paths, notes)
        if settings and found[kind].others and found[kind].paths:
            notes.append(_left_out(kind, places[kind], found[kind].others))
    whole = set.intersection(*map(set, files.values()))
    examples = _examples(files, found, places)
    wanted = _settings(files, places) if settings else ""
    if not whole:
        how = f": {wanted or OWN_SETTINGS}" if settings else ""
        raise ValueError(
            f"there are no images with a label map of the same name: {_counts(found, places)}{examples}{how}"
        )
    lost: list[str] = []
    if names:
        choice = chosen(names, read_entries(names), _known(files, found, places))
        whole &= choice.names
        if not whole:
            raise ValueError(
                f"no name in {names} is one of an image with a label map: {_counts(found, places)}{examples}"
            )
        files = {
            kind: {name: path for name, path in paths.items() if name in choice.names} for kind, paths in files.items()
        }
        lost, wanted = choice.problems, ""
        notes += choice.notes
    unpaired = [*lost, *_unpaired(files, whole)]
    if unpaired and skip:
        notes.append(f"{_number(len(unpaired), 'file')} left out for want of a partner, such as {unpaired[0]}")
    elif unpaired:
        problems += [f"names of images and maps differ{examples}: {wanted}"] if wanted else []
        problems += unpaired
    instances = files.get(INSTANCES, {})
    pairs = [Pair(name, files[IMAGE][name], files[LABEL][name], instances.get(name)) for name in sorted(whole)]
    return Listing(pairs, problems, notes)


def _known(files: Mapping[str, Mapping[str, str]], found: Mapping[str, _Files], places: Mapping[str, Place]) -> Known:
    """What a list may name: pairs, and the whole of their files' names."""
    names = {name: name for paths in files.values() for name in paths}
    called = {whole: name for one in found.values() for whole, name in one.called.items() if name in names}
    return Known(called | names, tuple(place.within for place in places.values()))


def _files(kind: str, place: Place, problems: list[str], notes: list[str]) -> _Files:
    """What is in a folder and below. Of files whose name is taken the first counts."""
    found = _Files({}, {}, [])
    for within, file, path in sorted(_walk(place.folder, problems, notes)):
        common = place.affixes.common_part(one_form(file))
        if common is None:
            found.others.append(path)
            continue
        folder = one_form(f"{within}/") if within else ""
        if found.paths.setdefault(folder + common, path) != path:
            problems.append(f"{path}: there is another {kind} of this name: keep one of them")
        found.called[folder + without_suffix(one_form(file))] = folder + common
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


def _unpaired(files: Mapping[str, Mapping[str, str]], paired: set[str]) -> Iterator[str]:
    """A sentence for each name that lacks a file of some kind."""
    for name in sorted(set().union(*files.values()) - paired):
        lacking = [kind for kind, found in files.items() if name not in found]
        path = next(found[name] for found in files.values() if name in found)
        yield f"{path}: there is no {' and no '.join(lacking)} of this name"


def _examples(files: Mapping[str, Mapping[str, str]], found: Mapping[str, _Files], places: Mapping[str, Place]) -> str:
    """The first names without a partner, one of each side; or why one side has none."""
    for kind, of_kind in found.items():
        if of_kind.others and not of_kind.paths:
            return f", but {_left_out(kind, places[kind], of_kind.others)}"
    for kind in files:
        images, others = files[IMAGE].keys() - files[kind].keys(), files[kind].keys() - files[IMAGE].keys()
        if images and others:
            return f", such as {brief(min(images))} and {brief(min(others))}"
    return ""


def _settings(files: Mapping[str, Mapping[str, str]], places: Mapping[str, Place]) -> str:
    """The settings by which more pairs would be found; "" if none are known that would."""
    for kind in [kind for kind in files if kind != IMAGE]:
        images, others = files[IMAGE].keys(), files[kind].keys()
        guess = guessed(images, others) if images - others and others - images else None
        more = len(paired(images, others, guess)) - len(images & others) if guess else 0
        if guess is None or more <= 0:
            continue
        wanted = [
            f"data.{SETTINGS[one]}_{part}={_as_yaml(value)}"
            for one, affixes in zip((IMAGE, kind), guess, strict=True)
            for part, value, extra in zip(affixes._fields, places[one].affixes.around(affixes), affixes, strict=True)
            if extra
        ]
        return f"set {' and '.join(wanted)}, and {_number(more, 'more pair')} will be found"
    return ""


def _left_out(kind: str, place: Place, others: Sequence[str]) -> str:
    prefix, suffix = place.affixes
    how = " and ".join(
        f"{verb} {brief(value)}" for verb, value in (("begin with", prefix), ("end in", suffix)) if value
    )
    return f"{_number(len(others), kind)} in {place.folder} left out, such as {others[0]}: names should {how}"


def _counts(found: Mapping[str, _Files], places: Mapping[str, Place]) -> str:
    return ", ".join(f"{len(files.paths)} {kind}s in {places[kind].folder}" for kind, files in found.items())


def _number(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def _as_yaml(value: str) -> str:
    """A text as it must be typed to be read as one."""
    try:
        plain = parsed(value, "YAML") == value
    except ValueError:
        plain = False
    return harmless(value) if plain else json.dumps(value, ensure_ascii=False)
