"""Noise schedules: the published tables and step lists, and the algebra that ties them together."""

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from scdm.devices import Table
from scdm.diffusion.likelihood import gaussian_kl, mean_bits
from scdm.diffusion.schedules import NoiseSchedule, linear_betas, visited_steps
from tests.parity import arrays, deviation, entries, facts, tensors

BETAS = [name for name in tensors("diffusion/beta_schedules") if not name.startswith("label_")]


@pytest.mark.parametrize("case", BETAS)
def test_betas_are_the_published_ones(case: str) -> None:
    golden = arrays("diffusion/beta_schedules")[case].numpy()
    name, steps = case.split("_")
    assert np.abs(NoiseSchedule.named(name, int(steps)).betas - golden).max() <= 1e-12


@pytest.mark.parametrize("entry", entries("diffusion/respacing"))
def test_steps_and_tables_are_the_published_ones(entry: int) -> None:
    golden = facts("diffusion/respacing")[entry]
    full = NoiseSchedule.named("linear", golden["diffusion_steps"])
    if golden.get("error") == "ValueError":
        with pytest.raises(ValueError, match="steps"):
            full.respaced(golden["respacing"])
        return
    schedule = full.respaced(golden["respacing"])
    if golden.get("error") == "IndexError":
        # The published code trips over a process of one step, whose table of log variances has no second entry. Ours
        # supports it on purpose: distilled models may take a single step.
        assert schedule.timesteps.tolist() == [0] and np.isfinite(schedule.posterior_log_variance).all()
        return
    assert schedule.timesteps.tolist() == golden["timesteps"]
    tables = arrays("diffusion/respacing", str(entry))
    for name, ours in published_tables(schedule).items():
        if name in tables:
            np.testing.assert_allclose(ours, tables[name].numpy(), rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize(("steps", "count"), [(1000, 1), (1000, 4), (1000, 7), (1024, 32), (10, 10)])
def test_trailing_steps_end_where_the_process_does_and_half_as_many_are_among_them(steps: int, count: int) -> None:
    visited = visited_steps(steps, f"trailing{count}")
    assert len(visited) == count and visited[-1] == steps - 1
    assert np.abs(np.diff(visited) - steps / count).max(initial=0) <= 1
    if 2 * count <= steps:
        assert visited_steps(steps, f"trailing{2 * count}")[1::2].tolist() == visited.tolist()
    with pytest.raises(ValueError, match=f"cannot take {steps + 1} steps of a section of {steps}"):
        visited_steps(steps, f"trailing{steps + 1}")


def published_tables(schedule: NoiseSchedule) -> dict[str, np.ndarray]:
    a = schedule.alphas_cumprod
    return {
        "betas": schedule.betas,
        "alphas_cumprod": a,
        "alphas_cumprod_prev": schedule.alphas_cumprod_prev,
        "alphas_cumprod_next": np.append(a[1:], 0.0),
        "sqrt_alphas_cumprod": np.sqrt(a),
        "sqrt_one_minus_alphas_cumprod": np.sqrt(1 - a),
        "log_one_minus_alphas_cumprod": np.log(1 - a),
        "sqrt_recip_alphas_cumprod": np.sqrt(1 / a),
        "sqrt_recipm1_alphas_cumprod": np.sqrt(1 / a - 1),
        "posterior_variance": schedule.posterior_variance,
        "posterior_log_variance_clipped": schedule.posterior_log_variance,
        "posterior_mean_coef1": schedule.posterior_mean_coef_x0,
        "posterior_mean_coef2": schedule.posterior_mean_coef_xt,
    }


def test_forward_process_is_the_published_one() -> None:
    """x_t and the moments of q(x_t | x_0) and q(x_{t-1} | x_t, x_0)."""
    golden, schedule = arrays("diffusion/q_sample"), NoiseSchedule.named("linear")
    x0, t = golden["x_start"], golden["t"]
    x = schedule.add_noise(x0, t, golden["noise"])
    assert deviation(x, golden["x_t"]) <= 2e-6

    def wide(table: np.ndarray) -> Tensor:
        return schedule.at(Table(table), t, x0).expand_as(x0)

    assert deviation(wide(np.sqrt(schedule.alphas_cumprod)) * x0, golden["q_mean"]) <= 2e-6
    assert deviation(wide(1 - schedule.alphas_cumprod), golden["q_variance"]) <= 2e-6
    assert deviation(wide(np.log(1 - schedule.alphas_cumprod)), golden["q_log_variance"]) <= 2e-6
    assert deviation(schedule.posterior_mean(x0, golden["x_t"], t), golden["posterior_mean"]) <= 2e-6
    assert deviation(wide(schedule.posterior_variance), golden["posterior_variance"]) <= 2e-6
    assert deviation(wide(schedule.posterior_log_variance), golden["posterior_log_variance"]) <= 2e-6


def test_conversions_are_the_published_ones() -> None:
    golden, schedule = arrays("diffusion/q_sample"), NoiseSchedule.named("linear")
    x, t = golden["x_t"], golden["t"]
    assert deviation(schedule.x0_from_eps(x, t, golden["noise"]), golden["pred_x_start"]) <= 1e-4
    assert deviation(schedule.eps_from_x0(x, t, golden["x_start"]), golden["pred_eps"]) <= 1e-4


def test_prior_is_the_published_one() -> None:
    """KL(q(x_T | x_0) || N(0, 1)) in bits per element."""
    golden, left = arrays("diffusion/q_sample"), NoiseSchedule.named("linear").alphas_cumprod[-1]
    mean = math.sqrt(left) * golden["x_start"]
    zero, log_variance = torch.zeros_like(mean), torch.full_like(mean, math.log(1 - left))
    assert deviation(mean_bits(gaussian_kl(mean, log_variance, zero, zero)), golden["prior_bpd"]) <= 1e-7


# The algebra


@st.composite
def schedules(draw: st.DrawFn) -> NoiseSchedule:
    """Named ones of any length, and some of any betas."""
    steps = draw(st.integers(1, 60))
    if draw(st.booleans()):
        return NoiseSchedule.named(draw(st.sampled_from(["linear", "cosine"])), max(steps, 21))
    return NoiseSchedule(np.array(draw(st.lists(st.floats(1e-5, 0.9), min_size=steps, max_size=steps))))


@given(st.integers(1, 1200), st.data())
def test_counts_are_kept_section_by_section(steps: int, data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(1, 40), min_size=1, max_size=6))
    assume(max(counts) <= steps // len(counts))
    visited = visited_steps(steps, ",".join(map(str, counts)))
    size, longer = divmod(steps, len(counts))
    starts = [i * size + min(i, longer) for i in range(len(counts) + 1)]

    assert (np.diff(visited) > 0).all()
    assert np.histogram(visited, bins=[*starts[:-1], steps - 0.5])[0].tolist() == counts
    assert np.array_equal(visited, visited_steps(steps, counts))
    for start, end, count in zip(starts, starts[1:], counts, strict=False):
        assert start in visited and (count == 1 or end - 1 in visited)


@given(st.integers(1, 1200), st.integers(1, 1200))
def test_strided_steps_begin_at_zero_and_are_exact_or_refused(steps: int, count: int) -> None:
    try:
        visited = visited_steps(steps, f"ddim{count}")
    except ValueError:
        assert all(len(range(0, steps, stride)) != count for stride in range(1, steps))
        return
    assert len(visited) == count and visited[0] == 0 and visited[-1] < steps
    assert len(set(np.diff(visited))) <= 1


@pytest.mark.parametrize("spec", ["ddim", "0", "10,,5", "10,x", "ddimfast", "-3", [], [5, 0]])
def test_requests_without_sense_are_refused(spec: str | list[int]) -> None:
    with pytest.raises(ValueError, match="step"):
        visited_steps(1000, spec)


@given(schedules(), st.data())
def test_a_shorter_process_has_the_same_marginals(schedule: NoiseSchedule, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(schedule)))
    short = schedule.respaced(count)
    np.testing.assert_allclose(short.alphas_cumprod, schedule.alphas_cumprod[short.timesteps], rtol=1e-9, atol=1e-12)
    index = torch.arange(count)
    assert torch.equal(short.index_of(torch.from_numpy(short.timesteps)), index)
    again = short.respaced(data.draw(st.integers(1, count)))
    assert set(again.timesteps) <= set(short.timesteps)


@given(schedules(), st.data())
def test_what_noise_adds_the_conversions_take_away(schedule: NoiseSchedule, data: st.DataObject) -> None:
    index = torch.tensor([data.draw(st.integers(0, len(schedule) - 1))])
    a = float(schedule.alphas_cumprod[index])
    assume(a > 1e-6)
    generator = torch.Generator().manual_seed(0)
    x0, eps = torch.randn(2, 1, 3, 2, 2, dtype=torch.float64, generator=generator)
    x = schedule.add_noise(x0, index, eps)
    v = math.sqrt(a) * eps - math.sqrt(1 - a) * x0

    assert deviation(schedule.x0_from_eps(x, index, eps), x0) <= 1e-9
    assert deviation(schedule.x0_from_v(x, index, v), x0) <= 1e-12
    assert deviation(schedule.eps_from_x0(x, index, x0), eps) <= 1e-6


@given(schedules())
def test_one_posterior_step_keeps_the_marginal(schedule: NoiseSchedule) -> None:
    """If x_t follows q(x_t | x_0), a draw from the posterior follows q(x_{t-1} | x_0): its mean and its variance."""
    a, a_prev = schedule.alphas_cumprod, schedule.alphas_cumprod_prev
    mean = schedule.posterior_mean_coef_x0 + schedule.posterior_mean_coef_xt * np.sqrt(a)
    variance = schedule.posterior_mean_coef_xt**2 * (1 - a) + schedule.posterior_variance
    np.testing.assert_allclose(mean, np.sqrt(a_prev), rtol=1e-9)
    np.testing.assert_allclose(variance, 1 - a_prev, rtol=1e-9, atol=1e-12)
    assert (schedule.posterior_variance <= schedule.betas + 1e-15).all()


@given(schedules(), st.floats(-1, 1))
def test_learned_variance_lies_between_its_bounds(schedule: NoiseSchedule, fraction: float) -> None:
    index = torch.arange(len(schedule))
    like = torch.full((len(schedule), 1), fraction, dtype=torch.float64)
    learned = schedule.learned_log_variance(like, index)[:, 0].numpy()
    low, high = schedule.posterior_log_variance, np.log(schedule.betas)
    assert (learned >= np.minimum(low, high) - 1e-9).all() and (learned <= np.maximum(low, high) + 1e-9).all()


def test_a_process_of_one_step_can_be_sampled() -> None:
    """Its only step leads to the clean image, without noise. The published code cannot build it."""
    schedule = NoiseSchedule.named("linear").respaced(1)
    assert schedule.posterior_variance.tolist() == [0]
    x0 = torch.randn(1, 3, 2, 2)
    assert deviation(schedule.posterior_mean(x0, torch.randn(1, 3, 2, 2), torch.tensor([0])), x0) <= 1e-6


def test_any_number_of_steps_spans_the_same_noise() -> None:
    ends = [np.prod(1 - linear_betas(steps)) for steps in (200, 1000, 5000)]
    assert max(ends) < 1e-4


@pytest.mark.parametrize("name", ["linear", "cosine"])
@pytest.mark.parametrize("shift", [0.125, 0.25, 2.0])
def test_a_shift_scales_the_signal_to_noise_ratio_of_every_step(name: str, shift: float) -> None:
    plain, moved = (NoiseSchedule.named(name, shift=by).alphas_cumprod for by in (1.0, shift))
    np.testing.assert_allclose(moved / (1 - moved), shift**2 * plain / (1 - plain), rtol=1e-9)


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_without_a_shift_the_schedule_is_the_same_to_the_bit(name: str) -> None:
    assert np.array_equal(NoiseSchedule.named(name, shift=1.0).betas, NoiseSchedule.named(name).betas)


@pytest.mark.parametrize("shift", [1 / 64, 64])
def test_any_shift_is_a_process(shift: float) -> None:
    for name in ("linear", "cosine"):
        betas = NoiseSchedule.named(name, shift=shift).betas
        assert ((betas > 0) & (betas <= 1)).all()
