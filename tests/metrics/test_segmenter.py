"""The segmentation evaluator: it learns, takes any size, and its file explains itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import save_file

from scdm.layouts.palette import Palette
from scdm.metrics.segmenter import HEADER, Segmenter, load, save

PALETTE = Palette.named("scenes")
IMAGES = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def segmenter() -> Segmenter:
    torch.manual_seed(0)
    return Segmenter(PALETTE, channels=(8, 16, 24), provenance={"data": "scenes"}).eval()


@pytest.mark.parametrize("size", [(64, 64), (24, 40), (17, 33), (1, 5)])
def test_every_pixel_gets_a_class_at_any_size(segmenter: Segmenter, size: tuple[int, int]) -> None:
    ids = segmenter.ids(torch.zeros(2, 3, *size))
    assert ids.shape == (2, *size) and ids.dtype == torch.int64
    assert segmenter(torch.zeros(2, 3, *size)).shape == (2, PALETTE.num_classes, *size)
    assert ids.min() >= 0 and ids.max() < PALETTE.num_classes


def test_it_is_small() -> None:
    assert 300_000 < sum(p.numel() for p in Segmenter(PALETTE).parameters()) < 600_000


def test_single_pixels_can_be_told_apart() -> None:
    """It learns to read a picture whose every pixel has a random class: nothing is lost to the halved resolution."""
    torch.manual_seed(0)
    palette = Palette("four", tuple("abcd"), (None,) * 4)
    segmenter = Segmenter(palette, channels=(32, 16))
    weights = list(segmenter.parameters())
    colours = torch.tensor([[-1.0, -1, -1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    generator = torch.Generator().manual_seed(0)
    for _ in range(100):
        truth = torch.randint(4, (4, 16, 16), generator=generator)
        loss = F.cross_entropy(segmenter(colours[truth].permute(0, 3, 1, 2)), truth)
        with torch.no_grad():
            for weight, gradient in zip(weights, torch.autograd.grad(loss, weights), strict=True):
                weight -= gradient
    truth = torch.randint(4, (4, 16, 16), generator=generator)
    assert (segmenter.ids(colours[truth].permute(0, 3, 1, 2)) == truth).float().mean() > 0.95


def test_a_file_gives_the_same_segmenter(segmenter: Segmenter, tmp_path: Path) -> None:
    save(tmp_path / "exact.safetensors", segmenter, torch.float32)
    loaded = load(tmp_path / "exact.safetensors")
    assert torch.equal(loaded(IMAGES), segmenter(IMAGES))
    assert loaded.palette == PALETTE and loaded.channels == (8, 16, 24) and loaded.provenance == {"data": "scenes"}
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())


def test_half_precision_halves_the_file(segmenter: Segmenter, tmp_path: Path) -> None:
    save(tmp_path / "whole.safetensors", segmenter, torch.float32)
    save(tmp_path / "half.safetensors", segmenter)
    loaded = load(tmp_path / "half.safetensors")
    assert next(loaded.parameters()).dtype == torch.float32
    assert torch.allclose(loaded(IMAGES), segmenter(IMAGES), atol=0.02)
    assert (tmp_path / "half.safetensors").stat().st_size < 0.65 * (tmp_path / "whole.safetensors").stat().st_size


def test_files_that_hold_no_segmenter_are_named(segmenter: Segmenter, tmp_path: Path) -> None:
    path = tmp_path / "evaluator.safetensors"
    with pytest.raises(ValueError, match=r"no segmenter file .*evaluator"):
        load(path)
    path.write_bytes(b"not tensors")
    with pytest.raises(ValueError, match=r"evaluator.* not a safetensors file"):
        load(path)
    save_file({"weight": torch.zeros(1)}, path, {"format": "pt"})
    with pytest.raises(ValueError, match=r"evaluator.*another program"):
        load(path)
    header = {"version": 1, "channels": [8, 16], "palette": PALETTE.to_dict(), "provenance": {}}
    save_file(segmenter.state_dict(), path, {HEADER: json.dumps(header)})  # the weights are those of three widths
    with pytest.raises(ValueError, match=r"evaluator.*file describes: middle"):
        load(path)
    save_file(segmenter.state_dict(), path, {HEADER: json.dumps(header | {"version": 2})})
    with pytest.raises(ValueError, match="format version is 2"):
        load(path)
    save_file(segmenter.state_dict(), path, {HEADER: json.dumps(header | {"channels": "wide"})})
    with pytest.raises(ValueError, match=r"evaluator"):
        load(path)
    save(path, segmenter)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"evaluator.* incomplete"):
        load(path)


@pytest.mark.parametrize(
    "change",
    [
        {"channels": [8, 10**30]},
        {"channels": [8] * 1000},
        {"channels": {"8": 8}},
        {"channels": [True]},
        {"channels": [8.0, 16]},
        {"version": "x" * 10**5},
        {"provenance": []},
        {"palette": None},
    ],
)
def test_absurd_headers_are_refused_in_a_short_sentence(change: dict, segmenter: Segmenter, tmp_path: Path) -> None:
    header = {"version": 1, "channels": [8, 16, 24], "palette": PALETTE.to_dict(), "provenance": {}, **change}
    save_file(segmenter.state_dict(), tmp_path / "evaluator.safetensors", {HEADER: json.dumps(header)})
    with pytest.raises(ValueError, match="evaluator") as caught:
        load(tmp_path / "evaluator.safetensors")
    assert len(str(caught.value)) < 1000


def test_weights_that_are_no_numbers_are_named(segmenter: Segmenter, tmp_path: Path) -> None:
    broken = {name: weight.clone() for name, weight in segmenter.state_dict().items()}
    broken["head.bias"][0] = float("nan")
    header = {"version": 1, "channels": [8, 16, 24], "palette": PALETTE.to_dict(), "provenance": {}}
    save_file(broken, tmp_path / "evaluator.safetensors", {HEADER: json.dumps(header)})
    with pytest.raises(ValueError, match=r"head\.bias holds NaN or infinite values"):
        load(tmp_path / "evaluator.safetensors")


def test_a_full_disk_is_an_error_of_the_system(segmenter: Segmenter, tmp_path: Path, monkeypatch) -> None:
    def full(*arguments: object, **settings: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("scdm.models.checkpoint.save_file", full)
    with pytest.raises(OSError, match=r"No space left on device.*evaluator\.safetensors"):
        save(tmp_path / "evaluator.safetensors", segmenter)
    assert not list(tmp_path.iterdir())


def test_widths_must_fit_the_normalisation() -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        Segmenter(PALETTE, channels=(12, 16))
