"""The docstrings of `scdm`, made into the Markdown that they nearly are: "name: meaning" begins an item of a list."""

from __future__ import annotations

import re
from typing import Any

import griffe

ITEM = re.compile(r"^(\w+(?:, \w+)*): (?=\S)")


class Items(griffe.Extension):
    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = items(obj.docstring.value)


def items(docstring: str) -> str:
    """Lines that begin with "name: " as items of a list, with the indented lines that go on."""
    lines, in_list = [], False
    for line in docstring.splitlines():
        found = ITEM.match(line)
        starts = found is not None and found[1] != "ValueError"
        goes_on = in_list and line.startswith(" ")
        if starts != in_list and not goes_on:
            lines.append("")
        in_list = starts or goes_on
        lines.append(ITEM.sub(r"* **\1**: ", line) if starts else line)
    return "\n".join(lines)
