"""Pictures of layouts for people: classes in their colours, what is unpainted, and which class is which."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from ..files.contact_sheet import PAPER
from ..files.untrusted import brief
from .contents import ClassShare, contents, percent
from .labels import LabelMap, common_batch
from .palette import Palette
from .swatches import FAINT, INK, OUTLINE

LEGIBLE = 512  # pixels of the longer side: a picture with a legend has at least so many
CHEQUERED = (232, 232, 230), (212, 212, 210)  # the two greys of a chequered ground
COLOURLESS = (128, 128, 132), (106, 106, 110)  # for classes that no colour stands for
LONGEST = 24  # letters of a name in a legend
LINE = 48  # pixels, of a line below an enlarged picture


def preview(
    labels: LabelMap, palette: Palette, image: np.ndarray | None = None, opacity: float = 1.0, legend: bool = False
) -> np.ndarray:
    """uint8 (B, H, W, 3): the layouts in their colours, of their own size or that of the image.

    image: uint8 (1 or B, H, W, 3), which shows where nothing is painted and through the colours, as far as `opacity`
        (0 to 1) lets it. Without one they lie on a chequered ground.
    legend: adds the classes with their shares, in letters that grow with the picture. Small pictures are enlarged.
    """
    if not 0 <= opacity <= 1:
        raise ValueError(f"opacity must be from 0 (the image alone) to 1 (the layout alone), not {opacity}")
    if image is not None:
        batch = common_batch(layouts=labels.batch, images=len(image))
        labels = labels.expanded(batch).reduced(*image.shape[1:3])
    times = -(-LEGIBLE // max(labels.height, labels.width)) if legend else 1
    labels = labels.resized(times * labels.height, times * labels.width)
    if image is None:
        pictures = _on_ground(labels, palette)
    else:
        pictures = _over(image.repeat(times, axis=1).repeat(times, axis=2), palette.to_image(labels), opacity)
    if not legend:
        return pictures
    parts = [contents(labels[i : i + 1], palette) for i in range(labels.batch)]
    plan = _Legend(parts, *pictures.shape[1:3])
    return np.stack([plan.beside(picture, own, palette) for picture, own in zip(pictures, parts, strict=True)])


def enlarged(pictures: np.ndarray, side: int = LEGIBLE) -> np.ndarray:
    """uint8 (B, H, W, 3): small pictures a whole number of times as large, up to `side` pixels, above a line that says their
    own size: whatever shows a picture says how large that is."""
    height, width = pictures.shape[1:3]
    times = max(1, side // max(height, width))
    if times == 1:
        return pictures
    large = pictures.repeat(times, axis=1).repeat(times, axis=2)
    line = Image.new("RGB", (large.shape[2], LINE), PAPER)
    words = f"{width} x {height} pixels, shown {times} times as large"
    font = ImageFont.load_default(LINE // 2)
    if font.getlength(words) > line.width - LINE // 2:
        words = f"{width} x {height}"
    ImageDraw.Draw(line).text((line.width // 2, LINE // 2), words, INK, font, anchor="mm")
    return np.concatenate([large, np.broadcast_to(np.asarray(line), (len(large), LINE, line.width, 3))], axis=1)


def _over(ground: np.ndarray, colors: np.ndarray, opacity: float) -> np.ndarray:
    """uint8 (1 or B, H, W, 3) under (B, H, W, 4): covered as far as `opacity`, but not where there is no alpha."""
    weight = np.float32(opacity) * (colors[..., 3:] > 0)
    return (ground + weight * (colors[..., :3] - ground.astype(np.float32)) + 0.5).astype(np.uint8)


def _on_ground(labels: LabelMap, palette: Palette, cells: int = 32) -> np.ndarray:
    """Chequered where no colour shows, with `cells` squares along the longer side."""
    cell = max(1, max(labels.height, labels.width) // cells)
    rows, columns = np.arange(labels.height)[:, None] // cell, np.arange(labels.width) // cell
    tables = [
        [*(COLOURLESS[shade] if color is None else color for color in palette.colors), CHEQUERED[shade]]
        for shade in (0, 1)
    ]
    return np.array(tables, dtype=np.uint8)[(rows + columns) % 2, labels.ids.cpu().numpy()]


class _Legend:
    """The plan of a legend with room for any of the layouts of a batch: to the right, or below pictures that are wide."""

    def __init__(self, parts: Sequence[Sequence[ClassShare]], height: int, width: int):
        self.size = height, width
        self.font = ImageFont.load_default(self.scaled(18))
        self.name_width = self.widest(_short(part.name) for own in parts for part in own)
        self.share_width = self.widest(percent(part.share) for own in parts for part in own)
        self.cell = self.scaled(32), self.scaled(30 + 16 + 22) + self.name_width + self.share_width
        self.margin = self.scaled(16)
        most = max(len(own) for own in parts)
        self.below = width > 1.5 * height
        if self.below:
            self.rows = -(-most // max(1, (width - self.margin) // self.cell[1]))
            self.room = 2 * self.margin + self.rows * self.cell[0]
        else:
            columns = -(-most // max(1, (height - 2 * self.margin) // self.cell[0]))
            self.rows = -(-most // columns)
            self.room = self.margin + columns * self.cell[1]

    def scaled(self, pixels: int) -> int:
        return round(pixels * max(self.size) / LEGIBLE)

    def widest(self, texts: Iterable[str]) -> int:
        return max(math.ceil(self.font.getlength(text)) for text in texts)

    def beside(self, picture: np.ndarray, parts: Sequence[ClassShare], palette: Palette) -> np.ndarray:
        height, width = self.size
        sheet = Image.new("RGB", (width, height + self.room) if self.below else (width + self.room, height), PAPER)
        sheet.paste(Image.fromarray(picture))
        draw = ImageDraw.Draw(sheet)
        for place, part in enumerate(parts):
            x = self.margin + place // self.rows * self.cell[1] + (0 if self.below else width)
            y = self.margin + place % self.rows * self.cell[0] + (height if self.below else 0)
            sheet.paste(_swatch(part, palette, self.scaled(20)), (x, y))
            draw.rectangle((x, y, x + self.scaled(20), y + self.scaled(20)), outline=OUTLINE, width=self.scaled(1))
            middle = y + self.scaled(20) // 2
            draw.text((x + self.scaled(30), middle), _short(part.name), INK, self.font, anchor="lm")
            end = x + self.scaled(30 + 16) + self.name_width + self.share_width
            draw.text((end, middle), percent(part.share), FAINT, self.font, anchor="rm")
        return np.asarray(sheet)


def _swatch(part: ClassShare, palette: Palette, side: int) -> Image.Image:
    labels = LabelMap(torch.full((1, side, side), part.id), palette.num_classes)
    return Image.fromarray(_on_ground(labels, palette, cells=4)[0])


def _short(name: str) -> str:
    name = brief(name)
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
