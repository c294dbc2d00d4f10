"""Does label diffusion survive rough layouts? The same network, steps and seeds, with and without it, on real photographs.

    python benchmarks/robustness/robustness.py camvid --root data/camvid
    python benchmarks/robustness/robustness.py facade --root data/facade
    python benchmarks/robustness/robustness.py camvid128 --root data/camvid

Trains a segmenter, and every method of METHODS first on coarse images and then at full size; makes images of layouts of the
validation split, clean and corrupted as in COLUMNS; and writes table-DATA.md and DATA.jpg, of all that is there, beside
this file. camvid128 has more methods, at 96x128. All else stays in runs/robustness. Run it from the repository's root; the
same command goes on where it was stopped. --methods and --columns take a part.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("robustness")  # before torch is loaded

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from scdm.datasets import DataConfig, collate, open_dataset
from scdm.diffusion.corruption import RemovedKind
from scdm.evaluation import LayoutCorruption, Layouts
from scdm.files.atomic import write_text
from scdm.files.config import load
from scdm.files.contact_sheet import PAPER, UNPAINTED_GREY, contact_sheet
from scdm.files.images import from_levels, read_image, to_levels, write_image
from scdm.metrics import FrechetDistance, SegmentationResult, SegmentationScore, SmallSegmenter
from scdm.models.checkpoint import read_header
from scdm.training.command import ending
from scdm.training.config import TrainConfig

HERE = Path(__file__).parent
TRAINING = HERE.parents[1] / "training"
RUNS = Path("runs/robustness")
COARSE_STEPS = 1200
SEGMENTER_STEPS = 1500
SAMPLING = ["sampler=ddim", "steps=20", "precision=bfloat16"]
GUIDANCE = 1.5  # where none is chosen
GUIDANCES = (1.0, 1.5, 2.5)  # of which --choose takes the one of most mIoU, the mean over CHOOSING
CHOOSING = ("clean", "sparse-80")
CHOSEN_BY = 16  # other layouts of the validation split
COUNT = 34  # layouts of the validation split
REDRAWN = 200  # times that other layouts are drawn, for the spread
SHOWN, SHOWN_COLUMNS = 2, ["clean", "downsample-12", "edges-10", "random-50", "sparse-60", "sparse-95"]  # in DATA.jpg
SIDE, LABEL, TEXT = 144, 150, 15  # pixels of a picture's longer side at least, of the methods' names, and of letters


# Label noise that leaves a small map as much as the published one of 256; each layout diffused or sparse, never both; and
# training on rough layouts whose roughness the network is told, and estimates by itself in use.
RESOLUTION = "label_diffusion.resolution=256"
EITHER = ("sparse_share=0.5", "hiding={both: false}")
TOLD = ("network.roughness=true", "rough_share=0.5")


class Method(NamedTuple):
    """settings: what its training changes in DATA.yaml. after: the method whose coarse training it goes on from, if not its
    own."""

    name: str
    settings: list[str]
    after: str = ""


METHODS = {
    "sdm": Method("SDM", ["label_diffusion.kind=none"]),
    "uniform": Method("SCDM, uniform", ["label_diffusion.kind=uniform"]),
    "classwise": Method("SCDM, class-wise", ["label_diffusion.kind=classwise"]),
    "sdm-sparse": Method("SDM, sparse", ["label_diffusion.kind=none", "sparse_share=0.5"]),
    "classwise-sparse": Method("SCDM, class-wise, sparse", ["label_diffusion.kind=classwise", "sparse_share=0.5"]),
    "resolution": Method("SCDM, resolution", ["label_diffusion.kind=classwise", RESOLUTION]),
    "either": Method("SCDM, resolution, or sparse", ["label_diffusion.kind=classwise", RESOLUTION, *EITHER]),
    "told": Method("SCDM, resolution, or sparse, told", ["label_diffusion.kind=classwise", RESOLUTION, *EITHER, *TOLD]),
    "told-sdm": Method("SDM, sparse, told", ["label_diffusion.kind=none", "sparse_share=0.5", *TOLD]),
    "clean-first": Method(
        "SCDM, resolution, or sparse, told, after SDM",
        ["label_diffusion.kind=classwise", RESOLUTION, *EITHER, *TOLD],
        after="sdm",
    ),
    "concat": Method("SDM, concatenated", ["label_diffusion.kind=none", "network.conditioning=concat"]),
}
FIRST = ("sdm", "uniform", "classwise", "sdm-sparse", "classwise-sparse")
DATA = {"camvid": FIRST, "facade": FIRST, "camvid128": tuple(METHODS)}  # and what is compared on it
COMPARED = [
    ("uniform", "sdm"),
    ("classwise", "sdm"),
    ("sdm-sparse", "sdm"),
    ("classwise-sparse", "sdm"),
    ("classwise-sparse", "sdm-sparse"),
    ("resolution", "sdm"),
    ("either", "sdm"),
    ("told", "sdm"),
    ("told-sdm", "sdm"),
    ("told", "told-sdm"),
    ("clean-first", "sdm"),
    ("clean-first", "told"),
    ("concat", "sdm"),
]

# Removed pixels are "unlabelled" where the data have such a class, as published, and MASK in sparse layouts. What is as hard
# for images of 48 pixels as the published strength is for 256 comes after it.
COLUMNS = {
    "clean": LayoutCorruption(),
    "downsample-64": LayoutCorruption("downsample", removed="class", strength={"size": 64}),
    "edges-2": LayoutCorruption("edges", removed="class", strength={"radius": 2}),
    "random-10": LayoutCorruption("random", removed="class", strength={"share": 0.1}),
    "downsample-12": LayoutCorruption("downsample", removed="class", strength={"size": 12}),
    "edges-10": LayoutCorruption("edges", removed="class", strength={"radius": 10}),
    "random-50": LayoutCorruption("random", removed="class", strength={"share": 0.5}),
    **{f"sparse-{share}": LayoutCorruption("patterns", strength={"share": share / 100}) for share in (40, 60, 80, 95)},
}


@ending("robustness", "the same command goes on")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", choices=tuple(DATA))
    parser.add_argument("--root", type=Path, help="folder of {train,val}/{images,labels}; data/DATA without it")
    parser.add_argument(
        "--methods", nargs="+", choices=tuple(METHODS), metavar="METHOD", help="without it all of the data"
    )
    parser.add_argument("--columns", nargs="+", choices=tuple(COLUMNS), default=list(COLUMNS), metavar="COLUMN")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of training, to see what that leaves to chance"
    )
    parser.add_argument(
        "--removed",
        choices=get_args(RemovedKind),
        help="what removed pixels are in all columns (as COLUMNS has it without)",
    )
    parser.add_argument(
        "--choose", action="store_true", help="the guidance of each method first, on other layouts than the columns'"
    )
    parser.add_argument("--limit", type=int, default=COUNT, metavar="N", help="layouts, spread over the split")
    arguments = parser.parse_args(argv)
    if arguments.limit < 2:
        parser.error("limit must be at least 2: a Frechet distance of less is none")
    try:
        root = arguments.root or Path("data") / arguments.data
        experiment = Experiment(arguments.data, root, arguments.limit, arguments.seed, arguments.removed)
        experiment.prepare()
        for method in arguments.methods or DATA[arguments.data]:
            experiment.train(method)
            if arguments.choose:
                experiment.choose(method)
            for column in arguments.columns:
                experiment.evaluate(method, column)
        name = arguments.data + (f"-seed-{arguments.seed}" if arguments.seed else "")
        name += f"-{arguments.removed}" if arguments.removed else ""
        write_text(HERE / f"table-{name}.md", tables(experiment))
        write_image(HERE / f"{name}.jpg", sheet(experiment))
    except subprocess.CalledProcessError as error:  # which has said why
        print(f"robustness: {Path(error.cmd[1]).name} ended with status {error.returncode}", file=sys.stderr)
        return 2
    return 0


class Experiment:
    """One data set's files, and the commands that make them. What is there is not made again."""

    def __init__(self, data: str, root: Path, count: int, seed: int = 0, removed: RemovedKind | None = None) -> None:
        self.root, self.count, self.seed, self.removed = root, count, seed, removed
        self.config = HERE / f"{data}.yaml"
        self.folder = RUNS / data
        self.runs = self.folder / f"seed-{seed}" if seed else self.folder  # evaluator and layouts are the same for all
        self.segmenter = self.folder / "segmenter.safetensors"
        self.layouts = self.folder / f"layouts-{count}"
        self.others = self.folder / f"others-{count}"  # by which guidance is chosen

    def data(self) -> DataConfig:
        """The layouts that images are made of."""
        return load(TrainConfig, str(self.config), [f"data.root={self.layouts}"]).data

    def prepare(self) -> None:
        """The segmenter, and layouts from all over the validation split: neighbours are frames of one video."""
        if not (self.root / "val").is_dir():
            raise ValueError(
                f"there is no folder {self.root / 'val'}: --root is the folder of {{train,val}}/{{images,labels}}"
            )
        if not self.segmenter.is_file():
            data = ["--data", self.config, *changed(f"data.root={self.root}")]
            run("train_segmenter.py", *data, "--steps", SEGMENTER_STEPS, "--bf16", "--out", self.segmenter)
        for kind in ("images", "labels"):
            files = sorted((self.root / "val" / kind).iterdir())
            if len(files) < self.count:
                raise ValueError(f"{self.root} has {len(files)} {kind} in val: set --limit to no more")
            shown = spread(files, self.count)
            copy(shown, self.layouts / "val" / kind)
            copy(spread([file for file in files if file not in shown], CHOSEN_BY), self.others / "val" / kind)

    def train(self, method: str) -> None:
        """Most steps at half the size, where they cost a quarter."""
        run_folder = self.runs / method
        seed = [f"seed={self.seed}", f"data.seed={self.seed}"]
        given = ["--config", self.config, *changed(f"data.root={self.root}")]
        common = [*given, *changed(*METHODS[method].settings, *seed)]
        before = METHODS[method].after or method
        coarse = self.runs / before / "coarse"
        size = [side // 2 for side in self.data().height_width]
        settings = [*METHODS[before].settings, f"run={coarse}", f"steps={COARSE_STEPS}", f"data.size={size}"]
        run("train.py", *given, *changed(*settings, *seed))
        run("train.py", *common, *changed(f"run={run_folder}", f"init={coarse / 'model.safetensors'}"))
        model = run_folder / "model.safetensors"
        if (header := read_header(model)).config.network.roughness and header.roughness is None:
            run("fit_roughness.py", *common, "--model", model)

    def choose(self, method: str) -> None:
        """The guidance at which its images of other layouts are read best: with the first seed, for all of them."""
        if self.seed or self.chosen(method).is_file():
            return
        if not any((self.others / "val").glob("images/*")):
            raise ValueError(f"{self.root} has no other layouts in val to choose by: set --limit to fewer")
        found = {}
        for guidance in GUIDANCES:
            miou = []
            for column in CHOOSING:
                folder = self.runs / method / "choosing" / f"{guidance:g}" / column
                if not (folder / "result.json").is_file():
                    self.run_evaluation(method, column, guidance, self.others, folder)
                miou.append(json.loads((folder / "result.json").read_text())["metrics"]["miou"])
            found[guidance] = float(np.mean(miou))
        best = max(GUIDANCES, key=found.__getitem__)
        write_text(self.chosen(method), json.dumps({"guidance": best, "miou": found}) + "\n")

    def chosen(self, method: str) -> Path:
        return self.folder / method / "guidance.json"

    def guidance(self, method: str) -> float:
        file = self.chosen(method)
        return float(json.loads(file.read_text())["guidance"]) if file.is_file() else GUIDANCE

    def evaluate(self, method: str, column: str) -> None:
        if not self.is_evaluated(method, column):
            self.run_evaluation(method, column, self.guidance(method), self.layouts, self.evaluation(method, column))

    def run_evaluation(self, method: str, column: str, guidance: float, layouts: Path, folder: Path) -> None:
        corruption = self.corruption(column)
        given = ["--corruption", corruption.kind, "--removed", corruption.removed]
        if corruption.strength:
            given += ["--strength", *(f"{key}={value}" for key, value in corruption.strength.items())]
        model = ["--model", self.runs / method / "model.safetensors"]
        data = ["--data", self.config, *changed(f"data.root={layouts}")]
        options = ["--options", *SAMPLING, f"guidance={guidance:g}", "--batch", 16, "--segmenter", self.segmenter]
        run("evaluate_model.py", *model, *data, *given, *options, "--out", folder)

    def corruption(self, column: str) -> LayoutCorruption:
        return replace(COLUMNS[column], removed=self.removed) if self.removed else COLUMNS[column]

    def evaluation(self, method: str, column: str) -> Path:
        chosen = f"-{self.removed}" if self.removed else ""
        guidance = self.guidance(method)
        chosen += "" if guidance == GUIDANCE else f"-guidance-{guidance:g}"
        return self.runs / method / f"layouts-{self.count}{chosen}" / column

    def is_evaluated(self, method: str, column: str) -> bool:
        return (self.evaluation(method, column) / "result.json").is_file()

    def evaluated(self) -> Iterator[tuple[str, str]]:
        """(method, column)"""
        return ((method, column) for method in METHODS for column in COLUMNS if self.is_evaluated(method, column))

    def sample(self, method: str, column: str, name: str) -> Tensor:
        """The image (1, 3, H, W) of the layout called `name`."""
        image = read_image(self.evaluation(method, column) / "0" / f"{name}.png").convert("RGB")
        return from_levels(np.array(image)[None])


def run(script: str, *arguments: object) -> None:
    """A script of training/. CalledProcessError if it fails."""
    subprocess.run([sys.executable, str(TRAINING / script), *map(str, arguments)], check=True)


def spread(files: Sequence[Path], count: int) -> list[Path]:
    """As many of the files, from all over them; all if they are fewer."""
    count = min(count, len(files))
    return [files[i * len(files) // count] for i in range(count)]


def copy(files: Sequence[Path], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, folder)


def changed(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


class Seen(NamedTuple):
    """What the segmenter sees in N images.

    score: of each image. features: (N, D).
    """

    score: list[SegmentationScore]
    features: Tensor

    def of(self, images: Sequence[int]) -> Seen:
        return Seen([self.score[i] for i in images], self.features[list(images)])

    def shares(self) -> SegmentationResult:
        return sum(self.score[1:], self.score[0]).compute()


class Metric(NamedTuple):
    """measure: (what is seen in real images, and in samples of their layouts) -> value. better: 1 if more is, else -1."""

    heading: str
    measure: Callable[[Seen, Seen], float]
    better: int


def frechet_distance(real: Seen, samples: Seen) -> float:
    """A hundred times it: the segmenter's features are small numbers."""
    distance = FrechetDistance()
    distance.update(real.features, real=True)
    distance.update(samples.features, real=False)
    return 100 * distance.compute()


METRICS = [
    Metric("mIoU % ↑", lambda _, samples: 100 * samples.shares().miou, 1),
    Metric("pixel accuracy % ↑", lambda _, samples: 100 * samples.shares().pixel_accuracy, 1),
    Metric("100 × Fréchet distance ↓", frechet_distance, -1),
]


def tables(experiment: Experiment) -> str:
    """Markdown: what is measured, on the layouts and on as many that chance draws from them, with repetitions."""
    real, samples = seen(experiment)
    random = np.random.default_rng(0)
    draws = [range(experiment.count), *random.integers(experiment.count, size=(REDRAWN, experiment.count)).tolist()]
    shares = real.shares()
    lines = [
        f"{experiment.count} layouts of the validation split; {', '.join(SAMPLING)}; guidance {guidances(experiment)}. "
        "The segmenter reads the real images at "
        f"mIoU {100 * shares.miou:.1f} %, pixel accuracy {100 * shares.pixel_accuracy:.1f} %.",
        f"Best of a column in bold; ≈ if it is at least as good in more than 5 % of {REDRAWN} draws of other layouts from "
        "these, ± is their standard deviation.",
    ]
    for metric in METRICS:
        values = {
            cell: np.array([metric.measure(real.of(images), found.of(images)) for images in draws])
            for cell, found in samples.items()
        }
        lines += ["", *table(metric, values)]
    return "\n".join(lines) + "\n"


def guidances(experiment: Experiment) -> str:
    """As chosen for each method, if any was."""
    if not any(experiment.chosen(method).is_file() for method in METHODS):
        return f"{GUIDANCE:g}"
    there = dict.fromkeys(method for method, _ in experiment.evaluated())
    each = ", ".join(f"{METHODS[method].name}: {experiment.guidance(method):g}" for method in there)
    return f"chosen on {CHOSEN_BY} other layouts ({each})"


Cell = tuple[str, str]  # method, column


def seen(experiment: Experiment) -> tuple[Seen, dict[Cell, Seen]]:
    """In the real images, and in all samples that there are."""
    data = open_dataset(experiment.data(), "val")
    evaluator = SmallSegmenter(experiment.segmenter, data.palette)
    photographs = data.validation()
    batch = collate([photographs[i] for i in range(len(photographs))])
    unlabelled = -1 if data.palette.unlabelled is None else data.palette.unlabelled
    truth = batch.ids.masked_fill(batch.ids == unlabelled, data.palette.num_classes)

    def look(images: Tensor) -> Seen:
        scores = [SegmentationScore(data.palette.num_classes) for _ in truth]
        for score, read, true in zip(scores, evaluator.ids(images), truth, strict=True):
            score.update(read, true)
        return Seen(scores, evaluator(images))

    samples = {
        cell: look(torch.cat([experiment.sample(*cell, name) for name in photographs.names]))
        for cell in experiment.evaluated()
    }
    return look(batch.images), samples


def table(metric: Metric, values: dict[Cell, np.ndarray]) -> list[str]:
    """values: of the layouts as they are, and then of each draw."""
    columns = [column for column in COLUMNS if any(column == cell[1] for cell in values)]
    best = {
        column: max((values[cell] for cell in values if cell[1] == column), key=lambda value: metric.better * value[0])
        for column in columns
    }

    def shown(method: str, column: str) -> str:
        value = values.get((method, column))
        if value is None:
            return ""
        if value is best[column]:
            return f"**{value[0]:.1f}**"
        close = (metric.better * (value - best[column]) >= 0)[1:].mean() > 0.05
        return f"{value[0]:.1f}{' ≈' if close else ''}"

    def difference(method: str, other: str, column: str) -> str:
        if (method, column) not in values or (other, column) not in values:
            return ""
        value = values[method, column] - values[other, column]
        return f"{value[0]:+.1f} ± {value[1:].std():.1f}"

    lines = [
        f"| {metric.heading} | {' | '.join(column.replace('-', ' ') for column in columns)} |",
        "| --- " * (1 + len(columns)) + "|",
    ]
    for method in METHODS:
        if any(method == cell[0] for cell in values):
            cells = (shown(method, column) for column in columns)
            lines.append(f"| {METHODS[method].name} | {' | '.join(cells)} |")
    for method, other in COMPARED:
        differences = [difference(method, other, column) for column in columns]
        if any(differences):
            lines.append(f"| *{METHODS[method].name} − {METHODS[other].name}* | {' | '.join(differences)} |")
    return lines


def sheet(experiment: Experiment) -> np.ndarray:
    """uint8 (H, W, 3): for some layouts what a model was given, by columns, and below it what each method made of it."""
    config = experiment.data()
    data = open_dataset(config, "val")
    evaluated = set(experiment.evaluated())
    methods = [method for method in METHODS if any(method == cell[0] for cell in evaluated)]
    photographs = data.validation()
    rows, names = [], []
    for place in ((2 * i + 1) * experiment.count // (2 * SHOWN) for i in range(SHOWN)):
        photograph = to_levels(photographs[place].image[None])[0]
        layouts = (collate([Layouts(data, config, experiment.corruption(column))[place]]) for column in SHOWN_COLUMNS)
        given = [data.palette.to_image(batch.labels(data.palette.num_classes), UNPAINTED_GREY)[0] for batch in layouts]
        rows.append([*given, photograph])
        names.append("layout")
        for method in methods:
            pictures = [
                to_levels(experiment.sample(method, column, photographs.names[place]))[0]
                if (method, column) in evaluated
                else np.full_like(photograph, PAPER[0])
                for column in SHOWN_COLUMNS
            ]
            rows.append(pictures)
            names.append(METHODS[method].name)
    return named(
        contact_sheet(rows, SIDE), names, [*(column.replace("-", " ") for column in SHOWN_COLUMNS), "photograph"]
    )


def named(pictures: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> np.ndarray:
    """A contact sheet of even rows and columns with their names to the left and above."""
    height, width = pictures.shape[0] // len(rows), pictures.shape[1] // len(columns)
    paper = Image.new("RGB", (pictures.shape[1] + LABEL, pictures.shape[0] + 2 * TEXT), PAPER)
    paper.paste(Image.fromarray(pictures), (LABEL, 2 * TEXT))
    draw, font = ImageDraw.Draw(paper), ImageFont.load_default(TEXT)
    for i, name in enumerate(rows):
        draw.text(
            (TEXT // 2, 2 * TEXT + (i + 0.5) * height), name.replace(", ", ",\n"), (40, 40, 40), font, anchor="lm"
        )
    for i, name in enumerate(columns):
        draw.text((LABEL + (i + 0.5) * width, TEXT), name, (40, 40, 40), font, anchor="mm")
    return np.array(paper)


if __name__ == "__main__":
    sys.exit(perform(main))
