"""Archives: the examples of a folder, read in place, in any process."""

from __future__ import annotations

import pickle
import sys
import tarfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from scdm.datasets import Batch, DataConfig, DataSet, Example, PairSet, loader, open_dataset
from scdm.files import addresses
from scdm.files.addresses import Unreachable
from scdm.files.archive_index import write_index
from scdm.files.images import read_image
from scdm.files.members import Member, members_of
from tests.datasets.trees import CLASSES
from tests.files.servers import FileServer, serving


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


# ---- at addresses ----------------------------------------------------------------------------------------------------


@pytest.fixture
def http(tmp_path: Path) -> Iterator[FileServer]:
    pytest.importorskip("aiohttp", reason="fsspec reads addresses of HTTP by aiohttp")
    (tmp_path / "shards").mkdir(exist_ok=True)
    with serving(tmp_path / "shards") as server:
        server.lists = True
        yield server


@pytest.fixture(params=["memory", "file", "http"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[DataConfig], str]]:
    """Brings archives to an address, which it returns."""
    fsspec = pytest.importorskip("fsspec", reason="addresses need the extra 'remote'")

    def brought(shards: DataConfig) -> str:
        root = Path(shards.root or "")
        if request.param == "memory":
            for file in root.rglob("*.*"):
                fsspec.filesystem("memory").pipe(f"/bucket/{file.relative_to(root).as_posix()}", file.read_bytes())
            return "memory://bucket"
        return f"file://{root}" if request.param == "file" else request.getfixturevalue("http").address

    yield brought
    fsspec.filesystem("memory").store.clear()


def equal(one: Example, other: Example) -> bool:
    return torch.equal(one.image, other.image) and torch.equal(one.ids, other.ids) and one.position == other.position


def batches(data: DataSet, workers: int, start: int = 0, count: int = 4) -> list[Batch]:
    with closing(iter(loader(data.training(start), 2, workers=workers))) as found:  # which ends the workers
        return list(islice(found, count))


@pytest.mark.parametrize("index", [True, False])
def test_archives_at_an_address_hold_the_examples_of_the_folder(
    index: bool, folder: DataConfig, address: Callable[[DataConfig], str]
) -> None:
    """In their order, from any position on, in this process and in others; with and without an index."""
    shards = archived(folder)
    for split in ("train", "val"):
        if index:
            write_index(Path(shards.root or "") / split)
    shards = replace(shards, root=address(shards))
    ours, theirs = open_dataset(shards), open_dataset(folder)
    assert isinstance(ours, PairSet) and len(ours.notes) == (0 if index else 1)
    assert list(ours.validation().names) == list(theirs.validation().names)
    for i in (0, 3, 11):
        assert equal(ours.training(2)[i], theirs.training(2)[i])
    assert list(ours.check()) == [] and np.array_equal(ours.layout(3), theirs.layout(3))
    assert np.array_equal(ours.sizes, np.full((5, 2), (20, 24)))
    assert list(open_dataset(replace(shards, workers=2)).check()) == []
    for start in (0, 5):  # a run, and one that goes on
        for one, other in zip(batches(ours, 2, start), batches(theirs, 0, start), strict=True):
            assert torch.equal(one.images, other.images) and torch.equal(one.ids, other.ids)
            assert torch.equal(one.positions, other.positions)
    assert equal(ours.training(2)[1], theirs.training(2)[1])  # here too, after there were others
    assert len(open_dataset(shards, "val")) == 5


@pytest.mark.parametrize("workers", [0, 1])
def test_what_fails_for_a_moment_changes_nothing_and_for_good_ends_the_run(
    workers: int, folder: DataConfig, http: FileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other image stands in, as for one that is damaged: examples would depend on the network."""
    monkeypatch.setattr(addresses, "PAUSES", (0.01, 0.01))
    ours = open_dataset(replace(archived(folder), root=http.address))
    expected = open_dataset(folder).training()
    http.failures += [503, 503]
    (batch,) = batches(ours, workers, count=1)
    assert not http.failures and torch.equal(batch.images, torch.stack([expected[i].image for i in range(2)]))
    http.failures += [503] * 1000
    where = rf"^{http.address}/train/\d\.tar/\./a\d(\.label)?\.png cannot be read: 503"
    with pytest.raises(Unreachable, match=where), warnings.catch_warnings():
        warnings.simplefilter("error")
        batches(ours, workers)
    for read in (lambda: list(ours.check()), lambda: ours.validation()[0], lambda: ours.sizes):
        with pytest.raises(Unreachable, match=rf"^{http.address}/train/"):
            read()
    with pytest.raises(ValueError, match=rf"^{http.address}/train/index.json cannot be read: 503"):
        open_dataset(replace(folder, name="shards", root=http.address))


def test_a_damaged_image_at_an_address_is_left_out_like_any_other(
    folder: DataConfig, address: Callable[[DataConfig], str]
) -> None:
    shards = archived(folder)
    archive = Path(shards.root or "") / "train" / "0.tar"
    content = archive.read_bytes()
    member = members_of(archive)[0]
    archive.write_bytes(content[: member.offset] + bytes(member.size) + content[member.offset + member.size :])
    data = open_dataset(replace(shards, root=address(shards)))
    assert [problem for problem in data.check() if f"0.tar/{member.inner}: " in problem]
    with pytest.warns(UserWarning, match="left out, the next image stands in"):
        assert all(data.training()[i].image.shape == (3, 16, 16) for i in range(5))


def test_an_index_that_is_none_or_of_others_is_named(folder: DataConfig, address: Callable[[DataConfig], str]) -> None:
    shards = archived(folder)
    place = Path(shards.root or "") / "train"
    write_index(place)
    with (place / "1.tar").open("ab") as file:
        file.write(bytes(512))
    config = replace(shards, root=address(shards))
    with pytest.raises(ValueError, match=r"train/index\.json: it is not the index of these archives: 1\.tar has"):
        open_dataset(config)
    (place / "index.json").write_text("{}")
    with pytest.raises(ValueError, match=r"train/index\.json: it has no archives"):
        open_dataset(replace(shards, root=address(shards)))


def test_what_cannot_be_opened_is_said(folder: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fsspec", reason="addresses need the extra 'remote'")
    shards = replace(folder, name="shards", root="memory://nowhere")
    with pytest.raises(ValueError, match=r"memory://nowhere/train has no archives \(\*\.tar\)$"):
        open_dataset(shards)
    with pytest.raises(ValueError, match=r"not an address like 'memory://nowhere': .* put it into archives there"):
        open_dataset(replace(shards, name="folder"))
    with pytest.raises(ValueError, match=r"^odd://bucket cannot be opened: "):
        open_dataset(replace(shards, root="odd://bucket"))
    for package, root in (("fsspec", "memory://bucket"), ("s3fs", "s3://bucket"), ("aiohttp", "https://host/bucket")):
        with monkeypatch.context() as without:
            for name in [name for name in sys.modules if name.startswith((package, "fsspec"))]:
                without.delitem(sys.modules, name)
            without.setitem(sys.modules, package, None)
            with pytest.raises(ValueError, match=rf"^{root} needs another package: .*pip install -e '\.\[remote\]'"):
                open_dataset(replace(shards, root=root))
