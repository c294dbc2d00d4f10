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

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

from scdm.datasets.scenes import Scenes
from scdm.diffusion.upsampling import enlarged, reduced
from scdm.files.contact_sheet import contact_sheet
from scdm.files.images import to_levels, write_image
from scdm.layouts.labels import LabelMap
from scdm.layouts.painting import classes_called
from scdm.models.conversion import load
from scdm.models.model import Model
from scdm.pipeline import GenerateOptions, add_detail
from scdm.training.command import ending

SHARE = 0.02  # of a scene, from which it shows a class


@ending("detail")
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="embedded name or file, with an upsampler")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--layouts", type=int, default=8, help="scenes")
    parser.add_argument("--showing", nargs="*", default=[], metavar="CLASS", help="scenes that show all of these")
    parser.add_argument("--seed", type=int, default=999, help="of the series of scenes, which no training has")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="a picture of all")
    arguments = parser.parse_args()
    model = load(arguments.model)
    if model.upsampler is None:
        raise ValueError(f"{arguments.model} has no upsampler: what it makes is measured by pictures.py")
    shown = chosen(arguments.seed, arguments.layouts, classes_called(model.palette, arguments.showing))
    rows, sums = [], torch.zeros(0)
    for index in shown:
        image, ids = Scenes(index + 1, arguments.seed, (arguments.size, arguments.size))[index]
        pictures = steps_of(model, image[None], LabelMap(ids[None], model.palette.num_classes), index)
        rows.append([to_levels(picture)[0] for picture in (image[None], *pictures)])
        found = torch.stack([errors(picture, image, ids, model.palette.num_classes) for picture in pictures], dim=1)
        sums = found if not len(sums) else sums + found
    print(f"{len(shown)} scenes of {arguments.size}x{arguments.size} pixels: {', '.join(map(str, shown))}\n")
    print(table(model.palette.names, sums))
    if arguments.sheet is not None:
        write_image(arguments.sheet, contact_sheet(rows))
    return 0


def chosen(seed: int, count: int, classes: tuple[int, ...]) -> list[int]:
    """The first `count` scenes of the series that show all the classes, by what they show at 64 pixels."""
    small, found = Scenes(2**31, seed, (64, 64)), list[int]()
    index = 0
    while len(found) < count:
        ids = small[index][1]
        if all((ids == class_id).float().mean() > SHARE for class_id in classes):
            found.append(index)
        index += 1
    return found


def steps_of(model: Model, image: Tensor, labels: LabelMap, seed: int) -> list[Tensor]:
    """The small image of (1, 3, H, W), enlarged, and what the upsampler predicts of it at each of its steps."""
    size = model.small_size((labels.height, labels.width))
    if size is None:
        raise ValueError(f"images of {labels.width}x{labels.height} are made without an upsampler: set --size to more")
    small, predictions = reduced(image, size), []
    add_detail(model, labels, small, GenerateOptions(seed=seed), on_step=lambda step, _: predictions.append(step.x0))
    return [enlarged(small, (labels.height, labels.width)), *predictions]


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
