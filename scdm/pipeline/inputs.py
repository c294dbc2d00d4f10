"""What is given beside the options, checked once: images, masks, and noise of the caller's own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..devices import sent
from ..diffusion.noise import LABEL_NOISE, LabelNoise, Noise, beginning_with, mixed
from ..files.untrusted import shown

MOST_VALUE = 2.0  # of an image in [-1, 1] that was resampled


def checked_source(
    image: Tensor | None, mask: Tensor | None, batch: int, size: tuple[int, int]
) -> tuple[Tensor | None, Tensor | None]:
    """Image and mask fit the layout, and the mask chooses a part."""
    # Resampling may overshoot an image's range of [-1, 1] by much, and round a mask's 1 up by little.
    for name, given, channels, low, high in (
        ("image", image, 3, -MOST_VALUE, MOST_VALUE),
        ("mask", mask, 1, -0.001, 1.001),
    ):
        if given is None:
            continue
        shape = tuple(given.shape)
        require(
            len(shape) == 4 and shape[0] in (1, batch) and shape[1] == channels,
            f"the {name} must have the shape (1 or {batch}, {channels}, height, width), not {shape}",
        )
        require(
            shape[2:] == size,
            f"the {name} is {shape[3]}x{shape[2]}, the layout {size[1]}x{size[0]}: they must have the same size",
        )
        require(bool(given.isfinite().all()), f"the {name} holds values that are no numbers")
        least, most = float(given.min()), float(given.max())
        require(
            low <= least and most <= high,
            f"the {name} holds values from {least:g} to {most:g}, where an image has -1 to 1 and a mask 0 to 1: scale it",
        )
    if mask is not None:
        empty = ~(mask > 0).flatten(1).any(dim=1)
        which = f"mask {int(empty.int().argmax()) + 1} of {len(mask)}" if len(mask) > 1 else "the mask"
        require(not empty.any(), f"{which} is empty, so there is nothing to repaint: paint the part to change")
        require(
            bool((mask < 1).any()),
            "the mask covers the whole image, so nothing is kept: leave the mask and the image out",
        )
    expand = lambda given: None if given is None else given.float().expand(batch, -1, -1, -1)  # noqa: E731
    return expand(image), expand(mask)


def noise_of(given: Tensor | Noise | None, seeded: Noise, batch: int, shape: tuple[int, int, int]) -> Noise:
    """The source of noise for samples of `shape` (C, h, w), which checks what it is given."""
    if given is None:
        return seeded
    if isinstance(given, Tensor):
        found, wanted = tuple(given.shape), ", ".join(map(str, shape))
        require(
            found in ((1, *shape), (batch, *shape)) and given.is_floating_point(),
            f"the noise must be floats of the shape (1 or {batch}, {wanted}), not {given.dtype} {found}",
        )
        require(bool(given.isfinite().all()), "the noise holds NaN or infinite values")
        return beginning_with(given.expand(batch, -1, -1, -1), seeded)
    require(callable(given), f"noise is a tensor or a function of one, like noise.image_noise([7]), not {shown(given)}")

    return lambda like: sent(_as_asked(given(like), like.shape, "noise"), like.device).to(like.dtype)


def label_noise_of(kind: str | LabelNoise, seeds: Sequence[int], draws: Tensor) -> LabelNoise:
    if isinstance(kind, str):
        return mixed(LABEL_NOISE[kind], seeds, draws)
    return lambda t, shape: _as_asked(kind(t, shape), shape, "label noise")


def _as_asked(made: Any, shape: torch.Size, name: str) -> Tensor:
    """What a function of the user's made, if it is what it was asked for. Whether it is finite, only the host is asked."""
    found = f"{made.dtype} {tuple(made.shape)}" if isinstance(made, Tensor) else shown(made)
    require(
        isinstance(made, Tensor) and made.shape == shape and made.is_floating_point(),
        f"the {name} must be floats of the shape that it is asked for, {tuple(shape)}, not {found}",
    )
    require(made.device.type != "cpu" or bool(made.isfinite().all()), f"the {name} holds NaN or infinite values")
    return made


def is_whole(value: object, least: int, most: float = math.inf) -> bool:
    return isinstance(value, int) and is_number(value, least, most)


def is_number(value: Any, least: float, most: float) -> bool:
    real = isinstance(value, int | float) and not isinstance(value, bool)
    return real and least <= value <= most


def require(holds: bool, sentence: str) -> None:
    if not holds:
        raise ValueError(sentence)
