"""Guidance and what follows it: the published reverse step for every option, and each part on its own."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from scdm.denoiser import Denoise, Denoiser, Prediction
from scdm.guidance import (
    clipped,
    colour_matched,
    dynamic_threshold,
    extrapolated,
    guided,
    match_colours,
    thresholded,
)
from scdm.label_diffusion import LabelDiffusion, shipped_rates
from scdm.labels import LabelMap
from scdm.samplers import step_log_variance
from scdm.schedules import NoiseSchedule
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
    denoise, remembered = with_published_options(denoise, case, golden)
    prediction = denoise(x, t)

    assert torch.equal(network.encoded[0], golden["net_t"])
    assert network.asked[0] is not None
    assert torch.equal(network.asked[0].one_hot(torch.uint8), golden["net_y_cond"])
    assert network.asked[1:] == [None] * (case["n_network_calls"] - 1)
    if "prev_x_after" in golden:
        assert relative_deviation(remembered[-1], golden["prev_x_after"]) <= 5e-5
    assert relative_deviation(prediction.x0, golden["pred_xstart"]) <= 5e-5
    assert relative_deviation(schedule.posterior_mean(prediction.x0, x, index), golden["mean"]) <= 5e-5
    kind = {"learned_range": "learned"}.get(case["variance"], case["variance"])
    log_variance = step_log_variance(schedule, prediction, index, kind).expand_as(x)
    assert relative_deviation(log_variance, golden["log_variance"]) <= 5e-5
    # The published "fixed_small" variance is 0 at the first step, whose logarithm is clipped; no noise is added there.
    variance = log_variance.exp() if kind != "fixed_small" else log_variance.exp() * (index > 0).view(-1, 1, 1, 1)
    assert relative_deviation(variance, golden["variance"]) <= 5e-5


def with_published_options(
    denoise: Denoise, case: dict[str, Any], golden: dict[str, Tensor]
) -> tuple[Denoise, list[Tensor]]:
    """The published options applied in the published order, and the list of what extrapolation goes by."""
    options, remembered = case["options"], []
    if options.get("extrapolation", 0) > 0:
        inner = denoise
        before = [Prediction(golden["prev_x"])] if case["has_prev_x"] else []
        extrapolate = extrapolated(lambda x, t: before.pop() if before else inner(x, t), options["extrapolation"])
        if before:
            extrapolate(golden["x"], golden["t"])  # the step before, whose prediction was prev_x

        def denoise(x: Tensor, t: Tensor) -> Prediction:
            prediction = extrapolate(x, t)
            remembered.append(prediction.x0)
            return prediction

    if case["clip_denoised"] and "dynamic_threshold" in options:
        quantile = options["dynamic_threshold"]
        denoise = thresholded(denoise, quantile) if quantile > 0 else clipped(denoise)
    if case["clip_denoised"] and case["mean_std"]:
        denoise = colour_matched(denoise, golden["mean_rgb"], golden["std_rgb"])
    return denoise, remembered


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
