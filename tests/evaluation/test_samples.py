"""Images by name: made once, the same however the work is shared, and never mixed with others."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from scdm.datasets import DataConfig, Example, Validation, open_dataset
from scdm.evaluation import Chunk, GivenImages, LayoutCorruption, Layouts, Samples
from scdm.evaluation.samples import _layout_digests as digests_of
from scdm.files.images import read_image, write_image
from scdm.files.untrusted import sha256_of
from scdm.models import checkpoint
from scdm.pipeline import GenerateOptions

CONFIG = DataConfig(size=16, workers=0)
SETTINGS = {"model": "a", "options": {"guidance": 1.5, "steps": 25}}
OPTIONS = GenerateOptions(steps=2, seed=5)


def layouts() -> Layouts:
    return Layouts(open_dataset(CONFIG, "val"), CONFIG, LayoutCorruption())


class Named(Validation):
    """Of which only the names matter."""

    def __init__(self, names: list[str]) -> None:
        self.names = names


class Mended(Validation):
    """Layouts of which one has another class in a pixel."""

    def __init__(self, data: Layouts, place: int) -> None:
        self.data, self.place, self.names = data, place, data.names

    def __getitem__(self, index: int) -> Example:
        example = self.data[index]
        if index == self.place:
            example.ids[0, 0] = (example.ids[0, 0] + 1) % 3
        return example


def touched(samples: Samples, sample: int, index: int) -> None:
    path = samples.path(sample, index)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_only_what_is_missing_is_made_in_batches_of_neighbours(tmp_path: Path) -> None:
    samples = Samples(tmp_path, Named([f"city/{i}" for i in range(9)]), SETTINGS)
    touched(samples, 0, 2)
    touched(samples, 1, 0)
    assert samples.path(1, 0) == tmp_path / "1" / "city" / "0.png"
    chunks = samples.missing(samples=2, images=7, batch=3)
    assert chunks == [Chunk(0, 0, 2), Chunk(0, 3, 6), Chunk(0, 6, 7), Chunk(1, 1, 4), Chunk(1, 4, 7)]


def test_an_image_is_the_same_however_the_work_is_shared(model: Path, tmp_path: Path) -> None:
    loaded, data = checkpoint.load(model), layouts()
    whole, shared = (Samples(tmp_path / name, data, SETTINGS) for name in ("whole", "shared"))
    assert sum(whole.make(loaded, OPTIONS, whole.missing(2, 4, batch=4))) == 8
    chunks = shared.missing(2, 4, batch=1)
    with_workers = Samples(shared.folder, data, SETTINGS, workers=1)
    assert list(with_workers.make(loaded, OPTIONS, chunks[1::2])) == [1] * 4
    assert list(shared.make(loaded, OPTIONS, chunks[0::2])) == [1] * 4
    for sample in range(2):
        expected = whole.read(sample, range(4))
        assert expected.shape == (4, 3, 16, 16) and len(expected.unique(dim=0)) == 4
        # Batches of other sizes may round a level of 255 the other way.
        assert (shared.read(sample, range(4)) - expected).abs().max() <= 2 / 255 + 1e-6
    assert not torch.equal(whole.read(0, range(4)), whole.read(1, range(4)))
    assert shared.missing(2, 4, batch=1) == []
    assert read_image(whole.path(0, 0)).size == (16, 16)


def test_a_folder_of_other_settings_is_refused_and_the_difference_named(tmp_path: Path) -> None:
    Samples(tmp_path, Named(["a"]), {"model": "b"}).claim()
    Samples(tmp_path, Named(["a"]), SETTINGS).claim()  # nothing had been made with the others
    touched(Samples(tmp_path, Named(["a"]), SETTINGS), 0, 0)
    with pytest.raises(ValueError, match=r"other settings: options.guidance 1.5 instead of 2\. Choose another folder"):
        Samples(tmp_path, Named(["a"]), {"model": "a", "options": {"guidance": 2, "steps": 25}})
    with pytest.raises(ValueError, match=r"options\.steps 25 instead of None"):
        Samples(tmp_path, Named(["a"]), {"model": "a", "options": {"guidance": 1.5}})
    for damaged in (b"{", b"[]", b"\xff"):
        (tmp_path / "settings.json").write_bytes(damaged)
        with pytest.raises(ValueError, match=r"settings.json is damaged"):
            Samples(tmp_path, Named(["a"]), SETTINGS)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    samples = Samples(tmp_path, Named(["a"]), SETTINGS)
    touched(samples, 0, 0)
    with pytest.raises(ValueError, match=r"0/a.png"):
        samples.read(0, [0])


def test_images_of_which_nobody_knows_how_they_were_made_are_not_the_models(tmp_path: Path) -> None:
    """Such as photographs that were put into an output folder."""
    image(tmp_path / "0" / "a.png")
    with pytest.raises(ValueError, match=r"holds images \(0.a.png\) but no settings.json.*--images FOLDER --name NAME"):
        Samples(tmp_path, Named(["a"]), SETTINGS)
    (tmp_path / "0" / "a.png").unlink()
    Samples(tmp_path, Named(["a"]), SETTINGS).claim()


def made_by(model: Path, folder: Path, count: int = 2) -> Samples:
    data = layouts()
    samples = Samples(folder, data, SETTINGS)
    samples.claim()
    assert sum(samples.make(checkpoint.load(model), OPTIONS, samples.missing(1, count, batch=2))) == count
    return samples


def test_an_image_that_the_model_did_not_make_is_refused_and_made_again_once_it_is_gone(
    model: Path, tmp_path: Path
) -> None:
    """Such as a photograph that is copied over one, or into the place of one that is still to be made."""
    samples = made_by(model, tmp_path)
    made, other = (samples.path(0, i).read_bytes() for i in range(2))
    for place, content in ((0, b"a photograph"), (0, other), (2, made)):
        samples.path(0, place).write_bytes(content)
        again = Samples(tmp_path, samples.layouts, SETTINGS)
        assert again.claim() == ""
        with pytest.raises(ValueError, match=r"0000\d\.png is not the image that the model made: delete.* made again"):
            again.missing(1, 3, batch=2)
        samples.path(0, place).unlink()
        assert Chunk(0, place, place + 1) in again.missing(1, 3, batch=1)
        samples.path(0, 0).write_bytes(made)
    assert Samples(tmp_path, samples.layouts, SETTINGS).missing(1, 2, batch=2) == []
    for place in range(3):
        samples.path(0, place).write_bytes(b"a photograph")
    with pytest.raises(ValueError, match=r"0\.png, .*1\.png, .*2\.png are not the images that the model made"):
        samples.missing(1, 3, batch=2)
    assert samples.missing(1, 0, batch=2) == []  # what is not measured may be anything


def test_processes_write_digests_apart_and_whatever_ends_one_the_work_goes_on(model: Path, tmp_path: Path) -> None:
    samples = made_by(model, tmp_path)
    loaded, data = checkpoint.load(model), layouts()
    one, other = (
        samples.make(loaded, OPTIONS, [Chunk(0, place, place + 1), Chunk(1, place, place + 1)]) for place in (2, 3)
    )
    assert [next(one), next(other), next(one)] == [1, 1, 1]
    other.close()  # stopped between its two images
    (tmp_path / "digests" / "cut.txt").write_text("0" * 40)  # a line that a kill left half written
    again = Samples(tmp_path, data, SETTINGS)
    again.claim()
    assert again.missing(2, 4, batch=4) == [Chunk(1, 0, 2), Chunk(1, 3, 4)]
    assert len(list((tmp_path / "digests").glob("*.txt"))) == 5  # what was found, three that made images, the cut one


def test_what_another_launch_makes_while_it_is_looked_is_not_foreign(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, loaded, data = made_by(model, tmp_path, 1), checkpoint.load(model), layouts()
    other = Samples(tmp_path, data, SETTINGS).make(loaded, OPTIONS, [Chunk(0, 1, 2)])

    def digest(path: Path) -> str:
        list(other)  # whose digests are read after this
        return sha256_of(path)

    monkeypatch.setattr("scdm.evaluation.samples.sha256_of", digest)
    assert samples.missing(1, 3, batch=2) == [Chunk(0, 2, 3)]


def test_digests_of_images_that_are_gone_bind_no_settings(model: Path, tmp_path: Path) -> None:
    samples = made_by(model, tmp_path)
    before = samples.path(0, 0).read_bytes()
    samples.path(0, 0).unlink()
    with pytest.raises(ValueError, match="other settings"):
        Samples(tmp_path, samples.layouts, {"model": "b"})
    samples.path(0, 1).unlink()
    assert Samples(tmp_path, samples.layouts, SETTINGS).claim() == ""
    assert len(list((tmp_path / "digests").glob("*.txt"))) == 2  # the settings are the same
    again = Samples(tmp_path, samples.layouts, {"model": "b"})
    assert again.claim() == "" and again.missing(1, 2, batch=2) == [Chunk(0, 0, 2)]
    again.path(0, 0).write_bytes(before)  # which is of the other settings
    with pytest.raises(ValueError, match="is not the image that the model made"):
        again.missing(1, 2, batch=2)


def test_a_digest_is_there_before_its_image(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a kill between the two would leave an image that is refused."""
    samples = Samples(tmp_path, layouts(), SETTINGS)
    samples.claim()

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("scdm.evaluation.samples.written_whole", killed)
    with pytest.raises(KeyboardInterrupt):
        list(samples.make(checkpoint.load(model), OPTIONS, [Chunk(0, 0, 1)]))
    for suffix in ("txt", "layouts"):
        assert any("0/scene_00000.png" in path.read_text() for path in (tmp_path / "digests").glob(f"*.{suffix}"))
    assert samples.missing(1, 1, batch=1) == [Chunk(0, 0, 1)]


def test_images_of_an_earlier_version_are_taken_as_they_are_and_known_from_then_on(model: Path, tmp_path: Path) -> None:
    samples = made_by(model, tmp_path)
    shutil.rmtree(tmp_path / "digests")
    again = Samples(tmp_path, samples.layouts, SETTINGS)
    assert "its 2 images are taken as they are" in again.claim()
    assert again.missing(1, 2, batch=2) == [] and again.claim() == ""
    image(again.path(0, 1))
    with pytest.raises(ValueError, match="is not the image that the model made"):
        again.missing(1, 2, batch=2)


def test_an_image_of_another_layout_is_refused_and_made_again_once_it_is_gone(model: Path, tmp_path: Path) -> None:
    """Such as one whose label map was mended, or is read by another class table: its name is the same."""
    loaded, data = checkpoint.load(model), layouts()
    samples = Samples(tmp_path, data, SETTINGS)
    assert samples.claim() == ""
    assert sum(samples.make(loaded, OPTIONS, samples.missing(2, 2, batch=2))) == 4
    again = Samples(tmp_path, Mended(data, 1), SETTINGS)
    assert again.claim() == "" and again.missing(1, 1, batch=2) == []
    with pytest.raises(
        ValueError, match=r"0/scene_00001\.png, .*1/scene_00001\.png were made of other layouts than is read"
    ):
        again.missing(2, 2, batch=2)
    for sample in range(2):
        again.path(sample, 1).unlink()
    chunks = again.missing(2, 2, batch=2)
    assert chunks == [Chunk(0, 1, 2), Chunk(1, 1, 2)]
    assert sum(again.make(loaded, OPTIONS, chunks)) == 2 and again.missing(2, 2, batch=2) == []
    with pytest.raises(ValueError, match="were made of other layouts"):
        samples.missing(2, 2, batch=2)


def test_what_images_of_an_earlier_version_were_made_of_is_known_from_then_on(model: Path, tmp_path: Path) -> None:
    data = layouts()
    made_by(model, tmp_path)
    for path in (tmp_path / "digests").glob("*.layouts"):
        path.unlink()
    again = Samples(tmp_path, data, SETTINGS)
    image(again.path(0, 2))  # nobody knows of what, or whose it is
    assert "2 of its images are taken to be of the layouts that there are now" in again.claim()
    assert again.claim() == "" and again.missing(1, 2, batch=2) == []
    with pytest.raises(
        ValueError, match=r"scene_00000\.png was made of another layout than is read now under its name"
    ):
        Samples(tmp_path, Mended(data, 0), SETTINGS).missing(1, 2, batch=2)


def test_a_layout_differs_by_its_borders_alone() -> None:
    class Bordered(Mended):
        def __getitem__(self, index: int) -> Example:
            return self.data[index]._replace(edges=torch.full((1, 16, 16), float(index == self.place)))

    data = layouts()
    one, other = (digests_of([Bordered(data, place)[0]]) for place in (0, 1))
    assert one == digests_of([Bordered(data, 0)[0]]) and one != other != digests_of([data[0]])


def test_layouts_are_read_once_and_by_workers_alike(model: Path, tmp_path: Path) -> None:
    reads: list[int] = []

    class Counted(Mended):
        def __getitem__(self, index: int) -> Example:
            reads.append(index)
            return self.data[index]

    made_by(model, tmp_path)
    for path in (tmp_path / "digests").glob("*.layouts"):
        path.unlink()
    data = layouts()
    samples = Samples(tmp_path, Counted(data, 0), SETTINGS)
    assert "2 of its images" in samples.claim() and samples.missing(1, 2, batch=2) == [] and reads == [0, 1]
    assert Samples(tmp_path, data, SETTINGS, workers=1).missing(1, 2, batch=2) == []


def test_a_folder_with_pictures_directly_in_it_is_refused(tmp_path: Path) -> None:
    """It would be an evaluation's, and someone's images."""
    image(tmp_path / "holiday.jpg")
    with pytest.raises(ValueError, match=r"has pictures in it \(holiday\.jpg\).*choose another folder for --out"):
        Samples(tmp_path, Named(["city/a"]), SETTINGS)
    (tmp_path / "holiday.jpg").unlink()
    Samples(tmp_path, Named(["city/a"]), SETTINGS).claim()
    for ours in ("sheet.png", "guidance.png"):
        image(tmp_path / ours)
    Samples(tmp_path, Named(["city/a", "sheet"]), SETTINGS)
    image(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"has pictures in it \(a\.png\)"):
        Samples(tmp_path, Named(["city/a"]), SETTINGS)


def image(path: Path, level: int = 0, size: tuple[int, int] = (6, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, np.full((*size, 3), level, np.uint8))


def test_images_of_another_program_are_found_by_the_names_of_layouts(tmp_path: Path) -> None:
    image(tmp_path / "city" / "a.png", 255)
    image(tmp_path / "b.png", 0)
    given = GivenImages(tmp_path, ["city/a", "city/b", "city/c"], samples=1, images=2, size=(6, 8))
    assert given.read(0, [1, 0]).mean(dim=(1, 2, 3)).tolist() == [-1, 1]
    before = given.digest
    image(tmp_path / "b.png", 9)
    assert GivenImages(tmp_path, ["city/a", "city/b"], 1, 2, (6, 8)).digest != before

    for number in "01":
        image(tmp_path / number / "a.jpg", 255 * int(number))
    several = GivenImages(tmp_path, ["a"], samples=2, images=1, size=(6, 8))
    assert [round(several.read(sample, [0]).mean().item()) for sample in (0, 1)] == [-1, 1]


def test_images_of_which_it_is_not_clear_whose_they_are_are_refused(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png may be the one of bonn/a and of ulm/a: use folders"):
        GivenImages(tmp_path, ["bonn/a", "ulm/a"], 1, 2, (6, 8))
    image(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"both .*a\.png and .*a\.jpg may be the one of a: remove one of them"):
        GivenImages(tmp_path, ["a"], 1, 1, (6, 8))


def test_what_another_program_left_out_is_named(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"has no image b, c, d and 1 more: images are called like the layouts"):
        GivenImages(tmp_path, list("abcde"), 1, 5, (6, 8))
    with pytest.raises(ValueError, match=r"has no image 0/a, 1/a"):  # which of several samples a.png is, nobody knows
        GivenImages(tmp_path, ["a"], 2, 1, (6, 8))
    with pytest.raises(ValueError, match=r"a.png is 8x6, the real images are 16x16"):
        GivenImages(tmp_path, ["a"], 1, 1, (16, 16))
    with pytest.raises(ValueError, match="there is no folder"):
        GivenImages(tmp_path / "absent", ["a"], 1, 1, (16, 16))
