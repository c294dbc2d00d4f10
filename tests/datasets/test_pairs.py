"""Streams from files: in an order that depends on seed and position alone, past broken files, and checked beforehand."""

from __future__ import annotations

import multiprocessing
import os
import warnings
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scdm.datasets import DataConfig, Example, loader, open_dataset, open_pairs
from scdm.datasets.pairs import PairSet
from scdm.datasets.reader import Reader
from tests.datasets import trees


def shown(config: DataConfig, example: Example) -> int:
    """The number of the pair that an unaugmented example shows."""
    found = [i for i, one in enumerate(open_dataset(config).validation()) if torch.equal(one.image, example.image)]
    assert len(found) == 1
    return found[0]


def plain(config: DataConfig) -> DataConfig:
    return replace(config, fit="stretch", flip=False)


def break_image(root: Path, name: str) -> Path:
    path = root / "train" / "images" / f"{name}.png"
    path.write_bytes(path.read_bytes()[:200])
    return path


def test_every_epoch_shows_every_image_once_in_an_order_of_its_own(tmp_path: Path) -> None:
    config = plain(trees.folder(tmp_path, 6))
    stream = open_dataset(config).training()
    epochs = [[shown(config, stream[6 * epoch + i]) for i in range(6)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(6)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    other = open_dataset(replace(config, seed=1)).training()
    assert [shown(config, other[i]) for i in range(6)] != epochs[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_goes_on_from_any_position_whatever_the_workers(workers: int, tmp_path: Path) -> None:
    data = open_dataset(trees.folder(tmp_path, 5))
    whole = [data.training()[i] for i in range(12)]
    batches = list(islice(loader(data.training(start=4), 4, workers), 2))
    assert torch.cat([batch.positions for batch in batches]).tolist() == list(range(4, 12))
    assert torch.equal(torch.cat([batch.images for batch in batches]), torch.stack([one.image for one in whole[4:]]))
    assert torch.equal(torch.cat([batch.ids for batch in batches]), torch.stack([one.ids for one in whole[4:]]))
    assert batches[0].edges is None


def test_an_image_is_cropped_anew_in_every_epoch_and_half_are_mirrored(tmp_path: Path) -> None:
    trees.write(tmp_path, "folder", np.repeat(np.arange(3, dtype=np.uint8)[None], 2, axis=0).repeat(8, 0).repeat(8, 1))
    config = trees.folder_config(tmp_path)
    stream = open_dataset(config).training()
    assert len({stream[i].image.numpy().tobytes() for i in range(20)}) > 10
    ids = [open_dataset(replace(config, fit="stretch")).training()[i].ids[0].tolist() for i in range(40)]
    assert {tuple(row) for row in ids} == {tuple(ids[0]), tuple(ids[0][::-1])}
    assert 10 <= sum(row[0] == 0 for row in ids) <= 30
    still = open_dataset(replace(config, fit="center_crop", flip=False)).training()
    assert len({still[i].image.numpy().tobytes() for i in range(5)}) == 1


def test_a_broken_file_is_named_once_and_the_next_one_stands_in(tmp_path: Path) -> None:
    config = plain(trees.folder(tmp_path, 4))
    order = [shown(config, open_dataset(config).training()[i]) for i in range(8)]
    broken = break_image(tmp_path, "2")
    data = open_dataset(config)
    with pytest.warns(UserWarning) as caught:
        seen = [data.training()[i] for i in range(8)]
    assert len(caught) == 1 and str(broken) in str(caught[0].message) and "left out" in str(caught[0].message)
    assert [example.position for example in seen] == list(range(8))
    images = {i: data.validation()[i].image for i in (0, 1, 3)}
    for place in range(8):
        stand_in = next(i for i in (*order, *order)[place:] if i != 2)
        if place < 7 or order[7] != 2:  # who stands in for the last is in the third epoch
            assert torch.equal(seen[place].image, images[stand_in])


def test_an_image_that_stands_in_at_validation_has_its_own_name(tmp_path: Path) -> None:
    config = trees.folder(tmp_path, 3)
    break_image(tmp_path, "2")
    images = open_dataset(config).validation()
    with pytest.warns(UserWarning, match=r"2\.png"):
        example = images[2]
    assert example.position == 0 and torch.equal(example.image, images[0].image)
    with pytest.raises(IndexError):
        images[3]


def test_workers_name_a_broken_file_once_between_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "showwarning", lambda message, *_: os.write(2, f"{message}\n".encode()))
    config = trees.folder(tmp_path, 3)
    break_image(tmp_path, "1")
    data = open_dataset(config)
    for _ in range(2):
        list(islice(loader(data.training(), 3, workers=2), 4))
    assert capfd.readouterr().err.count("left out") == 1


def test_a_data_set_at_other_sizes_names_a_broken_file_once(tmp_path: Path) -> None:
    config = trees.folder(tmp_path, 3)
    break_image(tmp_path, "1")
    data = open_dataset(config)
    larger = data.at((8, 12))
    with pytest.warns(UserWarning) as caught:
        seen = [[one.training()[i].image.shape[1:] for i in range(3)] for one in (data, larger)]
    assert len(caught) == 1 and set(seen[1]) == {(8, 12)} and set(seen[0]) == {config.height_width}


def test_processes_that_meet_a_broken_file_at_once_name_it_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, broken = multiprocessing.get_context("fork"), 50
    met, reports = context.Barrier(2), context.Value("i", 0)

    def broken_for_both(*_: object) -> Example:
        met.wait(timeout=60)
        raise ValueError("damaged")

    def count(*_: object, **__: object) -> None:
        with reports:
            reports.value += 1

    data = open_dataset(trees.folder(tmp_path, broken))
    assert isinstance(data, PairSet)
    monkeypatch.setattr(Reader, "example", broken_for_both)
    monkeypatch.setattr(warnings, "warn", count)
    tries = [(i, i) for i in range(broken)]
    both = [context.Process(target=data.first_readable, args=(tries, None)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert reports.value == broken


def test_a_run_ends_when_nothing_can_be_read_any_more(tmp_path: Path) -> None:
    config = trees.folder(tmp_path, 2)
    for name in "01":
        break_image(tmp_path, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=r"no image can be read any more: .*damaged"):
            open_dataset(config).training()[0]
        with pytest.raises(ValueError, match=r"^no image can be read any more: .*\)$"):  # not a worker's whole history
            next(iter(loader(open_dataset(config).training(), 1, workers=1)))


def test_opening_lists_files_without_reading_them(tmp_path: Path) -> None:
    config = trees.folder_config(tmp_path)
    for kind in ("images", "labels"):
        (tmp_path / "train" / kind).mkdir(parents=True)
        for name in range(50):
            (tmp_path / "train" / kind / f"{name}.png").touch()
    assert len(open_dataset(config).training()) > 2**50


def test_checking_names_every_problem(tmp_path: Path) -> None:
    config = trees.folder(tmp_path, 6)
    folder = tmp_path / "train"
    broken = break_image(tmp_path, "0")
    Image.fromarray(np.full(trees.SIZE, 200, np.uint8)).save(folder / "labels" / "1.png")
    Image.fromarray(np.ones((8, 9), np.uint8)).save(folder / "labels" / "2.png")
    (folder / "labels" / "3.png").unlink()
    (folder / "images" / "4.png").unlink()
    Image.fromarray(trees.random_image(1, (4, 200))).save(folder / "images" / "5.png")
    Image.fromarray(np.ones((4, 200), np.uint8)).save(folder / "labels" / "5.png")
    expected = [
        (folder / "images" / "3.png", "no label map of this name"),
        (folder / "labels" / "4.png", "no image of this name"),
        (broken, "damaged"),
        (folder / "labels" / "1.png", "value 200, which is no class of three: its 3 classes have the values 0..3, 255"),
        (folder / "labels" / "2.png", "is 9 x 8 pixels, but its image"),
        (folder / "images" / "5.png", "too long and narrow"),
    ]
    for workers in (0, 2):
        found = list(open_pairs(replace(config, workers=workers), "train").check())
        assert len(found) == len(expected)
        for problem, (file, words) in zip(found, expected, strict=True):
            assert str(file) in problem and words in problem


def test_images_and_maps_must_match_before_a_run_starts(tmp_path: Path) -> None:
    config = trees.folder(tmp_path, 6)
    for name in "01234":
        (tmp_path / "train" / "labels" / f"{name}.png").unlink()
    for use in (PairSet.training, PairSet.validation):
        with pytest.raises(
            ValueError, match=r"0\.png: there is no label map of this name; .*\(and 2 more\).*check_data"
        ):
            use(open_pairs(config, "train"))
    (tmp_path / "train" / "labels" / "5.png").unlink()
    with pytest.raises(ValueError, match=r"6 images in .*images, 0 label maps in .*labels"):
        open_dataset(config)


def test_two_images_of_one_name_are_reported(tmp_path: Path) -> None:
    config = trees.folder(tmp_path, 1)
    image = tmp_path / "train" / "images" / "0.png"
    Image.open(image).save(image.with_suffix(".bmp"))
    with pytest.raises(ValueError, match=r"0\.png: there is another image of this name"):
        open_dataset(config).training()


def test_missing_folders_and_class_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"no folder .*images/training.*; expected are .*annotations/training \(label maps"
    ):
        open_dataset(DataConfig("ade20k", root=str(tmp_path)))
    config = trees.folder(tmp_path, 1)
    with pytest.raises(ValueError, match=r"no folder .*val"):
        open_dataset(config, "val")
    with pytest.raises(ValueError, match=r"nowhere\.yaml"):
        open_dataset(replace(config, classes=str(tmp_path / "nowhere.yaml")))
    (tmp_path / "train_img").mkdir()
    (tmp_path / "train_label").mkdir()
    with pytest.raises(ValueError, match=r"no folder .*train_inst"):
        open_dataset(DataConfig("coco_stuff", root=str(tmp_path)))
