"""The published networks: their flags and the shapes of their weights tell the same network, to the parameter."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from scdm.networks import UNet, UNetConfig
from scdm.networks.published import PUBLISHED, from_shapes
from tests.parity import cases, facts, network_of

SIZES = {"ade20k": 660_608_518, "celebamask_hq": 653_062_918}


def shapes_of(config: UNetConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        network = UNet(config)
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def parameters(config: UNetConfig) -> int:
    return sum(torch.Size(shape).numel() for shape in shapes_of(config).values())


def key_tables() -> Iterator[dict[str, Any]]:
    tables = cases("unet/checkpoint_keys_*")
    if not tables:
        pytest.skip("the golden numbers hold no tables of keys")
    for table in tables:
        entries = facts(f"unet/{table}")
        yield from entries.values() if isinstance(entries, dict) else entries


def test_flags_give_the_published_keys_and_shapes() -> None:
    for entry in key_tables():
        config = network_of(entry["config"])
        assert shapes_of(config) == {name: tuple(shape) for name, shape in entry["shapes"].items()}
        assert parameters(config) == entry["n_params"]


def test_shapes_give_back_the_network_of_the_key_tables() -> None:
    for entry in key_tables():
        config = network_of(entry["config"])
        heads = {name: getattr(config, name) for name in ("head_channels", "heads", "heads_up", "qkv_order")}
        found = from_shapes({name: tuple(shape) for name, shape in entry["shapes"].items()}, **heads)
        assert replace(found, num_classes=config.num_classes, edges=config.edges) == config


@pytest.mark.parametrize(("name", "size"), SIZES.items())
def test_published_networks_have_the_published_size(name: str, size: int) -> None:
    assert parameters(PUBLISHED[name]) == size


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_networks_have_the_classes_that_are_painted(name: str) -> None:
    channels = {"ade20k": 151, "coco_stuff": 184, "celebamask_hq": 20, "cityscapes": 36, "landscapes": 16}
    assert PUBLISHED[name].label_channels == channels[name]


SMALL = UNetConfig(
    num_classes=3, channels=32, channel_mult=(1,), res_blocks=1, attention=(), head_channels=32, hidden=4
)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, channel_mult=(1, 2, 3), attention=(1, 4), res_blocks=3),
        replace(SMALL, channels=64, channel_mult=(0.5, 1)),
        replace(SMALL, channel_mult=(2, 1), attention=(2,), resblock_updown=False),
        replace(SMALL, channel_mult=(1, 1), scale_shift_norm=False, learn_sigma=False),
    ],
)
def test_shapes_tell_all_but_the_heads(config: UNetConfig) -> None:
    assert from_shapes(shapes_of(config), head_channels=32) == config


def test_weights_of_patches_are_refused_with_the_reason() -> None:
    with pytest.raises(ValueError, match=r"read 48 channels, as a network of patches does.*Give the model file"):
        from_shapes(shapes_of(replace(SMALL, patch=4)), head_channels=32)


def test_other_tables_of_tensors_are_no_network() -> None:
    shapes = shapes_of(SMALL)
    with pytest.raises(ValueError, match=r"there is no middle_block\.0\.in_norm"):
        from_shapes({"model.diffusion_model.out.2.weight": (4, 320, 3, 3)})
    with pytest.raises(ValueError, match=r"there is no out\.2\.weight"):
        from_shapes({name: shape for name, shape in shapes.items() if name != "out.2.weight"}, head_channels=32)
    with pytest.raises(ValueError, match=r"time_embed\.0\.weight has shape \(128,\)"):
        from_shapes({**shapes, "time_embed.0.weight": (128,)}, head_channels=32)


@pytest.mark.parametrize(
    "setting",
    [
        {"num_classes": 0},
        {"num_classes": 10**12},
        {"channels": 10**9},
        {"channels": -32},
        {"res_blocks": 10**6},
        {"channel_mult": ()},
        {"channel_mult": (1,) * 9},
        {"channel_mult": (float("inf"),)},
        {"channel_mult": (float("nan"),)},
        {"channel_mult": (1000,)},
        {"hidden": 0},
        {"heads": 0},
        {"heads_up": 0},
        {"heads_up": 1025},
        {"dropout": 1.0},
        {"head_channels": 0},
        {"head_channels": 64},
    ],
)
def test_absurd_networks_are_refused_in_words(setting: dict[str, Any]) -> None:
    (name,) = setting
    with pytest.raises(ValueError, match="channel_mult|a level's width" if name == "channel_mult" else name):
        replace(SMALL, **setting)
