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
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Literal

NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "insufficient memory")
MOST_BYTES = 10 * 2**20  # of a table (a class table, a configuration)
MOST_YAML = 2 * 2**20  # of one in YAML, which takes PyYAML some ten seconds a megabyte
LONGEST = 400  # characters of untrusted text in a message
LONGEST_LINE = 2000  # characters of a sentence that holds such text
DEEPEST = 64  # levels of lists and mappings within each other, for recursion to end
MOST_VALUES = 2 * 10**6  # of a table, counting what an alias stands for each time

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


def meant(word: str, known: Iterable[str]) -> str:
    """A question after the known word that is nearest, whatever the case; "" if none is near."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word[:LONGEST].lower(), by_lower, n=1)
    return f"did you mean {by_lower[found[0]]!r}?" if found else ""


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
    except (OSError, ValueError) as error:
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


def read_table(path: str | Path) -> Any:
    """The data in a JSON file (by its suffix) or a YAML file. ValueError names the file and what is wrong with it."""
    content = content_of(path)
    with naming(path):
        return parsed(content, "JSON" if Path(path).suffix.lower() == ".json" else "YAML")


def parsed(content: str | bytes, form: Literal["JSON", "YAML"]) -> Any:
    """The data in a text: of JSON's types (in YAML dates too), none of them without end, no key twice.

    YAML is read without merge keys (`<<`) and without numbers to the base 60 (1:30 is text, as in YAML 1.2).
    ValueError says why there is none.
    """
    try:
        data = json.loads(content, object_pairs_hook=_mapping) if form == "JSON" else _from_yaml(content)
        _extent(data, 0, {})
    except Exception as error:  # PyYAML raises almost anything on nonsense
        raise ValueError(f"not valid {form}: {brief(str(error)) or type(error).__name__}") from error
    return data


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"{shown(twice)} stands twice in a mapping: remove one of them")
    return found


def _from_yaml(content: str | bytes) -> Any:
    from . import strict_yaml  # late, because only after its imports can a command line answer an interrupt

    if len(content) > MOST_YAML:
        raise ValueError(f"of more than {MOST_YAML // 2**20} MB (write it as JSON, which may be longer)")
    return strict_yaml.load(content)


def _extent(value: Any, depth: int, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """The number of values, and the levels of them. known: of lists and mappings, by their `id`.

    ValueError if there are too many, or no end of them: aliases cost nothing to write.
    """
    if isinstance(value, Mapping):
        parts: Iterable[Any] = chain(value, value.values())
    elif isinstance(value, list | tuple | set):
        parts = value
    else:
        return 1, 0
    if id(value) not in known:
        known[id(value)] = MOST_VALUES, 0  # while it is counted: what holds itself has no end
        extents = [_extent(part, depth + 1, known) for part in parts] if depth <= DEEPEST else []
        known[id(value)] = 1 + sum(size for size, _ in extents), 1 + max((levels for _, levels in extents), default=0)
    size, levels = known[id(value)]
    if size > MOST_VALUES:
        raise ValueError(f"it stands for more than {MOST_VALUES} values, by aliases that name each other")
    if depth + levels > DEEPEST:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels")
    return size, levels


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 80
