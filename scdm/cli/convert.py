"""scdm convert: from a published checkpoint to a model file."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import fields
from pathlib import Path

import torch

from ..assets import SUFFIX
from ..files.untrusted import file_at
from ..models.checkpoint import save
from ..models.conversion import Assumptions, convert
from .common import check_output, chosen_palette, note, writing
from .terminal import say

LARGE = 5e8  # bytes of a checkpoint that takes long


def run(arguments: Namespace) -> None:
    output = arguments.output
    check_output(output, [arguments.source, *([Path(arguments.palette)] if arguments.palette else [])])
    if output.suffix != SUFFIX:
        raise ValueError(f"{output}: the name of a model file ends in {SUFFIX}")
    if output.exists() and not arguments.force:
        raise ValueError(f"{output} exists already: give another name, or replace it with --force")
    assumptions = _assumptions(arguments)
    if (size := file_at(arguments.source).stat().st_size) > LARGE:
        note(f"{arguments.source} holds {size / 1e9:.1f} GB: reading, checking and writing it may take a minute")
    model = convert(arguments.source, assumptions)
    with writing(output):
        save(output, model, arguments.stored and getattr(torch, arguments.stored))
    assumed = ", ".join(f"{name} {_in_words(value)}" for name, value in model.provenance.get("assumed", {}).items())
    if assumed:
        note(f"weights do not show it, and so it is assumed: {assumed} (options of 'scdm convert' change it)")
    say(f"{output}: {model.palette.name}, label diffusion {model.config.label_diffusion} ('scdm inspect' shows more)")


def _in_words(value: object) -> str:
    return f"{value[1]}x{value[0]}" if isinstance(value, list) else str(value)


def _assumptions(arguments: Namespace) -> Assumptions:
    """Those given; the rest is as published."""
    given = {
        f.name: getattr(arguments, f.name) for f in fields(Assumptions) if getattr(arguments, f.name, None) is not None
    }
    if "palette" in given:
        given["palette"] = chosen_palette(given["palette"])
    if "size" in given:
        given["size"] = given["size"][::-1]  # (height, width)
    if "heads" in given:
        given["head_channels"] = None
    elif "heads_up" in given:
        raise ValueError("--heads-up belongs to --heads: with --head-channels their number follows from the width")
    return Assumptions(**given)
