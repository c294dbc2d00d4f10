"""Archives: the examples of a folder, read in place, in any process."""

from __future__ import annotations

import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from scdm.datasets import DataConfig, open_dataset
from scdm.files.images import read_image
from scdm.files.members import Member, members_of
from tests.datasets.trees import CLASSES


@pytest.fixture
def folder(tmp_path: Path) -> DataConfig:
    """Five pairs in a folder, whose label maps hold a class each."""
    (tmp_path / "classes.yaml").write_text(yaml.safe_dump(CLASSES))
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (tmp_path / "folder" / split / kind).mkdir(parents=True)
        for i in range(5):
            place = tmp_path / "folder" / split
            Image.fromarray(rng.integers(0, 256, (20, 24, 3), np.uint8)).save(place / "images" / f"a{i}.png")
            labels = np.full((20, 24), i % 3, np.uint8)
            labels[0] = 1
            Image.fromarray(labels).save(place / "labels" / f"a{i}.png")
    return DataConfig("folder", str(tmp_path / "folder"), str(tmp_path / "classes.yaml"), size=16, workers=0)


def archived(config: DataConfig, mode: str = "w", labels: int = 5) -> DataConfig:
    """The same pairs in two archives of each split."""
    root = Path(config.root or "").parent / "shards"
    for split in ("train", "val"):
        (root / split).mkdir(parents=True, exist_ok=True)
        for number, places in enumerate((range(0, 2), range(2, 5))):
            with tarfile.open(root / split / f"{number}.tar", mode) as archive:
                for i in places:
                    place = Path(config.root or "") / split
                    archive.add(place / "images" / f"a{i}.png", f"./a{i}.png")
                    if i < labels:
                        archive.add(place / "labels" / f"a{i}.png", f"./a{i}.label.png")
                archive.add(config.classes or "", "./a0.txt")  # whatever else there is
    return replace(config, name="shards", root=str(root))


def test_archives_hold_the_examples_of_the_folder_in_their_order(folder: DataConfig) -> None:
    shards = archived(folder)
    for split in ("train", "val"):
        ours, theirs = (open_dataset(config, split) for config in (shards, folder))
        assert len(ours) == 5 and list(ours.validation().names) == [f"a{i}" for i in range(5)]
        for i in (0, 3, 11):
            one, other = ours.training(2)[i], theirs.training(2)[i]
            assert torch.equal(one.image, other.image) and torch.equal(one.ids, other.ids)
    assert list(open_dataset(shards).check()) == []
    assert np.array_equal(open_dataset(shards).layout(3), open_dataset(folder).layout(3))


def test_members_are_read_in_place_also_by_other_processes(folder: DataConfig) -> None:
    root = Path(archived(folder).root or "")
    member = pickle.loads(pickle.dumps(members_of(root / "val" / "1.tar")[0]))
    assert isinstance(member, Member) and str(member).endswith("1.tar/./a2.png")
    expected = read_image(Path(folder.root or "") / "val" / "images" / "a2.png")
    assert np.array_equal(np.asarray(read_image(member)), np.asarray(expected))


def test_what_is_missing_or_damaged_is_named(folder: DataConfig) -> None:
    shards = archived(folder, labels=4)
    data = open_dataset(shards)
    with pytest.raises(ValueError, match="a4: there is no label map of this name in the archives"):
        data.training()
    assert len(open_dataset(replace(shards, unpaired="skip"))) == 4
    archive = Path(shards.root or "") / "train" / "0.tar"
    content = archive.read_bytes()
    (member, *_) = members_of(archive)
    archive.write_bytes(content[: member.offset] + bytes(member.size) + content[member.offset + member.size :])
    assert any("0.tar/./a0.png: " in problem for problem in open_dataset(replace(shards, unpaired="skip")).check())
    archived(folder, mode="w:gz")
    with pytest.raises(
        ValueError, match=r"0.tar is no tar archive, or a compressed or damaged one: write it by tar -cf"
    ):
        open_dataset(shards)
    archive.write_bytes(b"nonsense" * 200)
    with pytest.raises(ValueError, match=r"0.tar is no tar archive"):
        open_dataset(shards)
    with pytest.raises(ValueError, match=r"absent.train has no archives \(\*.tar\)"):
        open_dataset(replace(shards, root=str(Path(shards.root or "") / "absent")))
    with pytest.raises(ValueError, match="not an address like 's3://bucket/streets': mount what is there, or copy it"):
        open_dataset(replace(shards, root="s3://bucket/streets"))
