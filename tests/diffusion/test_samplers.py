"""The samplers against a problem whose answer is known, and against an independent implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from scdm.devices import Table
from scdm.diffusion.denoiser import Denoise, Prediction
from scdm.diffusion.noise import image_noise
from scdm.diffusion.samplers import SAMPLERS, ddim, ddpm, dpmpp_2m, dpmpp_2m_sde, sampler_options, unipc
from scdm.diffusion.schedules import NoiseSchedule

FULL = NoiseSchedule.named("linear")
MEAN, STD = 0.3, 0.5  # of the Gaussian "data set" whose perfect denoiser is known in closed form


def perfect(schedule: NoiseSchedule = FULL) -> Denoise:
    """E[x0 | x_t] for data N(MEAN, STD^2), every pixel on its own."""
    kept = Table(schedule.alphas_cumprod)

    def denoise(x: Tensor, t: Tensor) -> Prediction:
        a = schedule.at(kept, schedule.index_of(t), x)
        gain = a.sqrt() * STD**2 / (a * STD**2 + 1 - a)
        return Prediction(MEAN + gain * (x - a.sqrt() * MEAN))

    return denoise


def start(count: int = 1, side: int = 64, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def exact_flow(x: Tensor) -> Tensor:
    """Where the probability-flow ODE takes x from the last step: for Gaussian data an affine map."""
    a = FULL.alphas_cumprod[-1]
    return MEAN + (x - math.sqrt(a) * MEAN) * STD / math.sqrt(a * STD**2 + 1 - a)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_ends_at_the_data_distribution(name):
    """With a perfect denoiser and 200 steps, mean and spread of the samples are those of the data."""
    schedule = FULL.respaced("200")
    steps = list(SAMPLERS[name](perfect(), start(2, 48), schedule, image_noise([1, 2])))
    assert steps[-1].x.mean() == pytest.approx(MEAN, abs=0.02)
    assert steps[-1].x.std() == pytest.approx(STD, abs=0.05)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_reports_each_step_once_from_noisy_to_clean(name):
    schedule = FULL.respaced("10")
    steps = list(SAMPLERS[name](perfect(), start(1, 8), schedule, image_noise([1])))
    assert [step.done for step in steps] == list(range(1, 11))
    assert [step.t for step in steps] == schedule.timesteps[::-1].tolist()


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_takes_a_process_of_one_step(name):
    (step,) = SAMPLERS[name](perfect(), start(1, 8), FULL.respaced("1"), image_noise([1]))
    assert torch.isfinite(step.x).all()
    torch.testing.assert_close(step.x, step.x0, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("sampler", "order"), [(ddim, 1), (dpmpp_2m, 2), (unipc, 2)])
def test_deterministic_samplers_converge_at_their_order(sampler, order):
    """Twice the steps leave about 2^order less error against the exact solution of the ODE.

    The last step, from t = 0 to the clean image, is taken at any order's peril; the error is measured before it.
    """
    x = start(1, 16).double()

    def error(count: int) -> float:
        schedule = FULL.respaced(str(count))
        *_, at_zero, _ = sampler(perfect(), x, schedule, image_noise([0]))
        a = FULL.alphas_cumprod[0]
        exact = math.sqrt(a) * MEAN + (exact_flow(x) - MEAN) / STD * math.sqrt(a * STD**2 + 1 - a)
        return (at_zero.x - exact).abs().max().item()

    assert error(50) / error(100) > 0.8 * 2**order


@pytest.mark.parametrize(("sampler", "options"), [(ddpm, {"variance": "fixed_small"}), (ddim, {"eta": 1.0})])
def test_ddim_at_eta_one_is_ancestral_sampling(sampler, options):
    """Both forms of the same step, given the same draws, agree."""
    schedule = FULL.respaced("20")
    one = list(ddpm(perfect(), start(1, 8), schedule, image_noise([5]), variance="fixed_small"))
    other = list(sampler(perfect(), start(1, 8), schedule, image_noise([5]), **options))
    # The first visited step's published log variance is clipped, so the very last draw differs: compare before it.
    torch.testing.assert_close(one[-3].x, other[-3].x, rtol=1e-4, atol=1e-4)


def test_repeated_steps_still_end_at_the_data_distribution():
    schedule = FULL.respaced("25")
    *_, last = ddpm(perfect(), start(2), schedule, image_noise([1, 2]), repeats=3)
    assert last.x.mean() == pytest.approx(MEAN, abs=0.02)
    assert last.x.std() == pytest.approx(STD, abs=0.06)


def test_a_learned_variance_moves_between_its_bounds():
    """Fraction 1 is the variance beta, -1 the posterior's."""

    def denoise(fraction: float) -> Denoise:
        return lambda x, t: Prediction(torch.zeros_like(x), torch.full_like(x, fraction))

    schedule = FULL.respaced("10")
    spread = {}
    for fraction in (-1.0, 1.0):
        first, *_ = ddpm(denoise(fraction), start(), schedule, image_noise([3]))
        mean = schedule.posterior_mean_coef_xt[-1] * start()
        spread[fraction] = (first.x - mean).std().item()
    assert spread[1.0] == pytest.approx(math.sqrt(schedule.betas[-1]), rel=0.02)
    assert spread[-1.0] == pytest.approx(math.sqrt(schedule.posterior_variance[-1]), rel=0.02)


def test_samplers_declare_their_own_options():
    options = sampler_options()
    owners = {"variance": ("ddpm",), "repeats": ("ddpm", "ddim"), "eta": ("ddim",)}
    assert {name: options[name].owners[: len(known)] for name, known in owners.items()} == owners
    assert options["variance"].default == "learned" and options["eta"].option.le == 1


class TestAgainstDiffusers:
    """The solvers that a well-kept library has too: same steps, same answers."""

    @pytest.mark.parametrize(
        ("sampler", "scheduler", "options"),
        [
            (dpmpp_2m, "DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_type": "midpoint"}),
            (dpmpp_2m_sde, "DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
            (unipc, "UniPCMultistepScheduler", {"solver_type": "bh2"}),
        ],
    )
    def test_same_trajectory(self, sampler, scheduler, options):
        diffusers = pytest.importorskip("diffusers", reason="diffusers is the independent implementation")
        schedule = FULL.respaced("12")
        visited = schedule.timesteps[::-1].copy()
        theirs = getattr(diffusers, scheduler)(
            trained_betas=FULL.betas, prediction_type="sample", solver_order=2, final_sigmas_type="zero", **options
        )
        theirs.set_timesteps(len(visited))
        assert len(theirs.timesteps) == len(visited)
        theirs.timesteps = torch.from_numpy(visited)
        sigmas = np.sqrt((1 - schedule.alphas_cumprod) / schedule.alphas_cumprod)[::-1].copy()
        theirs.sigmas = torch.from_numpy(np.append(sigmas, 0.0))
        draws = [start(1, 8, seed=i).double() for i in range(len(visited))]
        handed_out = iter(draws)
        x = start(1, 8).double()
        ours = list(sampler(perfect(), x, schedule, lambda like: next(handed_out)))
        for i, t in enumerate(theirs.timesteps):
            x0 = perfect()(x, t[None]).x0
            noise = {"variance_noise": draws[i]} if "sde" in options.get("algorithm_type", "") else {}
            x = theirs.step(x0, t, x, **noise).prev_sample
            torch.testing.assert_close(ours[i].x, x, rtol=1e-5, atol=1e-5)
