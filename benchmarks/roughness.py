"""How far models trust rough layouts: images of them, compared with renderings of the true layouts.

    python benchmarks/roughness.py MODEL [MODEL ...] --layouts 64 --sheet runs/roughness.png

Layouts of held-out scenes are made rough, by each error alone and by the mix that training draws, and sampled at several
roughnesses. A segmenter reads the true layouts from the samples; a cell is its mIoU, as a share of what it reads in the
renderings, and the Frechet distance of its features to the renderings'. Models that read no roughness are sampled once.
--ends adds other shares of the steps that read the layout. The sheet shows the same coarse blocks, and a scrawl, at
roughness 0, 0.3, 0.6 and 1.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("roughness")  # before torch is loaded

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from scdm.cli.common import check_output
from scdm.datasets.scenes import Scenes
from scdm.files.arguments import Parser
from scdm.files.contact_sheet import UNPAINTED_GREY, contact_sheet
from scdm.files.images import require_writable, to_levels, write_image
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.layouts.roughening import ERRORS, OMISSIONS, roughened
from scdm.metrics import FrechetDistance, SegmentationScore, SmallSegmenter
from scdm.models.conversion import load
from scdm.models.model import Model
from scdm.pipeline import GenerateOptions, generate
from scdm.training.command import ending

SEGMENTER = Path(__file__).with_name("segmenter_scenes.safetensors")  # of training/train_segmenter.py
MIX, EXACT = "mix", "exact"
VALUES: tuple[float | str, ...] = (0.0, 0.3, 0.6, 1.0, "auto", "unknown")
SHOWN: tuple[float, ...] = (0.0, 0.3, 0.6, 1.0)
CELLS = (8, 16, 32)
SHEET_SIDE = 128  # the least of a picture


class Setting(NamedTuple):
    """What a model is sampled at."""

    roughness: Any = "auto"
    end: float = 1.0

    @property
    def words(self) -> str:
        value = self.roughness if isinstance(self.roughness, str) else f"{self.roughness:g}"
        return value if self.end == 1 else f"{value}, layout_end {self.end:g}"


class Result(NamedTuple):
    """miou: share of what is read in renderings. frechet: distance of the features to the renderings'."""

    miou: float
    frechet: float


@ending("roughness")
def main(argv: list[str] | None = None) -> int:
    arguments = parsed_arguments(argv)
    sheets = []
    for name in arguments.models:
        model = load(name, arguments.device)
        segmenter = SmallSegmenter(arguments.segmenter, model.palette, arguments.device)
        size = model.config.size if arguments.size is None else (arguments.size, arguments.size)
        options = GenerateOptions(steps=arguments.steps, seed=arguments.seed).for_model(model)
        truth = Truth.of(segmenter, Scenes(arguments.layouts, arguments.seed, size), arguments.batch)
        print(f"\n{name}, {size[1]}x{size[0]}, {arguments.layouts} layouts, strength {arguments.strength:g}\n")
        print_table(model, segmenter, truth, options, arguments)
        if arguments.sheet:
            sheets += sheet_rows(model, truth.ids[:1], options)
    if arguments.sheet:
        write_image(arguments.sheet, contact_sheet(sheets, SHEET_SIDE))
    return 0


def parsed_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(description=(__doc__ or "").split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL", help="model files, or names of embedded models")
    parser.add_argument("--segmenter", type=Path, default=SEGMENTER)
    parser.add_argument("--layouts", type=int, default=64, metavar="N")
    parser.add_argument("--size", type=int, help="side in pixels, if not what a model was trained at")
    parser.add_argument("--strength", type=float, default=0.5, help="roughness of the layouts")
    parser.add_argument("--errors", nargs="+", default=[EXACT, MIX, *ERRORS, *OMISSIONS], metavar="ERROR")
    parser.add_argument(
        "--roughness", nargs="+", type=roughness, default=list(VALUES), metavar="R", help="for models that read it"
    )
    parser.add_argument("--ends", nargs="+", type=float, default=[1.0], help="shares of the steps that read the layout")
    parser.add_argument("--seed", type=int, default=1, help="series of the scenes, and of the first sample and error")
    parser.add_argument("--steps", help="25, ddim25 or 10,15; without it what the model was made for")
    parser.add_argument("--batch", type=int, default=8, help="samples at a time; changes speed, not results")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet here: layout, then its images by roughness")
    arguments = parser.parse_args(argv)
    if arguments.layouts < 2 or arguments.batch < 1:  # a Frechet distance needs two
        parser.error("layouts must be at least 2, batch at least 1")
    if not 0 <= arguments.strength <= 1:
        parser.error(f"strength is a roughness from 0 to 1, not {arguments.strength:g}")
    if unknown := [name for name in arguments.errors if name not in (EXACT, MIX, *ERRORS, *OMISSIONS)]:
        parser.error(f"there is no error {unknown[0]}: choose of {', '.join([EXACT, MIX, *ERRORS, *OMISSIONS])}")
    for one in arguments.roughness:  # nothing that could be known now is left to fail after the first cells
        for end in arguments.ends:
            with_setting(GenerateOptions(), Setting(one, end))
    if arguments.sheet:
        check_output(arguments.sheet, map(Path, arguments.models))
        require_writable(arguments.sheet)
    return arguments


def roughness(text: str) -> float | str:
    return text if text in ("auto", "unknown") else float(text)


class Truth(NamedTuple):
    """True layouts (N, H, W), and what the segmenter sees in their renderings: mIoU, and features (N, D)."""

    ids: Tensor
    miou: float
    features: Tensor

    @classmethod
    def of(cls, segmenter: SmallSegmenter, scenes: Scenes, batch: int) -> Truth:
        pairs = [scenes[i] for i in range(len(scenes))]
        images, ids = (torch.stack(part) for part in zip(*pairs, strict=True))
        return cls(ids, miou(segmenter, images, ids, batch), features(segmenter, images, batch))


def settings(model: Model, roughness: Sequence[Any], ends: Sequence[float]) -> list[Setting]:
    values = roughness if model.config.network.roughness else ["auto"]
    return [Setting(one, end) for one in values for end in ends]


def print_table(
    model: Model, segmenter: SmallSegmenter, truth: Truth, options: GenerateOptions, arguments: argparse.Namespace
) -> None:
    columns = settings(model, arguments.roughness, arguments.ends)
    print("| layouts | " + " | ".join(setting.words for setting in columns) + " |")
    print("| --- " * (len(columns) + 1) + "|")
    for name in arguments.errors:
        labels = made_rough(LabelMap(truth.ids, model.palette.num_classes), name, arguments.strength, arguments.seed)
        cells = [
            measured(model, segmenter, truth, labels, with_setting(options, one), arguments.batch) for one in columns
        ]
        print(f"| {name} | " + " | ".join(f"{cell.miou:.3f}, {cell.frechet:.3g}" for cell in cells) + " |", flush=True)


def with_setting(options: GenerateOptions, setting: Setting) -> GenerateOptions:
    return replace(options, roughness=setting.roughness, layout_end=setting.end)


def made_rough(labels: LabelMap, name: str, strength: float, seed: int) -> LabelMap:
    """The layouts with one error, or the mix; their roughness is left to the options."""
    if name == EXACT:
        return labels
    only = None if name == MIX else name
    seeds = range(seed, seed + labels.batch)
    return replace(roughened(labels, [strength] * labels.batch, seeds, only=only), roughness=None)


def measured(
    model: Model, segmenter: SmallSegmenter, truth: Truth, labels: LabelMap, options: GenerateOptions, batch: int
) -> Result:
    samples = sampled(model, labels, options, batch)
    distance = FrechetDistance()
    distance.update(truth.features, real=True)
    distance.update(features(segmenter, samples, batch), real=False)
    return Result(miou(segmenter, samples, truth.ids, batch) / truth.miou, distance.compute())


def sampled(model: Model, labels: LabelMap, options: GenerateOptions, batch: int) -> Tensor:
    """(N, 3, H, W); sample i has the seed of the options + i."""
    starts = tqdm(range(0, labels.batch, batch), unit="batch", file=sys.stderr, leave=False)
    parts = [generate(model, labels[i : i + batch], replace(options, seed=options.seed + i)) for i in starts]
    return torch.cat(parts)


def miou(segmenter: SmallSegmenter, images: Tensor, ids: Tensor, batch: int) -> float:
    score = SegmentationScore(segmenter.network.palette.num_classes)
    for part, truth in zip(images.split(batch), ids.split(batch), strict=True):
        score.update(segmenter.ids(part), truth)
    return score.compute().miou


def features(segmenter: SmallSegmenter, images: Tensor, batch: int) -> Tensor:
    return torch.cat([segmenter(part) for part in images.split(batch)])


# ---- the sheet ----


def sheet_rows(model: Model, ids: Tensor, options: GenerateOptions) -> list[list[np.ndarray]]:
    """A row for each layout: itself, and an image of it at each roughness. ids: (1, H, W), which blocks are made of."""
    exact = LabelMap(ids, model.palette.num_classes)
    layouts = [in_cells(exact, cells) for cells in CELLS] + [scrawl(exact.height, exact.width, exact.num_classes)]
    values: tuple[Any, ...] = SHOWN if model.config.network.roughness else ("auto",)
    rows = []
    for labels in layouts:
        images = [generate(model, labels, replace(options, roughness=value)) for value in values]
        pictures = [model.palette.to_image(labels, UNPAINTED_GREY)[0], *(to_levels(image)[0] for image in images)]
        rows.append(pictures)
    return rows


def in_cells(labels: LabelMap, cells: int) -> LabelMap:
    """Blocks of equal size, each of the class that most of it has."""
    return labels.reduced(cells, cells).resized(labels.height, labels.width)


def scrawl(height: int, width: int, num_classes: int) -> LabelMap:
    """A landscape of a few strokes, in the classes of "scenes": sky, hills, meadow, a lake, a house, trees, a sun."""
    names = Palette.named("scenes").names
    picture = np.full((height, width), num_classes, np.uint16)
    scale = np.array([width, height])

    def shape(name: str, *points: tuple[float, float]) -> None:
        corners = (np.array(points) * scale).round().astype(np.int32)
        cv2.fillPoly(picture, [corners], names.index(name))

    def dab(name: str, x: float, y: float, radius: float) -> None:
        cv2.circle(picture, (round(x * width), round(y * height)), round(radius * width), names.index(name), -1)

    shape("sky", (0, 0), (1, 0), (1, 0.42), (0.6, 0.47), (0.3, 0.4), (0, 0.45))
    shape("hill", (0, 0.47), (0.2, 0.34), (0.45, 0.42), (0.7, 0.33), (1, 0.44), (1, 0.56), (0, 0.55))
    shape("grass", (0, 0.54), (0.5, 0.6), (1, 0.53), (1, 1), (0, 1))
    shape("water", (0.05, 0.75), (0.3, 0.68), (0.55, 0.74), (0.5, 0.9), (0.15, 0.92))
    shape("building", (0.66, 0.46), (0.85, 0.45), (0.84, 0.66), (0.67, 0.67))
    for x in (0.1, 0.22, 0.93):
        shape("tree", (x - 0.01, 0.6), (x + 0.02, 0.6), (x + 0.02, 0.5), (x - 0.01, 0.5))
        dab("tree", x, 0.47, 0.07)
    dab("sun", 0.78, 0.14, 0.06)
    return LabelMap(torch.from_numpy(picture.astype(np.int64))[None], num_classes)


if __name__ == "__main__":
    sys.exit(perform(main))
