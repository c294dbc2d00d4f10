"""Agreement of class maps: the shares, against a count by hand and against sets of pixels."""

from __future__ import annotations

import math

import pytest
import torch

from scdm.metrics import SegmentationScore


def scored(predicted: torch.Tensor, truth: torch.Tensor, num_classes: int) -> SegmentationScore:
    score = SegmentationScore(num_classes)
    score.update(predicted, truth)
    return score


def test_shares_counted_by_hand() -> None:
    truth = torch.tensor([[0, 0, 0, 1], [1, 1, 2, 2]])
    predicted = torch.tensor([[0, 0, 1, 1], [1, 0, 2, 2]])
    result = scored(predicted, truth, 4).compute()
    assert result.iou[:3].tolist() == [2 / 4, 2 / 4, 2 / 2]
    assert math.isnan(result.iou[3])
    assert result.miou == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert result.pixel_accuracy == 6 / 8


def test_a_class_that_is_only_predicted_counts_as_a_failure_and_one_that_never_occurs_not_at_all() -> None:
    truth = torch.zeros(2, 2, dtype=torch.int64)
    predicted = torch.tensor([[0, 0], [0, 1]])
    result = scored(predicted, truth, 3).compute()
    assert result.iou[1] == 0 and math.isnan(result.iou[2])
    assert result.miou == pytest.approx(0.75 / 2)


@pytest.mark.parametrize("nothing", [3, 255, -1])
def test_pixels_without_a_true_class_are_left_out_whatever_was_predicted_there(nothing: int) -> None:
    truth = torch.tensor([[0, 1, nothing, nothing]])
    result = scored(torch.tensor([[0, 1, 2, 99]]), truth, 3).compute()
    assert result.miou == 1 and result.pixel_accuracy == 1
    assert math.isnan(result.iou[2])


def test_against_sets_of_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(6, (3, 9, 7), generator=generator)  # 5 is MASK
    predicted = torch.randint(5, (3, 9, 7), generator=generator)
    result = scored(predicted.to(torch.uint8), truth.to(torch.int32), 5).compute()
    pixels = [
        (int(t), int(p), i) for i, (t, p) in enumerate(zip(truth.flatten(), predicted.flatten(), strict=True)) if t < 5
    ]
    for class_id in range(5):
        true = {i for t, _, i in pixels if t == class_id}
        found = {i for _, p, i in pixels if p == class_id}
        assert float(result.iou[class_id]) == pytest.approx(len(true & found) / len(true | found))
    assert result.miou == pytest.approx(float(result.iou.mean()))
    assert result.pixel_accuracy == pytest.approx(sum(t == p for t, p, _ in pixels) / len(pixels))


def test_parts_add_up_to_the_whole_and_stay_as_they_are() -> None:
    generator = torch.Generator().manual_seed(1)
    truth, predicted = torch.randint(5, (2, 4, 8, 8), generator=generator)
    whole, parts = SegmentationScore(5), [scored(predicted[i], truth[i], 5) for i in range(4)]
    for i in range(4):
        whole.update(predicted[i], truth[i])
    before = parts[0].confusion.clone()
    assert torch.equal(sum(parts[1:], parts[0]).confusion, whole.confusion)
    assert torch.equal(parts[0].confusion, before)
    assert whole.confusion.sum() == truth.numel()


def test_what_cannot_be_scored_is_refused() -> None:
    score = SegmentationScore(3)
    with pytest.raises(ValueError, match="nothing to score"):
        score.compute()
    with pytest.raises(ValueError, match="holds id 3"):
        score.update(torch.tensor([3]), torch.tensor([0]))
