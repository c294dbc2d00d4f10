"""Which sizes a model was taught, and what is said beyond them."""

from __future__ import annotations

import pytest

from scdm.models.sizes import TaughtSizes

SEVERAL = TaughtSizes(((128, 128), (64, 64), (512, 512)))
WIDE = TaughtSizes(((256, 512),))


def test_the_largest_is_preferred() -> None:
    assert SEVERAL.preferred == (512, 512) and WIDE.preferred == (256, 512)


@pytest.mark.parametrize(("taught", "words"), [(SEVERAL, "64 to 512 pixels"), (WIDE, "512x256 pixels")])
def test_they_are_named_as_people_do(taught: TaughtSizes, words: str) -> None:
    assert str(taught) == words


@pytest.mark.parametrize(
    ("taught", "size"),
    [
        (SEVERAL, (256, 512)),
        (WIDE, (180, 700)),
        (SEVERAL, (200, 300)),
        (SEVERAL, (768, 600)),
        (SEVERAL, (50, 100)),
        (WIDE, (256, 512)),
    ],
)
def test_nothing_is_said_near_them(taught: TaughtSizes, size: tuple[int, int]) -> None:
    assert taught.remark(size) == ""


@pytest.mark.parametrize(
    ("taught", "size", "advice"),
    [
        (
            SEVERAL,
            (1024, 1024),
            "at 1024x1024 shapes may repeat and fall apart: paint at 512x512 and enlarge the result",
        ),
        (SEVERAL, (768, 1024), "paint at 512x384 and enlarge"),
        (SEVERAL, (32, 48), "at 48x32 shapes may dissolve: paint at 96x64 and reduce"),
        (SEVERAL, (95, 512), "an image is far longer than those, and shapes may repeat: paint at 512x256 and crop"),
        (WIDE, (700, 171), "paint at 175x700 and crop"),
        (SEVERAL, (16, 2048), "paint at 512x256 and enlarge and crop the result"),
        (SEVERAL, (64, 1), "paint at 64x128 and reduce and crop the result"),
        (SEVERAL, (20, 512), "paint at 512x256 and crop the result"),
        (TaughtSizes(((256, 256),)), (1080, 1920), "paint at 384x216 and enlarge the result"),
        (WIDE, (1024, 2048), "taught images of 512x256 pixels; at 2048x1024"),
    ],
)
def test_far_from_them_there_is_advice(taught: TaughtSizes, size: tuple[int, int], advice: str) -> None:
    assert advice in taught.remark(size)
    again = taught.remark(taught.nearest(size))
    assert not again or "crop" in again


@pytest.mark.parametrize("taught", [SEVERAL, WIDE, TaughtSizes(((256, 256),))])
@pytest.mark.parametrize("size", [(1, 64), (20, 512), (16, 8000), (100, 3000), (3000, 100), (1024, 2048), (5, 5)])
def test_the_advice_holds_for_what_it_advises(taught: TaughtSizes, size: tuple[int, int]) -> None:
    """At the advised size nothing more is said, and only cropping changes proportions."""
    said = taught.remark(size)
    width, height = map(int, said.partition("paint at ")[2].partition(" ")[0].split("x"))
    assert taught.remark((height, width)) == ""
    if "crop" not in said:
        assert width / height == pytest.approx(size[1] / size[0], rel=0.02)


def test_the_nearest_size_keeps_proportions_however_long() -> None:
    assert SEVERAL.nearest((90, 512)) == (90, 512) and SEVERAL.nearest((180, 1024)) == (90, 512)


def test_a_size_that_is_taught_is_its_own_nearest() -> None:
    assert SEVERAL.nearest((200, 300)) == (200, 300) and SEVERAL.nearest((2000, 1000)) == (512, 256)
