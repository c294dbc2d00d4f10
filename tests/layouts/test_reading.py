"""Pictures in memory mean what their files would mean: colours, ids, and what is transparent."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from scdm.layouts.palette import Color, Palette
from scdm.layouts.reading import decoded

SKY, WALL = (6, 230, 230), (120, 120, 120)
PAINTS = Palette("paints", ("sky", "wall", "tree", "road"), (SKY, WALL, (4, 200, 3), None))
MASK = 4


def silent(_: str) -> None:
    pass


def picture(*pixels: Color | tuple[int, int, int, int]) -> np.ndarray:
    """One picture of one row."""
    return np.array([[pixels]], dtype=np.uint8)


def grey(*levels: int) -> np.ndarray:
    return picture(*[(level, level, level) for level in levels])


@settings(deadline=None, max_examples=50)
@given(arrays(np.uint8, st.tuples(st.just(1), st.integers(1, 5), st.integers(1, 5), st.sampled_from([3, 4]))))
def test_colours_are_read_as_from_a_file(levels: np.ndarray) -> None:
    levels[..., 0, 0, :3] = SKY  # no grey picture, and no empty one
    levels[..., 0, 0, 3:] = 255
    expected = PAINTS.to_labels(Image.fromarray(levels[0]), 200, silent)
    assert np.array_equal(decoded(levels, PAINTS, 200, silent).ids, expected.ids)


def test_a_batch_of_pictures_is_a_batch_of_layouts() -> None:
    both = np.concatenate([picture(SKY, WALL), picture(WALL, SKY)])
    assert decoded(both, PAINTS).ids.tolist() == [[[0, 1]], [[1, 0]]]


def test_ids_are_read_from_one_channel_or_from_three_alike() -> None:
    ids = np.array([[[[0], [1], [3], [255]]]], dtype=np.uint8)
    assert decoded(ids, PAINTS).ids.tolist() == [[[0, 1, 3, MASK]]]
    assert decoded(grey(0, 1, 3, 255), PAINTS).ids.tolist() == [[[0, 1, 3, MASK]]]


def test_a_palettes_own_greys_are_colours() -> None:
    assert decoded(grey(120, 120, 121), PAINTS).ids.tolist() == [[[1, 1, 1]]]
    ade20k = Palette.named("ade20k")
    assert decoded(grey(120, 120, 140), ade20k, remark=silent).ids.tolist() == [[[0, 0, 6]]]
    assert decoded(grey(0, 12, 149, 150), ade20k).ids.tolist() == [[[0, 12, 149, 150]]], "levels that paint nothing"


def test_what_is_transparent_has_no_say() -> None:
    red = (255, 0, 0, 0)
    assert decoded(picture((*SKY, 128), (*SKY, 127), red), PAINTS).ids.tolist() == [[[0, MASK, MASK]]]
    assert decoded(picture((2, 2, 2, 255), red), PAINTS).ids.tolist() == [[[2, MASK]]], "grey where it is opaque"
    assert decoded(picture((*WALL, 255), red), PAINTS).ids.tolist() == [[[1, MASK]]]
    assert decoded(picture(red, (9, 9, 9, 0)), PAINTS).unpainted.all(), "an empty layer"


def test_every_grey_at_once_cannot_be_ids() -> None:
    levels = grey(*range(256))
    ids = decoded(levels, PAINTS, remark=silent).ids.flatten()
    assert ids[120] == 1 and (ids != MASK).sum() == 19, "the greys near the wall's"


def test_remarks_are_made_once_and_errors_name_the_picture() -> None:
    red = (255, 0, 0)
    remarks: list[str] = []
    decoded(np.concatenate([picture(SKY, red)] * 3), PAINTS, remark=remarks.append)
    assert len(remarks) == 1 and "no colour of palette paints" in remarks[0]
    with pytest.raises(ValueError, match="picture 2 of 2: no pixel has a colour of palette paints"):
        decoded(np.concatenate([picture(SKY), picture(red)]), PAINTS)
    with pytest.raises(ValueError, match=r"^no pixel has a colour"):
        decoded(picture(red), PAINTS)
    with pytest.raises(ValueError, match="1, 3 or 4 channels"):
        decoded(np.zeros((1, 2, 2, 2), np.uint8), PAINTS)


def test_values_are_chosen_as_for_files() -> None:
    ade20k = Palette.named("ade20k")
    assert decoded(grey(0, 3), ade20k, values="annotations").ids.tolist() == [[[150, 2]]]
    assert decoded(grey(120, 121, 140), ade20k, remark=silent, values="colors").ids.tolist() == [[[0, 0, 6]]]
    remarks: list[str] = []
    assert decoded(np.zeros((2, 4, 4, 3), np.uint8), ade20k, remark=remarks.append).unpainted.all()
    assert len(remarks) == 1 and "every pixel is 0" in remarks[0], "a canvas on which nothing is painted"
