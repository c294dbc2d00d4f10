"""What comes from outside: files that may be anything, and values that may be anything where a message repeats them.

Needs no other room, so that every room may use it.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import reprlib
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "insufficient memory")
MOST_BYTES = 10 * 2**20  # of a class table or a configuration
LONGEST = 400  # characters of a stranger's words in a message

# What steers a terminal, turns the direction of text, begins a line, or cannot stand in UTF-8 or XML.
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def shown(value: Any) -> str:
    """The `repr` of a value, cut where it is long, many or deep."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python writes no integers of more than 4300 digits
        return f"a {type(value).__name__} too large to be shown"


def brief(words: str) -> str:
    """Words on one harmless line, cut where they are long."""
    line = harmless(" ".join(words[: LONGEST + 1].split()))
    return line if len(words) <= LONGEST else f"{line[:LONGEST]}..."


def harmless(words: str) -> str:
    r"""Control characters written out, as JSON does (\u001b); all else as it is."""
    return CONTROL.sub(lambda found: json.dumps(found[0])[1:-1], words)


def meant(word: str, known: Iterable[str]) -> str:
    """A question after the known word that is nearest, whatever the case; "" if none is near."""
    by_lower = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word[:LONGEST].lower(), by_lower, n=1)
    return f"did you mean {by_lower[found[0]]!r}?" if found else ""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether this is want of memory, for which torch and OpenCV have no kind of error in common."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in NO_MEMORY)


def file_at(path: str | Path) -> Path:
    """The path of an ordinary file. ValueError says what is there instead."""
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{path}: there is no such file") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    if stat.S_ISDIR(mode):
        raise ValueError(f"{path} is a folder: give a file")
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is a pipe or a device: write what it gives to a file, and give that")
    return path


def sha256_of(path: str | Path) -> str:
    """The digest of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with file_at(path).open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def read_table(path: str | Path) -> Any:
    """What a JSON file (by its suffix) or a YAML file holds. ValueError names the file and what is wrong with it."""
    path = file_at(path)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path} has more than {MOST_BYTES // 2**20} MB: no settings and no class table are so long")
    try:
        return parsed(content, "JSON" if path.suffix.lower() == ".json" else "YAML")
    except ValueError as error:
        raise ValueError(f"{path} is {error}") from error


def parsed(content: str | bytes, form: Literal["JSON", "YAML"]) -> Any:
    """The data that a text stands for. ValueError says why it stands for none."""
    import yaml  # late, because only after its imports can a command line answer an interrupt

    try:
        return json.loads(content) if form == "JSON" else yaml.safe_load(content)
    except Exception as error:  # PyYAML raises almost anything on nonsense
        raise ValueError(f"not valid {form}: {brief(str(error))}") from error


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 80
