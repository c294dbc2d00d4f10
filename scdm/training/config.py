"""What a run is: one YAML file, one dataclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Annotated, Any, Literal

from ..datasets import DataConfig
from ..diffusion.parametrization import PARAMETRIZATIONS
from ..files.options import Option, check_fields
from ..models.model import MOST_GUIDANCE
from ..networks import NetworkConfig

MODEL = "model.safetensors"  # what a run gives away, in its folder


@dataclass(frozen=True)
class LabelDiffusionConfig:
    """`kind` none is plain SDM, the others SCDM.

    rates: of "classwise", which alone reads them: one number a class, or the name of a shipped set. None is the shipped
        set of the data set's name; for other data, `training/estimate_class_rates.py` measures them.
    """

    kind: Literal["none", "uniform", "classwise"] = "classwise"
    rates: str | tuple[float, ...] | None = None


@dataclass(frozen=True)
class LossConfig:
    """What is minimised, and at which steps of the process.

    objective: "hybrid" is L_simple + vb_weight * L_vb, as published; "kl" the variational bound alone (`Denoiser.loss`).
    timesteps: "uniform", as published, or "importance", by the size of the loss (`timesteps.ImportantSteps`).
    """

    objective: Literal["hybrid", "kl"] = "hybrid"
    vb_weight: float = 1.0
    timesteps: Literal["uniform", "importance"] = "uniform"

    def __post_init__(self) -> None:
        require_within("loss.", self, {"vb_weight": (0, 1e3)})


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with a linear warm-up over `warmup` steps and a linear decay to 0 over the last `decay` steps.

    decay: as many as there are steps is the published annealing.
    clip_norm: the most that the gradient's norm may be, or None: as published, it is left alone.
    """

    lr: float = 1e-4
    weight_decay: float = 0.0
    warmup: int = 0
    decay: int = 0
    clip_norm: float | None = 1.0

    def __post_init__(self) -> None:
        bounds = {
            "lr": (0, 10),
            "weight_decay": (0, 10),
            "warmup": (0, 1e9),
            "decay": (0, 1e9),
            "clip_norm": (1e-6, 1e9),
        }
        require_within("optimizer.", self, bounds)


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every run of `scdm.training.loop.train` is told, whatever it teaches.

    run: the folder of everything that it writes, and from which it resumes.
    batch: images a step, over all processes.
    micro_batches: parts that each process takes its share of a batch in, one after the other, to save memory.
    micro_batch_sum: add their gradients up, as published, instead of taking the mean, which does not depend on their number.
    steps, hours: when to stop, whichever comes first.
    more_sizes: further sizes of images, like `data.size`. With them the steps take turns, so that one model learns all of
        them; it is said to be trained at `data.size`.
    sparse_share: share of layouts that are thinned out to what a person in a hurry would have painted, 40 to 90 % of them
        MASK (`layouts.patterns.sparse`). 0 is SCDM's training, 1 that of sparse layouts.
    null_rate: share of layouts that are blanked, so that the model learns the null condition of guidance.
    ema, ema_warmup: decay of the averaged weights, which are the ones released (`ema.EMA`). Of several, the first is
        released as model.safetensors, the others as model-ema-DECAY.safetensors.
    seed: of the initial weights, and of all draws, which are functions of it and an item's position in the data.
    save_every: steps between saves. Of the states to resume from, the newest `keep` stay, and every one whose step is a
        multiple of `keep_every`.
    samples: images in the sheet that is drawn at every save, 0 for none.
    tracker: what accelerate logs to, every `log_every` steps: tensorboard, wandb, ..., or none.
    patience: steps in a row without a finite gradient, which are left out, before the run stops.
    checkpointing: compute activations again on the way back instead of keeping them: less memory, a third more work.
    compile: by torch.compile: minutes at the start, and then faster steps.
    note: goes into the released file's provenance.
    """

    run: str
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    batch: int = 32
    micro_batches: int = 1
    micro_batch_sum: bool = False
    steps: int = 100_000
    hours: float | None = None
    more_sizes: tuple[int | tuple[int, int], ...] = ()
    sparse_share: float = 0.0
    null_rate: float = 0.1
    ema: float | tuple[float, ...] = 0.999
    ema_warmup: bool = True
    seed: int = 0
    save_every: int = 1000
    keep: int = 1
    keep_every: int | None = None
    samples: int = 8
    tracker: str = "tensorboard"
    log_every: int = 50
    patience: int = 25
    precision: Literal["float32", "bf16", "fp16"] = "float32"
    checkpointing: bool = False
    compile: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        if not self.run.strip():
            raise ValueError("run must name the folder for everything that the run writes")
        require_within("", self, BOUNDS)
        if not self.decays or not all(0 <= decay < 1 for decay in self.decays):
            raise ValueError(f"ema is a decay, or several, from 0 to below 1, not {self.ema}")
        if len(set(self.decays)) < len(self.decays):
            raise ValueError(f"the decays of ema must differ, they are {self.ema}")
        if self.batch % self.micro_batches:
            raise ValueError(f"a batch of {self.batch} cannot be divided into {self.micro_batches} equal micro_batches")
        sizes = [data.height_width for data in self.turns()]  # which objects to those that no images can have
        if len(set(sizes)) < len(sizes):
            raise ValueError(f"more_sizes are sizes beside data.size, each once, not {list(self.more_sizes)}")
        if self.keep_every is not None and self.keep_every % self.save_every:
            raise ValueError(
                f"keep_every must be a multiple of save_every, which is {self.save_every}, not {self.keep_every}"
            )

    @property
    def decays(self) -> tuple[float, ...]:
        return self.ema if isinstance(self.ema, tuple) else (self.ema,)

    def turns(self) -> list[DataConfig]:
        """The data as the steps take them in turn, one size after the other."""
        return [self.data, *(replace(self.data, size=size) for size in self.more_sizes)]

    @property
    def sizes(self) -> str:
        return " and ".join(str(data.size) for data in self.turns())


@dataclass(frozen=True, kw_only=True)
class TrainConfig(RunConfig):
    """A run that teaches a model what a data set shows (training/train.py).

    init: a model to start from, anything that `scdm.load` reads.
    """

    network: NetworkConfig
    label_diffusion: LabelDiffusionConfig = field(default_factory=LabelDiffusionConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    noise_schedule: Literal["linear", "cosine"] = "linear"
    prediction: Annotated[str, Option("what the network predicts", choices=tuple(PARAMETRIZATIONS))] = "eps"
    init: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self)
        if self.loss.objective == "kl" and not self.network.learn_sigma:
            raise ValueError("loss.objective kl needs a network that learns the variance: set network.learn_sigma")


@dataclass(frozen=True, kw_only=True)
class StudentConfig(RunConfig):
    """A run that teaches a model to do in `student` steps what its teacher does in twice as many (`distillation`).

    teacher: anything that `scdm.load` reads.
    guidance: of the teacher, to be built in. None is what the teacher has built in, or 1.5.
    """

    teacher: str
    student: int
    guidance: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require_within("", self, {"student": (1, 1000), "guidance": (1, MOST_GUIDANCE)})


@dataclass(frozen=True, kw_only=True)
class DistillConfig(RunConfig):
    """Runs one after the other (training/distill.py), each for `steps`, in folders of their own in `run`.

    teacher, guidance: see `StudentConfig`. students: the steps of the students, each half of those of the one before, which
    is its teacher. seed: of the first; each has the next one.
    """

    teacher: str
    students: tuple[int, ...] = (8, 4, 2, 1)
    guidance: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        halving = all(later * 2 == earlier for earlier, later in pairwise(self.students))
        if not self.students or not halving:
            raise ValueError(
                f"students is a list of step counts, each half of the one before, not {list(self.students)}"
            )
        self.runs()  # objects to settings that no run can have

    def runs(self) -> list[StudentConfig]:
        shared = {item.name: getattr(self, item.name) for item in fields(RunConfig)}
        runs, teacher = [], self.teacher
        for place, student in enumerate(self.students):
            folder = f"{self.run}/{student}"
            own = {"run": folder, "seed": self.seed + place, "student": student}
            runs.append(StudentConfig(**{**shared, **own}, teacher=teacher, guidance=self.guidance))
            teacher = f"{folder}/{MODEL}"
        return runs


# Beyond these a setting is a slip of the pen.
BOUNDS: dict[str, tuple[float, float]] = {
    "batch": (1, 2**16),
    "micro_batches": (1, 2**16),
    "steps": (1, 10**9),
    "hours": (1e-6, 1e5),
    "sparse_share": (0, 1),
    "null_rate": (0, 1),
    "seed": (0, 2**63 - 1),
    "save_every": (1, 10**9),
    "keep": (1, 10**6),
    "keep_every": (1, 10**9),
    "samples": (0, 256),
    "log_every": (1, 10**9),
    "patience": (1, 10**6),
}


def require_within(section: str, config: Any, bounds: Mapping[str, tuple[float, float]]) -> None:
    """ValueError for a setting out of its bounds, nan among them. None stands for "not set"."""
    for name, (least, most) in bounds.items():
        value = getattr(config, name)
        if value is not None and not least <= value <= most:
            raise ValueError(f"{section}{name} must be from {least:g} to {most:g}, not {value}")
