"""What has to be true of an accelerator, as plain functions: tests and benchmarks/accelerator.py call them.

Each takes a device, compares what is made there with what the CPU makes, and raises where that differs. On the CPU they only
show that they run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor
from torch.utils.data._utils.pin_memory import pin_memory

from scdm.datasets import open_dataset
from scdm.diffusion.samplers import SAMPLERS
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.models import checkpoint
from scdm.models.model import Model, ModelConfig
from scdm.networks import UNetConfig
from scdm.pipeline import GenerateOptions, generate
from scdm.training.config import DataConfig, LossConfig, RunConfig, StudentConfig, TrainConfig
from scdm.training.distillation import distillation
from scdm.training.learner import Learner, Outcome
from scdm.training.loop import new_accelerator, train
from scdm.training.objective import learning
from scdm.training.run import new_model
from scdm.training.stream import steps_from
from tests.accelerators import no_waiting
from tests.training import tiny
from tests.training.tiny import apart

NETWORK = UNetConfig(14, channels=32, channel_mult=(1, 2), res_blocks=1, attention=(2,), head_channels=32, hidden=16)
SIZE = 32
STEPS = 4
# Mean error of images in [-1, 1], of which the first is that of TF32 and other orders of sums.
TOLERANCE = {"float32": 2e-3, "bfloat16": 5e-2, "float16": 1e-2}


def images_are_those_of_the_cpu(device: torch.device) -> None:
    """By every sampler in every precision, guided, with label diffusion, of random weights that look at everything."""
    labels = blocks()
    for sampler in list(SAMPLERS)[: 1 if device.type == "cpu" else None]:
        options = GenerateOptions(steps=STEPS, sampler=sampler, seed=3, precision="float32")
        expected = generate(random_model(), labels, options)
        assert expected.std() > 0.1, "not flat"
        for precision, tolerance in on(device, TOLERANCE).items():
            there = replace(options, precision=precision)  # type: ignore[arg-type]
            made = generate(random_model().to(device), labels, there)
            within(f"{sampler} in {precision}", made, expected, tolerance)


def layouts_fade_as_on_the_cpu(device: torch.device) -> None:
    """To the pixel: at every step a layout is masked by the same draws, or seeds would mean other images."""
    model, labels = random_model(), blocks()
    diffusion = model.denoiser.label_diffusion
    assert diffusion is not None
    u = torch.rand(labels.ids.shape, generator=torch.Generator().manual_seed(0))
    for step in range(0, 1000, 37):
        t = torch.full((len(u),), step)
        here = diffusion(labels, t, u).ids
        there = diffusion(labels.to(device), t.to(device), u.to(device)).ids
        assert torch.equal(here, there.cpu()), f"the layouts differ at step {step}"


def a_training_step_is_that_of_the_cpu(device: torch.device) -> None:
    """Losses and the gradient's norm in float32, and near to them in half precision, of which weights come whole."""
    _, expected = stepped(config(), torch.device("cpu"))
    for precision, tolerance in on(device, {"float32": 2e-3, "bfloat16": 3e-2, "float16": 1e-2}).items():
        learner, outcome = stepped(config(precision=precision), device)
        assert outcome.taken, f"the step in {precision} gave no finite gradient"
        within(f"losses in {precision}", outcome.losses.total, expected.losses.total, tolerance)
        assert abs(float(outcome.norm) / float(expected.norm) - 1) < 10 * tolerance, f"the gradient in {precision}"
        weights = learner.ema[learner.config.decays[0]].weights.values()
        assert all(weight.dtype == torch.float32 and weight.isfinite().all() for weight in weights)


def a_training_step_does_not_wait(device: torch.device) -> None:
    """No number is read back from the device, where torch can tell: importance sampling and averages included."""
    for precision in on(device, {"float32": 0.0, "bfloat16": 0.0, "float16": 0.0}):
        run = config(precision=precision, loss=LossConfig(timesteps="importance"), ema=(0.9, 0.99))
        learner = learner_of(run, device)
        drawn = next(steps_from(0, open_dataset(run.data), run))
        pinned = pin_memory(drawn) if device.type == "cuda" else drawn  # as the loader leaves it
        for number in range(2):  # the first makes what stays
            with no_waiting() if number and device.type == "cuda" else nullcontext():
                learner.step(pinned, number, 1e-3)


def a_broken_step_is_left_out(device: torch.device) -> None:
    """Where the gradient is not finite, weights, averages and moments stay, though nobody looked at the number."""
    learner = learner_of(config(), device)
    drawn = next(steps_from(0, open_dataset(config().data), config()))
    learner.step(drawn, 0, 1e-3)
    before = {name: weight.clone() for name, weight in weights_of(learner).items()}
    broken = [part._replace(batch=part.batch._replace(images=part.batch.images / 0)) for part in drawn]
    assert not learner.step(broken, 1, 1e-3).taken
    assert all(torch.equal(weight, before[name]) for name, weight in weights_of(learner).items())
    assert learner.step(drawn, 2, 1e-3).taken
    assert any(not torch.equal(weight, before[name]) for name, weight in weights_of(learner).items())


def a_run_resumes(device: torch.device) -> None:
    """What was stopped ends near what was not: sums on a GPU need not be the same twice."""
    precision = "float32" if device.type == "cpu" else "float16"  # whose scaler is part of the state
    with tempfile.TemporaryDirectory() as folder:
        samples = 0 if device.type == "cpu" else 2  # a sheet at every save, which is guided
        whole, parts = (
            config(Path(folder) / name, precision=precision, samples=samples) for name in ("whole", "parts")
        )
        with apart():
            expected = checkpoint.load(train(whole))
        for steps in (2, 4):
            with apart():
                file = train(replace(parts, steps=steps))
        made = checkpoint.load(file)
    for (name, weight), other in zip(made.network.named_parameters(), expected.network.parameters(), strict=True):
        within(name, weight, other, 2e-3)


def a_student_learns(device: torch.device) -> None:
    """A step of distillation has the CPU's loss, and goes down on a batch that is always the same."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "teacher.safetensors"
        checkpoint.save(file, random_model())
        shared = {field.name: getattr(config(), field.name) for field in fields(RunConfig)}
        run = StudentConfig(**{**shared, "null_rate": 0.0}, teacher=str(file), student=2)

        def losses(where: torch.device, steps: int) -> list[float]:
            with apart():
                accelerator = accelerator_on(run, where)
                task = distillation(run, Palette.named("scenes"), accelerator)
                learner = Learner(run, task, accelerator)
                drawn = next(steps_from(0, open_dataset(run.data), run))
                return [float(learner.step(drawn, number, 2e-3).losses.total.mean()) for number in range(steps)]

        expected, made = losses(torch.device("cpu"), 1), losses(device, 3 if device.type == "cpu" else 20)
    assert abs(made[0] / expected[0] - 1) < 1e-2, f"the loss is {made[0]}, on the CPU {expected[0]}"
    assert made[-1] < made[0], "it does not learn"


CHECKS: dict[str, Callable[[torch.device], None]] = {
    check.__name__.replace("_", " "): check
    for check in (
        images_are_those_of_the_cpu,
        layouts_fade_as_on_the_cpu,
        a_training_step_is_that_of_the_cpu,
        a_training_step_does_not_wait,
        a_broken_step_is_left_out,
        a_run_resumes,
        a_student_learns,
    )
}


def on(device: torch.device, precisions: dict[str, float]) -> dict[str, float]:
    """Those that a device is made for. Many CPUs have no units for halves and take a hundred times as long."""
    return {name: value for name, value in precisions.items() if device.type != "cpu" or name == "float32"}


def config(run: Path | str = "-", **changes: object) -> TrainConfig:
    return tiny.config(run, **{"network": NETWORK, "data": DataConfig(size=SIZE, workers=0), **changes})


def random_model() -> Model:
    """Of palette "scenes": it predicts v, by weights that are random but always the same."""
    model_config = ModelConfig(NETWORK, (SIZE, SIZE), prediction="v", label_diffusion="uniform")
    model = Model.new(model_config, Palette.named("scenes"))
    generator = torch.Generator().manual_seed(0)
    for parameter in model.network.parameters():
        scale = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
        parameter.data = torch.randn(parameter.shape, generator=generator) * scale
    model.network.eval().requires_grad_(False)
    return model


def blocks() -> LabelMap:
    """Two layouts of classes and of MASK, in blocks of 8 pixels."""
    ids = torch.randint(0, 15, (2, SIZE // 8, SIZE // 8), generator=torch.Generator().manual_seed(1))
    return LabelMap(ids, 14).resized(SIZE, SIZE)


def accelerator_on(run: RunConfig, device: torch.device) -> Accelerator:
    return Accelerator(cpu=True) if device.type == "cpu" and torch.cuda.is_available() else new_accelerator(run)


def learner_of(run: TrainConfig, device: torch.device) -> Learner:
    """Of a network with random weights: an untrained one does not look at layouts."""
    AcceleratorState._reset_state(True)
    model = new_model(run, Palette.named("scenes"))
    model.network.load_state_dict(random_model().network.state_dict())
    learner = Learner(run, learning(run, model), accelerator_on(run, device))
    assert learner.accelerator.device.type == device.type
    return learner


def stepped(run: TrainConfig, device: torch.device) -> tuple[Learner, Outcome]:
    learner = learner_of(run, device)
    return learner, learner.step(next(steps_from(0, open_dataset(run.data), run)), 0, 1e-3)


def weights_of(learner: Learner) -> Mapping[str, Tensor]:
    (decay, *_) = learner.config.decays
    averages = {f"average {name}": weight for name, weight in learner.ema[decay].weights.items()}
    return {**averages, **dict(learner.plain.named_parameters())}


def within(what: str, made: Tensor, expected: Tensor, tolerance: float) -> None:
    """By the mean error."""
    error = float((made.detach().float().cpu() - expected.detach().float().cpu()).abs().mean())
    assert error <= tolerance, f"{what}: the mean error is {error:.2g}, more than {tolerance:g}"
