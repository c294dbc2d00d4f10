"""The table of a model's pictures: what a perfect model and a blurring one must get, and that the command prints it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from benchmarks import pictures
from benchmarks.pictures import Comparison, main
from scdm.datasets.scenes import Scenes
from scdm.layouts.palette import Palette
from scdm.metrics import SmallSegmenter
from scdm.pipeline import GenerateOptions

PALETTE = Palette.named("scenes")
IMAGES = 4


@pytest.fixture(scope="module")
def segmenter() -> SmallSegmenter:
    return SmallSegmenter(pictures.SEGMENTER, PALETTE)


def compared(monkeypatch, segmenter, changed, size=(32, 48)):
    """With renderings, changed by `changed`, in the place of a model's samples."""
    scenes = Scenes(2 * IMAGES, 1, size)
    monkeypatch.setattr(pictures, "generate", lambda model, labels, options: changed(scenes[options.seed][0][None]))
    comparison = Comparison(SimpleNamespace(palette=PALETTE), segmenter, scenes, GenerateOptions(seed=0))
    for index in range(IMAGES):
        comparison.update(index)
    return comparison


def test_renderings_in_the_place_of_samples_are_perfect(monkeypatch, segmenter) -> None:
    comparison = compared(monkeypatch, segmenter, lambda images: images)
    found = comparison.results()
    assert (found["miou_ratio"], found["miou_spread"], found["frechet_ratio"]) == (1, 0, 1)
    assert (found["energy_ratio"], found["energy_spread"]) == (1, 0)
    assert found["frechet"] > 0  # other scenes are another set
    assert {value for value in found["class_energy_ratio"].values() if value is not None} == {1.0}
    assert comparison.sheet().shape[2] == 3


def test_blur_and_grain_show(monkeypatch, segmenter) -> None:
    blurred = compared(monkeypatch, segmenter, lambda x: F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), 5, 1))
    grain = 0.3 * torch.randn(3, 32, 48, generator=torch.Generator().manual_seed(0))
    grainy = compared(monkeypatch, segmenter, lambda images: images + grain)
    assert blurred.results()["energy_ratio"] < 0.5 and grainy.results()["energy_ratio"] > 1.5
    assert all(worse.results()["miou_ratio"] < 1 for worse in (blurred, grainy))


def test_renderings_without_detail_are_measured_beside(monkeypatch, segmenter) -> None:
    large = compared(monkeypatch, segmenter, lambda images: images, (128, 128)).results()
    enlarged = compared(monkeypatch, segmenter, lambda images: half(images), (128, 128)).results()
    assert large["frechet_enlarged_ratio"] == pytest.approx(enlarged["frechet_ratio"], rel=1e-4) != 1
    small = compared(monkeypatch, segmenter, lambda images: images).results()
    assert small["frechet_enlarged_ratio"] is None, "nothing is enlarged from 64 pixels"


def half(images: torch.Tensor) -> torch.Tensor:
    return F.interpolate(F.avg_pool2d(images, 2), scale_factor=2, mode="bilinear")


def test_other_colours_are_far_away(monkeypatch, segmenter) -> None:
    assert compared(monkeypatch, segmenter, lambda images: -images).results()["frechet_ratio"] > 1.5


def test_the_command_prints_and_writes_the_table(tmp_path, capsys) -> None:
    out = tmp_path / "pictures"
    few = ["--sizes", "32", "--images", "2", "--repeats", "1"]
    assert main(["--model", "scenes-fast", *few, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert (out / "table.md").read_text() == printed
    assert {file.name for file in out.iterdir()} == {"table.md", "table.json", "scenes-fast-32x32.jpg"}
    (row,) = json.loads((out / "table.json").read_text())["rows"]
    assert row["size"] == "32x32" and row["seconds"] > 0 < row["edit_seconds"]
    assert f"| mIoU, of what is read in renderings | {row['miou_ratio']:.3f} ± {row['miou_spread']:.3f} |" in printed
    assert "| Frechet distance of renderings enlarged from 64 pixels | – |" in printed
    assert f"{row['energy_ratio']:.2f} ± {row['energy_spread']:.2f} |" in printed


def test_scenes_that_the_segmenter_has_seen_are_refused(capsys) -> None:
    assert main(["--model", "scenes-fast", "--seed", "0", "--images", "2"]) == 2
    assert "trained on scenes of series 0: choose another --seed" in capsys.readouterr().err


def test_what_cannot_be_measured_is_refused_before_anything_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--sizes", "64", "100000"])
    assert "sizes are sides of at most 8192 pixels, not 100000" in capsys.readouterr().err
    assert main(["--model", "scenes-fast", "no such model", "--sizes", "32", "--images", "2"]) == 2
    assert "no such model" in (said := capsys.readouterr()).err and "%|" not in said.err and not said.out
