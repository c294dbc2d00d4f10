"""What a run is: one YAML file, one dataclass.

What every setting does, its bounds and its default stand beside its type (`Option`); `__post_init__` has the rules that
join several.
"""

from __future__ import annotations

from collections import ChainMap
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Annotated, Literal

from ..datasets import DataConfig
from ..datasets.config import MOST_SIDE
from ..diffusion.corruption import RemovedKind
from ..diffusion.limits import MOST_GUIDANCE, LabelCounting, LabelResolution, NoiseShift
from ..diffusion.parametrization import PARAMETRIZATIONS, WEIGHTINGS
from ..diffusion.samplers import SAMPLERS
from ..files.config import flat, implied, to_dict
from ..files.options import Option, check_fields
from ..networks import NetworkConfig

MODEL = "model.safetensors"  # what a run releases, in its folder
MOST_STEPS = 10**9  # beyond these a setting is a typing error
MOST_SEED = 2**63 - 1
VALIDATED = 32  # images of the validation split whose loss is measured
OF_SPARSE_LAYOUTS = ("hiding.both", "hiding.sparse", "hiding.removed")
OLDER_NAMES = {"bf16": "bfloat16", "fp16": "float16"}  # of precisions, in configurations and states of version 0.1.0


@dataclass(frozen=True)
class LabelDiffusionConfig:
    """How layouts are diffused."""

    kind: Annotated[
        Literal["none", "uniform", "classwise"],
        Option("none is plain SDM, the others are SCDM", also=("cond_opt", "cond_diffuse")),
    ] = "classwise"
    rates: Annotated[
        str | tuple[float, ...] | None,
        Option(
            "class rates of classwise, which alone reads them: a number for each class, or the name of a shipped set; "
            "training/estimate_class_rates.py measures those of other data",
            unset="the shipped set with the data set's name",
        ),
    ] = None

    resolution: LabelResolution = implied(None)  # noqa: RUF009  (`implied` makes a field, as `field` does)
    counting: LabelCounting = implied("visits")  # noqa: RUF009

    def __post_init__(self) -> None:
        check_fields(self, "label_diffusion.")
        if self.counting != "visits" and self.kind != "uniform":
            raise ValueError(
                f"label_diffusion.counting is about uniform label diffusion, not {self.kind}: leave it out"
            )


@dataclass(frozen=True)
class LossConfig:
    """What is minimised, and at which steps of the process."""

    objective: Annotated[
        Literal["hybrid", "kl"],
        Option("hybrid is L_simple + vb_weight * L_vb, as published; kl is the variational bound alone"),
    ] = "hybrid"
    vb_weight: Annotated[float, Option("weight of the variational bound in hybrid", ge=0, le=1e3)] = 1.0
    timesteps: Annotated[
        Literal["uniform", "importance", "quadratic"],
        Option(
            "uniform, as published, importance sampling by the size of the loss, or quadratic: more steps near the image",
            also=("schedule_sampler",),
        ),
    ] = "uniform"
    weighting: Annotated[
        str,
        Option(
            "squared error that is minimised: of the network's output, as published, of eps, of v, of eps where noise is "
            "strong (Kingma & Gao 2023), or of x0 by the signal-to-noise ratio up to the limit (min_snr), also from 1 on "
            "(truncated)",
            choices=ChainMap(WEIGHTINGS, {"output": None}),  # a view: plugins add to the weightings
        ),
    ] = implied("output")
    log_snr_limit: Annotated[
        float,
        Option(
            "logarithm of the signal-to-noise ratio from which the weightings sigmoid, min_snr and truncated grow no more",
            ge=-20,
            le=20,
        ),
    ] = implied(2.0)
    emphasised: Annotated[
        tuple[str, ...],
        Option("classes that are rare and hard to draw: the squared error of their pixels is multiplied by emphasis"),
    ] = implied(())
    emphasis: Annotated[
        float | None, Option("factor of the squared error of emphasised classes", ge=1, le=1e3, unset="none")
    ] = implied(None)

    def __post_init__(self) -> None:
        check_fields(self, "loss.")
        if self.weighting == "truncated" and self.log_snr_limit < 0:
            raise ValueError(
                "the weighting truncated grows from a ratio of 1, whose logarithm is 0, to loss.log_snr_limit: set it to 0 "
                f"or more, not {self.log_snr_limit}"
            )
        if bool(self.emphasised) != (self.emphasis is not None):
            raise ValueError("loss.emphasised names classes and loss.emphasis is their factor: set both, or neither")
        if self.emphasised and self.objective == "kl":
            raise ValueError(
                "loss.emphasised is about the squared error, which the objective kl has none of: leave it out"
            )


@dataclass(frozen=True)
class OptimizerConfig:
    """AdamW with a linear warm-up and a linear decay."""

    lr: Annotated[float, Option("learning rate between warm-up and decay", ge=0, le=10, also=("learning_rate",))] = 1e-4
    weight_decay: Annotated[float, Option("decay of the weights themselves", ge=0, le=10)] = 0.0
    warmup: Annotated[int, Option("steps of the linear warm-up", ge=0, le=MOST_STEPS, also=("warmup_steps",))] = 0
    decay: Annotated[
        int,
        Option(
            "last steps, over which lr falls to 0; as many as steps is the published annealing",
            ge=0,
            le=MOST_STEPS,
            also=("lr_anneal_steps",),
        ),
    ] = 0
    clip_norm: Annotated[
        float | None,
        Option(
            "largest norm of the gradient",
            ge=1e-6,
            le=1e9,
            unset="no limit, as published",
            also=("max_grad_norm",),
        ),
    ] = 1.0

    def __post_init__(self) -> None:
        check_fields(self, "optimizer.")


@dataclass(frozen=True)
class HidingConfig:
    """How much of a layout training hides, and from which step on.

    At the defaults sparse layouts are label-diffused like all others, from the first step.
    """

    both: Annotated[
        bool, Option("whether sparse layouts are label-diffused, too; without it an example is one or the other")
    ] = True
    clean: Annotated[int, Option("first steps, in which nothing is hidden", ge=0, le=MOST_STEPS)] = 0
    label_noise: Annotated[
        int,
        Option("steps after the clean ones in which label diffusion grows to its full strength", ge=0, le=MOST_STEPS),
    ] = 0
    sparse: Annotated[
        int,
        Option(
            "steps after the clean ones in which the share of sparse layouts goes from sparse_from to sparse_share",
            ge=0,
            le=MOST_STEPS,
        ),
    ] = 0
    sparse_from: Annotated[float, Option("share of sparse layouts after the clean steps", ge=0, le=1)] = 0.0
    removed: Annotated[
        RemovedKind,
        Option(
            'what sparse layouts have where nothing is left: MASK, or the class "unlabelled" of data sets that have one, as '
            "published models of sparse layouts"
        ),
    ] = "mask"

    def __post_init__(self) -> None:
        check_fields(self, "hiding.")
        if self.sparse_from and not self.sparse:
            raise ValueError(
                "hiding.sparse_from is the share that hiding.sparse steps begin with: set hiding.sparse, too"
            )

    def of_sparse_layouts(self) -> tuple[str, ...]:
        """The settings, other than the defaults, that do nothing unless there are sparse layouts."""
        own, default = (flat({"hiding": to_dict(config)}) for config in (self, HidingConfig()))
        return tuple(name for name in OF_SPARSE_LAYOUTS if own[name] != default[name])

    def label_noise_at(self, step: int) -> float:
        """The factor of the probability that a label is masked."""
        return self._reached(step, self.label_noise)

    def sparse_share_at(self, step: int, share: float) -> float:
        """share: the one after all."""
        reached = self._reached(step, self.sparse)
        return 0.0 if step < self.clean else (1 - reached) * self.sparse_from + reached * share

    def _reached(self, step: int, over: int) -> float:
        """How far the step has come in the `over` steps after the clean ones, 0 to 1."""
        since = step - self.clean
        return 0.0 if since < 0 else 1.0 if since >= over else since / over


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """What every run of `scdm.training.loop.train` needs, whatever it teaches."""

    run: Annotated[
        str,
        Option(
            "folder of everything that the run writes, and from which it resumes",
            form="runs/scenes64",
            advice="name the folder for everything that the run writes",
            also=("output_dir",),
        ),
    ]
    data: DataConfig = field(default_factory=DataConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    batch: Annotated[int, Option("images of a step, over all processes", ge=1, le=2**16, also=("batch_size",))] = 32
    micro_batches: Annotated[
        int,
        Option(
            "parts of a batch that each process computes one after the other, to save memory",
            ge=1,
            le=2**16,
            also=("microbatch", "gradient_accumulation_steps"),
        ),
    ] = 1
    micro_batch_sum: Annotated[
        bool, Option("add the gradients of micro-batches, as published, instead of taking the mean")
    ] = False
    steps: Annotated[
        int,
        Option("updates of the weights until the run is complete", ge=1, le=MOST_STEPS, also=("max_steps",)),
    ] = 100_000
    hours: Annotated[
        float | None, Option("the run also ends after so long", ge=1e-6, le=1e5, unit="hours", unset="no limit")
    ] = None
    more_sizes: Annotated[
        tuple[int | tuple[int, int], ...],
        Option(
            "further image sizes like data.size: steps take turns, so that one model learns all of them",
            ge=1,
            le=MOST_SIDE,
            unit="pixels",
        ),
    ] = ()
    buckets: Annotated[
        bool,
        Option(
            "see each image at the one of data.size and more_sizes whose proportions are nearest to its own, instead of at "
            "all of them in turn; steps take a size as often as images have it"
        ),
    ] = implied(False)
    window: Annotated[
        int | None,
        Option(
            "side of the random windows that images are trained in which are larger; the network should read the height of "
            "the whole (network.sized)",
            ge=1,
            le=MOST_SIDE,
            unit="pixels",
            unset="whole images",
        ),
    ] = implied(None)
    windows: Annotated[
        int, Option("windows that are taken of an image, in as many steps of its size", ge=1, le=4096)
    ] = implied(1)
    window_on: Annotated[
        tuple[str, ...], Option("rare classes that `window_share` of the windows are put on, of images that show any")
    ] = implied(())
    window_share: Annotated[float, Option("share of windows that window_on puts somewhere", gt=0, le=1)] = implied(0.5)
    sparse_share: Annotated[
        float,
        Option(
            "share of layouts that are reduced to sparse scribbles, 40 to 90 % of them MASK; 0 is SCDM's training, 1 that "
            "of sparse layouts",
            ge=0,
            le=1,
        ),
    ] = 0.0
    hiding: HidingConfig = implied(HidingConfig())  # noqa: RUF009  (`implied` makes a field, as `field` does)
    rough_share: Annotated[
        float,
        Option(
            "share of layouts that are made rough, each at another strength; a network that reads roughness is given that, "
            "and 0 for the exact ones; with a share of 0 it is given none; for one that reads none (network.roughness) "
            "rough layouts are augmentation",
            ge=0,
            le=1,
        ),
    ] = implied(0.0)
    roughness_null_rate: Annotated[
        float,
        Option("share of layouts whose roughness the network is not given, where rough_share is above 0", ge=0, le=1),
    ] = implied(0.1)
    null_rate: Annotated[
        float,
        Option(
            "share of layouts that are blanked, for the null condition of guidance",
            ge=0,
            le=1,
            also=("drop_rate",),
        ),
    ] = 0.1
    ema: Annotated[
        float | tuple[float, ...],
        Option(
            "decay of the averaged weights, which are released; of several, the first is model.safetensors, the others are "
            "model-ema-DECAY.safetensors",
            ge=0,
            lt=1,
            also=("ema_rate", "ema_decay"),
        ),
    ] = 0.999
    ema_warmup: Annotated[bool, Option("smaller decays at first, so that the untrained weights are forgotten")] = True
    posthoc_every: Annotated[
        int | None,
        Option(
            "steps between snapshots of power-function averages, from which training/posthoc_ema.py makes averages of any "
            "length: a multiple of save_every; each snapshot is as large as a model",
            ge=1,
            le=MOST_STEPS,
            unset="none",
        ),
    ] = implied(None)
    posthoc_widths: Annotated[
        tuple[float, ...], Option("relative widths of these averages (Karras et al. 2024)", ge=0.01, le=0.28)
    ] = implied((0.05, 0.1))
    seed: Annotated[
        int,
        Option(
            "of the initial weights and all draws, which depend on it and an item's position in the data",
            ge=0,
            le=MOST_SEED,
        ),
    ] = 0
    save_every: Annotated[int, Option("steps between saves", ge=1, le=MOST_STEPS, also=("save_interval",))] = 1000
    mirror: Annotated[
        str | None,
        Option(
            "address of fsspec to which every save copies states, models and samples, and from which a run whose folder has "
            "no state goes on",
            form="s3://bucket/scenes64",
            unset="none",
        ),
    ] = implied(None)
    keep: Annotated[int, Option("newest states that stay", ge=1, le=10**6)] = 1
    keep_every: Annotated[
        int | None,
        Option("states of these steps stay as well: a multiple of save_every", ge=1, le=MOST_STEPS, unset="none"),
    ] = None
    samples: Annotated[int, Option("images in the sheet of samples at every save, 0 for none", ge=0, le=256)] = 8
    tracker: Annotated[str, Option("what accelerate logs to: tensorboard, wandb, ... or none")] = "tensorboard"
    log_every: Annotated[int, Option("steps between logs", ge=1, le=MOST_STEPS, also=("log_interval",))] = 50
    patience: Annotated[
        int,
        Option("steps in a row without a finite gradient, which are left out, before the run stops", ge=1, le=10**6),
    ] = 25
    precision: Annotated[
        Literal["float32", "bfloat16", "float16", "bf16", "fp16"],
        Option(
            "of the network; bf16 and fp16 are older names of bfloat16 and float16",
            also=("use_fp16", "mixed_precision"),
        ),
    ] = "float32"
    checkpointing: Annotated[
        bool,
        Option(
            "recompute activations in the backward pass: less memory, a third more work",
            also=("use_checkpoint", "gradient_checkpointing"),
        ),
    ] = False
    compile: Annotated[bool, Option("torch.compile: minutes at the start, then faster steps")] = False
    cudnn_benchmark: Annotated[
        bool,
        Option(
            "measure which of cuDNN's convolutions is fastest for each size of images, at its first step; equal runs may "
            "then differ by rounding"
        ),
    ] = implied(False)
    note: Annotated[str, Option("goes into the released file's provenance")] = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "precision", OLDER_NAMES.get(str(self.precision), self.precision))
        check_fields(self)
        if not self.decays or len(set(self.decays)) < len(self.decays):
            raise ValueError(f"ema must be a decay, or several that differ, not {self.ema}")
        if self.batch % self.micro_batches:
            raise ValueError(f"a batch of {self.batch} cannot be divided into {self.micro_batches} equal micro_batches")
        sizes = [data.height_width for data in self.turns()]
        if len(set(sizes)) < len(sizes):
            raise ValueError(f"more_sizes are sizes beside data.size, each once, not {list(self.more_sizes)}")
        if not self.sparse_share and not self.hiding.sparse_from and (idle := self.hiding.of_sparse_layouts()):
            raise ValueError(f"there are no sparse layouts for {' and '.join(idle)}: set sparse_share, or leave it out")
        if self._hides and self.hiding.clean >= self.steps:
            raise ValueError(
                f"hiding.clean ({self.hiding.clean}) leaves none of the {self.steps} steps in which something is hidden: "
                f"set it to fewer, such as {self.steps // 2}, or steps to more"
            )
        for name in ("label_noise", "sparse"):
            over, room = getattr(self.hiding, name), max(0, self.steps - self.hiding.clean)
            if over > room:
                raise ValueError(
                    f"hiding.{name} ({over}) ends after the last of the {self.steps} steps, {self.hiding.clean} of which "
                    f"are clean: set it to {room} or fewer, or steps to more"
                )
        if self.windows > 1 and self.window is None:
            raise ValueError(f"windows ({self.windows}) need a window: set it to their side, or leave windows out")
        if self.window_on and self.window is None:
            raise ValueError("window_on says where windows are put: set window, or leave it out")
        if self._changed("window_share") and not self.window_on:
            raise ValueError("window_share is of the windows on some classes: set window_on, or leave it out")
        if self.buckets and len({height / width for height, width in sizes}) < max(2, len(sizes)):
            raise ValueError(
                f"buckets are data.size and more_sizes, each in other proportions, not {self.sizes}: change them, or set "
                "buckets to false"
            )
        for name in ("keep_every", "posthoc_every"):
            if (every := getattr(self, name)) is not None and every % self.save_every:
                raise ValueError(f"{name} must be a multiple of save_every ({self.save_every}), not {every}")
        if self._changed("posthoc_widths") and self.posthoc_every is None:
            raise ValueError("posthoc_widths are of the snapshots of posthoc_every: set that, or leave them out")
        if self.posthoc_every is not None and len(set(self.posthoc_widths)) < 2:
            raise ValueError(
                f"posthoc_widths must be two widths, or more, that differ, not {list(self.posthoc_widths)}"
            )

    @property
    def _diffuses_labels(self) -> bool:
        """Whether label diffusion is a setting of the run: of a student it is the teacher's."""
        return False

    @property
    def _hides(self) -> bool:
        """Whether any labels are hidden in training."""
        return bool(self.sparse_share or self.hiding.sparse_from or self._diffuses_labels)

    def _changed(self, name: str) -> bool:
        """Whether a setting is other than by default."""
        return getattr(self, name) != next(field.default for field in fields(self) if field.name == name)

    @property
    def idle(self) -> list[str]:
        """Settings that others leave without effect."""
        return []

    @property
    def validated(self) -> int:
        """Images of the validation split whose loss is measured."""
        return 0

    @property
    def decays(self) -> tuple[float, ...]:
        return (self.ema,) if isinstance(self.ema, (int, float)) else tuple(self.ema)

    def turns(self) -> list[DataConfig]:
        """The data as the steps take them in turn, one size after the other."""
        return [self.data, *(replace(self.data, size=size) for size in self.more_sizes)]

    @property
    def window_used(self) -> int | None:
        """The side of windows, where any image is larger than one."""
        sides = [side for data in self.turns() for side in data.height_width]
        return self.window if self.window is not None and max(sides) > self.window else None

    @property
    def taught(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of all images, for the model's file; () where data.size is the only one."""
        return tuple(data.height_width for data in self.turns()) if self.more_sizes else ()

    @property
    def sizes(self) -> str:
        return " and ".join(str(data.size) for data in self.turns())


Schedule = Annotated[
    Literal["linear", "cosine", "flow"],
    Option("how noise grows over the process; flow is rectified flow's", also=("beta_schedule",)),
]


@dataclass(frozen=True, kw_only=True)
class NewModelConfig(RunConfig):
    """A run that begins with a network of its own."""

    network: NetworkConfig
    noise_schedule: Schedule = "linear"
    noise_shift: NoiseShift = implied(1.0)  # noqa: RUF009  (`implied` makes a field, as `field` does)
    init: Annotated[
        str | None,
        Option(
            "model whose weights the run begins with, as scdm.load reads it",
            unset="random weights",
            also=("resume_checkpoint",),
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class TrainConfig(NewModelConfig):
    """A run that teaches a model what a data set shows (training/train.py)."""

    label_diffusion: LabelDiffusionConfig = field(default_factory=LabelDiffusionConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    prediction: Annotated[
        str,
        Option("what the network predicts", choices=PARAMETRIZATIONS, also=("prediction_type",)),
    ] = "eps"
    sampler: Annotated[
        str | None,
        Option("of the model's images, unless one is chosen: it goes into its file", choices=SAMPLERS, unset="ddpm"),
    ] = implied(None)
    validation: Annotated[
        int | None,
        Option(
            "images of the validation split whose loss, with noise and steps that never change, is measured at every save; "
            "0 for none",
            ge=0,
            le=2**16,
            unit="images",
            unset=f"{VALIDATED} where there is a sheet of samples",
        ),
    ] = implied(None)
    segmenter: Annotated[
        str | None,
        Option(
            "file of training/train_segmenter.py, or a folder of the transformers library: reads the classes of the sheet's "
            "samples at every save, and their mIoU and pixel accuracy are reported",
            form="runs/segmenter.safetensors",
            unset="none",
        ),
    ] = implied(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.segmenter is not None and not self.samples:
            raise ValueError("segmenter reads the sheet's samples: set samples to 1 or more, or leave segmenter out")
        if self.hiding.label_noise and not self._diffuses_labels:
            raise ValueError(
                "hiding.label_noise is about label diffusion, which label_diffusion.kind none leaves out: leave it out, too"
            )
        if self.loss.objective == "kl" and not self.network.learn_sigma:
            raise ValueError("loss.objective kl needs a network that learns the variance: set network.learn_sigma")

    @property
    def _diffuses_labels(self) -> bool:
        return self.label_diffusion.kind != "none"

    @property
    def idle(self) -> list[str]:
        """Settings that others leave without effect, as those of label diffusion where a configuration is changed to SDM."""
        diffused = self.label_diffusion
        without = {
            "label_diffusion.rates": diffused.rates is not None and diffused.kind != "classwise",
            "label_diffusion.resolution": diffused.resolution is not None and not self._diffuses_labels,
            "hiding.clean": self.hiding.clean > 0 and not self._hides,
        }
        return [name for name, is_idle in without.items() if is_idle]

    @property
    def validated(self) -> int:
        return self.validation if self.validation is not None else VALIDATED if self.samples else 0


Teacher = Annotated[str, Option("model that the first student learns from, as scdm.load reads it")]
Spacing = Annotated[
    Literal["trailing", "quadratic"],
    Option("steps that students visit: equal strides from the last one, or strides that shrink towards the image"),
]
Guidance = Annotated[
    float | None,
    Option(
        "guidance of the teacher, to be built in", ge=1, le=MOST_GUIDANCE, unset="what the teacher has built in, or 1.5"
    ),
]


@dataclass(frozen=True, kw_only=True)
class StudentConfig(RunConfig):
    """A run that teaches a model to do in `student` steps what its teacher does in twice as many (`distillation`)."""

    teacher: Teacher
    student: Annotated[int, Option("steps of the student", ge=1, le=1000)]
    guidance: Guidance = None
    spacing: Spacing = implied("trailing")  # noqa: RUF009  (`implied` makes a field, as `field` does)


@dataclass(frozen=True, kw_only=True)
class DistillConfig(RunConfig):
    """Runs one after the other (training/distill.py), each for `steps`, in a folder of its own in `run`.

    `seed` is that of the first; each has the next one.
    """

    teacher: Teacher
    students: Annotated[
        tuple[int, ...],
        Option("steps of the students, each half of those of the one before, which is its teacher", ge=1, le=1000),
    ] = (8, 4, 2, 1)
    guidance: Guidance = None
    spacing: Spacing = implied("trailing")  # noqa: RUF009  (`implied` makes a field, as `field` does)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.students or any(later * 2 != earlier for earlier, later in pairwise(self.students)):
            raise ValueError(
                f"students is a list of step counts, each half of the one before, not {list(self.students)}"
            )
        self.runs()  # whose settings are checked, too

    def runs(self) -> list[StudentConfig]:
        shared = {item.name: getattr(self, item.name) for item in fields(RunConfig)}
        runs, teacher = [], self.teacher
        for place, student in enumerate(self.students):
            folder = f"{self.run}/{student}"
            own = {"run": folder, "seed": self.seed + place, "student": student}
            runs.append(
                StudentConfig(**{**shared, **own}, teacher=teacher, guidance=self.guidance, spacing=self.spacing)
            )
            teacher = f"{folder}/{MODEL}"
        return runs


@dataclass(frozen=True)
class CriticConfig:
    """The network that tells renderings from what the upsampler makes (`critic`)."""

    width: Annotated[int, Option("of its first level", ge=1, le=8192)] = 32
    lr: Annotated[float, Option("its learning rate", ge=0, le=10)] = 6e-4
    after: Annotated[int, Option("steps of squared error alone, before it is trained", ge=0, le=MOST_STEPS)] = 300
    patience: Annotated[int, Option("steps that it is trained for, before it is listened to", ge=0, le=MOST_STEPS)] = (
        150
    )
    weight: Annotated[
        float,
        Option(
            "gradient that it has on the image, as a multiple of that of the squared error; 0 is the squared error alone",
            ge=0,
            le=1e3,
        ),
    ] = 1.0

    def __post_init__(self) -> None:
        check_fields(self, "critic.")


@dataclass(frozen=True, kw_only=True)
class UpsamplerConfig(NewModelConfig):
    """A run that teaches an upsampler to add detail to small images (training/train_upsampler.py)."""

    small: Annotated[
        int, Option("shorter side of the small images that it adds detail to", ge=1, le=MOST_SIDE, unit="pixels")
    ] = 64
    visits: Annotated[str, Option("steps that it visits, as --steps reads them")] = "trailing2"
    noise_schedule: Schedule = "cosine"
    noise_shift: NoiseShift = 2.5
    flaws: Annotated[
        float,
        Option(
            "standard deviation that noise on small images has at most, so that the upsampler bears those of another model "
            "(noise conditioning augmentation, Ho et al. 2022)",
            ge=0,
            le=1,
        ),
    ] = 0.08
    hardness: Annotated[
        float,
        Option("how much small images have the hard outlines of a small layout's classes, at most", ge=0, le=1),
    ] = 1.0
    fine: Annotated[float, Option("share of the squared error that counts details below 4 pixels", ge=0, le=1)] = 0.25
    masking: Annotated[
        float,
        Option(
            "how far the squared error counts less where contrast nearby masks it, and more in plain areas", ge=0, le=1
        ),
    ] = implied(1.0)
    texture: Annotated[
        float,
        Option(
            "gradient that the distance of textures has on the image, as a multiple of that of the squared error of "
            "what is not structured",
            ge=0,
            le=1e3,
        ),
    ] = 1.0
    structured: Annotated[
        tuple[str, ...],
        Option(
            "classes whose detail is structure (windows, lines) and no texture: it is taught by the whole squared error and "
            "the critic"
        ),
    ] = implied(())
    structure: Annotated[
        float,
        Option(
            "weight of the squared error of structured classes: they are small, and no texture teaches them",
            ge=0,
            le=1e3,
        ),
    ] = implied(5.0)
    grid: Annotated[
        float,
        Option(
            "weight of the squared error of the pattern that neighbouring patches have in common: lines at their borders",
            ge=0,
            le=1e4,
        ),
    ] = implied(0.0)
    blotches: Annotated[
        float,
        Option(
            "standard deviation that blotches of three of their pixels have at most, on structured classes of small images: "
            "another model draws those worst",
            ge=0,
            le=1,
        ),
    ] = implied(0.0)
    first_stage: Annotated[
        str | None,
        Option(
            "the model that it is to add detail to, as scdm.load reads it: it redraws small images, so that the upsampler "
            "learns what to make of its flaws",
            unset="small images have the flaws above alone",
        ),
    ] = implied(None)
    redrawn: Annotated[
        float,
        Option("share of its steps that the first stage redraws a small image in, at most", ge=0, le=1),
    ] = implied(0.5)
    simulated: Annotated[
        float,
        Option(
            "share of the examples of later steps that begin with what the upsampler has made itself in those before, as in "
            "use, and not with the rendering",
            ge=0,
            le=1,
        ),
    ] = implied(0.0)
    critic: CriticConfig = field(default_factory=CriticConfig)
    samples: Annotated[int, Option("an upsampler alone makes none", ge=0, le=0)] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.network.upsamples:
            raise ValueError("an upsampler's network is given a small image: set network.upsamples")
        if self._changed("structure") and not self.structured:
            raise ValueError("structure is a weight of structured classes: set structured, or leave it out")
        if self._changed("redrawn") and self.first_stage is None:
            raise ValueError("redrawn is a share of first_stage's steps: set that, or leave it out")
        if self.first_stage is not None and self.buckets:
            raise ValueError("first_stage has no buckets: set more_sizes in their place")
        for height, width in (data.height_width for data in self.turns()):
            if not self.small <= height <= width:
                raise ValueError(
                    f"images of an upsampler are at least {self.small} pixels high and no higher than wide, not "
                    f"{width}x{height}"
                )
            cell, rest = divmod(height, self.small)
            window = min(self.window or width, width)
            if self.first_stage is not None and (rest or width % cell or window % cell):
                raise ValueError(
                    f"with first_stage the pixels of small images are whole squares of the others: {width}x{height} and "
                    f"windows of {window} are none of {self.small} pixels; choose multiples"
                )
