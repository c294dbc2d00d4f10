"""Settings that contradict each other are refused, and say what to do."""

from __future__ import annotations

import pytest

from scdm.datasets import DataConfig
from scdm.files.config import from_dict


@pytest.mark.parametrize(
    "settings, complaint",
    [
        ({"name": "ade20k"}, "ade20k needs a root: the folder"),
        ({"name": "scenes", "values": "ids"}, "scenes are made, not read, so they have no values"),
        ({"name": "scenes", "root": "here"}, "scenes are made, not read, so they have no root"),
        ({"name": "folder", "root": "here"}, "folder needs classes: a class table"),
        (
            {"name": "ade20k", "root": "here", "classes": "table.json"},
            "ade20k has its own classes: leave table.json out",
        ),
        ({"size": 0}, "sides of 1 to 8192 pixels, not 0"),
        ({"size": [64, 10_000]}, "sides of 1 to 8192 pixels"),
        ({"seed": -1}, "not negative"),
        ({"workers": -1}, "0 to 256 workers, not -1"),
        ({"workers": 10**6}, "0 to 256 workers, not 1000000"),
        ({"exif": "turn"}, "apply, ignore"),
        ({"fit": "squash"}, "random_crop, center_crop, stretch"),
        (
            {"name": "ade20k", "root": "here", "label_suffix": "_m"},
            "ade20k has names of its own: leave label_suffix out",
        ),
        ({"name": "folder", "root": "a", "classes": "b", "image_prefix": "a/"}, "part of names, which have no folders"),
        ({"list": "train.txt"}, "no list of them"),
        ({"unpaired": "skip"}, "nothing to skip"),
        ({"name": "ade20k", "root": "here", "unpaired": "blank"}, "refuse, skip"),
        ({"name": "imagenet"}, "scenes, ade20k, celebamask_hq, cityscapes, coco_stuff, folder"),
    ],
)
def test_what_cannot_be(settings: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        from_dict(DataConfig, settings)


def test_one_side_is_a_square() -> None:
    assert DataConfig(size=48).height_width == (48, 48)
    assert DataConfig(size=(32, 64)).height_width == (32, 64)
