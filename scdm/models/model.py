"""A model: a network, what its output means, and the classes it was taught."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import torch
from torch import nn

from ..devices import device_called, dtype_called
from ..diffusion.denoiser import Denoiser
from ..diffusion.label_diffusion import LabelDiffusion
from ..diffusion.limits import MOST_GUIDANCE, LabelCounting, LabelResolution, NoiseShift
from ..diffusion.parametrization import PARAMETRIZATIONS
from ..diffusion.samplers import SAMPLERS
from ..diffusion.schedules import BETAS, NoiseSchedule, visited_steps
from ..diffusion.space import SPACES, Space
from ..diffusion.upsampling import small_size
from ..files import config as configuration
from ..files.options import Option, check_fields
from ..files.untrusted import shown
from ..layouts.labels import LabelMap, instance_borders, require_same_classes
from ..layouts.palette import Palette
from ..layouts.roughness import RoughnessEstimator
from ..networks import Compiled, Network, NetworkConfig, build
from .sizes import TaughtSizes

MOST_SIDE = 8192  # along a side


@dataclass(frozen=True)
class ModelConfig:
    """All that defines a model but its weights.

    size: (height, width) in pixels that it was trained at.
    sizes: all of them, where there are more than `size` (`taught`).
    noise_schedule, steps: the process it was trained on (`NoiseSchedule.named`).
    label_diffusion: "none" is plain SDM; "uniform" and "classwise" are SCDM, the latter with `class_rates`.
    label_resolution: None, or the height of the images at which label diffusion masks a pixel as published; at any other it
        leaves as much of the layout (`LabelDiffusion.resolution`).
    label_counting: what uniform label diffusion counts where sampling visits few steps: these, or the original ones.
    distilled_steps: None, or the visits that the model was distilled to, as `visited_steps` reads them: "trailing4", or
        "ddim32" for the published ones. It knows no others, its x0 is not clipped, and at each it sees the layout of the
        next (`LabelDiffusion.at_next_timestep`).
    distilled_guidance: the scale of guidance that was distilled in, None for a model that is still to be guided.
    noise_shift: of the signal-to-noise ratio (`NoiseSchedule.named`).
    upsamples: of an upsampler, the shorter side of the small images that it was trained to add detail to; None for a model
        that makes images by itself.
    sampler: the one that its images are best by, which is taken where none is chosen; None for the published choice.
    window: side of the windows of larger images that it was trained in, None for a model that knows only whole images. Of a
        network that reads the height of the whole (`UNetConfig.sized`), edits need not compute more than such a window.
    """

    network: NetworkConfig
    size: Annotated[tuple[int, int], Option("(height, width)", ge=1, le=MOST_SIDE, unit="pixels")]
    noise_schedule: Annotated[str, Option("of the process", choices=BETAS)] = "linear"
    steps: Annotated[int, Option("of the process", ge=1, le=100_000)] = 1000
    prediction: Annotated[str, Option("the meaning of the network's output", choices=PARAMETRIZATIONS)] = "eps"
    label_diffusion: Annotated[Literal["none", "uniform", "classwise"], Option("which diffuses layouts")] = "classwise"
    class_rates: Annotated[tuple[float, ...] | None, Option("of class-wise label diffusion", ge=0)] = None
    distilled_steps: str | None = None
    distilled_guidance: Annotated[float | None, Option("a scale", ge=1, le=MOST_GUIDANCE)] = None
    noise_shift: NoiseShift = configuration.implied(1.0)  # noqa: RUF009  (`implied` makes a field)
    space: Annotated[str, Option("where samples live", choices=SPACES)] = configuration.implied("pixels")
    label_resolution: LabelResolution = configuration.implied(None)  # noqa: RUF009  (`implied` makes a field)
    label_counting: LabelCounting = configuration.implied("visits")  # noqa: RUF009
    window: Annotated[
        int | None, Option("side of the windows that it was trained in", ge=1, le=MOST_SIDE, unit="pixels")
    ] = configuration.implied(None)
    upsamples: Annotated[
        int | None, Option("shorter side of the small images that it adds detail to", ge=1, le=MOST_SIDE, unit="pixels")
    ] = configuration.implied(None)
    sampler: Annotated[
        str | None,
        Option("of its images, unless one is chosen", choices=SAMPLERS, unset="ddpm, of distilled models ddim"),
    ] = configuration.implied(None)
    sizes: Annotated[
        tuple[tuple[int, int], ...],
        Option("all (height, width) that it was trained at", ge=1, le=MOST_SIDE, unit="pixels"),
    ] = configuration.implied(())

    def __post_init__(self) -> None:
        check_fields(self, "a model's ")
        if (self.label_diffusion == "classwise") != (self.class_rates is not None):
            raise ValueError("class-wise label diffusion, and only that, needs class rates")
        if self.class_rates is not None and len(self.class_rates) != self.network.num_classes:
            count, classes = len(self.class_rates), self.network.num_classes
            raise ValueError(f"there are {count} class rates for {classes} classes: give one for each")
        if (channels := SPACES[self.space].channels) != self.network.image_channels:
            held = f"samples of {channels} channels, the network takes {self.network.image_channels}"
            raise ValueError(f"the space {self.space} has {held}: choose a space and a network that fit")
        if (self.upsamples is None) == self.network.upsamples:
            raise ValueError("a network that is given small images, and only that, needs their side: set upsamples")
        for height, width in self.taught.sizes:
            if height % self.stride or width % self.stride:
                raise ValueError(f"the sides of a model's images are multiples of {self.stride}, not {height}x{width}")
        if self.sizes and self.size not in self.sizes:
            raise ValueError(f"the sizes of a model's images are all of them, also its size {self.size}")
        if self.window is not None and self.window % self.stride:
            raise ValueError(f"the side of a model's windows is a multiple of {self.stride}, not {self.window}")
        NoiseSchedule.named(self.noise_schedule, self.steps, self.noise_shift)  # raises for too few steps
        try:
            visited_steps(self.steps, self._distilled_to)
        except ValueError as error:
            steps = shown(self.distilled_steps)
            raise ValueError(f"a model cannot be distilled to the steps {steps}: {error}") from error

    @property
    def _distilled_to(self) -> str:
        """As `visited_steps` reads it: "" is all steps."""
        return "" if self.distilled_steps is None else self.distilled_steps.strip() or "no steps"

    @property
    def taught(self) -> TaughtSizes:
        return TaughtSizes(self.sizes or (self.size,))

    @property
    def stride(self) -> int:
        """The sides of images are padded to multiples of this many pixels: the network's stride times that of the space."""
        return self.network.stride * SPACES[self.space].stride

    @property
    def label_cell(self) -> int:
        """Side in pixels of the squares of a layout of which the network reads one label at most."""
        return self.network.label_cell * SPACES[self.space].stride

    def denoiser(self, network: Any) -> Denoiser:
        """What `network`, the configured one or a wrapper of it, means under this configuration."""
        schedule = NoiseSchedule.named(self.noise_schedule, self.steps, self.noise_shift)
        diffusion = None
        if self.label_diffusion != "none":
            visits = visited_steps(self.steps, self._distilled_to)
            distilled = self.distilled_steps is not None
            diffusion = LabelDiffusion(
                self.class_rates,
                tuple(visits.tolist()),
                at_next_timestep=distilled,
                steps=self.steps if self.label_counting == "steps" else None,
                resolution=self.label_resolution and self.label_resolution * self.label_cell,
            )
        return Denoiser(network, schedule, diffusion, self.prediction, SPACES[self.space])


@dataclass(frozen=True)
class Model:
    """A network with its meaning, its classes, and where it comes from (`provenance`: data, steps, licence, ...).

    roughness: estimates how rough a layout is, for networks that read it; None in files without an estimator.
    upsampler: a model of its own that adds detail to larger images, which this one makes small; None where it makes all.
    """

    config: ModelConfig
    palette: Palette
    network: Network
    provenance: dict[str, Any] = field(default_factory=dict)
    roughness: RoughnessEstimator | None = None
    upsampler: Model | None = None

    @classmethod
    def new(cls, config: ModelConfig, palette: Palette, operations: Any = nn, **provenance: Any) -> Model:
        """An untrained model. ValueError if the palette has other classes than the network."""
        require_same_classes(f"palette {palette.name}", palette.num_classes, "the network", config.network.num_classes)
        return cls(config, palette, build(config.network, operations=operations), provenance)

    def prepared(self, labels: LabelMap) -> LabelMap:
        """The layout as this model reads it: with the borders that came with it, else those between its classes, or with
        none. ValueError if it has other classes than the model, ids that are none, or a roughness outside of [0, 1].
        """
        advice = f"read it with the palette {self.palette.name}"
        require_same_classes("the layout", labels.num_classes, "the model", self.palette.num_classes, advice)
        LabelMap.checked(labels.ids, labels.num_classes)
        _require_roughness(labels.roughness)
        if not self.config.network.edges:
            return replace(labels, edges=None)
        return labels if labels.edges is not None else replace(labels, edges=instance_borders(labels.ids))

    def small_size(self, size: tuple[int, int]) -> tuple[int, int] | None:
        """The (height, width) at which this model makes images of `size` before its upsampler adds detail; None where it
        makes them at once."""
        if self.upsampler is None or self.upsampler.config.upsamples is None:
            return None
        return small_size(size, self.upsampler.config.upsamples)

    def require_images(self) -> None:
        """ValueError for an upsampler, which makes no images by itself."""
        if self.config.upsamples is not None:
            raise ValueError(
                "an upsampler adds detail to another model's images: make one model of both with training/join_upsampler.py"
            )

    def upsampled_by(self, upsampler: Model) -> Model:
        """This model, whose larger images are made in two stages: it knows the sizes of both. ValueError for a model that is
        no upsampler, or one for other classes, and if this one is an upsampler itself."""
        if upsampler.config.upsamples is None:
            raise ValueError("this model is no upsampler: training/train_upsampler.py trains one")
        self.require_images()
        upsampler.palette.require_same(self.palette, "the upsampler", "the model")
        sizes = dict.fromkeys((*self.config.taught.sizes, *upsampler.config.taught.sizes))
        return replace(self, config=replace(self.config, sizes=tuple(sizes)), upsampler=upsampler)

    def digest(self) -> str:
        """SHA-256 of the weights and of what the configuration says of them, which tells this model from any other.

        Settings at their defaults are left out, so that it stays the same when there are more of them.
        """
        settings = _with_whole_numbers(configuration.non_defaults(self.config))
        return self._digest(json.dumps(settings, sort_keys=True))

    def is_known_as(self, digest: object) -> bool:
        """Whether this is the model's digest, or the one that version 0.1.0 gave it."""
        return digest == self.digest() or digest == self._digest(_described_before(self.config))

    def _digest(self, settings: str) -> str:
        digest = hashlib.sha256(settings.encode())
        for name, weight in self.network.state_dict().items():
            digest.update(name.encode())
            digest.update(weight.detach().float().cpu().numpy().tobytes())
        if self.upsampler is not None:
            digest.update(self.upsampler.digest().encode())
        return digest.hexdigest()

    @property
    def space(self) -> Space:
        """Where its samples live, and how they become images."""
        return SPACES[self.config.space]

    @property
    def denoiser(self) -> Denoiser:
        return self.config.denoiser(self.network)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """What the network computes in, but for autocast: as a rule, that of its weights."""
        return self.network.dtype

    def to(self, device: torch.device | str, dtype: str | torch.dtype | None = None) -> Model:
        """Moves the network (in place, as torch does), casts its weights if they are to be of another type, and lays them
        out for fast convolutions. ValueError for devices and types that cannot be had (`devices`)."""
        self.network.placed(device_called(device), None if dtype is None else dtype_called(dtype))
        if self.upsampler is not None:
            self.upsampler.to(device, dtype)
        return self

    def compiled(self, backend: str = "inductor", dynamic: bool | None = None) -> Model:
        """The same model with a network, of the same weights, that runs compiled: encoder and decoder, a graph each.

        It is compiled at the first call for each batch and size, which takes a minute and more (`backend`, `dynamic`: see
        `torch.compile`): ValueError there if torch cannot compile. It pays where many images of one size are made. torch
        keeps a few variants in a process; further ones run uncompiled, with a warning.
        """
        upsampler = self.upsampler and self.upsampler.compiled(backend, dynamic)
        return replace(self, network=Compiled.of(self.network, backend, dynamic), upsampler=upsampler)


def _require_roughness(roughness: torch.Tensor | None) -> None:
    if roughness is None:
        return
    wrong = roughness[(roughness < 0) | (roughness > 1)]  # nan, of an unknown one, is neither
    if wrong.numel():
        raise ValueError(
            f"the roughness of a layout is from 0 to 1, or nan where it is unknown, not {wrong[0].item():g}: scale it"
        )


def _with_whole_numbers(settings: Any) -> Any:
    """2.0 as 2, to which it is equal."""
    if isinstance(settings, dict):
        return {name: _with_whole_numbers(value) for name, value in settings.items()}
    if isinstance(settings, list):
        return [_with_whole_numbers(value) for value in settings]
    return int(settings) if isinstance(settings, float) and settings.is_integer() else settings


BEFORE = {  # the settings of version 0.1.0, whose `repr` was part of the digest
    "ModelConfig": (
        *("network", "size", "noise_schedule", "steps", "prediction", "label_diffusion", "class_rates"),
        *("distilled_steps", "distilled_guidance"),
    ),
    "UNetConfig": (
        *("num_classes", "edges", "channels", "channel_mult", "res_blocks", "attention", "head_channels", "heads"),
        *("heads_up", "qkv_order", "scale_shift_norm", "resblock_updown", "hidden", "dropout", "learn_sigma"),
    ),
}


def _described_before(config: Any) -> str:
    kind = type(config).__name__
    if kind not in BEFORE:
        return repr(config)
    new = {name: value for name, value in configuration.non_defaults(config).items() if name not in BEFORE[kind]}
    known = ", ".join(f"{name}={_described_before(getattr(config, name))}" for name in BEFORE[kind])
    return f"{kind}({known}{f', {new}' if new else ''})"
