"""Label diffusion: the higher the noise, the more pixels of the layout are absorbed into MASK (SCDM, section 4)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from .. import assets
from ..devices import Table, exact_device, sent
from ..files.options import Option, check, declared
from ..layouts.labels import LabelMap
from .limits import CLASSWISE_STEPS


@dataclass(frozen=True)
class LabelDiffusion:
    """Discrete absorbing diffusion of a layout's labels, always from the clean layout.

    rates: one number a class, psi * phi of the paper's class-wise schedule: the larger, the more slowly a class fades at
        first; at or below 1 it fades linearly. None is the uniform schedule, which fades all classes alike.
    timesteps: the steps that the process visits (ascending, original scale). The uniform schedule counts positions in
        this list; the class-wise one reads only the original step.
    steps: None, or how many steps the whole process has, of which the uniform schedule then counts the original ones: few
        visits end with as little hidden as all of them, (t + 1) / steps, and not 1 / visits as published.
    resolution: None, or the height of the images at which pixels are masked with these probabilities. A pixel of an image
        of height h then stands for (resolution / h)^2 of theirs, and is MASK when all of these are: with the probability
        p^((resolution / h)^2). Still an absorbing process, whose schedule alone is another one.
    at_next_timestep: mask the layout at each step as at the next timestep of sampling, the visited step below, and not at
        all at the last one. Distilled models see it so (`training.distillation`): one of their steps stands for many, of
        which the last see more of the layout than the first.
    """

    rates: tuple[float, ...] | None = None
    timesteps: tuple[int, ...] = tuple(range(1000))
    at_next_timestep: bool = False
    steps: int | None = None
    resolution: float | None = None

    # Tables stay on a device from step to step. `_next` holds the next timestep by position; position 0 has none.
    _rates: Table = field(init=False, repr=False, compare=False)
    _visits: Table = field(init=False, repr=False, compare=False)
    _next: Table = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.rates is not None and not all(np.isfinite(rate) and rate >= 0 for rate in self.rates):
            raise ValueError("class rates must be finite and not negative")
        if self.resolution is not None and not 0 < self.resolution < np.inf:
            raise ValueError(f"the resolution of label diffusion must be a height above 0, not {self.resolution}")
        tables = {
            "_rates": np.array(self.rates or (), dtype=np.float64),
            "_visits": np.array(self.timesteps, dtype=np.int64),
            "_next": np.array((0, *self.timesteps), dtype=np.int64),
        }
        for name, values in tables.items():
            object.__setattr__(self, name, Table(values))

    def respaced(self, timesteps: Sequence[int] | np.ndarray) -> LabelDiffusion:
        """The same schedule for a process that visits only these original steps."""
        return replace(self, timesteps=tuple(int(step) for step in timesteps))

    def mask_probability(self, t: Tensor, num_classes: int, height: int | None = None) -> Tensor:
        """(B,) original steps -> (B, num_classes) float64, the probability that a pixel of a class is MASK at t.

        height: of the whole image in pixels; None for the probability at `resolution`.
        """
        p = self._probability_seen(t, num_classes)
        return p if self.resolution is None or height is None else p ** (self.resolution / height) ** 2

    def _probability_seen(self, t: Tensor, num_classes: int) -> Tensor:
        if not self.at_next_timestep:
            return self._probability_at(t, num_classes)
        index = self._visits.index_of(t)
        following = self._next.on(torch.int64, t.device)[index]
        return self._probability_at(following, num_classes).masked_fill((index == 0)[:, None], 0)

    def _probability_at(self, t: Tensor, num_classes: int) -> Tensor:
        """Uniform: (i + 1) / N at the position i of t, or (t + 1) / `steps`.

        Class-wise: (r^tau - 1) / (r - 1) for the rate r, tau = t / 1000.
        """
        if self.rates is None:
            done, of = (self._visits.index_of(t), len(self.timesteps)) if self.steps is None else (t, self.steps)
            share = (done.double() + 1) / of
            return share[:, None].expand(-1, num_classes)
        if len(self.rates) != num_classes:
            raise ValueError(f"there are class rates for {len(self.rates)} classes, the layout has {num_classes}")
        # tau is single precision and the rest double: the published rounding, to the digit.
        tau = (t.float() / CLASSWISE_STEPS).double()[:, None]
        rate = self._rates.on(torch.float64, t.device)[None]
        # With its 1e-7 the published formula has a pole just below 1, where the limit is tau; below 1 tau is the minimum.
        return torch.where(rate > 1 + 1e-6, torch.minimum((rate**tau - 1) / (rate - 1 + 1e-7), tau), tau)

    def __call__(self, labels: LabelMap, t: Tensor, u: Tensor, height: int | None = None) -> LabelMap:
        """The layout at the original steps t (B,), given uniform draws u (B, H, W) in [0, 1).

        height: of the whole images in pixels, where the layouts are windows of them.
        Nothing is read back from a device. For MPS, which has no float64, t should be on the host.
        """
        device = labels.ids.device
        t = sent(t, exact_device(device))
        keep = 1 - self.mask_probability(t, labels.num_classes, height or labels.height)  # (B, C)
        keep = torch.cat([keep, torch.zeros_like(keep[:, :1])], dim=1)  # MASK stays MASK
        if device.type == "mps":
            keep = keep.float()
        keep = sent(keep, device)
        keep_here = keep.gather(1, labels.ids.flatten(1)).view_as(labels.ids)  # (B, H, W)
        return labels.masked(keep_here + sent(u, device) < 1)


def estimate_rates(
    pixel_share: np.ndarray,
    image_share: np.ndarray,
    rarity: Annotated[
        Literal["logarithm", "none"],
        Option("how much longer classes last that few images hold: by ln(1 / share of the images), but at least 1"),
    ] = "logarithm",
    coverage: Annotated[
        Literal["present", "all"], Option("of which images a class's area is a mean: of those that hold it, or of all")
    ] = "present",
    scale: Annotated[float, Option("factor of all rates", gt=0, le=1000)] = 1.0,
    temperature: Annotated[
        float,
        Option("root that is taken of all rates: the higher, the nearer to uniform label diffusion", gt=0, le=100),
    ] = 1.0,
) -> tuple[float, ...]:
    """Class-wise rates from statistics of a data set: scale * (rarity / coverage)^(1 / temperature).

    pixel_share: (C,) share of all pixels; image_share: (C,) share of the images that contain the class. Its coverage is the
    mean share of pixels in those, pixel_share / image_share, or in all images. A class that never occurs gets 0.5, as
    published. How near this is to the published rates is said in `datasets.statistics`. ValueError for settings that are out
    of range.
    """
    settings = {"rarity": rarity, "coverage": coverage, "scale": scale, "temperature": temperature}
    check(settings, declared(estimate_rates))
    pixel_share, image_share = np.asarray(pixel_share, dtype=np.float64), np.asarray(image_share, dtype=np.float64)
    seen = (pixel_share > 0) & (image_share > 0)
    pixels, images = pixel_share[seen], image_share[seen]
    rare = np.maximum(1, -np.log(images)) if rarity == "logarithm" else 1
    covered = pixels / images if coverage == "present" else pixels
    rates = np.full(len(pixel_share), 0.5)
    rates[seen] = scale * (rare / covered) ** (1 / temperature)
    return tuple(rates.tolist())


def shipped_rates(name: str) -> tuple[float, ...]:
    """The rates that come with the package: the published ones, and those of `scenes`. ValueError for another name."""
    folder = assets.folder() / "class_rates"
    names = sorted(file.name[: -len(".json")] for file in folder.iterdir() if file.name.endswith(".json"))
    if name not in names:
        raise ValueError(f"no class rates are called {name!r}; there are {', '.join(names)}")
    return tuple(json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["psiphi"])
