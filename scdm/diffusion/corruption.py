"""Clean layouts made rough: the SCDM benchmark's three corruptions, sparse scribbles, and label diffusion itself.

Where the benchmark writes the data set's "unlabelled", MASK is written. Instance borders stay as they are: the
benchmark corrupts the class map alone. Where borders come from the classes, derive them anew (`instance_borders`).

A corruption is a function of the layouts and a seed for each of them, registered in `CORRUPTIONS`. The first line of its
docstring and the `Option`s of its settings are what the command line and the nodes show. What needs torch is imported
within the functions, because `--help` reads this module.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ..files.options import Declared, Option, check, declared
from .limits import CLASSWISE_STEPS

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from ..layouts.labels import LabelMap

MOST_SEED = 2**63 - 1
RemovedKind = Literal["mask", "class"]
Removed = Annotated[
    RemovedKind,
    Option(
        'what removed pixels become: MASK, or the class "unlabelled" of data sets that have one, as in the benchmark'
    ),
]


def corrupt(
    labels: LabelMap,
    kind: str,
    seed: Annotated[int, Option("of the first image", ge=0, le=MOST_SEED)] = 0,
    **strength: Any,
) -> LabelMap:
    """The layout as the corruption called `kind` leaves it, with the defaults for what `strength` does not name.

    The first image is that of `seed`, and the next have the next seeds: an image's seed alone decides about it.
    ValueError names what does not exist, or is out of range.
    """
    check_request(kind, seed, strength)
    return CORRUPTIONS[kind](labels, [(seed + i) & MOST_SEED for i in range(labels.batch)], **strength)


def check_request(kind: str, seed: int, strength: Mapping[str, Any]) -> None:
    """ValueError unless there is such a corruption, and it can have this seed and these settings."""
    if kind not in CORRUPTIONS:
        raise ValueError(f"there is no corruption {kind!r}: choose one of {', '.join(CORRUPTIONS)}")
    known = settings(kind)
    if unknown := [name for name in strength if name not in known]:
        raise ValueError(f"corruption {kind} has no setting {unknown[0]!r}, but {' and '.join(known) or 'none'}")
    check({"seed": seed}, declared(corrupt))
    check(strength, known, f"{kind}: ")


def as_class(corrupted: LabelMap, clean: LabelMap, unlabelled: int | None, name: str) -> LabelMap:
    """The pixels that became MASK as the class `unlabelled` of the palette called `name`. ValueError if it has none."""
    if unlabelled is None:
        raise ValueError(f"the classes of {name} have none for unlabelled pixels: leave removed pixels MASK")
    removed = (corrupted.ids == corrupted.mask_id) & (clean.ids != clean.mask_id)
    return replace(corrupted, ids=corrupted.ids.masked_fill(removed, unlabelled))


def settings(kind: str) -> dict[str, Declared]:
    """The settings of a corruption, by name."""
    return declared(CORRUPTIONS[kind])


def about(kind: str) -> str:
    """What a corruption does, in a line."""
    return (inspect.getdoc(CORRUPTIONS[kind]) or kind).splitlines()[0].rstrip(".")


def downsampled(
    labels: LabelMap,
    seeds: Sequence[int],
    size: Annotated[int, Option("blocks that are left on either side", ge=1, le=8192)] = 64,
) -> LabelMap:
    """Coarse blocks, by nearest neighbour: as many on either side, whatever the aspect."""
    small = resampled(labels.ids, size, size)
    return replace(labels, ids=resampled(small, labels.height, labels.width))


def edges_removed(
    labels: LabelMap,
    seeds: Sequence[int],
    radius: Annotated[int, Option("pixels to erase on both sides of a border", ge=0, le=64, metavar="PIXELS")] = 2,
) -> LabelMap:
    """No pixels near borders.

    MASK within L1 distance `radius` (inclusive) of an instance border. Of a layout that does not know its borders, those
    between classes are taken.
    """
    from ..layouts.labels import instance_borders

    borders = instance_borders(labels.ids) if labels.edges is None else labels.edges
    near = borders[:, 0]  # (B, H, W)
    for _ in range(radius):  # an L1 ball is a cross, dilated by crosses
        grown = near.clone()
        grown[:, 1:] |= near[:, :-1]
        grown[:, :-1] |= near[:, 1:]
        grown[:, :, 1:] |= near[:, :, :-1]
        grown[:, :, :-1] |= near[:, :, 1:]
        near = grown
    return labels.masked(near)


def pixels_removed(
    labels: LabelMap,
    seeds: Sequence[int],
    share: Annotated[float, Option("share of the pixels to erase", ge=0, lt=1)] = 0.1,
) -> LabelMap:
    """Single pixels erased at random."""
    import torch

    size = (labels.height, labels.width)
    draws = [torch.rand(size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return removed_below(labels, torch.stack(draws), share)


def removed_below(labels: LabelMap, u: Tensor, share: float) -> LabelMap:
    """MASK where `u`, uniform on [0, 1) and (B, H, W), is below `share`."""
    return labels.masked((u < share).to(labels.ids.device))


def scribbled(
    labels: LabelMap,
    seeds: Sequence[int],
    share: Annotated[float, Option("share of the pixels that is unpainted in the end", ge=0, lt=1)] = 0.72,
) -> LabelMap:
    """Sparse scribbles: strokes, dabs and patches of each class."""
    from ..layouts.patterns import sparse

    return sparse(labels, seeds, share)


def diffused(
    labels: LabelMap,
    seeds: Sequence[int],
    step: Annotated[int, Option("original step, from almost the image to noise", ge=0, le=CLASSWISE_STEPS - 1)] = 500,
    rates: Annotated[tuple[float, ...] | None, Option("class rates; without them all classes fade alike", ge=0)] = None,
) -> LabelMap:
    """What label diffusion leaves at a step."""
    import torch

    from .label_diffusion import LabelDiffusion
    from .noise import fresh_label_noise

    t = torch.full((labels.batch,), step, device=labels.ids.device)
    diffusion = LabelDiffusion(None if rates is None else tuple(rates), tuple(range(CLASSWISE_STEPS)))
    return diffusion(labels, t, fresh_label_noise(seeds)(t, labels.ids.shape))


# Settings of the first three are the benchmark's. `rates` are filled in by front ends, which know the palette.
CORRUPTIONS: dict[str, Callable[..., LabelMap]] = {
    "downsample": downsampled,
    "edges": edges_removed,
    "random": pixels_removed,
    "patterns": scribbled,
    "diffuse": diffused,
}


def resampled(ids: Tensor, height: int, width: int) -> Tensor:
    """(..., H, W) -> (..., height, width), nearest neighbour as Pillow does it (not as `LabelMap.resized`)."""
    import torch

    rows = torch.from_numpy(_nearest(ids.shape[-2], height)).to(ids.device)
    columns = torch.from_numpy(_nearest(ids.shape[-1], width)).to(ids.device)
    return ids[..., rows[:, None], columns]


def _nearest(source: int, target: int) -> np.ndarray:
    """(target,) int64 source indices: floor(p_i), p_0 = s/2, p_i = p_(i-1) + s with s = source / target.

    Pillow sums the steps one by one in double precision, and where p_i is an integer its rounding errors decide.
    """
    import numpy as np

    step = source / target
    steps = np.full(target, step)
    steps[0] = 0.5 * step
    return np.minimum(np.add.accumulate(steps).astype(np.int64), source - 1)
