"""scdm convert: from a published checkpoint to a model file."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import torch
from safetensors import SafetensorError

from ..checkpoint import SUFFIX, save
from ..conversion import Assumptions, convert
from .common import check_output, chosen_palette, writing


def run(arguments: Namespace) -> None:
    output = arguments.output
    check_output(output, [arguments.source, *([Path(arguments.palette)] if arguments.palette else [])])
    if output.suffix != SUFFIX:
        raise ValueError(f"{output}: the name of a model file ends in {SUFFIX}")
    if output.exists() and not arguments.force:
        raise ValueError(f"{output} exists already: give another name, or replace it with --force")
    palette = arguments.palette and chosen_palette(arguments.palette)
    model = convert(arguments.source, Assumptions(palette=palette, label_diffusion=arguments.label_diffusion))
    with writing(output, SafetensorError):
        save(output, model, dtype=torch.float16 if arguments.half else None)
    print(f"{output}: {model.palette.name}, label diffusion {model.config.label_diffusion} ('scdm inspect' tells more)")
