"""Contact sheets: pictures side by side on one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PAPER = (250, 250, 248)
UNPAINTED_GREY = (190, 190, 190)  # of unpainted pixels of a layout on a sheet
GAP = 8  # pixels between the pictures


def contact_sheet(rows: Sequence[Sequence[np.ndarray]], least_side: int = 1) -> np.ndarray:
    """Pictures, uint8 (h, w, 3) each, in rows on paper: uint8 (H, W, 3). Those smaller than `least_side` are enlarged."""
    rows = [[_enlarged(picture, least_side) for picture in row] for row in rows]
    heights = [GAP + max(picture.shape[0] for picture in row) for row in rows]
    width = GAP + max(sum(GAP + picture.shape[1] for picture in row) for row in rows)
    paper = np.full((GAP + sum(heights), width, 3), PAPER, dtype=np.uint8)
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        left = GAP
        for picture in row:
            paper[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
            left += picture.shape[1] + GAP
        top += height
    return paper


def _enlarged(picture: np.ndarray, least_side: int) -> np.ndarray:
    times = max(1, -(-least_side // max(picture.shape[:2])))
    return picture.repeat(times, axis=0).repeat(times, axis=1)
