"""How sharply images follow the borders of their layouts, beside renderings of the same scenes.

    python benchmarks/borders.py scenes runs/scenes/model.safetensors --size 256 --layouts 16

At a border between two classes the colour changes. The table says where: the share of the change that lies between the two
pixels of the border itself, and within a pixel on either side; the rest is blur, or an edge in another place. Images as
sharp as the renderings have their shares; a network that knows borders only to its patches of p pixels spreads it over p.
"Within patches" are the borders that do not lie where patches meet. "Beside" is the mean absolute difference of neighbouring
pixels away from borders, as a multiple of the renderings': above 1 is grain, below 1 is blur.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("borders")  # before torch is loaded

import sys
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from scdm.datasets.scenes import Scenes
from scdm.files.arguments import Parser
from scdm.layouts.labels import LabelMap
from scdm.models.conversion import load
from scdm.models.model import Model
from scdm.pipeline import GenerateOptions, generate
from scdm.training.command import ending

REACH = 4  # pixels on either side of a border, of one class each
HEADER = "| images | at the border | within a pixel | within patches | beside |\n| --- | --- | --- | --- | --- |"


class Borders(NamedTuple):
    """Sums over borders, which add up over images.

    spread: (2 * REACH - 1,) the change of colour between neighbouring pixels across a border, along the whole change, from
        REACH - 1 pixels before it to as many behind it: the line spread function of the edge, times `contrast`.
    within: the same of the borders within patches. contrast, contrast_within: the squared whole changes.
    beside, pixels: absolute differences of neighbours of one class with no border in reach, and their number.
    """

    spread: Tensor
    contrast: Tensor
    within: Tensor
    contrast_within: Tensor
    beside: Tensor
    pixels: Tensor

    def plus(self, other: Borders) -> Borders:
        return Borders(*(own + more for own, more in zip(self, other, strict=True)))


@ending("borders")
def main() -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("models", nargs="+", help="embedded names or files")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--layouts", type=int, default=8, help="scenes, each on every model")
    parser.add_argument("--seed", type=int, default=3, help="of the series of scenes, which no training has")
    parser.add_argument("--steps", help="those that the model is visited at, as in scdm sample")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    scenes = Scenes(arguments.layouts, arguments.seed, (arguments.size, arguments.size))
    images, ids = (torch.stack(part) for part in zip(*(scenes[i] for i in range(len(scenes))), strict=True))
    print(f"{arguments.layouts} scenes of {arguments.size}x{arguments.size} pixels\n\n{HEADER}")
    for name in arguments.models:
        model = load(name, arguments.device)
        patch = getattr(model.config.network, "patch", 1)
        reference = measured(images, ids, patch)
        print(row(f"renderings, patches of {patch}", reference, reference))
        options = GenerateOptions(steps=arguments.steps)
        made = torch.cat([sample(model, ids[i : i + 1], options, seed=i) for i in range(len(ids))])
        print(row(name, measured(made, ids, patch), reference), flush=True)
    return 0


def sample(model: Model, ids: Tensor, options: GenerateOptions, seed: int) -> Tensor:
    return generate(model, LabelMap(ids, model.palette.num_classes), replace(options, seed=seed))


def row(name: str, found: Borders, reference: Borders) -> str:
    spread, within = found.spread / found.contrast, (found.within / found.contrast_within)[REACH - 1]
    beside = (found.beside / found.pixels) / (reference.beside / reference.pixels)
    near = spread[REACH - 2 : REACH + 1].sum()
    return f"| {name} | {spread[REACH - 1]:.3f} | {near:.3f} | {'-' if within.isnan() else f'{within:.3f}'} | {beside:.2f} |"


def measured(images: Tensor, ids: Tensor, patch: int) -> Borders:
    """Of images (B, 3, H, W) of layouts (B, H, W), along rows and along columns."""
    images = images.double()
    rows, columns = _along_rows(images, ids, patch), _along_rows(images.mT, ids.mT, patch)
    return rows.plus(columns)


def _along_rows(images: Tensor, ids: Tensor, patch: int) -> Borders:
    colours = images.unfold(-1, 2 * REACH, 1).movedim(1, -1)  # (B, H, N, 2 * REACH, 3)
    classes = ids.unfold(-1, 2 * REACH, 1)  # (B, H, N, 2 * REACH)
    left, right = classes[..., :REACH], classes[..., REACH:]
    pure = (left == left[..., :1]).all(-1) & (right == right[..., :1]).all(-1)
    edge = pure & (left[..., 0] != right[..., 0])
    places = torch.arange(classes.shape[2]) + REACH  # the first pixel behind the border
    inside = edge & (places % patch != 0)
    steps = colours.diff(dim=-2)  # (B, H, N, 2 * REACH - 1, 3)
    change = colours[..., -2:, :].mean(-2) - colours[..., :2, :].mean(-2)  # away from what blurs at the border
    spread = (steps * change[..., None, :]).sum(-1)  # (B, H, N, 2 * REACH - 1)
    contrast = change.square().sum(-1)
    flat = steps[pure & ~edge][:, REACH - 1].abs()
    return Borders(
        spread[edge].sum(0),
        contrast[edge].sum(),
        spread[inside].sum(0),
        contrast[inside].sum(),
        flat.sum(),
        torch.tensor(flat.numel(), dtype=torch.float64),
    )


if __name__ == "__main__":
    sys.exit(perform(main))
