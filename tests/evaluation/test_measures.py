"""Measures: shares add up to the whole, pixels that no evaluator can know are left out, features are kept for the next."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scdm.datasets import Batch
from scdm.evaluation import FeatureCache, Measured, Networks

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


def measured(places: slice, cached: tuple[str, ...] = ()) -> Measured:
    found = Measured()
    batch = Batch(REAL[places], IDS[places], None, torch.arange(6)[places])
    found.update(NETWORKS, batch, [FIRST[places], SECOND[places]], cached)
    return found


def metrics(found: Measured) -> dict[str, float]:
    return found.metrics({name: torch.cat(parts) for name, parts in found.real.items()})


def test_shares_add_up_to_the_whole() -> None:
    whole, parts = metrics(measured(slice(None))), [measured(slice(0, 4)), measured(slice(4, 6)), Measured()]
    merged = metrics(sum(parts[1:], parts[0]))
    assert merged == pytest.approx(whole, rel=1e-5, abs=1e-9)
    assert whole["frechet_mine"] == whole["fid"] > 0
    assert {"kid", "kid_spread", "kernel_mine", "miou", "miou_of_real_images", "lpips"} <= whole.keys()
    assert whole["lpips"] == pytest.approx((FIRST - SECOND).abs().mean().item())


def test_intervals_are_of_layouts_however_they_were_shared_and_hold_the_number() -> None:
    whole = measured(slice(None))
    shared = measured(slice(4, 6)) + measured(slice(0, 4))
    intervals, numbers = whole.intervals(), metrics(whole)
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
    assert found.metrics({}) == {}


def test_known_features_are_not_computed_again(tmp_path: Path) -> None:
    data, extractor = {"name": "scenes", "count": 6}, Brightness()
    cache = FeatureCache(tmp_path / "features", data)
    assert cache.load(extractor) is None
    cache.save(extractor, REAL.mean(dim=(2, 3)))
    features = cache.load(extractor)
    assert features is not None
    partly = measured(slice(None), cached=("inception", "mine"))
    assert partly.real == {}
    assert partly.metrics({"inception": features, "mine": features}) == metrics(measured(slice(None)))

    assert FeatureCache(tmp_path / "features", {**data, "count": 7}).load(extractor) is None
    extractor.name = "another"
    assert cache.load(extractor) is None
    for file in (tmp_path / "features").iterdir():
        file.write_bytes(b"damaged")
    assert FeatureCache(tmp_path / "features", data).load(Brightness()) is None
