"""The networks of the published models, read from the shapes of their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..files.untrusted import shown
from .unet import UNetConfig

# Palette -> network of the released 256x256 models (Cityscapes: 256x512): SDM and SCDM, and sparse layouts' landscapes.
PUBLISHED = {
    "ade20k": UNetConfig(num_classes=151),
    "coco_stuff": UNetConfig(num_classes=183, edges=True),
    "celebamask_hq": UNetConfig(num_classes=19, edges=True),
    "cityscapes": UNetConfig(num_classes=35, edges=True),
    "landscapes": UNetConfig(num_classes=16, learn_sigma=False),
}


def from_shapes(shapes: Mapping[str, tuple[int, ...]], **unseen: Any) -> UNetConfig:
    """The network whose state dictionary has these shapes.

    unseen: settings that leave no trace in the shapes (`head_channels`, `heads`, `heads_up`, `qkv_order`, `dropout`).
    A border channel looks like one more class and is counted as one. ValueError if this is no network of SDM's kind;
    that all other tensors fit as well is for the caller to check.
    """
    first_norm = "middle_block.0.in_norm.mlp_shared.0.weight"
    hidden, num_classes = _shape(shapes, first_norm, 4)[:2]
    _require_pixels(shapes)
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
        learn_sigma=_shape(shapes, "out.2.weight", 4)[0] == 2 * UNetConfig.image_channels,
        **unseen,
    )


def _require_pixels(shapes: Mapping[str, tuple[int, ...]]) -> None:
    """ValueError for the weights of a network of patches: its settings cannot be told from shapes alone."""
    inputs, colours = _shape(shapes, "input_blocks.0.0.weight", 4)[1], UNetConfig.image_channels
    if inputs != colours:
        raise ValueError(
            f"these weights read {inputs} channels, as a network of patches does: published networks read the {colours} "
            "colours of single pixels, and only such are converted. Give the model file that scdm wrote"
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
