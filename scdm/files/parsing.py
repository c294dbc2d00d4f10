"""Data in JSON and YAML, of untrusted files: of plain types, limited in depth and in number."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from .untrusted import brief, content_of, naming, shown

MOST_YAML = 2 * 2**20  # of one in YAML, which takes PyYAML some ten seconds a megabyte
DEEPEST = 64  # levels of lists and mappings within each other, for recursion to end
MOST_VALUES = 2 * 10**6  # of a table, counting what an alias stands for each time


def read_table(path: str | Path) -> Any:
    """The data in a JSON file (by its suffix) or a YAML file. ValueError names the file and what is wrong with it."""
    content = content_of(path)
    with naming(path):
        return parsed(content, "JSON" if Path(path).suffix.lower() == ".json" else "YAML")


def parsed(content: str | bytes, form: Literal["JSON", "YAML"], most: int = MOST_VALUES) -> Any:
    """The data in a text: of JSON's types (in YAML dates too), none of them without end, no key twice.

    YAML is read without merge keys (`<<`) and without numbers to the base 60 (1:30 is text, as in YAML 1.2).
    most: values that it may stand for.
    ValueError says why there is none.
    """
    try:
        data = json.loads(content, object_pairs_hook=_mapping) if form == "JSON" else _from_yaml(content)
        _extent(data, 0, {}, most)
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


def _extent(value: Any, depth: int, known: dict[int, tuple[int, int]], most: int) -> tuple[int, int]:
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
        known[id(value)] = most, 0  # while it is counted: what holds itself has no end
        extents = [_extent(part, depth + 1, known, most) for part in parts] if depth <= DEEPEST else []
        known[id(value)] = 1 + sum(size for size, _ in extents), 1 + max((levels for _, levels in extents), default=0)
    size, levels = known[id(value)]
    if size > most:
        raise ValueError(f"it stands for more than {most} values, by aliases that name each other")
    if depth + levels > DEEPEST:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels")
    return size, levels
