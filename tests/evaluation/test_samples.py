"""Images by name: made once, the same however the work is shared, and never mixed with others."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scdm.datasets import DataConfig, open_dataset
from scdm.evaluation import Chunk, LayoutCorruption, Layouts, Samples
from scdm.files.images import read_image
from scdm.models import checkpoint
from scdm.pipeline import GenerateOptions

CONFIG = DataConfig(size=16, workers=0)
SETTINGS = {"model": "a", "options": {"guidance": 1.5, "steps": 25}}
OPTIONS = GenerateOptions(steps=2, seed=5)


def layouts() -> Layouts:
    return Layouts(open_dataset(CONFIG, "val"), CONFIG, LayoutCorruption())


def touched(samples: Samples, sample: int, index: int) -> None:
    path = samples.path(sample, index)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_only_what_is_missing_is_made_in_batches_of_neighbours(tmp_path: Path) -> None:
    samples = Samples(tmp_path, [f"city/{i}" for i in range(9)], SETTINGS)
    touched(samples, 0, 2)
    touched(samples, 1, 0)
    assert samples.path(1, 0) == tmp_path / "1" / "city" / "0.png"
    chunks = samples.missing(samples=2, images=7, batch=3)
    assert chunks == [Chunk(0, 0, 2), Chunk(0, 3, 6), Chunk(0, 6, 7), Chunk(1, 1, 4), Chunk(1, 4, 7)]


def test_an_image_is_the_same_however_the_work_is_shared(model: Path, tmp_path: Path) -> None:
    loaded, data = checkpoint.load(model), layouts()
    whole, shared = (Samples(tmp_path / name, data.names, SETTINGS) for name in ("whole", "shared"))
    assert sum(whole.make(loaded, data, OPTIONS, whole.missing(2, 4, batch=4))) == 8
    chunks = shared.missing(2, 4, batch=1)
    assert list(shared.make(loaded, data, OPTIONS, chunks[1::2], workers=1)) == [1] * 4
    assert list(shared.make(loaded, data, OPTIONS, chunks[0::2])) == [1] * 4
    for sample in range(2):
        expected = whole.read(sample, range(4))
        assert expected.shape == (4, 3, 16, 16) and len(expected.unique(dim=0)) == 4
        # Batches of other sizes may round a level of 255 the other way.
        assert (shared.read(sample, range(4)) - expected).abs().max() <= 2 / 255 + 1e-6
    assert not torch.equal(whole.read(0, range(4)), whole.read(1, range(4)))
    assert shared.missing(2, 4, batch=1) == []
    assert read_image(whole.path(0, 0)).size == (16, 16)


def test_a_folder_of_other_settings_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    Samples(tmp_path, ["a"], {"model": "b"}).claim()
    Samples(tmp_path, ["a"], SETTINGS).claim()  # nothing had been made with the others
    touched(Samples(tmp_path, ["a"], SETTINGS), 0, 0)
    with pytest.raises(ValueError, match=r"other settings: options.guidance 1.5 instead of 2\. Choose another folder"):
        Samples(tmp_path, ["a"], {"model": "a", "options": {"guidance": 2, "steps": 25}})
    with pytest.raises(ValueError, match=r"options\.steps 25 instead of None"):
        Samples(tmp_path, ["a"], {"model": "a", "options": {"guidance": 1.5}})
    for damaged in (b"{", b"[]", b"\xff"):
        (tmp_path / "settings.json").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"settings.json is damaged"):
            Samples(tmp_path, ["a"], SETTINGS)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    samples = Samples(tmp_path, ["a"], SETTINGS)
    touched(samples, 0, 0)
    with pytest.raises(ValueError, match=r"0/a.png"):
        samples.read(0, [0])
