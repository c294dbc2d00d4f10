"""The network: the published outputs and gradients; one encoder for all layouts; errors that help."""

import copy

import pytest
import torch
from torch import Tensor

from scdm.labels import LabelMap
from scdm.networks import UNet, UNetConfig
from tests.parity import arrays, deviation, facts, layout, unet

CASES = ["tiny_a", "tiny_b", "small_c", "small_d", "mid_e"]
TINY = ["tiny_a", "tiny_b"]


def published(case: str) -> tuple[UNet, dict[str, Tensor], LabelMap]:
    network, golden = unet(f"unet/{case}"), arrays(f"unet/{case}_io")
    return network, golden, layout(golden, network.config.num_classes)


def relative_l2(actual: Tensor, expected: Tensor) -> float:
    return ((actual.double() - expected.double()).norm() / expected.double().norm()).item()


@pytest.mark.parametrize("case", CASES)
def test_output_is_the_published_one(case: str) -> None:
    network, golden, labels = published(case)
    with torch.no_grad():
        out = network(golden["x"], golden["t"], labels)
    assert deviation(out, golden["out"]) <= 5e-5


@pytest.mark.parametrize("case", TINY)
def test_null_branch_is_the_published_one(case: str) -> None:
    """Both ways to ask for it: no layout at all, and the layout without paint."""
    network, golden, labels = published(case)
    with torch.no_grad():
        assert deviation(network(golden["x"], golden["t"], None), golden["out_null"]) <= 5e-5
        assert deviation(network(golden["x"], golden["t"], labels.blank()), golden["out_null"]) <= 5e-5


def test_fractional_steps_are_used_as_they_are() -> None:
    network, golden, labels = published("tiny_a")
    with torch.no_grad():
        out = network(golden["x"], golden["t_float"], labels)
    assert deviation(out, golden["out_t_float"]) <= 5e-5


@pytest.mark.parametrize("case", CASES)
def test_rounding_alone_sets_us_apart(case: str) -> None:
    """In double precision we meet the published double-precision output.

    To 1e-14 where the sinusoids of t agree to the last bit. They are float32 in both, and another processor's exp can
    move them by up to 6e-5, which moves these outputs by up to 5e-6.
    """
    network, golden, labels = published(case)
    if "out_f64" not in golden:
        pytest.skip(f"the compact copy of {case} has no double-precision output")
    network = copy.deepcopy(network).double()
    network.time_embed.register_forward_pre_hook(lambda _, inputs: inputs[0].double())
    with torch.no_grad():
        out = network(golden["x"].double(), golden["t"], labels)
    assert deviation(out, golden["out_f64"]) <= 5e-6


def test_gradients_are_the_published_ones() -> None:
    network, golden, labels = published("tiny_a")
    network = copy.deepcopy(network)
    x = golden["x"].requires_grad_()
    (network(x, golden["t"], labels) * golden["grad_out"]).sum().backward()

    assert x.grad is not None and relative_l2(x.grad, golden["grad_x"]) <= 1e-4
    norms = {name: p.grad.double().norm().item() for name, p in network.named_parameters() if p.grad is not None}
    expected = facts("unet/tiny_a")["param_grad_l2"]
    assert norms.keys() == expected.keys()
    for name, norm in expected.items():
        # Norms below 1e-3 are rounding noise around a true gradient of 0: a following norm cancels the parameter.
        assert norms[name] == pytest.approx(norm, rel=1e-4, abs=1e-3 if norm < 1e-3 else 0), name


@pytest.mark.parametrize("case", CASES)
def test_weights_are_named_shaped_and_made_as_published(case: str) -> None:
    state, golden = unet(f"unet/{case}").state_dict(), facts(f"unet/{case}")
    assert {name: list(value.shape) for name, value in state.items()} == golden["shapes"]
    check = golden["weights"]
    assert (len(state), sum(v.numel() for v in state.values())) == (check["n_tensors"], check["n_params"])
    assert sum(v.double().sum().item() for v in state.values()) == pytest.approx(check["sum"], abs=1e-6)
    assert sum(v.double().abs().sum().item() for v in state.values()) == pytest.approx(check["abs_sum"], rel=1e-12)


@pytest.mark.large
def test_published_ade20k_network_at_256() -> None:
    """All 660,608,518 parameters, one 256x256 image. Its tolerance is four times the small networks'."""
    network, golden, labels = published("full_ade20k_256")
    unet.cache_clear()  # 2.6 GB that no other test needs
    assert sum(parameter.numel() for parameter in network.parameters()) == 660_608_518
    with torch.no_grad():
        out = network(golden["x"], golden["t"], labels)
    assert deviation(out, golden["out"]) <= 2e-4


@pytest.mark.parametrize("case", TINY)
def test_one_encoding_serves_every_layout(case: str) -> None:
    """Both branches of guidance, decoded from the same features, are the plain forwards to the bit."""
    network, golden, labels = published(case)
    with torch.no_grad():
        features = network.encode(golden["x"], golden["t"])
        assert torch.equal(network.decode(features, labels), network(golden["x"], golden["t"], labels))
        assert torch.equal(network.decode(features, None), network(golden["x"], golden["t"], None))
        assert torch.equal(network.decode(features, labels), network(golden["x"], golden["t"], labels))


def test_images_of_a_batch_do_not_meet() -> None:
    network, golden, labels = published("tiny_b")
    with torch.no_grad():
        alone = network(golden["x"][1:], golden["t"][1:], labels[1:])
    assert deviation(alone, golden["out"][1:]) <= 5e-5


def test_sizes_that_cannot_be_halved_are_refused() -> None:
    network, golden, _ = published("small_c")
    with pytest.raises(ValueError, match="multiples of 8, not 64x60: pad or resize"):
        network.encode(golden["x"][:, :, :60], golden["t"])


def test_layouts_of_another_palette_are_refused() -> None:
    network, golden, labels = published("tiny_a")
    features = network.encode(golden["x"], golden["t"])
    with pytest.raises(ValueError, match="the layout has 8 classes, the model expects 7: choose the palette"):
        network.decode(features, LabelMap(labels.ids, 8))


def test_borders_are_asked_for_and_refused() -> None:
    with_borders, golden, labels = published("tiny_b")
    features = with_borders.encode(golden["x"], golden["t"])
    with pytest.raises(ValueError, match="the model needs a layout with instance borders"):
        with_borders.decode(features, LabelMap(labels.ids, 19))

    without, golden, labels = published("tiny_a")
    features = without.encode(golden["x"], golden["t"])
    edges = torch.zeros_like(labels.ids, dtype=torch.bool)[:, None]
    with pytest.raises(ValueError, match="the model takes no instance borders"):
        without.decode(features, LabelMap(labels.ids, 7, edges))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"num_classes": 0}, "num_classes must be from 1"),
        ({"res_blocks": 0}, "res_blocks must be from 1"),
        ({"channel_mult": ()}, "one for each level"),
        ({"channels": 48}, "multiple of 32, the number of norm groups"),
        ({"channels": 32, "channel_mult": (0.5, 1)}, "multiple of 32.*got 16"),
        ({"channels": 32, "channel_mult": (1, 1)}, "heads of 64 channels do not fill a level of 32"),
        ({"qkv_order": "vqk"}, "'head_major' or 'qkv_major', not 'vqk'"),
    ],
)
def test_impossible_configurations_are_refused(wrong: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        UNetConfig(**{"num_classes": 3, **wrong})


def test_an_untrained_network_predicts_nothing() -> None:
    network = UNet(UNetConfig(3, channels=32, channel_mult=(1, 2), res_blocks=1, attention=(2,), head_channels=32))
    labels = LabelMap(torch.zeros(1, 8, 8, dtype=torch.int64), 3)
    assert network(torch.randn(1, 3, 8, 8), torch.tensor([5]), labels).abs().max() == 0
