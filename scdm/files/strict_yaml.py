"""PyYAML's safe loader without what makes it endless, or lets it choose between two values in silence."""

from __future__ import annotations

import re
from typing import Any

import yaml

from .untrusted import shown

NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
SEXAGESIMAL = re.compile(r"[-+0-9_.]*(:[0-9_.]*)+$")


def load(content: str | bytes) -> Any:
    """The one document in a text. Raises almost anything where there is none."""
    loader = _Loader(content)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """No merge keys, no number to the base 60, no key twice."""

    def flatten_mapping(self, node: Any) -> None:
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise ValueError(f"line {_line(key)}: merge keys (<<) are not read, write the settings out")

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        found = super().construct_mapping(node, deep)
        if len(found) < len(node.value):
            raise ValueError(self._repeated(node))
        return found

    def _repeated(self, node: Any) -> str:
        lines: dict[Any, int] = {}
        for key_node, _ in node.value:
            key, line = self.construct_object(key_node, deep=True), _line(key_node)
            if key in lines:
                return f"{shown(key)} stands twice in a mapping, on lines {lines[key]} and {line}"
            lines[key] = line
        return "a key stands twice in a mapping"

    def number(self, node: Any) -> Any:
        if ":" in str(node.value):
            raise ValueError(f"line {_line(node)}: numbers to the base 60 are not read")
        return self.construct_yaml_int(node) if node.tag == NUMBERS[0] else self.construct_yaml_float(node)


class _WithoutSexagesimals:
    """A pattern that matches what another one does, but for numbers to the base 60."""

    def __init__(self, pattern: Any):
        self.pattern = pattern

    def match(self, text: str) -> Any:
        return None if ":" in text and SEXAGESIMAL.match(text) else self.pattern.match(text)


def _line(node: Any) -> int:
    return int(node.start_mark.line) + 1


_Loader.yaml_implicit_resolvers = {
    first: [(tag, _WithoutSexagesimals(pattern) if tag in NUMBERS else pattern) for tag, pattern in resolvers]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag in NUMBERS:
    _Loader.add_constructor(_tag, _Loader.number)
