"""Untrusted input: files and texts read with limits, and their values repeated in messages.

Imports no other module of the library, so that every one may import it.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import reprlib
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "insufficient memory")
MOST_BYTES = 10 * 2**20  # of a table (a class table, a configuration)
LONGEST = 400  # characters of untrusted text in a message
LONGEST_LINE = 2000  # characters of a sentence that holds such text

# What steers a terminal, turns the direction of text, begins a line, or cannot stand in UTF-8 or XML.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def shown(value: Any) -> str:
    """The `repr` of a value, cut where it is long, many or deep."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python writes no integers of more than 4300 digits
        return f"a {type(value).__name__} too large to be shown"


def brief(words: str, longest: int = LONGEST) -> str:
    """Words on one harmless line, cut where they are long."""
    line = harmless(" ".join(words[: longest + 1].split()))
    return line if len(words) <= longest else f"{line[:longest]}..."


def sentence(words: str) -> str:
    """A message with untrusted values on one harmless line: long words lose their middle, long lines their end."""
    cut = re.sub(r"\S{300,}", lambda long: f"{long[0][:200]}...{long[0][-60:]}", words)
    return brief(cut, LONGEST_LINE)


def harmless(words: str) -> str:
    r"""Control characters written out, as JSON does (\u001b); all else as it is."""
    return CONTROL.sub(lambda found: json.dumps(found[0])[1:-1], words)


def meant(word: str, known: Iterable[str], before: str = "") -> str:
    """A question after the known word that is nearest, whatever the case; "" if none is near. before: what it is to begin
    with, such as the section of a setting."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word[:LONGEST].lower(), by_lower, n=1)
    return f"did you mean {before + by_lower[found[0]]!r}?" if found else ""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out, for which torch and OpenCV have no exception in common."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in NO_MEMORY)


def file_at(path: str | Path) -> Path:
    """The path of an ordinary file. ValueError names what is there instead."""
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        absent = isinstance(error, (FileNotFoundError, NotADirectoryError))
        raise ValueError(f"{path}: {'there is no such file' if absent else _unreadable(error)}") from error
    if not stat.S_ISREG(mode):
        advice = "a folder: give a file" if stat.S_ISDIR(mode) else "a pipe or a device: write its content to a file"
        raise ValueError(f"{path} is {advice}")
    return path


@contextmanager
def naming(what: str | Path) -> Iterator[None]:
    """What fails in this block becomes a ValueError that begins with the name of the file, or of `what` else is read."""
    try:
        yield
    except (OSError, TypeError, ValueError) as error:  # TypeError: data of an unexpected type
        raise ValueError(f"{what}: {error}") from error


def sha256_of(path: str | Path) -> str:
    """The digest of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with file_at(path).open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def content_of(path: str | Path, most: int = MOST_BYTES) -> bytes:
    """All of a file. ValueError names it, if it cannot be read or has more bytes than its kind can need."""
    path = file_at(path)
    try:
        with path.open("rb") as file:
            content = file.read(min(most, path.stat().st_size) + 1)
    except OSError as error:
        raise ValueError(f"{path}: {_unreadable(error)}") from error
    if len(content) > most:
        raise ValueError(f"{path} has more than {most // 2**20} MB: no file of this kind is so large")
    return content


def _unreadable(error: OSError) -> str:
    return f"cannot be read ({error.strerror})"


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 80
