"""A diffusion transformer (DiT, Peebles & Xie 2023) that reads a layout patch by patch.

A token is a patch of the image. What the layout says of it is the share of each class, MASK among them, in the patch's area,
which a linear map adds to the token; time modulates the blocks by adaLN-Zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange, reduce, repeat
from torch import Tensor, nn

from ..devices import sent
from ..files.options import Option
from ..layouts.labels import LabelMap
from .layers import timestep_embedding, zeroed
from .network import Network, NetworkConfig

FREQUENCIES = 256  # width of the sinusoids of time
EPSILON = 1e-6


@dataclass(frozen=True)
class DiTConfig(NetworkConfig):
    """The defaults are a small network for small images; DiT-S has a width of 384, a depth of 12 and 6 heads."""

    num_classes: Annotated[int, Option("classes that a layout may have", ge=1, le=65534)]
    edges: Annotated[bool, Option("whether layouts carry a plane of instance borders")] = False
    patch: Annotated[int, Option("side of a patch", ge=1, le=64, unit="pixels")] = 4
    width: Annotated[int, Option("of a token, a multiple of 4 and of heads", ge=4, le=8192)] = 192
    depth: Annotated[int, Option("blocks", ge=1, le=128)] = 8
    heads: Annotated[int, Option("attention heads", ge=1, le=1024)] = 4
    mlp_ratio: Annotated[int, Option("hidden width of a block's MLP, as a multiple of width", ge=1, le=16)] = 4
    dropout: Annotated[float, Option("share of activations that training leaves out", ge=0, lt=1)] = 0.0
    learn_sigma: Annotated[bool, Option("whether the variance is learned")] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % 4 or self.width % self.heads:
            raise ValueError(
                f"a network's width must be a multiple of 4 and of its {self.heads} heads, not {self.width}"
            )

    @property
    def stride(self) -> int:
        return self.patch

    @property
    def label_channels(self) -> int:
        return self.num_classes + 1 + self.edges

    @property
    def working_values(self) -> int:
        token = (12 + 2 * self.mlp_ratio) * self.width + 2 * self.label_channels
        return -(-token // self.patch**2)

    def summary(self) -> list[tuple[str, str]]:
        blocks = f"{self.depth} blocks of width {self.width} with {self.heads} attention heads"
        return [("network", f"transformer, {blocks}"), ("patches", f"{self.patch}x{self.patch} pixels")]


class Features(NamedTuple):
    """tokens: (B, H / patch, W / patch, width), which know the image and where they are. embedding: (B, width), of time."""

    tokens: Tensor
    embedding: Tensor


class DiT(Network):
    """Peebles & Xie's transformer, whose positions are sinusoids of any height and width. Both its halves know the time."""

    config: DiTConfig

    def __init__(self, config: DiTConfig, operations: Any = nn):
        super().__init__(config)
        width, patch = config.width, config.patch
        self.patch_embed = operations.Conv2d(config.image_channels, width, patch, stride=patch)
        self.time_embed = nn.Sequential(
            operations.Linear(FREQUENCIES, width), nn.SiLU(), operations.Linear(width, width)
        )
        self.label_embed = operations.Linear(config.label_channels, width)
        self.layers = nn.ModuleList(_Block(config, operations) for _ in range(config.depth))
        self.out = _Head(width, patch**2 * config.out_channels, operations)
        self._initialise()

    def _initialise(self) -> None:
        for weights in self.parameters():
            if weights.ndim > 1:
                nn.init.xavier_uniform_(weights.view(len(weights), -1))
            else:
                nn.init.zeros_(weights)
        for layer in self.modules():
            if isinstance(layer, _Modulation | _Head):
                zeroed(layer.linear)

    def blocks(self) -> list[nn.Module]:
        return [*self.layers]

    def encode(self, x: Tensor, t: Tensor, height: int | None = None) -> Features:
        self._require_stride(x)
        embedding = self._exactly(self.time_embed, timestep_embedding(sent(t, x.device), FREQUENCIES))
        tokens = rearrange(self.patch_embed(x.to(self.dtype)), "b d h w -> b h w d")
        rows, columns, width = tokens.shape[1:]
        return Features(tokens + positions(rows, columns, width, x.device).to(tokens), embedding.to(self.dtype))

    def decode(self, features: Features, labels: LabelMap | None) -> Tensor:
        tokens, embedding = features
        rows, columns, patch = *tokens.shape[1:3], self.config.patch
        if labels is None:
            shares = tokens.new_zeros(self.config.label_channels)
            shares[self.config.num_classes] = 1
        else:
            self._require_readable(labels)
            shares = area_shares(labels.resized(rows * patch, columns * patch), patch).to(tokens.dtype)
        h = rearrange(tokens + self.label_embed(shares), "b h w d -> b (h w) d")
        for block in self.layers:
            h = block(h, embedding)
        patches = self._exactly(self.out, h, embedding)
        return rearrange(patches, "b (h w) (p q c) -> b c (h p) (w q)", h=rows, p=patch, q=patch)


def area_shares(labels: LabelMap, patch: int) -> Tensor:
    """(B, H / patch, W / patch, num_classes + 1 [+ 1]) float32: of each patch the share of each class, of MASK, and of
    borders where the layout has them."""
    ids = rearrange(labels.ids, "b (h p) (w q) -> b h w (p q)", p=patch, q=patch)
    counts = torch.zeros(*ids.shape[:3], labels.num_classes + 1, device=ids.device)
    shares = counts.scatter_add_(-1, ids, torch.ones_like(ids, dtype=torch.float32)) / patch**2
    if labels.edges is None:
        return shares
    borders = reduce(labels.edges.float(), "b c (h p) (w q) -> b h w c", "mean", p=patch, q=patch)
    return torch.cat([shares, borders], dim=-1)


def positions(rows: int, columns: int, width: int, device: torch.device) -> Tensor:
    """(rows, columns, width) float32: sinusoids of the row, then of the column."""
    y, x = (timestep_embedding(torch.arange(count, device=device), width // 2) for count in (rows, columns))
    return torch.cat([repeat(y, "h d -> h w d", w=columns), repeat(x, "w d -> h w d", h=rows)], dim=-1)


class _Modulation(nn.Module):
    """The embedding of time (B, width) -> `count` vectors (B, 1, width) each, all 0 at first (adaLN-Zero)."""

    def __init__(self, width: int, count: int, operations: Any):
        super().__init__()
        self.count = count
        self.linear = operations.Linear(width, count * width)

    def forward(self, embedding: Tensor) -> tuple[Tensor, ...]:
        return self.linear(F.silu(embedding))[:, None].chunk(self.count, dim=-1)


def _modulated(h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return torch.addcmul(shift, F.layer_norm(h, h.shape[-1:], eps=EPSILON), 1 + scale)


class _Block(nn.Module):
    def __init__(self, config: DiTConfig, operations: Any):
        super().__init__()
        width, hidden = config.width, config.mlp_ratio * config.width
        self.heads = config.heads
        self.modulation = _Modulation(width, 6, operations)
        self.qkv = operations.Linear(width, 3 * width)
        self.proj = operations.Linear(width, width)
        self.mlp = nn.Sequential(
            operations.Linear(width, hidden), nn.GELU(approximate="tanh"), operations.Linear(hidden, width)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        """h (B, N, width), embedding (B, width) -> (B, N, width)."""
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = self.modulation(embedding)
        h = h + gate * self.dropout(self._attention(_modulated(h, shift, scale)))
        return h + mlp_gate * self.dropout(self.mlp(_modulated(h, mlp_shift, mlp_scale)))

    def _attention(self, h: Tensor) -> Tensor:
        q, k, v = rearrange(self.qkv(h), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        return self.proj(rearrange(F.scaled_dot_product_attention(q, k, v), "b h n d -> b n (h d)"))


class _Head(nn.Module):
    """The values of each token's patch, all 0 at first."""

    def __init__(self, width: int, values: int, operations: Any):
        super().__init__()
        self.modulation = _Modulation(width, 2, operations)
        self.linear = operations.Linear(width, values)

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        return self.linear(_modulated(h, *self.modulation(embedding)))
