"""Randomness has an owner: an image depends on its seed alone."""

from __future__ import annotations

import pytest
import torch

from scdm.diffusion.label_diffusion import LabelDiffusion
from scdm.diffusion.noise import LABEL_NOISE, coupled_label_noise, fresh_label_noise, image_noise, mixed
from scdm.layouts.labels import LabelMap

SHAPE = torch.Size((1, 3, 8, 8))


def test_an_image_draws_the_same_in_any_batch():
    alone = image_noise([7])
    together = image_noise([3, 7, 9])
    for _ in range(3):  # the streams stay in step
        torch.testing.assert_close(alone(torch.empty(SHAPE))[0], together(torch.empty(3, 3, 8, 8))[1], rtol=0, atol=0)


def test_draws_are_new_at_every_call_and_normal():
    noise = image_noise([0])
    one, two = noise(torch.empty(1, 3, 64, 64)), noise(torch.empty(1, 3, 64, 64))
    assert not torch.equal(one, two)
    assert abs(one.mean()) < 0.03 and abs(one.std() - 1) < 0.03


@pytest.mark.parametrize("kind", ["fresh", "coupled"])
def test_label_noise_is_uniform_and_belongs_to_the_seed(kind):
    t = torch.tensor([5, 5])
    u = LABEL_NOISE[kind]([1, 2])(t, torch.Size((2, 64, 64)))
    assert u.min() >= 0 and u.max() < 1 and abs(u.mean() - 0.5) < 0.02
    alone = LABEL_NOISE[kind]([2])(t[:1], torch.Size((1, 64, 64)))
    torch.testing.assert_close(u[1], alone[0], rtol=0, atol=0)
    assert not torch.equal(u[0], u[1])


def test_each_pixel_has_the_noise_of_its_own_seed():
    offsets = torch.zeros(8, 8, dtype=torch.long)
    offsets[:, 4:], offsets[0, 0] = 2, 3
    wide, t, shape = torch.empty(2, 3, 8, 8), torch.tensor([5, 5]), torch.Size((2, 8, 8))
    for make, given in ((image_noise, (wide,)), (fresh_label_noise, (t, shape)), (coupled_label_noise, (t, shape))):
        whole = mixed(make, [7, 8], offsets)(*given)
        for offset in (0, 2, 3):
            assert torch.equal(
                whole[..., offsets == offset], make([7 + offset, 8 + offset])(*given)[..., offsets == offset]
            )
    assert torch.equal(mixed(image_noise, [7], 0 * offsets)(wide[:1]), image_noise([7])(wide[:1]))


def test_without_label_noise_no_label_is_lost():
    labels = LabelMap(torch.randint(0, 4, (2, 8, 8)), 3)  # 3 is MASK
    t = torch.tensor([0, 999])
    u = LABEL_NOISE["none"]([1, 2])(t, labels.ids.shape)
    for diffusion in (LabelDiffusion(), LabelDiffusion((0.5, 1.0, 900.0))):
        assert torch.equal(diffusion(labels, t, u).ids, labels.ids)


def test_fresh_label_noise_depends_on_the_step_but_not_on_the_order_of_visits():
    noise, shape = fresh_label_noise([4]), torch.Size((1, 8, 8))
    first = noise(torch.tensor([900]), shape)
    noise(torch.tensor([100]), shape)
    torch.testing.assert_close(noise(torch.tensor([900]), shape), first, rtol=0, atol=0)
    assert not torch.equal(noise(torch.tensor([100]), shape), first)


def test_coupled_label_noise_is_one_draw_for_the_whole_trajectory():
    noise, shape = coupled_label_noise([4]), torch.Size((1, 8, 8))
    assert torch.equal(noise(torch.tensor([900]), shape), noise(torch.tensor([100]), shape))


def test_image_and_label_streams_of_a_seed_differ():
    image = image_noise([4])(torch.empty(1, 1, 8, 8))
    labels = fresh_label_noise([4])(torch.tensor([0]), torch.Size((1, 8, 8)))
    assert not torch.allclose(torch.distributions.Normal(0, 1).cdf(image)[:, 0], labels)
