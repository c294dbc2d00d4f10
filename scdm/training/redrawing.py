"""Small images as another model draws them, of what a rendering shows: for the upsampler that is to add detail to them.

A rendering made small gets noise, and the model of small images takes it away again (SDEdit, Meng et al. 2022): what there
is stays where it is, and what is finer than the noise is the model's own, with its flaws. Noise by itself has other flaws;
what an upsampler makes of those says little of what it makes of a model's images (the first stage of a cascade, drawn to an
early end: Ho et al. 2022, section 4.3).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..datasets import Example
from ..diffusion.upsampling import reduced, small_size
from ..files.untrusted import naming
from ..layouts.labels import LabelMap
from ..layouts.palette import Palette
from ..models.conversion import load
from ..models.model import Model
from ..pipeline import GenerateOptions, generate


@dataclass(frozen=True)
class FirstStage:
    """A model of small images, whose shorter side is `side`, and how many of its `steps` it redraws them in at most."""

    model: Model
    side: int
    steps: int
    most: int

    @classmethod
    def named(cls, name: str, palette: Palette, side: int, share: float) -> FirstStage:
        """By name or path. share: of its steps, at most. ValueError for a model of other classes or small images, or one of
        whose steps that share is none or all."""
        with naming("first_stage"):
            model = load(name)
            model.require_images()
            if model.palette.names != palette.names:
                raise ValueError(f"{name} draws other classes than {palette.name} has")
            if model.upsampler is not None and model.upsampler.config.upsamples != side:
                theirs = model.upsampler.config.upsamples
                raise ValueError(f"the small images of {name} are of {theirs} pixels: set small to that")
            options = GenerateOptions().for_model(model)
            steps = len(model.denoiser.respaced(options.steps or "").schedule)
            if steps < 2:
                raise ValueError(f"{name} takes one step, of which none can be left out: choose one of more steps")
        most = round(share * steps)
        if not 0 < most < steps:
            raise ValueError(
                f"redrawn: a share of {share:g} is {'all' if most else 'none'} of the {steps} steps of {name}: set it to "
                f"{1 / steps:.2g} to {(steps - 1) / steps:.2g}"
            )
        return cls(replace(model, upsampler=None), side, steps, most)

    def redraw(self, small: Tensor, labels: LabelMap, steps: int, seed: int) -> Tensor:
        """Small images (B, 3, h, w) as they are after noise and the model's last `steps` steps. Their layouts are exact."""
        options = GenerateOptions(seed=seed, strength=steps / self.steps)
        if self.model.config.network.roughness:
            options = replace(options, roughness=0.0)
        return generate(self.model, labels, options, image=small)


@dataclass(frozen=True)
class Redrawn(Dataset[Example]):
    """The examples of a stream with the small image that the first stage makes of each: `Example.small`.

    Each draws how many steps that takes, from 0 on. Of those without any the small image is NaN. key: of the random stream.
    """

    stream: Dataset[Example]
    stage: FirstStage
    key: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.stream)  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Example:
        example, stage = self.stream[index], self.stage
        rng = np.random.default_rng((*self.key, example.position))
        steps, seed = int(rng.integers(stage.most + 1)), int(rng.integers(2**63))
        height, width = example.ids.shape
        size = small_size((height, width), stage.side) or (height, width)
        small = reduced(example.image[None], size)
        if not steps:
            return example._replace(small=torch.full_like(small[0], torch.nan))
        edges = None if example.edges is None else example.edges[None]
        labels = LabelMap(example.ids[None], stage.model.palette.num_classes, edges).reduced(*size)
        return example._replace(small=stage.redraw(small, labels, steps, seed)[0])
