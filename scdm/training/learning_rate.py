"""The learning rate: a function of the step alone, so that there is no state to save."""

from __future__ import annotations

from .config import RunConfig


def learning_rate(step: int, config: RunConfig) -> float:
    """Rises over the first `optimizer.warmup` steps, falls over the last `optimizer.decay`; never 0 before `config.steps`.

    With a decay over all N steps it is the published annealing: lr at step 0, then lr (1 - (step - 1) / N).
    """
    warm = min(1.0, (step + 1) / max(1, config.optimizer.warmup))
    left = min(1.0, (config.steps + 1 - step) / (config.optimizer.decay or 1))
    return config.optimizer.lr * warm * max(0.0, left)
