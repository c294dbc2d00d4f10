"""How good a model's pictures are, and what they cost, at several sizes: one table.

    python benchmarks/pictures.py --model scenes scenes-fast --sizes 256 512 --images 64 --out runs/pictures

Layouts are scenes that neither model nor segmenter has seen: they come from another series. Prints Markdown, or JSON;
`--out` is a folder for table.md, table.json and a sheet for each model and size (layout | sample | rendering).

- layout to image: seconds of one image, warm, median of --repeats. Quote a time with its machine and threads.
- edit: seconds of repainting a square of a quarter of the side (`EditSession`), likewise.
- mIoU: of a segmenter that reads samples, as a share of what it reads in renderings of the same scenes; ± is the standard
  deviation if other scenes had been drawn.
- Frechet distance: in that segmenter's features, of samples to a second set of renderings (other scenes), as a multiple of
  the first renderings' distance to it. All sets have the same number of images: the bias of small ones is in both distances.
  Beside it that of the first renderings, reduced to 64 pixels and enlarged again: what this measure can tell of detail.
- high-frequency energy: of samples, as a multiple of that of renderings (`scdm.metrics.fine_detail`), ± likewise: a single
  scene of pines in snow has as much of it as ten others; that of a class is taken within its outlines.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("pictures")  # before torch is loaded

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from scdm.datasets.examples import Example, collate
from scdm.datasets.scenes import Scenes
from scdm.diffusion.samplers import SAMPLERS
from scdm.diffusion.upsampling import enlarged, reduced, small_size
from scdm.editing.session import EditSession
from scdm.evaluation.measures import Measured, Networks
from scdm.files.arguments import Parser
from scdm.files.atomic import made_folder, write_text
from scdm.files.contact_sheet import contact_sheet
from scdm.files.images import to_levels, write_image
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.metrics import FrechetDistance, HighFrequencyEnergy, SegmentationScore, SmallSegmenter
from scdm.models.conversion import load
from scdm.models.model import MOST_SIDE, Model
from scdm.pipeline import GenerateOptions, generate
from scdm.training.command import ending

SEGMENTER = Path(__file__).with_name("segmenter_scenes.safetensors")  # of training/train_segmenter.py
FEATURES = "segmenter"
ENLARGED = 64  # pixels: shorter side of renderings without detail
REDRAWN = 200  # times that other scenes are drawn, for the spread
SHEET_IMAGES = 24  # shown, at most
SHEET_WIDTH, LEAST_SIDE = 2400, 128  # pixels of a row, about, and of a picture, at least


T = TypeVar("T", SegmentationScore, HighFrequencyEnergy)


@dataclass(frozen=True)
class Row:
    """What was measured of a model at a size. `_ratio` is samples to renderings. By class: None where it does not occur."""

    model: str
    size: str
    images: int
    sampling: str
    seconds: float
    edit_seconds: float
    miou: float
    miou_renderings: float
    miou_ratio: float
    miou_spread: float
    frechet: float
    frechet_renderings: float
    frechet_ratio: float
    frechet_enlarged_ratio: float | None
    energy: float
    energy_renderings: float
    energy_ratio: float
    energy_spread: float
    class_iou: dict[str, float | None]
    class_iou_renderings: dict[str, float | None]
    class_energy_ratio: dict[str, float | None]


@ending("pictures")
def main(argv: Sequence[str] | None = None) -> int:
    arguments = parsed_arguments(argv)
    if arguments.out:
        made_folder(arguments.out)
    models = {name: load(name, arguments.device) for name in arguments.model}  # each is there before any is measured
    rows = []
    for name, model in models.items():
        segmenter = SmallSegmenter(arguments.segmenter, model.palette, arguments.device)
        require_unseen(segmenter, arguments.seed)
        for size in arguments.sizes:
            rows.append(measured(name, model, segmenter, (size, size), arguments))
    conditions = measured_under(arguments)
    markdown, plain = as_markdown(rows, conditions), as_json(rows, conditions)
    if arguments.out:
        write_text(arguments.out / "table.md", markdown + "\n")
        write_text(arguments.out / "table.json", plain + "\n")
    print(plain if arguments.json else markdown)
    return 0


def parsed_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("--model", nargs="+", default=["scenes", "scenes-fast"], help="embedded names, or files")
    parser.add_argument("--sizes", nargs="+", type=int, default=[256, 512], help="sides in pixels")
    parser.add_argument("--images", type=int, default=64, metavar="N", help="of each set (default %(default)s)")
    parser.add_argument("--steps", help="25, ddim25 or 10,15, for models that are not distilled")
    parser.add_argument("--sampler", choices=sorted(SAMPLERS), help="without it what each model was made for")
    parser.add_argument("--guidance", type=float, help="without it what each model was made for")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument(
        "--seed", type=int, default=1, help="series of the scenes, and seed of the first sample (default %(default)s)"
    )
    parser.add_argument("--repeats", type=int, default=5, help="of the times (default %(default)s)")
    parser.add_argument("--segmenter", type=Path, default=SEGMENTER)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for tables and sheets of pictures")
    arguments = parser.parse_args(argv)
    if arguments.images < 2 or min(arguments.repeats, *arguments.sizes) < 1:
        parser.error("images must be at least 2, repeats and sizes at least 1")
    if max(arguments.sizes) > MOST_SIDE:
        parser.error(f"sizes are sides of at most {MOST_SIDE} pixels, not {max(arguments.sizes)}")
    return arguments


def require_unseen(segmenter: SmallSegmenter, seed: int) -> None:
    if segmenter.network.provenance.get("seed") == seed:
        raise ValueError(f"the segmenter was trained on scenes of series {seed}: choose another --seed")


def measured(
    name: str, model: Model, segmenter: SmallSegmenter, size: tuple[int, int], arguments: argparse.Namespace
) -> Row:
    options = GenerateOptions(
        steps=arguments.steps if model.config.distilled_steps is None else None,
        sampler=arguments.sampler,
        guidance=arguments.guidance,
        precision=arguments.precision,
        seed=arguments.seed,
    ).for_model(model)
    shown = f"{Path(name).stem} {size[0]}x{size[1]}"
    comparison = Comparison(model, segmenter, Scenes(2 * arguments.images, arguments.seed, size), options)
    for index in tqdm(range(arguments.images), desc=shown, unit="image", file=sys.stderr):
        comparison.update(index)
    if arguments.out:
        write_image(arguments.out / f"{shown.replace(' ', '-')}.jpg", comparison.sheet())
    labels = comparison.labels(0)
    return Row(
        name,
        f"{size[0]}x{size[1]}",
        arguments.images,
        f"{options.sampler}, {options.steps} steps, guidance {options.guidance:g}",
        warm_seconds(lambda: generate(model, labels, options), arguments.repeats, model),
        edit_seconds(model, labels, options, arguments.repeats),
        **comparison.results(),
    )


class Comparison:
    """Samples of the first half of the scenes, their renderings, and the renderings of the second half."""

    def __init__(self, model: Model, segmenter: SmallSegmenter, scenes: Scenes, options: GenerateOptions) -> None:
        self.model, self.scenes, self.options = model, scenes, options
        self.networks = Networks({FEATURES: segmenter}, segmenter)
        self.parts: list[Measured] = []  # one for each image
        self.others: list[Tensor] = []  # features of the second renderings
        self.enlarged: list[Tensor] = []  # and of the first, enlarged from ENLARGED pixels, if they are larger
        self.energies: list[tuple[HighFrequencyEnergy, HighFrequencyEnergy]] = []  # of each sample and its rendering
        self.pictures: list[np.ndarray] = []

    def labels(self, index: int) -> LabelMap:
        return LabelMap(self.scenes[index][1][None], self.model.palette.num_classes)

    def update(self, index: int) -> None:
        """Sample `index` has the seed of the options + index."""
        image, ids = self.scenes[index]
        labels = LabelMap(ids[None], self.model.palette.num_classes)
        sample = generate(self.model, labels, replace(self.options, seed=self.options.seed + index)).cpu()
        self.parts.append(Measured())
        self.parts[-1].update(self.networks, collate([Example(image, ids, None, index)]), [sample])
        extractor = self.networks.extractors[FEATURES]
        self.others.append(extractor(self.scenes[index + len(self.scenes) // 2][0][None]))
        size = labels.height, labels.width
        if small := small_size(size, ENLARGED):
            self.enlarged.append(extractor(enlarged(reduced(image[None], small), size)))
        energies = HighFrequencyEnergy(labels.num_classes), HighFrequencyEnergy(labels.num_classes)
        for energy, picture in zip(energies, (sample, image[None]), strict=True):
            energy.update(picture, ids[None])
        self.energies.append(energies)
        if len(self.parts) <= SHEET_IMAGES:
            self.pictures += [layout_picture(self.model.palette, labels), *to_levels(torch.cat([sample, image[None]]))]

    def results(self) -> dict[str, Any]:
        """The fields of a `Row`, from `miou` on."""
        names = self.model.palette.names
        scores = [(part.score, part.real_score) for part in self.parts if part.score and part.real_score]
        score, real_score = totals(scores)
        frechet = self._distance([part.generated[FEATURES][0] for part in self.parts])
        real_frechet = self._distance([part.real[FEATURES][0] for part in self.parts])
        of_enlarged = self._distance(self.enlarged) / real_frechet if self.enlarged else None
        energy, real_energy = (total.compute() for total in totals(self.energies))
        return {
            "miou": score.compute().miou,
            "miou_renderings": real_score.compute().miou,
            "miou_ratio": score.compute().miou / real_score.compute().miou,
            "miou_spread": spread(scores, lambda score: score.compute().miou),
            "frechet": frechet,
            "frechet_renderings": real_frechet,
            "frechet_ratio": frechet / real_frechet,
            "frechet_enlarged_ratio": of_enlarged,
            "energy": energy.mean,
            "energy_renderings": real_energy.mean,
            "energy_ratio": energy.mean / real_energy.mean,
            "energy_spread": spread(self.energies, lambda energy: energy.compute().mean),
            "class_iou": by_class(names, score.compute().iou),
            "class_iou_renderings": by_class(names, real_score.compute().iou),
            "class_energy_ratio": by_class(names, energy.classes / real_energy.classes),
        }

    def sheet(self) -> np.ndarray:
        """uint8 (H, W, 3): layout, sample and rendering of the first scenes, some of these triples in a row."""
        across = 3 * max(1, SHEET_WIDTH // (3 * max(LEAST_SIDE, self.pictures[0].shape[1])))
        rows = [self.pictures[start : start + across] for start in range(0, len(self.pictures), across)]
        return contact_sheet(rows, LEAST_SIDE)

    def _distance(self, features: Sequence[Tensor]) -> float:
        """Of the features (1, D) of images to those of the second renderings."""
        distance = FrechetDistance()
        distance.update(torch.cat(list(features)), False)
        distance.update(torch.cat(self.others), True)
        return distance.compute()


def totals(pairs: Sequence[tuple[T, T]]) -> tuple[T, T]:
    """Of samples, and of their renderings."""
    sampled, rendered = zip(*pairs, strict=True)
    return sum(sampled[1:], sampled[0]), sum(rendered[1:], rendered[0])


def spread(pairs: Sequence[tuple[T, T]], value: Callable[[T], float]) -> float:
    """The standard deviation of the ratio of samples to renderings, if other scenes had been drawn."""
    draws = np.random.default_rng(0).integers(len(pairs), size=(REDRAWN, len(pairs)))
    redrawn = (totals([pairs[index] for index in drawn]) for drawn in draws)
    return float(np.std([value(sampled) / value(rendered) for sampled, rendered in redrawn]))


def by_class(names: Sequence[str], values: Tensor) -> dict[str, float | None]:
    return {name: None if np.isnan(value) else value for name, value in zip(names, values.tolist(), strict=True)}


def layout_picture(palette: Palette, labels: LabelMap) -> np.ndarray:
    return palette.to_image(labels, mask_color=(0, 0, 0))[0]


def edit_seconds(model: Model, labels: LabelMap, options: GenerateOptions, repeats: int) -> float:
    """Of a square of a quarter of the side, off the middle, that is painted again by a new draw."""
    session = EditSession(model, labels, options)
    session.update()
    square = torch.zeros(labels.height, labels.width, dtype=torch.bool)
    down, across = (slice(side // 2, 3 * side // 4) for side in square.shape)
    square[down, across] = True

    def edit() -> None:
        session.again(square)
        session.update()

    return warm_seconds(edit, repeats, model)


def warm_seconds(work: Callable[[], object], repeats: int, model: Model) -> float:
    """Median of repeats, after one that is not counted."""

    def seconds() -> float:
        started = time.perf_counter()
        work()
        if model.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - started

    seconds()
    return median(seconds() for _ in range(repeats))


def measured_under(arguments: argparse.Namespace) -> dict[str, str]:
    """What someone needs to know to measure it again."""
    first, last = arguments.seed, arguments.seed + arguments.images - 1
    processor = (
        torch.cuda.get_device_name() if arguments.device == "cuda" else platform.processor() or platform.machine()
    )
    scenes = f"scenes 0..{arguments.images - 1} of series {arguments.seed}, second renderings "
    return {
        "layouts": scenes + f"{arguments.images}..{2 * arguments.images - 1}, seeds {first}..{last}",
        "times": f"median of {arguments.repeats}, {processor}, {torch.get_num_threads()} threads, torch {torch.__version__}",
        "precision": arguments.precision,
        "segmenter": arguments.segmenter.name,
    }


def as_markdown(rows: Sequence[Row], conditions: dict[str, str]) -> str:
    return "\n".join(
        [
            *(f"- {name}: {value}" for name, value in conditions.items()),
            *(f"- {row.model}, {row.size}: {row.sampling}" for row in rows),
            "",
            line("", [f"{Path(row.model).stem} {row.size}" for row in rows]),
            "| --- " * (len(rows) + 1) + "|",
            line("layout to image, s", [f"{row.seconds:.2f}" for row in rows]),
            line("an edit of a quarter of the side, s", [f"{row.edit_seconds:.2f}" for row in rows]),
            line("mIoU read in renderings", [f"{row.miou_renderings:.3f}" for row in rows]),
            line("mIoU, of what is read in renderings", [f"{r.miou_ratio:.3f} ± {r.miou_spread:.3f}" for r in rows]),
            line("Frechet distance, of renderings' own", [f"{row.frechet_ratio:.2f}" for row in rows]),
            line(
                f"Frechet distance of renderings enlarged from {ENLARGED} pixels",
                ["–" if (ratio := row.frechet_enlarged_ratio) is None else f"{ratio:.2f}" for row in rows],
            ),
            line(
                "high-frequency energy, of renderings'", [f"{r.energy_ratio:.2f} ± {r.energy_spread:.2f}" for r in rows]
            ),
            "",
            line("IoU of renderings / samples, energy", [f"{Path(row.model).stem} {row.size}" for row in rows]),
            "| --- " * (len(rows) + 1) + "|",
            *(line(name, [cell_of_class(row, name) for row in rows]) for name in rows[0].class_iou),
        ]
    )


def cell_of_class(row: Row, name: str) -> str:
    known = (row.class_iou_renderings[name], row.class_iou[name], row.class_energy_ratio[name])
    rendered, sampled, energy = ("–" if value is None else f"{value:.2f}" for value in known)
    return f"{rendered} / {sampled}, {energy}"


def line(name: str, cells: Sequence[str]) -> str:
    return f"| {name} | {' | '.join(cells)} |"


def as_json(rows: Sequence[Row], conditions: dict[str, str]) -> str:
    return json.dumps({"conditions": conditions, "rows": [asdict(row) for row in rows]}, indent=1)


if __name__ == "__main__":
    sys.exit(perform(main))
