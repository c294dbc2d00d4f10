"""Weights in 8 bits: how far off they are, what stays exact, and that damaged files are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from scdm.layouts.palette import Palette
from scdm.models import checkpoint
from scdm.models.eight_bits import SCALE, packed, scales, unpacked
from scdm.models.model import Model, ModelConfig
from scdm.networks import build
from scdm.networks.unet import UNetConfig

SCENES = Palette.named("scenes")
CONFIG = ModelConfig(
    UNetConfig(
        SCENES.num_classes, channels=32, channel_mult=(1,), res_blocks=1, attention=(), hidden=32, head_channels=32
    ),
    size=(32, 32),
    label_diffusion="uniform",
)


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return Model(CONFIG, SCENES, build(CONFIG.network), {})


def test_weights_are_off_by_half_a_level_of_their_row():
    weight = (
        torch.randn(64, 16, 3, 3, generator=torch.Generator().manual_seed(0))
        * torch.logspace(-6, 3, 64)[:, None, None, None]
    )
    again = unpacked(packed({"conv.weight": weight}))["conv.weight"]
    level = weight.flatten(1).abs().amax(1) / 127
    assert ((again - weight).abs().flatten(1).amax(1) <= 0.501 * level).all()
    assert (again - weight).abs().max() > 0  # in 8 bits it is not the same


def test_rows_of_zeros_stay_zeros():
    assert not unpacked(packed({"conv.weight": torch.zeros(64, 64)}))["conv.weight"].any()


def test_vectors_small_tensors_and_exact_parts_keep_16_bits():
    large = torch.randn(64, 64, 3, 3)
    stored = packed(
        {"norm.weight": torch.randn(8192), "first.weight": torch.randn(32, 3, 3, 3), "out.2.weight": large}, ("out",)
    )
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16} and len(stored) == 3


def test_a_file_in_8_bits_has_a_third_of_the_size_and_makes_the_same_model_but_for_rounding(
    tmp_path: Path, model: Model
):
    path, whole = tmp_path / "small.safetensors", tmp_path / "whole.safetensors"
    checkpoint.save(whole, model)
    checkpoint.save(path, model, torch.int8)
    assert path.stat().st_size < 0.35 * whole.stat().st_size
    again = checkpoint.load(path)
    assert again.config == model.config and all(p.dtype == torch.float32 for p in again.network.parameters())
    for name, weight in model.network.state_dict().items():
        assert torch.allclose(again.network.state_dict()[name], weight, atol=0.005 * float(weight.abs().max()) + 1e-6)


def test_weights_too_large_are_not_written(tmp_path: Path, model: Model):
    model.network.get_parameter("time_embed.0.weight").data[0, 0] = torch.nan
    with pytest.raises(ValueError, match=r"time_embed\.0\.weight is NaN or infinite"):
        checkpoint.save(tmp_path / "a.safetensors", model, torch.int8)


@pytest.mark.parametrize("damage", ["missing", "short", "integers"])
def test_scales_that_do_not_fit_are_refused(tmp_path: Path, model: Model, damage: str):
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, model, torch.int8)
    header, tensors = {checkpoint.HEADER: checkpoint.read_header(path).to_json()}, load_file(path)
    scale = sorted(scales(tensors))[0]
    tensors[scale] = {"missing": torch.ones(1), "short": tensors[scale][:-1].clone(), "integers": tensors[scale].int()}[
        damage
    ]
    if damage == "missing":
        del tensors[scale]
    save_file(tensors, path, header)
    with pytest.raises(
        ValueError, match=rf"scales of its 8-bit weights '{scale.removesuffix(SCALE)}'.*damaged"
    ) as caught:
        checkpoint.load(path)
    assert str(path) in str(caught.value)
