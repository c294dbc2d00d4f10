"""Coverage and rarity of classes, and the rates that follow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from scdm.datasets import ClassStatistics, DataConfig, open_dataset
from scdm.diffusion.label_diffusion import LabelDiffusion, shipped_rates
from scdm.files.images import read_image

DATA = Path(__file__).parents[3] / "shared" / "data"


def measured(pattern: str, num_classes: int) -> ClassStatistics:
    """Of the label maps in the real data beside the repository. Skips where there are none."""
    maps = sorted(DATA.glob(pattern))
    if not maps:
        pytest.skip(f"there are no label maps in {DATA / pattern}")
    layouts = (np.minimum(read_image(file), num_classes).astype(np.int64) for file in maps)
    return sum((ClassStatistics.of(ids, num_classes) for ids in layouts), ClassStatistics.none(num_classes))


def test_rates_of_street_scenes_tell_classes_apart() -> None:
    """Poles are in nearly all of CamVid's images: a rarity that is not at least 1 gave them 0.08, and others less."""
    statistics = measured("camvid/train/labels/*.png", 12)
    rates = statistics.rates(unlabelled=11)
    assert rates[2] == pytest.approx(100, rel=0.05) and min(rates[:11]) > 3
    masked = LabelDiffusion(rates).mask_probability(torch.arange(1000), 12).mean(0).numpy()
    assert (masked * statistics.coverage).sum() / statistics.images == pytest.approx(0.36, abs=0.02)


@pytest.mark.parametrize(
    ("data", "num_classes", "height", "masked"),
    [
        ("camvid", 12, None, 0.37),
        ("camvid", 12, 96, 0.07),
        ("facade", 9, None, 0.37),
        ("facade", 9, 128, 0.12),
        ("facade", 9, 64, 0.03),
    ],
)
def test_noise_at_the_resolution_masks_fewer_labels_of_small_images(
    data: str, num_classes: int, height: int | None, masked: float
) -> None:
    """The shares of which benchmarks/robustness/README.md and docs/training.md speak, in the mean over steps."""
    statistics = measured(f"{data}/train/labels/*.png", num_classes)
    rates = statistics.rates(unlabelled=11 if data == "camvid" else None)
    noise = LabelDiffusion(rates, resolution=256).mask_probability(torch.arange(1000), num_classes, height)
    assert (noise.mean(0).numpy() * statistics.coverage).sum() / statistics.images == pytest.approx(masked, abs=0.006)


def test_rates_of_scenes_by_area_are_as_estimated() -> None:
    """On a tenth of the scenes that they were estimated on."""
    scenes = open_dataset(DataConfig(name="scenes", size=64), "train")
    counted = sum((ClassStatistics.of(scenes.layout(i), 14) for i in range(200)), ClassStatistics.none(14))
    off = np.abs(np.array(counted.rates()) / shipped_rates("scenes_by_area") - 1)
    assert np.median(off) < 0.08 and off.max() < 0.5  # the former rule is 0.6 off in the median


def test_every_image_counts_alike_and_mask_is_no_class() -> None:
    small = ClassStatistics.of(np.array([[0, 1], [1, 3]]), 3)  # 3 is MASK
    large = ClassStatistics.of(np.zeros((8, 8), dtype=np.int64), 3)
    both = ClassStatistics.none(3) + small + large
    assert both.images == 2
    assert both.coverage.tolist() == [1.25, 0.5, 0] and both.present.tolist() == [2, 1, 0]


def test_unlabelled_and_absent_classes_fade_linearly_and_small_ones_last_longest() -> None:
    statistics = ClassStatistics(4, np.array([2.4, 0.8, 0.2, 0.0, 0.6]), np.array([4, 2, 1, 0, 3]))
    everywhere, common, rare, absent, unlabelled = statistics.rates(unlabelled=4)
    assert (absent, unlabelled) == (0.5, 0.5)
    assert (everywhere, common, rare) == pytest.approx((1 / 0.6, 1 / 0.4, np.log(4) / 0.2))
    assert statistics.rates(coverage="all")[2] == pytest.approx(4 * np.log(4) / 0.2)
    assert statistics.rates()[4] != 0.5


def test_no_images_no_rates() -> None:
    with pytest.raises(ValueError, match="need images"):
        ClassStatistics.none(3).rates()
