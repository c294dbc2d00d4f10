"""scdm corrupt: spoil a layout as the benchmark, or label diffusion, does."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import torch

from ..corruption import corrupt
from ..images import write_image
from ..label_diffusion import CLASSWISE_STEPS, LabelDiffusion, shipped_rates
from ..labels import LabelMap
from ..noise import fresh_label_noise
from ..palette import Palette, read_layout
from .common import check_output, chosen_palette, note, writing

STEP = 500


def run(arguments: Namespace) -> None:
    if arguments.kind != "diffuse" and (arguments.step is not None or arguments.rates is not None):
        raise ValueError(f"--step and --rates belong to --kind diffuse, not to {arguments.kind}")
    check_output(arguments.output, [arguments.layout, *([Path(arguments.palette)] if arguments.palette else [])])
    palette = chosen_palette(arguments.palette)
    labels = read_layout(arguments.layout, palette, arguments.tolerance, note)
    if arguments.kind == "diffuse":
        step = STEP if arguments.step is None else arguments.step
        spoilt = diffused(labels, step, arguments.rates or palette.name, arguments.seed)
    else:
        spoilt = corrupt(labels, arguments.kind, arguments.seed)
    _note_what_colours_cannot_tell(spoilt, palette)
    with writing(arguments.output):
        write_image(arguments.output, palette.to_image(spoilt)[0])


def diffused(labels: LabelMap, step: int, rates: str, seed: int) -> LabelMap:
    """The layout as a model sees it at `step`; `rates` is a data set's name, or "uniform"."""
    if step >= CLASSWISE_STEPS:
        raise ValueError(f"--step is one of 0 to {CLASSWISE_STEPS - 1}, not {step}")
    diffusion = LabelDiffusion(None if rates == "uniform" else _rates(rates), tuple(range(CLASSWISE_STEPS)))
    t = torch.tensor([step])
    return diffusion(labels, t, fresh_label_noise([seed])(t, labels.ids.shape))


def _rates(name: str) -> tuple[float, ...]:
    try:
        return shipped_rates(name)
    except ValueError as error:
        raise ValueError(f"{error}, and uniform: choose with --rates") from error


def _note_what_colours_cannot_tell(labels: LabelMap, palette: Palette) -> None:
    for i in labels.ids.unique().tolist():
        if i == labels.mask_id:
            continue
        if palette.colors[i] is None:
            note(f"{palette.names[i]} ({i}) has no colour and is written as unpainted")
        elif palette.read_as(i) != i:
            note(
                f"{palette.names[i]} ({i}) has the colour of {palette.names[palette.read_as(i)]} and will be read as that"
            )
