"""The training loop, from the configuration to the released file, to be read from top to bottom."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration
from safetensors import SafetensorError
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from .. import checkpoint, datasets
from ..images import contact_sheet, to_levels, write_image
from ..label_diffusion import shipped_rates
from ..labels import LabelMap
from ..model import Model, ModelConfig
from ..networks import UNet
from ..palette import Palette
from ..pipeline import GenerateOptions, generate
from .config import TrainConfig
from .ema import EMA


def train(config: TrainConfig) -> Path:
    """Runs to `config.steps`, resuming what the run's folder already holds. Returns the released model's file."""
    folder = Path(config.run)
    accelerator = Accelerator(
        mixed_precision=config.precision, project_config=ProjectConfiguration(project_dir=str(folder))
    )
    torch.manual_seed(config.seed)
    model = new_model(config).to(accelerator.device)
    if config.init:
        start = checkpoint.load(config.init)
        if start.config.network != config.network:
            raise ValueError(f"{config.init} holds another network than the configuration describes")
        model.network.load_state_dict(start.network.state_dict())
    ema = EMA(model.network, config.ema, config.ema_warmup)
    optimizer = torch.optim.AdamW(
        model.network.parameters(), lr=config.optimizer.lr, weight_decay=config.optimizer.weight_decay, fused=True
    )
    network, optimizer = accelerator.prepare(model.network, optimizer)
    clock = Clock()
    accelerator.register_for_checkpointing(ema, clock)
    denoiser = model.config.denoiser(network)
    step = resume(accelerator, folder)

    # The data set never ends and its items are independent, so a run simply takes the next ones in order.
    data = datasets.build(
        config.data.name, (config.steps - step) * config.batch, config.data.size, config.data.seed, step * config.batch
    )
    loader = accelerator.prepare(
        DataLoader(data, config.batch // accelerator.num_processes, num_workers=config.data.workers, drop_last=True)
    )
    generator = torch.Generator(accelerator.device)
    average = None
    bar = tqdm(total=config.steps, initial=step, unit="step", disable=not accelerator.is_main_process)
    for image, ids in loader:
        generator.manual_seed((config.seed * 1_000_003 + step) * 1_009 + accelerator.process_index)
        image = image.contiguous(memory_format=torch.channels_last)
        labels = LabelMap(ids, model.config.network.num_classes)
        labels = labels.blank(uniform(len(image), generator) < config.null_rate)
        t = torch.randint(model.config.steps, (len(image),), generator=generator, device=image.device)
        noise = torch.randn(image.shape, generator=generator, device=image.device)
        u = uniform(ids.shape, generator)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, config)
        loss = denoiser.loss(image, labels, t, noise, u).total.mean()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(network.parameters(), config.optimizer.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        ema.update(accelerator.unwrap_model(network))
        step += 1
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        bar.update()
        bar.set_postfix(loss=f"{average:.4f}")
        last = step == config.steps or (config.hours is not None and clock.hours >= config.hours)
        if last or step % config.save_every == 0:
            save(accelerator, folder, step, clock.hours, config, model, ema)
        if last:
            break
    return folder / "model.safetensors"


class Clock:
    """Hours that a run has taken, over all its resumptions."""

    def __init__(self) -> None:
        self._before, self._started = 0.0, time.monotonic()

    @property
    def hours(self) -> float:
        return self._before + (time.monotonic() - self._started) / 3600

    def state_dict(self) -> dict[str, float]:
        return {"hours": self.hours}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self._before, self._started = state["hours"], time.monotonic()


def uniform(shape: int | torch.Size, generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def new_model(config: TrainConfig) -> Model:
    palette = Palette.named(config.data.name)
    size = config.data.size
    rates = config.label_diffusion.rates
    model_config = ModelConfig(
        network=config.network,
        size=(size, size) if isinstance(size, int) else size,
        noise_schedule=config.noise_schedule,
        prediction=config.prediction,
        label_diffusion=config.label_diffusion.kind,
        class_rates=shipped_rates(rates) if isinstance(rates, str) else rates,
    )
    return Model.new(model_config, palette)


def learning_rate(step: int, config: TrainConfig) -> float:
    """A function of the step alone, so that there is no state to save."""
    warm = min(1.0, (step + 1) / max(1, config.optimizer.warmup))
    left = min(1.0, (config.steps - step) / max(1, config.optimizer.decay))
    return config.optimizer.lr * warm * max(0.0, left)


def save(
    accelerator: Accelerator, folder: Path, step: int, hours: float, config: TrainConfig, model: Model, ema: EMA[UNet]
) -> None:
    """The state to resume from and the averaged model, each written beside and then renamed."""
    fresh = folder / f"state-{step}.part"
    accelerator.save_state(str(fresh))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        older = list(states(folder).values())
        fresh.rename(folder / f"state-{step}")
        for state in older:
            shutil.rmtree(state)
        provenance = {
            "data": f"{config.data.name}, seed {config.data.seed}, {step * config.batch} images of {config.data.size}",
            "steps": step,
            "hours": round(hours, 2),
            "hardware": f"{accelerator.num_processes} x {accelerator.device.type}",
            "precision": config.precision,
            "init": checkpoint.read_header(config.init).provenance if config.init else None,
            "note": config.note,
        }
        released = replace(model, network=ema.network, provenance=provenance)
        checkpoint.save(folder / "model.safetensors", released)
        if config.samples:
            write_image(folder / f"samples-{step}.png", sample_sheet(released, config))
    accelerator.wait_for_everyone()


def sample_sheet(model: Model, config: TrainConfig) -> np.ndarray:
    """Layouts of another series than the training data's, a sample of each, and the images that they came from."""
    unseen = datasets.build(config.data.name, config.samples, config.data.size, config.data.seed + 1)
    images, ids = (torch.stack(part) for part in zip(*(unseen[i] for i in range(config.samples)), strict=True))
    labels = LabelMap(ids, model.config.network.num_classes)
    samples = generate(model, labels, GenerateOptions(seed=config.seed))
    rows = [model.palette.to_image(labels, (0, 0, 0)), to_levels(samples), to_levels(images)]
    return contact_sheet([list(row) for row in rows], least_side=128)


def resume(accelerator: Accelerator, folder: Path) -> int:
    """Loads the newest whole state in the run's folder. Returns the step that it stopped at, 0 for a fresh run."""
    folder.mkdir(parents=True, exist_ok=True)
    found = states(folder)
    if not found:
        return 0
    step = max(found)
    try:
        accelerator.load_state(str(found[step]))
    except (RuntimeError, SafetensorError) as error:
        raise ValueError(
            f"{found[step]} is damaged, or of another network: choose another run folder ({error})"
        ) from error
    return step


def states(folder: Path) -> dict[int, Path]:
    """The whole states in a run's folder, by step."""
    return {int(state.name[6:]): state for state in folder.glob("state-*") if state.name[6:].isdecimal()}
