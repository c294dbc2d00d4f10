"""Contact sheets."""

from __future__ import annotations

import numpy as np

from scdm.files.contact_sheet import GAP, PAPER, TALLEST, contact_sheet, overview


def test_pictures_lie_in_rows_on_paper_and_small_ones_are_enlarged() -> None:
    small, wide = np.zeros((2, 2, 3), np.uint8), np.full((4, 8, 3), 7, np.uint8)
    sheet = contact_sheet([[small, wide], [wide]], least_side=4)
    assert sheet.shape == (4 + 4 + 3 * GAP, 4 + 8 + 3 * GAP, 3) and sheet.dtype == np.uint8
    assert (sheet[GAP : GAP + 4, GAP : GAP + 4] == 0).all()  # twice its size
    assert (sheet[GAP : GAP + 4, 2 * GAP + 4 : 2 * GAP + 12] == 7).all()
    assert (sheet[-GAP:] == PAPER).all() and (sheet[2 * GAP + 4 :, GAP + 8 :] == PAPER).all()


def test_an_overview_has_the_width_asked_for_and_names_every_group() -> None:
    groups = [
        (name, [np.full((300, 300, 3), level, np.uint8)] * 2) for name, level in (("one", 0), ("two", 9), ("3", 7))
    ]
    sheet = overview([*groups, *groups], 1500)
    assert sheet.shape[1] == 1500 and 1000 < sheet.shape[0] < 1500 and sheet.dtype == np.uint8
    side = (1500 - 7 * GAP) // 4  # two columns of two pictures
    assert (sheet[GAP : GAP + side, GAP : GAP + side] == 0).all()
    below = sheet[GAP + side : 2 * GAP + side + 10, GAP : GAP + side]
    assert (below == PAPER).all(axis=-1).any() and (below < 100).any(), "a name on paper"


def test_an_overview_takes_pictures_of_any_size() -> None:
    picture = np.zeros((20, 40, 3), np.uint8)
    sheet = overview([("wide", [picture, picture, picture])], 256)
    assert sheet.shape[1] == 256 and (sheet[GAP : GAP + 30, GAP : GAP + 60] == 0).all()


def test_a_very_tall_picture_does_not_make_the_overview_tall() -> None:
    """One of a single column was enlarged to millions of pixels, beyond any memory."""
    line = np.zeros((700, 1, 3), np.uint8)
    sheet = overview([("line", [line, line])], 1500)
    side = (1500 - 4 * GAP) // 2
    assert sheet.shape[1] == 1500 and sheet.shape[0] < TALLEST * side + 100
    inked = (sheet[GAP : GAP + TALLEST * side, : GAP + side] == 0).all(2)
    assert inked.any(1).all() and inked.sum(1).max() == round(TALLEST * side / 700)
