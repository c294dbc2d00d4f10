"""The network of SDM and SCDM: a diffusion U-Net whose decoder reads the layout through SPADE."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..devices import HALVES, sent
from ..files.untrusted import shown
from ..layouts.labels import LabelMap
from .layers import (
    EPSILON,
    GROUPS,
    Attention,
    Condition,
    Downsample,
    LabelResidualBlock,
    ResidualBlock,
    Upsample,
    timestep_embedding,
    zeroed,
)

# Far beyond any model, near enough that the header of a file cannot ask for a network that would fill the memory
# before it is compared with the file's tensors.
MOST = {"num_classes": 65534, "channels": 8192, "res_blocks": 8, "heads": 1024, "hidden": 8192}
MOST_LEVELS, MOST_WIDTH = 8, 16384


@dataclass(frozen=True)
class UNetConfig:
    """Everything that shapes the network. The defaults are those of the published 256x256 models.

    channels: width of the first level; `channel_mult` gives each level's width as a multiple of it.
    attention: down-factors (1, 2, 4, ...) at which residual blocks are followed by attention.
    head_channels: width of an attention head, or None to use `heads` heads (`heads_up` in the decoder).
    hidden: width of SPADE's shared convolution.
    edges: the layout carries a channel of instance borders.
    learn_sigma: three more output channels, the learned variance (Nichol & Dhariwal 2021).
    """

    num_classes: int
    edges: bool = False
    channels: int = 256
    channel_mult: tuple[float, ...] = (1, 1, 2, 2, 4, 4)
    res_blocks: int = 2
    attention: tuple[int, ...] = (8, 16, 32)
    head_channels: int | None = 64
    heads: int = 4
    heads_up: int | None = None
    qkv_order: Literal["head_major", "qkv_major"] = "head_major"
    scale_shift_norm: bool = True
    resblock_updown: bool = True
    hidden: int = 128
    dropout: float = 0.0
    learn_sigma: bool = True

    def __post_init__(self) -> None:
        for name, most in MOST.items():
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"a network's {name} must be from 1 to {most}, not {getattr(self, name)}")
        mult = self.channel_mult
        if not 1 <= len(mult) <= MOST_LEVELS or not all(0 < factor < MOST_WIDTH for factor in mult):
            raise ValueError(
                f"channel_mult must hold 1 to {MOST_LEVELS} positive factors, one for each level, not {shown(mult)}"
            )
        for level, width in enumerate(self.widths):
            if not GROUPS <= width <= MOST_WIDTH or width % GROUPS:
                raise ValueError(
                    f"a level's width must be a multiple of {GROUPS}, the number of norm groups, "
                    f"and at most {MOST_WIDTH}; got {width}"
                )
            attends = 2**level in self.attention or level + 1 == len(self.widths)  # the middle block always does
            if attends and self.head_channels is not None and (self.head_channels < 1 or width % self.head_channels):
                raise ValueError(
                    f"attention heads of {self.head_channels} channels do not fill a level of {width}: "
                    "choose head_channels that divides it"
                )
        if self.heads_up is not None and not 1 <= self.heads_up <= MOST["heads"]:
            raise ValueError(
                f"a network's heads_up must be from 1 to {MOST['heads']}, or None for as many as heads, not {self.heads_up}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"a network's dropout is a share from 0 to below 1, not {self.dropout}")
        if self.qkv_order not in ("head_major", "qkv_major"):
            raise ValueError(f"qkv_order must be 'head_major' or 'qkv_major', not {self.qkv_order!r}")

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(int(mult * self.channels) for mult in self.channel_mult)

    @property
    def label_channels(self) -> int:
        return self.num_classes + self.edges

    @property
    def out_channels(self) -> int:
        return 6 if self.learn_sigma else 3

    @property
    def stride(self) -> int:
        """Heights and widths of images must be divisible by this."""
        return 2 ** (len(self.channel_mult) - 1)

    def heads_at(self, channels: int, decoder: bool = False) -> int:
        if self.head_channels is not None:
            return channels // self.head_channels
        return (self.heads_up or self.heads) if decoder else self.heads


class Features(NamedTuple):
    """What the encoder knows of x at t. It never saw the labels: any number of layouts can be decoded from it."""

    bottom: Tensor
    skips: tuple[Tensor, ...]
    embedding: Tensor


class UNet(nn.Module):
    """eps (or v, or x0) and, with `learn_sigma`, the variance, from a noisy image, its step and a layout.

    Precision: images and steps come in and go out in float32 (float64 for a network in float64); within, all is of the type
    of the weights. Two small parts are kept in float32 whatever the rest is in (`cast`), as the published half mode keeps
    them: the first of the embedding of the step, and the head `out`, whose rounding would be multiplied by 157 where noise
    is strongest. The same holds under autocast.

    compute_dtype: the type to compute in where it is not that of the weights, for layers that cast their weights to the type
        of what they are given, as those of a host may (`operations`). None is that of the weights.
    """

    def __init__(self, config: UNetConfig, operations: Any = nn):
        super().__init__()
        self.config = config
        self.compute_dtype: torch.dtype | None = None
        build = _Builder(config, operations)
        self.time_embed = nn.Sequential(
            operations.Linear(config.channels, build.embedding),
            nn.SiLU(),
            operations.Linear(build.embedding, build.embedding),
        )
        self.input_blocks, skip_widths = build.encoder()
        self.middle_block = build.middle()
        self.output_blocks = build.decoder(skip_widths)
        self.out = nn.Sequential(
            operations.GroupNorm(GROUPS, config.widths[0], eps=EPSILON),
            nn.SiLU(),
            zeroed(operations.Conv2d(config.widths[0], config.out_channels, 3, padding=1)),
        )

    @property
    def dtype(self) -> torch.dtype:
        """What the blocks compute in, but for autocast."""
        return self.compute_dtype or _weights_dtype(self.input_blocks[0])

    def cast(self, dtype: torch.dtype) -> UNet:
        """The weights in another type, in place, but for the parts that stay in float32. ValueError names one that is too
        large for it."""
        if dtype == torch.float16 and self.dtype != dtype:
            most = torch.finfo(dtype).max
            for name, weight in self.named_parameters():
                if weight.device.type != "meta" and weight.abs().max() > most:
                    raise ValueError(
                        f"{name} has values beyond {most:g}, where float16 ends: choose bfloat16 or float32"
                    )
        self.to(dtype)
        if dtype in HALVES:
            self.time_embed.float()
            self.out.float()
        return self

    def forward(self, x: Tensor, t: Tensor, labels: LabelMap | None) -> Tensor:
        """x (B, 3, H, W), t (B,) original steps, labels at any resolution or None -> (B, 3 or 6, H, W)."""
        return self.decode(self.encode(x, t), labels)

    def encode(self, x: Tensor, t: Tensor) -> Features:
        """The half that is the same for every layout. ValueError if H or W is not divisible by `config.stride`."""
        if x.shape[-2] % self.config.stride or x.shape[-1] % self.config.stride:
            raise ValueError(
                f"this network takes images whose sides are multiples of {self.config.stride}, "
                f"not {x.shape[-1]}x{x.shape[-2]}: pad or resize them"
            )
        embedding = self._exactly(self.time_embed, timestep_embedding(sent(t, x.device), self.config.channels))
        x, embedding = x.to(self.dtype), embedding.to(self.dtype)
        skips = []
        for block in self.input_blocks:
            x = block(x, embedding)
            skips.append(x)
        return Features(x, tuple(skips), embedding)

    def decode(self, features: Features, labels: LabelMap | None) -> Tensor:
        """The half that follows the layout; None is the null condition (all MASK, no borders), at less cost."""
        h, skips, embedding = features
        condition = None if labels is None else Condition(self._fitting(labels), h.dtype)
        h = self.middle_block(h, embedding, condition)
        for block, skip in zip(self.output_blocks, reversed(skips), strict=True):
            h = block(torch.cat([h, skip], dim=1), embedding, condition)
        return self._exactly(self.out, h)

    def _exactly(self, part: nn.Sequential, x: Tensor) -> Tensor:
        """What a part in full precision makes of x; if a host has its weights in less and does not cast them, in that."""
        dtype = torch.float32 if self.compute_dtype else _weights_dtype(part)
        with _without_autocast(x.device.type):
            y = part(x.to(dtype))
        return y.float() if dtype in HALVES else y

    def _fitting(self, labels: LabelMap) -> LabelMap:
        if labels.num_classes != self.config.num_classes:
            raise ValueError(
                f"the layout has {labels.num_classes} classes, the model expects {self.config.num_classes}: "
                "choose the palette that belongs to the model"
            )
        if (labels.edges is not None) != self.config.edges:
            wanted = "needs a layout with" if self.config.edges else "takes no"
            raise ValueError(f"the model {wanted} instance borders")
        return labels


def _weights_dtype(part: nn.Module) -> torch.dtype:
    return next(part.parameters()).dtype


def _without_autocast(device: str) -> AbstractContextManager[Any]:
    # "meta" and some others have no autocast that could be asked.
    known = device in ("cpu", "cuda", "mps", "xpu")
    return torch.autocast(device, enabled=False) if known and torch.is_autocast_enabled(device) else nullcontext()


class _Stage(nn.ModuleList):
    """The layers of one `input_blocks.N`, `middle_block` or `output_blocks.N`, run in order."""

    def forward(self, h: Tensor, embedding: Tensor, condition: Condition | None = None) -> Tensor:
        for layer in self:
            h = layer(h, embedding, condition) if isinstance(layer, ResidualBlock) else layer(h)
        return h


class _Builder:
    """Lays the blocks out level by level, in the published order and numbering."""

    def __init__(self, config: UNetConfig, operations: Any):
        self.config, self.operations = config, operations
        self.embedding = 4 * config.channels

    def encoder(self) -> tuple[nn.ModuleList, list[int]]:
        """The blocks and the width that each leaves behind as a skip."""
        config = self.config
        width = config.widths[0]
        stages: list[Sequence[nn.Module]] = [[self.operations.Conv2d(3, width, 3, padding=1)]]
        skips = [width]
        for level, level_width in enumerate(config.widths):
            factor = 2**level
            for _ in range(config.res_blocks):
                stages.append([self._plain(width, level_width), *self._attention(level_width, factor)])
                width = level_width
                skips.append(width)
            if level + 1 < len(config.widths):
                stages.append([self._halving(width)])
                skips.append(width)
        return nn.ModuleList(_Stage(stage) for stage in stages), skips

    def middle(self) -> _Stage:
        width = self.config.widths[-1]
        heads = self.config.heads_at(width)
        attention = Attention(width, heads, self.config.qkv_order, self.operations)
        return _Stage([self._label(width, width), attention, self._label(width, width)])

    def decoder(self, skips: list[int]) -> nn.ModuleList:
        config = self.config
        skips = list(skips)
        width = config.widths[-1]
        stages: list[Sequence[nn.Module]] = []
        for level in reversed(range(len(config.widths))):
            level_width, factor = config.widths[level], 2**level
            for block in range(config.res_blocks + 1):
                stage = [self._label(width + skips.pop(), level_width)]
                stage += self._attention(level_width, factor, decoder=True)
                width = level_width
                if level and block == config.res_blocks:
                    stage.append(self._doubling(width))
                stages.append(stage)
        return nn.ModuleList(_Stage(stage) for stage in stages)

    def _attention(self, width: int, factor: int, decoder: bool = False) -> list[nn.Module]:
        if factor not in self.config.attention:
            return []
        heads = self.config.heads_at(width, decoder)
        return [Attention(width, heads, self.config.qkv_order, self.operations)]

    def _plain(self, width: int, out: int, **resampling: bool) -> nn.Module:
        return ResidualBlock(width, self.embedding, out, **self._options(), **resampling)

    def _label(self, width: int, out: int, **resampling: bool) -> nn.Module:
        config = self.config
        return LabelResidualBlock(
            width, self.embedding, out, config.label_channels, config.hidden, **self._options(), **resampling
        )

    def _halving(self, width: int) -> nn.Module:
        if self.config.resblock_updown:
            return self._plain(width, width, down=True)
        return Downsample(width, operations=self.operations)

    def _doubling(self, width: int) -> nn.Module:
        if self.config.resblock_updown:
            return self._label(width, width, up=True)
        return Upsample(width, operations=self.operations)

    def _options(self) -> dict[str, Any]:
        config = self.config
        return {
            "scale_shift_norm": config.scale_shift_norm,
            "dropout": config.dropout,
            "operations": self.operations,
        }
