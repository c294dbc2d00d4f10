"""Inception: the two ways to its size, and the library's own features where its own resizing has nothing to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scdm.files.images import from_levels
from scdm.metrics import Inception
from scdm.metrics.inception import resized_bilinear, resized_clean

LEVELS = np.random.default_rng(0).integers(0, 256, (2, 299, 299, 3), dtype=np.uint8)


@pytest.mark.parametrize("resized", [resized_bilinear, resized_clean])
def test_an_image_of_the_right_size_stays_as_it_is(resized: Any) -> None:
    """But for its scale: -1 is level 0 to both, 1 is level 255 to one and 256 to the other, as where they come from."""
    found = resized(from_levels(LEVELS))
    full = 127.5 if resized is resized_bilinear else 128
    assert torch.allclose((found.movedim(1, -1) + 1) * full, torch.from_numpy(LEVELS).float(), atol=1e-3)


def test_clean_is_pillows_bicubic_before_rounding() -> None:
    large = np.random.default_rng(1).integers(64, 192, (1, 400, 350, 3), dtype=np.uint8)  # nothing to clip
    pillow = np.asarray(Image.fromarray(large[0]).resize((299, 299), Image.Resampling.BICUBIC))
    found = (resized_clean(from_levels(large))[0].movedim(0, -1) + 1) * 128
    assert (found - torch.from_numpy(pillow.astype(np.float32))).abs().max().item() < 1.2  # it rounds twice


def test_only_clean_smooths_what_it_makes_smaller() -> None:
    stripes = np.zeros((1, 1196, 1196, 3), np.uint8)
    stripes[:, :, 1::4] = stripes[:, :, 2::4] = 255
    images = from_levels(stripes)
    assert resized_bilinear(images).min().item() == 1  # of four columns it sees two, the white ones
    assert resized_clean(images).abs().max().item() < 0.1


@pytest.fixture
def weights(optional: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network that has learned nothing, in a file."""
    package = optional("torch_fidelity.feature_extractor_inceptionv3")
    path = tmp_path / "weights.pth"
    torch.save({}, path)
    torch.manual_seed(0)
    with monkeypatch.context() as patch:
        patch.setattr(package.FeatureExtractorInceptionV3, "load_state_dict", lambda network, weights: None)
        network = package.FeatureExtractorInceptionV3("random", ["2048"], feature_extractor_weights_path=str(path))
    torch.save(network.state_dict(), path)
    return path


def test_features_are_the_librarys(optional: Any, weights: Path) -> None:
    package = optional("torch_fidelity.feature_extractor_inceptionv3")
    theirs = package.FeatureExtractorInceptionV3("theirs", ["2048"], feature_extractor_weights_path=str(weights))
    (expected,) = theirs(torch.from_numpy(LEVELS).movedim(-1, 1))
    clean, bilinear = Inception(weights, "clean"), Inception(weights, "bilinear")
    found = clean(from_levels(LEVELS))
    assert found.shape == (2, 2048)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5) and expected.std() > 0
    assert torch.allclose(bilinear(from_levels(LEVELS)), expected, rtol=0.05, atol=1e-3)  # 127.5 for 128
    assert clean.name != bilinear.name and clean.name.split()[-1] == bilinear.name.split()[-1]


def test_files_of_other_networks_are_named(optional: Any, trunk: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such file"):
        Inception(tmp_path / "absent.pth")
    (tmp_path / "page.pth").write_text("<html>")
    with pytest.raises(ValueError, match=r"page.pth is damaged, or holds no weights of Inception"):
        Inception(tmp_path / "page.pth")
    optional("torch_fidelity")
    with pytest.raises(ValueError, match=r"alexnet.pth does not hold the weights of the Inception network"):
        Inception(trunk)
