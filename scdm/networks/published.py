"""The networks of the published models, told by their command-line flags or by the shapes of their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ..outside import shown
from .unet import UNetConfig

# Palette -> network of the released 256x256 models (Cityscapes: 256x512): SDM and SCDM, and sparse layouts' landscapes.
PUBLISHED = {
    "ade20k": UNetConfig(num_classes=151),
    "coco_stuff": UNetConfig(num_classes=183, edges=True),
    "celebamask_hq": UNetConfig(num_classes=19, edges=True),
    "cityscapes": UNetConfig(num_classes=35, edges=True),
    "landscapes": UNetConfig(num_classes=16, learn_sigma=False),
}

# image_size -> channel_mult where the flag is left empty
CHANNEL_MULT = {
    64: (1, 2, 3, 4),
    128: (1, 1, 2, 3, 4),
    256: (1, 1, 2, 2, 4, 4),
    512: (0.5, 1, 1, 2, 2, 4, 4),
}
# Flags that may be left out. The others have no default that all releases share.
DEFAULTS = {
    "channel_mult": "",
    "num_heads": 4,
    "num_head_channels": -1,
    "num_heads_upsample": -1,
    "use_new_attention_order": False,
    "dropout": 0.0,
}


def from_flags(flags: Mapping[str, Any]) -> UNetConfig:
    """The network that the published programs build from their command-line flags, given as values or as text.

    `attention_resolutions` are sides of the feature maps of an image of `image_size`, -1 stands for "not given". Flags
    that do not shape the network are ignored. ValueError for one that is missing or cannot be understood.
    """
    read = partial(_read, {**DEFAULTS, **flags})
    image_size = read("image_size", int)
    mult = read("channel_mult", _numbers) or CHANNEL_MULT.get(image_size)
    if mult is None:
        raise ValueError(f"flag channel_mult is empty, and image_size {image_size} has no default for it")
    head_channels, heads_up = read("num_head_channels", int), read("num_heads_upsample", int)
    return UNetConfig(
        num_classes=read("num_classes", int),
        edges=not read("no_instance", _boolean),
        channels=read("num_channels", int),
        channel_mult=mult,
        res_blocks=read("num_res_blocks", int),
        attention=tuple(sorted(image_size // max(1, int(side)) for side in read("attention_resolutions", _numbers))),
        head_channels=None if head_channels == -1 else head_channels,
        heads=read("num_heads", int),
        heads_up=None if heads_up == -1 else heads_up,
        qkv_order="qkv_major" if read("use_new_attention_order", _boolean) else "head_major",
        scale_shift_norm=read("use_scale_shift_norm", _boolean),
        resblock_updown=read("resblock_updown", _boolean),
        dropout=read("dropout", float),
        learn_sigma=read("learn_sigma", _boolean),
    )


def from_shapes(shapes: Mapping[str, tuple[int, ...]], **unseen: Any) -> UNetConfig:
    """The network whose state dictionary has these shapes.

    unseen: settings that leave no trace in the shapes (`head_channels`, `heads`, `heads_up`, `qkv_order`, `dropout`).
    A border channel looks like one more class and is counted as one. ValueError if this is no network of SDM's kind;
    that all other tensors fit as well is for the caller to check.
    """
    first_norm = "middle_block.0.in_norm.mlp_shared.0.weight"
    hidden, num_classes = _shape(shapes, first_norm, 4)[:2]
    channels = _shape(shapes, "time_embed.0.weight", 2)[1]
    # Every level but the last to run ends its decoder blocks by doubling. (The encoder's halving blocks are no help: with
    # resblock_updown they look like any residual block.)
    doubling = {name.split(".")[1]: name for name in shapes if _doubles(name)}
    levels = len(doubling) + 1
    blocks = len({name.split(".")[1] for name in shapes if name.startswith("output_blocks.")})
    res_blocks = blocks // levels - 1
    starts = [1 + level * (res_blocks + 1) for level in range(levels)]  # input_blocks.N that begins each level
    widths = [_shape(shapes, f"input_blocks.{start}.0.in_layers.2.weight", 4)[0] for start in starts]
    return UNetConfig(
        num_classes=num_classes,
        channels=channels,
        channel_mult=tuple(width // channels if width % channels == 0 else width / channels for width in widths),
        res_blocks=res_blocks,
        attention=tuple(2**level for level, n in enumerate(starts) if f"input_blocks.{n}.1.qkv.weight" in shapes),
        scale_shift_norm=_shape(shapes, "input_blocks.1.0.emb_layers.1.weight", 2)[0] == 2 * widths[0],
        resblock_updown=not any(name.endswith(".conv.weight") for name in doubling.values()),
        hidden=hidden,
        learn_sigma=_shape(shapes, "out.2.weight", 4)[0] == 6,
        **unseen,
    )


def _doubles(name: str) -> bool:
    """Whether this is the first weight of a doubling block: it comes after the residual block 0 and attention."""
    part, _, place, *rest = [*name.split("."), "", "", ""][:6]
    return part == "output_blocks" and place != "0" and rest[:2] in (["in_layers", "1"], ["conv", "weight"])


def _shape(shapes: Mapping[str, tuple[int, ...]], name: str, rank: int) -> tuple[int, ...]:
    shape = shapes.get(name)
    if shape is None:
        raise ValueError(f"these are not the weights of a network of SDM's kind: there is no {name}")
    if len(shape) != rank or 0 in shape:
        raise ValueError(f"these are not the weights of a network of SDM's kind: {name} has shape {shown(shape)}")
    return shape


def _read(flags: Mapping[str, Any], name: str, kind: Callable[[Any], Any]) -> Any:
    if name not in flags:
        raise ValueError(f"flag {name} is missing")
    try:
        return kind(flags[name])
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"flag {name} cannot be {shown(flags[name])}") from None


def _numbers(text: Any) -> tuple[float, ...]:
    return tuple(float(part) for part in str(text).split(",") if part.strip())


def _boolean(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise ValueError(f"{value!r} is neither true nor false")
    return str(value).lower() == "true"
