"""The images of a data set by their proportions, so that each is seen at a size that crops little of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .examples import DataSet
from .framing import Size
from .pairs import PairSet


class Bucket(NamedTuple):
    """The images whose proportions are nearest to those of a size (height, width).

    data: these images at that size.
    lost: the mean share of an image that lies beyond these proportions, and is cropped or stretched away.
    """

    size: Size
    data: PairSet
    lost: float


def buckets(data: DataSet, sizes: Sequence[Size]) -> list[Bucket]:
    """The images divided among the sizes, in the order of the data set in each. Headers are read, and no image is decoded.

    A file whose header cannot be read is in none. ValueError if the data set is not one of image files.
    """
    if not isinstance(data, PairSet):
        raise ValueError(
            f"{data.palette.name} have no image files, whose proportions could be told: set buckets to false"
        )
    readable = np.flatnonzero(data.sizes.all(axis=1))
    heights, widths = data.sizes[readable].T
    wanted = np.log([height / width for height, width in sizes])
    apart = np.abs(np.log(heights / widths)[:, None] - wanted)  # (N, len(sizes))
    nearest = apart.argmin(axis=1)
    lost = 1 - np.exp(-apart.min(axis=1))
    of_each = [nearest == place for place in range(len(sizes))]
    return [
        Bucket(size, data.only(readable[own]).at(size), float(lost[own].mean()) if own.any() else 0.0)
        for size, own in zip(sizes, of_each, strict=True)
    ]
