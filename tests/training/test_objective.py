"""Steps of the process: evenly, or by the size of the loss without changing its mean."""

import pytest
import torch

from scdm.datasets import Batch
from scdm.layouts.palette import Palette
from scdm.training.config import LossConfig
from scdm.training.objective import (
    HISTORY,
    ImportantSteps,
    QuadraticSteps,
    UniformSteps,
    emphasis,
    layouts,
)
from scdm.training.run import new_model
from scdm.training.stream import DrawnBatch, ExampleDraws
from tests.parity import facts
from tests.training.tiny import config

EVENLY = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000


def test_layouts_come_with_their_roughness_and_blank_ones_without():
    model = new_model(config(), Palette.named("scenes"))
    ids, none = torch.zeros(4, 16, 16, dtype=torch.int64), torch.empty(0)
    batch = Batch(none, ids, None, torch.arange(4), roughness=torch.tensor([0.0, 0.5, 1.0, torch.nan]))
    drawn = DrawnBatch(batch, ExampleDraws(none, torch.tensor([0.9, 0.9, 0.05, 0.9]), none, none))
    labels = layouts(drawn, model, 0.1, model.device)
    assert labels.roughness.nan_to_num(-1).tolist() == [0.0, 0.5, -1, -1] and labels.unpainted[2].all()


def test_emphasised_classes_are_called_by_name():
    palette = Palette.named("scenes")
    weights = emphasis(LossConfig(emphasised=("road", "Building"), emphasis=3.0), palette)
    assert weights.tolist() == [3.0 if name in ("road", "building") else 1.0 for name in (*palette.names, "MASK")]
    assert emphasis(LossConfig(), palette) is None
    for name, words in (("highway", "highway"), ("unpainted", "not told which it is")):
        with pytest.raises(ValueError, match=words):
            emphasis(LossConfig(emphasised=(name,), emphasis=2.0), palette)
    for own in ({"emphasis": 2.0}, {"emphasised": ("road",)}):
        with pytest.raises(ValueError, match="set both, or neither"):
            LossConfig(**own)
    with pytest.raises(ValueError, match="objective kl has none of"):
        LossConfig(emphasised=("road",), emphasis=2.0, objective="kl")


def test_importance_follows_the_published_rule():
    golden = facts("diffusion/second_moment_sampler")
    sampler = ImportantSteps(golden["num_timesteps"])
    assert golden["history_per_term"] == HISTORY
    for t, losses, weights in zip(
        golden["updates_t"], golden["updates_loss"], golden["weights_after_update"], strict=True
    ):
        sampler.update(torch.tensor(t), torch.tensor(losses, dtype=torch.float64))
        assert sampler.weights.tolist() == pytest.approx(weights, abs=1e-12)


def test_importance_weighs_so_that_the_mean_loss_stays():
    sampler = trained()
    t, weight = sampler.pick(EVENLY)
    losses = torch.arange(1.0, 6.0) ** 2
    assert float((weight * losses[t]).mean()) == pytest.approx(float(losses.mean()), rel=1e-3)
    share = torch.bincount(t, minlength=5) / len(t)
    torch.testing.assert_close(share.double(), sampler.weights, atol=1e-4, rtol=0)
    assert share[4] > 3 * share[0]


def test_importance_begins_uniformly_and_stays_in_range():
    sampler = ImportantSteps(5)
    t, weight = sampler.pick(torch.tensor([0.0, 0.2, 0.99, 1 - 1e-16], dtype=torch.float64))
    assert t.tolist() == [0, 1, 4, 4] and weight.tolist() == pytest.approx([1, 1, 1, 1])


def test_importance_goes_on_from_its_state():
    before, after = trained(), ImportantSteps(5)
    after.load_state_dict(before.state_dict())
    before.update(torch.tensor([2, 2]), torch.tensor([9.0, 9.0]))
    after.update(torch.tensor([2, 2]), torch.tensor([9.0, 9.0]))
    assert torch.equal(before.weights, after.weights)


def test_importance_does_not_learn_from_a_step_that_was_left_out():
    before, after = trained(), trained()
    after.update(torch.tensor([2, 2]), torch.tensor([9.0, torch.nan]), torch.tensor(False))
    assert torch.equal(before.losses, after.losses) and torch.equal(before.counts, after.counts)
    after.update(torch.tensor([2, 2]), torch.tensor([8.0, 9.0]), torch.tensor(True))
    assert after.losses[2, -2:].tolist() == [8.0, 9.0] and after.counts.tolist() == [10, 10, 12, 10, 10]


def test_importance_asks_the_host_for_no_number():
    sampler = ImportantSteps(5, "meta")
    t, weight = sampler.pick(EVENLY[:4])
    sampler.update(t, torch.empty(4, device="meta"), torch.empty((), dtype=torch.bool, device="meta"))
    assert t.is_meta and weight.is_meta and sampler.losses.is_meta


def test_uniform_steps_are_all_alike():
    t, weight = UniformSteps(5).pick(EVENLY)
    assert torch.bincount(t).tolist() == [20_000] * 5 and set(weight.tolist()) == {1.0}


def trained() -> ImportantSteps:
    sampler = ImportantSteps(5)
    for _ in range(HISTORY):
        sampler.update(torch.arange(5), torch.arange(1.0, 6.0))
    return sampler


def test_quadratic_steps_are_spaced_as_the_visits_of_that_name():
    t, weight = QuadraticSteps(1000).pick(EVENLY)
    assert (t.bincount(minlength=1000) > 0).all() and weight.unique().tolist() == [1]
    assert (t < 250).double().mean() == pytest.approx(0.5, abs=1e-3)
