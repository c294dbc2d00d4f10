"""Spaces: pixels are the images themselves, and a space of other channels and another stride goes through everything."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scdm.diffusion.denoiser import Prediction
from scdm.diffusion.guidance import Colours, shaped
from scdm.diffusion.likelihood import discretized_gaussian_log_likelihood
from scdm.diffusion.space import PIXELS, SPACES, Space
from scdm.editing.session import EditSession
from scdm.files import config as configuration
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.models.model import Model, ModelConfig
from scdm.networks import UNetConfig
from scdm.pipeline import GenerateOptions, generate
from scdm.training.stream import draws_at

NETWORK = UNetConfig(2, channels=32, channel_mult=(1, 1), res_blocks=1, attention=(), head_channels=None, hidden=8)
CONFIG = ModelConfig(NETWORK, (16, 16), label_diffusion="uniform", prediction="x0")
PALETTE = Palette("test", ("dark", "light"), ((0, 0, 0), (9, 9, 9)))


class Folded(Space):
    """Every 2x2 pixels as one sample of 12 channels, of twice the range."""

    channels, stride, bound = 12, 2, 2.0

    def encode(self, images: Tensor) -> Tensor:
        return 2 * F.pixel_unshuffle(images, 2)

    def decode(self, samples: Tensor) -> Tensor:
        return F.pixel_shuffle(samples / 2, 2)

    def preview(self, samples: Tensor) -> Tensor:
        return F.avg_pool2d(self.decode(samples), 2)

    def log_likelihood(self, x0: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
        return -0.5 * ((x0 - mean) / log_scale.exp()) ** 2 - log_scale


class Sample(nn.Module):
    """Predicts the layout: -1 where it is dark, 1 where it is light, 0 where it is unpainted."""

    dtype, config = torch.float32, NETWORK

    def __init__(self) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1))
        self.shapes: set[tuple[int, ...]] = set()

    def encode(self, x: Tensor, t: Tensor, height: int | None = None) -> Tensor:
        self.shapes.add(tuple(x.shape[1:]))
        return x

    def decode(self, features: Tensor, labels: LabelMap | None) -> Tensor:
        if labels is None:
            return torch.zeros_like(features)
        ids = labels.ids
        grey = (2.0 * ids - 1).masked_fill(ids == 2, 0)[:, None].expand(-1, 3, -1, -1)
        return FOLDED.encode(grey) + 0 * self.place

    def forward(self, x: Tensor, t: Tensor, labels: LabelMap | None) -> Tensor:
        return self.decode(self.encode(x, t), labels)


FOLDED = Folded()


@pytest.fixture
def folded(monkeypatch: pytest.MonkeyPatch) -> Model:
    monkeypatch.setitem(SPACES, "folded", FOLDED)
    config = replace(CONFIG, label_diffusion="none")
    object.__setattr__(config, "space", "folded")  # registered after the class was made
    network: Any = Sample()
    return Model(config, PALETTE, network)


def checkers(height: int, width: int) -> LabelMap:
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    return LabelMap(((rows + columns) % 2)[None], 2)


def test_pixels_are_the_images() -> None:
    images = torch.rand(2, 3, 6, 4) * 4 - 2
    assert all(torch.equal(same(images), images) for same in (PIXELS.encode, PIXELS.decode, PIXELS.preview))
    assert torch.equal(PIXELS.clipped(images), images.clamp(-1, 1)) and PIXELS.size(6, 4) == (6, 4)
    mask = torch.rand(2, 1, 6, 4)
    assert torch.equal(PIXELS.covered(mask), mask)
    spread = torch.full_like(images, -3)
    ours = PIXELS.log_likelihood(images, images / 2, spread)
    assert torch.equal(ours, discretized_gaussian_log_likelihood(images, images / 2, spread))


def test_files_do_not_name_the_pixels() -> None:
    assert "space" not in configuration.to_dict(CONFIG)
    assert configuration.from_dict(ModelConfig, configuration.to_dict(CONFIG)) == CONFIG
    with pytest.raises(ValueError, match="space must be pixels, not 'nowhere'"):
        replace(CONFIG, space="nowhere")


def test_a_model_of_another_space_makes_images(folded: Model) -> None:
    """Of odd sides, which are padded to the stride of the network times that of the space, 4."""
    steps: list[Any] = []
    options = GenerateOptions(steps=2, sampler="ddim", guidance=1.0)
    made = generate(folded, checkers(7, 9), options, on_step=lambda step, _: steps.append(step))
    assert made.shape == (1, 3, 7, 9) and folded.network.shapes == {(12, 4, 6)}
    assert torch.equal(made[0, 0], 2.0 * checkers(7, 9).ids[0] - 1)
    assert steps[-1].x.shape == (1, 12, 4, 5) and steps[-1].x0.shape == (1, 3, 4, 5)
    noise = torch.randn(1, 12, 4, 5)
    assert torch.equal(generate(folded, checkers(7, 9), options, noise=noise), made)
    with pytest.raises(ValueError, match="1, 12, 4, 5"):
        generate(folded, checkers(7, 9), options, noise=torch.randn(1, 3, 7, 9))


def test_in_another_space_what_the_mask_protects_stays(folded: Model) -> None:
    image, mask = torch.rand(1, 3, 8, 8) / 2, torch.zeros(1, 1, 8, 8)
    mask[..., 3:5, 2] = 1
    made = generate(folded, checkers(8, 8), GenerateOptions(steps=2, guidance=1.0), image=image, mask=mask)
    kept = (mask == 0).expand_as(image)
    assert torch.equal(made[kept], image[kept])
    assert torch.equal(made[0, 0, 3:5, 2], torch.tensor([1.0, -1.0]))


def test_in_another_space_a_session_computes_a_window(folded: Model) -> None:
    session = EditSession(folded, (64, 64), GenerateOptions(steps=1, guidance=1.0), margin=0)
    session.update()
    folded.network.shapes.clear()
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[33, 20] = True
    session.paint(mask, "light")
    made = session.update()
    (shape,) = folded.network.shapes
    assert shape[0] == 12 and max(shape[1:]) < 32 and torch.equal(made.region, mask)
    assert made.image[0, :, 33, 20].min() == 1 and made.image.abs().sum() < 64 * 64 * 3 * 0.1


def test_a_bound_holds_for_clipping_thresholds_and_colours() -> None:
    x0 = 5 * torch.randn(2, 12, 4, 4, generator=torch.Generator().manual_seed(0))
    denoise, t = (lambda x, t: Prediction(x)), torch.tensor([5, 5])
    assert shaped(denoise, FOLDED)(x0, t).x0.abs().max() == 2
    thresholded = shaped(denoise, FOLDED, dynamic_threshold=0.9)(x0, t).x0
    assert thresholded.abs().max() == pytest.approx(2) and (thresholded.abs() < 2).float().mean() > 0.8
    colours = Colours(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.4, 0.5, 0.6]))
    images = FOLDED.decode(shaped(denoise, FOLDED, colours=colours)(x0, t).x0)
    torch.testing.assert_close(images.mean(dim=(2, 3)), colours.mean.expand(2, 3))


def test_training_draws_noise_of_the_space() -> None:
    draws = draws_at(0, 5, (8, 6), FOLDED)
    assert draws.noise.shape == (12, 4, 3) and draws.label.shape == (8, 6)


def test_losses_are_those_of_the_space(folded: Model) -> None:
    labels = checkers(8, 8)
    x0 = FOLDED.encode((2.0 * labels.ids - 1)[:, None].expand(-1, 3, -1, -1))
    terms = folded.denoiser.loss(x0, labels, torch.tensor([300]), torch.randn_like(x0))
    assert terms.total.item() == 0 and terms.vb is None
