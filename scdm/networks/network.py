"""What every network is: a prediction from a noisy image, its step and a layout, in two halves."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..devices import HALVES
from ..files.options import check_fields
from ..layouts.labels import LabelMap, require_same_classes


class NetworkConfig:
    """Everything that shapes a network: a frozen dataclass, whose fields are those of `network` in files.

    num_classes, edges: of the layouts that it reads; edges are a plane of instance borders.
    roughness: whether it reads how rough a layout is (`LabelMap.roughness`).
    upsamples: whether it is given a small image, enlarged, to add detail to: as many more channels, behind those of x.
    patch: side in pixels of the squares of an image that are a cell of its grid.
    label_cell: side in pixels of the squares of a layout of which the network reads one label at most.
    learn_sigma: as many more output channels, for the learned variance (Nichol & Dhariwal 2021).
    dropout: in training alone.
    stride: heights and widths of images must be divisible by it.
    working_values: held beside the weights by a step, for each pixel of an image. An estimate for hosts that plan memory.
    """

    image_channels: ClassVar[int] = 3

    num_classes: int
    edges: bool
    roughness: bool = False
    upsamples: bool = False
    learn_sigma: bool
    dropout: float
    label_cell: int = 1
    patch: int = 1

    def __post_init__(self) -> None:
        check_fields(self, "a network's ")

    @property
    def stride(self) -> int:
        raise NotImplementedError

    @property
    def working_values(self) -> int:
        raise NotImplementedError

    @property
    def in_channels(self) -> int:
        return self.image_channels * (2 if self.upsamples else 1)

    @property
    def out_channels(self) -> int:
        return self.image_channels * (2 if self.learn_sigma else 1)

    def summary(self) -> list[tuple[str, str]]:
        """What a person wants to know of it: (name, description)."""
        raise NotImplementedError


class Network(nn.Module):
    """eps (or v, or x0) and, with `learn_sigma`, the variance, from a noisy image, its step and a layout.

    A subclass defines `encode`, `decode` and `blocks`, and builds its layers through `operations` (a namespace with
    `Linear`, `Conv2d`, ...; `torch.nn` by default), which lets a host that manages memory supply its own layers.

    Precision: images and steps come in and go out in float32 (float64 for a network in float64); within, all is of the type
    of the weights. The parts named in `EXACT`, of which some may be None, are kept in float32 whatever the rest is in
    (`cast`): rounding of the head would be multiplied by 157 where noise is strongest. The same holds under autocast.

    compute_dtype: the type to compute in where it is not that of the weights, for layers that cast their weights to the type
        of their input, as those of a host may (`operations`). None is that of the weights.
    """

    EXACT: ClassVar[tuple[str, ...]] = ("time_embed", "out")

    def __init__(self, config: Any):
        super().__init__()
        self.config = config
        self.compute_dtype: torch.dtype | None = None

    def encode(self, x: Tensor, t: Tensor, height: int | None = None) -> Any:
        """x (B, in_channels, H, W), t (B,) original steps -> features, the same for every layout.

        height: of the whole images in samples, where x are windows of them; for networks that read it.
        ValueError if H or W is not divisible by `config.stride`.
        """
        raise NotImplementedError

    def decode(self, features: Any, labels: LabelMap | None) -> Tensor:
        """The half that follows the layout -> (B, out_channels, H, W). `labels` are of any resolution; None is the null
        condition (all MASK, no borders), which may cost less."""
        raise NotImplementedError

    def blocks(self) -> list[nn.Module]:
        """The parts that run one after the other, which training may compute again or divide among devices."""
        raise NotImplementedError

    def forward(self, x: Tensor, t: Tensor, labels: LabelMap | None, height: int | None = None) -> Tensor:
        return self.decode(self.encode(x, t, height), labels)

    @property
    def dtype(self) -> torch.dtype:
        """What the blocks compute in, but for autocast."""
        return self.compute_dtype or _weights_dtype(self.blocks()[0])

    def cast(self, dtype: torch.dtype) -> Network:
        """The weights in another type, in place, except for the `EXACT` parts. ValueError names one that is too large."""
        if dtype == torch.float16 and self.dtype != dtype:
            self._require_within(torch.finfo(dtype).max)
        self.to(dtype)
        if dtype in HALVES:
            for name in self.EXACT:
                if (part := getattr(self, name)) is not None:
                    part.float()
        return self

    def placed(self, device: torch.device | str | None, dtype: torch.dtype | None = None) -> Network:
        """In place: cast, moved, and laid out for fast convolutions. None leaves type or device as it is."""
        if dtype is not None:
            self.cast(dtype)
        if device is not None:
            self.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    def checkpoint_activations(self) -> None:
        """For training: each block keeps only its inputs, and is computed again in the backward pass."""
        for block in self.blocks():
            block.forward = partial(checkpoint, block.forward, use_reentrant=False)

    def _require_within(self, most: float) -> None:
        for name, weight in self.named_parameters():
            if weight.device.type != "meta" and weight.abs().max() > most:
                raise ValueError(f"{name} has values beyond {most:g}, where float16 ends: choose bfloat16 or float32")

    def _require_stride(self, x: Tensor) -> None:
        stride, (height, width) = self.config.stride, x.shape[-2:]
        if height % stride or width % stride:
            sizes = f"images whose sides are multiples of {stride}, not {width}x{height}"
            raise ValueError(f"this network takes {sizes}: pad or resize them")

    def _require_readable(self, labels: LabelMap) -> None:
        require_same_classes("the layout", labels.num_classes, "the model", self.config.num_classes)
        if (labels.edges is not None) != self.config.edges:
            wanted = "needs a layout with" if self.config.edges else "takes no"
            raise ValueError(f"the model {wanted} instance borders")

    def _exactly(self, part: nn.Module, *inputs: Tensor) -> Tensor:
        """The output of a part in full precision; if a host has its weights in less and does not cast them, in that."""
        dtype = torch.float32 if self.compute_dtype else _weights_dtype(part)
        with _without_autocast(inputs[0].device.type):
            y = part(*(x.to(dtype) for x in inputs))
        return y.float() if dtype in HALVES else y


def _weights_dtype(part: nn.Module) -> torch.dtype:
    return next(part.parameters()).dtype


def _without_autocast(device: str) -> AbstractContextManager[Any]:
    # "meta" and some others have no autocast that could be asked.
    known = device in ("cpu", "cuda", "mps", "xpu")
    return torch.autocast(device, enabled=False) if known and torch.is_autocast_enabled(device) else nullcontext()
