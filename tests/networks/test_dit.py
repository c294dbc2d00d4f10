"""The transformer: a layout by its patches, any size, and the whole way from training to an image."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from scdm.diffusion.guidance import guided_step
from scdm.editing.window import windowed
from scdm.files import config as configuration
from scdm.layouts.labels import LabelMap, instance_borders
from scdm.layouts.palette import Palette
from scdm.models import checkpoint
from scdm.models.model import Model, ModelConfig
from scdm.networks import Network, NetworkConfig, build
from scdm.networks.dit import DiTConfig, area_shares, positions
from scdm.pipeline import GenerateOptions, generate
from tests.weights import randomize

CONFIG = DiTConfig(7, patch=4, width=32, depth=2, heads=2)


def network_of(config: DiTConfig = CONFIG) -> Network:
    """With random weights."""
    network = build(config)
    randomize(network)
    return network.eval().requires_grad_(False)


def inputs(edges: bool = False, height: int = 16, width: int = 24) -> tuple[Tensor, Tensor, LabelMap]:
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(0, 8, (2, height, width), generator=generator)
    x = torch.randn(2, 3, height, width, generator=generator)
    return x, torch.tensor([3, 900]), LabelMap(ids, 7, instance_borders(ids) if edges else None)


def model_of(config: DiTConfig = CONFIG) -> Model:
    palette = Palette("paints", tuple(f"class {i}" for i in range(config.num_classes)), (None,) * config.num_classes)
    meaning = ModelConfig(config, (16, 16), prediction="v", label_diffusion="uniform")
    return replace(Model.new(meaning, palette), network=network_of(config))


@pytest.mark.parametrize("edges", [False, True])
@pytest.mark.parametrize("learn_sigma", [False, True])
def test_one_encoding_serves_every_layout(edges: bool, learn_sigma: bool) -> None:
    network = network_of(replace(CONFIG, edges=edges, learn_sigma=learn_sigma))
    x, t, labels = inputs(edges)
    features = network.encode(x, t)
    seen, null = network.decode(features, labels), network.decode(features, None)
    assert seen.shape == (2, 6 if learn_sigma else 3, 16, 24)
    assert torch.equal(seen, network(x, t, labels)) and (seen - null).abs().max() > 1e-2
    torch.testing.assert_close(null, network.decode(features, labels.blank()))


def test_an_untrained_network_predicts_nothing() -> None:
    network = build(CONFIG)
    assert network(*inputs()).abs().max() == 0
    h, embedding = torch.randn(1, 5, 32), torch.randn(1, 32)
    assert all(torch.equal(block(h, embedding), h) for block in network.blocks())


def test_a_token_reads_the_shares_of_its_patch() -> None:
    ids = torch.tensor([[0, 0, 2, 2], [0, 1, 2, 2]])[None]
    borders = instance_borders(ids)
    shares = area_shares(LabelMap(ids, 2, borders), 2)
    # (class 0, class 1, MASK, border) of the left patch and of the right one
    assert torch.equal(shares[0, 0], torch.tensor([[0.75, 0.25, 0, 0.75], [0, 0, 1, 0.5]]))
    assert area_shares(LabelMap(ids, 2), 2).shape == (1, 1, 2, 3)


def test_positions_differ_and_do_not_depend_on_the_size() -> None:
    small, large = positions(2, 3, 16, torch.device("cpu")), positions(5, 7, 16, torch.device("cpu"))
    assert torch.equal(small, large[:2, :3])
    assert len(large.view(-1, 16).unique(dim=0)) == 35


def test_sizes_and_layouts_that_do_not_fit_are_refused() -> None:
    network, (x, t, labels) = network_of(), inputs()
    with pytest.raises(ValueError, match="multiples of 4, not 24x14"):
        network.encode(x[:, :, :14], t)
    with pytest.raises(ValueError, match="the layout has 8 classes, the model expects 7"):
        network(x, t, LabelMap(labels.ids, 8))
    with pytest.raises(ValueError, match="takes no instance borders"):
        network(*inputs(edges=True))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"patch": 0}, "patch must be a whole number of pixels from 1 to 64"),
        ({"depth": 10**9}, "depth must be a whole number from 1"),
        ({"width": 34}, "multiple of 4 and of its 2 heads, not 34"),
        ({"heads": 3}, "multiple of 4 and of its 3 heads, not 32"),
    ],
)
def test_impossible_configurations_are_refused(wrong: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        replace(CONFIG, **wrong)


def test_files_tell_networks_apart_by_their_kind(tmp_path: Path) -> None:
    model = model_of(replace(CONFIG, edges=True))
    checkpoint.save(tmp_path / "a.safetensors", model)
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()[checkpoint.HEADER])
    assert header["config"]["network"]["kind"] == "dit"
    again = checkpoint.load(tmp_path / "a.safetensors")
    assert again.config == model.config and again.digest() == model.digest()
    assert all(map(torch.equal, again.network.parameters(), model.network.parameters()))
    with pytest.raises(ValueError, match=r"network\.kind must be one of unet, dit, not 'rnn'"):
        configuration.from_dict(NetworkConfig, {"kind": "rnn"}, "network.")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_close_and_keeps_the_head_exact(dtype: torch.dtype) -> None:
    exact = network_of()
    half = copy.deepcopy(exact).cast(dtype)
    kinds = {name.split(".")[0]: weight.dtype for name, weight in half.named_parameters()}
    assert kinds.pop("time_embed") == kinds.pop("out") == torch.float32 and set(kinds.values()) == {dtype}
    made = half(*inputs())
    assert made.dtype == torch.float32 and (made - exact(*inputs())).abs().mean() < 0.02


def test_layers_come_from_the_host() -> None:
    class Hosted(nn.Module):
        class Linear(nn.Linear):
            pass

        class Conv2d(nn.Conv2d):
            pass

    network = build(CONFIG, operations=Hosted)
    layers = [type(layer) for layer in network.modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert set(layers) == {Hosted.Linear, Hosted.Conv2d}


def test_it_runs_on_meta_and_compiles_whole() -> None:
    x, t, labels = inputs()
    with torch.device("meta"):
        meta = build(CONFIG)
    assert meta(x.to("meta"), t.to("meta"), labels.to("meta")).shape == (2, 6, 16, 24)
    own = model_of()
    torch._dynamo.reset()
    step, u = torch.compile(guided_step, backend="eager", fullgraph=True), torch.rand(2, 16, 24)
    with torch.inference_mode():
        made = step(own.denoiser, labels, 1.5, x, t, u).x0
        torch.testing.assert_close(made, guided_step(own.denoiser, labels, 1.5, x, t, u).x0, rtol=1e-4, atol=1e-4)
        assert (own.compiled("eager").network(x, t, labels) - own.network(x, t, labels)).abs().max() < 1e-5


def test_recomputed_activations_give_the_same_gradients() -> None:
    def gradients(recompute: bool) -> list[Tensor]:
        network = network_of().requires_grad_(True)
        if recompute:
            network.checkpoint_activations()
        network(*inputs()).square().mean().backward()
        return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]

    assert all(map(torch.equal, gradients(False), gradients(True)))


def test_images_of_any_size_and_windows_of_them() -> None:
    own, (_, _, labels) = model_of(), inputs(height=18, width=50)
    options = GenerateOptions(steps=2, guidance=1.5)
    assert generate(own, labels, options).shape == (2, 3, 18, 50)
    region = torch.zeros(18, 50, dtype=torch.bool)
    region[4:6, 2:4] = True
    window = windowed(own, region)
    assert window is not own and generate(window, labels, options).isfinite().all()
