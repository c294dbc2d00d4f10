"""A step: means over micro-batches, nothing learned from what is not finite, the same with less memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from torch import nn

from scdm.datasets import open_dataset
from scdm.layouts.palette import Palette
from scdm.training.config import LossConfig, OptimizerConfig, TrainConfig
from scdm.training.learner import EMA, Learner, Outcome, learning_rate
from scdm.training.objective import learning
from scdm.training.run import new_model
from scdm.training.stream import DrawnBatch, steps_from
from tests.training.tiny import NETWORK, assert_close, assert_same, config


def learner_of(run: TrainConfig) -> Learner:
    return Learner(run, learning(run, new_model(run, Palette.named("scenes"))), Accelerator(cpu=True))


def drawn(run: TrainConfig, step: int = 0) -> list[DrawnBatch]:
    return next(steps_from(step, open_dataset(run.data), run))


def after(run: TrainConfig, steps: int = 2) -> tuple[dict[str, torch.Tensor], Outcome]:
    learner = learner_of(run)
    for step in range(steps):
        outcome = learner.step(drawn(run, step), step, lr=1e-3)
    return learner.plain.state_dict(), outcome


def test_micro_batches_and_recomputing_change_nothing_but_memory():
    weights, outcome = after(config())
    in_parts, outcome_in_parts = after(config(micro_batches=4))
    assert_close(in_parts, weights)
    torch.testing.assert_close(outcome_in_parts.losses.total, outcome.losses.total, atol=1e-4, rtol=1e-3)
    assert_same(after(config(checkpointing=True))[0], weights)


def test_summed_micro_batches_have_a_gradient_as_many_times_as_large():
    unclipped = OptimizerConfig(clip_norm=None)
    _, mean = after(config(micro_batches=2, optimizer=unclipped), steps=1)
    _, total = after(config(micro_batches=2, micro_batch_sum=True, optimizer=unclipped), steps=1)
    assert float(total.norm) == pytest.approx(2 * float(mean.norm), rel=1e-4)


def test_a_gradient_that_is_not_finite_changes_nothing():
    run = config(loss=LossConfig(timesteps="importance"))
    learner = learner_of(run)
    learner.step(drawn(run), 0, 1e-3)
    before = copied(learner)
    (batch, draws), *_ = drawn(run)
    outcome = learner.step([DrawnBatch(batch._replace(images=batch.images / 0), draws)], 1, 1e-3)
    assert not outcome.taken
    assert_same(copied(learner), before)
    assert learner.step(drawn(run), 2, 1e-3).taken
    assert any(not torch.equal(value, before[name]) for name, value in copied(learner).items())


def copied(learner: Learner) -> dict[str, torch.Tensor]:
    state = learner.state_dict()
    parts = {"network": state["network"], "timesteps": state["timesteps"]}
    parts |= {f"ema {decay}": ema["weights"] for decay, ema in state["ema"].items()}
    parts |= {f"adam {name}": moments for name, moments in state["optimizer"]["state"].items()}
    return {f"{part} {name}": value.clone() for part, values in parts.items() for name, value in values.items()}


def test_a_null_rate_of_one_blanks_every_layout():
    for null_rate, layout_matters in ((0.0, True), (1.0, False)):
        learner = learner_of(config(null_rate=null_rate))
        for parameter in learner.plain.parameters():  # untrained, it would not look at layouts
            torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(0))
        (batch, draws), *_ = drawn(learner.config)
        other = batch._replace(ids=(batch.ids + 1) % 14)
        losses = [learner.objective(DrawnBatch(b, draws), torch.device("cpu")).total for b in (batch, other)]
        assert torch.equal(*losses) != layout_matters


def test_dropout_is_a_function_of_the_step():
    run = config(network=replace(NETWORK, dropout=0.5))
    weights, _ = after(run)
    torch.manual_seed(99)
    assert_same(after(run)[0], weights)


def test_importance_learns_from_the_losses_and_the_state_keeps_it():
    run = config(loss=LossConfig(timesteps="importance"))
    learner = learner_of(run)
    losses = learner.step(drawn(run), 0, 1e-3).losses
    state = learner.state_dict()["timesteps"]
    assert torch.equal(state["counts"], torch.bincount(losses.t, minlength=1000))
    assert torch.equal(state["losses"][losses.t[-1], -1], losses.total[-1].double())
    resumed = learner_of(run)
    resumed.load_state_dict(learner.state_dict())
    assert_same(copied(resumed), copied(learner))


def test_several_averages_are_kept_at_once():
    learner = learner_of(config(ema=(0.0, 0.9), ema_warmup=False))
    start = {name: value.clone() for name, value in learner.plain.state_dict().items()}
    learner.step(drawn(learner.config), 0, 1e-3)
    now = learner.plain.state_dict()
    assert_same(learner.ema[0.0].whole(), now)
    for name, value in learner.ema[0.9].whole().items():
        torch.testing.assert_close(value, 0.9 * start[name] + 0.1 * now[name])


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": LossConfig(timesteps="importance"), "ema": (0.9, 0.99), "micro_batches": 2},
        {"loss": LossConfig(objective="kl"), "checkpointing": True, "optimizer": OptimizerConfig(clip_norm=None)},
        {"network": replace(NETWORK, learn_sigma=False), "prediction": "v"},
    ],
)
def test_a_step_has_the_host_wait_for_no_number(changes, monkeypatch):
    """On `meta`, where there are none; nor does anything stay behind on the host, which could not be computed with there.

    The optimizer's kernel is not there either: that it leaves broken steps out by itself, a CPU's shows.
    """
    accelerator = on_meta(monkeypatch)
    run = config(**changes)
    learner = Learner(run, learning(run, new_model(run, Palette.named("scenes"))), accelerator)
    for number in range(2):
        outcome = learner.step(drawn(run), number, 1e-3)
    assert all(value.is_meta for value in (*outcome.losses, outcome.norm, outcome.taken))
    assert all(average.is_meta for average in learner.ema[run.decays[0]].weights.values())


def on_meta(monkeypatch: pytest.MonkeyPatch) -> Accelerator:
    """An accelerator on `meta`."""
    accelerator = Accelerator(cpu=True)
    for state in (AcceleratorState, PartialState):
        monkeypatch.setitem(state._shared_state, "device", torch.device("meta"))
    monkeypatch.setattr("scdm.training.learner.FUSED", ("meta",))
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self, closure=None: None)
    return accelerator


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
