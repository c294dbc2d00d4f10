"""The noisy benchmark's files: the published ones, in the data set's own values, and the layouts that evaluation sees."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from scdm.datasets import DataConfig, open_dataset, open_pairs
from scdm.evaluation import LayoutCorruption, Layouts
from scdm.files.images import read_image, write_image
from scdm.files.members import members_of
from tests.evaluation.conftest import configuration, write_maps
from tests.parity import arrays, downsampled_cases
from training.make_noisy_labels import main

Make = Callable[[Sequence[np.ndarray]], Path]


def corrupted(data: dict[str, object], out: Path, *more: str) -> int:
    out.parent.mkdir(exist_ok=True, parents=True)
    return main(["--data", str(configuration(out.parent, data)), "--out", str(out), *more])


def maps(folder: Path) -> list[np.ndarray]:
    return [np.array(read_image(path)) for path in sorted(folder.glob("*.png"))]


def test_small_maps_are_the_published_ones(ade20k: Make, tmp_path: Path) -> None:
    golden = [arrays("data/label_corruptions", f"ds.{i}") for i in downsampled_cases()]
    data = {"name": "ade20k", "root": str(ade20k([case["label"].numpy() for case in golden])), "workers": 0}
    assert corrupted(data, tmp_path / "small", "--small", "--kinds", "downsample") == 0
    assert corrupted(data, tmp_path / "large", "--kinds", "downsample") == 0
    small, large = (maps(tmp_path / n / "downsample" / "annotations" / "validation") for n in ("small", "large"))
    for case, a, b in zip(golden, small, large, strict=True):
        assert np.array_equal(a, case["out"].numpy()) and a.dtype == np.uint8
        assert b.shape == tuple(case["label"].shape)
        if b.shape == (256, 256):
            assert np.array_equal(b, case["loaded_256"].numpy())


def test_maps_without_edges_are_the_published_ones(tmp_path: Path) -> None:
    golden = arrays("data/label_corruptions", "edge")
    names = "\n".join(f"- {{name: class {i}}}" for i in range(256))
    (tmp_path / "classes.yaml").write_text(f"edge_channel: true\nunlabelled_channel: 0\nclasses:\n{names}")
    labels = golden["label"].numpy()
    write_maps(tmp_path / "val" / "labels", labels)
    write_maps(tmp_path / "val" / "instances", golden["instance"].numpy())
    write_maps(tmp_path / "val" / "images", np.stack([labels] * 3, axis=-1))
    data = {"name": "folder", "root": str(tmp_path), "classes": str(tmp_path / "classes.yaml"), "workers": 0}
    assert corrupted(data, tmp_path / "noisy", "--kinds", "edges") == 0
    for found, expected in zip(maps(tmp_path / "noisy" / "edges" / "val" / "labels"), golden["out"], strict=True):
        assert np.array_equal(found, expected.numpy())


@pytest.mark.parametrize("kind", ["edges", "random"])
def test_a_data_set_of_these_files_has_the_layouts_that_evaluation_sees(
    kind: str, ade20k: Make, tmp_path: Path
) -> None:
    labels = np.random.default_rng(0).integers(0, 4, (3, 6, 8)).repeat(8, axis=1).repeat(8, axis=2).astype(np.uint8)
    root = ade20k(labels)
    data = {"name": "ade20k", "root": str(root), "workers": 2}
    assert corrupted(data, tmp_path / "noisy", "--seed", "4", "--kinds", kind) == 0
    (tmp_path / "noisy" / kind / "images").symlink_to(root / "images")
    files = open_dataset(DataConfig("ade20k", str(tmp_path / "noisy" / kind), size=32), "val").validation()
    config = DataConfig("ade20k", str(root), size=32)
    seen = Layouts(open_dataset(config, "val"), config, LayoutCorruption(kind, seed=4, removed="class"))
    assert all(torch.equal(files[i].ids, seen[i].ids) for i in range(3))
    assert not torch.equal(files[0].ids, seen.clean[0].ids)


@pytest.mark.parametrize(
    ("table", "more", "value"),
    [
        ("", [], 255),
        ("", ["--unlabelled", "7"], 7),
        ("unlabelled_channel: 2\n", [], 2),
        ("num_channels: 300\n", [], 65535),  # of 300 classes one has 255
    ],
)
def test_removed_pixels_get_the_value_that_is_read_as_unlabelled(
    table: str, more: list[str], value: int, tmp_path: Path
) -> None:
    (tmp_path / "classes.yaml").write_text(f"{table}classes: [{{name: a}}, {{name: b}}, {{name: c}}]")
    labels = np.ones((1, 50, 50), np.uint8)
    write_maps(tmp_path / "val" / "labels", labels)
    write_maps(tmp_path / "val" / "images", np.stack([labels] * 3, axis=-1))
    data = {"name": "folder", "root": str(tmp_path), "classes": str(tmp_path / "classes.yaml"), "workers": 0}
    assert corrupted(data, tmp_path / "noisy", "--kinds", "random", *more) == 0
    (found,) = maps(tmp_path / "noisy" / "random" / "val" / "labels")
    assert set(np.unique(found)) == {1, value} and 0.05 < (found == value).mean() < 0.15


def archives(root: Path, names: Sequence[Sequence[str]]) -> dict[str, object]:
    """The data set `shards` whose archives hold images and maps of these names, and something else each."""
    (root / "val").mkdir(parents=True)
    (root / "classes.yaml").write_text("edge_channel: true\nclasses: [{name: a}, {name: b}, {name: c}]")
    rng = np.random.default_rng(0)
    for number, inner in enumerate(names):
        with tarfile.open(root / "val" / f"{number}.tar", "w") as archive:
            for name in inner:
                values = rng.integers(0, 3, (4, 5), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
                for suffix, picture in (("jpg", np.stack([values * 99] * 3, axis=-1)), ("seg.png", values)):
                    path = root / f"{name}.{suffix}"
                    write_image(path, picture)
                    archive.add(path, f"./{name}.{suffix}")
            archive.add(root / "classes.yaml", f"./{number}.json")
    return {"name": "shards", "root": str(root), "classes": str(root / "classes.yaml"), "workers": 2}


@pytest.mark.parametrize("kind", ["edges", "random"])
def test_of_archives_there_are_archives_that_are_a_data_set(kind: str, tmp_path: Path) -> None:
    data = archives(tmp_path / "data", [["b", "c"], ["a", "d"]])
    assert corrupted(data, tmp_path / "noisy", "--seed", "4", "--kinds", kind) == 0
    config = DataConfig(**{**data, "size": 32})
    files = open_pairs(replace(config, root=str(tmp_path / "noisy" / kind)), "val")
    seen = Layouts(open_dataset(config, "val"), config, LayoutCorruption(kind, seed=4))
    assert list(files.check()) == [] and list(files.validation().names) == ["a", "b", "c", "d"]
    for i in range(4):
        ours, theirs = files.validation()[i], seen[i]
        assert torch.equal(ours.image, theirs.image) and torch.equal(ours.ids, theirs.ids)
        assert not torch.equal(ours.ids, seen.clean[i].ids)
    made, whole = (Path(root) / "val" / "0.tar" for root in (tmp_path / "noisy" / kind, str(data["root"])))
    assert [member.inner for member in members_of(made)] == [member.inner for member in members_of(whole)]
    assert members_of(made)[-1].read_bytes() == members_of(whole)[-1].read_bytes()


def test_archives_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    data = archives(tmp_path / "data", [["a"], ["b"]])
    assert corrupted(data, tmp_path / "noisy", "--kinds", "random") == 0
    first, second = ((tmp_path / "noisy" / "random" / "val" / f"{number}.tar") for number in range(2))
    content, before = second.read_bytes(), first.stat().st_mtime_ns
    second.unlink()
    assert corrupted(data, tmp_path / "noisy", "--kinds", "random") == 0
    assert first.stat().st_mtime_ns == before and second.read_bytes() == content


def test_what_is_there_is_not_made_again_and_never_mixed(ade20k: Make, tmp_path: Path, capsys) -> None:
    data = {"name": "ade20k", "root": str(ade20k([np.ones((30, 30), np.uint8)] * 2)), "workers": 0}
    assert corrupted(data, tmp_path / "noisy") == 0
    folder = tmp_path / "noisy" / "random" / "annotations" / "validation"
    (folder / "1.png").unlink()
    before = (folder / "0.png").stat().st_mtime_ns
    assert corrupted(data, tmp_path / "noisy") == 0
    assert (folder / "0.png").stat().st_mtime_ns == before and (folder / "1.png").is_file()
    assert corrupted(data, tmp_path / "noisy", "--seed", "1") == 2
    assert "made with other settings: seed 0 instead of 1" in capsys.readouterr().err
    assert corrupted({"name": "scenes"}, tmp_path / "noisy") == 2
    assert "scenes have no label files" in capsys.readouterr().err
    assert corrupted(data, tmp_path / "other", "--unlabelled", "70000") == 2
    assert "from 0 to 65535, not 70000" in capsys.readouterr().err
    (tmp_path / "file").touch()
    assert corrupted(data, tmp_path / "file") == 2
    assert "a file is in its place" in capsys.readouterr().err
    next(Path(str(data["root"])).glob("images/validation/*")).unlink()  # numbers, and so seeds, would be others
    assert corrupted(data, tmp_path / "other") == 2
    assert "there is no image of this name" in capsys.readouterr().err
