"""Repainting keeps what the mask leaves alone."""

from __future__ import annotations

import pytest
import torch

from scdm.denoiser import Prediction
from scdm.inpainting import feathered, inpainting, paste
from scdm.noise import image_noise
from scdm.samplers import SAMPLERS
from scdm.schedules import NoiseSchedule


def half(side: int = 16) -> torch.Tensor:
    mask = torch.zeros(1, 1, side, side)
    mask[..., side // 2 :] = 1
    return mask


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_known_part_arrives_at_the_image_under_every_sampler(name):
    """Before anything is pasted back: the walk itself ends at the image where the mask is 0."""
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    denoise = inpainting(lambda x, t: Prediction(torch.full_like(x, 0.5)), image, half())
    schedule = NoiseSchedule.named("linear").respaced("20")
    noise = image_noise([0])
    *_, last = SAMPLERS[name](denoise, noise(image), schedule, noise)
    torch.testing.assert_close(last.x[..., :8], image[..., :8], rtol=0, atol=0.05)
    torch.testing.assert_close(last.x[..., 8:], torch.full_like(image, 0.5)[..., 8:], rtol=0, atol=0.05)


def test_paste_is_exact_outside_the_mask_whatever_the_model_made():
    image, generated = torch.rand(2, 3, 16, 16), torch.full((2, 3, 16, 16), float("nan"))
    generated[..., 8:] = 0.25
    result = paste(generated, image, half().expand(2, -1, -1, -1))
    assert torch.equal(result[..., :8], image[..., :8])
    assert torch.equal(result[..., 8:], generated[..., 8:])


def test_feathering_fades_inside_the_mask_only():
    mask = feathered(half(), 4)
    assert (mask[..., :8] == 0).all()
    row = mask[0, 0, 0, 8:]
    torch.testing.assert_close(row[:5], torch.tensor([1, 2, 3, 4, 5]) / 5)
    assert (row[5:] == 1).all()
    assert feathered(half(), 0) is not None and torch.equal(feathered(half(), 0), half())
