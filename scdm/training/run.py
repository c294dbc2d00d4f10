"""A run as it stands: everything that its configuration asks for, built and, if it had begun before, resumed."""

from __future__ import annotations

import time
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from ..datasets import DataSet, Validation, open_dataset
from ..diffusion.label_diffusion import shipped_rates
from ..files.config import differences
from ..layouts.palette import Palette
from ..metrics import Evaluator, open_evaluator
from ..models.conversion import load
from ..models.model import Model, ModelConfig
from ..networks import NetworkConfig, described
from .config import MODEL, NewModelConfig, RunConfig, StudentConfig, TrainConfig, UpsamplerConfig
from .distillation import TEACHER, distillation
from .learner import Learner
from .objective import Task, learning
from .states import States, require_form, require_same_run, settings
from .stream import buckets_of
from .upsampling import upsampling

# Settings of networks by which they are given one more number, whose embedding adds nothing at first.
ADDED = ("sized", "roughness")


@dataclass
class Run:
    """step: how many have been made. hours: that they took before, over all resumptions.

    origin: what its model's provenance says of the model that it is made from.
    provenance: of the models that are to lie beside the newest state.
    unseen: images for the sheet of samples and the validation loss, None if there is neither.
    evaluator: reads the samples of the sheet, if anything does.
    """

    config: RunConfig
    states: States
    data: DataSet
    unseen: Validation | None
    model: Model
    learner: Learner
    origin: dict[str, Any]
    step: int = 0
    hours_before: float = 0.0
    provenance: dict[str, Any] = field(default_factory=dict)
    evaluator: Evaluator | None = None
    started: float = field(default_factory=time.monotonic)

    @property
    def hours(self) -> float:
        return self.hours_before + (time.monotonic() - self.started) / 3600

    def state_dict(self) -> dict[str, Any]:
        """All that `prepared` needs to go on from here. Whole on the main process; every process must call it."""
        return {
            "settings": settings(self.config, len(self.data)),
            "hours": self.hours,
            "origin": self.origin,
            "provenance": self.provenance,
            "learner": self.learner.state_dict(),
        }

    def resume(self, saved: dict[str, Any], teacher: Model | None) -> None:
        """Goes on from a state. ValueError if it is damaged, or that of another teacher's student."""
        taught, folder = saved["origin"].get(TEACHER), self.states.folder
        if not teacher.is_known_as(taught) if teacher else taught is not None:  # wherever its file is now
            raise ValueError(
                f"{folder} holds the student of another teacher: give that one, or choose another run folder"
            )
        with self.states.intact():
            require_form(self.learner, saved.get("learner"), saved["step"])
            self.learner.load_state_dict(saved["learner"])
        self.step, self.hours_before, self.provenance = saved["step"], saved["hours"], saved.get("provenance", {})
        self.origin = saved["origin"] | ({TEACHER: self.origin[TEACHER]} if teacher else {})


def prepared(config: RunConfig, accelerator: Accelerator) -> Run:
    """The run of a configuration, where its newest state left it. Writes nothing.

    ValueError if data, network and settings do not fit each other, or are not those of the run in the folder.
    """
    states = States(Path(config.run), config.keep, config.keep_every)
    saved = states.newest()
    if saved is None and (states.folder / MODEL).exists():
        raise ValueError(f"{states.folder} holds a {MODEL}, but no state to resume from: choose another run folder")
    data = open_dataset(config.data)
    if len(data) < config.batch:
        raise ValueError(
            f"the data set has {len(data)} images, too few for a batch of {config.batch}: set batch to less"
        )
    if config.buckets:
        buckets_of(data, config)  # which says what is wrong with them, and whose sizes are then known
    if saved:
        require_same_run(saved["settings"], config, len(data), states.folder)
    unseen = open_dataset(config.data, "val").validation() if config.samples or config.validated else None
    task = task_of(config, data.palette, saved is None, accelerator)
    run = Run(config, states, data, unseen, task.model, Learner(config, task, accelerator), task.origin)
    if isinstance(config, TrainConfig) and config.segmenter is not None:
        run.evaluator = open_evaluator(config.segmenter, data.palette, accelerator.device)
    if saved:
        run.resume(saved, task.teacher)
    seen = accelerator.gather(torch.tensor([run.step], device=accelerator.device))
    if seen.min() != seen.max():
        raise ValueError(f"processes find different states in {states.folder}: it must be one folder for all machines")
    return run


def task_of(config: RunConfig, palette: Palette, fresh: bool, accelerator: Accelerator) -> Task:
    """What the configuration asks for. Of a run that is not `fresh` the first weights do not matter."""
    if isinstance(config, StudentConfig):
        return distillation(config, palette, accelerator)
    if isinstance(config, UpsamplerConfig):
        model = new_upsampler(config, palette)
        return upsampling(config, model, _origin(config, model, fresh), accelerator)
    assert isinstance(config, TrainConfig)
    model = new_model(config, palette)
    return learning(config, model, _origin(config, model, fresh))


def _origin(config: NewModelConfig, model: Model, fresh: bool) -> dict[str, Any] | None:
    """The provenance of the model whose weights the run begins with, once `model` has them."""
    return start_from(config.init, model) if config.init and fresh else None


def new_model(config: TrainConfig, palette: Palette) -> Model:
    """Untrained, with the initial weights of the configuration's seed."""
    if config.network.edges and not palette.edge_channel:
        raise ValueError(f"the network reads instance borders, but {palette.name} has none: set network.edges to false")
    diffusion = config.label_diffusion
    meaning = {
        "prediction": config.prediction,
        "sampler": config.sampler,
        "label_diffusion": diffusion.kind,
        "class_rates": class_rates(diffusion.rates, config.data.name) if diffusion.kind == "classwise" else None,
        "label_resolution": diffusion.resolution,
        "label_counting": diffusion.counting,
    }
    return _untrained(config, palette, **meaning)


def new_upsampler(config: UpsamplerConfig, palette: Palette) -> Model:
    """Likewise. It sees whole layouts at its few steps, and needs no guidance."""
    own = {"distilled_steps": config.visits, "distilled_guidance": 1.0, "upsamples": config.small}
    return _untrained(config, palette, prediction="x0", label_diffusion="none", **own)


def _untrained(config: NewModelConfig, palette: Palette, **meaning: Any) -> Model:
    model_config = ModelConfig(
        network=config.network,
        size=config.data.height_width,
        sizes=config.taught,
        noise_schedule=config.noise_schedule,
        noise_shift=config.noise_shift,
        window=config.window_used,
        **meaning,
    )
    torch.manual_seed(config.seed)
    return Model.new(model_config, palette)


def class_rates(rates: str | tuple[float, ...] | None, data: str) -> tuple[float, ...]:
    """Those given, or the shipped ones of that name, or of the data set's. ValueError if there are none."""
    if isinstance(rates, tuple):
        return rates
    try:
        return shipped_rates(rates or data)
    except ValueError as error:
        advice = "measure them with training/estimate_class_rates.py, or set label_diffusion.kind to uniform"
        raise ValueError(f"classwise label diffusion needs label_diffusion.rates: {error}. Or {advice}") from error


def start_from(init: str, model: Model) -> dict[str, Any]:
    """Gives `model` the weights of another and returns that one's provenance. ValueError if they do not fit.

    What the other's network is not given, of ADDED, this one's begins to learn. UserWarning if the weights were taught to
    read or to predict something else.
    """
    start = load(init)
    theirs, ours = _shape(start.config.network), _shape(model.config.network)
    added = {name: True for name in ADDED if ours.get(name) and not theirs.get(name)}
    if changed := differences({**theirs, **added}, ours, absent=False):
        raise ValueError(f"{init} holds another network than the configuration describes: {changed} there")
    if changed := differences(_meaning(start), _meaning(model)):
        warnings.warn(f"the weights of {init} must adapt to what changes here: {changed}", stacklevel=2)
    model.network.load_state_dict({**model.network.state_dict(), **start.network.state_dict()})
    return start.provenance


def _shape(config: NetworkConfig) -> dict[str, Any]:
    """All settings of a network, those too that files leave out at their defaults, and its kind."""
    return {**asdict(config), **described(config)}  # type: ignore[call-overload]


def _meaning(model: Model) -> dict[str, Any]:
    """What the network's input and output stand for."""
    process = {
        name: getattr(model.config, name)
        for name in ("noise_schedule", "noise_shift", "steps", "prediction", "distilled_steps")
    }
    classes = {f"class {number}": name for number, name in enumerate(model.palette.names)}
    return {**process, **classes}
