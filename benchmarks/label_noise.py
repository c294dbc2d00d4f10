"""What label diffusion leaves of a layout, by the size of the images.

    python benchmarks/label_noise.py data/camvid/train/labels --classes 12

Masks each layout at several heights with a probability, fills every masked pixel up from the nearest one that is left, and
compares with the layout: mIoU in per cent. "published" masks single pixels alike at every size; "resolution 256" leaves as
much as at 256 pixels (`LabelDiffusion.resolution`). --cell 4 stands for a network that reads one label of each 4x4 patch.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("label_noise")  # before torch is loaded

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from scdm.diffusion.label_diffusion import LabelDiffusion
from scdm.files.arguments import Parser
from scdm.files.images import read_image
from scdm.layouts.labels import LabelMap
from scdm.metrics import SegmentationScore
from scdm.training.command import ending

STEPS = 1000


@ending("label_noise")
def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("labels", type=Path, help="folder of label maps that store ids")
    parser.add_argument("--classes", type=int, required=True, metavar="N", help="ids from N on are no class")
    parser.add_argument("--limit", type=int, default=40, metavar="N", help="layouts, spread over the folder")
    parser.add_argument("--heights", type=int, nargs="+", default=[240, 128, 96, 64, 48, 32, 24])
    parser.add_argument("--masked", type=float, nargs="+", default=[0, 0.5, 0.9, 0.99], help="probabilities of MASK")
    parser.add_argument("--cell", type=int, default=1, metavar="SIDE", help="of the squares of which one label is read")
    arguments = parser.parse_args(argv)
    layouts = list(read(arguments.labels, arguments.classes, arguments.limit))
    kinds = {"published": None, "resolution 256": 256}
    heads = [f"{name}, {p:g}" for name in kinds for p in arguments.masked]
    print(f"| height | {' | '.join(heads)} |\n| {' | '.join(['---'] * (1 + len(heads)))} |")
    for height in arguments.heights:
        shares = [left(layouts, height, kind, arguments.cell, p) for kind in kinds.values() for p in arguments.masked]
        print(f"| {height} | {' | '.join(f'{100 * share:.0f}' for share in shares)} |", flush=True)
    return 0


def read(folder: Path, classes: int, limit: int) -> list[LabelMap]:
    files = sorted(folder.iterdir())
    if not files:
        raise ValueError(f"{folder} holds no label maps")
    chosen = [files[i * len(files) // limit] for i in range(limit)] if len(files) > limit else files
    maps = (np.minimum(np.array(read_image(file)), classes).astype(np.int64) for file in chosen)
    return [LabelMap(torch.from_numpy(ids)[None], classes) for ids in maps]


def left(layouts: Sequence[LabelMap], height: int, resolution: int | None, cell: int, p: float) -> float:
    """mIoU of what the nearest labels that a network still knows say of the layouts at this height."""
    diffusion = LabelDiffusion(steps=STEPS, resolution=resolution and resolution * cell)
    t = torch.tensor([round(p * STEPS) - 1])
    score = SegmentationScore(layouts[0].num_classes)
    generator = torch.Generator().manual_seed(0)
    for layout in layouts:
        labels = layout.resized(height, height * layout.width // layout.height)
        masked = diffusion(labels, t, torch.rand(labels.ids.shape, generator=generator))
        known = masked.resized(height // cell, labels.width // cell)
        score.update(filled(known).resized(height, labels.width).ids, labels.ids)
    return score.compute().miou


def filled(labels: LabelMap) -> LabelMap:
    """Each MASK pixel with the label of the nearest pixel that has one; all MASK where none has."""
    ids = labels.ids[0].numpy()
    known = ids != labels.mask_id
    if not known.any():
        return labels
    _, nearest = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of = np.zeros(nearest.max() + 1, dtype=np.int64)
    of[nearest[known]] = ids[known]
    return LabelMap(torch.from_numpy(of[nearest])[None], labels.num_classes)


if __name__ == "__main__":
    sys.exit(perform(main))
