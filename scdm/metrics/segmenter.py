"""A small network that reads the layout back from an image: the segmentation evaluator of how well samples follow theirs.

A segmenter file is safetensors; its header key "scdm_segmenter" holds JSON: {"version", "channels", "palette": class
table, "provenance": {...}}.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..files import config as configuration
from ..files.parsing import parsed
from ..files.tensors import opened
from ..files.untrusted import shown
from ..layouts.palette import Palette
from ..models.checkpoint import write_tensors
from ..networks.weights import fill

HEADER = "scdm_segmenter"
VERSION = 1
MOST_LEVELS, MOST_WIDTH = 8, 4096  # far beyond any segmenter: what a file's header may ask for
GROUPS = 8  # of the normalisation: every width is a multiple of it


class Segmenter(nn.Module):
    """A U-Net over blocks of 2x2 pixels, which keeps every pixel but spares the costly work at full size.

    palette: the classes that it tells apart. channels: widths at 1/2, 1/4, ... of the image's size.
    provenance: what it was trained on, for the file's header.
    """

    def __init__(
        self, palette: Palette, channels: Sequence[int] = (48, 64, 96), provenance: dict[str, Any] | None = None
    ) -> None:
        super().__init__()
        if not 1 <= len(channels) <= MOST_LEVELS or not set(channels) <= set(range(GROUPS, MOST_WIDTH + 1, GROUPS)):
            most, asked = f"{MOST_LEVELS} multiples of {GROUPS} up to {MOST_WIDTH}", shown(channels)
            raise ValueError(f"a segmenter has a width for each level, 1 to {most}, not {asked}")
        self.palette, self.channels, self.provenance = palette, tuple(channels), provenance or {}
        levels = list(zip(self.channels, self.channels[1:], strict=False))  # (fine, coarse)
        self.stem = _convolution(3 * 2 * 2, channels[0])
        self.down = nn.ModuleList(
            nn.Sequential(_convolution(fine, coarse, stride=2), _convolution(coarse, coarse)) for fine, coarse in levels
        )
        self.middle = _convolution(channels[-1], channels[-1])
        self.up = nn.ModuleList(_convolution(fine + coarse, fine) for fine, coarse in reversed(levels))
        self.head = nn.Conv2d(channels[0], palette.num_classes * 2 * 2, 1)

    @property
    def stride(self) -> int:
        """Sides that are multiples of this need no padding."""
        return 2 ** len(self.channels)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] of any size -> class logits (B, num_classes, H, W)."""
        height, width = images.shape[2:]
        x, skips = self.encoded(images)
        for up in self.up:
            x = up(torch.cat([F.interpolate(x, scale_factor=2), skips.pop()], dim=1))
        return F.pixel_shuffle(self.head(x), 2)[:, :, :height, :width]

    def encoded(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The coarsest level, and the finer ones before it."""
        height, width = images.shape[2:]
        images = F.pad(images, (0, -width % self.stride, 0, -height % self.stride), mode="replicate")
        x = self.stem(F.pixel_unshuffle(images, 2))
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(x)
        return self.middle(x), skips

    @property
    def known(self) -> Tensor:
        """(num_classes,) bool: the classes that it tells apart, which "unlabelled" is none of."""
        return torch.arange(self.palette.num_classes) != (
            -1 if self.palette.unlabelled is None else self.palette.unlabelled
        )

    @torch.no_grad()
    def ids(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] -> the likeliest known class of every pixel, (B, H, W) int64."""
        unknown = ~self.known.to(images.device)
        return self(images).masked_fill(unknown[:, None, None], -torch.inf).argmax(dim=1)

    @torch.no_grad()
    def features(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] -> (B, channels[-1]): what it sees in them, for a Frechet distance."""
        return self.encoded(images)[0].mean(dim=(2, 3))


@dataclass(frozen=True)
class _Header:
    version: int
    channels: tuple[int, ...]
    palette: dict[str, Any]
    provenance: dict[str, Any]


def save(path: str | Path, segmenter: Segmenter, dtype: torch.dtype = torch.float16) -> None:
    """Writes the segmenter, whole or not at all; half precision costs it nothing that can be measured.

    OSError says why it cannot be written.
    """
    header = asdict(_Header(VERSION, segmenter.channels, segmenter.palette.to_dict(), segmenter.provenance))
    tensors = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in segmenter.state_dict().items()}
    write_tensors(path, tensors, {HEADER: json.dumps(header, ensure_ascii=False)})


def load(path: str | Path, device: torch.device | str = "cpu") -> Segmenter:
    """The segmenter in a file, float32, ready to use. ValueError names the file and what is wrong with it."""
    if not Path(path).is_file():
        raise ValueError(f"there is no segmenter file {path}: make one with training/train_segmenter.py")
    try:
        with opened(path) as file:
            segmenter = _described((file.metadata() or {}).get(HEADER))
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        fill(segmenter, weights)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path} holds no segmenter that can be used: {error}") from error
    return segmenter.eval().requires_grad_(False).to(device)


def _described(header: str | None) -> Segmenter:
    """The segmenter that a header describes, without memory for its weights."""
    if header is None:
        raise ValueError(f"it has no {HEADER!r} header, so another program or model wrote it")
    content = parsed(header, "JSON")
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION:
        raise ValueError(f"its format version is {shown(version)}, this program reads {VERSION}: update scdm")
    described = configuration.from_dict(_Header, content)
    with torch.device("meta"):
        return Segmenter(Palette.from_dict(described.palette), described.channels, described.provenance)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False), nn.GroupNorm(GROUPS, outputs), nn.SiLU()
    )
