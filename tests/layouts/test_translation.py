"""Layouts keep their meaning on the way from one palette to another."""

import pytest
import torch

from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette, palette_names
from scdm.layouts.translation import pairs, translated

PHOTO = Palette("photo", ("Wall", "sea", "GRASS", "tree"), (None,) * 4)
SCENE = Palette("scene", ("tree", "water", "grass"), (None,) * 3)


def test_classes_keep_their_names_and_the_rest_is_unpainted():
    labels = LabelMap(torch.tensor([[[0, 1, 2, 3, 4]]]), 4, torch.tensor([[[[True, False, True, False, True]]]]))
    made = translated(labels, PHOTO, SCENE)
    assert made.ids.tolist() == [[[3, 3, 2, 0, 3]]] and made.num_classes == 3
    assert made.edges is labels.edges
    assert translated(labels, PHOTO, SCENE, {"sea": "water", "3": "unpainted"}).ids.tolist() == [[[3, 1, 2, 3, 3]]]


@pytest.mark.parametrize("name", palette_names())
def test_a_palette_to_itself_changes_nothing(name):
    palette = Palette.named(name)
    labels = LabelMap(torch.arange(palette.num_classes + 1)[None, None], palette.num_classes)
    assert torch.equal(translated(labels, palette, palette).ids, labels.ids)


def test_as_many_classes_as_there_can_be_are_translated_at_once():
    """Documents from anywhere may list as many, of which each was compared with all before it."""
    count = 65000
    crowd = Palette("crowd", (*(f"c{i}" for i in range(count - 2)), "tree", "Tree"), (None,) * count)
    labels = LabelMap(torch.tensor([[[0, count - 2, count - 1, count]]]), count)
    assert translated(labels, crowd, SCENE).ids.tolist() == [[[3, 0, 3, 3]]]


def test_names_that_are_no_class_are_refused():
    labels = LabelMap(torch.zeros(1, 1, 1, dtype=torch.int64), 4)
    with pytest.raises(ValueError, match="palette photo has no class 'see': did you mean 'sea'"):
        translated(labels, PHOTO, SCENE, {"see": "water"})
    with pytest.raises(ValueError, match="palette scene has no class 'sea'"):
        translated(labels, PHOTO, SCENE, {"sea": "sea"})


def test_a_class_becomes_one_other_and_not_two():
    labels = LabelMap(torch.tensor([[[1]]]), 4)
    for twice in ({"sea": "water", "1": "grass"}, {"sea": "water", "SEA": "unpainted"}):
        with pytest.raises(ValueError, match=r"is to become both 'water' and '\w+': leave one of the two out"):
            translated(labels, PHOTO, SCENE, twice)
    assert translated(labels, PHOTO, SCENE, {"sea": "water", "1": "WATER"}).ids.tolist() == [[[1]]], "the same twice"
    with pytest.raises(ValueError, match=r"^'sea' is to become both 'water' and 'grass': leave one of the two out$"):
        pairs("sea = water\nsea = grass")
    assert pairs("sea = water, sea = water") == {"sea": "water"}


def test_pairs_are_read_line_by_line():
    assert pairs("sea = water\n\n house=building, 3 = unpainted,") == {
        "sea": "water",
        "house": "building",
        "3": "unpainted",
    }
    assert pairs(" \n") == {}
    for wrong in ("sea", "= water", "sea ="):
        with pytest.raises(ValueError, match="which class becomes which"):
            pairs(wrong)
    with pytest.raises(ValueError, match="which class becomes which") as refused:
        pairs("x" * 10**6)
    assert len(str(refused.value)) < 300, "and what is wrong is not repeated whole"
