"""A model: a configuration that makes sense, and the denoiser that it means."""

from dataclasses import fields, make_dataclass, replace
from typing import Any

import pytest
import torch

from scdm.files import config as configuration
from scdm.layouts.palette import Palette
from scdm.models.model import Model, ModelConfig
from scdm.networks import UNetConfig

NETWORK = UNetConfig(
    num_classes=2, channels=32, channel_mult=(1, 1), res_blocks=1, attention=(), head_channels=32, hidden=4
)
CONFIG = ModelConfig(NETWORK, (8, 16), class_rates=(0.5, 2.0))
PALETTE = Palette("paints", ("sky", "sea"), ((0, 0, 255), (0, 255, 255)))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"class_rates": None}, "needs class rates"),
        ({"label_diffusion": "none"}, "only that, needs class rates"),
        ({"label_diffusion": "uniform"}, "only that, needs class rates"),
        ({"class_rates": (1.0,)}, "1 class rates for 2 classes"),
        ({"class_rates": (1.0, float("nan"))}, "class_rates must be several numbers from 0"),
        ({"class_rates": (1.0, -1.0)}, "class_rates must be several numbers from 0"),
        ({"steps": 0}, "a whole number from 1 to 100000, not 0"),
        ({"steps": 10**9}, "from 1 to 100000"),
        ({"steps": 20}, "at least 21 steps, not 20"),
        ({"size": (0, 8)}, "size must be 2 numbers from 1 to 8192"),
        ({"size": (8, 9)}, "multiples of 2"),
        ({"size": (2**40, 8)}, "from 1 to 8192"),
        ({"sizes": ((8, 16), (8, 9))}, "multiples of 2, not 8x9"),
        ({"sizes": ((8, 8),)}, r"also its size \(8, 16\)"),
        ({"noise_shift": 1e-300}, "noise_shift must be a number from 0.015625 to 64, not 1e-300"),
        ({"distilled_steps": "ddim999"}, "cannot be distilled to the steps 'ddim999': no whole stride"),
        ({"distilled_steps": " "}, "cannot be distilled to the steps ' ': steps must look like"),
        ({"distilled_steps": "1," * 50_000}, r"^.{,300}$"),
        ({"distilled_steps": "4 steps"}, "steps must look like 25"),
        ({"distilled_guidance": float("nan")}, "distilled_guidance must be a number from 1 to 100, or None, not nan"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        replace(CONFIG, **changes)


def test_a_configuration_survives_its_dictionary() -> None:
    for config in (CONFIG, replace(CONFIG, sizes=((8, 16), (16, 16)))):
        assert configuration.from_dict(ModelConfig, configuration.to_dict(config)) == config


def test_files_without_sizes_imply_their_size() -> None:
    assert CONFIG.taught.sizes == ((8, 16),) and "sizes" not in configuration.to_dict(CONFIG)


def test_the_denoiser_means_what_the_configuration_says() -> None:
    model = Model.new(CONFIG, PALETTE, data="none")
    denoiser = model.denoiser
    assert denoiser.network is model.network
    assert (len(denoiser.schedule), denoiser.prediction) == (1000, "eps")
    assert denoiser.label_diffusion is not None and denoiser.label_diffusion.rates == (0.5, 2.0)
    assert model.provenance == {"data": "none"}


def test_other_configurations_mean_other_denoisers() -> None:
    cosine = replace(
        CONFIG, noise_schedule="cosine", steps=64, prediction="v", label_diffusion="uniform", class_rates=None
    )
    model = Model.new(cosine, PALETTE)
    assert (len(model.denoiser.schedule), model.denoiser.prediction) == (64, "v")
    assert model.denoiser.schedule.betas[-1] == 0.999
    assert model.denoiser.label_diffusion is not None
    assert model.denoiser.label_diffusion.rates is None and len(model.denoiser.label_diffusion.timesteps) == 64
    still = replace(CONFIG, label_diffusion="none", class_rates=None)
    assert Model.new(still, PALETTE).denoiser.label_diffusion is None


def test_a_distilled_model_sees_the_layout_of_the_next_timestep() -> None:
    config = replace(CONFIG, label_diffusion="uniform", class_rates=None, distilled_steps="trailing4")
    diffusion = Model.new(config, PALETTE).denoiser.label_diffusion
    assert diffusion is not None
    chance = diffusion.mask_probability(torch.tensor([249, 499, 749, 999]), 2)
    assert chance[:, 0].tolist() == [0, 0.25, 0.5, 0.75]


def test_a_palette_of_other_classes_is_refused() -> None:
    with pytest.raises(ValueError, match="palette scenes has 14 classes, the network expects 2"):
        Model.new(CONFIG, Palette.named("scenes"))


def test_moving_a_model_keeps_its_weights() -> None:
    model = Model.new(CONFIG, PALETTE)
    before = {name: tensor.clone() for name, tensor in model.network.state_dict().items()}
    assert model.to("cpu") is model and model.device == torch.device("cpu")
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.network.state_dict().items())
    convolution = model.network.get_parameter("input_blocks.0.0.weight")
    assert convolution.is_contiguous(memory_format=torch.channels_last)


def countable() -> Model:
    """A model whose weights are the same everywhere."""
    model = Model.new(CONFIG, PALETTE)
    with torch.no_grad():
        for name, weight in model.network.state_dict().items():
            weight.copy_((torch.arange(weight.numel()) % (7 + len(name))).view(weight.shape) / 8)
    return model


def with_news(kind: type, config: Any, value: int | None = None) -> Any:
    """The configuration as a later version will have it, with a setting more."""
    later = make_dataclass(kind.__name__, [("news", int, 5)], bases=(kind,), frozen=True)
    kept = {item.name: getattr(config, item.name) for item in fields(config)}
    return later(**kept) if value is None else later(**kept, news=value)


DIGEST = "570cdafceef38fe02f07d5c72b6649add4f7ecd922d097bcfcab9813ebaaf7d9"
DIGEST_BEFORE = "c09eabbabd68231142c2d8c6596550867fff9421d50705b161ed02be8f0b545f"


def test_a_digest_stays_the_same_when_there_are_more_settings() -> None:
    model = countable()
    assert model.digest() == DIGEST
    assert model.is_known_as(DIGEST) and model.is_known_as(DIGEST_BEFORE), "the one that 0.1.0 gave it"
    assert not model.is_known_as(None) and not model.is_known_as(DIGEST[::-1])
    for value in (None, 6):
        for config in (
            with_news(ModelConfig, CONFIG, value),
            replace(CONFIG, network=with_news(UNetConfig, NETWORK, value)),
        ):
            later = replace(model, config=config)
            assert (later.digest() == DIGEST) == later.is_known_as(DIGEST_BEFORE) == (value is None)


def test_a_digest_does_not_tell_equal_settings_apart() -> None:
    model = countable()
    again = replace(CONFIG, network=replace(NETWORK, channel_mult=(1.0, 1.0)), class_rates=(0.5, 2))
    assert again == CONFIG and replace(model, config=again).digest() == DIGEST


@pytest.mark.parametrize("changes", [{"prediction": "v"}, {"class_rates": (0.5, 2.5)}, {"distilled_guidance": 2.0}])
def test_a_digest_tells_other_meanings_apart(changes: dict[str, Any]) -> None:
    assert replace(countable(), config=replace(CONFIG, **changes)).digest() != DIGEST


def test_a_digest_tells_other_weights_apart() -> None:
    model = countable()
    with torch.no_grad():
        next(model.network.parameters()).view(-1)[0] += 1
    assert model.digest() != DIGEST


def test_label_diffusion_knows_the_resolution_that_the_network_reads() -> None:
    """One label of each patch is read, unless all are embedded."""
    config = replace(CONFIG, label_resolution=256)
    for network, expected in (
        (NETWORK, 256),
        (replace(NETWORK, patch=4), 1024),
        (replace(NETWORK, patch=4, layout_width=8), 256),
    ):
        diffusion = replace(config, network=network, size=(32, 32)).denoiser(None).label_diffusion
        assert diffusion is not None and diffusion.resolution == expected
    with pytest.raises(ValueError, match="label_resolution must be a whole number of pixels from 1"):
        replace(config, label_resolution=0)


def test_files_name_how_labels_are_masked_only_where_it_is_not_as_published() -> None:
    new = {"label_resolution", "label_counting"}
    assert not new & configuration.to_dict(CONFIG).keys()
    own = replace(CONFIG, label_resolution=256, label_counting="steps")
    stored = configuration.to_dict(own)
    assert new <= stored.keys() and configuration.from_dict(ModelConfig, stored) == own
    diffusion = own.denoiser(None).label_diffusion
    assert diffusion is not None and diffusion.steps == 1000
