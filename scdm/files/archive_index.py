"""The index of a folder of archives: which files lie where in them, so that nobody has to walk through their headers.

`index.json` lies beside the archives: {"archives": {"000.tar": {"size": 10240, "members": [["a.jpg", 512, 4321], ...]}}}. A
member is its name, where its content begins in the archive, and its size, in bytes.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from .addresses import FORBIDDEN, Remote, Unreachable
from .atomic import written_whole
from .members import Member, members_of
from .parsing import parsed
from .untrusted import brief, content_of, naming, shown

INDEX = "index.json"
MOST_BYTES = 2**30  # of an index: 60 bytes or so a file
MOST_VALUES = 4 * 10**7  # of an index: four for each of 10 million files
BLOCK = 512  # of a tar archive, at whose multiples contents begin, each after its header
LONG = 100  # characters of a name from which on it may lie elsewhere than in that header
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
    """The ordinary files in the archives of a folder, by its index or, where it has none or an older one than they are, by
    their headers; and notes.

    ValueError if there is no archive, if one cannot be read, or if the index is damaged or of other archives. Unreachable as
    for `Remote`.
    """
    if isinstance(folder, Remote):
        folder.forget()
    try:
        content, forbidden = _content(folder), ""
    except Unreachable as error:
        if error.status != FORBIDDEN:
            raise
        content, forbidden = None, f" ({error})"
    members = None if content is None else _indexed(folder, content)
    if isinstance(folder, Remote):
        return _walked(folder, forbidden) if members is None else (members, [])
    notes = []
    if members is not None:
        if (newer := _newer_than_index(folder)) is None:
            return members, []
        notes = [f"{folder / INDEX} is older than {brief(newer)}, so headers were read in its place: {AGAIN}"]
    return [member for archive in _archives(folder) for member in members_of(archive)], notes


def _newer_than_index(folder: Path) -> str | None:
    """The name of an archive that was written after the index, if one was."""
    written = (folder / INDEX).stat().st_mtime_ns
    return next((archive.name for archive in _archives(folder) if archive.stat().st_mtime_ns > written), None)


def _walked(folder: Remote, forbidden: str) -> tuple[list[Member], list[str]]:
    """forbidden: what was said of an index that may not be read, which may be none."""
    try:
        names = sorted(name for name in folder.listed() if name.endswith(".tar"))
    except Unreachable as error:
        if error.status != FORBIDDEN:
            raise
        names, forbidden = [], f" ({error})"
    if not names:
        unlisted = f", or its server does not list them. Then {INDEX} beside them says which there are: {AGAIN}"
        raise ValueError(f"{folder} has no archives (*.tar){'' if folder.lists() else unlisted}{forbidden}")
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
    members = {name: [Member(places[name], *row) for row in archive["members"]] for name, archive in archives.items()}
    filled = [found for found in members.values() if found]
    with naming(str(folder / INDEX)):
        for found in filled[:1] if isinstance(folder, Remote) else filled:  # at an address each takes a request
            for member in dict.fromkeys((found[0], found[-1])):
                _require_header(member)
    return [member for found in members.values() for member in found]


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
        with naming(str(folder / INDEX)):
            raise _of_others(str(error)) from error


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
        raise _of_others(f"{brief(name)} {problem}")


def _require_header(member: Member) -> None:
    """ValueError if no header of this member lies before its content: archives of one size may hold other files."""
    try:
        block = Member(member.archive, member.inner, member.offset - BLOCK, BLOCK).read_bytes()
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except Unreachable:
        raise
    except (tarfile.TarError, OSError) as error:
        raise _of_others(f"{brief(member)} is not where it says ({error})") from error
    plain = member.inner.isascii() and len(member.inner) < LONG
    if header.size != member.size or (plain and header.name != member.inner):
        raise _of_others(f"{brief(member)} is not where it says, but {shown(header.name)} of {header.size} bytes")


def _of_others(problem: str) -> ValueError:
    return ValueError(f"it is not the index of these archives: {problem}. {AGAIN[0].upper()}{AGAIN[1:]}")


def _archives(folder: Path) -> list[Path]:
    if not (found := sorted(folder.glob("*.tar"))):
        raise ValueError(f"{folder} has no archives (*.tar)")
    return found
