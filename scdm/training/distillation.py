"""Progressive distillation: a student does in one step what its teacher does in two (Salimans & Ho 2022, algorithm 2).

A student of N steps visits the process at N equal strides that begin at its very end ("trailing"), where there is nothing
but noise. At each of them it sees the layout of the next timestep: at t = 999 of two steps that of t = 499, and at the last
step whole. With the layout of t itself, as the first teacher sees it, a student of one step would see
nothing but MASK. Its teacher's two steps depend on the layouts at all steps between, of which the last has most labels and
determines the others: teacher and student share the pixels' draws, so that labels come back and stay.

A student predicts v, or x0 if its teacher does, never eps: few steps begin where there is nothing but noise, and a little
error in eps is a large one in x0 there. It begins with its teacher's weights all the same; one whose teacher predicts eps
has more to learn, above all at its first steps.

Guidance is built in by the first student, whose teacher is guided. From then on one network call is a step.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..devices import Table
from ..diffusion.denoiser import Denoiser
from ..diffusion.guidance import clipped, guided
from ..diffusion.samplers import ddim_mean
from ..layouts.labels import LabelMap
from ..layouts.palette import Palette
from ..models.conversion import load
from ..models.model import Model
from ..pipeline import GenerateOptions
from .config import StudentConfig
from .objective import LearnsTimesteps, Losses, Task, UniformSteps, layouts
from .stream import DrawnBatch

TEACHER = "teacher_weights"  # in a run's origin: their digest


def distillation(config: StudentConfig, palette: Palette, accelerator: Accelerator) -> Task:
    """The student, which begins with its teacher's weights. ValueError if there is no such teacher for it."""
    teacher = load(config.teacher, accelerator.device)
    _require_fit(teacher, config, palette)
    guidance = GenerateOptions(guidance=config.guidance).for_model(teacher).guidance
    assert guidance is not None
    student = Model.new(
        replace(
            teacher.config,
            size=config.data.height_width,
            sizes=config.taught,
            prediction="x0" if teacher.config.prediction == "x0" else "v",
            distilled_steps=f"{config.spacing}{config.student}",
            distilled_guidance=guidance,
            window=config.window_used or teacher.config.window,
        ),
        palette,
    )
    student.network.load_state_dict(teacher.network.state_dict())
    student = replace(student, roughness=teacher.roughness)  # of layouts, which are the same
    if config.compile:
        teacher = teacher.compiled(dynamic=False)  # sizes are few, and each is faster by itself
    lesson = Lesson(
        teacher,
        teacher.denoiser.respaced(f"{config.spacing}{2 * config.student}"),
        guidance if teacher.config.distilled_guidance is None else 1.0,
        accelerator.autocast,
    )

    def objective(network: nn.Module) -> Distillation:
        denoiser = student.config.denoiser(network).respaced(f"{config.spacing}{config.student}")
        return Distillation(student, denoiser, lesson, UniformSteps(config.student), config.null_rate)

    return Task(student, objective, {"teacher": teacher.provenance, TEACHER: teacher.digest()}, teacher)


@dataclass(frozen=True)
class Lesson:
    """What a teacher shows: two of its steps at a time.

    denoiser: the model's, visiting twice as many steps as the student.
    """

    model: Model
    denoiser: Denoiser
    guidance: float
    autocast: Callable[[], AbstractContextManager[None]]  # to the precision to compute in

    @torch.no_grad()
    def __call__(self, x: Tensor, index: Tensor, labels: LabelMap, u: Tensor, height: int | None = None) -> Tensor:
        """Where two steps lead from x (B, C, H, W), at the student's positions `index` (B,)."""
        denoise = guided(replace(self.denoiser, height=height), labels, self.guidance, lambda t, shape: u)
        if self.model.config.distilled_steps is None:
            denoise = clipped(denoise, self.model.space)
        schedule = self.denoiser.schedule
        for place in (2 * index + 1, 2 * index):
            with self.autocast():
                x0 = denoise(x, schedule.steps_at(place)).x0
            x = ddim_mean(schedule, x0, x, place)
        return x


@dataclass(frozen=True)
class Distillation(LearnsTimesteps):
    """The squared error of the student's x0, weighted by the signal-to-noise ratio, but by 1 at least ("truncated SNR").

    model, denoiser: the student's, the latter around the network as it was prepared for training.
    """

    model: Model
    denoiser: Denoiser
    lesson: Lesson
    timesteps: UniformSteps
    null_rate: float

    def __call__(self, drawn: DrawnBatch, device: torch.device) -> Losses:
        batch, draws = drawn
        schedule = self.denoiser.schedule
        index, weight = (v.to(device, non_blocking=True) for v in self.timesteps.pick(draws.step))
        t = schedule.steps_at(index)
        labels = layouts(drawn, self.model, self.null_rate, device)
        images, noise, u = (v.to(device, non_blocking=True) for v in (batch.images, draws.noise, draws.label))
        x0 = self.model.space.encode(images.to(memory_format=torch.channels_last))
        x = schedule.add_noise(x0, index, noise)
        target = self._x0_between(x, self.lesson(x, index, labels, u, batch.height), index)
        predicted = replace(self.denoiser, height=batch.height)(x, t, labels, u).x0.to(x)
        mse = ((predicted - target) ** 2).flatten(1).mean(1)
        total = mse * schedule.at(self.weights, index, mse)
        return Losses(t, weight, total, mse, torch.full_like(mse, torch.nan))

    @cached_property
    def weights(self) -> Table:
        a = self.denoiser.schedule.alphas_cumprod
        return Table(np.maximum(a / (1 - a), 1))

    @cached_property
    def of_a_step(self) -> tuple[Table, Table]:
        """How much of x a step keeps, and how much of x0 it adds."""
        a, a_prev = self.denoiser.schedule.alphas_cumprod, self.denoiser.schedule.alphas_cumprod_prev
        kept = np.sqrt((1 - a_prev) / (1 - a))
        return Table(kept), Table(np.sqrt(a_prev) - kept * np.sqrt(a))

    def _x0_between(self, x: Tensor, reached: Tensor, index: Tensor) -> Tensor:
        """The x0 that takes x to `reached` in one step from the positions `index`."""
        kept, added = (self.denoiser.schedule.at(table, index, x) for table in self.of_a_step)
        return (reached - kept * x) / added


def _require_fit(teacher: Model, config: StudentConfig, palette: Palette) -> None:
    teacher.palette.require_same(palette, str(config.teacher), "the data set")
    if teacher.config.distilled_steps not in (None, f"{config.spacing}{2 * config.student}"):
        raise ValueError(
            f"{config.teacher} was distilled to the steps {teacher.config.distilled_steps}, but a student of "
            f"{config.student} steps learns from one of {config.spacing}{2 * config.student}, or from "
            "a model that was not distilled"
        )
    if 2 * config.student > teacher.config.steps:
        raise ValueError(
            f"the process of {config.teacher} has {teacher.config.steps} steps, too few for two in each of {config.student}"
        )
