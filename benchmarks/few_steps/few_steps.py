"""What few steps cost: a teacher and the students that were distilled from it, on scenes that none of them has seen.

    python benchmarks/few_steps/few_steps.py --teacher TEACHER --students runs/distill_scenes64

Writes table.md, few_steps.png (a plot) and samples.jpg beside this file; what has been sampled stays in --work, and the same
command goes on where it was stopped. A segmenter of scenes reads the samples and gives the features of the Frechet distance.
Diversity is LPIPS with that segmenter in the place of AlexNet: two samples of a layout, their feature maps of unit length at
each pixel, squared differences summed over channels, mean over pixels and levels. Seconds are of one image, warm, the
fastest of five; quote their ratios.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from scdm.conversion import load
from scdm.datasets.scenes import Scenes
from scdm.images import UNPAINTED, contact_sheet, from_levels, to_levels, write_image, write_text, written_whole
from scdm.labels import LabelMap
from scdm.metrics import FrechetDistance, SegmentationScore
from scdm.metrics.segmenter import Segmenter
from scdm.metrics.segmenter import load as load_segmenter
from scdm.model import Model
from scdm.pipeline import GenerateOptions, generate

HERE = Path(__file__).parent
SEGMENTER = HERE.parent / "segmenter_scenes64.safetensors"
SERIES = 2  # of the scenes: another than those of training (0) and of layout_following.py (1)
BATCH = 16
SHOWN = 10  # scenes in the picture


@dataclass(frozen=True)
class Row:
    """A line of the table: a name, the number of network visits, and how to sample."""

    name: str
    steps: int
    options: dict[str, Any] = field(default_factory=dict)
    layouts: int | None = None  # the first so many only


TEACHER = [
    Row("teacher, ddpm", 1000, {"steps": 1000, "sampler": "ddpm"}, layouts=8),
    Row("teacher, ddpm, threshold and extrapolation", 25, {"dynamic_threshold": 0.95, "extrapolation": 0.3}),
    Row("teacher, dpm++", 20, {"steps": 20, "sampler": "dpmpp_2m"}),
    Row("teacher, dpm++", 10, {"steps": 10, "sampler": "dpmpp_2m"}),
    Row("teacher, ddim", 4, {"steps": "trailing4", "sampler": "ddim"}),
]
STUDENTS = [Row("student", steps) for steps in (8, 4, 2, 1)]


def main() -> int:
    arguments = parsed_arguments()
    try:
        segmenter = load_segmenter(SEGMENTER)
        scenes = Scenes(arguments.layouts, SERIES, (64, 64))
        renderings, ids = (torch.stack(part) for part in zip(*(scenes[i] for i in range(len(scenes))), strict=True))
        results, samples = [], []
        for row in TEACHER + STUDENTS:
            path = arguments.teacher if row in TEACHER else arguments.students / str(row.steps) / "model.safetensors"
            model = load(path)
            images = sampled(model, ids[: row.layouts], row, arguments.work)
            results.append(measured(row, model, segmenter, images, renderings, ids))
            samples.append(images[0, :SHOWN])
            print(line(results[-1]), flush=True)
        real = read_back(segmenter, renderings, ids)
    except ValueError as error:
        print(f"few_steps: {error}", file=sys.stderr)
        return 2
    write_text(HERE / "table.md", table(results, real, arguments.layouts))
    plot(results, real)
    write_image(HERE / "samples.jpg", picture(model, ids, samples, renderings))
    return 0


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", required=True, help="a model file, or the name of an embedded model")
    parser.add_argument("--students", required=True, type=Path, metavar="FOLDER", help="of training/distill.py")
    parser.add_argument("--layouts", type=int, default=96, metavar="N")
    parser.add_argument("--work", type=Path, default=Path("runs/few_steps"), metavar="FOLDER")
    return parser.parse_args()


def sampled(model: Model, ids: Tensor, row: Row, work: Path) -> Tensor:
    """uint8 (2, N, H, W, 3): two samples of every layout, kept in a file."""
    file = work / f"{row.name}-{row.steps}.npy"
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.is_file():
        return torch.from_numpy(np.load(file))
    draws = []
    for draw in range(2):
        made = []
        for start in tqdm(range(0, len(ids), BATCH), desc=f"{row.name} {row.steps}", unit="batch"):
            labels = LabelMap(ids[start : start + BATCH], model.palette.num_classes)
            options = GenerateOptions(**row.options, seed=1000 * draw + start, precision="bfloat16")
            made.append(to_levels(generate(model, labels, options)))
        draws.append(np.concatenate(made))
    with written_whole(file) as beside, beside.open("wb") as open_file:
        np.save(open_file, np.stack(draws))
    return torch.from_numpy(np.stack(draws))


def measured(
    row: Row, model: Model, segmenter: Segmenter, images: Tensor, renderings: Tensor, ids: Tensor
) -> dict[str, Any]:
    first, second = (from_levels(draw) for draw in images.numpy())
    distance = FrechetDistance()
    distance.update(segmenter.features(first), real=False)
    distance.update(segmenter.features(renderings), real=True)
    return {
        **asdict(row),
        **read_back(segmenter, first, ids[: len(first)]),
        "frechet": distance.compute(),
        "diversity": diversity(segmenter, first, second),
        "seconds": seconds(model, LabelMap(ids[:1], model.palette.num_classes), GenerateOptions(**row.options)),
    }


def read_back(segmenter: Segmenter, images: Tensor, ids: Tensor) -> dict[str, float]:
    """mIoU of what the segmenter sees, and its standard deviation if other scenes had been drawn."""
    scores = []
    for image, truth in zip(images, ids, strict=True):
        scores.append(SegmentationScore(segmenter.palette.num_classes))
        scores[-1].update(segmenter.ids(image[None])[0], truth)
    redrawn = np.random.default_rng(0).integers(len(ids), size=(200, len(ids)))
    return {"miou": miou(scores), "spread": float(np.std([miou([scores[i] for i in drawn]) for drawn in redrawn]))}


def miou(scores: Sequence[SegmentationScore]) -> float:
    return sum(scores[1:], scores[0]).compute().miou


@torch.no_grad()
def diversity(segmenter: Segmenter, first: Tensor, second: Tensor) -> float:
    levels = []
    for images in (first, second):
        coarse, finer = segmenter.encoded(images)
        levels.append([F.normalize(level, dim=1) for level in (*finer, coarse)])
    differences = [(a - b).square().sum(dim=1).mean() for a, b in zip(*levels, strict=True)]
    return float(torch.stack(differences).mean())


def seconds(model: Model, labels: LabelMap, options: GenerateOptions) -> float:
    """Of a walk of 1000 steps, those of 25 are taken and multiplied."""
    many = options.steps == 1000
    if many:
        options = GenerateOptions(steps=25, sampler="ddpm")
    generate(model, labels, options)
    times = []
    for _ in range(5):
        started = time.perf_counter()
        generate(model, labels, options)
        times.append(time.perf_counter() - started)
    return min(times) * (40 if many else 1)


def line(found: dict[str, Any]) -> str:
    layouts = f" ({found['layouts']} layouts)" if found["layouts"] else ""
    frechet = "" if found["layouts"] else f"{found['frechet']:.4f}"  # of so few images it would say nothing
    return (
        f"| {found['name']}{layouts} | {found['steps']} | {found['miou']:.3f} ± {found['spread']:.3f} | "
        f"{frechet} | {found['diversity']:.3f} | {found['seconds']:.2f} |"
    )


def table(results: Sequence[dict[str, Any]], real: dict[str, float], layouts: int) -> str:
    lines = [
        "| | steps | mIoU ↑ | Frechet distance ↓ | diversity ↑ | seconds |",
        "| --- | --- | --- | --- | --- | --- |",
        *map(line, results),
        f"| renderings | | {real['miou']:.3f} ± {real['spread']:.3f} | | | |",
    ]
    return "\n".join(lines) + f"\n\n{layouts} scenes of series {SERIES}, {torch.get_num_threads()} threads.\n"


def plot(results: Sequence[dict[str, Any]], real: dict[str, float]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2)
    for panel, key, title in zip(panels, ("miou", "frechet"), ("mIoU", "Frechet distance"), strict=True):
        shown = [found for found in results if key == "miou" or not found["layouts"]]
        students = [found for found in shown if found["name"] == "student"]
        panel.plot([found["steps"] for found in students], [found[key] for found in students], "o-", label="students")
        for found in shown:
            if found["name"] != "student":  # by samplers of many kinds, which no line connects
                panel.plot(found["steps"], found[key], "s", color="tab:orange")
                name = found["name"].removeprefix("teacher, ").split(",")[0]
                panel.annotate(name, (found["steps"], found[key]), (4, 4), textcoords="offset points", fontsize="small")
        panel.plot([], [], "s", color="tab:orange", label="teacher")
        panel.set(xscale="log", xlabel="steps", ylabel=title)
        panel.margins(0.12)
        panel.grid(alpha=0.3)
    panels[0].axhline(real["miou"], color="grey", linestyle=":", label="renderings")
    panels[0].legend()
    with written_whole(HERE / "few_steps.png") as beside:
        figure.savefig(beside, format="png", dpi=120)


def picture(model: Model, ids: Tensor, samples: Sequence[Tensor], renderings: Tensor) -> np.ndarray:
    """A row each: the layouts, what every line of the table makes of them, the renderings."""
    layouts = model.palette.to_image(LabelMap(ids[:SHOWN], model.palette.num_classes), UNPAINTED)
    rows = [list(layouts), *(list(row.numpy()) for row in samples), list(to_levels(renderings[:SHOWN]))]
    return contact_sheet(rows, least_side=128)


if __name__ == "__main__":
    sys.exit(main())
