"""What is given beside the options, checked once: images, masks, and noise of the caller's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..devices import sent
from ..diffusion.noise import LABEL_NOISE, LabelNoise, Noise, beginning_with, mixed
from ..files.untrusted import shown
from ..layouts.labels import LabelMap
from ..models.model import Model
from .options import GenerateOptions

MOST_PIXELS = 2**25  # 8192x4096: more has taken minutes before memory was short
MOST_VALUE = 2.0  # of an image in [-1, 1] that was resampled
KINDS = (
    (Model, "the model is one that scdm.load gives"),
    (GenerateOptions, "the options are GenerateOptions(...)"),
    (LabelMap, "the layout is a LabelMap, as scdm.read_layout gives"),
)


def require_kinds(*given: Any) -> None:
    """ValueError unless these are a model, options and a layout, or the first of them: not a model's name, for instance, nor
    an upsampler, which makes no images by itself."""
    for value, (kind, words) in zip(given, KINDS, strict=False):
        require(isinstance(value, kind), f"{words}, not {shown(value)}")
        if isinstance(value, Model):
            value.require_images()


def checked_size(labels: LabelMap, whole: bool) -> tuple[int, int]:
    """(height, width) of the images. ValueError if all of an image is computed, and it has too many pixels for that."""
    height, width = labels.height, labels.width
    require(
        not whole or height * width <= MOST_PIXELS,
        f"an image of {width}x{height} has more than {MOST_PIXELS:,} pixels: paint a smaller one, and enlarge the result",
    )
    return height, width


def checked_source(
    image: Tensor | None, mask: Tensor | None, batch: int, size: tuple[int, int]
) -> tuple[Tensor | None, Tensor | None]:
    """Image and mask, one for each of the batch, which fit the layout. The mask chooses a part of the image."""
    # Resampling may overshoot an image's range of [-1, 1] by much, and round a mask's 1 up by little.
    image = None if image is None else _fitting("image", image, 3, batch, size, -MOST_VALUE, MOST_VALUE)
    if mask is None:
        return image, None
    mask = _fitting("mask", mask, 1, batch, size, -0.001, 1.001)
    empty = ~(mask > 0).flatten(1).any(dim=1)
    which = f"mask {int(empty.int().argmax()) + 1} of {len(mask)}" if len(mask) > 1 else "the mask"
    require(not empty.any(), f"{which} is empty: paint the part to change")
    require(bool((mask < 1).any()), "the mask covers the whole image: leave the mask and the image out")
    return image, mask


def _fitting(
    name: str, given: Tensor, channels: int, batch: int, size: tuple[int, int], low: float, high: float
) -> Tensor:
    """(B, channels, H, W) floats."""
    require(isinstance(given, Tensor) and not given.is_complex(), f"the {name} must be a tensor, not {shown(given)}")
    count = f"1 or {batch}" if batch > 1 else "1"
    wanted, found = f"({count}, {channels}, height, width)", tuple(given.shape)
    fits = len(found) == 4 and found[0] in (1, batch) and found[1] == channels and given.numel() > 0
    require(fits, f"the {name} must have the shape {wanted}, not {found}")
    sizes = f"the {name} is {found[3]}x{found[2]}, the layout {size[1]}x{size[0]}"
    require(found[2:] == size, f"{sizes}: they must have the same size")
    require(bool(given.isfinite().all()), f"the {name} holds NaN or infinite values")
    least, most = float(given.min()), float(given.max())
    span = f"the {name} holds values from {least:g} to {most:g}"
    require(low <= least and most <= high, f"{span}, where an image has -1 to 1 and a mask 0 to 1: scale it")
    return given.float().expand(batch, -1, -1, -1)


def checked_draws(draws: Tensor | None, size: tuple[int, int]) -> Tensor:
    if draws is None:
        return torch.zeros(size, dtype=torch.int64)
    require(isinstance(draws, Tensor), f"draws must be a tensor of integers, not {shown(draws)}")
    fits = draws.shape == size and not draws.is_complex() and not draws.is_floating_point() and bool((draws >= 0).all())
    require(fits, f"draws must be integers from 0 of the shape {size}, not {draws.dtype} {tuple(draws.shape)}")
    return draws


def noise_of(given: Tensor | Noise | None, seeded: Noise, batch: int, shape: tuple[int, int, int]) -> Noise:
    """The source of noise for samples of `shape` (C, h, w), which checks what it is given."""
    if given is None:
        return seeded
    if isinstance(given, Tensor):
        asked = torch.Size((batch if given.shape[:1] == (batch,) else 1, *shape))
        return beginning_with(_as_asked(given, asked, "noise").expand(batch, -1, -1, -1), seeded)
    require(callable(given), f"noise is a tensor or a function, like noise.image_noise([7]), not {shown(given)}")
    return lambda like: sent(_as_asked(given(like), like.shape, "noise"), like.device).to(like.dtype)


def label_noise_of(kind: str | LabelNoise, seeds: Sequence[int], draws: Tensor) -> LabelNoise:
    if isinstance(kind, str):
        return mixed(LABEL_NOISE[kind], seeds, draws)
    return lambda t, shape: _as_asked(kind(t, shape), shape, "label noise")


def _as_asked(made: Any, shape: torch.Size, name: str) -> Tensor:
    """Noise from the caller, if it has the shape that is asked for. Only on the host it is asked whether it is finite."""
    found = f"{made.dtype} {tuple(made.shape)}" if isinstance(made, Tensor) else shown(made)
    fits = isinstance(made, Tensor) and made.shape == shape and made.is_floating_point()
    require(fits, f"the {name} must be floats of the shape {tuple(shape)}, not {found}")
    require(made.device.type != "cpu" or bool(made.isfinite().all()), f"the {name} holds NaN or infinite values")
    return made


def require(holds: bool, sentence: str) -> None:
    if not holds:
        raise ValueError(sentence)
