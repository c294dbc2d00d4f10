"""A few steps of training, as published: dropping layouts, loss, gradients, AdamW and the running average together."""

import copy

import pytest
import torch
from torch import Tensor

from scdm.denoiser import Denoiser
from scdm.label_diffusion import LabelDiffusion, shipped_rates
from scdm.labels import LabelMap, instance_borders
from scdm.schedules import NoiseSchedule
from scdm.training.ema import EMA
from tests.parity import RATES, arrays, facts, unet


@pytest.mark.parametrize("name", ["train_celeba", "train_celeba_micro_anneal"])
def test_training_is_the_published_one(name: str) -> None:
    """The second case sums the gradients of micro-batches, and anneals its learning rate."""
    case, golden = facts(f"diffusion/{name}"), arrays(f"diffusion/{name}")
    record = case["record"]
    network = copy.deepcopy(unet(f"diffusion/{name}")).train()
    diffusion = LabelDiffusion(shipped_rates(RATES[case["config"]["dataset_mode"]]))
    denoiser = Denoiser(network, NoiseSchedule.named("linear"), diffusion)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=case["weight_decay"])
    averages = {rate: EMA(network, rate) for rate in case["ema_rates"]}
    micro_batches = iter(zip(record["t"], record["terms"], strict=True))

    for step in range(case["steps"]):
        image, noise, u = (golden[f"{step}.{part}"] for part in ("image", "noise", "u"))
        labels = dropped(golden, step, case["drop_rate"])
        if f"{step}.y" in golden:
            assert torch.equal(labels.one_hot(torch.uint8), golden[f"{step}.y"])
        optimizer.zero_grad()
        size = case["microbatch"] if case["microbatch"] > 0 else len(image)
        for start in range(0, len(image), size):
            t, expected = next(micro_batches)
            some = slice(start, start + size)
            terms = denoiser.loss(image[some], labels[some], torch.tensor(t), noise[some], u[some][..., 0])
            assert terms.vb is not None
            for ours, name_of_term in ((terms.total, "loss"), (terms.mse, "mse"), (terms.vb, "vb")):
                assert ours.tolist() == pytest.approx(expected[name_of_term], rel=1e-4), name_of_term
            terms.total.mean().backward()
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        assert norm(gradients) == pytest.approx(record["grad_norm"][step], rel=1e-3)
        for group in optimizer.param_groups:
            group["lr"] = record["lr"][step]
        optimizer.step()
        assert norm(list(network.parameters())) == pytest.approx(record["param_norm"][step], rel=1e-5)
        for average in averages.values():
            average.update(network)

    results = {
        "final": network.state_dict(),
        **{f"ema_{rate}": average.network.state_dict() for rate, average in averages.items()},
    }
    for whose, state in results.items():
        for key in (key for key in golden if key.startswith(f"{whose}.")):
            difference = state[key.removeprefix(f"{whose}.")] - golden[key]
            assert difference.square().mean().sqrt() <= 2e-5, key
            assert difference.abs().max() <= 2e-3, key  # Adam divides by the root of gradients near zero


def dropped(golden: dict[str, Tensor], step: int, rate: float) -> LabelMap:
    """The step's layouts, those whose draw says so blank with their borders."""
    borders = instance_borders(golden[f"{step}.instance"])
    labels = LabelMap.checked(golden[f"{step}.label"], 19, borders)
    return labels.blank(golden[f"{step}.drop_u"] <= rate) if f"{step}.drop_u" in golden else labels


def norm(tensors: list[Tensor]) -> float:
    return sum(t.detach().double().square().sum().item() for t in tensors) ** 0.5
