"""What few steps cost: a teacher and the students that were distilled from it, on scenes that none of them has seen.

    python benchmarks/few_steps/few_steps.py --teacher TEACHER --students runs/distill_scenes64

Writes table.md, few_steps.png (a plot) and samples.jpg beside this file; what has been sampled stays in --work, and the same
command goes on where it was stopped. A segmenter of scenes reads the samples and gives the features of the Frechet distance.
Diversity is LPIPS with that segmenter in the place of AlexNet: two samples of a layout, their feature maps of unit length at
each pixel, squared differences summed over channels, mean over pixels and levels. Sparse layouts are the same ones, of which
80 % is MASK; what is left is read back. Seconds are of one image, warm, the fastest of five; quote their ratios.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("few_steps")  # before torch is loaded

import argparse
import hashlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from scdm.datasets.scenes import Scenes
from scdm.files.arguments import Parser
from scdm.files.atomic import write_text, written_whole
from scdm.files.contact_sheet import UNPAINTED_GREY, contact_sheet
from scdm.files.images import from_levels, to_levels, write_image
from scdm.layouts.labels import LabelMap
from scdm.layouts.patterns import sparse
from scdm.metrics import FrechetDistance, SegmentationScore
from scdm.metrics.segmenter import Segmenter
from scdm.metrics.segmenter import load as load_segmenter
from scdm.models.conversion import load
from scdm.models.model import Model
from scdm.pipeline import GenerateOptions, generate
from scdm.training.command import ending

HERE = Path(__file__).parent
SEGMENTER = HERE.parent / "segmenter_scenes64.safetensors"
SERIES = 2  # of the scenes: another than those of training (0) and of layout_following.py (1)
SPARSE = 0.8  # of a sparse layout that is MASK
REDRAWN = 200  # times that other layouts are drawn, for the spread
BATCH = 16
SHOWN = 10  # scenes in the picture


@dataclass(frozen=True)
class Row:
    """A line of the table: a name, the number of network visits, and how to sample.

    slow: of the first layouts only there is a second sample (for diversity), and of sparse ones there is none.
    """

    name: str
    steps: int
    options: dict[str, Any] = field(default_factory=dict)
    slow: bool = False


TEACHER = [
    Row("teacher, ddpm", 1000, {"steps": 1000, "sampler": "ddpm"}, slow=True),
    Row("teacher, ddpm, threshold and extrapolation", 25, {"dynamic_threshold": 0.95, "extrapolation": 0.3}),
    Row("teacher, dpm++", 20, {"steps": 20, "sampler": "dpmpp_2m"}),
    Row("teacher, dpm++", 10, {"steps": 10, "sampler": "dpmpp_2m"}),
    Row("teacher, ddim", 4, {"steps": "trailing4", "sampler": "ddim"}),
]
STUDENTS = [Row("student", steps) for steps in (8, 4, 2, 1)]
EMBEDDED = Row("scenes-fast, also taught at 128x128", 4)
REFERENCE = TEACHER[1]  # whose Frechet distance the others' are compared with
TWICE = 8  # layouts of which the slow ones make two samples


class Found(NamedTuple):
    """What was measured of a row. Of each array the first value is that of the layouts as they are; then come as many as
    chance draws from these, with repetitions."""

    row: Row
    miou: np.ndarray
    distance: np.ndarray
    diversity: float
    sparse: tuple[float, float] | None  # mIoU, Frechet distance
    seconds: float


@ending("few_steps", "the images that are made are kept")
def main() -> int:
    arguments = parsed_arguments()
    segmenter = load_segmenter(SEGMENTER)
    scenes = Scenes(arguments.layouts, SERIES, (64, 64))
    renderings, ids = (torch.stack(part) for part in zip(*(scenes[i] for i in range(len(scenes))), strict=True))
    random = np.random.default_rng(0)
    draws = [np.arange(len(ids)), *random.integers(len(ids), size=(REDRAWN, len(ids)))]
    results, samples = [], []
    for row in [*TEACHER, *STUDENTS, EMBEDDED]:
        model = load(model_of(row, arguments))
        labels = LabelMap(ids, model.palette.num_classes)
        rare = sparse(labels, range(len(ids)), SPARSE)
        images = from_levels(sampled(model, labels, row, 0, arguments.work))
        others = from_levels(sampled(model, labels[: TWICE if row.slow else None], row, 1000, arguments.work))
        results.append(
            Found(
                row,
                read_back(segmenter, images, ids, draws),
                distances(segmenter, images, renderings, draws),
                diversity(segmenter, images[: len(others)], others),
                None if row.slow else of_sparse(segmenter, model, rare, row, renderings, arguments.work),
                seconds(model, labels[:1], GenerateOptions(**row.options)),
            )
        )
        samples.append(images[:SHOWN])
        print(f"{row.name}, {row.steps} steps: mIoU {results[-1].miou[0]:.3f}", flush=True)
    real = read_back(segmenter, renderings, ids, draws)
    write_text(HERE / "table.md", table(results, real))
    plot(results, real)
    write_image(HERE / "samples.jpg", picture(model, labels[:SHOWN], samples, renderings))
    return 0


def parsed_arguments() -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("--teacher", required=True, help="a model file, or the name of an embedded model")
    parser.add_argument("--students", required=True, type=Path, metavar="FOLDER", help="of training/distill.py")
    parser.add_argument("--layouts", type=int, default=96, metavar="N")
    parser.add_argument("--work", type=Path, default=Path("runs/few_steps"), metavar="FOLDER")
    return parser.parse_args()


def model_of(row: Row, arguments: argparse.Namespace) -> str | Path:
    if row is EMBEDDED:
        return "scenes-fast"
    return arguments.teacher if row in TEACHER else arguments.students / str(row.steps) / "model.safetensors"


def sampled(model: Model, labels: LabelMap, row: Row, seed: int, work: Path) -> np.ndarray:
    """uint8 (N, H, W, 3): a sample of every layout, cached in a file for each model, sampler and set of layouts."""
    asked = (model.digest(), labels.ids.numpy().tobytes(), row.options, seed)
    file = work / f"{row.name}-{row.steps}-{hashlib.sha256(repr(asked).encode()).hexdigest()[:16]}.npy"
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.is_file():
        return np.load(file)
    made = []
    for start in tqdm(range(0, labels.batch, BATCH), desc=f"{row.name} {row.steps}", unit="batch"):
        options = GenerateOptions(**row.options, seed=seed + start, precision="bfloat16")
        made.append(to_levels(generate(model, labels[start : start + BATCH], options)))
    images = np.concatenate(made)
    with written_whole(file) as beside, beside.open("wb") as open_file:
        np.save(open_file, images)
    return images


def of_sparse(
    segmenter: Segmenter, model: Model, labels: LabelMap, row: Row, renderings: Tensor, work: Path
) -> tuple[float, float]:
    """mIoU of what is painted, and the Frechet distance of all."""
    images = from_levels(sampled(model, labels, row, 0, work))
    whole = [np.arange(len(images))]
    read = read_back(segmenter, images, labels.ids, whole)  # which leaves MASK out
    return float(read[0]), float(distances(segmenter, images, renderings, whole)[0])


def read_back(segmenter: Segmenter, images: Tensor, ids: Tensor, draws: Sequence[np.ndarray]) -> np.ndarray:
    """mIoU of what the segmenter sees, of each draw of scenes."""
    scores = []
    for image, truth in zip(images, ids, strict=True):
        scores.append(SegmentationScore(segmenter.palette.num_classes))
        scores[-1].update(segmenter.ids(image[None])[0], truth)
    return np.array([sum((scores[i] for i in drawn[1:]), scores[drawn[0]]).compute().miou for drawn in draws])


def distances(segmenter: Segmenter, images: Tensor, renderings: Tensor, draws: Sequence[np.ndarray]) -> np.ndarray:
    """Frechet distances to the renderings of the same scenes, of each draw of scenes."""
    features, real = segmenter.features(images), segmenter.features(renderings)
    values = []
    for drawn in draws:
        distance = FrechetDistance()
        distance.update(features[drawn], real=False)
        distance.update(real[drawn], real=True)
        values.append(distance.compute())
    return np.array(values)


@torch.no_grad()
def diversity(segmenter: Segmenter, first: Tensor, second: Tensor) -> float:
    levels = []
    for images in (first, second):
        coarse, finer = segmenter.encoded(images)
        levels.append([F.normalize(level, dim=1) for level in (*finer, coarse)])
    differences = [(a - b).square().sum(dim=1).mean() for a, b in zip(*levels, strict=True)]
    return float(torch.stack(differences).mean())


def seconds(model: Model, labels: LabelMap, options: GenerateOptions) -> float:
    """Of 1000 steps: those of 25 are timed and multiplied."""
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


def table(results: Sequence[Found], real: np.ndarray) -> str:
    (reference,) = (found.distance for found in results if found.row is REFERENCE)
    lines = [
        f"| | steps | mIoU ↑ | Frechet distance ↓ | of the teacher's in {REFERENCE.steps} | diversity ↑ | sparse: mIoU ↑ | "
        "Frechet distance ↓ | seconds |",
        "| --- " * 9 + "|",
    ]
    for found in results:
        ratio = found.distance / reference
        compared = "1" if found.row is REFERENCE else f"{ratio[0]:.2f} ± {ratio[1:].std():.2f}"
        few = f" ({TWICE} layouts)" if found.row.slow else ""
        rare = "| " if found.sparse is None else f"{found.sparse[0]:.3f} | {found.sparse[1]:.3f}"
        lines.append(
            f"| {found.row.name} | {found.row.steps} | {found.miou[0]:.3f} ± {found.miou[1:].std():.3f} | "
            f"{found.distance[0]:.4f} | {compared} | {found.diversity:.3f}{few} | {rare} | {found.seconds:.2f} |"
        )
    lines.append(f"| renderings | | {real[0]:.3f} ± {real[1:].std():.3f} | | | | | | |")
    return "\n".join(lines) + "\n"


def plot(results: Sequence[Found], real: np.ndarray) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    panels = figure.subplots(1, 2)
    for panel, key, title in zip(panels, ("miou", "distance"), ("mIoU", "Frechet distance"), strict=True):
        students = [found for found in results if found.row in STUDENTS]
        panel.plot([found.row.steps for found in students], [getattr(found, key)[0] for found in students], "o-")
        for found in results:
            if found.row in TEACHER:  # by samplers of many kinds, which no line connects
                name = found.row.name.removeprefix("teacher, ").split(",")[0]
                place = (found.row.steps, getattr(found, key)[0])
                panel.plot(*place, "s", color="tab:orange")
                offset = (0, -13 if name == "dpm++" else 6)
                panel.annotate(name, place, offset, textcoords="offset points", fontsize="small", ha="center")
        panel.plot([], [], "o-", color="tab:blue", label="students")
        panel.plot([], [], "s", color="tab:orange", label="teacher")
        panel.set(xscale="log", xlabel="steps", ylabel=title, xticks=(steps := (1, 2, 4, 10, 25, 100, 1000)))
        panel.set_xticklabels([str(count) for count in steps])
        panel.minorticks_off()
        panel.margins(0.12)
        panel.grid(alpha=0.3)
    panels[0].axhline(real[0], color="grey", linestyle=":", label="renderings")
    panels[0].legend()
    with written_whole(HERE / "few_steps.png") as beside:
        figure.savefig(beside, format="png", dpi=120)


def picture(model: Model, labels: LabelMap, samples: Sequence[Tensor], renderings: Tensor) -> np.ndarray:
    """A row each: the layouts, what every line of the table makes of them, the renderings."""
    rows = [list(model.palette.to_image(labels, UNPAINTED_GREY)), *(list(to_levels(row)) for row in samples)]
    return contact_sheet([*rows, list(to_levels(renderings[:SHOWN]))], least_side=128)


if __name__ == "__main__":
    sys.exit(perform(main))
