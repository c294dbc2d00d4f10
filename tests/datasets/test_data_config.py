"""Settings that contradict each other are refused, and say what to do."""

from __future__ import annotations

import pytest

from scdm.datasets import DataConfig
from scdm.files.config import from_dict


@pytest.mark.parametrize(
    "settings, complaint",
    [
        ({"name": "ade20k"}, r"ade20k needs data\.root: the folder"),
        ({"name": "scenes", "values": "ids"}, r"scenes takes no data\.values: leave it out"),
        ({"name": "scenes", "root": "here"}, r"scenes takes no data\.root"),
        ({"name": "folder", "root": "here"}, r"folder needs data\.classes: the class table of a folder, JSON or YAML"),
        (
            {"name": "ade20k", "root": "here", "classes": "table.json"},
            r"ade20k takes no data\.classes: leave it out",
        ),
        (
            {"size": 0},
            r"data\.size must be a whole number of pixels from 1 to 8192, or 2 numbers from 1 to 8192, not 0",
        ),
        ({"size": [64, 10_000]}, r"data\.size must be .* from 1 to 8192, not \(64, 10000\)"),
        ({"seed": -1}, r"data\.seed must be a whole number from 0, not -1"),
        ({"workers": -1}, r"data\.workers must be a whole number from 0 to 256, not -1"),
        ({"workers": 10**6}, r"data\.workers must be .*256, not 1000000"),
        ({"exif": "turn"}, "apply, ignore"),
        ({"fit": "squash"}, "random_crop, center_crop, stretch"),
        (
            {"name": "ade20k", "root": "here", "label_suffix": "_m"},
            r"ade20k takes no data\.label_suffix",
        ),
        ({"name": "folder", "root": "a", "classes": "b", "image_prefix": "a/"}, "a part of names, without folders"),
        ({"list": "train.txt"}, r"takes no data\.list"),
        ({"unpaired": "skip"}, r"takes no data\.unpaired"),
        ({"name": "ade20k", "root": "here", "unpaired": "blank"}, "refuse, skip"),
        ({"name": "imagenet"}, "ade20k, celebamask_hq, cityscapes, coco_stuff, folder, scenes or shards"),
    ],
)
def test_what_cannot_be(settings: dict, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        from_dict(DataConfig, settings)


def test_one_side_is_a_square() -> None:
    assert DataConfig(size=48).height_width == (48, 48)
    assert DataConfig(size=(32, 64)).height_width == (32, 64)
