"""What an upsampler makes of renderings' own small images, step by step and class by class.

    python benchmarks/detail.py scenes-fast --size 512 --layouts 8 --showing road building --sheet detail.png

The second stage by itself: what is wrong here is the upsampler's, and what is right here and wrong in images is the first
stage's. The table has the squared error beside the rendering, of the small image enlarged and of the prediction after each
step: of structure, such as the lines of a road, it is below that of the enlarged image, or the upsampler has learned nothing
of it; of texture, such as leaves, it is above, since they are others at other places. The sheet has the rendering, the
enlarged image and the predictions.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("detail")  # before torch is loaded

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scdm.datasets.scene_set import scenes_that_show, small
from scdm.datasets.scenes import Scenes
from scdm.diffusion.upsampling import enlarged, reduced
from scdm.files.arguments import Parser
from scdm.files.contact_sheet import contact_sheet
from scdm.files.images import to_levels, write_image
from scdm.layouts.labels import LabelMap
from scdm.layouts.painting import classes_called
from scdm.models.conversion import load
from scdm.models.model import Model
from scdm.pipeline import GenerateOptions, add_detail
from scdm.training.command import ending


@ending("detail")
def main() -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("model", help="embedded name or file, with an upsampler")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--layouts", type=int, default=8, help="scenes")
    parser.add_argument("--showing", nargs="*", default=[], metavar="CLASS", help="scenes with any of these")
    parser.add_argument("--seed", type=int, default=999, help="of the series of scenes, which no training has")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="a picture of all")
    arguments = parser.parse_args()
    if arguments.layouts < 1:
        parser.error("layouts must be at least 1")
    model = load(arguments.model)
    if model.upsampler is None:
        raise ValueError(f"{arguments.model} has no upsampler: what it makes is measured by pictures.py")
    size = arguments.size, arguments.size
    classes = classes_called(model.palette, arguments.showing)
    shown: Sequence[int] = range(arguments.layouts)
    if classes:
        shown = scenes_that_show(classes, arguments.seed, arguments.layouts, small(*size))
    rows: list[list[np.ndarray]] = []
    sums = torch.zeros(())
    for index in shown:
        image, ids = Scenes(index + 1, arguments.seed, size)[index]
        pictures = steps_of(model, image[None], LabelMap(ids[None], model.palette.num_classes), index)
        rows.append([to_levels(picture)[0] for picture in (image[None], *pictures)])
        sums = sums + torch.stack(
            [errors(picture, image, ids, model.palette.num_classes) for picture in pictures], dim=1
        )
    print(f"{len(shown)} scenes of {size[1]}x{size[0]} pixels: {', '.join(map(str, shown))}\n")
    print(table(model.palette.names, sums))
    if arguments.sheet is not None:
        write_image(arguments.sheet, contact_sheet(rows))
    return 0


def steps_of(model: Model, image: Tensor, labels: LabelMap, seed: int) -> list[Tensor]:
    """The small image of (1, 3, H, W), enlarged, and what the upsampler predicts of it at each of its steps."""
    size = model.small_size((labels.height, labels.width))
    if size is None:
        raise ValueError(f"images of {labels.width}x{labels.height} are made without an upsampler: set --size to more")
    reference, predictions = reduced(image, size), []
    add_detail(
        model, labels, reference, GenerateOptions(seed=seed), on_step=lambda step, _: predictions.append(step.x0)
    )
    return [enlarged(reference, (labels.height, labels.width)), *predictions]


def errors(made: Tensor, image: Tensor, ids: Tensor, num_classes: int) -> Tensor:
    """(num_classes, 2): of each class the sum of squared errors, and how many pixels it has."""
    squared = (made[0].float() - image).square().mean(0).flatten()
    sums = torch.zeros(num_classes, 2)
    return sums.index_add(0, ids.flatten(), torch.stack([squared, torch.ones_like(squared)], dim=1))


def table(names: tuple[str, ...], sums: Tensor) -> str:
    """sums: (num_classes, pictures, 2), as `errors` has them."""
    steps = [f"step {step}" for step in range(1, sums.shape[1])]
    lines = [f"| squared error | {' | '.join(['enlarged', *steps])} |", "| --- |" + " --- |" * sums.shape[1]]
    for name, own in zip(names, sums, strict=True):
        if own[0, 1]:
            lines.append(f"| {name} | {' | '.join(f'{error / pixels:.4f}' for error, pixels in own.tolist())} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(perform(main))
