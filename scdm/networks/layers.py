"""The layers of SDM's network: spatially-adaptive normalisation, residual blocks, attention, resampling.

Attribute names are the published checkpoints' keys, so a state dictionary reads like the papers' releases. Every layer is
built through `operations` (a namespace with `Conv2d`, `Conv1d`, `Linear`, `GroupNorm`; `torch.nn` by default), which lets
a host with memory management of its own, such as ComfyUI, supply its layers.

Half precision: what a layer computes is of the type of what it is given, but no sum over many values is kept in it. Norms
take their mean and variance, and attention its softmax, in float32 (so do torch's kernels, for bfloat16 and float16 alike),
convolutions add up in float32, and q and k are scaled before they are multiplied, so that float16, which ends at 65504, is
far from overflowing. The published half mode has plain norms give out float32, which the convolution behind them rounds.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..devices import Table
from ..layouts.labels import LabelMap

GROUPS = 32
EPSILON = 1e-5


class Condition:
    """A layout as the normalisations ask for it: one-hot at their own resolution, made once for each."""

    def __init__(self, labels: LabelMap, dtype: torch.dtype):
        self._labels = labels
        self._dtype = dtype
        self._one_hot: dict[tuple[int, int], Tensor] = {}

    def embed_patches(self, embed: nn.Module, height: int, width: int, patch: int) -> None:
        """From now on the normalisations of this resolution read `embed` of the layout's patches, (B, C, height * patch,
        width * patch) -> (B, embedded channels, height, width), so that borders are known to the pixel."""
        self._one_hot[height, width] = embed(self.at(height * patch, width * patch))

    def at(self, height: int, width: int) -> Tensor:
        """(B, channels, height, width) one-hot classes and, if the layout has them, borders."""
        if (height, width) not in self._one_hot:
            y = self._labels.resized(height, width).one_hot(self._dtype)
            self._one_hot[height, width] = y.contiguous(memory_format=torch.channels_last)
        return self._one_hot[height, width]


class SPADE(nn.Module):
    """Spatially-adaptive group normalisation (Park et al. 2019, eq. 1, with GroupNorm as in SDM).

    z * (1 + gamma(labels)) + beta(labels), where z is x normalised without an affine map of its own.
    `condition` None is the null condition (all MASK, no borders): its gamma and beta are known without looking at the
    pixels, which makes the unconditional branch of guidance cheap.
    """

    def __init__(self, channels: int, label_channels: int, hidden: int, operations: Any = nn):
        super().__init__()
        self.mlp_shared = nn.Sequential(operations.Conv2d(label_channels, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = operations.Conv2d(hidden, channels, 3, padding=1)
        self.mlp_beta = operations.Conv2d(hidden, channels, 3, padding=1)
        self.label_channels = label_channels

    def forward(self, x: Tensor, condition: Condition | None) -> Tensor:
        # Which knows, unlike the kernels beneath it, what layout each device takes.
        z = F.group_norm(x, GROUPS, eps=EPSILON)
        return self._null(z) if condition is None else _modulated(z, *self._modulation(condition.at(*x.shape[-2:])))

    def _modulation(self, y: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.mlp_shared(y)
        return self.mlp_gamma(hidden), self.mlp_beta(hidden)

    def _null(self, z: Tensor) -> Tensor:
        # An empty layout is constant in space, so gamma and beta are too, but for the one-pixel border where the
        # convolutions' zero padding shows. Three rows and three columns say it all: first, any inner one, last.
        height, width = z.shape[-2:]
        if min(height, width) < 3:
            return _modulated(z, *self._modulation(z.new_zeros(1, self.label_channels, height, width)))
        nine = self._modulation(z.new_zeros(1, self.label_channels, 3, 3))
        gamma, beta = (v.to(z.dtype) for v in nine)  # (1, C, 3, 3)
        border = [
            (line, _modulated(z[line], _stretched(gamma[line], length), _stretched(beta[line], length)))
            for edge in (0, -1)
            for line, length in (((..., edge, slice(None)), width), ((..., edge), height))
        ]
        scale, shift = 1 + gamma[..., 1:2, 1:2], beta[..., 1:2, 1:2]
        # In place where no gradient needs z: half the memory and the time.
        out = torch.addcmul(shift, z, scale) if torch.is_grad_enabled() else z.mul_(scale).add_(shift)
        for line, values in border:
            out[line] = values
        return out


def _modulated(z: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return torch.addcmul(beta, z, 1 + gamma)


def _stretched(three: Tensor, length: int) -> Tensor:
    """(1, C, 3), first, inner, last -> (1, C, length)."""
    first, inner, last = three.split(1, dim=-1)
    return torch.cat([first, inner.expand(-1, -1, length - 2), last], dim=-1)


class ResidualBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))), conditioned on the step, optionally halving or doubling the resolution.

    The encoder's form: its norms never see the labels, so its output serves both branches of guidance.
    """

    def __init__(
        self,
        channels: int,
        embedding: int,
        out_channels: int | None = None,
        *,
        scale_shift_norm: bool = True,
        up: bool = False,
        down: bool = False,
        dropout: float = 0.0,
        operations: Any = nn,
    ):
        super().__init__()
        out_channels = out_channels or channels
        self.up, self.down, self.scale_shift_norm = up, down, scale_shift_norm
        self.in_layers = nn.Sequential(
            *self._norm(channels, operations), nn.SiLU(), operations.Conv2d(channels, out_channels, 3, padding=1)
        )
        width = 2 * out_channels if scale_shift_norm else out_channels
        self.emb_layers = nn.Sequential(nn.SiLU(), operations.Linear(embedding, width))
        self.out_layers = nn.Sequential(
            *self._norm(out_channels, operations),
            nn.SiLU(),
            nn.Dropout(dropout),
            zeroed(operations.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        same = channels == out_channels
        self.skip_connection = nn.Identity() if same else operations.Conv2d(channels, out_channels, 1)

    def _norm(self, channels: int, operations: Any) -> list[nn.Module]:
        return [operations.GroupNorm(GROUPS, channels, eps=EPSILON)]

    def _normalise_in(self, x: Tensor, condition: Condition | None) -> Tensor:
        return self.in_layers[0](x)

    def _normalise_out(self, h: Tensor, condition: Condition | None) -> Tensor:
        return self.out_layers[0](h)

    def forward(self, x: Tensor, embedding: Tensor, condition: Condition | None = None) -> Tensor:
        """x (B, C, H, W), embedding (B, E) -> (B, out_channels, H', W')."""
        h = F.silu(self._normalise_in(x, condition))
        in_conv, dropout, out_conv = self.in_layers[-1], self.out_layers[-2], self.out_layers[-1]
        if self.up:
            h, x = upsample_conv(h, in_conv), doubled(x)
        elif self.down:
            h, x = in_conv(F.avg_pool2d(h, 2)), F.avg_pool2d(x, 2)
        else:
            h = in_conv(h)
        e = self.emb_layers(embedding)[:, :, None, None]
        if self.scale_shift_norm:
            scale, shift = e.chunk(2, dim=1)
            h = torch.addcmul(shift, self._normalise_out(h, condition), 1 + scale)
        else:
            h = self._normalise_out(h + e, condition)
        return self.skip_connection(x) + out_conv(dropout(F.silu(h)))


class LabelResidualBlock(ResidualBlock):
    """The decoder's form: both norms are SPADE and read the layout.

    out_label_channels: of the layout at the resolution of the output, where they are others than `label_channels`.
    """

    def __init__(
        self,
        channels: int,
        embedding: int,
        out_channels: int,
        label_channels: int,
        hidden: int,
        *,
        out_label_channels: int | None = None,
        **options: Any,
    ):
        super().__init__(channels, embedding, out_channels, **options)
        operations = options.get("operations", nn)
        self.in_norm = SPADE(channels, label_channels, hidden, operations)
        self.out_norm = SPADE(out_channels, out_label_channels or label_channels, hidden, operations)

    def _norm(self, channels: int, operations: Any) -> list[nn.Module]:
        return []  # SPADE stands beside the layers, where it can be given the condition

    def _normalise_in(self, x: Tensor, condition: Condition | None) -> Tensor:
        return self.in_norm(x, condition)

    def _normalise_out(self, h: Tensor, condition: Condition | None) -> Tensor:
        return self.out_norm(h, condition)


class Attention(nn.Module):
    """Multi-head self-attention over all pixels, with a residual connection.

    `qkv_order`: how the 3C channels of the projection are laid out. "head_major" is [head][q|k|v][d] (published models),
    "qkv_major" is [q|k|v][head][d] (`use_new_attention_order`).
    """

    def __init__(self, channels: int, heads: int, qkv_order: str = "head_major", operations: Any = nn):
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels cannot be divided among {heads} attention heads")
        self.heads, self.qkv_order = heads, qkv_order
        self.norm = operations.GroupNorm(GROUPS, channels, eps=EPSILON)
        self.qkv = operations.Conv1d(channels, 3 * channels, 1)
        self.proj_out = zeroed(operations.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        qkv = self.qkv(self.norm(x).flatten(2))  # (B, 3C, H*W), pixels row by row
        return x + self.proj_out(attend(qkv, self.heads, self.qkv_order)).view_as(x)


def attend(qkv: Tensor, heads: int, qkv_order: str) -> Tensor:
    """(B, 3C, N) -> (B, C, N): softmax(q k / sqrt(d)) v for each head."""
    channels = "(h three d)" if qkv_order == "head_major" else "(three h d)"
    q, k, v = rearrange(qkv, f"b {channels} n -> three b h n d", three=3, h=heads)
    return rearrange(F.scaled_dot_product_attention(q, k, v), "b h n d -> b (h d) n")


class Downsample(nn.Module):
    """Halves the resolution by a 3x3 convolution of stride 2 (models without `resblock_updown`)."""

    def __init__(self, channels: int, out_channels: int | None = None, operations: Any = nn):
        super().__init__()
        self.op = operations.Conv2d(channels, out_channels or channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    """Doubles the resolution: nearest neighbour, then a 3x3 convolution (models without `resblock_updown`)."""

    def __init__(self, channels: int, out_channels: int | None = None, operations: Any = nn):
        super().__init__()
        self.conv = operations.Conv2d(channels, out_channels or channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return upsample_conv(x, self.conv)


def doubled(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def upsample_conv(x: Tensor, conv: nn.Module) -> Tensor:
    """Nearest x2, then `conv` (3x3, padding 1)."""
    return conv(doubled(x))


def timestep_embedding(t: Tensor, dim: int) -> Tensor:
    """(B,) steps, whole or fractional -> (B, dim) float32: cosines, then sines (Vaswani et al. 2017).

    Frequencies and angles are rounded to float32 on purpose: angles reach 999, and the published networks were trained on
    that rounding. The exponential is taken in float64, since processors differ in the last digit of a float32 one.
    """
    angles = t.float()[:, None] * _frequencies(dim // 2).on(torch.float32, t.device)
    embedding = torch.cat([angles.cos(), angles.sin()], dim=1)
    return F.pad(embedding, (0, dim % 2))


_FREQUENCIES: dict[int, Table] = {}


def _frequencies(half: int) -> Table:
    if half not in _FREQUENCIES:
        exponents = -math.log(10000) * torch.arange(half, dtype=torch.float32, device="cpu") / half
        _FREQUENCIES[half] = Table(exponents.double().exp().numpy())
    return _FREQUENCIES[half]


def zeroed(layer: nn.Module) -> nn.Module:
    """The residual branches start at zero, so an untrained block is the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer
