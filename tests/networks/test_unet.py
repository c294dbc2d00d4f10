"""The network: the published outputs and gradients; one encoder for all layouts; errors that help."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from scdm.files import config as configuration
from scdm.layouts.labels import LabelMap, instance_borders
from scdm.networks import UNet, UNetConfig
from tests.parity import arrays, cases, deviation, facts, layout, recipe, tensors, unet

LARGE = "full_"  # begins the names of whole published networks
CASES = [name.removesuffix("_io") for name in cases("unet/*_io")]
SMALL = [name for name in CASES if not name.startswith(LARGE)]


def with_array(key: str) -> list[str]:
    return [name for name in SMALL if key in tensors(f"unet/{name}_io")]


def published(case: str) -> tuple[UNet, dict[str, Tensor], LabelMap]:
    network, golden = unet(f"unet/{case}"), arrays(f"unet/{case}_io")
    return network, golden, layout(golden, network.config.num_classes)


def relative_l2(actual: Tensor, expected: Tensor) -> float:
    return ((actual.double() - expected.double()).norm() / expected.double().norm()).item()


@pytest.mark.parametrize("case", SMALL)
def test_output_is_the_published_one(case: str) -> None:
    network, golden, labels = published(case)
    with torch.no_grad():
        out = network(golden["x"], golden["t"], labels)
    assert deviation(out, golden["out"]) <= 5e-5
    if "y" in golden:
        assert torch.equal(labels.one_hot(torch.uint8), golden["y"])


@pytest.mark.parametrize("case", with_array("out_null"))
def test_null_branch_is_the_published_one(case: str) -> None:
    """Both ways to ask for it: no layout at all, and the layout without paint."""
    network, golden, labels = published(case)
    with torch.no_grad():
        assert deviation(network(golden["x"], golden["t"], None), golden["out_null"]) <= 5e-5
        assert deviation(network(golden["x"], golden["t"], labels.blank()), golden["out_null"]) <= 5e-5


@pytest.mark.parametrize("case", with_array("t_float"))
def test_fractional_steps_are_used_as_they_are(case: str) -> None:
    network, golden, labels = published(case)
    with torch.no_grad():
        out = network(golden["x"], golden["t_float"], labels)
    assert deviation(out, golden["out_t_float"]) <= 5e-5


@pytest.mark.parametrize("case", with_array("out_f64"))
def test_rounding_alone_sets_us_apart(case: str) -> None:
    """In double precision we meet the published double-precision output.

    To 1e-14 where the sinusoids of t agree to the last bit. They are float32 in both, and another processor's exp can
    move them by up to 6e-5, which moves these outputs by up to 5e-6.
    """
    network, golden, labels = published(case)
    network = copy.deepcopy(network).double()
    network.time_embed.register_forward_pre_hook(lambda _, inputs: inputs[0].double())
    with torch.no_grad():
        out = network(golden["x"].double(), golden["t"], labels)
    assert deviation(out, golden["out_f64"]) <= 5e-6


@pytest.mark.parametrize("case", with_array("grad_x"))
def test_gradients_are_the_published_ones(case: str) -> None:
    network, golden, labels = published(case)
    network = copy.deepcopy(network)
    x = golden["x"].requires_grad_()
    (network(x, golden["t"], labels) * golden["grad_out"]).sum().backward()

    assert x.grad is not None and relative_l2(x.grad, golden["grad_x"]) <= 1e-4
    norms = {name: p.grad.double().norm().item() for name, p in network.named_parameters() if p.grad is not None}
    expected = facts(f"unet/{case}")["param_grad_l2"]
    assert norms.keys() == expected.keys()
    for name, norm in expected.items():
        # Norms below 1e-3 are rounding noise around a true gradient of 0: a following norm cancels the parameter.
        assert norms[name] == pytest.approx(norm, rel=1e-4, abs=1e-3 if norm < 1e-3 else 0), name


@pytest.mark.parametrize("case", SMALL)
def test_weights_are_named_shaped_and_made_as_published(case: str) -> None:
    state, golden = unet(f"unet/{case}").state_dict(), facts(f"unet/{case}")
    assert {name: list(value.shape) for name, value in state.items()} == golden["shapes"]
    check = golden["weights"]
    assert (len(state), sum(v.numel() for v in state.values())) == (check["n_tensors"], check["n_params"])
    assert sum(v.double().sum().item() for v in state.values()) == pytest.approx(check["sum"], abs=1e-6)
    assert sum(v.double().abs().sum().item() for v in state.values()) == pytest.approx(check["abs_sum"], rel=1e-12)


@pytest.mark.parametrize("name", cases("unet/*_weights"))
def test_recorded_weights_are_those_of_the_recipe(name: str) -> None:
    seed = facts(f"unet/{name.removesuffix('_weights')}")["weights"]["seed"]
    for key, recorded in arrays(f"unet/{name}").items():
        assert torch.equal(recipe(key, list(recorded.shape), seed), recorded.float()), key


@pytest.mark.large
@pytest.mark.parametrize("case", [name for name in CASES if name.startswith(LARGE)])
def test_whole_published_networks_give_the_published_output(case: str) -> None:
    """660,608,518 parameters in the recorded one, and one 256x256 image. Four times the small networks' tolerance."""
    network, golden, labels = published(case)
    unet.cache_clear()  # 2.6 GB that no other test needs
    check = facts(f"unet/{case}")["weights"]
    assert sum(parameter.numel() for parameter in network.parameters()) == check["n_params"]
    with torch.no_grad():
        out = network(golden["x"], golden["t"], labels)
    assert deviation(out, golden["out"]) <= 2e-4


# Of any network


def tiny(edges: bool = False) -> tuple[UNet, Tensor, Tensor, LabelMap]:
    """A network of three levels and random weights, and what it takes: x, t, labels of 7 classes."""
    generator = torch.Generator().manual_seed(0)
    network = UNet(UNetConfig(7, edges, 32, (1, 1, 2), res_blocks=1, attention=(4,), head_channels=32, hidden=16))
    for parameter in network.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    ids = torch.randint(0, 8, (2, 16, 24), generator=generator)
    x = torch.randn(2, 3, 16, 24, generator=generator)
    return network.eval(), x, torch.tensor([3, 900]), LabelMap(ids, 7, instance_borders(ids) if edges else None)


@pytest.mark.parametrize("edges", [False, True])
def test_one_encoding_serves_every_layout(edges: bool) -> None:
    """Both branches of guidance, decoded from the same features, are the plain forwards to the bit."""
    network, x, t, labels = tiny(edges)
    with torch.no_grad():
        features = network.encode(x, t)
        assert torch.equal(network.decode(features, labels), network(x, t, labels))
        assert torch.equal(network.decode(features, None), network(x, t, None))
        assert torch.equal(network.decode(features, labels), network(x, t, labels))
        assert deviation(network(x, t, None), network(x, t, labels)) > 1e-2


def test_images_of_a_batch_do_not_meet() -> None:
    network, x, t, labels = tiny(edges=True)
    with torch.no_grad():
        assert relative_l2(network(x[1:], t[1:], labels[1:]), network(x, t, labels)[1:]) <= 1e-5


def test_sizes_that_cannot_be_halved_are_refused() -> None:
    network, x, t, _ = tiny()
    with pytest.raises(ValueError, match="multiples of 4, not 24x14: pad or resize"):
        network.encode(x[:, :, :14], t)


def test_layouts_of_another_palette_are_refused() -> None:
    network, x, t, labels = tiny()
    with pytest.raises(ValueError, match="the layout has 8 classes, the model expects 7: choose the palette"):
        network.decode(network.encode(x, t), LabelMap(labels.ids, 8))


def test_borders_are_asked_for_and_refused() -> None:
    network, x, t, labels = tiny(edges=True)
    with pytest.raises(ValueError, match="the model needs a layout with instance borders"):
        network.decode(network.encode(x, t), LabelMap(labels.ids, 7))
    network, x, t, _ = tiny()
    with pytest.raises(ValueError, match="the model takes no instance borders"):
        network.decode(network.encode(x, t), labels)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"num_classes": 0}, "num_classes must be a whole number from 1"),
        ({"res_blocks": 0}, "res_blocks must be a whole number from 1"),
        ({"channel_mult": ()}, "one for each level"),
        ({"channels": 48}, "multiple of 32, the number of norm groups"),
        ({"channels": 32, "channel_mult": (0.5, 1)}, "multiple of 32.*got 16"),
        ({"channels": 32, "channel_mult": (1, 1)}, "heads of 64 channels do not fill a level of 32"),
        ({"qkv_order": "vqk"}, "head_major or qkv_major, not 'vqk'"),
    ],
)
def test_impossible_configurations_are_refused(wrong: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        UNetConfig(**{"num_classes": 3, **wrong})


def test_an_untrained_network_predicts_nothing() -> None:
    network = UNet(UNetConfig(3, channels=32, channel_mult=(1, 2), res_blocks=1, attention=(2,), head_channels=32))
    labels = LabelMap(torch.zeros(1, 8, 8, dtype=torch.int64), 3)
    assert network(torch.randn(1, 3, 8, 8), torch.tensor([5]), labels).abs().max() == 0


# Of patches, and of what the network is given beside the layout

PATCHED = {"channels": 32, "channel_mult": (1, 2), "res_blocks": 1, "attention": (2,), "head_channels": 32, "hidden": 8}


def patched(patch: int, trained: bool = True, **settings: object) -> UNet:
    """A network of random weights; untrained, but for its last layer, where `trained` is false."""
    generator = torch.Generator().manual_seed(0)
    network = UNet(UNetConfig(**{"num_classes": 5, "patch": patch, **PATCHED, **settings}))  # type: ignore[arg-type]
    for name, parameter in network.named_parameters():
        if trained or name.startswith("out."):
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


def given(network: UNet, height: int = 32, width: int = 48) -> tuple[Tensor, Tensor, LabelMap]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 6, (2, height, width), generator=generator)
    edges = instance_borders(ids) if network.config.edges else None
    x = torch.randn(2, 3, height, width, generator=generator)
    return x, torch.tensor([3, 900]), LabelMap(ids, 5, edges)


BORDERS = [{}, {"layout_width": 8}, {"head": 4}, {"layout_width": 8, "head": 4, "edges": True}]


@pytest.mark.parametrize("patch", [1, 2, 4, 8])
@pytest.mark.parametrize("borders", BORDERS)
@pytest.mark.parametrize("learn_sigma", [False, True])
def test_patches_come_in_and_go_out_as_pixels(patch: int, borders: dict, learn_sigma: bool) -> None:
    network = patched(patch, learn_sigma=learn_sigma, **(borders if patch > 1 else {}))
    x, t, labels = given(network)
    with torch.no_grad():
        features = network.encode(x, t)
        assert features.skips[0].shape == (2, 32, 32 // patch, 48 // patch)
        seen, null = network(x, t, labels), network(x, t, None)
        assert seen.shape == (2, 6 if learn_sigma else 3, 32, 48)
        assert torch.equal(network.decode(features, labels), seen)
        assert torch.equal(network.decode(features, None), null)
        assert deviation(null, network(x, t, labels.blank())) <= 1e-4
        assert deviation(null, seen) > 1e-2


@pytest.mark.parametrize("resblock_updown", [False, True])
@pytest.mark.parametrize(("borders", "reads"), [({}, False), ({"layout_width": 8}, True), ({"head": 4}, True)])
def test_borders_are_read_at_their_pixels(borders: dict, reads: bool, resblock_updown: bool) -> None:
    """A label that changes within a patch, beside the pixel that stands for the patch, is seen with either candidate."""
    network = patched(4, resblock_updown=resblock_updown, **borders)
    x, t, labels = given(network)
    ids = labels.ids.clone()
    ids[:, 2, 3] = (ids[:, 2, 3] + 1) % 6
    with torch.no_grad():
        changed = not torch.equal(network(x, t, labels), network(x, t, LabelMap(ids, 5)))
    assert changed == reads


CONCATENATED = [{}, {"edges": True}, {"patch": 4}, {"patch": 2, "layout_width": 8, "head": 4, "roughness": True}]


@pytest.mark.parametrize("settings", CONCATENATED)
@pytest.mark.parametrize("resblock_updown", [False, True])
def test_a_layout_may_be_concatenated_to_the_image(settings: dict, resblock_updown: bool) -> None:
    """No normalisation reads it; no layout is the blank one; one encoding serves any layout, as everywhere."""
    own = {"patch": 1, "resblock_updown": resblock_updown, "conditioning": "concat", **settings}
    network = patched(**own)
    assert not [name for name, _ in network.named_modules() if name.endswith("_norm")]
    x, t, labels = given(network)
    with torch.no_grad():
        features = network.encode(x, t)
        seen, null = network(x, t, labels), network(x, t, None)
        assert torch.equal(network.decode(features, labels), seen) and torch.equal(network.decode(features, None), null)
        assert deviation(null, network(x, t, labels.blank())) <= 1e-4 and deviation(null, seen) > 1e-2
        coarse = copy.deepcopy(network).cast(torch.bfloat16)(x, t, labels)
    assert coarse.dtype == torch.float32 and relative_l2(coarse, seen) <= 0.05


def test_a_layout_concatenated_to_patches_is_read_as_it_would_be_by_normalisations() -> None:
    for borders, cell in (({}, 4), ({"layout_width": 8}, 1)):
        network = patched(4, conditioning="concat", **borders)
        x, t, labels = given(network)
        ids = labels.ids.clone()
        ids[:, 2, 3] = (ids[:, 2, 3] + 1) % 6
        with torch.no_grad():
            changed = not torch.equal(network(x, t, labels), network(x, t, LabelMap(ids, 5)))
        assert network.config.label_cell == cell and changed == (cell == 1)


def test_a_patch_is_a_stride() -> None:
    network = patched(8)
    assert network.config.stride == 16
    with pytest.raises(ValueError, match="multiples of 16, not 24x32"):
        network.encode(torch.zeros(1, 3, 32, 24), torch.tensor([0]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_patched_networks_compute_in_half_precision(dtype: torch.dtype) -> None:
    network = patched(4, layout_width=8, head=4, sized=True, roughness=True)
    x, t, labels = given(network)
    labels = replace(labels, roughness=torch.tensor([0.3, torch.nan]))
    with torch.no_grad():
        exact = network(x, t, labels, 512)
        coarse = copy.deepcopy(network).cast(dtype)(x, t, labels, 512)
    assert coarse.dtype == torch.float32 and relative_l2(coarse, exact) <= 0.05


@pytest.mark.parametrize("settings", [{}, {"sized": True}])
def test_the_height_of_the_whole_tells_a_window_from_an_image(settings: dict) -> None:
    network = patched(2, **settings)
    x, t, labels = given(network)
    with torch.no_grad():
        whole, window = network(x, t, labels), network(x, t, labels, 512)
        assert torch.equal(whole, network(x, t, labels, 32))  # its own, where none is given
    assert torch.equal(whole, window) == (not settings)


@pytest.mark.parametrize("settings", [{}, {"roughness": True}])
def test_roughness_is_read_and_may_be_unknown(settings: dict) -> None:
    network = patched(2, **settings)
    x, t, labels = given(network)
    with torch.no_grad():
        unknown = network(x, t, labels)
        exact, rough, partly = (
            network(x, t, replace(labels, roughness=torch.tensor(values)))
            for values in ([0.0, 0.0], [0.8, 0.8], [0.8, torch.nan])
        )
        assert torch.equal(network(x, t, None), network.decode(network.encode(x, t), None))
    assert deviation(partly[1:], unknown[1:]) <= 1e-6
    assert torch.equal(rough, unknown) == torch.equal(exact, rough) == (not settings)
    assert torch.equal(partly[:1], unknown[:1]) == (not settings)


def test_height_and_roughness_have_no_influence_at_first() -> None:
    network = patched(2, trained=False, sized=True, roughness=True)
    x, t, labels = given(network)
    with torch.no_grad():
        plain = network(x, t, labels)
        assert torch.equal(plain, network(x, t, replace(labels, roughness=torch.ones(2)), 512))
    assert plain.abs().max() > 0


def test_settings_of_patches_leave_older_configurations_as_they_are() -> None:
    """Files and digests of networks without them say nothing of them."""
    new = {"patch", "layout_width", "head", "sized", "roughness", "conditioning"}
    assert not new & configuration.to_dict(UNetConfig(3)).keys()
    assert configuration.non_defaults(UNetConfig(3)).keys() == configuration.non_defaults(UNetConfig(3, patch=1)).keys()


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"patch": 3}, "patch must be 1, 2, 4 or 8, not 3"),
        ({"patch": 0}, "patch must be 1, 2, 4 or 8, not 0"),
        ({"patch": "4"}, "patch must be 1, 2, 4 or 8, not '4'"),
        ({"layout_width": 16}, "leave both at 0, or set patch to 2, 4 or 8"),
        ({"head": 16}, "leave both at 0, or set patch to 2, 4 or 8"),
        ({"patch": 2, "layout_width": -1}, "layout_width must be a whole number from 0 to 8192"),
        ({"sized": 1}, "sized must be"),
        ({"conditioning": "film"}, "conditioning must be spade or concat, not 'film'"),
        ({"roughness": "yes"}, "roughness must be"),
    ],
)
def test_impossible_patches_are_refused(wrong: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        UNetConfig(**{"num_classes": 3, **wrong})
