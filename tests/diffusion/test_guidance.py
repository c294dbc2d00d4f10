"""Guidance and what follows it: the published reverse step for every option, and each part on its own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from scdm.diffusion.denoiser import Denoise, Denoiser, Prediction
from scdm.diffusion.guidance import (
    Colours,
    clipped,
    colour_matched,
    dynamic_threshold,
    extrapolated,
    guided,
    match_colours,
    shaped,
    thresholded,
)
from scdm.diffusion.label_diffusion import LabelDiffusion, shipped_rates
from scdm.diffusion.samplers import step_log_variance
from scdm.diffusion.schedules import NoiseSchedule
from scdm.layouts.labels import LabelMap
from tests.parity import arrays, deviation, entries, facts, layout, relative_deviation, tensors


class Recorded(nn.Module):
    """A network whose two branches are known, and which remembers what it was asked."""

    def __init__(self, conditional: Tensor, null: Tensor | None = None):
        super().__init__()
        self.conditional, self.null = conditional, null
        self.asked: list[LabelMap | None] = []
        self.encoded: list[Tensor] = []

    def encode(self, x: Tensor, t: Tensor) -> Tensor:
        self.encoded.append(t)
        return x

    def decode(self, features: Tensor, labels: LabelMap | None) -> Tensor:
        self.asked.append(labels)
        output = self.conditional if labels is not None else self.null
        assert output is not None
        return output


@pytest.mark.parametrize("entry", entries("diffusion/p_mean_variance"))
def test_reverse_step_is_the_published_one(entry: int) -> None:
    """Guidance, extrapolation, threshold, colours, then mean and variance: each in its place, for each sample's step."""
    case, golden = facts("diffusion/p_mean_variance")[entry], arrays("diffusion/p_mean_variance", str(entry))
    network = Recorded(golden["net_cond"], golden.get("net_null"))
    denoiser = Denoiser(
        network,
        NoiseSchedule.named("linear"),
        LabelDiffusion(shipped_rates("celebamask_hq")),
        prediction="x0" if case["prediction"] == "x_start" else "eps",
    ).respaced(case["respacing"])
    schedule, index, x = denoiser.schedule, golden["t"], golden["x"]
    t = torch.from_numpy(schedule.timesteps)[index]

    scale = case["options"].get("s", 1.0)
    denoise = guided(denoiser, layout(golden, 19), scale, lambda t, shape: golden["u"].reshape(shape))
    options = published_options(case, golden)
    prediction = after_the_step_before(denoise, case, golden, lambda d: shaped(d, **options))(x, t)

    assert torch.equal(network.encoded[0], golden["net_t"])
    assert network.asked[0] is not None
    assert torch.equal(network.asked[0].one_hot(torch.uint8), golden["net_y_cond"])
    assert network.asked[1:] == [None] * (case["n_network_calls"] - 1)
    if "prev_x_after" in golden:
        ahead, _ = after_the_step_before(denoise, case, golden, lambda d: extrapolated(d, options["extrapolation"]))(
            x, t
        )
        assert relative_deviation(ahead, golden["prev_x_after"]) <= 5e-5
    assert relative_deviation(prediction.x0, golden["pred_xstart"]) <= 5e-5
    assert relative_deviation(schedule.posterior_mean(prediction.x0, x, index), golden["mean"]) <= 5e-5
    kind = {"learned_range": "learned"}.get(case["variance"], case["variance"])
    log_variance = step_log_variance(schedule, prediction, index, kind).expand_as(x)
    assert relative_deviation(log_variance, golden["log_variance"]) <= 5e-5
    # The published "fixed_small" variance is 0 at the first step, whose logarithm is clipped; no noise is added there.
    variance = log_variance.exp() if kind != "fixed_small" else log_variance.exp() * (index > 0).view(-1, 1, 1, 1)
    assert relative_deviation(variance, golden["variance"]) <= 5e-5


def after_the_step_before(
    denoise: Denoise, case: dict[str, Any], golden: dict[str, Tensor], wrap: Callable[[Denoise], Denoise]
) -> Denoise:
    """`wrap(denoise)` within a trajectory: its step before, if the case has one, predicted `prev_x`."""
    before = [Prediction(golden["prev_x"])] if case["has_prev_x"] else []
    wrapped = wrap(lambda x, t: before.pop() if before else denoise(x, t))
    if before:
        wrapped(golden["x"], golden["t"])
    return wrapped


def published_options(case: dict[str, Any], golden: dict[str, Tensor]) -> dict[str, Any]:
    options, clip = case["options"], case["clip_denoised"] and "dynamic_threshold" in case["options"]
    quantile = options.get("dynamic_threshold", 0)
    return {
        "extrapolation": max(options.get("extrapolation", 0), 0),
        "clip": clip,
        "dynamic_threshold": quantile if clip and quantile > 0 else None,
        "colours": Colours(golden["mean_rgb"], golden["std_rgb"])
        if case["clip_denoised"] and case["mean_std"]
        else None,
    }


@pytest.mark.parametrize("name", [name for name in tensors("diffusion/dynamic_threshold") if name.startswith("out_")])
def test_dynamic_threshold_is_the_published_one(name: str) -> None:
    golden, quantile = arrays("diffusion/dynamic_threshold"), name.removeprefix("out_")
    assert deviation(dynamic_threshold(golden[f"x_{quantile}"], float(quantile)), golden[name]) <= 2e-6


def test_dynamic_threshold_knows_no_limit_of_size() -> None:
    """torch.quantile has one, at 2^24 values."""
    x0 = torch.full((1, 1, 1, 2**24 + 1), 3.0)
    x0[..., :10] = -4
    assert dynamic_threshold(x0, 0.5).aminmax() == (-1, 1)


# Each part on its own


LABELS = LabelMap(torch.zeros(1, 4, 4, dtype=torch.int64), 2)
T = torch.tensor([500])


def branches(channels: int) -> Recorded:
    generator = torch.Generator().manual_seed(0)
    return Recorded(*(torch.randn(1, channels, 4, 4, generator=generator) for _ in range(2)))


def x0s(*values: float) -> Denoise:
    """Predictions of one grey after the other."""
    predictions = [Prediction(torch.full((1, 3, 2, 2), value)) for value in values]
    return lambda x, t: predictions.pop(0)


@given(st.floats(0, 8))
def test_guidance_leaves_the_null_behind(scale: float) -> None:
    network = branches(6)
    denoiser = Denoiser(network, NoiseSchedule.named("linear"), prediction="x0")
    prediction = guided(denoiser, LABELS, scale)(torch.zeros(1, 3, 4, 4), T)

    assert network.null is not None and prediction.variance is not None
    conditional, null = network.conditional[:, :3], network.null[:, :3]
    expected = null + scale * (conditional - null) if scale > 1 else conditional
    assert deviation(prediction.x0, expected) <= 1e-5
    assert torch.equal(prediction.variance, network.conditional[:, 3:])
    assert len(network.encoded) == 1 and len(network.asked) == (2 if scale > 1 else 1)


def test_guidance_on_eps_is_guidance_on_the_image() -> None:
    """The conversions are linear, so at a given x it does not matter what is extrapolated."""
    network, schedule, x = branches(3), NoiseSchedule.named("linear"), torch.ones(1, 3, 4, 4)
    assert network.null is not None
    guided_x0 = guided(Denoiser(network, schedule), LABELS, 3.0)(x, T).x0
    conditional, null = (schedule.x0_from_eps(x, T, eps) for eps in (network.conditional, network.null))
    assert relative_deviation(guided_x0, null + 3 * (conditional - null)) <= 1e-5


def test_the_layout_is_diffused_once_for_every_call() -> None:
    network = branches(3)
    draws: list[Tensor] = []

    def label_noise(t: Tensor, shape: torch.Size) -> Tensor:
        draws.append(t)
        return torch.zeros(shape)

    denoiser = Denoiser(network, NoiseSchedule.named("linear"), LabelDiffusion())
    denoise = guided(denoiser, LABELS, 1.5, label_noise)
    denoise(torch.zeros(1, 3, 4, 4), T)
    denoise(torch.zeros(1, 3, 4, 4), T)
    assert len(draws) == 2 and all(torch.equal(t, T) for t in draws)
    assert network.asked[0] is not None and network.asked[0].unpainted.all()
    assert not LABELS.unpainted.any()


def test_label_diffusion_without_draws_is_refused() -> None:
    denoiser = Denoiser(branches(3), NoiseSchedule.named("linear"), LabelDiffusion())
    with pytest.raises(ValueError, match="needs its uniform draws"):
        guided(denoiser, LABELS, 1.5)(torch.zeros(1, 3, 4, 4), T)


def test_extrapolation_goes_by_its_own_last_prediction() -> None:
    """1, 2, 4 with weight 0.5: 1; 2 + 0.5 (2 - 1) = 2.5; 4 + 0.5 (4 - 2.5) = 4.75."""
    denoise = extrapolated(x0s(1, 2, 4), 0.5)
    values = [denoise(torch.zeros(1, 3, 2, 2), T).x0.unique().item() for _ in range(3)]
    assert values == pytest.approx([1, 2.5, 4.75])


def test_a_repeated_step_extrapolates_from_the_step_before_it() -> None:
    """1, 1 | 2, 3 | 6, 7 with weight 0.5: from the last of the step before, 1: 2.5 and 4; from 4: 7 and 8.5."""
    denoise = extrapolated(x0s(1, 1, 2, 3, 6, 7), 0.5, repeats=2)
    values = [denoise(torch.zeros(1, 3, 2, 2), T).x0.unique().item() for _ in range(6)]
    assert values == pytest.approx([1, 1, 2.5, 4, 7, 8.5])


def test_the_order_is_extrapolated_then_thresholded_then_colours() -> None:
    mean, std = torch.zeros(3), torch.ones(3)
    x0 = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    denoise = shaped(
        lambda x, t: Prediction(x), extrapolation=2, dynamic_threshold=0.9, colours=Colours(mean, std), clip=False
    )
    denoise(0 * x0, T)
    expected = match_colours(dynamic_threshold(3 * x0, 0.9), mean, std)
    assert deviation(denoise(x0, T).x0, expected) <= 1e-5
    assert torch.equal(shaped(lambda x, t: Prediction(x), clip=False)(3 * x0, T).x0, 3 * x0)
    assert torch.equal(shaped(lambda x, t: Prediction(x))(3 * x0, T).x0, (3 * x0).clamp(-1, 1))


def test_every_trajectory_has_its_own_memory() -> None:
    denoise = x0s(1, 5)
    extrapolated(denoise, 0.8)(torch.zeros(1, 3, 2, 2), T)
    assert extrapolated(denoise, 0.8)(torch.zeros(1, 3, 2, 2), T).x0.unique().item() == 5


def test_clipping_keeps_the_range_of_images() -> None:
    denoise = clipped(x0s(-3, 0.5, 7))
    assert [denoise(torch.zeros(1, 3, 2, 2), T).x0.unique().item() for _ in range(3)] == [-1, 0.5, 1]


@given(st.floats(0.01, 1), st.floats(0.1, 20), st.integers(0, 10**6))
def test_threshold_is_numpys_quantile(quantile: float, spread: float, seed: int) -> None:
    """Each image by its own quantile, images in range untouched, all of them in range afterwards."""
    generator = torch.Generator().manual_seed(seed)
    x0 = torch.randn(3, 3, 5, 4, generator=generator) * torch.tensor([spread, 0.1, 1.0]).view(3, 1, 1, 1)
    out = dynamic_threshold(x0, quantile)
    for image, result in zip(x0, out, strict=True):
        s = max(1.0, np.quantile(image.abs().double().numpy(), quantile))
        assert deviation(result, image.double().clamp(-s, s) / s) <= 1e-5
    assert out.abs().max() <= 1 and torch.equal(thresholded(lambda x, t: Prediction(x), quantile)(x0, T).x0, out)


def test_matched_colours_have_the_statistics_asked_for() -> None:
    x0 = torch.randn(2, 3, 9, 7, generator=torch.Generator().manual_seed(0)) * 3 + 1
    mean, std = torch.tensor([0.1, -0.2, 0.3]), torch.tensor([0.5, 0.4, 0.3])
    out = match_colours(x0, mean, std)
    assert deviation(out.mean((2, 3)), mean.expand(2, 3)) <= 1e-5
    assert deviation(out.std((2, 3)), std.expand(2, 3)) <= 1e-5
    assert torch.equal(colour_matched(lambda x, t: Prediction(x), mean, std)(x0, T).x0, out)
