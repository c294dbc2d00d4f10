"""Sizes of the two stages, and what an upsampler is given."""

from __future__ import annotations

import pytest
import torch

from scdm.diffusion.upsampling import enlarged, reduced, small_size


@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((512, 512), (64, 64)),
        ((384, 512), (64, 85)),
        ((512, 256), (128, 64)),
        ((96, 1024), (64, 683)),
        ((95, 1024), None),
        ((64, 64), None),
        ((16, 16), None),
    ],
)
def test_the_small_image_has_the_proportions_of_the_large_one_where_there_is_one(size, small):
    assert small_size(size, 64) == small


def test_an_image_of_few_areas_survives_both_ways():
    """Of four even areas, but for a pixel of the small image where they meet."""
    image = torch.zeros(1, 3, 64, 96)
    image[..., :32, :48], image[..., 32:, 48:] = 0.5, -0.75
    small = reduced(image, (8, 12))
    assert small.shape == (1, 3, 8, 12) and small[0, 0, 3, 5] == 0.5 and small[0, 0, 4, 6] == -0.75
    back = enlarged(small, (64, 96))
    inner = torch.zeros(64, 96, dtype=torch.bool)
    inner[8:24, 8:40] = inner[40:56, 56:88] = True
    assert torch.equal(back[..., inner], image[..., inner])
