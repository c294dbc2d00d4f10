"""The learning rate rises, stays and falls where its settings say."""

import pytest

from scdm.training.config import OptimizerConfig
from scdm.training.learning_rate import learning_rate
from tests.training.tiny import config


def test_it_warms_up_and_decays_and_is_never_negative():
    shape = config(steps=100, optimizer=OptimizerConfig(lr=1.0, warmup=10, decay=20))
    rates = [learning_rate(step, shape) for step in range(130)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[50] == rates[81] == 1
    assert rates[91] == pytest.approx(0.5) and 0 < rates[99] == pytest.approx(0.1)
    assert set(rates[101:]) == {0}


def test_without_warm_up_and_decay_it_is_constant():
    shape = config(steps=10, optimizer=OptimizerConfig(lr=0.5))
    assert {learning_rate(step, shape) for step in range(10)} == {0.5}


def test_a_decay_over_all_steps_is_the_published_annealing():
    shape = config(steps=8, optimizer=OptimizerConfig(lr=1.0, decay=8))
    assert [learning_rate(step, shape) for step in range(8)] == pytest.approx([1, *(1 - i / 8 for i in range(7))])
