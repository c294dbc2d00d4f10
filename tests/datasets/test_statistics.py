"""Coverage and rarity of classes, and the rates that follow."""

from __future__ import annotations

import numpy as np
import pytest

from scdm.datasets import ClassStatistics
from scdm.diffusion.label_diffusion import shipped_rates
from tests.parity import ade20k_statistics

ADE20K_IMAGES = 20210


def test_rates_of_published_statistics_are_near_the_published_ones() -> None:
    """ADE20K's 50 most frequent classes, in the median within 3 %."""
    published = ade20k_statistics()
    share, present = np.array(published["area_ratio"]), np.array(published["train_images"])
    rates = np.array(ClassStatistics(ADE20K_IMAGES, share * ADE20K_IMAGES, present).rates())
    deviation = np.abs(rates / shipped_rates("ade20k")[: len(rates)] - 1)
    assert np.median(deviation[np.argsort(-share)[:50]]) <= 0.03


def test_every_image_counts_alike_and_mask_is_no_class() -> None:
    small = ClassStatistics.of(np.array([[0, 1], [1, 3]]), 3)  # 3 is MASK
    large = ClassStatistics.of(np.zeros((8, 8), dtype=np.int64), 3)
    both = ClassStatistics.none(3) + small + large
    assert both.images == 2
    assert both.coverage.tolist() == [1.25, 0.5, 0] and both.present.tolist() == [2, 1, 0]


def test_unlabelled_and_absent_classes_fade_linearly_and_the_rare_last_longest() -> None:
    statistics = ClassStatistics(4, np.array([2.4, 0.8, 0.2, 0.0, 0.6]), np.array([4, 2, 1, 0, 3]))
    everywhere, common, rare, absent, unlabelled = statistics.rates(unlabelled=4)
    assert (everywhere, absent, unlabelled) == (0, 0.5, 0.5)
    assert common == pytest.approx(0.282 * np.log(2) / 0.2) and rare > common
    assert statistics.rates()[4] != 0.5


def test_no_images_no_rates() -> None:
    with pytest.raises(ValueError, match="need images"):
        ClassStatistics.none(3).rates()
