"""Speed of reading: images a second for each worker, and the share of a training step spent waiting for them.

    python benchmarks/loader.py                                  # files of ADE20K's size and layout, made on the spot
    python benchmarks/loader.py --config CONFIG --step 0.35      # a real data set, and the seconds that its steps take
    python benchmarks/loader.py --scenes 256 512                 # how fast one core renders scenes of these sizes

A worker's speed is measured with nothing else to do. Waiting is measured beside a process that is busy elsewhere (on a GPU)
for `--step` seconds a batch, after the first batches; 0 workers means that the training process reads itself.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("loader")  # before torch is loaded

import argparse
import itertools
import sys
import tempfile
import time
from pathlib import Path

import cv2
from torch.utils.data import DataLoader

from scdm.datasets import DataConfig, Example, loader, open_dataset
from scdm.datasets.scenes import render
from scdm.files.arguments import Parser
from scdm.files.config import load
from scdm.files.images import write_image
from scdm.training.command import ending
from scdm.training.config import TrainConfig

FILES = 48  # made on the spot: one epoch of them fits into any cache, so disks are not measured
HEIGHT, WIDTH = 512, 683  # usual in ADE20K
WARM_UP = 2  # batches


@ending("loader")
def main() -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("--config", help="YAML file of a run; its data set is read")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="data.size=128")
    parser.add_argument("--size", type=int, default=256, help="of what is made on the spot, in training (%(default)s)")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--batches", type=int, default=12, help="to measure")
    parser.add_argument("--step", type=float, default=0.5, help="seconds that a step takes (%(default)s)")
    parser.add_argument("--scenes", type=int, nargs="+", metavar="SIZE", help="measure rendering alone, on one core")
    arguments = parser.parse_args()
    if arguments.scenes:
        report_scenes(arguments.scenes)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        if arguments.config:
            config = load(TrainConfig, arguments.config, arguments.set).data
        else:
            config = DataConfig("ade20k", root=made(Path(folder)), size=arguments.size)
        report(config, arguments)
    return 0


def made(root: Path, files: int = FILES) -> str:
    """Scenes in the folders of ADE20K."""
    for kind in ("images", "annotations"):
        (root / kind / "training").mkdir(parents=True)
    for index in range(files):
        image, ids = render(index, size=(HEIGHT, WIDTH))
        write_image(root / "images" / "training" / f"{index}.jpg", image)
        write_image(root / "annotations" / "training" / f"{index}.png", ids + 1)
    return str(root)


def report(config: DataConfig, arguments: argparse.Namespace) -> None:
    data = open_dataset(config)
    height, width = config.height_width
    print(f"{config.name} at {width} x {height}, batches of {arguments.batch}, steps of {arguments.step:g} s\n")
    print("| workers | images/s | for each worker | share of a step spent waiting |\n| --- | --- | --- | --- |")
    for workers in arguments.workers:
        seconds = waited(loader(data.training(), arguments.batch, workers), arguments.batches, 0)
        speed = arguments.batches * arguments.batch / seconds
        waiting = waited(loader(data.training(), arguments.batch, workers), arguments.batches, arguments.step)
        share = waiting / (waiting + arguments.batches * arguments.step)
        print(f"| {workers} | {speed:.0f} | {speed / max(workers, 1):.0f} | {share:.1%} |", flush=True)


def report_scenes(sizes: list[int], count: int = 40) -> None:
    """Scenes a second, after as many that make the textures; by processor time too, which says more on a busy machine."""
    cv2.setNumThreads(1)
    print("| size | scenes/s | for each second of processor time |\n| --- | --- | --- |")
    for size in sizes:
        for index in range(count):
            render(index, size=size)
        clock, processor = time.perf_counter(), time.process_time()
        for index in range(count, 2 * count):
            render(index, size=size)
        clock, processor = time.perf_counter() - clock, time.process_time() - processor
        print(f"| {size} | {count / clock:.1f} | {count / processor:.1f} |", flush=True)


def waited(batches: DataLoader[Example], count: int, busy: float) -> float:
    """Seconds spent waiting for `count` batches by one who is busy for so many seconds after each."""
    stream = iter(batches)
    for _ in itertools.islice(stream, WARM_UP):
        time.sleep(busy)
    total = 0.0
    for _ in range(count):
        started = time.perf_counter()
        next(stream)
        total += time.perf_counter() - started
        time.sleep(busy)
    return total


if __name__ == "__main__":
    sys.exit(perform(main))
