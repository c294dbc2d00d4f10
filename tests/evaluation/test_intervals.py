"""Intervals: as wide as theory has them, and those of few runs wider than those of many."""

from __future__ import annotations

import numpy as np
import pytest

from scdm.evaluation.intervals import bootstrap, of_runs


def test_the_bootstrap_of_a_mean_is_as_wide_as_its_standard_error() -> None:
    values = np.random.default_rng(1).normal(3, 2, (400, 1))
    low, high = bootstrap(values, lambda sums: sums[:, 0] / 400)
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * 2 / 20, rel=0.15)
    assert bootstrap(values, lambda sums: sums[:, 0] / 400) == (low, high)


def test_resamples_without_a_value_are_left_out() -> None:
    values = np.array([[1.0, 0.0], [0.0, 1.0]])  # a ratio that has none if only the second is drawn
    with np.errstate(invalid="ignore", divide="ignore"):
        low, high = bootstrap(values, lambda sums: np.where(sums[:, 0] > 0, sums[:, 1] / sums[:, 0], np.nan))
    assert (low, high) == (0, 1)


def test_three_runs_have_the_interval_of_students_t() -> None:
    assert of_runs([1.0, 2.0, 3.0]) == pytest.approx((2 - 2.484, 2 + 2.484), abs=1e-3)
    assert of_runs([5.0, 5.0]) == (5, 5)
    assert of_runs(np.random.default_rng(0).normal(size=100).tolist())[1] < 0.5
