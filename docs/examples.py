"""The layouts that come with SCDM (scdm/assets/examples): two neat ones, two rough ones, two of a few strokes.

    python docs/examples.py    # a second

They are drawn as a person does with the tools of any painting program at 512 pixels: polygons, hard brushes, flat colours
of the palette "scenes", and nothing where nothing was painted.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from PIL import Image, ImageDraw

from scdm.layouts.palette import Palette

FOLDER = Path(__file__).resolve().parents[1] / "scdm" / "assets" / "examples"
SIDE = 512  # pixels
Point = tuple[float, float]


class Canvas:
    """A transparent canvas (RGBA), and the tools to paint on it. `hand` says how unsteady the hand is, in pixels."""

    def __init__(self, seed: int) -> None:
        palette = Palette.named("scenes")
        self.colors = dict(zip(palette.names, palette.colors, strict=True))
        self.picture = Image.new("RGBA", (SIDE, SIDE))
        self.draw = ImageDraw.Draw(self.picture)
        self.random = random.Random(seed)

    def shape(self, name: str, *points: Point, hand: float = 1.5) -> None:
        """A polygon whose sides a hand drew."""
        self.draw.polygon(self._traced([*points, points[0]], hand), self.colors[name])

    def box(self, name: str, left: float, top: float, right: float, bottom: float) -> None:
        self.draw.rectangle((left, top, right, bottom), self.colors[name])

    def disc(self, name: str, x: float, y: float, radius: float, height: float | None = None) -> None:
        tall = radius if height is None else height
        self.draw.ellipse((x - radius, y - tall, x + radius, y + tall), self.colors[name])

    def blob(self, name: str, x: float, y: float, radius: float) -> None:
        """Dabs of a round brush on one place."""
        for _ in range(7):
            self.disc(
                name,
                x + self.random.uniform(-0.5, 0.5) * radius,
                y + self.random.uniform(-0.5, 0.5) * radius,
                radius * self.random.uniform(0.5, 0.75),
            )

    def stroke(self, name: str, width: float, *points: Point, hand: float = 4) -> None:
        """A line of a round brush."""
        path = self._traced(points, hand)
        self.draw.line(path, self.colors[name], round(width), joint="curve")
        for x, y in (path[0], path[-1]):
            self.disc(name, x, y, width / 2)

    def hatch(self, name: str, width: float, left: float, top: float, right: float, bottom: float) -> None:
        """A part filled in haste: a broad brush to and fro, whose lines do not quite meet."""
        y = top + width / 2
        path: list[Point] = []
        while y < bottom:
            ends = (left, right) if len(path) % 4 == 0 else (right, left)
            path += [(x + self.random.uniform(-0.6, 0.6) * width, y + self.random.uniform(-6, 6)) for x in ends]
            y += width * self.random.uniform(0.85, 1.1)
        self.stroke(name, width, *path, hand=6)

    def _traced(self, points: Sequence[Point], hand: float) -> list[Point]:
        """The line through the points, as a hand draws it: it wanders a little between them."""
        path: list[Point] = [points[0]]
        for (x, y), (to_x, to_y) in pairwise(points):
            pieces = max(1, round(((to_x - x) ** 2 + (to_y - y) ** 2) ** 0.5 / 24))
            for piece in range(1, pieces + 1):
                share, drift = piece / pieces, hand if piece < pieces else 0
                path.append(
                    (
                        x + (to_x - x) * share + self.random.uniform(-drift, drift),
                        y + (to_y - y) * share + self.random.uniform(-drift, drift),
                    )
                )
        return path


def landscape(c: Canvas) -> None:
    """Neat: a lake before mountains, a road, a house and meadows."""
    c.box("sky", 0, 0, 512, 310)
    c.box("grass", 0, 310, 512, 512)
    c.disc("sun", 416, 84, 36)
    for x, y, wide, high in ((88, 88, 66, 20), (128, 70, 44, 24), (262, 52, 50, 13)):
        c.disc("cloud", x, y, wide, high)
    ridge = [(0, 262), (60, 196), (104, 222), (196, 106), (268, 196), (318, 170), (366, 128), (440, 214), (512, 180)]
    c.shape("mountain", *ridge, (512, 320), (0, 320))
    c.shape("snow", (196, 106), (158, 156), (180, 150), (196, 168), (212, 148), (236, 156))
    c.shape("snow", (366, 128), (338, 152), (356, 150), (368, 164), (384, 148), (386, 150))
    c.shape("hill", (0, 292), (110, 262), (230, 284), (340, 258), (512, 280), (512, 340), (0, 340))
    c.shape("grass", (0, 316), (160, 306), (330, 300), (512, 310), (512, 512), (0, 512))
    c.shape("sand", (0, 366), (90, 346), (212, 352), (258, 386), (226, 434), (130, 462), (0, 456))
    c.shape("water", (0, 378), (92, 358), (200, 364), (240, 388), (212, 422), (122, 446), (0, 440))
    c.shape("road", (334, 302), (346, 302), (352, 336), (400, 392), (448, 512), (326, 512), (352, 400), (334, 340))
    c.box("building", 398, 246, 462, 318)
    c.shape("building", (390, 248), (430, 214), (470, 248), hand=0)
    for x, y, size in ((48, 310, 30), (22, 322, 26), (494, 330, 34), (280, 302, 20), (304, 306, 16)):
        c.disc("tree", x, y - size, size, size * 1.3)
        c.box("tree", x - size / 8, y, x + size / 8, y + size / 2)
    c.shape("rock", (206, 452), (222, 428), (252, 424), (274, 446), (266, 462), (220, 464))
    for x, y in (
        (40, 486),
        (74, 494),
        (108, 482),
        (146, 496),
        (186, 486),
        (60, 474),
        (470, 420),
        (486, 436),
        (476, 456),
    ):
        c.disc("flower", x, y, 9, 7)


def seaside(c: Canvas) -> None:
    """Neat: a village above a bay."""
    c.box("sky", 0, 0, 512, 236)
    c.box("sand", 0, 237, 512, 512)
    for x, y, wide, high in ((330, 70, 84, 18), (386, 56, 46, 22), (120, 112, 60, 12)):
        c.disc("cloud", x, y, wide, high)
    c.shape("water", (0, 222), (512, 222), (512, 400), (250, 470), (0, 480), hand=0)
    c.shape("hill", (512, 150), (440, 166), (380, 196), (330, 224), (290, 240), (512, 262))
    c.shape("grass", (290, 238), (360, 228), (512, 220), (512, 330), (420, 318), (352, 290))
    c.shape("rock", (0, 190), (34, 176), (62, 196), (74, 226), (98, 240), (60, 254), (0, 262))
    c.shape(
        "sand",
        (292, 240),
        (350, 286),
        (420, 314),
        (512, 326),
        (512, 512),
        (0, 512),
        (0, 470),
        (190, 446),
        (300, 380),
        (320, 300),
    )
    c.shape("road", (512, 356), (512, 396), (430, 430), (372, 512), (300, 512), (330, 452), (398, 390))
    for left, top, right, bottom in ((356, 190, 396, 246), (402, 170, 456, 244), (464, 184, 508, 250)):
        c.box("building", left, top, right, bottom)
        c.shape("building", (left - 5, top), ((left + right) / 2, top - 28), (right + 5, top), hand=0)
    c.box("building", 36, 96, 58, 190)
    c.shape("building", (30, 96), (47, 72), (64, 96), hand=0)
    for x, y, size in ((340, 240, 15), (478, 284, 24), (436, 282, 20), (508, 300, 20)):
        c.disc("tree", x, y - size / 2, size, size * 1.2)
    c.shape("grass", (512, 440), (470, 452), (430, 512), (512, 512))
    for x, y in ((486, 470), (498, 486), (468, 496), (488, 504)):
        c.disc("flower", x, y, 8, 6)
    c.shape("rock", (150, 470), (166, 448), (196, 446), (214, 466), (206, 484), (158, 486))


def rough_lake(c: Canvas) -> None:
    """Rough: broad brushes in haste, with gaps between them."""
    c.hatch("sky", 46, 20, 0, 492, 200)
    c.blob("sun", 120, 84, 38)
    c.stroke("mountain", 62, (30, 250), (150, 150), (220, 220), (330, 120), (430, 230), (500, 210), hand=8)
    c.hatch("mountain", 40, 30, 220, 490, 288)
    c.stroke("snow", 24, (300, 150), (332, 112), (362, 152), hand=4)
    c.hatch("grass", 40, 10, 310, 500, 392)
    c.hatch("water", 44, 60, 392, 450, 506)
    for x, y, size in ((60, 300, 38), (116, 318, 32), (440, 310, 44), (490, 336, 34)):
        c.blob("tree", x, y, size)
    c.stroke("sand", 18, (40, 400), (140, 388), (300, 392), (470, 402), hand=5)


def rough_village(c: Canvas) -> None:
    """Rough: blocks and dabs; roofs that lean, and a road that wavers."""
    c.hatch("sky", 54, 10, 0, 500, 220)
    for x, y in ((120, 70), (170, 84), (380, 60)):
        c.blob("cloud", x, y, 36)
    c.hatch("hill", 36, 10, 216, 500, 282)
    c.hatch("grass", 46, 0, 280, 510, 510)
    for left, top, right, bottom in ((70, 236, 164, 330), (214, 214, 280, 318), (344, 244, 452, 344)):
        c.shape("building", (left, top), (right - 8, top + 10), (right + 6, bottom), (left - 6, bottom - 8), hand=5)
        c.stroke("building", 26, (left - 6, top + 4), ((left + right) / 2, top - 34), (right + 4, top + 8), hand=5)
    c.stroke("road", 50, (300, 512), (270, 430), (330, 380), (306, 330), hand=8)
    c.stroke("road", 34, (270, 420), (160, 380), (40, 392), hand=8)
    for x, y, size in ((30, 300, 36), (192, 306, 26), (480, 310, 40)):
        c.blob("tree", x, y, size)
    for x, y in ((80, 470), (130, 450), (420, 450), (460, 480)):
        c.blob("flower", x, y, 20)


def strokes_mountains(c: Canvas) -> None:
    """A few strokes: a ridge, a river, a sun."""
    c.stroke("mountain", 30, (0, 300), (130, 180), (220, 270), (340, 140), (512, 300), hand=5)
    c.stroke("snow", 18, (312, 168), (340, 134), (368, 166), hand=3)
    c.stroke("water", 34, (300, 330), (250, 380), (320, 430), (280, 512), hand=5)
    c.disc("sun", 90, 90, 34)
    for x, y in ((60, 400), (120, 430), (440, 400)):
        c.stroke("tree", 34, (x, y), (x, y - 54), hand=3)


def strokes_meadow(c: Canvas) -> None:
    """A few broad strokes: a horizon, a path, a house, a tree, flowers."""
    c.stroke("sky", 70, (40, 100), (230, 70), (470, 110), hand=8)
    c.stroke("hill", 34, (0, 262), (160, 236), (330, 262), (512, 240), hand=4)
    c.stroke("grass", 60, (20, 330), (200, 345), (300, 330), hand=6)
    c.stroke("grass", 60, (20, 440), (190, 450), hand=6)
    c.stroke("grass", 60, (400, 440), (500, 430), hand=6)
    c.stroke("road", 44, (270, 512), (300, 420), (350, 350), (396, 320), hand=5)
    c.shape("building", (366, 216), (448, 216), (448, 306), (366, 306), hand=3)
    c.stroke("building", 20, (352, 222), (407, 176), (462, 222), hand=2)
    c.stroke("tree", 16, (110, 330), (112, 250), hand=3)
    c.blob("tree", 112, 214, 50)
    for x, y in ((70, 440), (130, 470), (180, 430), (420, 450), (460, 420)):
        c.disc("flower", x, y, 12, 10)


LAYOUTS: Sequence[Callable[[Canvas], None]] = (
    *(landscape, seaside, rough_lake, rough_village),
    *(strokes_mountains, strokes_meadow),
)


def painted(layout: Callable[[Canvas], None]) -> Image.Image:
    """(SIDE, SIDE) RGBA; the same each time."""
    canvas = Canvas(seed=LAYOUTS.index(layout))
    layout(canvas)
    return canvas.picture


if __name__ == "__main__":
    for layout in LAYOUTS:
        painted(layout).save(FOLDER / f"{layout.__name__}.png", optimize=True)
