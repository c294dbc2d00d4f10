"""Tables of settings for the documentation, from what is declared beside them.

python docs/option_tables.py > docs/options.md
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Iterable, Iterator
from typing import Any

from scdm.files.options import Declared, declared
from scdm.pipeline.options import every_option
from scdm.start import begin, perform

HEAD = ("option", "values", "default", "what it does")


def table(settings: Iterable[Declared]) -> str:
    """A table in Markdown: a row a setting."""
    rows = [HEAD, tuple("---" for _ in HEAD), *map(_row, settings)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(setting: Declared) -> tuple[str, ...]:
    values = setting.describe().removesuffix(", or None")
    return tuple(cell.replace("|", "\\|") for cell in (f"`{setting.name}`", values, setting.unset, setting.words))


def sections(config: Any, name: str = "") -> Iterator[tuple[str, dict[str, Declared]]]:
    """The settings of a dataclass, and of the dataclasses within it, by dotted name."""
    if settings := declared(config):
        yield name, settings
    for part, kind in typing.get_type_hints(config).items():
        if dataclasses.is_dataclass(kind):
            yield from sections(kind, f"{name}.{part}".strip("."))


def main() -> None:
    from scdm.training.config import TrainConfig

    settings = every_option().values()
    print("## Sampling", table(s for s in settings if not s.owners), sep="\n\n")
    print("\n## Options of samplers", table(s for s in settings if s.owners), sep="\n\n")
    for name, part in sections(TrainConfig):
        print(f"\n## Training{name and f': `{name}`'}", table(part.values()), sep="\n\n")


if __name__ == "__main__":
    begin("option_tables")
    sys.exit(perform(main))
