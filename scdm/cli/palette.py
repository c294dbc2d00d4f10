"""scdm palette: colours to paint with."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from ..layouts.palette import Palette, palette_names
from ..layouts.swatches import export
from .common import check_output, chosen_palette, writing
from .terminal import say


def run(arguments: Namespace) -> None:
    if arguments.list:
        for name in palette_names():
            palette = Palette.named(name)
            named = ", ".join(convention.name for convention in palette.values)
            say(f"{name:<16} {palette.num_classes:>4} classes{f', --values {named}' if named else ''}")
        return
    if arguments.palette is None or arguments.output is None:
        raise ValueError("say which palette, and with -o which file to write: 'scdm palette scenes -o scenes.kpl'")
    palette = chosen_palette(arguments.palette)
    check_output(arguments.output, [Path(arguments.palette)])
    with writing(arguments.output):
        export(palette, arguments.output)
