"""A few steps of training, as published: dropping layouts, loss, gradients, AdamW and the running averages together."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from scdm.datasets import Batch
from scdm.diffusion.label_diffusion import shipped_rates
from scdm.layouts.labels import instance_borders
from scdm.layouts.palette import Palette
from scdm.models.model import Model, ModelConfig
from scdm.networks import UNetConfig
from scdm.training.config import OptimizerConfig, TrainConfig
from scdm.training.learner import Learner, learning_rate
from scdm.training.objective import learning
from scdm.training.stream import DrawnBatch, ExampleDraws
from tests.parity import RATES, arrays, cases, facts, unet


@pytest.mark.parametrize("name", cases("diffusion/train_*"))
def test_training_is_the_published_one(name: str) -> None:
    """One of the recorded cases sums the gradients of micro-batches, and anneals its learning rate."""
    case, golden = facts(f"diffusion/{name}"), arrays(f"diffusion/{name}")
    record, config = case["record"], configuration(case, unet(f"diffusion/{name}").config)
    model = published_model(case, copy.deepcopy(unet(f"diffusion/{name}")))
    learner = Learner(config, learning(config, model), Accelerator(cpu=True))
    labels = Batch(*batch(golden, 0, slice(None))).labels(19).blank(dropped(golden, 0) < case["drop_rate"])
    if "0.y" in golden:
        assert torch.equal(labels.one_hot(torch.uint8), golden["0.y"])

    t, terms = iter(record["t"]), iter(record["terms"])
    for step in range(case["steps"]):
        lr = learning_rate(step, config)
        assert lr == pytest.approx(record["lr"][step])
        parts = [drawn(golden, step, part, next(t)) for part in micro_batches(case)]
        outcome = learner.step(parts, step, lr)
        expected = [next(terms) for _ in parts]
        for ours, name_of_term in zip(outcome.losses[2:], ("loss", "mse", "vb"), strict=True):
            theirs = [value for part in expected for value in part[name_of_term]]
            assert ours.tolist() == pytest.approx(theirs, rel=1e-4)
        assert float(outcome.norm) == pytest.approx(record["grad_norm"][step], rel=1e-3)
        assert norm(model.network.parameters()) == pytest.approx(record["param_norm"][step], rel=1e-5)

    results = {"final": learner.plain.state_dict(), **{f"ema_{rate}": ema.whole() for rate, ema in learner.ema.items()}}
    for whose, state in results.items():
        for key in (key for key in golden if key.startswith(f"{whose}.")):
            difference = state[key.removeprefix(f"{whose}.")] - golden[key]
            assert difference.square().mean().sqrt() <= 2e-5, key
            assert difference.abs().max() <= 2e-3, key  # Adam divides by the root of gradients near zero


def configuration(case: dict[str, Any], network: UNetConfig) -> TrainConfig:
    return TrainConfig(
        run="-",
        network=network,
        optimizer=OptimizerConfig(
            lr=case["lr"], weight_decay=case["weight_decay"], decay=case["lr_anneal_steps"], clip_norm=None
        ),
        batch=case["batch"],
        micro_batches=len(micro_batches(case)),
        micro_batch_sum=True,
        steps=case["lr_anneal_steps"] or case["steps"],
        null_rate=case["drop_rate"],
        ema=tuple(case["ema_rates"]),
        ema_warmup=False,
    )


def published_model(case: dict[str, Any], network: Any) -> Model:
    rates = shipped_rates(RATES[case["config"]["dataset_mode"]])
    return Model(ModelConfig(network.config, (32, 32), class_rates=rates), Palette.named("celebamask_hq"), network)


def micro_batches(case: dict[str, Any]) -> list[slice]:
    size = case["microbatch"] if case["microbatch"] > 0 else case["batch"]
    return [slice(start, start + size) for start in range(0, case["batch"], size)]


def drawn(golden: dict[str, Tensor], step: int, part: slice, t: list[int]) -> DrawnBatch:
    """The recorded batch with its recorded draws; those of t stand in the middle of their interval."""
    chance = (torch.tensor(t, dtype=torch.float64) + 0.5) / 1000
    noise, u = golden[f"{step}.noise"][part], golden[f"{step}.u"][part][..., 0]
    return DrawnBatch(batch(golden, step, part), ExampleDraws(chance, dropped(golden, step)[part], noise, u))


def batch(golden: dict[str, Tensor], step: int, part: slice) -> Batch:
    image, ids = golden[f"{step}.image"][part], golden[f"{step}.label"][part].long()
    return Batch(image, ids, instance_borders(golden[f"{step}.instance"][part]), torch.arange(len(image)))


def dropped(golden: dict[str, Tensor], step: int) -> Tensor:
    """The draws by which layouts are blanked; 1, which never is, where none were recorded."""
    return golden.get(f"{step}.drop_u", torch.ones(len(golden[f"{step}.image"])))


def norm(tensors: Iterable[Tensor]) -> float:
    return sum(t.detach().double().square().sum().item() for t in tensors) ** 0.5
