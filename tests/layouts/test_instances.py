"""Instance maps of every depth and colour, and the borders that they give to layouts."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from scdm.layouts.fitting import fitted
from scdm.layouts.instances import bordered, instances_of, read_instances
from scdm.layouts.labels import LabelMap, instance_borders

IDS = np.array([[0, 1, 1, 2], [0, 1, 2, 2]])
BORDERS = instance_borders(torch.from_numpy(IDS)[None])


def borders_of(path: Path) -> torch.Tensor:
    return instance_borders(read_instances(path).ids)


def layout(*rows: list[int]) -> LabelMap:
    return LabelMap.checked(torch.tensor(rows), 5)


@pytest.mark.parametrize(
    "values, dtype",
    [
        ([0, 1, 2], np.uint8),
        ([0, 26001, 26001 + 256], np.uint16),
        ([7, 33001, 65535], np.uint16),
        ([-1, 0, 70000], np.int32),
    ],
)
def test_ids_of_any_depth_keep_things_apart(values: list[int], dtype: type, tmp_path: Path) -> None:
    Image.fromarray(np.array(values)[IDS].astype(dtype)).save(tmp_path / "things.tif")
    assert torch.equal(borders_of(tmp_path / "things.tif"), BORDERS)


@pytest.mark.parametrize("kind", ["colours", "alpha", "colour table", "whole floats", "grey and alpha"])
def test_colours_and_other_kinds_keep_things_apart(kind: str, tmp_path: Path) -> None:
    colours = np.array([[0, 0, 0], [1, 2, 3], [3, 2, 1]], np.uint8)[IDS]
    table = Image.fromarray(IDS.astype(np.uint8))
    table.putpalette([0, 0, 0, 1, 2, 3, 3, 2, 1])
    pictures = {
        "colours": Image.fromarray(colours),
        "alpha": Image.fromarray(np.dstack([colours, np.where(IDS == 0, 0, 255).astype(np.uint8)])),
        "colour table": table,
        "whole floats": Image.fromarray(IDS.astype(np.float32)),
        "grey and alpha": Image.fromarray(np.dstack([IDS, np.full_like(IDS, 255)]).astype(np.uint8)),
    }
    path = tmp_path / ("things.tif" if kind == "whole floats" else "things.png")
    pictures[kind].save(path)
    assert torch.equal(borders_of(path), BORDERS)


def test_what_is_transparent_is_one_thing() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1, 4, 4, 4), dtype=np.uint8)
    noise[..., 3] = 0
    assert not instance_borders(instances_of(noise).ids).any()


def test_pictures_in_memory_are_a_batch() -> None:
    colours = np.array([[0, 0, 0], [1, 2, 3], [3, 2, 1]], np.uint8)[IDS]
    things = instances_of(np.stack([colours, colours[::-1]]))
    assert torch.equal(instance_borders(things.ids)[0], BORDERS[0]) and things.batch == 2
    with pytest.raises(ValueError, match="1, 3 or 4 channels"):
        instances_of(np.zeros((2, 2, 3), np.uint8))


def test_two_things_of_a_class_get_a_border() -> None:
    labels = layout([0] * 6, [1] * 6, [1] * 6)
    things = LabelMap(torch.tensor([[[0] * 6, [1] * 3 + [2] * 3, [1] * 3 + [2] * 3]]), 3)
    said: list[str] = []
    edges = bordered(labels, things, said.append).edges
    assert edges is not None and torch.equal(edges, instance_borders(things.ids))
    assert edges[0, 0, 2].tolist() == [False, False, True, True, False, False]


def test_a_map_of_some_things_only_is_completed_by_the_classes() -> None:
    labels = layout([0] * 9, [1] * 9, [2] * 9, [2] * 9, [2] * 9, [2] * 9)
    things = torch.zeros(1, 6, 9, dtype=torch.int64)
    things[:, 4:, 4:] = 1
    said: list[str] = []
    edges = bordered(labels, LabelMap(things, 2), said.append).edges
    assert edges is not None and torch.equal(edges, instance_borders(things) | instance_borders(labels.ids))
    assert len(said) == 1 and "so these are added" in said[0]


def test_a_smoothed_map_is_told() -> None:
    noise = torch.from_numpy(np.random.default_rng(0).integers(0, 9, (1, 8, 8)))
    said: list[str] = []
    bordered(layout(*[[0] * 8] * 8), LabelMap(noise, 9), said.append)
    assert len(said) == 1 and "in JPEG or after smoothing" in said[0]


def test_sizes_must_be_the_same() -> None:
    with pytest.raises(ValueError, match="the instance map is 2x1, the layout 1x1"):
        bordered(layout([0]), LabelMap(torch.zeros(1, 1, 2, dtype=torch.int64), 1))


def test_borders_are_those_of_the_size_that_is_made() -> None:
    """One thin border each, not the old ones enlarged or lost."""
    labels, things = layout([1, 1]), LabelMap(torch.tensor([[[0, 1]]]), 2)
    edges = bordered(fitted(labels, 4, 8), fitted(things, 4, 8), lambda _: None).edges
    assert edges is not None and edges[0, 0].tolist() == [[False] * 3 + [True] * 2 + [False] * 3] * 4


def test_colours_of_16_bits_are_refused_where_8_of_them_would_make_one_thing_of_several(tmp_path: Path) -> None:
    colours = np.repeat(np.array([0, 26001, 26002])[IDS][..., None], 3, axis=-1).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "things.png"), colours)
    with pytest.raises(ValueError, match=r"save .* an instance map as a grey PNG of 16 bits"):
        read_instances(tmp_path / "things.png")
    cv2.imwrite(str(tmp_path / "things.png"), colours // 256 * np.uint16(257))
    assert len(np.unique(read_instances(tmp_path / "things.png").ids)) == 2
