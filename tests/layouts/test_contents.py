"""What a layout holds, in words: every class with its share, and no share that rounding makes untrue."""

import pytest
import torch

from scdm.layouts.contents import ClassShare, contents, percent, report, summary
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette

THREE = Palette("three", ("sky", "tree", "road"), (None, None, None))
MASK = 3


def layouts(*rows: list[int]) -> LabelMap:
    """One layout for each row, of one row of pixels."""
    return LabelMap(torch.tensor(rows)[:, None], THREE.num_classes)


def test_the_largest_part_comes_first_and_absent_classes_not_at_all() -> None:
    labels = layouts([2, 2, MASK, 0, 2], [MASK, MASK, 2, 2, 2])
    assert contents(labels, THREE) == [
        ClassShare(2, "road", 0.6),
        ClassShare(MASK, "unpainted", 0.3),
        ClassShare(0, "sky", 0.1),
    ]


def test_a_line_for_below_a_node() -> None:
    assert summary(layouts([0, 0, 0, 2]), THREE) == "4 x 1: sky 75%, road 25%"
    assert summary(layouts([0, 0], [MASK, MASK]), THREE) == "2 layouts of 2 x 1: sky 50%, unpainted 50%"


def test_the_report_tells_each_layout_apart() -> None:
    assert report(layouts([0, 0, 2, MASK], [2, 2, 2, 2]), THREE).splitlines() == [
        "4 x 1 pixels, palette three with 3 classes",
        "layout 1 of 2: 2 classes, 25% unpainted",
        "sky (0): 50%",
        "road (2): 25%",
        "layout 2 of 2: 1 class, 0% unpainted",
        "road (2): 100%",
    ]
    assert report(layouts([MASK]), THREE).splitlines()[1] == "0 classes, 100% unpainted"


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0, "0%"), (1e-9, "<0.1%"), (0.001, "0.1%"), (0.0994, "9.9%"), (0.0996, "10%"), (0.5, "50%"),
        (0.994, "99%"), (0.996, "99.6%"), (0.9989, "99.9%"), (0.99999, ">99.9%"), (1, "100%"),
    ],
)  # fmt: skip
def test_shares_in_words(share: float, words: str) -> None:
    assert percent(share) == words
