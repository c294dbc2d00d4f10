"""How far a number would move if other layouts, or other runs, had been drawn: 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

Interval = tuple[float, float]

RESAMPLES = 1000
SEED = 0  # of the resamples, so that the same images have the same interval
TAIL = 2.5  # percent that lie beyond either end

# Student's t, 97.5 % quantile for 1, 2, ... degrees of freedom; runs are few.
T_QUANTILES = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
NORMAL_QUANTILE = 1.96


def bootstrap(values: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]) -> Interval:
    """Percentile bootstrap over layouts (Efron & Tibshirani 1993, chapter 13).

    values: (N, D), a row for each layout. statistic: sums of rows (R, D) -> its values (R,), nan where it has none.
    """
    rng = np.random.default_rng(SEED)
    count = len(values)
    draws = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)  # (R, N) how often each layout is drawn
    found = statistic(draws.astype(np.float64) @ values)
    low, high = np.nanpercentile(found, [TAIL, 100 - TAIL])
    return float(low), float(high)


def of_runs(values: Sequence[float]) -> Interval:
    """Student's t interval of the mean of two or more independent runs."""
    count, mean = len(values), float(np.mean(values))
    quantile = T_QUANTILES[count - 2] if count - 2 < len(T_QUANTILES) else NORMAL_QUANTILE
    reach = quantile * float(np.std(values, ddof=1)) / math.sqrt(count)
    return mean - reach, mean + reach
