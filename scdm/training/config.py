"""What a training run is: one YAML file, one dataclass."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ..networks import UNetConfig


@dataclass(frozen=True)
class DataConfig:
    """`name` is a data set of `scdm.datasets`; `size` in pixels, one side or [height, width]; `workers` render ahead."""

    name: str = "scenes"
    size: int | tuple[int, int] = 64
    seed: int = 0
    workers: int = 1


@dataclass(frozen=True)
class LabelDiffusionConfig:
    """`kind` none is plain SDM. `rates`: a shipped set's name or one number a class, for class-wise only."""

    kind: Literal["none", "uniform", "classwise"] = "classwise"
    rates: str | tuple[float, ...] | None = None


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with a linear warm-up over `warmup` steps and a linear decay to 0 over the last `decay` steps."""

    lr: float = 1e-4
    weight_decay: float = 0.0
    warmup: int = 0
    decay: int = 0
    clip_norm: float = 1.0


@dataclass(frozen=True)
class TrainConfig:
    """A run of `scdm.training.loop.train`.

    run: the folder of everything that it writes, and from which it resumes.
    batch: images a step, over all processes.
    steps, hours: when to stop, whichever comes first.
    null_rate: share of layouts that are blanked, so that the model learns the null condition of guidance.
    ema, ema_warmup: decay of the averaged weights, which are the ones released (`ema.EMA`).
    samples: images in the sheet that is drawn at every save, 0 for none.
    init: model file to start from.
    note: goes into the released file's provenance.
    """

    run: str
    network: UNetConfig
    data: DataConfig = field(default_factory=DataConfig)
    label_diffusion: LabelDiffusionConfig = field(default_factory=LabelDiffusionConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    noise_schedule: Literal["linear", "cosine"] = "linear"
    prediction: Literal["eps", "v", "x0"] = "eps"
    batch: int = 32
    steps: int = 100_000
    hours: float | None = None
    null_rate: float = 0.1
    ema: float = 0.999
    ema_warmup: bool = True
    seed: int = 0
    save_every: int = 1000
    samples: int = 8
    precision: Literal["no", "bf16", "fp16"] = "no"
    init: str | None = None
    note: str = ""

    def __post_init__(self) -> None:
        if not self.run.strip():
            raise ValueError("run must name the folder for everything that the run writes")
        if self.seed < 0 or self.data.seed < 0 or self.samples < 0:
            raise ValueError("seeds and the number of samples are not negative")
        if self.batch < 1 or self.steps < 1 or self.save_every < 1:
            raise ValueError("batch, steps and save_every must be at least 1")
        if not 0 <= self.null_rate <= 1 or not 0 <= self.ema < 1:
            raise ValueError("null_rate is a share in [0, 1], ema a decay in [0, 1)")
        if self.hours is not None and self.hours <= 0:
            raise ValueError(f"a run takes more than {self.hours} hours")
