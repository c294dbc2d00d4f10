"""Contact sheets: pictures side by side on one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

PAPER = (250, 250, 248)
UNPAINTED_GREY = (190, 190, 190)  # of unpainted pixels of a layout on a sheet
GAP = 8  # pixels between the pictures
INK = (40, 40, 40)
CAPTION = 26  # pixels below a picture for its name
TALLEST = 4  # times its width, that a picture on an overview is high
PROPORTIONS = 0.8  # of an overview, height to width, as far as its groups allow


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


def overview(groups: Sequence[tuple[str, Sequence[np.ndarray]]], width: int) -> np.ndarray:
    """Named groups of pictures, uint8 (h, w, 3) each, on paper of this width: uint8 (H, width, 3).

    The pictures of a group are side by side above its name, the groups in as many columns as the paper has room for. All
    pictures are brought to one width, but for very tall ones, which are narrower (`TALLEST`).
    """
    most = max(len(pictures) for _, pictures in groups)
    columns = min(
        range(1, len(groups) + 1), key=lambda count: abs(_proportions(len(groups), most, count) - PROPORTIONS)
    )
    side = max(1, (width - (1 + columns * (most + 1)) * GAP) // (columns * most))
    cells = [(name, [_of_width(picture, side) for picture in pictures]) for name, pictures in groups]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    heights = [max(picture.height for _, pictures in row for picture in pictures) for row in rows]
    paper = Image.new("RGB", (width, GAP + sum(height + CAPTION + GAP for height in heights)), PAPER)
    draw, font = ImageDraw.Draw(paper), ImageFont.load_default(CAPTION * 0.6)
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        for column, (name, pictures) in enumerate(row):
            left = GAP + column * (most * side + (most + 1) * GAP)
            for place, picture in enumerate(pictures):
                paper.paste(picture, (left + place * (side + GAP), top))
            draw.text((left, top + height + GAP / 2), name, INK, font)
        top += height + CAPTION + GAP
    return np.array(paper)


def _proportions(groups: int, pictures: int, columns: int) -> float:
    """Height to width, of square pictures."""
    return -(-groups // columns) / (columns * pictures)


def _of_width(picture: np.ndarray, width: int) -> Image.Image:
    height = max(1, min(round(picture.shape[0] * width / picture.shape[1]), TALLEST * width))
    width = min(width, max(1, round(picture.shape[1] * height / picture.shape[0])))
    small = width < picture.shape[1]
    return Image.fromarray(picture).resize((width, height), Image.Resampling.BOX if small else Image.Resampling.NEAREST)


def _enlarged(picture: np.ndarray, least_side: int) -> np.ndarray:
    times = max(1, -(-least_side // max(picture.shape[:2])))
    return picture.repeat(times, axis=0).repeat(times, axis=1)
