"""Repainting keeps what the mask leaves alone."""

from __future__ import annotations

import pytest
import torch

from scdm.diffusion.denoiser import Prediction
from scdm.diffusion.inpainting import feathered, inpainting, paste
from scdm.diffusion.noise import image_noise
from scdm.diffusion.samplers import SAMPLERS
from scdm.diffusion.schedules import NoiseSchedule


def half(side: int = 16) -> torch.Tensor:
    mask = torch.zeros(1, 1, side, side)
    mask[..., side // 2 :] = 1
    return mask


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_known_part_follows_the_image_on_its_way_from_noise(name):
    """At every step it is distributed as if noise of that step had been added to the image: same mean, same spread."""
    side = 64
    image = torch.full((1, 3, side, side), -0.7)
    least = -torch.ones_like(image)  # the variance, which only ddpm reads: that of the known posterior
    denoise = inpainting(lambda x, t: Prediction(torch.full_like(x, 0.5), least), image, half(side))
    schedule = NoiseSchedule.named("linear").respaced("20")
    noise = image_noise([0])
    steps = list(SAMPLERS[name](denoise, noise(image), schedule, noise))
    for step, a in zip(steps, schedule.alphas_cumprod_prev[::-1], strict=True):
        known = step.x[..., : side // 2]
        assert known.mean() == pytest.approx(-0.7 * a**0.5, abs=0.05)
        assert known.std() == pytest.approx((1 - a) ** 0.5, abs=0.05)


def test_paste_is_exact_outside_the_mask_whatever_the_model_made():
    image, generated = torch.rand(2, 3, 16, 16), torch.full((2, 3, 16, 16), float("nan"))
    generated[..., 8:] = 0.25
    result = paste(generated, image, half().expand(2, -1, -1, -1))
    assert torch.equal(result[..., :8], image[..., :8])
    assert torch.equal(result[..., 8:], generated[..., 8:])


def test_a_half_covered_pixel_is_half_of_each():
    """The mixture is made once, while sampling, and not again when the rest is pasted back."""
    image, soft = torch.full((1, 3, 8, 8), -1.0), torch.full((1, 1, 8, 8), 0.5)
    prediction = inpainting(lambda x, t: Prediction(torch.ones_like(x)), image, soft)(image, torch.tensor([0]))
    assert torch.equal(paste(prediction.x0, image, soft), torch.zeros_like(image))


def test_feathering_fades_inside_the_mask_only():
    mask = feathered(half(), 4)
    assert (mask[..., :8] == 0).all()
    row = mask[0, 0, 0, 8:]
    torch.testing.assert_close(row[:5], torch.tensor([1, 2, 3, 4, 5]) / 5)
    assert (row[5:] == 1).all()
    assert feathered(half(), 0) is not None and torch.equal(feathered(half(), 0), half())


@pytest.mark.parametrize("radius", [0.5, 3, 6.2, 40])
def test_feathering_grows_with_the_distance_to_the_nearest_pixel_outside(radius):
    mask = (torch.rand(1, 1, 13, 17, generator=torch.Generator().manual_seed(0)) < 0.95).float()
    places = torch.cartesian_prod(torch.arange(13.0), torch.arange(17.0))
    distance = torch.cdist(places, places[mask.flatten() == 0]).amin(dim=1).view_as(mask)
    torch.testing.assert_close(feathered(mask, radius), (distance / (radius + 1)).clamp(max=1))
    assert torch.equal(feathered(torch.ones(2, 1, 4, 5), radius), torch.ones(2, 1, 4, 5)), "no border, no fading"
