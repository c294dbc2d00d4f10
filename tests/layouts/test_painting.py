"""Painting by mask and masks of what is painted: one undoes the other; names are found as people write them."""

import pytest
import torch

from scdm.layouts.labels import LabelMap, instance_borders
from scdm.layouts.painting import class_called, class_choices, class_masks, painted
from scdm.layouts.palette import Palette, palette_names

THREE = Palette("three", ("Sky", "traffic light", "sky-other"), (None, None, None))
MASK = 3


def layouts(batch: int = 1) -> LabelMap:
    generator = torch.Generator().manual_seed(0)
    return LabelMap(torch.randint(0, MASK + 1, (batch, 6, 8), generator=generator), MASK)


def test_a_layout_is_painted_anew_from_its_masks() -> None:
    labels = layouts(2)
    masks = class_masks(labels, range(MASK + 1)).unflatten(0, (2, MASK + 1))  # (B, classes and MASK, H, W)
    assert torch.equal(masks.sum(dim=1), torch.ones(2, 6, 8)), "each pixel is in one mask"
    anew = LabelMap(torch.zeros_like(labels.ids), MASK)
    for class_id in range(MASK + 1):
        anew = painted(anew, masks[:, class_id], class_id)
    assert torch.equal(anew.ids, labels.ids)


def test_half_a_pixel_is_enough_and_less_is_not() -> None:
    labels = LabelMap(torch.zeros(1, 1, 3, dtype=torch.int64), MASK)
    assert painted(labels, torch.tensor([[[0.49, 0.5, 1.0]]]), 2).ids.tolist() == [[[0, 2, 2]]]
    fine = torch.tensor([[[1.0, 0, 0, 1, 0, 1, 0, 0, 0]]])  # three of its pixels lie under one of the layout
    assert painted(labels, fine, 2).ids.tolist() == [[[0, 2, 0]]]
    coarse = torch.tensor([[[1.0]]])
    assert painted(labels, coarse, MASK).unpainted.all(), "erased"
    assert torch.equal(painted(labels, torch.zeros(1, 64, 64), 2).ids, labels.ids), "an empty mask paints nothing"


def test_one_goes_with_many_and_many_go_one_by_one() -> None:
    masks = torch.zeros(2, 6, 8)
    masks[1] = 1
    one, two = painted(layouts(1), masks, 1), painted(layouts(2), masks, 1)
    assert torch.equal(one.ids[0], layouts(1).ids[0]) and (one.ids[1] == 1).all()
    assert torch.equal(two.ids[0], layouts(2).ids[0]) and (two.ids[1] == 1).all()
    assert painted(layouts(3), masks[:1], 1).batch == 3
    with pytest.raises(ValueError, match="3 layouts and 2 masks do not go together"):
        painted(layouts(3), masks, 1)


def test_paint_over_an_instance_and_its_borders_are_no_longer_known() -> None:
    labels = layouts()
    labels = LabelMap(labels.ids, MASK, instance_borders(labels.ids))
    assert painted(labels, torch.ones(1, 6, 8), 0).edges is None


def test_masks_that_fit_into_no_memory_are_refused() -> None:
    huge = LabelMap(torch.zeros(1, 1, 1, dtype=torch.int64).expand(1, 8192, 8192), 151)
    with pytest.raises(ValueError, match="152 masks of 8192 x 8192 pixels take more than 4 GB"):
        class_masks(huge, range(152))


@pytest.mark.parametrize(
    ("text", "class_id"),
    [("sky", 0), (" SKY ", 0), ("Traffic  Light", 1), ("2", 2), ("unpainted", MASK), ("Unpainted", MASK), ("3", MASK)],
)
def test_classes_are_found_as_people_write_them(text: str, class_id: int) -> None:
    assert class_called(THREE, text) == class_id


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("other", "did you mean 'sky-other'?"),
        ("trafic light", "did you mean 'traffic light'?"),
        ("unpaintd", "is called unpainted"),
        ("4", "Its ids are 0 to 2"),
        ("", "give the name of one: Sky, traffic light, sky-other"),
    ],
)
def test_unknown_classes_get_a_hint(text: str, hint: str) -> None:
    with pytest.raises(ValueError, match=f"palette three has no class .*{hint}"):
        class_called(THREE, text)


def test_a_name_that_two_classes_share_asks_for_an_id() -> None:
    ade20k = Palette.named("ade20k")
    with pytest.raises(ValueError, match="2 classes called screen: give an id, 58 or 130"):
        class_called(ade20k, "screen")
    assert class_called(ade20k, "130") == class_called(ade20k, "Screen (130)") == 130


def test_choices_name_each_class_once_and_lead_back_to_it() -> None:
    for name in palette_names():
        palette = Palette.named(name)
        choices = class_choices(palette)
        assert len({*choices}) == len(choices) == palette.num_classes + 1
        assert [class_called(palette, choice) for choice in choices] == list(range(len(choices)))


def test_an_unknown_class_gets_the_nearest_names_and_no_endless_list() -> None:
    ade20k = Palette.named("ade20k")
    with pytest.raises(ValueError, match="did you mean 'mountain' or 'fountain'"):
        class_called(ade20k, "moutain")
    with pytest.raises(ValueError, match=r"give the name of one: wall, building, .* and 111 more") as error:
        class_called(ade20k, "qqq")
    assert len(str(error.value)) < 600


def test_a_class_that_is_called_like_a_number_goes_before_the_id() -> None:
    assert class_called(Palette("digits", ("1", "0"), (None, None)), "1") == 0
