"""Averages of the weights whose length is chosen after training (Karras et al. 2024, "Analyzing and Improving the Training
Dynamics of Diffusion Models", section 3 and appendix C).

A run keeps two power-function averages and writes snapshots of them. Any other power-function average is, in the least
squares sense, a sum of these snapshots. Times t are counts of updates; a relative width is that of an average's weights,
as a share of the training so far.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..files.tensors import opened
from ..models import checkpoint
from ..models.model import Model
from ..networks import build

FOLDER = "posthoc"  # of snapshots, in a run's folder
AVERAGE = "average"  # in the provenance of a snapshot: {"width": ..., "updates": ...}
NAME = re.compile(r"([1-9][0-9]*)-[0-9.e-]+\.safetensors")
LEAST_WIDTH, MOST_WIDTH = 0.01, 0.28  # of power functions: 0.289 is the mean of all weights


class Average(NamedTuple):
    """A power-function average after t updates: the weights after update s count as s^gamma, up to t."""

    t: int
    gamma: float


def gamma_of(width: float) -> float:
    """The exponent of a relative width: sqrt((g + 1) / ((g + 2)^2 (g + 3))) = width (equation 127)."""
    inverse = width**-2
    return float(np.roots([1, 7, 16 - inverse, 12 - inverse]).real.max())


def coefficients(snapshots: Sequence[Average], wanted: Average) -> np.ndarray:
    """(N,) float64: the sum of snapshots whose weights over the updates are nearest to the wanted ones (algorithm 3).

    ValueError if the wanted average reaches beyond the last snapshot.
    """
    if wanted.t > max(snapshot.t for snapshot in snapshots):
        raise ValueError(f"there is no snapshot of update {wanted.t} or later: the average ends at one of them")
    overlaps = np.array([[_overlap(one, other) for other in snapshots] for one in snapshots])
    found, *_ = np.linalg.lstsq(overlaps, np.array([_overlap(one, wanted) for one in snapshots]), rcond=1e-12)
    return np.asarray(found, dtype=np.float64)


def snapshots_in(run: str | Path) -> dict[Path, Average]:
    """The snapshots of a run, in order of their updates. ValueError if there are fewer than two, or one is damaged."""
    folder = Path(run) / FOLDER
    files = (
        sorted(path for path in folder.glob("*.safetensors") if NAME.fullmatch(path.name)) if folder.is_dir() else []
    )
    if len(files) < 2:
        raise ValueError(f"{folder} has no two snapshots: train with posthoc_every")
    found = {path: _average(path) for path in files}
    return dict(sorted(found.items(), key=lambda item: item[1]))


def reconstructed(run: str | Path, width: float, updates: int | None = None) -> Model:
    """The average of a relative width after so many updates, by default those of the last snapshot. One tensor after the
    other is read, so that no more than a model is held in memory."""
    snapshots = snapshots_in(run)
    t = max(average.t for average in snapshots.values()) if updates is None else updates
    used = {path: average for path, average in snapshots.items() if average.t <= t}
    if not used:
        raise ValueError(
            f"the first snapshot is that of update {min(snapshots.values()).t}, so there is no average at {t}"
        )
    shares = coefficients(list(used.values()), Average(t, gamma_of(width)))
    model = checkpoint.load(max(used, key=lambda path: used[path].t))
    with ExitStack() as stack:
        files = [stack.enter_context(opened(path)) for path in used]
        weights = {
            name: _sum([file.get_tensor(name) for file in files], shares, like)
            for name, like in model.network.state_dict().items()
        }
    provenance = {**model.provenance, AVERAGE: {"width": width, "updates": t, "snapshots": len(used)}}
    return replace(model, network=build(model.config.network, weights), provenance=provenance)


def snapshot_path(run: Path, step: int, width: float) -> Path:
    return run / FOLDER / f"{step}-{width:g}.safetensors"


def _sum(parts: Sequence[Tensor], shares: np.ndarray, like: Tensor) -> Tensor:
    total = torch.zeros(like.shape, dtype=torch.float64)
    for part, share in zip(parts, shares.tolist(), strict=True):
        total += share * part.double()
    return total.to(like.dtype)


def _overlap(one: Average, other: Average) -> float:
    """The integral of the product of two averages' weights over time: (g1 + 1)(g2 + 1) / (g1 + g2 + 1) times
    min(t1, t2)^(g1 + g2 + 1) / (t1^(g1 + 1) t2^(g2 + 1))."""
    shorter, power = min(one.t, other.t), one.gamma + other.gamma + 1
    ratios = (shorter / one.t) ** (one.gamma + 1) * (shorter / other.t) ** (other.gamma + 1) / shorter
    return (one.gamma + 1) * (other.gamma + 1) / power * ratios


def _average(path: Path) -> Average:
    average = checkpoint.read_header(path).provenance.get(AVERAGE)
    try:
        return Average(int(average["updates"]), gamma_of(float(average["width"])))  # type: ignore[index]
    except (TypeError, KeyError, ValueError, OverflowError, ZeroDivisionError, np.linalg.LinAlgError) as error:
        raise ValueError(f"{path} does not say of which average it is: it is no snapshot of a run") from error
