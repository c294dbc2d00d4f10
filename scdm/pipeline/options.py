"""How an image is made: every choice that there is, and what a model answers to those left open."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from ..devices import AUTO, HALVES, PRECISIONS, fast_dtype, name_of
from ..diffusion.noise import LABEL_NOISE, LabelNoise
from ..diffusion.samplers import SAMPLERS
from ..diffusion.schedules import visited_steps
from ..files.untrusted import shown
from ..models.model import MOST_GUIDANCE, Model, ModelConfig
from .inputs import is_number, is_whole, require

SINGLE_STEP = ("ddpm", "ddim")  # samplers that can take a step again
MOST_FEATHER = 1024  # pixels; a mask that never gets to fade in repaints nothing


@dataclass(frozen=True)
class GenerateOptions:
    """How an image is made from a layout.

    None is what the model was made for (`for_model`).

    steps: a count (25), "ddim25", "trailing25", or counts for equal sections of the process ("10,15").
    sampler: a key of `samplers.SAMPLERS`.
    guidance: scale of classifier-free guidance, from 1, which is none.
    seed: image i of a batch has the seed `seed` + i, and is the same in any batch.
    label_noise: "fresh" draws at every step as in the paper, "coupled", one draw for the whole way, "none", which
        leaves the layout as it is, or a function of one's own, such as `noise.recorded_label_noise`.
    variance: of "ddpm", see there; "learned" is "fixed_large" for a model that has not learned it.
    clip: whether the prediction is cut to [-1, 1].
    dynamic_threshold: quantile such as 0.95, by which it is scaled to that range instead.
    extrapolation: weight, 0 is none; with `repeats`, all of a step's go by the step before.
    mean, std: colour statistics (3 values each in [-1, 1] units) to hold the prediction to, or None.
    eta: share of fresh noise in "ddim", 0 to 1.
    strength: with an image, how much of the way is walked: 1 from pure noise, which keeps nothing but what a mask protects,
        0.3 changes little.
    repeats: times that each step is taken, to harmonise an inpainted seam ("ddpm" and "ddim").
    feather: pixels over which the inpainted part fades in, inside the mask.
    precision: "float32", "bfloat16", "float16", or "auto", what the model's device is fast and safe in (`fast_dtype`).
        Weights that are in half precision already are computed with as they are; of others, each is rounded when used.
    """

    steps: str | int | None = None
    sampler: str | None = None
    guidance: float | None = None
    seed: int = 0
    label_noise: str | LabelNoise = "fresh"
    variance: Literal["learned", "fixed_large", "fixed_small"] = "learned"
    clip: bool | None = None
    dynamic_threshold: float | None = None
    extrapolation: float = 0.0
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    eta: float = 0.0
    strength: float = 1.0
    repeats: int = 1
    feather: float = 0.0
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"

    def __post_init__(self) -> None:
        require(
            self.sampler in (None, *SAMPLERS),
            f"no sampler is called {shown(self.sampler)}; there are {', '.join(SAMPLERS)}",
        )
        known = callable(self.label_noise) or self.label_noise in tuple(LABEL_NOISE)
        require(known, f"label noise is {' or '.join(LABEL_NOISE)}, not {shown(self.label_noise)}")
        require(
            self.variance in ("learned", "fixed_large", "fixed_small"),
            f"the variance is learned, fixed_large or fixed_small, not {shown(self.variance)}",
        )
        counted = self.steps is None or (isinstance(self.steps, str) and self.steps.strip()) or is_whole(self.steps, 1)
        require(
            bool(counted), f"steps must be at least 1, not {shown(self.steps)}: a whole number, or a text like ddim25"
        )
        require(
            is_whole(self.seed, 0, 2**64 - 1), f"a seed is a whole number from 0 to 2^64 - 1, not {shown(self.seed)}"
        )
        require(is_whole(self.repeats, 1, 100), f"repeats is a whole number from 1 to 100, not {shown(self.repeats)}")
        require(
            self.guidance is None or is_number(self.guidance, 1, MOST_GUIDANCE),
            f"guidance is a scale from 1, which is none, to {MOST_GUIDANCE}, not {shown(self.guidance)}: leave it out for "
            "what the model was made for",
        )
        require(self.clip in (None, True, False), f"clip is true, false or None, not {shown(self.clip)}")
        quantile = self.dynamic_threshold
        require(
            quantile is None or (is_number(quantile, 0, 1) and quantile > 0),
            f"a dynamic threshold is a quantile in (0, 1], not {shown(quantile)}",
        )
        require(
            is_number(self.extrapolation, 0, 10),
            f"extrapolation is a weight from 0 to 10, not {shown(self.extrapolation)}",
        )
        require((self.mean is None) == (self.std is None), "colour statistics need both mean and std")
        for values, low in ((self.mean, -1), (self.std, 0)):
            three = isinstance(values, tuple | list) and len(values) == 3 and all(is_number(v, low, 1) for v in values)
            require(
                values is None or three,
                f"colour statistics are three numbers each, for red, green and blue from -1 to 1, not {shown(values)}",
            )
        require(is_number(self.eta, 0, 1), f"eta is a share from 0 to 1, not {shown(self.eta)}")
        require(
            is_number(self.strength, 0, 1) and self.strength > 0,
            f"strength is a share in (0, 1], not {shown(self.strength)}",
        )
        single = self.repeats == 1 or self.sampler in (None, *SINGLE_STEP)
        require(single, f"only {' and '.join(SINGLE_STEP)} can repeat steps, {self.sampler} cannot")
        require(
            is_number(self.feather, 0, MOST_FEATHER),
            f"feather is a number of pixels from 0 to {MOST_FEATHER}, not {shown(self.feather)}",
        )
        require(
            self.precision in (AUTO, *PRECISIONS),
            f"precision is {AUTO}, {', '.join(PRECISIONS)}, not {shown(self.precision)}",
        )

    def for_model(self, model: Model) -> GenerateOptions:
        """These options with nothing left open: 25 clipped steps of "ddpm" at guidance 1.5, or what a distilled model was
        distilled to, in what its device is fast in. ValueError for steps or guidance that such a model does not know, and
        for a precision that its weights do not have.
        """
        distilled = model.config.distilled_steps
        return replace(
            self,
            steps=self._steps_for(model.config),
            sampler=self.sampler or ("ddpm" if distilled is None else "ddim"),
            guidance=self._guidance_for(model.config),
            clip=self.clip if self.clip is not None else distilled is None,
            precision=self._precision_for(model),
        )

    def require_use(self, image: bool, mask: bool) -> None:
        """ValueError if nothing would come of an image, or of a mask, that is given."""
        require(image or not mask, "a mask says which part of an image to repaint: give the image too")
        require(
            mask or not image or self.strength < 1,
            "at full strength nothing is kept of the image: give a mask too, a strength below 1, or no image",
        )

    def _precision_for(self, model: Model) -> Any:
        own = model.dtype
        if own not in HALVES:
            return name_of(fast_dtype(model.device)) if self.precision == AUTO else self.precision
        require(
            self.precision in (AUTO, name_of(own)),
            f"the model's weights are in {name_of(own)}: leave the precision at {AUTO}, or load the model in "
            f"{self.precision} (scdm.load(..., dtype={self.precision!r}))",
        )
        return name_of(own)

    def _steps_for(self, config: ModelConfig) -> str | int:
        own = config.distilled_steps
        if own is None:
            steps = 25 if self.steps is None else self.steps
            visited_steps(config.steps, steps)  # objects to what the process does not have
            return steps
        count = len(visited_steps(config.steps, own))
        require(
            self.steps in (None, own, count, str(count)),
            f"this model was distilled to {count} steps and knows no others: leave steps out, or take the model that it was "
            f"distilled from, instead of asking for {self.steps}",
        )
        return own

    def _guidance_for(self, config: ModelConfig) -> float:
        own = config.distilled_guidance
        if own is None:
            return 1.5 if self.guidance is None else self.guidance
        require(
            self.guidance in (None, own),
            f"this model has a guidance of {own:g} built in: leave guidance out, or take the model that it was distilled "
            f"from, instead of asking for {self.guidance}",
        )
        return own
