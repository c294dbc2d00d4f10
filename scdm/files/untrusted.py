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
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, Literal

NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "insufficient memory")
MOST_BYTES = 10 * 2**20  # of a class table or a configuration
MOST_YAML = 2 * 2**20  # of them, in YAML, which takes PyYAML some ten seconds a megabyte
LONGEST = 400  # characters of a stranger's words in a message
LONGEST_LINE = 2000  # characters of a sentence in which they may stand
DEEPEST = 64  # levels of lists and mappings within each other; programs that walk through them have an end
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
    """What is said of a stranger's values on one harmless line: long words lose their middle, long lines their end."""
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


@contextmanager
def naming(what: str | Path) -> Iterator[None]:
    """A ValueError that is raised in this block begins with the name of the file, or of `what` else is read."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error


def sha256_of(path: str | Path) -> str:
    """The digest of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with file_at(path).open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def content_of(path: str | Path) -> bytes:
    """All of a file of settings or a class table. ValueError names the file, and says if it is too long to be one."""
    path = file_at(path)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > MOST_BYTES:
        raise ValueError(f"{path} has more than {MOST_BYTES // 2**20} MB: no settings and no class table are so long")
    return content


def read_table(path: str | Path) -> Any:
    """What a JSON file (by its suffix) or a YAML file holds. ValueError names the file and what is wrong with it."""
    content = content_of(path)
    try:
        return parsed(content, "JSON" if Path(path).suffix.lower() == ".json" else "YAML")
    except ValueError as error:
        raise ValueError(f"{path} is {error}") from error


def parsed(content: str | bytes, form: Literal["JSON", "YAML"]) -> Any:
    """The data that a text stands for: of JSON's types (in YAML dates too), none of them without end, no key twice.

    YAML is read without merge keys (`<<`) and without numbers to the base 60 (1:30 is text, as in YAML 1.2).
    ValueError says why the text stands for none.
    """
    try:
        data = json.loads(content, object_pairs_hook=_mapping) if form == "JSON" else _from_yaml(content)
        _require_an_end(data)
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
    if len(content) > MOST_YAML:
        raise ValueError(f"of more than {MOST_YAML // 2**20} MB (write it as JSON, which may be longer)")
    loader = _yaml_loader()(content)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


@cache
def _yaml_loader() -> Any:
    """PyYAML's safe loader, but for what makes it endless or lets it choose between two values in silence."""
    import yaml  # late, because only after its imports can a command line answer an interrupt

    class Loader(yaml.SafeLoader):
        def flatten_mapping(self, node: Any) -> None:
            for key, _ in node.value:
                if key.tag == "tag:yaml.org,2002:merge":
                    raise ValueError(f"line {_line(key)}: merge keys (<<) are not read, write the settings out")

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            found = super().construct_mapping(node, deep)
            if len(found) < len(node.value):
                lines: dict[Any, int] = {}
                for key_node, _ in node.value:
                    key, line = self.construct_object(key_node, deep=True), _line(key_node)
                    if key in lines:
                        raise ValueError(f"{shown(key)} stands twice in a mapping, on lines {lines[key]} and {line}")
                    lines[key] = line
            return found

        def number(self, node: Any) -> Any:
            if ":" in str(node.value):
                raise ValueError(f"line {_line(node)}: numbers to the base 60 are not read")
            kind = node.tag.rpartition(":")[2]
            return self.construct_yaml_int(node) if kind == "int" else self.construct_yaml_float(node)

    def _line(node: Any) -> int:
        return int(node.start_mark.line) + 1

    sexagesimal = re.compile(r"[-+0-9_.]*(:[0-9_.]*)+$")

    class Resolver:
        """A pattern that matches what another one does, but for numbers to the base 60."""

        def __init__(self, pattern: Any):
            self.pattern = pattern

        def match(self, text: str) -> Any:
            return None if ":" in text and sexagesimal.match(text) else self.pattern.match(text)

    kinds = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
    Loader.yaml_implicit_resolvers = {
        first: [(tag, Resolver(pattern) if tag in kinds else pattern) for tag, pattern in resolvers]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for kind in kinds:
        Loader.add_constructor(kind, Loader.number)
    return Loader


def _require_an_end(data: Any) -> None:
    """ValueError if walking through the data takes too many steps, or never ends: aliases cost nothing to write."""
    _extent(data, 0, {})


def _extent(value: Any, depth: int, known: dict[int, tuple[int, int]]) -> tuple[int, int]:
    """The number of values, and the levels of them. known: of lists and mappings, by their `id`."""
    if isinstance(value, Mapping):
        parts: Iterable[Any] = chain(value, value.values())
    elif isinstance(value, list | tuple | set):
        parts = value
    else:
        return 1, 0
    if id(value) in known:
        size, levels = known[id(value)]
    elif depth > DEEPEST:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels")
    else:
        known[id(value)] = MOST_VALUES, 0  # while it is counted: what holds itself has no end
        extents = [_extent(part, depth + 1, known) for part in parts]
        size, levels = 1 + sum(size for size, _ in extents), 1 + max((levels for _, levels in extents), default=0)
        known[id(value)] = size, levels
    if size > MOST_VALUES:
        raise ValueError(f"it stands for more than {MOST_VALUES} values, by aliases that name each other")
    if depth + levels > DEEPEST:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels")
    return size, levels


_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 80
