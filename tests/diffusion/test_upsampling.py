"""Sizes of the two stages, and what an upsampler is given."""

from __future__ import annotations

import pytest
import torch

from scdm.diffusion.upsampling import enlarged, enlarged_within, reduced, small_size
from scdm.layouts.labels import LabelMap


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


def two_halves(column: int, **settings) -> LabelMap:
    ids = torch.zeros(1, 32, 32, dtype=torch.int64)
    ids[..., column:] = 1
    return LabelMap(ids, 2, **settings)


def test_a_small_image_is_enlarged_within_outlines():
    """A border amid cells of four pixels stays where the layout has it, and each side keeps its colour up to it."""
    labels = two_halves(18)
    small = labels.reduced(8, 8).ids[:, None] * 2.0 - 1
    assert torch.equal(enlarged_within(small, labels)[0, 0], labels.ids[0] * 2.0 - 1)
    assert enlarged(small, (32, 32))[0, 0, 0, 18] < 0, "which interpolation alone gets wrong"


def test_the_outlines_of_rough_layouts_are_not_kept():
    labels = two_halves(18)
    small = labels.reduced(8, 8).ids[:, None] * 2.0 - 1
    plain, exact = enlarged(small, (32, 32)), enlarged_within(small, labels)
    for roughness, expected in ((0.0, exact), (0.25, 0.75 * exact + 0.25 * plain), (1.0, plain), (torch.nan, exact)):
        found = enlarged_within(small, two_halves(18, roughness=torch.tensor([roughness])))
        assert torch.allclose(found, expected, atol=1e-6), roughness


def test_pixels_without_a_class_nearby_are_interpolated_among_all():
    """Unpainted ones, and those of a class too small for any cell of the small layout."""
    ids = torch.full((1, 32, 32), 2)
    ids[:, 16, 16] = 1
    labels = LabelMap(ids, 2)
    small = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(enlarged_within(small, labels), enlarged(small, (32, 32)))


def test_one_small_image_serves_several_layouts():
    labels = LabelMap(torch.cat([two_halves(18).ids, two_halves(5).ids]), 2)
    small = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    both = enlarged_within(small, labels)
    assert both.shape == (2, 3, 32, 32)
    assert torch.allclose(both[1], enlarged_within(small, two_halves(5))[0], atol=1e-6)
