"""The network of SDM and SCDM: a diffusion U-Net whose decoder reads the layout through SPADE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..devices import sent
from ..files.config import implied
from ..files.options import Option
from ..files.untrusted import brief
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
from .network import Network, NetworkConfig

# Far beyond any model, near enough that the header of a file cannot ask for a network that would fill the memory
# before it is compared with the file's tensors.
MOST_LEVELS, MOST_WIDTH, MOST_HEADS = 8, 16384, 1024
BASE_HEIGHT = 64  # of the image whose size is embedded as 0, an octave more as 100


@dataclass(frozen=True)
class UNetConfig(NetworkConfig):
    """The defaults are those of the published 256x256 models."""

    num_classes: Annotated[int, Option("classes that a layout may have", ge=1, le=65534)]
    edges: Annotated[bool, Option("whether layouts carry a plane of instance borders")] = False
    channels: Annotated[int, Option("width of the first level", ge=1, le=8192, also=("num_channels",))] = 256
    channel_mult: Annotated[
        tuple[float, ...], Option("width of each level, as a multiple of channels", gt=0, lt=MOST_WIDTH)
    ] = (1, 1, 2, 2, 4, 4)
    res_blocks: Annotated[int, Option("residual blocks of a level", ge=1, le=8, also=("num_res_blocks",))] = 2
    attention: Annotated[
        tuple[int, ...],
        Option(
            "down-factors (1, 2, 4, ...) at which residual blocks are followed by attention",
            also=("attention_resolutions",),
        ),
    ] = (8, 16, 32)
    head_channels: Annotated[
        int | None,
        Option("width of an attention head, or None to use heads", ge=1, le=MOST_WIDTH, also=("num_head_channels",)),
    ] = 64
    heads: Annotated[int, Option("attention heads, without head_channels", ge=1, le=MOST_HEADS)] = 4
    heads_up: Annotated[int | None, Option("those of the decoder, or None for as many", ge=1, le=MOST_HEADS)] = None
    qkv_order: Annotated[
        Literal["head_major", "qkv_major"], Option("how the channels of q, k and v are laid out (Attention)")
    ] = "head_major"
    scale_shift_norm: Annotated[bool, Option("whether the step scales and shifts norms, or is added")] = True
    resblock_updown: Annotated[bool, Option("whether residual blocks change the resolution, or convolutions")] = True
    hidden: Annotated[int, Option("width of SPADE's shared convolution", ge=1, le=8192)] = 128
    dropout: Annotated[float, Option("share of activations that training leaves out", ge=0, lt=1)] = 0.0
    learn_sigma: Annotated[bool, Option("whether the variance is learned")] = True
    patch: Annotated[
        Literal[1, 2, 4, 8],
        Option("side of the square of pixels that is one position of the first level; the published networks have 1"),
    ] = implied(1)
    layout_width: Annotated[
        int,
        Option(
            "width that the layout's patches are embedded in for the first level, or 0 to read one label a patch",
            ge=0,
            le=8192,
        ),
    ] = implied(0)
    head: Annotated[
        int, Option("width of convolutions at full resolution behind the patches, or 0 for none", ge=0, le=8192)
    ] = implied(0)
    sized: Annotated[
        bool, Option("whether the network is given the height of the whole image (Podell et al. 2023)")
    ] = implied(False)
    conditioning: Annotated[
        Literal["spade", "concat"],
        Option(
            "how the layout is read: by the decoder's normalisations, as in SDM, or concatenated to the noisy image, as in "
            "latent diffusion (Rombach et al. 2022)"
        ),
    ] = implied("spade")
    roughness: Annotated[bool, Option("whether the network is given the roughness of the layout")] = implied(False)
    upsamples: Annotated[
        bool,
        Option(
            "whether the network is given a small image, enlarged, beside the noisy one, and adds detail to it (Saharia et "
            "al. 2021, SR3)"
        ),
    ] = implied(False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= len(self.channel_mult) <= MOST_LEVELS:
            raise ValueError(f"channel_mult must hold 1 to {MOST_LEVELS} factors, one for each level")
        for level, width in enumerate(self.widths):
            if not GROUPS <= width <= MOST_WIDTH or width % GROUPS:
                rule = f"a multiple of {GROUPS}, the number of norm groups, and at most {MOST_WIDTH}"
                raise ValueError(f"a level's width must be {rule}; got {width}")
            attends = 2**level in self.attention or level + 1 == len(self.widths)  # the middle block always does
            if attends and self.head_channels is not None and width % self.head_channels:
                fault = f"attention heads of {self.head_channels} channels do not fill a level of {width}"
                raise ValueError(f"{fault}: choose head_channels that divides it")
        if self.upsamples and self.learn_sigma:
            raise ValueError("a network that adds detail to an image learns no variance: set learn_sigma to false")
        if self.patch == 1 and (self.layout_width or self.head):
            raise ValueError(
                "layout_width and head give patches the borders of their pixels: leave both at 0, or set patch to 2, 4 or 8"
            )

    @property
    def widths(self) -> tuple[int, ...]:
        return tuple(int(mult * self.channels) for mult in self.channel_mult)

    @property
    def label_channels(self) -> int:
        return self.num_classes + self.edges

    @property
    def label_cell(self) -> int:  # type: ignore[override]
        """A grid of patches reads one label of each, unless it reads its embedding."""
        return 1 if self.layout_width else self.patch

    def label_channels_at(self, level: int) -> int:
        """Those of the layout as a level reads it."""
        return self.layout_width if self.layout_width and level == 0 else self.label_channels

    @property
    def stride(self) -> int:
        return self.patch * 2 ** (len(self.channel_mult) - 1)

    @property
    def working_values(self) -> int:
        grid = 30 * self.channels // self.patch**2  # 18 to 24 maps of the first level's features, and some for cuDNN
        pixels = self.label_channels + 3 * self.head if self.layout_width or self.head else 0
        return grid + pixels

    def summary(self) -> list[tuple[str, str]]:
        attention = ", ".join(f"1/{factor}" for factor in self.attention)
        return [
            ("network", f"widths {', '.join(map(str, self.widths))}, residual blocks a level: {self.res_blocks}"),
            ("attention", f"at {brief(attention)} of the size" if attention else "none but in the middle"),
            *([("layout", "concatenated to the noisy image")] if self.conditioning == "concat" else []),
            *self._patch_summary(),
        ]

    def _patch_summary(self) -> list[tuple[str, str]]:
        borders = [
            *([f"layout embedded in {self.layout_width} channels"] if self.layout_width else []),
            *([f"head of {self.head} channels"] if self.head else []),
        ]
        inputs = (("a small image", self.upsamples), ("image height", self.sized), ("roughness", self.roughness))
        given = [name for name, reads in inputs if reads]
        return [
            *([("patches", ", ".join([f"{self.patch}x{self.patch} pixels", *borders]))] if self.patch > 1 else []),
            *([("also given", ", ".join(given))] if given else []),
        ]

    def heads_at(self, channels: int, decoder: bool = False) -> int:
        if self.head_channels is not None:
            return channels // self.head_channels
        return (self.heads_up or self.heads) if decoder else self.heads


class Features(NamedTuple):
    """What the encoder knows of x at t. It never saw the labels: any number of layouts can be decoded from it.

    Where the layout is concatenated to x, all of the network follows it: `bottom` is x and there are no skips yet.
    pixels: x itself, for a head at full resolution and for the image in it that detail is added to.
    """

    bottom: Tensor
    skips: tuple[Tensor, ...]
    embedding: Tensor
    pixels: Tensor | None = None


class UNet(Network):
    """A U-Net (Ho et al. 2020, Dhariwal & Nichol 2021) whose decoder is normalised by the layout (SDM, Wang et al. 2022).

    In half precision the first part of the step's embedding and the head stay in float32, as in the published half mode.

    With a patch of p > 1 the U-Net walks a grid of 1/p of the sides: pixels enter by pixel-unshuffle and leave by
    pixel-shuffle (Shi et al. 2016), as the tokens of Dosovitskiy et al. 2021. So that borders keep their pixels, the first
    level's normalisations may read an embedding of the layout's patches (`layout_width`), and a few convolutions at full
    resolution may add to the output what they see in noisy image and layout (`head`).

    With `conditioning` "concat" the layout, as the first level would read it, is more channels of the first level's input,
    and no normalisation reads it. Guidance then walks the whole network twice.
    """

    EXACT = ("time_embed", "size_embed", "roughness_embed", "out")

    config: UNetConfig

    def __init__(self, config: UNetConfig, operations: Any = nn):
        super().__init__(config)
        build = _Builder(config, operations)
        self.time_embed = nn.Sequential(
            operations.Linear(config.channels, build.embedding),
            nn.SiLU(),
            operations.Linear(build.embedding, build.embedding),
        )
        self.size_embed = build.number_embed() if config.sized else None
        self.roughness_embed = build.number_embed() if config.roughness else None
        self.layout_embed = build.layout_embed() if config.layout_width else None
        self.input_blocks, skip_widths = build.encoder()
        self.middle_block = build.middle()
        self.output_blocks = build.decoder(skip_widths)
        self.out = nn.Sequential(
            operations.GroupNorm(GROUPS, config.widths[0], eps=EPSILON),
            nn.SiLU(),
            zeroed(operations.Conv2d(config.widths[0], config.out_channels * config.patch**2, 3, padding=1)),
        )
        self.head = build.head() if config.head else None

    def blocks(self) -> list[nn.Module]:
        return [*self.input_blocks, self.middle_block, *self.output_blocks]

    def encode(self, x: Tensor, t: Tensor, height: int | None = None) -> Features:
        self._require_stride(x)
        embedding = self._embedded(self.time_embed, sent(t, x.device))
        if self.size_embed is not None:
            side = torch.full((1,), height or x.shape[-2], dtype=torch.float32, device=x.device)
            embedding = embedding + self._embedded(self.size_embed, 100 * (side / BASE_HEIGHT).log2())
        kept = self.head is not None or self.config.upsamples
        pixels, embedding = x if kept else None, embedding.to(self.dtype)
        if self.config.patch > 1:  # which would copy single pixels, too
            x = F.pixel_unshuffle(x, self.config.patch)
        x = x.to(self.dtype)
        if self.config.conditioning == "concat":
            return Features(x, (), embedding, pixels)
        return Features(*self._encoded(x, embedding), embedding, pixels)

    def _encoded(self, x: Tensor, embedding: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        skips = []
        for block in self.input_blocks:
            x = block(x, embedding)
            skips.append(x)
        return x, tuple(skips)

    def decode(self, features: Features, labels: LabelMap | None) -> Tensor:
        h, skips, embedding, pixels = features
        condition = None
        if labels is not None:
            self._require_readable(labels)
            condition = self._condition(labels, skips[0] if skips else h)
            embedding = self._with_roughness(embedding, labels.roughness)
        if self.config.conditioning == "concat":
            h, skips = self._encoded(torch.cat([h, self._concatenated(condition, h)], dim=1), embedding)
        h = self.middle_block(h, embedding, condition)
        for block, skip in zip(self.output_blocks, reversed(skips), strict=True):
            h = block(torch.cat([h, skip], dim=1), embedding, condition)
        y = self._exactly(self.out, h)
        if self.config.patch > 1:
            y = F.pixel_shuffle(y, self.config.patch)
        if pixels is None:
            return y
        if self.head is not None:
            y = y + self._correction(y, pixels, condition)
        return y + pixels[:, self.config.image_channels :] if self.config.upsamples else y

    def _embedded(self, embed: nn.Module, numbers: Tensor) -> Tensor:
        """(B,) numbers, on a scale of about 0 to 1000 as steps are -> (B, E)."""
        return self._exactly(embed, timestep_embedding(numbers, self.config.channels))

    def _condition(self, labels: LabelMap, first: Tensor) -> Condition:
        """first: input or features (B, C, h, w) of the first level."""
        condition = Condition(labels, first.dtype)
        if self.layout_embed is not None:
            height, width = first.shape[-2:]
            condition.embed_patches(self.layout_embed, height, width, self.config.patch)
        return condition

    def _concatenated(self, condition: Condition | None, x: Tensor) -> Tensor:
        """The layout at the positions of the first level's input x; nothing, 0, for the null condition."""
        if condition is not None:
            return condition.at(*x.shape[-2:])
        return x.new_zeros(len(x), self.config.label_channels_at(0), *x.shape[-2:])

    def _with_roughness(self, embedding: Tensor, roughness: Tensor | None) -> Tensor:
        """roughness: (B,) in [0, 1], nan where it is unknown, which adds nothing."""
        if self.roughness_embed is None or roughness is None:
            return embedding
        added = self._embedded(self.roughness_embed, 1000 * roughness.nan_to_num())
        return embedding + (added * roughness.isfinite()[:, None]).to(embedding.dtype)

    def _correction(self, y: Tensor, pixels: Tensor, condition: Condition | None) -> Tensor:
        """What the head adds to the output y (B, out_channels, H, W)."""
        assert self.head is not None
        size = y.shape[-2:]
        one_hot = condition.at(*size) if condition else y.new_zeros(len(y), self.config.label_channels, *size)
        return self.head(torch.cat([y, pixels, one_hot], dim=1).to(self.dtype)).to(y.dtype)


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

    def number_embed(self) -> nn.Module:
        """Of a number that is given beside the step; adds nothing at first."""
        linear, width = self.operations.Linear, self.embedding
        return nn.Sequential(linear(self.config.channels, width), nn.SiLU(), zeroed(linear(width, width)))

    def layout_embed(self) -> nn.Module:
        """Without a bias, so that of the null condition it is 0 (`SPADE`)."""
        config = self.config
        return self.operations.Conv2d(
            config.label_channels, config.layout_width, config.patch, stride=config.patch, bias=False
        )

    def head(self) -> nn.Module:
        config, conv = self.config, self.operations.Conv2d
        return nn.Sequential(
            conv(config.out_channels + config.in_channels + config.label_channels, config.head, 3, padding=1),
            nn.SiLU(),
            conv(config.head, config.head, 3, padding=1),
            nn.SiLU(),
            zeroed(conv(config.head, config.out_channels, 3, padding=1)),
        )

    def encoder(self) -> tuple[nn.ModuleList, list[int]]:
        """The blocks and the width that each leaves behind as a skip."""
        config = self.config
        width = config.widths[0]
        concatenated = config.label_channels_at(0) if config.conditioning == "concat" else 0
        first = self.operations.Conv2d(config.in_channels * config.patch**2 + concatenated, width, 3, padding=1)
        stages: list[Sequence[nn.Module]] = [[first]]
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
        width, level = self.config.widths[-1], len(self.config.widths) - 1
        heads = self.config.heads_at(width)
        attention = Attention(width, heads, self.config.qkv_order, self.operations)
        return _Stage([self._label(width, width, level), attention, self._label(width, width, level)])

    def decoder(self, skips: list[int]) -> nn.ModuleList:
        config = self.config
        skips = list(skips)
        width = config.widths[-1]
        stages: list[Sequence[nn.Module]] = []
        for level in reversed(range(len(config.widths))):
            level_width, factor = config.widths[level], 2**level
            for block in range(config.res_blocks + 1):
                stage = [self._label(width + skips.pop(), level_width, level)]
                stage += self._attention(level_width, factor, decoder=True)
                width = level_width
                if level and block == config.res_blocks:
                    stage.append(self._doubling(width, level))
                stages.append(stage)
        return nn.ModuleList(_Stage(stage) for stage in stages)

    def _attention(self, width: int, factor: int, decoder: bool = False) -> list[nn.Module]:
        if factor not in self.config.attention:
            return []
        heads = self.config.heads_at(width, decoder)
        return [Attention(width, heads, self.config.qkv_order, self.operations)]

    def _plain(self, width: int, out: int, **resampling: bool) -> nn.Module:
        return ResidualBlock(width, self.embedding, out, **self._options(), **resampling)

    def _label(self, width: int, out: int, level: int, up: bool = False) -> nn.Module:
        """up: from this level to the one above, at which its second norm reads the layout."""
        config = self.config
        if config.conditioning == "concat":
            return self._plain(width, out, up=up)
        return LabelResidualBlock(
            width,
            self.embedding,
            out,
            config.label_channels_at(level),
            config.hidden,
            out_label_channels=config.label_channels_at(level - up),
            up=up,
            **self._options(),
        )

    def _halving(self, width: int) -> nn.Module:
        if self.config.resblock_updown:
            return self._plain(width, width, down=True)
        return Downsample(width, operations=self.operations)

    def _doubling(self, width: int, level: int) -> nn.Module:
        if self.config.resblock_updown:
            return self._label(width, width, level, up=True)
        return Upsample(width, operations=self.operations)

    def _options(self) -> dict[str, Any]:
        config = self.config
        return {
            "scale_shift_norm": config.scale_shift_norm,
            "dropout": config.dropout,
            "operations": self.operations,
        }
