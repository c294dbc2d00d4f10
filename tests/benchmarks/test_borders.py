"""The measure of sharp borders, on images whose borders are known."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.borders import REACH, Borders, measured, row


def flat(shift: int = 0) -> tuple[Tensor, Tensor]:
    """Two fields of colour that meet at column 18 + shift; the layout says 18."""
    ids = torch.zeros(1, 32, 32, dtype=torch.int64)
    ids[..., 18:] = 1
    image = torch.full((1, 3, 32, 32), -0.5)
    image[..., 18 + shift :] = 0.5
    return image, ids


def blurred(image: Tensor, width: int) -> Tensor:
    padded = F.pad(image, (width // 2, width // 2, 0, 0), mode="replicate")
    return F.avg_pool2d(padded, (1, width), stride=1)


def at_the_border(found: Borders) -> float:
    return (found.spread / found.contrast)[REACH - 1].item()


def test_all_of_the_change_lies_at_a_border_that_is_followed() -> None:
    image, ids = flat()
    found = measured(image, ids, patch=4)
    assert at_the_border(found) == pytest.approx(1)
    assert (found.spread / found.contrast).sum() == pytest.approx(1)
    assert torch.equal(found.spread, found.within), "18 is no multiple of 4"
    assert measured(image, ids, patch=2).contrast_within == 0


@pytest.mark.parametrize("width", [3, 5])
def test_blur_spreads_it(width: int) -> None:
    image, ids = flat()
    assert at_the_border(measured(blurred(image, width), ids, 4)) == pytest.approx(1 / width, rel=0.1)


def test_an_edge_where_patches_meet_is_not_at_the_border() -> None:
    image, ids = flat(shift=-2)
    found = measured(image, ids, 4)
    assert at_the_border(found) == pytest.approx(0)
    assert (found.spread / found.contrast)[REACH - 3] == pytest.approx(1)


def test_grain_is_found_beside_borders() -> None:
    image, ids = flat()
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    grainy, fine = (measured(image + share * noise, ids, 4) for share in (0.02, 0.01))
    assert row("grain", grainy, fine).endswith("| 2.00 |")
