"""How an image is made: every option, and what a model answers to those left open. Free of torch, as `--help` reads it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from ..diffusion.limits import LABEL_NOISE_KINDS, MOST_GUIDANCE, LabelCountingKind
from ..diffusion.samplers import SAMPLERS, Eta, Repeats, Variance, sampler_options
from ..files import config as configuration
from ..files.options import Declared, Option, check, check_fields, declared
from ..files.untrusted import meant, shown

if TYPE_CHECKING:
    from ..diffusion.noise import LabelNoise
    from ..models.model import Model, ModelConfig
else:
    LabelNoise = Callable[..., Any]

PRESETS: dict[str, dict[str, Any]] = {  # options by name, which single options change
    # The papers' fast sampling: 25 steps at equal strides, of which dynamic thresholding (Saharia et al. 2022) and
    # extrapolation make good what few steps lose.
    "published25": {"sampler": "ddpm", "steps": "ddim25", "extrapolation": 0.8, "dynamic_threshold": 0.95},
}
MOST_FEATHER = 1024  # pixels; a mask that never gets to fade in repaints nothing


@dataclass(frozen=True)
class GenerateOptions:
    """How an image is made from a layout. None is what the model was made for (`for_model`).

    The `Option` of a field says what it does and what it may be. `variance`, `eta` and `repeats` are declared by the
    samplers that have them; options of further samplers are in `sampler_options`, by name. A sampler ignores the variance
    and the eta of another.

    label_noise: a name, or a function (t, shape) -> u (`noise.LabelNoise`).
    extrapolation: with `repeats`, all of a step's go by the step before.
    precision: weights that are in half precision already are computed with as they are; of others, each is rounded when
        used.
    """

    steps: Annotated[
        str | int | None,
        Option(
            "denoising steps; more show finer detail, fewer are faster",
            ge=1,
            form="ddim25, trailing25, quadratic25 (strides that shrink towards the image) or 10,15 (counts for equal "
            "sections of the process)",
            unset="what the model was made for, 25 for most",
        ),
    ] = None
    sampler: Annotated[
        str | None,
        Option(
            "how a step is taken; ddpm is the paper's, the others need fewer steps, and ddim is the cleanest with few",
            choices=SAMPLERS,
            unset="what the model was made for, ddpm for most",
        ),
    ] = None
    guidance: Annotated[
        float | None,
        Option(
            "scale of classifier-free guidance, how strictly the image follows the layout; 1 is no guidance, in less time",
            ge=1,
            le=MOST_GUIDANCE,
            step=0.1,
            metavar="SCALE",
            unset="what the model was made for, 1.5 for most",
            advice="leave it out for what the model was made for",
        ),
    ] = None
    seed: Annotated[int, Option("seed of the first image; the next images have the next seeds", ge=0, le=2**64 - 1)] = 0
    label_noise: Annotated[
        str | LabelNoise,
        Option(
            "draws of label diffusion; fresh at every step is the paper's, coupled is one draw for all steps, and none "
            "keeps the layout as it is; without effect on models without label diffusion",
            choices=LABEL_NOISE_KINDS,
            metavar="KIND",
        ),
    ] = "fresh"
    variance: Variance = "learned"
    clip: Annotated[
        bool | None, Option("clip the prediction to [-1, 1]", unset="yes, but not for distilled models")
    ] = None
    dynamic_threshold: Annotated[
        float | None,
        Option(
            "quantile of the prediction to scale to [-1, 1], such as 0.95, against burnt colours at high guidance",
            gt=0,
            le=1,
            step=0.005,
            metavar="QUANTILE",
            unset="off",
        ),
    ] = None
    extrapolation: Annotated[
        float,
        Option(
            "how far each prediction is extrapolated from the last; crisper at few steps, too crisp above 1, off at 0",
            ge=0,
            le=10,
            step=0.05,
            metavar="WEIGHT",
        ),
    ] = 0.0
    mean: Annotated[
        tuple[float, float, float] | None,
        Option(
            "mean of the red, green and blue to hold the image to, from -1 (black) to 1 (white); needs std",
            ge=-1,
            le=1,
            metavar="R G B",
            unset="free",
        ),
    ] = None
    std: Annotated[
        tuple[float, float, float] | None,
        Option(
            "standard deviation of the red, green and blue to hold the image to; needs mean",
            ge=0,
            le=1,
            metavar="R G B",
            unset="free",
        ),
    ] = None
    eta: Eta = 0.0
    strength: Annotated[
        float,
        Option(
            "denoising strength; 1 begins with pure noise and keeps nothing but what a mask protects, 0.3 changes little",
            gt=0,
            le=1,
            step=0.01,
            needs="image",
        ),
    ] = 1.0
    repeats: Repeats = 1
    feather: Annotated[
        float,
        Option(
            "distance over which the repainted part fades in, inside the mask",
            ge=0,
            le=MOST_FEATHER,
            step=0.5,
            unit="pixels",
            metavar="PIXELS",
            needs="mask",
        ),
    ] = 0.0
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "float16"],
        Option("type to compute in; auto is what the device is fast and safe in, float32 on a CPU"),
    ] = "auto"
    roughness: Annotated[
        float | Literal["auto", "unknown"],
        Option(
            "how far outlines of the layout may be off: at 0 the image keeps to the pixel, at 1 to about a sixteenth of the "
            "side, and takes the layout as an idea; auto estimates it from the layout; for models that read it",
            ge=0,
            le=1,
            step=0.05,
            metavar="ROUGHNESS",
        ),
    ] = configuration.implied("auto")
    layout_end: Annotated[
        float,
        Option(
            "share of the steps, from the first, that read the layout; the others go on without it, free of the whole "
            "layout and not only of its outlines, and with few steps things vanish",
            gt=0,
            le=1,
            step=0.05,
            metavar="SHARE",
        ),
    ] = configuration.implied(1.0)
    label_counting: Annotated[
        LabelCountingKind | None,
        Option(
            "what uniform label diffusion counts: the steps that are visited, as published, the last of which hides 1 / "
            "steps of the layout, or the original steps, as in training",
            metavar="KIND",
            unset="what the model was made for",
        ),
    ] = configuration.implied(None)  # noqa: RUF009  (`implied` makes a field)
    sampler_options: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> GenerateOptions:
        """From values by name, options of any sampler among them, and `preset`, a name in `PRESETS`, which gives those that
        are left out. ValueError if there is no such preset."""
        return cls(**cls.grouped(values))

    @classmethod
    def grouped(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """These values with those of the preset, and those that are not declared here, which samplers may know, in
        `sampler_options`."""
        if "preset" in values:
            values = preset(values["preset"]) | {name: value for name, value in values.items() if name != "preset"}
        own = {name: value for name, value in values.items() if name in declared(GenerateOptions)}
        others = {name: value for name, value in values.items() if name not in own}
        return {**own, "sampler_options": others}

    def __post_init__(self) -> None:
        check_fields(self)
        self._check_sampler_options()
        if (self.mean is None) != (self.std is None):
            raise ValueError("colour statistics need both mean and std")

    def _check_sampler_options(self) -> None:
        if not isinstance(self.sampler_options, Mapping):
            raise ValueError(f"sampler_options are options by name, not {shown(self.sampler_options)}")
        if own := sorted(declared(GenerateOptions).keys() & self.sampler_options.keys()):
            raise ValueError(f"{own[0]} is an option of its own, so it has no place in sampler_options")
        known, given = sampler_options(), self._of_samplers()
        if unknown := [name for name in self.sampler_options if name not in known]:
            hint = meant(str(unknown[0]), every_option()) or f"known are {', '.join(known)}"
            raise ValueError(f"no sampler has an option {shown(unknown[0])}: {hint}")
        check(self.sampler_options, known)
        for name in ("repeats", *self.sampler_options):
            owners = known[name].owners
            if self.sampler not in (None, *owners) and given[name] != known[name].default:
                raise ValueError(f"{name} belongs to the sampler {' or '.join(owners)}, not to {self.sampler}")

    def _of_samplers(self) -> dict[str, Any]:
        return {"variance": self.variance, "eta": self.eta, "repeats": self.repeats, **self.sampler_options}

    def for_sampler(self) -> dict[str, Any]:
        """The chosen sampler's own options."""
        given = self._of_samplers()
        return {name: given[name] for name in declared(SAMPLERS[self.sampler or "ddpm"]) if name in given}

    def record(self) -> dict[str, Any]:
        """As `config.to_dict`, for files; without `sampler_options` where there are none, as files have always had it."""
        values = configuration.to_dict(self)
        return {name: value for name, value in values.items() if value or name != "sampler_options"}

    def for_model(self, model: Model) -> GenerateOptions:
        """These options with nothing left open: 25 clipped steps of "ddpm", or of the model's own sampler, at guidance 1.5,
        or what a distilled model was distilled to, in what its device is fast in. ValueError for steps or guidance that such
        a model does not know, for a precision that its weights do not have, for a roughness that it does not read, and for
        a counting of steps that its labels do not depend on.
        """
        distilled = model.config.distilled_steps
        if not isinstance(self.roughness, str) and not model.config.network.roughness:
            raise ValueError(
                f"this model does not read how rough a layout is: leave roughness at auto, not {self.roughness:g}, or take "
                "a model that does (layout_end is for any model, but frees the last steps of the whole layout)"
            )
        if self.label_counting is not None and model.config.label_diffusion != "uniform":
            kind = model.config.label_diffusion
            raise ValueError(
                f"label_counting is about uniform label diffusion, and this model's is {kind}: leave it out"
            )
        return replace(
            self,
            steps=self._steps_for(model.config),
            sampler=self.sampler or model.config.sampler or ("ddpm" if distilled is None else "ddim"),
            guidance=self._guidance_for(model.config),
            clip=self.clip if self.clip is not None else distilled is None,
            precision=self._precision_for(model),
        )

    def require_use(self, image: bool, mask: bool) -> None:
        """ValueError if an image, or a mask, that is given has no effect."""
        if mask and not image:
            raise ValueError("a mask says which part of an image to repaint: give the image too")
        if image and not mask and self.strength == 1:
            raise ValueError("at full strength nothing is kept of the image: give a mask too, or a strength below 1")

    def _precision_for(self, model: Model) -> Any:
        from ..devices import AUTO, HALVES, fast_dtype, name_of

        own = model.dtype
        if own not in HALVES:
            return name_of(fast_dtype(model.device)) if self.precision == AUTO else self.precision
        if self.precision not in (AUTO, name_of(own)):
            load = f"load the model with dtype={self.precision!r}"
            raise ValueError(f"the model's weights are in {name_of(own)}: leave the precision at {AUTO}, or {load}")
        return name_of(own)

    def _steps_for(self, config: ModelConfig) -> str | int:
        from ..diffusion.schedules import visited_steps

        own = config.distilled_steps
        if own is None:
            steps = 25 if self.steps is None else self.steps
            visited_steps(config.steps, steps)  # raises for steps that the process does not have
            return steps
        count = len(visited_steps(config.steps, own))
        _require_built_in("steps", f"{count} steps", self.steps, (own, count, str(count)))
        return own

    def _guidance_for(self, config: ModelConfig) -> float:
        own = config.distilled_guidance
        if own is None:
            return 1.5 if self.guidance is None else self.guidance
        _require_built_in("guidance", f"a guidance of {own:g}", self.guidance, (own,))
        return own


def preset(name: Any) -> dict[str, Any]:
    """The options of a preset. ValueError if there is none of that name."""
    if not isinstance(name, str) or name not in PRESETS:
        hint = meant(str(name), PRESETS) or f"choose {' or '.join(PRESETS)}"
        raise ValueError(f"there is no preset {shown(name)}: {hint}")
    return dict(PRESETS[name])


def every_option() -> dict[str, Declared]:
    """All options of sampling, by name: those of `GenerateOptions`, and those that samplers declare, with their owners."""
    return declared(GenerateOptions) | sampler_options()


def _require_built_in(name: str, built_in: str, asked: Any, same: tuple[Any, ...]) -> None:
    if asked is not None and asked not in same:
        advice = f"leave {name} out, or take the model that it was distilled from, instead of asking for {asked}"
        raise ValueError(f"this model was distilled to {built_in} and knows no others: {advice}")
