"""Running averages of the weights."""

import torch
from torch import nn

from scdm.training.ema import EMA


def test_the_average_starts_from_the_first_weights_and_forgets_by_its_decay():
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(1.0)
    average = EMA(network, 0.9)
    for value in (2.0, 3.0):
        network.weight.data.fill_(value)
        average.update(network)
    torch.testing.assert_close(average.whole()["weight"], torch.tensor([[0.9 * (0.9 * 1 + 0.1 * 2) + 0.1 * 3]]))


def test_warming_up_it_forgets_the_untrained_weights():
    network = nn.Linear(1, 1, bias=False)
    network.weight.data.fill_(100.0)
    slow, warm = EMA(network, 0.999), EMA(network, 0.999, warmup=True)
    network.weight.data.fill_(0.0)
    for _ in range(50):
        slow.update(network)
        warm.update(network)
    assert slow.whole()["weight"] > 90 and warm.whole()["weight"] < 1e-3
    for _ in range(10_000):
        warm.update(network)
    network.weight.data.fill_(1.0)
    warm.update(network)
    torch.testing.assert_close(warm.whole()["weight"], torch.tensor([[1 - 0.999]]))


def test_it_goes_on_from_its_state():
    network = nn.Linear(3, 2)
    average, resumed = EMA(network, 0.5, warmup=True), EMA(nn.Linear(3, 2), 0.5, warmup=True)
    average.update(network)
    resumed.load_state_dict(average.state_dict())
    network.weight.data.add_(1)
    average.update(network)
    resumed.update(network)
    for name, weight in average.whole().items():
        assert torch.equal(weight, resumed.whole()[name])


def test_a_step_that_was_left_out_is_not_averaged():
    network = nn.Linear(3, 2)
    average, other = EMA(network, 0.5, warmup=True), EMA(network, 0.5, warmup=True)
    before = network.weight.detach().clone()
    network.weight.data.add_(1)
    average.update(network, torch.tensor(False))
    assert average.state_dict()["updates"] == 0
    assert torch.equal(average.whole()["weight"], before)
    average.update(network, torch.tensor(True))
    other.update(network)
    assert torch.equal(average.whole()["weight"], other.whole()["weight"])


def test_the_host_is_not_asked_for_a_number():
    """Of a tensor on `meta` there is none to be had."""
    network = nn.Linear(3, 2, device="meta")
    average = EMA(network, 0.5, warmup=True)
    average.update(network, torch.empty((), dtype=torch.bool, device="meta"))
    assert average.weights["weight"].is_meta and average.updates.is_meta
