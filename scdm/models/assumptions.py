"""What the weights of published models do not show. Free of torch, as `scdm convert --help` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from ..diffusion.parametrization import PARAMETRIZATIONS
from ..files.options import Option, check_fields
from ..layouts.palette import Palette


@dataclass(frozen=True)
class Assumptions:
    """What weights do not show. None is "as published", by the rule given.

    palette: the classes. As published: 151 label channels are ADE20K's, 184 COCO-Stuff's, 20 CelebAMask-HQ's, 36
        Cityscapes', and 16 with three outputs the landscapes of sparse layouts; other counts need a palette.
    label_diffusion: "none" is SDM, the others SCDM, with weights that look the same. As published: "classwise" for the
        data sets that SCDM was released for (SDM's own models of these need "none"), "none" for all others.
    class_rates: of class-wise label diffusion. As published: those that come with the package for the palette.
    size: (height, width) of the training images. As published: 256x256, Cityscapes 256x512.
    head_channels, heads, heads_up, qkv_order: of attention, see `UNetConfig`. heads and heads_up count where head_channels
        is None.
    prediction, noise_schedule, steps: the process that it was trained on, see `ModelConfig`. As published: eps on 1000
        linear steps; models of sparse layouts v on 1024 cosine ones.
    entry: which network it is, where a file holds several: "ema", or with the entries that it lies in, "state_dict.ema".
    """

    palette: Palette | None = None
    label_diffusion: Annotated[
        Literal["none", "uniform", "classwise"] | None,
        Option("label diffusion that it was trained with", unset="as published for its classes"),
    ] = None
    class_rates: tuple[float, ...] | None = None
    size: tuple[int, int] | None = None
    head_channels: Annotated[int | None, Option("width of its attention heads", ge=1, metavar="N")] = 64
    heads: Annotated[int, Option("number of attention heads, where every level has as many", ge=1, metavar="N")] = 4
    qkv_order: Annotated[Literal["head_major", "qkv_major"], Option("how its attention is laid out")] = "head_major"
    heads_up: Annotated[
        int | None, Option("heads in the decoder, with --heads", ge=1, metavar="N", unset="as many as in the encoder")
    ] = None
    prediction: Annotated[
        str | None, Option("what it predicts", choices=PARAMETRIZATIONS, unset="eps; of sparse layouts v")
    ] = None
    noise_schedule: Annotated[
        Literal["linear", "cosine"] | None,
        Option("noise schedule that it was trained on", unset="linear; of sparse layouts cosine"),
    ] = None
    steps: Annotated[
        int | None, Option("steps of its process", ge=1, metavar="N", unset="1000; of sparse layouts 1024")
    ] = None
    entry: Annotated[
        str | None,
        Option(
            "which network, where the file holds several, such as model and ema", metavar="NAME", unset="the only one"
        ),
    ] = None

    def __post_init__(self) -> None:
        check_fields(self)


AS_PUBLISHED = Assumptions()
