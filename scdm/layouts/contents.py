"""What a layout holds, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .palette import Palette

if TYPE_CHECKING:
    from .labels import LabelMap

UNPAINTED = "unpainted"
MOST_NAMED = 5  # in a line


class ClassShare(NamedTuple):
    """One class of a layout, or its unpainted part: the id, the name, and its share of the pixels."""

    id: int
    name: str
    share: float


def contents(labels: LabelMap, palette: Palette) -> list[ClassShare]:
    """What the layouts of a batch hold, taken together, the largest first."""
    names = (*palette.names, UNPAINTED)
    return [ClassShare(i, names[i], share) for i, share in labels.shares()]


def contents_of_ids(ids: np.ndarray, palette: Palette) -> list[ClassShare]:
    """`contents`, of the array that `Palette.to_ids` gives, which needs no torch."""
    names = (*palette.names, UNPAINTED)
    parts = [
        ClassShare(i, names[i], count / ids.size) for i, count in enumerate(np.bincount(ids.ravel()).tolist()) if count
    ]
    return sorted(parts, key=lambda part: -part.share)


def summary(labels: LabelMap, palette: Palette) -> str:
    """One line: the size and most of what is painted."""
    number = f"{labels.batch} layouts of " if labels.batch > 1 else ""
    parts = contents(labels, palette)
    named = len(parts) if len(parts) <= MOST_NAMED + 1 else MOST_NAMED
    painted = ", ".join(f"{part.name} {percent(part.share)}" for part in parts[:named])
    more = f" and {len(parts) - named} more" if named < len(parts) else ""
    return f"{number}{labels.width} x {labels.height}: {painted}{more}"


def report(labels: LabelMap, palette: Palette) -> str:
    """The size and the palette; then for each layout how much of it is unpainted, and a line for each of its classes."""
    lines = [f"{labels.width} x {labels.height} pixels, palette {palette.name} with {palette.num_classes} classes"]
    for place in range(labels.batch):
        parts = contents(labels[place : place + 1], palette)
        classes = [part for part in parts if part.id != labels.mask_id]
        unpainted = sum(part.share for part in parts if part.id == labels.mask_id)
        which = f"layout {place + 1} of {labels.batch}: " if labels.batch > 1 else ""
        number = "1 class" if len(classes) == 1 else f"{len(classes)} classes"
        lines.append(f"{which}{number}, {percent(unpainted)} {UNPAINTED}")
        lines += [f"{part.name} ({part.id}): {percent(part.share)}" for part in classes]
    return "\n".join(lines)


def percent(share: float) -> str:
    """In as many digits as a painter cares for; what is there is never called 0%, what is missing never 100%."""
    if share in (0, 1):
        return f"{share:.0%}"
    if not 0.001 <= share <= 0.999:
        return "<0.1%" if share < 0.5 else ">99.9%"
    return f"{share:.0%}" if 0.0995 <= share < 0.995 else f"{share:.1%}"
