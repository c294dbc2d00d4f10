"""A student's step leads where two of its teacher's do, and what comes out carries its steps and its guidance."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from scdm.datasets import open_dataset
from scdm.diffusion.denoiser import Prediction
from scdm.diffusion.guidance import clipped, guided
from scdm.diffusion.noise import coupled_label_noise, image_noise
from scdm.diffusion.samplers import SAMPLERS
from scdm.layouts.palette import Palette
from scdm.layouts.roughness import NAMES, RoughnessEstimator
from scdm.models import checkpoint
from scdm.models.model import Model
from scdm.networks import Compiled
from scdm.pipeline import generate
from scdm.training.config import DistillConfig, RunConfig, StudentConfig
from scdm.training.distillation import Distillation, distillation
from scdm.training.learner import Learner
from scdm.training.loop import train
from scdm.training.run import new_model
from scdm.training.stream import steps_from
from tests.training.test_learner import on_meta
from tests.training.tiny import config

SCENES = Palette.named("scenes")
COUNT = len(NAMES)
ESTIMATOR = RoughnessEstimator((0.0,) * COUNT, (1.0,) * COUNT, ((0.0,) * (COUNT + 1),), (0.0, 0.25))
CPU = torch.device("cpu")


def student_config(teacher: Path, **changes: Any) -> StudentConfig:
    shared = {field.name: getattr(config(), field.name) for field in fields(RunConfig)}
    return replace(StudentConfig(**shared, teacher=str(teacher), student=4), **changes)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not trained, but not indifferent to its input either."""
    model = new_model(replace(config(), prediction="v"), SCENES)
    for parameter in model.network.parameters():
        torch.nn.init.normal_(parameter, std=0.05, generator=torch.Generator().manual_seed(0))
    path = tmp_path_factory.mktemp("teacher") / "teacher.safetensors"
    checkpoint.save(path, model)
    return path


def lesson_of(run: StudentConfig) -> tuple[Model, Distillation]:
    task = distillation(run, SCENES, Accelerator(cpu=True))
    objective = task.objective(task.model.network)
    assert isinstance(objective, Distillation)
    return task.model, objective


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_lesson_is_two_guided_steps_of_the_teacher(teacher: Path, place: int) -> None:
    _, objective = lesson_of(student_config(teacher, guidance=3.0))
    model = checkpoint.load(teacher)
    labels = model.prepared(next(steps_from(0, open_dataset(config().data), config()))[0].batch.labels(14))
    seeds = range(4)
    draws = coupled_label_noise(seeds)
    eight = model.denoiser.respaced("trailing8")
    x = image_noise(seeds)(torch.empty(4, 3, 16, 16))
    schedule = eight.schedule.first(2 * place + 2)
    steps = SAMPLERS["ddim"](clipped(guided(eight, labels, 3.0, draws)), x, schedule, image_noise(seeds))
    with torch.no_grad():
        next(steps)
        expected = next(steps).x
    index = torch.full((4,), place)
    u = draws(index, labels.ids.shape)
    torch.testing.assert_close(objective.lesson(x, index, labels, u), expected, atol=1e-5, rtol=1e-5)


def test_the_target_takes_the_student_there_in_one_step(teacher: Path) -> None:
    """At several positions in one batch, the last of which ends at the clean image."""
    _, objective = lesson_of(student_config(teacher))
    generator = torch.Generator().manual_seed(0)
    x, reached = torch.randn(2, 4, 3, 8, 8, generator=generator, dtype=torch.float64)
    target = objective._x0_between(x, reached, torch.arange(4))
    for place in range(4):
        schedule = objective.denoiser.schedule.first(place + 1)
        steps = SAMPLERS["ddim"](
            lambda x, t, x0=target[place, None]: Prediction(x0),
            x[place, None],
            schedule,
            image_noise([0]),
        )
        torch.testing.assert_close(next(steps).x, reached[place, None])
    assert torch.allclose(target[0], reached[0])


def test_the_error_is_weighted_by_the_signal_but_by_one_at_least(teacher: Path) -> None:
    _, objective = lesson_of(student_config(teacher, null_rate=0.0))
    drawn = next(steps_from(0, open_dataset(config().data), config()))[0]
    losses = objective(drawn, CPU)
    a = objective.denoiser.schedule.alphas_cumprod[losses.t // 250]
    ratio = torch.from_numpy(a / (1 - a)).clamp(min=1).float()
    assert set(losses.t.tolist()) <= {249, 499, 749, 999} and len(set(losses.t.tolist())) > 1
    torch.testing.assert_close(losses.total.detach(), (losses.mse * ratio).detach())
    assert losses.mse.requires_grad and not any(p.grad_fn for p in objective.lesson.model.network.parameters())


def test_a_student_of_an_eps_teacher_predicts_v(teacher: Path, tmp_path: Path) -> None:
    """At the noisiest step an error in eps is 157 times as large in x0, and thousands of times in the loss."""
    path = tmp_path / "eps.safetensors"
    model = checkpoint.load(teacher)
    checkpoint.save(path, replace(model, config=replace(model.config, prediction="eps")))
    student, objective = lesson_of(student_config(path, student=1))
    assert student.config.prediction == "v" and objective.lesson.model.config.prediction == "eps"
    losses = objective(next(steps_from(0, open_dataset(config().data), config()))[0], CPU)
    assert losses.total.max() < 10


def test_a_student_of_an_x0_teacher_predicts_x0_in_patches(tmp_path: Path) -> None:
    own = replace(config(), prediction="x0", noise_shift=0.5, window=8)
    own = replace(own, network=replace(own.network, patch=2, layout_width=8, sized=True))
    model = new_model(own, SCENES)
    checkpoint.save(tmp_path / "x0.safetensors", model)
    student, objective = lesson_of(student_config(tmp_path / "x0.safetensors"))
    assert (student.config.prediction, student.config.noise_shift, student.config.window) == ("x0", 0.5, 8)
    assert objective(next(steps_from(0, open_dataset(own.data), own))[0], CPU).total.isfinite().all()


def test_students_learn_one_from_the_other_and_carry_what_they_are(teacher: Path, tmp_path: Path) -> None:
    shared = {field.name: getattr(config(tmp_path), field.name) for field in fields(RunConfig)}
    runs = DistillConfig(**shared, teacher=str(teacher), students=(2, 1), guidance=2.0).runs()
    assert [run.teacher for run in runs] == [str(teacher), f"{tmp_path}/2/model.safetensors"]
    assert [run.seed for run in runs] == [0, 1]  # no example is seen twice
    for run, steps in zip(runs, ("trailing2", "trailing1"), strict=True):
        student = checkpoint.load(train(run))
        assert (student.config.distilled_steps, student.config.distilled_guidance) == (steps, 2.0)
        assert student.config.size == (16, 16) and student.config.sizes == () and student.config.prediction == "v"
    assert student.provenance["teacher"]["teacher"] == {} and student.provenance["teacher"]["steps"] == 4
    seen: list[int] = []
    labels = next(steps_from(0, open_dataset(config().data), config()))[0].batch.labels(14)
    image = generate(student, labels, on_step=lambda step, total: seen.append(step.t))
    assert seen == [999] and image.shape == (4, 3, 16, 16)
    before = Path(runs[1].run, "model.safetensors").read_bytes()
    train(runs[1])  # complete: nothing is left to do
    assert Path(runs[1].run, "model.safetensors").read_bytes() == before


def test_a_student_learns(teacher: Path, tmp_path: Path) -> None:
    """Always the same batch: what it is far from at first, it comes near to."""
    run = student_config(teacher, student=1, null_rate=0.0)
    accelerator = Accelerator(cpu=True)
    learner = Learner(run, distillation(run, SCENES, accelerator), accelerator)
    drawn = next(steps_from(0, open_dataset(run.data), run))
    losses = [learner.step(drawn, step, 2e-3).losses.total.mean() for step in range(30)]
    assert losses[-1] < 0.7 * losses[0]


def test_a_teacher_that_does_not_fit_is_refused(teacher: Path, tmp_path: Path) -> None:
    model = checkpoint.load(teacher)
    two = replace(model, config=replace(model.config, distilled_steps="trailing2", distilled_guidance=1.5))
    checkpoint.save(tmp_path / "two.safetensors", two)
    with pytest.raises(
        ValueError, match="distilled to the steps trailing2, but a student of 2 steps learns from one of trailing4"
    ):
        distillation(student_config(tmp_path / "two.safetensors", student=2), SCENES, Accelerator(cpu=True))
    with pytest.raises(ValueError, match="has 14 classes, the data set expects 19"):
        distillation(student_config(teacher), Palette.named("celebamask_hq"), Accelerator(cpu=True))


def test_guidance_is_built_in_once(teacher: Path, tmp_path: Path) -> None:
    model = checkpoint.load(teacher)
    checkpoint.save(
        tmp_path / "guided",
        replace(model, config=replace(model.config, distilled_steps="trailing8", distilled_guidance=2.0)),
    )
    student, objective = lesson_of(student_config(tmp_path / "guided"))
    assert student.config.distilled_guidance == 2.0 and objective.lesson.guidance == 1.0
    with pytest.raises(ValueError, match=r"distilled to a guidance of 2 and .* instead of asking for 3"):
        lesson_of(student_config(tmp_path / "guided", guidance=3.0))
    assert lesson_of(student_config(teacher))[1].lesson.guidance == 1.5


def test_a_run_goes_on_with_its_own_teacher_wherever_that_is(teacher: Path, tmp_path: Path) -> None:
    shared = {field.name: getattr(config(tmp_path / "run"), field.name) for field in fields(RunConfig)}
    here, there = tmp_path / "teacher.safetensors", tmp_path / "moved.safetensors"
    model = checkpoint.load(teacher)
    checkpoint.save(here, model)
    run = StudentConfig(**shared, teacher=str(here), student=2)
    train(run)
    here.rename(there)
    assert train(replace(run, teacher=str(there), steps=5)).is_file()
    with torch.no_grad():
        next(model.network.parameters()).add_(1)
    checkpoint.save(there, model)
    with pytest.raises(ValueError, match="holds the student of another teacher"):
        train(replace(run, teacher=str(there), steps=6))


def test_no_student_has_more_than_half_of_the_steps(teacher: Path) -> None:
    with pytest.raises(ValueError, match="has 1000 steps, too few for two in each of 501"):
        distillation(student_config(teacher, student=501), SCENES, Accelerator(cpu=True))


@pytest.mark.parametrize("students", [(8, 3), (), (4, 4)])
def test_students_are_halved(students: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="each half of the one before"):
        DistillConfig(run="x", teacher="scenes", students=students)


def test_a_lesson_has_the_host_wait_for_no_number(teacher: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On `meta`, where there are none: the teacher's guided steps, the student's loss, and the step that learns from it."""
    run = student_config(teacher)
    task = distillation(run, SCENES, Accelerator(cpu=True))  # which copies weights
    learner = Learner(run, task, on_meta(monkeypatch))
    assert isinstance(learner.objective, Distillation)
    learner.objective.lesson.model.to("meta")
    losses = learner.step(next(steps_from(0, open_dataset(run.data), run)), 0, 1e-3).losses
    assert all(value.is_meta for value in losses)


def test_a_compiled_teacher_is_compiled_in_both_halves(teacher: Path) -> None:
    _, objective = lesson_of(student_config(teacher, compile=True))
    network = objective.lesson.denoiser.network
    assert isinstance(network, Compiled) and network is objective.lesson.model.network


def test_a_student_learns_what_its_teacher_knows_of_rough_layouts(tmp_path: Path) -> None:
    base = config()
    model = new_model(replace(base, prediction="v", network=replace(base.network, roughness=True)), SCENES)
    for parameter in model.network.parameters():
        torch.nn.init.normal_(parameter, std=0.05, generator=torch.Generator().manual_seed(0))
    path = tmp_path / "teacher.safetensors"
    checkpoint.save(path, replace(model, roughness=ESTIMATOR))
    run = student_config(path, rough_share=1.0, roughness_null_rate=0.0, null_rate=0.0)
    student, lesson = lesson_of(run)
    assert student.config.network.roughness and student.roughness == ESTIMATOR
    drawn = next(steps_from(0, open_dataset(run.data), run))[0]
    told = lesson(drawn, CPU).total
    untold = lesson(drawn._replace(batch=drawn.batch._replace(roughness=None)), CPU).total
    assert told.isfinite().all() and (told != untold).all()
