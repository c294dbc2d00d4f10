"""The tables of settings in the documentation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from docs.option_tables import sections, table
from scdm.files.options import Option, declared
from scdm.pipeline.options import every_option


@dataclass(frozen=True)
class Part:
    rate: Annotated[float, Option("learning rate|step", gt=0, le=1)] = 0.5


@dataclass(frozen=True)
class Whole:
    part: Part = field(default_factory=Part)
    hours: Annotated[float | None, Option("time to stop after", gt=0, unset="no limit")] = None


def test_a_setting_is_a_row():
    assert table(declared(Part).values()).splitlines() == [
        "| option | values | default | what it does |",
        "| --- | --- | --- | --- |",
        "| `rate` | a number above 0 to 1 | 0.5 | learning rate\\|step |",
    ]


def test_sections_are_found_by_dotted_name():
    assert [(name, list(settings)) for name, settings in sections(Whole)] == [("", ["hours"]), ("part", ["rate"])]


def test_every_option_of_sampling_has_words():
    rows = table(every_option().values()).splitlines()[2:]
    assert len(rows) == 16 and all(all(cell.strip() for cell in row.strip("|").split(" | ")) for row in rows)
