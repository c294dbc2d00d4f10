"""Bounds and names that settings share with what they set. Free of torch, so that `--help` is."""

from __future__ import annotations

from typing import Annotated, Literal

from ..files.options import Option

MOST_GUIDANCE = 100
CLASSWISE_STEPS = 1000  # class-wise label diffusion counts t in thousandths, whatever the length of the process
MOST_RESOLUTION = 8192
LABEL_NOISE_KINDS = ("fresh", "coupled", "none")  # the keys of `noise.LABEL_NOISE`

# Of label diffusion, in training configurations, model files and options of sampling.
LabelResolution = Annotated[
    int | None,
    Option(
        "height of the images at which a pixel of the layout is masked as published, 256 for the published models; at any "
        "other one with the probability that all pixels are masked that it stands for there",
        ge=1,
        le=MOST_RESOLUTION,
        unit="pixels",
        unset="as published at every size",
    ),
]
# Of processes, in training configurations and model files: for images of a 64th to 64 times the side of the base's.
NoiseShift = Annotated[
    float,
    Option("factor of the root of the signal-to-noise ratio at every step (Hoogeboom et al. 2023)", ge=1 / 64, le=64),
]
LabelCountingKind = Literal["visits", "steps"]
LabelCounting = Annotated[
    LabelCountingKind,
    Option(
        "what uniform label diffusion counts when sampling visits few steps: the visits, as published, the last of which "
        "hides 1 / visits of the layout, or the original steps, as in training"
    ),
]
