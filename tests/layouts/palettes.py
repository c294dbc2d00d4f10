"""Palettes that tests of layouts share."""

from hypothesis import strategies as st

from scdm.layouts.palette import Color, Palette

SKY, TREE, ROAD = (6, 230, 230), (4, 200, 3), (140, 140, 140)
THREE = Palette("three", ("sky", "tree", "road"), (SKY, TREE, ROAD))


@st.composite
def palettes(draw: st.DrawFn) -> Palette:
    """Palettes of distinct colours, some classes without one."""
    level = st.integers(0, 255)
    found: list[Color] = draw(st.lists(st.tuples(level, level, level), min_size=1, max_size=12, unique=True))
    colors = [color if draw(st.booleans()) else None for color in found]
    names = tuple(draw(st.text(max_size=5)) for _ in colors)
    unlabelled = draw(st.none() | st.integers(0, len(colors) - 1))
    return Palette("any", names, tuple(colors), unlabelled, draw(st.booleans()), draw(st.text(max_size=5)))
