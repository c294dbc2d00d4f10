"""Fitting: the size asked for, nothing stretched that should not be, nothing invented; masks keep what they cover."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scdm.layouts.fitting import FITS, covered, fitted, framed, with_opacity
from scdm.layouts.labels import LabelMap, instance_borders

MASK = 4
SIDE = st.integers(1, 40)


def board(height: int, width: int) -> LabelMap:
    """Ids that change from pixel to pixel: 0 and 1 in even rows, 2 and 3 in odd ones."""
    rows, columns = torch.arange(height)[:, None], torch.arange(width)
    ids = rows % 2 * 2 + columns % 2
    return LabelMap(ids[None], MASK, instance_borders(ids[None]))


@pytest.mark.parametrize(
    ("asked", "given"), [((0, 0), (8, 16)), ((0, 32), (16, 32)), ((4, 0), (4, 8)), ((7, 5), (7, 5)), ((0, 1), (1, 1))]
)
@pytest.mark.parametrize("fit", FITS)
def test_a_side_left_open_follows_in_proportion(fit: str, asked: tuple[int, int], given: tuple[int, int]) -> None:
    labels = fitted(board(8, 16), *asked, fit)
    assert (labels.height, labels.width) == given


def test_what_each_way_does_to_a_wide_layout() -> None:
    wide = LabelMap(torch.tensor([[[0, 1, 2, 3], [0, 1, 2, 3]]]), MASK)
    assert fitted(wide, 2, 2, "resize").ids.tolist() == [[[0, 2], [0, 2]]]
    assert fitted(wide, 2, 2, "crop").ids.tolist() == [[[1, 2], [1, 2]]]
    assert fitted(wide, 4, 4, "pad").ids.tolist() == [[[MASK] * 4, [0, 1, 2, 3], [0, 1, 2, 3], [MASK] * 4]]


@given(SIDE, SIDE, SIDE, SIDE)
def test_cropping_fills_the_frame_with_one_scale(height: int, width: int, to_height: int, to_width: int) -> None:
    """As scaling the whole layout and cutting out the middle."""
    labels = board(height, width)
    scale = max(to_height / height, to_width / width)
    whole = labels.reduced(round(height * scale), round(width * scale))
    top, left = (whole.height - to_height) // 2, (whole.width - to_width) // 2
    expected = whole.picked(top + torch.arange(to_height), left + torch.arange(to_width))
    cropped = fitted(labels, to_height, to_width, "crop")
    assert torch.equal(cropped.ids, expected.ids) and cropped.edges is not None and expected.edges is not None
    assert torch.equal(cropped.edges, expected.edges)


@given(SIDE, SIDE, SIDE, SIDE)
def test_padding_shows_the_whole_on_an_unpainted_frame(height: int, width: int, to_height: int, to_width: int) -> None:
    labels = board(height, width)
    padded = fitted(labels, to_height, to_width, "pad")
    assert (padded.height, padded.width) == (to_height, to_width) and padded.edges is not None
    assert not padded.edges[:, 0][padded.unpainted].any(), "no borders in the frame"
    scale = min(to_height / height, to_width / width)
    shown = labels.reduced(max(1, round(height * scale)), max(1, round(width * scale)))
    assert padded.ids[~padded.unpainted].tolist() == shown.ids.flatten().tolist()
    rows, columns = (~padded.unpainted[0]).nonzero().unbind(1)
    assert abs(int(rows.min() + rows.max() + 1) - to_height) <= 1, "centred, but for half a pixel"
    assert abs(int(columns.min() + columns.max() + 1) - to_width) <= 1


@given(SIDE, SIDE, st.integers(1, 5))
def test_the_same_proportions_leave_nothing_to_decide(height: int, width: int, times: int) -> None:
    labels = board(height, width)
    expected = labels.resized(times * height, times * width).ids
    assert all(torch.equal(fitted(labels, times * height, times * width, fit).ids, expected) for fit in FITS)


def test_what_cannot_be_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="resize, crop, pad, not 'stretch'"):
        fitted(board(2, 2), 4, 4, "stretch")
    with pytest.raises(ValueError, match="positive sides"):
        fitted(board(2, 2), -4, 4)
    with pytest.raises(ValueError, match="16000 x 80000000 has more than 64 megapixels"):
        fitted(board(10000, 2), 0, 16000)  # a long strip, made still longer


@given(SIDE, SIDE, st.integers(1, 5))
def test_masks_cover_as_much_at_any_size(height: int, width: int, times: int) -> None:
    mask = torch.rand(2, height, width, generator=torch.Generator().manual_seed(0))
    large = mask.repeat_interleave(times, 1).repeat_interleave(times, 2)
    assert torch.equal(covered(mask, times * height, times * width), large)
    assert torch.allclose(covered(large, height, width), mask)
    assert covered(mask, height, width) is mask


def test_an_opacity_becomes_the_alpha() -> None:
    opacity = torch.tensor([[[1, 127 / 255, 0.5]]])
    colors = np.full((1, 1, 3, 3), 120, dtype=np.uint8)
    painted = with_opacity(colors, opacity)
    assert painted.tolist() == [[[[120, 120, 120, alpha] for alpha in (255, 127, 128)]]]
    own = with_opacity(np.concatenate([colors, np.array([[[[9], [200], [200]]]], np.uint8)], axis=-1), opacity)
    assert own[..., 3].tolist() == [[[9, 127, 128]]], "the lower of the two"
    ids = np.array([[[[3], [3], [1]]]] * 2, dtype=np.uint8)
    assert with_opacity(ids, opacity).tolist() == [[[[3, 3, 3, 255], [3, 3, 3, 127], [1, 1, 1, 128]]]] * 2
    assert with_opacity(colors, torch.ones(1, 64, 64))[..., 3].min() == 255, "of another size"
    with pytest.raises(ValueError, match="2 images and 3 alphas do not go together"):
        with_opacity(ids, opacity.expand(3, -1, -1))


@given(SIDE, SIDE, SIDE, SIDE)
@pytest.mark.parametrize("fit", FITS)
def test_images_and_masks_are_placed_as_layouts_are(
    fit: str, height: int, width: int, to_height: int, to_width: int
) -> None:
    unpainted = fitted(board(height, width), to_height, to_width, fit).unpainted[0]
    for planes in (torch.rand(2, 3, height, width), torch.rand(2, 1, height, width)):
        placed, reached = framed(planes, to_height, to_width, fit)
        assert placed.shape == (*planes.shape[:2], to_height, to_width) and torch.equal(reached, ~unpainted)
        assert placed.min() >= planes.min() - 1e-5 and placed.max() <= planes.max() + 1e-5


def test_what_has_the_size_already_stays_as_it_is() -> None:
    planes = torch.rand(1, 3, 4, 6)
    for fit in FITS:
        assert torch.equal(framed(planes, 4, 6, fit)[0], planes)
    with pytest.raises(ValueError, match="fits by resize, crop, pad, not 'stretch'"):
        framed(planes, 4, 6, "stretch")
