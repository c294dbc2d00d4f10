"""Training of an upsampler: a diffusion model of few steps that adds detail to small images.

At each step that it visits it is shown a rendering with noise, and the same rendering made small and enlarged again, with
flaws as another model's images have. It learns by the squared error, which decides colours and outlines, and from a critic
that is trained beside it (`critic`), which decides texture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..diffusion.denoiser import Denoiser
from ..diffusion.parametrization import WEIGHTINGS
from ..diffusion.upsampling import enlarged, reduced
from ..layouts.palette import Palette
from ..models.model import Model, ModelConfig
from .config import UpsamplerConfig
from .critic import Critic, cells, class_weights, loss_of_critic, loss_of_maker
from .learner import FUSED
from .objective import Losses, Task, UniformSteps, layouts
from .stream import FLAWS, DrawnBatch

LOG_SNR_LIMIT = 3.0  # of the weight of the squared error
INERTIA = 0.98  # of the mean over steps of how the two gradients compare
BETAS = (0.5, 0.99)  # of the critic's optimizer


def new_upsampler(config: UpsamplerConfig, palette: Palette) -> Model:
    """Untrained, with the initial weights of the configuration's seed."""
    torch.manual_seed(config.seed)
    model_config = ModelConfig(
        network=config.network,
        size=config.data.height_width,
        sizes=config.taught,
        noise_schedule=config.noise_schedule,
        noise_shift=config.noise_shift,
        prediction="x0",
        label_diffusion="none",
        distilled_steps=config.visits,
        distilled_guidance=1.0,
        window=config.window_used,
        upsamples=config.small,
    )
    return Model.new(model_config, palette)


def upsampling(config: UpsamplerConfig, model: Model, origin: dict[str, Any] | None, accelerator: Accelerator) -> Task:
    """Training the upsampler `model`. origin: the provenance of the one whose weights it begins with."""

    def objective(network: nn.Module) -> Upsampling:
        torch.manual_seed(config.seed)
        critic = Critic(config.network.num_classes, config.critic.width).to(accelerator.device)
        optimizer = torch.optim.AdamW(
            critic.parameters(),
            lr=config.critic.lr,
            betas=BETAS,
            weight_decay=0,
            fused=accelerator.device.type in FUSED,
        )
        wrapped, optimizer = accelerator.prepare(critic, optimizer)
        learning = Learning(critic, wrapped, optimizer, accelerator.backward)
        denoiser = model.config.denoiser(network).respaced(config.visits)
        return Upsampling(model, denoiser, UniformSteps(len(denoiser.schedule)), config, learning)

    return Task(model, objective, {"init": origin})


@dataclass
class Learning:
    """The critic in training. plain: itself, which `critic` may wrap. updates: of the upsampler so far.

    ratio: the mean over the latest steps of the squared error's gradient on an image, as a multiple of the critic's.
    """

    plain: Critic
    critic: nn.Module
    optimizer: Any
    backward: Callable[[Tensor], None]
    updates: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))
    ratio: Tensor = field(default_factory=lambda: torch.full((), torch.nan))

    def __post_init__(self) -> None:
        inner = self.optimizer.optimizer
        for group in inner.param_groups:  # so that a state has the same form before the first step as after it
            for weight in group["params"]:
                inner.state[weight] = {
                    "step": torch.zeros((), dtype=torch.float32, device=weight.device),
                    "exp_avg": torch.zeros_like(weight),
                    "exp_avg_sq": torch.zeros_like(weight),
                }

    def learn(self, images: Tensor, made: Tensor, ids: Tensor, weights: Tensor, height: int) -> None:
        """A step of the critic."""
        real, other = self.critic(torch.cat([images, made]), height).chunk(2)
        self.backward(loss_of_critic(real, other, ids, weights))
        self.optimizer.step()
        self.optimizer.zero_grad()

    def balance(self, ratio: Tensor) -> Tensor:
        self.ratio = torch.where(self.ratio.isnan(), ratio, torch.lerp(ratio, self.ratio.to(ratio), INERTIA))
        return self.ratio

    def state_dict(self) -> dict[str, Any]:
        state = self.optimizer.optimizer.state
        moments = {name: dict(state[weight]) for name, weight in self.plain.named_parameters()}
        ratio = float(self.ratio.nan_to_num(-1.0))
        return {"critic": self.plain.state_dict(), "moments": moments, "updates": int(self.updates), "ratio": ratio}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.plain.load_state_dict(state["critic"])
        own = self.optimizer.optimizer.state
        for name, weight in self.plain.named_parameters():
            for key, value in state["moments"][name].items():
                own[weight][key].copy_(value)
        self.updates.fill_(state["updates"])
        self.ratio = torch.tensor(state["ratio"] if state["ratio"] >= 0 else torch.nan)


@dataclass(frozen=True)
class Upsampling:
    """The squared error of x0, weighted by the signal-to-noise ratio between 1 and its limit and by the rarity of classes,
    and the critic's loss, whose gradient on the image is as large (`critic.weight`).

    model, denoiser: the upsampler's, the latter around the network as it was prepared for training.
    """

    model: Model
    denoiser: Denoiser
    timesteps: UniformSteps
    config: UpsamplerConfig
    learning: Learning

    def __call__(self, drawn: DrawnBatch, device: torch.device) -> Losses:
        batch, draws = drawn
        exact = batch.ids if batch.exact is None else batch.exact
        schedule, classes = self.denoiser.schedule, self.model.palette.num_classes
        index, weight = (v.to(device, non_blocking=True) for v in self.timesteps.pick(draws.step))
        labels = layouts(drawn, self.model, self.config.null_rate, device)
        images = batch.images.to(device, memory_format=torch.channels_last, non_blocking=True)
        height = batch.height or images.shape[-2]
        low = self._small(drawn, height).to(device)
        x = schedule.add_noise(images, index, draws.noise.to(device, non_blocking=True))
        given, t = torch.cat([x, low], dim=1), schedule.steps_at(index)
        made = self.denoiser.network(given, t, labels, **replace(self.denoiser, height=batch.height).whole).to(x)
        ids = cells(exact.to(device))
        weights = class_weights(ids, classes)
        squared = (made - images).square().mean(1)
        mse = squared.flatten(1).mean(1)
        per_pixel = weights[exact.to(device)].nan_to_num()
        snr = schedule.at(schedule.inverse_sigma, index, mse) ** -2
        total = WEIGHTINGS["truncated"](snr, LOG_SNR_LIMIT) * (squared * per_pixel).flatten(1).mean(1)
        total = total + self._criticised(made, total, ids, cells(labels.ids) == ids, weights, height, images)
        return Losses(t, weight, total, mse, torch.full_like(mse, torch.nan))

    def _criticised(
        self, made: Tensor, error: Tensor, ids: Tensor, known: Tensor, weights: Tensor, height: int, images: Tensor
    ) -> Tensor:
        """(B,) what the critic adds to the loss; it learns from the batch."""
        critic, number = self.config.critic, int(self.learning.updates)
        self.learning.updates += 1
        if not critic.weight or number < critic.after:
            return torch.zeros_like(error)
        added = torch.zeros_like(error)
        if number >= critic.after + critic.patience:
            self.learning.plain.requires_grad_(False)
            loss = loss_of_maker(self.learning.plain(made, height), ids, known, weights)
            own, others = (torch.autograd.grad(part.mean(), made, retain_graph=True)[0] for part in (error, loss))
            added = critic.weight * self.learning.balance(own.norm() / others.norm().clamp(min=1e-12)) * loss
            self.learning.plain.requires_grad_(True)
        self.learning.learn(images, made.detach(), ids, weights, height)
        return added

    def _small(self, drawn: DrawnBatch, height: int) -> Tensor:
        """The images of a batch, made small, with flaws, and enlarged again. height: of the whole images."""
        images = drawn.batch.images
        factor = max(1.0, height / self.config.small)
        size = images.shape[-2], images.shape[-1]
        rows, columns = (max(1, round(side / factor)) for side in size)
        low = reduced(images, (rows, columns))
        for place, position in enumerate(drawn.batch.positions.tolist()):
            rng = np.random.default_rng((self.config.seed, FLAWS, position))
            strength = self.config.flaws * max(0.0, 1.25 * rng.random() - 0.25)  # a fifth have none
            noise = rng.standard_normal((images.shape[1], rows, columns), dtype=np.float32)
            low[place] += strength * torch.from_numpy(noise)
        return enlarged(low.clamp(-1, 1), size)

    def state_dict(self) -> dict[str, Any]:
        return self.learning.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.learning.load_state_dict(state)
