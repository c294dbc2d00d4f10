"""Measures: shares add up to the whole, pixels that no evaluator can know are left out, features are kept for the next."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scdm.datasets import Batch
from scdm.evaluation import FeatureCache, Measured, Networks
from scdm.evaluation.fingerprint import fingerprint
from scdm.evaluation.measures import features_of
from scdm.models.checkpoint import write_tensors

REAL, FIRST, SECOND = torch.rand(3, 6, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
IDS = torch.randint(0, 4, (6, 8, 8), generator=torch.Generator().manual_seed(1))  # 3 is MASK


class Brightness:
    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.name = "brightness"

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3))


class Redness:
    """Sees class 0 where there is red, else class 2; class 1 it does not know."""

    name = "redness"
    known = torch.tensor([True, False, True])

    def ids(self, images: torch.Tensor) -> torch.Tensor:
        return torch.where(images[:, 0] > 0, 0, 2)


class Difference:
    def distances(self, samples: torch.Tensor) -> torch.Tensor:
        return (samples[0] - samples[1]).abs().mean()[None]


NETWORKS = Networks({"inception": Brightness(), "mine": Brightness()}, Redness(), Difference())  # type: ignore[arg-type]


def measured(places: slice) -> Measured:
    found = Measured()
    batch = Batch(REAL[places], IDS[places], None, torch.arange(6)[places])
    found.update(NETWORKS, batch, [FIRST[places], SECOND[places]])
    return found


def test_shares_add_up_to_the_whole() -> None:
    whole, parts = measured(slice(None)).metrics(), [measured(slice(0, 4)), measured(slice(4, 6)), Measured()]
    merged = sum(parts[1:], parts[0]).metrics()
    assert merged == pytest.approx(whole, rel=1e-5, abs=1e-9)
    assert whole["frechet_mine"] == whole["fid"] > 0
    assert {"kid", "kid_spread", "kernel_mine", "miou", "miou_of_real_images", "lpips"} <= whole.keys()
    assert whole["lpips"] == pytest.approx((FIRST - SECOND).abs().mean().item())


def test_intervals_are_of_layouts_however_they_were_shared_and_hold_the_number() -> None:
    whole = measured(slice(None))
    shared = measured(slice(4, 6)) + measured(slice(0, 4))
    intervals, numbers = whole.intervals(), whole.metrics()
    assert intervals == shared.intervals()
    assert set(intervals) == {"miou", "pixel_accuracy", "lpips"}
    assert all(low < numbers[name] < high for name, (low, high) in intervals.items())
    assert whole.score is not None
    counts = sum(whole.counts[i] for i in range(6))
    assert counts[0].tolist() == whole.score.confusion.diagonal().tolist()
    assert counts[1].tolist() == whole.score.confusion.sum(1).tolist()
    assert counts[2].tolist() == whole.score.confusion.sum(0).tolist()
    assert measured(slice(0, 1)).intervals() == {}


def test_only_classes_that_the_evaluator_knows_are_counted() -> None:
    found = measured(slice(None))
    assert found.score is not None
    assert found.score.confusion.sum() == ((IDS == 0) | (IDS == 2)).sum()
    assert found.score.confusion[0, 0] == ((IDS == 0) & (FIRST[:, 0] > 0)).sum()
    assert found.real_score is not None
    assert found.real_score.confusion[0, 0] == ((IDS == 0) & (REAL[:, 0] > 0)).sum()


def test_without_networks_nothing_is_measured() -> None:
    found = Measured()
    found.update(Networks(), Batch(REAL, IDS, None, torch.arange(6)), [FIRST])
    assert found.metrics() == {}


class Counted(Brightness):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.width, self.looked = width, 0

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        self.looked += len(images)
        return images.mean(dim=(2, 3))[:, : self.width]


FINGERPRINTS = [fingerprint(image) for image in REAL]


def test_known_features_are_not_computed_again(tmp_path: Path) -> None:
    cache, extractor = FeatureCache(tmp_path / "features", {"name": "scenes"}), Counted()
    assert cache.load(extractor) == {}
    cache.save(extractor, FINGERPRINTS[:3], REAL[:3].mean(dim=(2, 3)))
    cache.save(extractor, FINGERPRINTS[2:4], REAL[2:4].mean(dim=(2, 3)))  # of another split, or with another limit
    found = Measured()
    batch = Batch(REAL, IDS, None, torch.arange(6))
    found.update(Networks({"mine": extractor}), batch, [FIRST], {"mine": cache.load(extractor)})
    assert extractor.looked == len(FIRST) + 2
    assert torch.equal(found.real["mine"][0], REAL.mean(dim=(2, 3)))

    assert FeatureCache(tmp_path / "features", {"name": "other"}).load(extractor) == {}
    extractor.name = "another"
    assert cache.load(extractor) == {}
    for file in (tmp_path / "features").iterdir():
        file.write_bytes(b"damaged")
    assert cache.load(Brightness()) == {}


def test_features_are_of_pixels_not_of_names(tmp_path: Path) -> None:
    """Another data set's images may be called alike, and be of the same size and number."""
    cache, extractor = FeatureCache(tmp_path, {"name": "folder"}), Brightness()
    cache.save(extractor, FINGERPRINTS, REAL.mean(dim=(2, 3)))
    others = -REAL
    found = features_of(extractor, others, [fingerprint(image) for image in others], cache.load(extractor))
    assert torch.equal(found, others.mean(dim=(2, 3)))


def test_features_of_another_width_are_not_mixed(tmp_path: Path) -> None:
    """An extractor of one's own may have changed under its name."""
    cache, extractor = FeatureCache(tmp_path, {}), Counted(width=2)
    cache.save(extractor, FINGERPRINTS[:3], REAL[:3].mean(dim=(2, 3)))
    found, known = Measured(), {"mine": cache.load(extractor)}
    for places in (slice(0, 3), slice(3, 6)):
        batch = Batch(REAL[places], IDS[places], None, torch.arange(6)[places])
        found.update(Networks({"mine": extractor}), batch, [FIRST[places]], known)
    features = torch.cat(found.real["mine"])
    assert features.shape == (6, 2)
    cache.save(extractor, FINGERPRINTS[3:], features[3:])
    assert cache.load(extractor).keys() == set(FINGERPRINTS[3:])


def test_features_of_an_earlier_version_which_knew_images_by_their_names_are_not_taken(tmp_path: Path) -> None:
    cache, extractor = FeatureCache(tmp_path, {"name": "folder"}), Brightness()
    cache.save(extractor, FINGERPRINTS, REAL.mean(dim=(2, 3)))
    (file,) = tmp_path.iterdir()
    write_tensors(file, {"features": REAL.mean(dim=(2, 3))}, {})
    assert cache.load(extractor) == {}


def test_samples_that_are_the_real_images_are_counted() -> None:
    found = Measured()
    found.update(Networks(), Batch(REAL, IDS, None, torch.arange(6)), [torch.cat([REAL[:2], FIRST[2:]])])
    assert found.copies == 2 and (found + found).copies == 4
