"""Contact sheets."""

from __future__ import annotations

import numpy as np

from scdm.files.contact_sheet import GAP, PAPER, contact_sheet


def test_pictures_lie_in_rows_on_paper_and_small_ones_are_enlarged() -> None:
    small, wide = np.zeros((2, 2, 3), np.uint8), np.full((4, 8, 3), 7, np.uint8)
    sheet = contact_sheet([[small, wide], [wide]], least_side=4)
    assert sheet.shape == (4 + 4 + 3 * GAP, 4 + 8 + 3 * GAP, 3) and sheet.dtype == np.uint8
    assert (sheet[GAP : GAP + 4, GAP : GAP + 4] == 0).all()  # twice its size
    assert (sheet[GAP : GAP + 4, 2 * GAP + 4 : 2 * GAP + 12] == 7).all()
    assert (sheet[-GAP:] == PAPER).all() and (sheet[2 * GAP + 4 :, GAP + 8 :] == PAPER).all()
