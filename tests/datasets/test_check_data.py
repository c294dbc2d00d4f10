"""training/check_data.py: what would stop a run, or corrupt it, is reported before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.datasets import trees
from training import check_data

NETWORK = (
    "network: {num_classes: 3, channels: 32, channel_mult: [1, 1], res_blocks: 1, attention: [], head_channels: null}"
)


def run_config(root: Path, data: str = "workers: 0, size: 16") -> str:
    trees.folder_config(root)
    path = root / "run.yaml"
    path.write_text(
        f"run: {root / 'run'}\n{NETWORK}\ndata: {{name: folder, root: {root}, classes: {root / 'classes.yaml'}, {data}}}\n"
    )
    return str(path)


def test_a_good_data_set_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.folder(tmp_path, 2)
    trees.folder(tmp_path, 1, split="val")
    assert check_data.main(["--config", run_config(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == ["train: 2 images, no problems", "val: 1 images, no problems"]


def test_problems_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.folder(tmp_path, 2)
    (tmp_path / "train" / "labels" / "1.png").unlink()
    assert check_data.main(["--config", run_config(tmp_path), "--split", "train"]) == 1
    out = capsys.readouterr().out
    assert "1.png: there is no label map of this name" in out and "train: 1 images, 1 problem\n" in out


def test_what_is_left_out_on_purpose_is_a_note(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trees.folder(tmp_path, 2)
    (tmp_path / "train" / "labels" / "1.png").unlink()
    arguments = ["--config", run_config(tmp_path), "--split", "train", "--set", "data.unpaired=skip"]
    assert check_data.main(arguments) == 0
    note, result = capsys.readouterr().out.splitlines()
    assert note.startswith("note: 1 file left out") and result == "train: 1 images, no problems"


def test_the_images_of_each_bucket_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, size in enumerate([(20, 20), (20, 25), (20, 40)]):
        label, image = trees.random_label(number, size=size), trees.random_image(number, size)
        trees.write(tmp_path, "folder", label, image, name=str(number))
    arguments = ["--config", run_config(tmp_path), "--split", "train", "--set", "buckets=true", "--set", "batch=2"]
    assert check_data.main([*arguments, "--set", "more_sizes=[[16, 32]]"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "train: 3 images, no problems",
        "train at [16, 16]: 2 images, cropped by 10.0% for their proportions",
        "train at [16, 32]: 1 images, fewer than a batch of 2, cropped by 0.0% for their proportions",
    ]
    assert check_data.main([*arguments, "--set", "more_sizes=[[32, 16]]", "--set", "data.fit=stretch"]) == 1
    assert capsys.readouterr().out.splitlines()[1:] == [
        "train at [16, 16]: 3 images, stretched by 23.3% for their proportions",
        "train at [32, 16]: 0 images: no run could take this size",
    ]


@pytest.mark.parametrize(
    "setting, complaint",
    [
        ("data.size=15", "multiples of 2"),
        ("network.num_classes=4", "three has 3 classes, network.num_classes is 4"),
        ("data.root=nowhere", "there is no folder nowhere"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    setting: str, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trees.folder(tmp_path, 2)
    assert check_data.main(["--config", run_config(tmp_path), "--set", setting]) == 2
    assert complaint in capsys.readouterr().err
