"""The network's layers, one by one: the published outputs, and what must hold at every size."""

import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scdm.layouts.labels import LabelMap, instance_borders
from scdm.networks.layers import (
    SPADE,
    Attention,
    Condition,
    Downsample,
    LabelResidualBlock,
    ResidualBlock,
    Upsample,
    attend,
    timestep_embedding,
    upsample_conv,
)
from tests.parity import arrays, cases, deviation, facts, from_one_hot, tensors, weights

LAYERS = [name for name in cases("modules/*") if "out" in tensors(f"modules/{name}")]


def published(name: str) -> tuple[nn.Module, dict[str, Tensor], Tensor]:
    """The layer of a golden case with its weights; what goes in, and what comes out."""
    golden = facts(f"modules/{name}")
    layer = _build(set(tensors(f"modules/{name}")), golden["shapes"], golden["config"])
    shapes = {key: list(value.shape) for key, value in layer.state_dict().items()}
    assert shapes == golden["shapes"]
    state = weights(shapes, golden["weights"]["seed"], golden["weights"]["key_prefix"])
    layer.load_state_dict(state)
    for key, recorded in arrays(f"modules/{name}", "param").items():
        assert torch.equal(state[key], recorded.float()), key
    return layer.eval(), arrays(f"modules/{name}", "in"), arrays(f"modules/{name}")["out"]


def _build(given: set[str], shapes: dict[str, list[int]], config: dict[str, int]) -> nn.Module:
    channels, out = config.get("channels", 0), config.get("out_channels", config.get("channels", 0))
    kind = {"scale_shift_norm": bool(config.get("use_scale_shift_norm")), "up": bool(config.get("up"))}
    if "in.segmap" in given:
        return SPADE(config["norm_nc"], config["label_nc"], hidden=128)
    if "in.cond" in given:
        return LabelResidualBlock(channels, config["emb_channels"], out, config["c_channels"], hidden=128, **kind)
    if "in.emb" in given:
        return ResidualBlock(channels, config["emb_channels"], out, down=bool(config.get("down")), **kind)
    if "op.weight" in shapes:
        return Downsample(channels, out)
    if "conv.weight" in shapes:
        return Upsample(channels, out)
    of_a_head = config.get("num_head_channels", -1)
    heads = config["num_heads"] if of_a_head == -1 else channels // of_a_head
    return Attention(channels, heads, qkv_order=str(config["order"]))


def condition(y: Tensor) -> Condition:
    return Condition(from_one_hot(y, y.shape[1]), torch.float32)


@pytest.mark.parametrize("name", LAYERS)
def test_layer_is_the_published_one(name: str) -> None:
    layer, given, out = published(name)
    conditions = [condition(given[key]) for key in ("segmap", "cond") if key in given]
    embeddings = [given["emb"]] if "emb" in given else []
    assert deviation(layer(given["x"], *embeddings, *conditions), out) <= 2e-5


@pytest.mark.parametrize("name", [name for name in tensors("modules/qkv_attention") if name.startswith("out_")])
def test_attention_orders_its_channels_as_published(name: str) -> None:
    golden = arrays("modules/qkv_attention")
    order, heads = re.fullmatch(r"out_(\w+)_h(\d+)", name).groups()  # type: ignore[union-attr]
    assert deviation(attend(golden[f"qkv_h{heads}"], int(heads), order), golden[name]) <= 2e-5


@pytest.mark.parametrize("name", [name for name in tensors("modules/timestep_embedding") if name.startswith("emb_")])
def test_timestep_embedding_is_the_published_one(name: str) -> None:
    golden = arrays("modules/timestep_embedding")
    kind, dim = re.fullmatch(r"emb_(\w+)_(\d+)", name).groups()  # type: ignore[union-attr]
    assert deviation(timestep_embedding(golden[f"t_{kind}"], int(dim)), golden[name]) <= 1e-4


# At every size


def spade_with_any_weights(edges: bool) -> SPADE:
    torch.manual_seed(0)
    return SPADE(32, 4 + edges, hidden=16).double()


@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (1, 9), (3, 3), (4, 3), (5, 8), (17, 31)])
def test_the_null_condition_is_the_layout_without_paint(size: tuple[int, int], edges: bool) -> None:
    """The short cut through nine vectors against the convolutions over the whole all-MASK map."""
    spade = spade_with_any_weights(edges)
    x = torch.randn(2, 32, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    ids = torch.randint(0, 4, (2, *size), generator=torch.Generator().manual_seed(2))
    labels = LabelMap(ids, 4, instance_borders(ids) if edges else None)
    everything = spade(x, Condition(labels.blank(), torch.float64))
    assert deviation(spade(x, None), everything) <= 1e-12
    assert deviation(spade(x, Condition(labels, torch.float64)), everything) > 1e-3


@pytest.mark.parametrize("size", [(1, 1), (2, 1), (3, 5), (8, 8)])
def test_a_layout_is_read_at_the_layers_own_size(size: tuple[int, int]) -> None:
    """Nearest neighbour, up or down, borders too: as if the layout had been painted small."""
    spade = spade_with_any_weights(edges=True)
    ids = torch.randint(0, 5, (2, 6, 7), generator=torch.Generator().manual_seed(0))
    labels = LabelMap(ids, 4, instance_borders(ids))
    x = torch.randn(2, 32, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    small = Condition(labels.resized(*size), torch.float64)
    assert torch.equal(spade(x, Condition(labels, torch.float64)), spade(x, small))


@pytest.mark.parametrize("size", [(1, 1), (1, 3), (2, 2), (5, 4), (7, 7)])
def test_doubling_is_nearest_neighbour_then_convolution(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 5, 3, padding=1).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    plain = conv(F.interpolate(x, scale_factor=2, mode="nearest"))
    assert deviation(upsample_conv(x, conv), plain) <= 1e-12


@pytest.mark.parametrize("size", [(2, 2), (2, 6), (4, 4)])
def test_an_untrained_block_changes_nothing(size: tuple[int, int]) -> None:
    x, embedding = torch.randn(2, 32, *size), torch.randn(2, 8)
    labels = LabelMap(torch.zeros(2, *size, dtype=torch.int64), 3)
    assert torch.equal(ResidualBlock(32, 8)(x, embedding), x)
    assert torch.equal(LabelResidualBlock(32, 8, 32, 3, 16)(x, embedding, Condition(labels, torch.float32)), x)
    assert torch.equal(Attention(32, 4)(x), x)
    assert deviation(ResidualBlock(32, 8, down=True)(x, embedding), F.avg_pool2d(x, 2)) == 0


def test_attention_treats_all_pixels_alike() -> None:
    """Pixels may be shuffled before or after: attention has no notion of place."""
    torch.manual_seed(0)
    attention = Attention(32, 4).double()
    nn.init.normal_(attention.proj_out.weight)
    x = torch.randn(1, 32, 3, 5, dtype=torch.float64)
    order = torch.randperm(15)
    shuffled = x.flatten(2)[:, :, order].view_as(x)
    assert deviation(attention(shuffled).flatten(2), attention(x).flatten(2)[:, :, order]) <= 1e-12


def test_heads_must_divide_the_channels() -> None:
    with pytest.raises(ValueError, match="32 channels cannot be divided among 5 attention heads"):
        Attention(32, 5)
