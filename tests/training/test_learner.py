"""A step: means over micro-batches, nothing learned from what is not finite, the same with less memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState

from scdm.datasets import open_dataset
from scdm.layouts.palette import Palette
from scdm.training.config import LossConfig, OptimizerConfig, TrainConfig
from scdm.training.learner import Learner, Outcome
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
