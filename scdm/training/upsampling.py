"""Training of an upsampler: a diffusion model of few steps that adds detail to small images.

At each step that it visits it is shown a rendering with noise, and the same rendering made small and enlarged again, with
flaws as another model's images have. It learns by the squared error, which decides colours and outlines; from the
statistics of textures (`texture`), which decide how much detail there is, as the squared error alone averages it away; and
from a critic that is trained beside it (`critic`), which decides what the detail looks like.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from ..datasets import Batch
from ..diffusion.denoiser import Denoiser
from ..diffusion.parametrization import WEIGHTINGS
from ..diffusion.samplers import ddim_mean
from ..diffusion.upsampling import enlarged_within, reduced
from ..layouts.labels import LabelMap
from ..layouts.painting import classes_called
from ..models.model import Model
from .config import UpsamplerConfig
from .critic import Critic, cells, class_weights, loss_of_critic, loss_of_maker
from .learner import FUSED
from .objective import Losses, Task, UniformSteps, layouts
from .stream import FLAWS, SIMULATED, DrawnBatch
from .texture import texture_distance

COARSE = 4  # pixels
NEAR = 17  # pixels: side of the window whose contrast hides errors
BARE = 0.03  # contrast, of the range [-1, 1], at which half of what a window hides is hidden by the eye itself
SHARED = 8  # patches: side of the squares whose common pattern is looked for
LOG_SNR_LIMIT = 3.0  # of the weight of the squared error
INERTIA = 0.98  # of the mean over steps of how the two gradients compare
BETAS = (0.5, 0.99)  # of the critic's optimizer


def upsampling(config: UpsamplerConfig, model: Model, origin: dict[str, Any] | None, accelerator: Accelerator) -> Task:
    """Training the upsampler `model`. origin: the provenance of the one whose weights it begins with."""

    structured = torch.tensor(classes_called(model.palette, config.structured), dtype=torch.int64)

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
        return Upsampling(model, denoiser, UniformSteps(len(denoiser.schedule)), config, learning, structured)

    return Task(model, objective, {"init": origin})


@dataclass
class Balance:
    """How the gradient of one loss compares with that of another.

    ratio: the mean over the latest steps of the other's norm, as a multiple of its own.
    """

    ratio: Tensor = field(default_factory=lambda: torch.full((), torch.nan))

    def __call__(self, own: Tensor, other: Tensor) -> Tensor:
        """The ratio after one more step with these gradients, by which the first becomes as large as the second. A step
        without the second, as all is structured, tells nothing of it."""
        now = other.norm() / own.norm().clamp(min=1e-12)
        mean = torch.where(self.ratio.isnan(), now, torch.lerp(now, self.ratio.to(now), INERTIA))
        self.ratio = torch.where(now > 0, mean, self.ratio.to(now))
        return self.ratio.nan_to_num()

    @property
    def saved(self) -> float:
        return float(self.ratio.nan_to_num(-1.0))

    @classmethod
    def of(cls, saved: float) -> Balance:
        return cls(torch.tensor(saved if saved >= 0 else torch.nan))


@dataclass
class Learning:
    """The critic in training, and how losses are balanced. plain: itself, which `critic` may wrap. updates: of the
    upsampler so far."""

    plain: Critic
    critic: nn.Module
    optimizer: Any
    backward: Callable[[Tensor], None]
    updates: int = 0
    word: Balance = field(default_factory=Balance)
    texture: Balance = field(default_factory=Balance)

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

    def heard(self, made: Tensor, ids: Tensor, known: Tensor, weights: Tensor, height: int) -> Tensor:
        """(B,) the critic's loss of made images."""
        self.plain.requires_grad_(False)
        loss = loss_of_maker(self.plain(made, height), ids, known, weights)
        self.plain.requires_grad_(True)
        return loss

    def state_dict(self) -> dict[str, Any]:
        state = self.optimizer.optimizer.state
        moments = {name: dict(state[weight]) for name, weight in self.plain.named_parameters()}
        ratios = [self.word.saved, self.texture.saved]
        return {"critic": self.plain.state_dict(), "moments": moments, "updates": self.updates, "ratios": ratios}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.plain.load_state_dict(state["critic"])
        own = self.optimizer.optimizer.state
        for name, weight in self.plain.named_parameters():
            for key, value in state["moments"][name].items():
                own[weight][key].copy_(value)
        self.updates = state["updates"]
        self.word, self.texture = map(Balance.of, state.get("ratios", (state.get("ratio", -1.0), -1.0)))


@dataclass(frozen=True)
class Upsampling:
    """The squared error of x0, weighted by the signal-to-noise ratio between 1 and its limit and by the rarity of classes;
    and the distance of textures and the critic's loss, whose gradients on the image are as large (`texture`,
    `critic.weight`).

    What the small image and the layout leave open is noise to the squared error, whose best guess of it is grey: details
    below COARSE pixels count a share of it alone (`fine`). Errors count more where the rendering is plain and they are seen
    (`masking`): blotches in a sky are as small as what meadows hide. Lines of a road or windows follow from outlines, at
    their place; where they are uncertain, blur is better than flecks with the same statistics. So of `structured` classes
    every error counts, at its full weight, and no texture does; and other losses are balanced with the error of the rest, or
    a window with a house would be taught its grass that much harder. What is too faint in each
    patch and the same in all, such as a bright row, is compared by itself (`grid`).

    model, denoiser: the upsampler's, the latter around the network as it was prepared for training.
    structured: (n,) ids of these classes.
    """

    model: Model
    denoiser: Denoiser
    timesteps: UniformSteps
    config: UpsamplerConfig
    learning: Learning
    structured: Tensor

    def __call__(self, drawn: DrawnBatch, device: torch.device) -> Losses:
        batch, draws = drawn
        schedule = self.denoiser.schedule
        index, weight = (v.to(device, non_blocking=True) for v in self.timesteps.pick(draws.step))
        labels = layouts(drawn, self.model, self.config.null_rate, device)
        images = batch.images.to(device, memory_format=torch.channels_last, non_blocking=True)
        exact = _exact(batch).to(device)
        height = batch.height or images.shape[-2]
        noise = draws.noise.to(device, non_blocking=True)
        low = enlarged_within(self._small(drawn, height).to(device), labels)
        within = replace(self.denoiser, height=batch.height)
        x = schedule.add_noise(images, index, noise)
        if self.config.simulated:
            chosen = self._simulated(batch.positions.tolist()).to(device, non_blocking=True)
            x = torch.where(chosen[:, None, None, None], simulation(within, noise, low, labels, index), x)
        t = schedule.steps_at(index)
        made = within.network(torch.cat([x, low], dim=1), t, labels, **within.whole).to(x)
        ids = cells(exact)
        weights = class_weights(ids, self.model.palette.num_classes)
        squared = (made - images).square().mean(1)
        mse = squared.flatten(1).mean(1)
        structured = self.structured.to(device)
        plain = torch.isin(exact, structured)
        partly = torch.lerp(coarse_error(made, images), squared, self.config.fine)
        partly = partly * (1 + self.config.masking * (visibility(images) - 1))
        snr = schedule.at(schedule.inverse_sigma, index, mse) ** -2
        rarity = WEIGHTINGS["truncated"](snr, LOG_SNR_LIMIT)[:, None, None] * weights[exact]
        error = (rarity * partly * ~plain).flatten(1).mean(1)
        beside = self.config.structure * (rarity * squared * plain).flatten(1).mean(1)
        beside = beside + self.config.grid * grid_error(made, images, self.model.config.network.patch)
        config, learning = self.config.critic, self.learning
        others = []
        if self.config.texture:
            others.append((self.config.texture, learning.texture, texture_distance(made, images, exact, structured)))
        if config.weight and learning.updates >= config.after + config.patience:
            word = learning.heard(made, ids, cells(labels.ids) == ids, weights, height)
            others.append((config.weight, learning.word, word))
        total = balanced(made, error, others, beside)
        if config.weight and learning.updates >= config.after:
            learning.learn(images, made.detach(), ids, weights, height)
        learning.updates += 1
        return Losses(t, weight, total, mse, torch.full_like(mse, torch.nan))

    def _simulated(self, positions: list[int]) -> Tensor:
        """(B,) bool: whether an example begins with what the upsampler makes itself."""
        draws = [np.random.default_rng((self.config.seed, SIMULATED, position)).random() for position in positions]
        return torch.tensor(draws) < self.config.simulated

    def _small(self, drawn: DrawnBatch, height: int) -> Tensor:
        """The images of a batch, made small, with flaws. height: of the whole images."""
        images = drawn.batch.images
        factor = max(1.0, height / self.config.small)
        rows, columns = (max(1, round(side / factor)) for side in images.shape[-2:])
        low = reduced(images, (rows, columns))
        labels = LabelMap(_exact(drawn.batch), self.model.palette.num_classes)
        hard = hard_edged(images, labels, (rows, columns))
        structured = torch.isin(labels.reduced(rows, columns).ids, self.structured)
        own = torch.full_like(low, torch.nan) if drawn.batch.small is None else drawn.batch.small
        for place, position in enumerate(drawn.batch.positions.tolist()):
            rng = np.random.default_rng((self.config.seed, FLAWS, position))
            # Some have no flaw of a kind, some all of it.
            strength = self.config.flaws * max(0.0, 1.25 * rng.random() - 0.25)
            noise = rng.standard_normal((images.shape[1], rows, columns), dtype=np.float32)
            hardness = self.config.hardness * float(np.clip(1.6 * rng.random() - 0.2, 0, 1))
            if own[place].isfinite().all():  # with flaws and outlines of its own
                low[place] = own[place]
            else:
                low[place] = torch.lerp(low[place], hard[place], hardness)
                if self.config.blotches:
                    low[place] += structured[place] * (self.config.blotches * blotched(rng, noise.shape))
            low[place] += strength * torch.from_numpy(noise)
        return low.clamp(-1, 1)

    def state_dict(self) -> dict[str, Any]:
        return self.learning.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.learning.load_state_dict(state)


@torch.no_grad()
def simulation(denoiser: Denoiser, noise: Tensor, low: Tensor, labels: LabelMap, index: Tensor) -> Tensor:
    """(B, 3, H, W): what an upsampler finds at the steps `index` (B,) of its schedule in use, when it has made all before
    itself from this noise, by DDIM (backward simulation, Yin et al. 2024).

    There x_t holds its own earlier prediction, which is smooth where a rendering has lines. If it learns from renderings
    with noise alone, it looks for these lines in x_t, and finds noise. All examples take all steps, whichever they are to
    begin with, so that every batch and every process computes alike.
    """
    schedule, x = denoiser.schedule, noise
    for step in range(len(schedule) - 1, 0, -1):
        now = torch.full_like(index, step)
        given = torch.cat([x, low], dim=1)
        x0 = denoiser.network(given, schedule.steps_at(now), labels, **denoiser.whole).to(x)
        x = torch.where((index < step)[:, None, None, None], ddim_mean(schedule, x0, x, now), x)
    return x


def _exact(batch: Batch) -> Tensor:
    """The classes (B, H, W) as they were before layouts were made rough or sparse."""
    return batch.ids if batch.exact is None else batch.exact


def balanced(made: Tensor, error: Tensor, others: list[tuple[float, Balance, Tensor]], beside: Tensor) -> Tensor:
    """The sum of the losses (B,) of images `made`. Each of the others, (weight, balance, loss), has a gradient on the images
    as large as that of the error, times its weight; one more stands beside them as it is.

    The gradients are taken here, and the sum hands them on, so that no graph is walked twice.
    """
    total = error.detach() + beside.detach()
    own = torch.autograd.grad(error.mean(), made, retain_graph=True)[0]
    gradient = own + torch.autograd.grad(beside.mean(), made)[0]
    for weight, balance, loss in others:
        other = torch.autograd.grad(loss.mean(), made)[0]
        scale = weight * balance(other, own)
        gradient, total = gradient + scale * other, total + scale * loss.detach()
    pull = (made * gradient).flatten(1).sum(1) * len(made)
    return total + pull - pull.detach()


def hard_edged(images: Tensor, labels: LabelMap, size: tuple[int, int]) -> Tensor:
    """Images (B, C, H, W) -> (B, C, *size): as `reduced`, but of each cell the mean of the pixels of its commonest class.

    A model of small images reads a small layout, of one class a pixel: its outlines have steps, where those of a rendering
    made small show what share of a pixel each class covers. An upsampler that knows only the latter enlarges the steps.
    """
    small = labels.reduced(*size)
    own = (small.resized(labels.height, labels.width).ids == labels.ids)[:, None].to(images)
    share = reduced(own, size).clamp(min=1e-6)
    return reduced(images * own, size) / share


def blotched(rng: np.random.Generator, shape: tuple[int, ...]) -> Tensor:
    """(C, H, W): noise that three pixels in either direction share, of standard deviation 0 to 1, but for the border."""
    white = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    return rng.random() * 3 * F.avg_pool2d(white, 3, stride=1, padding=1)


def coarse_error(made: Tensor, images: Tensor) -> Tensor:
    """(B, H, W): the squared error of the means of cells of COARSE pixels, which divide the sides."""
    error = F.avg_pool2d(made - images, COARSE).square().mean(1)
    return error.repeat_interleave(COARSE, 1).repeat_interleave(COARSE, 2)


def grid_error(made: Tensor, images: Tensor, patch: int) -> Tensor:
    """(B,): the square of the error that SHARED by SHARED neighbouring patches have in common at each of their `patch` by
    `patch` pixels, mean colour aside, or zero where they have none. Zero where patches are single pixels.

    It is the product of what every other patch has in common and of what the rest has, as on a chessboard: the square of one
    mean would count what textures differ in by chance, too, and smooth them. Of each place and colour, the mean over the
    image counts if it is positive: opposite halves are no better than halves that share nothing, and hide no line elsewhere.
    """
    error = F.pixel_unshuffle((made - images).flatten(0, 1)[:, None], patch)  # a channel for each place
    error = error - error.mean(1, keepdim=True)
    rows, columns = (torch.arange(count, device=error.device) for count in error.shape[-2:])
    black = ((rows[:, None] + columns) % 2).to(error)
    side = min(SHARED, *error.shape[-2:])
    one, other = (2 * F.avg_pool2d(error * half, side) for half in (black, 1 - black))
    return (one * other).mean((2, 3)).clamp(min=0).unflatten(0, (len(made), -1)).mean((1, 2))


def visibility(images: Tensor) -> Tensor:
    """(B, H, W) of mean 1 in each of the images (B, C, H, W): how well an error is seen, which contrast nearby masks.

    Inverse to the standard deviation of what surrounds a pixel, as the contrast that is just seen grows about with that of
    the mask (Legge & Foley 1980).
    """

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, NEAR, stride=1, padding=NEAR // 2, count_include_pad=False)

    contrast = (mean(images.square()) - mean(images).square()).clamp(min=0).mean(1).sqrt()
    seen = 1 / (contrast + BARE)
    return seen / seen.mean((1, 2), keepdim=True)
