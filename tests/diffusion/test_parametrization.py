"""Parametrisations: exact inverses, one split of the output, and a new one by an entry of the registry."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from scdm.diffusion.parametrization import PARAMETRIZATIONS, split
from scdm.diffusion.samplers import ddim_mean
from scdm.diffusion.schedules import NoiseSchedule
from tests.parity import deviation


@pytest.mark.parametrize("name", PARAMETRIZATIONS)
def test_the_target_leads_back_to_the_sample(name: str) -> None:
    x0, noise = torch.randn(2, 3, 4, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    schedule, index = NoiseSchedule.named("cosine"), torch.tensor([0, 500, 990])
    parametrization, x = PARAMETRIZATIONS[name], schedule.add_noise(x0, index, noise)
    target = parametrization.target(schedule, x0, index, noise)
    assert deviation(parametrization.to_x0(schedule, x, index, target), x0) <= 1e-9
    assert (torch.as_tensor(parametrization.loss_weight(schedule, index)) > 0).all()


@pytest.mark.parametrize("name", ["eps", "v", "x0", "flow"])
def test_losses_are_not_weighted_as_published(name: str) -> None:
    assert PARAMETRIZATIONS[name].loss_weight(NoiseSchedule.named("cosine"), torch.tensor([0, 500, 990])) == 1


class TestRectifiedFlow:
    steps = 50
    schedule = NoiseSchedule.named("flow", steps)
    t = (torch.arange(steps, dtype=torch.float64) + 1) / (steps + 1)

    def of(self, t: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The flow's x_t of x on the schedule, which keeps variances."""
        return x * ((1 - t) ** 2 + t**2).sqrt().view(-1, 1)

    def drawn(self) -> tuple[torch.Tensor, torch.Tensor]:
        x0, noise = torch.randn(2, self.steps, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        return x0, noise

    def test_the_marginals_are_exact(self) -> None:
        """x_t = (1 - t) x0 + t noise, at every step, and with a shift of the signal-to-noise ratio at t' of those times."""
        x0, noise = self.drawn()
        index, t = torch.arange(self.steps), self.t[:, None]
        x = self.of(self.t, self.schedule.add_noise(x0, index, noise))
        assert deviation(x, (1 - t) * x0 + t * noise) <= 1e-12
        shift, later = NoiseSchedule.named("flow", self.steps, 1 / 3), 3 * self.t / (1 + 2 * self.t)
        x = self.of(later, shift.add_noise(x0, index, noise))
        assert deviation(x, (1 - later[:, None]) * x0 + later[:, None] * noise) <= 1e-12

    def test_the_velocity_is_the_derivative_of_the_path(self) -> None:
        x0, noise = (draws[:1] for draws in self.drawn())
        path = (1 - self.t[:, None]) * x0 + self.t[:, None] * noise
        velocity = PARAMETRIZATIONS["flow"].target(self.schedule, x0, torch.zeros(1, dtype=torch.int64), noise)
        assert deviation(path.diff(dim=0) * (self.steps + 1), velocity.expand(self.steps - 1, -1)) <= 1e-9

    def test_ddim_takes_eulers_steps(self) -> None:
        x0, noise = self.drawn()
        index, t = torch.arange(1, self.steps), self.t[1:]
        x = self.schedule.add_noise(x0[1:], index, noise[1:])
        velocity = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        predicted = PARAMETRIZATIONS["flow"].to_x0(self.schedule, x, index, velocity)
        reached = self.of(self.t[:-1], ddim_mean(self.schedule, predicted, x, index))
        assert deviation(reached, self.of(t, x) - velocity / (self.steps + 1)) <= 1e-12


@pytest.mark.parametrize("channels", [3, 4])
def test_outputs_are_split_into_signal_and_variance(channels: int) -> None:
    output = torch.randn(2, 2 * channels, 4, 4)
    signal, variance = split(output, channels)
    assert variance is not None and torch.equal(torch.cat([signal, variance], dim=1), output)
    assert split(signal, channels)[1] is None


NEW = """
import torch
from scdm.diffusion.parametrization import PARAMETRIZATIONS, Parametrization

# The noise as it is seen at the scale of x0: x_t / sqrt(A_t) - x0.
at = lambda schedule, index, like: schedule.at(schedule.inverse_sigma, index, like)
PARAMETRIZATIONS["scaled_noise"] = Parametrization(
    lambda schedule, x, index, v: schedule.at(schedule.inverse_signal, index, x) * x - v,
    lambda schedule, x0, index, noise: at(schedule, index, x0) * noise,
    lambda schedule, index: at(schedule, index, torch.empty(1)) ** -2,
)

from scdm import GenerateOptions, LabelMap, Model, ModelConfig, Palette, generate
from scdm.networks import UNetConfig

network = UNetConfig(2, channels=32, channel_mult=(1,), res_blocks=1, attention=(), head_channels=None, hidden=8)
config = ModelConfig(network, (16, 16), label_diffusion="none", prediction="scaled_noise")
model = Model.new(config, Palette("test", ("a", "b"), ((0, 0, 0), (9, 9, 9))))
labels = LabelMap(torch.zeros(2, 16, 16, dtype=torch.int64), 2)
x0, noise = torch.rand(2, 2, 3, 16, 16) * 2 - 1
terms = model.denoiser.loss(x0, labels, torch.tensor([500, 999]), noise)
# The network is 0 at first, so that the weighted error of the scaled noise is that of eps.
torch.testing.assert_close(terms.total - terms.vb, (noise**2).mean(dim=(1, 2, 3)))
terms.total.mean().backward()
assert model.network.out[-1].weight.grad.abs().max() > 0
assert generate(model, labels, GenerateOptions(steps=2)).abs().max() <= 1
"""


def test_settings_can_name_them_without_torch() -> None:
    code = "import sys, scdm.diffusion.parametrization; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_new_one_trains_and_samples_by_its_entry_alone() -> None:
    subprocess.run([sys.executable, "-c", NEW], check=True, timeout=300)
