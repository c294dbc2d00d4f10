"""Tables of settings for the documentation, from what is declared beside them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING

from scdm.files.options import Declared

HEAD = ("option", "values", "default", "what it does")


def table(settings: Iterable[Declared]) -> str:
    """A table in Markdown: a row a setting; nothing where there are no settings."""
    rows = [_row(setting) for setting in settings]
    lines = [HEAD, tuple("---" for _ in HEAD), *rows] if rows else []
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _row(setting: Declared) -> tuple[str, ...]:
    values = setting.describe().removesuffix(", or None")
    default = "required" if setting.default is MISSING else setting.unset
    return tuple(cell.replace("|", "\\|") for cell in (f"`{setting.name}`", values, default, setting.words))
