"""The tables of settings in the documentation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from docs.option_tables import table
from scdm.files.options import Option, declared
from scdm.pipeline.options import every_option


@dataclass(frozen=True)
class Settings:
    count: Annotated[int, Option("how many", ge=1)]
    rate: Annotated[float, Option("learning rate|step", gt=0, le=1)] = 0.5


def test_a_setting_is_a_row():
    assert table(declared(Settings).values()).splitlines() == [
        "| option | values | default | what it does |",
        "| --- | --- | --- | --- |",
        "| `count` | a whole number from 1 | required | how many |",
        "| `rate` | a number above 0 to 1 | 0.5 | learning rate\\|step |",
    ]


def test_every_option_of_sampling_has_words():
    rows = table(every_option().values()).splitlines()[2:]
    assert len(rows) >= 16 and all(all(cell.strip() for cell in row.strip("|").split(" | ")) for row in rows)
