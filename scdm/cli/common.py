"""What several commands share: the choice of a palette, notes to the user, and checks of files to write."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .. import assets
from ..files.untrusted import sentence
from ..layouts.contents import ClassShare
from ..layouts.palette import Palette, palette_names
from ..start import importing
from .terminal import say


def note(words: str) -> None:
    """Something that the user should know and that does not stop the work."""
    say(f"scdm: note: {sentence(words)}", sys.stderr)


def print_json(content: dict[str, Any]) -> None:
    for line in json.dumps(content, indent=2, ensure_ascii=False).split("\n"):
        say(line)


def chosen_palette(choice: str) -> Palette:
    """A palette by name, from a class table, or from the header of a model, embedded or in a file."""
    if choice.endswith(assets.SUFFIX) or (assets.is_embedded(choice) and choice not in palette_names()):
        if former := assets.renamed(choice):
            note(former)
        with importing():
            from ..models import checkpoint
        with checkpoint.model_file(choice) as path:
            return checkpoint.read_header(path).palette
    if Path(choice).is_file():
        return Palette.from_file(choice, note)
    return Palette.named(choice)


def class_shares(parts: Iterable[ClassShare], palette: Palette) -> list[dict[str, Any]]:
    """What a layout holds, for programs: id (None for MASK), name and share of the pixels."""
    return [
        {"id": None if part.id == palette.num_classes else part.id, "name": part.name, "share": part.share}
        for part in parts
    ]


def check_output(path: Path, inputs: Iterable[Path]) -> None:
    """ValueError, before any work is done, if `path` cannot be written or is one of the files that are read."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder: give the name of a file")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no ordinary file and would be replaced by one: give the output another name")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: there is no folder {path.parent}: make it first")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path}: the folder {path.parent} may not be written to (permission denied)")
    if path.exists() and any(given.exists() and path.samefile(given) for given in inputs):
        raise ValueError(f"{path} is read by this command and would be lost: give the output another name")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Failures of the disk become a ValueError that names `path`, not the file beside it."""
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror or error}") from error
