"""A window: the part of a canvas that the network computes where only a part is to be painted anew."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..diffusion.padding import Padding
from ..layouts.labels import LabelMap
from ..models.model import Model
from ..networks import Network

CONTEXT = 1 / 4  # of what the model sees at once: what the network sees around the region, at least


def windowed(model: Model, region: Tensor) -> Model:
    """The model with a network that computes only around `region` (H, W) bool, and predicts nothing elsewhere.

    The window has the region in it with its surroundings, is never smaller than what the model was trained on (whole images,
    or windows of larger ones), and lies where the network's strides meet. Noise, layout and height are still the whole
    canvas's, so that a pixel sees the same of them whatever the window. The model itself where the window would be the whole
    canvas. Of a model with an upsampler it is that one's network, where it is needed.
    """
    if model.upsampler is not None and model.small_size((region.shape[0], region.shape[1])) is not None:
        return replace(model, upsampler=windowed(model.upsampler, region))  # the small image is little work
    stride = model.config.stride
    padding = Padding((region.shape[0], region.shape[1]), stride)
    rows, columns = (
        _span(region.any(dim=1 - axis), length, own, stride)
        for axis, (length, own) in enumerate(zip(padding.padded_size, _smallest(model), strict=True))
    )
    if (len(rows), len(columns)) == padding.padded_size:
        return model
    return replace(model, network=_Windowed(model.network, rows, columns, model.space.stride))


def _smallest(model: Model) -> tuple[int, int]:
    """(height, width) in pixels that the model was trained to see at once, at least."""
    side, least = model.config.window, 2 * model.config.stride  # as `Padding` has it
    height, width = model.config.size if side is None else (side, side)
    return max(height, least), max(width, least)


def _span(holds: Tensor, length: int, own: int, stride: int) -> range:
    """Along an axis of `length` pixels: around those that `holds` (bool) is true for, `own` pixels at least."""
    places = holds.nonzero()
    first, last = (int(places.min()), int(places.max())) if len(places) else (0, 0)
    spare = max(own - (last + 1 - first), 2 * round(CONTEXT * own))
    start = max(0, first - spare // 2) // stride * stride
    stop = min(length, -(-max(last + 1 + spare // 2, start + own) // stride) * stride)
    return range(max(0, min(start, stop - own)), stop)


class _Windowed(Network):
    """A network that is shown the rows and columns of a window, in pixels of the layout: multiples of `stride`, the pixels
    to a sample. Around it, its output is 0."""

    def __init__(self, network: Network, rows: range, columns: range, stride: int):
        super().__init__(network.config)
        self.network = network
        self.rows, self.columns = rows, columns
        inside = (slice(span.start // stride, span.stop // stride) for span in (rows, columns))
        self.window = (slice(None), slice(None), *inside)  # of samples (B, C, h, w)

    @property
    def dtype(self) -> torch.dtype:
        return self.network.dtype

    def encode(self, x: Tensor, t: Tensor, height: int | None = None) -> tuple[Any, torch.Size]:
        return self.network.encode(x[self.window].contiguous(), t, height or x.shape[-2]), x.shape

    def decode(self, features: tuple[Any, torch.Size], labels: LabelMap | None) -> Tensor:
        inner, shape = features
        if labels is not None:
            rows, columns = (torch.tensor(span, device=labels.ids.device) for span in (self.rows, self.columns))
            labels = labels.picked(rows, columns)
        output = self.network.decode(inner, labels)
        whole = output.new_zeros(*output.shape[:2], *shape[2:])
        whole[self.window] = output
        return whole
