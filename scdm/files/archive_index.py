"""The index of a folder of archives: which files lie where in them, so that nobody has to walk through their headers.

`index.json` lies beside the archives: {"archives": {"000.tar": {"size": 10240, "members": [["a.jpg", 512, 4321], ...]}}}. A
member is its name, where its content begins in the archive, and its size, in bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from .addresses import Remote, Unreachable
from .atomic import written_whole
from .members import Member, members_of
from .parsing import parsed
from .untrusted import brief, content_of, naming, shown

INDEX = "index.json"
MOST_BYTES = 2**30  # of an index: 60 bytes or so a file
MOST_VALUES = 4 * 10**7  # of an index: four for each of 10 million files
BLOCK = 512  # of a tar archive, at whose multiples contents begin
AGAIN = "make it by python training/prepare_data.py index FOLDER, where the archives are"


def write_index(folder: Path) -> int:
    """Writes the index of the archives in a folder; returns how many files they hold.

    ValueError if there is no archive, or one cannot be read. OSError if the index cannot be written.
    """
    archives: dict[str, Any] = {}
    for archive in tqdm(_archives(folder), unit="archive", leave=False):
        rows = [[member.inner, member.offset, member.size] for member in members_of(archive)]
        archives[archive.name] = {"size": archive.stat().st_size, "members": rows}
    with written_whole(folder / INDEX) as beside:
        beside.write_text(json.dumps({"archives": archives}, separators=(",", ":")))
    return sum(len(archive["members"]) for archive in archives.values())


def members_in(folder: Path | Remote) -> tuple[list[Member], list[str]]:
    """The ordinary files in the archives of a folder, by its index or, where it has none, by their headers; and notes.

    ValueError if there is no archive, if one cannot be read, or if the index is damaged or of other archives. Unreachable as
    for `Remote`.
    """
    if isinstance(folder, Remote):
        folder.forget()
    content = _content(folder)
    if content is not None:
        return _indexed(folder, content), []
    if isinstance(folder, Remote):
        return _walked(folder)
    return [member for archive in _archives(folder) for member in members_of(archive)], []


def _walked(folder: Remote) -> tuple[list[Member], list[str]]:
    names = sorted(name for name in folder.listed() if name.endswith(".tar"))
    if not names:
        unlisted = f", or its server does not list them. Then {INDEX} beside them says which there are: {AGAIN}"
        raise ValueError(f"{folder} has no archives (*.tar){'' if folder.lists() else unlisted}")
    first = folder / names[0]
    first.require_parts(first.size())
    bar = tqdm(names, f"headers in {folder}, which {INDEX} would hold", unit="archive", leave=False)
    members = [member for name in bar for member in members_of(folder / name)]
    note = (
        f"{folder} has no {INDEX}: {len(members):,} headers were read, with a request or so for each file, and are at every "
        f"start. An index takes one in all: {AGAIN}, and upload it beside them"
    )
    return members, [note]


def _content(folder: Path | Remote) -> bytes | None:
    """Of the index; None if there is none."""
    place = folder / INDEX
    if isinstance(place, Path):
        return content_of(place, MOST_BYTES) if place.exists() else None
    try:
        size = place.size()
    except Unreachable as error:
        if error.absent:
            return None
        raise
    if size > MOST_BYTES:
        raise ValueError(f"{place} has more than {MOST_BYTES // 2**20} MB: no index is so large")
    return place.read(0, size)


def _indexed(folder: Path | Remote, content: bytes) -> list[Member]:
    with naming(str(folder / INDEX)):
        archives = _checked(parsed(content, "JSON", MOST_VALUES))
    there = _sizes(folder, archives)
    with naming(str(folder / INDEX)):
        _require_current({name: archive["size"] for name, archive in archives.items()}, there)
    if isinstance(folder, Remote):
        name, archive = next(iter(archives.items()))
        (folder / name).require_parts(archive["size"])
    places = {name: folder / name for name in archives}  # once each: all members of an archive share it
    return [Member(places[name], *row) for name, archive in archives.items() for row in archive["members"]]


def _checked(data: Any) -> Mapping[str, Any]:
    """The archives of an index. ValueError if it is none, names what lies elsewhere, or places outside of an archive."""
    archives = data.get("archives") if isinstance(data, dict) else None
    if not isinstance(archives, dict) or not archives:
        raise ValueError(f"it has no archives, as an index has: {AGAIN}")
    for name, archive in archives.items():
        if not name.endswith(".tar") or "/" in name or "\\" in name:
            raise ValueError(f"{shown(name)} is no name of an archive beside it (x.tar): {AGAIN}")
        with naming(brief(name)):
            parts = archive if isinstance(archive, dict) else {}
            if not _is_number(parts.get("size")) or not isinstance(parts.get("members"), list):
                raise ValueError(f"it must have size, a number of bytes, and members, a list: {AGAIN}")
            for row in parts["members"]:
                _check_row(row, parts["size"])
    return archives


def _check_row(row: Any, size: int) -> None:
    if not isinstance(row, list) or len(row) != 3 or not isinstance(row[0], str) or not all(map(_is_number, row[1:])):
        raise ValueError(f"a member is [name, offset, size], not {shown(row)}: {AGAIN}")
    if row[1] < BLOCK or row[1] % BLOCK or row[1] + row[2] > size:
        raise ValueError(
            f"{shown(row[0])} cannot be the {row[2]} bytes from {row[1]} on in an archive of {size} bytes: {AGAIN}"
        )


def _is_number(value: Any) -> bool:
    return type(value) is int and value >= 0  # no bool, which is an int


def _sizes(folder: Path | Remote, names: Mapping[str, Any]) -> dict[str, int | None]:
    """Of the archives that are there, by name, None where a server does not say. Those of HTTP are looked for by `names`."""
    if isinstance(folder, Path):
        return {archive.name: archive.stat().st_size for archive in _archives(folder)}
    if folder.lists():
        return {name: size for name, size in folder.listed().items() if name.endswith(".tar")}
    try:
        return folder.sizes(list(names))
    except Unreachable as error:
        if not error.absent:
            raise
        raise ValueError(
            f"{folder / INDEX}: it is not the index of these archives: {error}. {AGAIN[0].upper()}{AGAIN[1:]}"
        ) from error


def _require_current(indexed: Mapping[str, int], there: Mapping[str, int | None]) -> None:
    """ValueError if the archives of an index are not those that are there."""
    for name in sorted({*indexed, *there}):
        if name not in there:
            problem = "is in it, but not there"
        elif name not in indexed:
            problem = "is there, but not in it"
        elif there[name] not in (None, indexed[name]):
            problem = f"has {there[name]} bytes, and {indexed[name]} in it"
        else:
            continue
        raise ValueError(
            f"it is not the index of these archives: {brief(name)} {problem}. {AGAIN[0].upper()}{AGAIN[1:]}"
        )


def _archives(folder: Path) -> list[Path]:
    if not (found := sorted(folder.glob("*.tar"))):
        raise ValueError(f"{folder} has no archives (*.tar)")
    return found
