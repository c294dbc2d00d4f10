"""The official folders, and what values in their label maps mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scdm.datasets import DataConfig, open_dataset, open_pairs
from scdm.datasets.framing import stretch
from scdm.datasets.pairs import augmented
from scdm.layouts.labels import LabelMap, instance_borders
from scdm.layouts.values import UNKNOWN
from tests.datasets import trees
from tests.datasets.test_framing import Recorded
from tests.parity import arrays, entries, facts, tensors

ITEMS = "data/dataset_items"
OURS = {"ade20k": "ade20k", "celeba": "celebamask_hq", "coco": "coco_stuff", "cityscapes": "cityscapes"}


@pytest.mark.parametrize("name", OURS.values())
def test_official_folders_open(name: str, tmp_path: Path) -> None:
    for split in ("train", "val"):
        for image in ("b", "a"):
            trees.write(tmp_path, name, trees.random_label(1), name=image, split=split)
        data = open_dataset(DataConfig(name, root=str(tmp_path), size=16), split)
        assert len(data) == 2 and list(data.check()) == []
        prefix = "aachen/" if name == "cityscapes" else ""
        assert data.validation().names == [f"{prefix}a", f"{prefix}b"]
        for example in (data.validation()[1], data.training()[0]):
            assert example.image.shape == (3, 16, 16) and example.image.dtype == torch.float32
            assert example.ids.shape == (16, 16) and example.ids.dtype == torch.int64
            assert (example.edges is not None) == data.palette.edge_channel


@pytest.mark.parametrize(
    "published", [key.removeprefix("remap_") for key in tensors(ITEMS) if key.startswith("remap_")]
)
def test_ids_of_values_are_the_published_ones(published: str, tmp_path: Path) -> None:
    """Wherever the published id is one of a class: what is none, we refuse."""
    name = OURS[published]
    trees.write(tmp_path, name, trees.random_label(1))
    reader = open_pairs(DataConfig(name, root=str(tmp_path))).reader
    expected = arrays(ITEMS)[f"remap_{published}"].numpy()
    expected[expected >= reader.palette.num_classes] = UNKNOWN
    assert np.array_equal(reader.id_of[:256], expected)


@pytest.mark.parametrize("index", entries(ITEMS, "cases"))
def test_items_are_the_published_ones(index: int, tmp_path: Path) -> None:
    """From files to the network's condition, with the recorded draws."""
    case, golden = facts(ITEMS)["cases"][index], arrays(ITEMS, str(index))
    name = OURS[case["dataset"]]
    instances = golden["instance_file"].numpy() if "instance_file" in golden else None
    trees.write(tmp_path, name, golden["label_file"].numpy(), golden["image_file"].numpy(), instances)
    size = tuple(golden["out_image"].shape[1:])
    config = DataConfig(name, root=str(tmp_path), size=size)
    data = open_pairs(config, "train")
    assert data.palette.num_classes == case["num_classes"]

    def frame(source: tuple[int, int], position: int):
        if not case["train"]:
            return stretch(source, size)
        return augmented(source, config, data.fit, Recorded(case["draws"]))  # type: ignore[arg-type]

    example = data.reader.example(data.pairs[0], frame, 0)

    assert (example.image - golden["out_image"]).abs().max() <= 2 / 255 + 1e-6
    assert torch.equal(example.ids[None], golden["label"].long())
    if "out_instance" in golden:
        assert torch.equal(example.edges, instance_borders(golden["out_instance"].long())[0])
    else:
        assert example.edges is None
    edges = None if example.edges is None else example.edges[None]
    y = LabelMap(example.ids[None], case["num_classes"], edges).one_hot()
    assert y.shape[1] == case["y_channels"]
    if "y" in golden:  # only in the full set
        assert torch.equal(y, golden["y"].float())


def test_instances_of_sixteen_bits_keep_neighbours_apart(tmp_path: Path) -> None:
    """Cityscapes numbers its cars 26000, 26001, ..., which agree in their lower 8 bits with others."""
    instances = np.full((8, 8), 26000, dtype=np.uint16)
    instances[:, 4:] = 26000 + 256
    trees.write(tmp_path, "cityscapes", np.full((8, 8), 26, dtype=np.uint8), instances=instances)
    data = open_dataset(DataConfig("cityscapes", root=str(tmp_path), size=8))
    edges = data.validation()[0].edges
    assert edges is not None and edges[0, 0].tolist() == [False] * 3 + [True] * 2 + [False] * 3


def test_maps_of_another_resolution_are_for_faces_and_folders(tmp_path: Path) -> None:
    """CelebAMask-HQ has images of 1024 pixels and masks of 512."""
    for name in ("celebamask_hq", "ade20k", "folder"):
        trees.write(tmp_path / name, name, trees.random_label(0, size=(8, 8)), trees.random_image(0, (16, 16)))
    faces = open_dataset(DataConfig("celebamask_hq", root=str(tmp_path / "celebamask_hq"), size=16))
    assert list(faces.check()) == []
    assert torch.equal(faces.validation()[0].ids[::2, ::2], torch.from_numpy(faces.layout(0)))
    mine = open_dataset(trees.folder_config(tmp_path / "folder"))
    assert list(mine.check()) == [] and torch.equal(mine.validation()[0].ids, faces.validation()[0].ids)
    scenes = open_dataset(DataConfig("ade20k", root=str(tmp_path / "ade20k"), size=16))
    (problem,) = scenes.check()
    assert "a.png is 8 x 8 pixels, but its image" in problem and "is 16 x 16" in problem


@pytest.mark.parametrize(
    "image, label, fits",
    [
        ((480, 641), (240, 320), True),  # halved and rounded
        ((375, 500), (188, 250), True),
        ((240, 320), (480, 641), True),
        ((40, 30), (30, 40), False),  # turned
        ((32, 31), (31, 32), False),
        ((64, 64), (32, 30), False),  # cut
        ((1080, 1920), (720, 1080), False),
    ],
)
def test_maps_of_a_folder_have_the_proportions_of_their_images(
    image: tuple[int, int], label: tuple[int, int], fits: bool, tmp_path: Path
) -> None:
    trees.write(tmp_path, "folder", trees.random_label(0, size=label), trees.random_image(0, image))
    problems = list(open_dataset(trees.folder_config(tmp_path)).check())
    assert fits == (problems == [])
    if not fits:
        assert f"export the map again at {image[1]} x {image[0]} without smoothing" in problems[0]
