"""Whole trajectories: from the recorded seed, through every step, to the published image."""

from typing import Any

import pytest
import torch
from torch import Tensor

from scdm.diffusion.label_diffusion import shipped_rates
from scdm.diffusion.samplers import Step
from scdm.layouts.palette import Palette
from scdm.models.model import Model, ModelConfig
from scdm.pipeline import GenerateOptions, generate
from tests.parity import RATES, arrays, cases, facts, layout, network_of, relative_deviation, tensors, unet

CASES = [*cases("diffusion/trajectory_*"), *cases("diffusion/ddim_*")]
RECORDED = [name for name in CASES if "step_noise" in tensors(f"diffusion/{name}")]


@pytest.mark.parametrize("name", CASES)
def test_trajectory_is_the_published_one(name: str) -> None:
    case, golden = facts(f"diffusion/{name}"), arrays(f"diffusion/{name}")
    labels = layout(golden, case["config"]["num_classes"])
    draws, steps = Draws(case["torch_manual_seed"]), list[Step]()
    options = published_options(case, golden, draws)
    generate(published_model(name, case, labels.ids.shape[1:]), labels, options, noise=draws.noise, on_step=keep(steps))

    assert [step.t for step in steps] == case["original_timesteps"]
    for saved, position in enumerate(case.get("saved_steps", range(len(steps)))):
        assert relative_deviation(steps[position].x, golden["samples"][saved]) <= 2e-4
        # The first predictions amplify the network's rounding a hundredfold and more.
        tolerance = 2e-3 if position < 2 else 2e-4
        assert relative_deviation(steps[position].x0, golden["pred_xstart"][saved]) <= tolerance
    assert relative_deviation(steps[-1].x, golden["final"]) <= 2e-4


@pytest.mark.parametrize("name", RECORDED)
def test_draws_are_the_recorded_ones(name: str) -> None:
    """The compact copy leaves the draws to their seed. Where they are recorded, they are these, label draws exactly."""
    case, golden = facts(f"diffusion/{name}"), arrays(f"diffusion/{name}")
    draws = Draws(case["torch_manual_seed"])
    assert relative_deviation(draws.noise(golden["init_noise"]), golden["init_noise"]) <= 1e-6
    for step, noise in enumerate(golden["step_noise"]):
        if "step_u" in golden:
            u = golden["step_u"][step, ..., 0]
            assert torch.equal(draws.label_noise(torch.tensor([0]), u.shape), u)
        assert relative_deviation(draws.noise(noise), noise) <= 1e-6


class Draws:
    """The recorded random numbers, drawn again in their order: the start; then in each step the labels' and the noise."""

    def __init__(self, seed: int):
        self.generator = torch.Generator().manual_seed(seed)

    def noise(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator)

    def label_noise(self, t: Tensor, shape: torch.Size) -> Tensor:
        return torch.rand(shape, generator=self.generator)


def keep(steps: list[Step]) -> Any:
    return lambda step, count: steps.append(step)


def published_model(name: str, case: dict[str, Any], size: torch.Size) -> Model:
    """The network by recipe, with its published label diffusion."""
    flags = case["config"]
    kinds = {"discrete_zero_classwise": "classwise", "discrete_zero_uniform": "uniform", "": "none"}
    kind = kinds[flags.get("cond_opt") or ""]
    rates = shipped_rates(RATES[flags["dataset_mode"]]) if kind == "classwise" else None
    classes = flags["num_classes"]
    palette = Palette("published", tuple(map(str, range(classes))), (None,) * classes)
    config = ModelConfig(network_of(flags), tuple(size), label_diffusion=kind, class_rates=rates)  # type: ignore[arg-type]
    return Model(config, palette, unet(f"diffusion/{name}"))


def published_options(case: dict[str, Any], golden: dict[str, Tensor], draws: "Draws") -> GenerateOptions:
    flags, options = case["config"], case["options"]
    quantile, weight = options.get("dynamic_threshold", -1), options.get("extrapolation", -1)
    colours = {
        name: tuple(golden[f"{name}_rgb"].tolist()) if "mean_rgb" in golden else None for name in ("mean", "std")
    }
    return GenerateOptions(
        steps=flags.get("timestep_respacing") or case["respacing"],
        sampler="ddim" if "eta" in case else "ddpm",
        eta=case.get("eta", 0.0),
        guidance=max(options["s"], 1.0),
        label_noise=draws.label_noise,
        dynamic_threshold=quantile if quantile > 0 else None,
        extrapolation=max(weight, 0.0),
        **colours,
    )
