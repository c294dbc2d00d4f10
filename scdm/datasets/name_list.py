"""Lists of names, which say what of a folder is taken, such as train.txt."""

from __future__ import annotations

import codecs
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from ..files.untrusted import content_of, shown
from .affixes import loosely, one_form, without_suffix

MOST_BYTES = 100 * 2**20
BYTE_ORDERS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class Entry(NamedTuple):
    """A line of a list that names something, and its number."""

    line: int
    text: str


class Known(NamedTuple):
    """What entries may name.

    names: of pairs, by what they may be called: the name itself, or all of a file's name. within: the folders in the data
    set that hold these files, such as train/images.
    """

    names: Mapping[str, str]
    within: tuple[str, ...]


class Chosen(NamedTuple):
    """names: those that the list names. problems: a sentence for each entry that names nothing. notes: on the others."""

    names: set[str]
    problems: list[str]
    notes: list[str]


def read_entries(path: Path) -> list[Entry]:
    """The entries of a list: one a line, in UTF-8 (or UTF-16 with its mark). Blank lines, and those that begin with #, are
    none. ValueError if it is no list.
    """
    content = content_of(path, MOST_BYTES)
    encoding = next((name for mark, name in BYTE_ORDERS if content.startswith(mark)), "utf-8")
    try:
        lines = content.decode(encoding).splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: a list of names is a text in UTF-8, and this is none ({error.reason})") from error
    entries = [Entry(number, line.strip()) for number, line in enumerate(lines, start=1)]
    entries = [entry for entry in entries if entry.text and not entry.text.startswith("#")]
    if not entries:
        raise ValueError(f"{path} names no image: a list has a name a line")
    return entries


def chosen(path: Path, entries: Iterable[Entry], known: Known) -> Chosen:
    """The names that a list names: with or without suffix and folders, whatever their capitals if that leaves no doubt.

    ValueError for a second column, unless that names the same.
    """
    finder = _Finder(known)
    names: set[str] = set()
    problems, twice = [], []
    for entry in entries:
        name = finder.named(entry.text) or _of_columns(path, entry, finder)
        if name is None:
            problems.append(f"{path}, line {entry.line}: there is no image called {shown(entry.text)}")
        elif name in names:
            twice.append(name)
        else:
            names.add(name)
    notes = []
    if twice:
        notes.append(f"{path} names {len(set(twice))} images more than once (such as {twice[0]}): each is taken once")
    return Chosen(names, problems, notes)


def _of_columns(path: Path, entry: Entry, finder: _Finder) -> str | None:
    """The name in the first column of an entry that has several."""
    first, *others = entry.text.replace(",", " ").replace(";", " ").split()
    name = finder.named(first)
    if name is None:
        return None
    for other in others:
        if finder.named(other) != name:
            raise ValueError(
                f"{path}, line {entry.line}: beside {shown(first)} there is {shown(other)}, which is no file of the same "
                "pair: a list has one name a line"
            )
    return name


class _Finder:
    """From the entries of a list to the names of pairs."""

    def __init__(self, known: Known) -> None:
        self.known = known
        self.loose: dict[str, set[str]] = defaultdict(set)
        for called, name in known.names.items():
            self.loose[loosely(called)].add(name)
            self.loose[loosely(called.rpartition("/")[2])].add(name)  # in whatever subfolder

    def named(self, text: str) -> str | None:
        text = one_form(text.strip("\"'").replace("\\", "/")).removeprefix("./")
        for path in (text, without_suffix(text)):
            for called in self._within(path):
                if called in self.known.names:
                    return self.known.names[called]
        found = {name for called in self._within(text) for name in self.loose.get(loosely(called), ())}
        return found.pop() if len(found) == 1 else None

    def _within(self, path: str) -> Iterator[str]:
        """The path, and what is left of it without the folders that hold the files."""
        yield path
        for folder in self.known.within:
            parts = folder.split("/")
            for start in range(len(parts)):
                held = "/".join(parts[start:]) + "/"
                if path.startswith(held):
                    yield path[len(held) :]
                elif start == 0 and f"/{held}" in path:  # from another machine's root
                    yield path.rpartition(f"/{held}")[2]
