"""Corrupt the label maps of a data set: python training/make_noisy_labels.py --data CONFIG --out FOLDER

Writes FOLDER/KIND/... for every kind of the noisy benchmark, or for --kinds, with the files where the data set has them:

  downsample    nearest neighbour to 64 x 64 and back to the old size. --small leaves them at 64 x 64, as the benchmark does,
                whose reader enlarges them to the model's size in one step
  edges         what is at most 2 pixels, across and down together, from an instance border is removed; the borders come
                from the instance maps or, where there are none, lie between classes
  random        a tenth of the pixels is removed; map number i of the split has the seed --seed + i

Removed pixels get the value that the data set reads as unlabelled, or 0 if it reads none so. Values are those of the data
set: with the images beside it, FOLDER/KIND is a data set. Of the data set shards it is one by itself, of archives that
hold all else as it was. What is there is not made again.
training/evaluate_model.py --corruption KIND corrupts layouts as it reads them, in the same manner.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("make_noisy_labels")  # before the imports that take seconds

import io
import sys
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from scdm.datasets import open_pairs
from scdm.datasets.config import SPLITS
from scdm.datasets.pairs import PairSet
from scdm.datasets.parallel import mapped
from scdm.diffusion.corruption import CORRUPTIONS, resampled
from scdm.evaluation import LayoutCorruption
from scdm.evaluation.layouts import stored
from scdm.evaluation.samples import claim
from scdm.files.arguments import Parser
from scdm.files.atomic import made_folder, written_whole
from scdm.files.config import load
from scdm.files.images import encoded, write_image
from scdm.files.members import Member, members_of
from scdm.layouts.values import VALUES
from scdm.training.command import ending
from scdm.training.config import TrainConfig

BENCHMARK = ("downsample", "edges", "random")


class Job(NamedTuple):
    """Corrupted maps of one kind. value_of: (num_classes + 1,) the value in a file of each id, the last being MASK."""

    data: PairSet
    corruption: LayoutCorruption
    folder: Path
    value_of: np.ndarray
    small: bool


@ending("make_noisy_labels", "the same command goes on")
def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("--data", required=True, metavar="CONFIG", help="YAML of a training run; its data are taken")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="data.root=/data/ade20k")
    parser.add_argument("--split", default="val", choices=SPLITS)
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--kinds", nargs="+", default=BENCHMARK, choices=tuple(CORRUPTIONS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true", help="leave downsampled maps small")
    parser.add_argument("--unlabelled", type=int, metavar="VALUE", help="of removed pixels, if not the data set's own")
    arguments = parser.parse_args(argv)
    config = load(TrainConfig, arguments.data, arguments.set).data
    if config.name == "scenes":
        raise ValueError("scenes have no label files: evaluate_model.py --corruption corrupts their layouts")
    data = open_pairs(config, arguments.split)
    data.require_pairs()
    table = value_table(data, arguments.unlabelled)
    for kind in arguments.kinds:
        job = Job(data, LayoutCorruption(kind, arguments.seed), arguments.out / kind, table, arguments.small)
        write_maps(job, config.workers)
    return 0


def value_table(data: PairSet, unlabelled: int | None) -> np.ndarray:
    """`Job.value_of`: the smallest of the values that are read as each id; for MASK that of the class "unlabelled"."""
    id_of, palette = data.reader.id_of[:VALUES], data.palette
    ids, values = np.unique(id_of, return_index=True)
    table = np.zeros(palette.num_classes + 1, dtype=np.int64)
    table[ids[ids >= 0]] = values[ids >= 0]
    if unlabelled is None:
        void = [
            value for value in data.reader.convention.void(palette.num_classes) if id_of[value] == palette.num_classes
        ]
        unlabelled = next(iter(void), 0) if palette.unlabelled is None else int(table[palette.unlabelled])
    if not 0 <= unlabelled <= 65535:
        raise ValueError(f"a pixel of a label map has a value from 0 to 65535, not {unlabelled}")
    table[-1] = unlabelled
    return table


def write_maps(job: Job, workers: int) -> None:
    """Writes all maps of the job that are not there yet. ValueError if others are there, made with other settings."""
    value = int(job.value_of[-1])
    claim(
        job.folder, {"data": job.data.config.name, "seed": job.corruption.seed, "small": job.small, "unlabelled": value}
    )
    todo = [index for index in range(len(job.data)) if not path(job, index).is_file()]
    in_archives = isinstance(job.data.pairs[0].label, Member)
    made = write_archives(job, workers) if in_archives else mapped(partial(write_map, job), todo, workers)
    for _ in tqdm(made, total=len(job.data), initial=len(job.data) - len(todo), desc=job.corruption.kind, unit="map"):
        pass


def path(job: Job, index: int) -> Path:
    """Where the data set has it; or the archive in which it has it."""
    label = job.data.pairs[index].label
    if isinstance(label, Member):
        return job.folder / label.archive.relative_to(job.data.config.root or "")
    return job.folder / Path(label).relative_to(job.data.config.root or "").with_suffix(".png")


def write_map(job: Job, index: int) -> None:
    place = path(job, index)
    made_folder(place.parent)
    write_image(place, corrupted(job, index))


def write_archives(job: Job, workers: int) -> Iterator[None]:
    """Writes the archives that are not there yet, with corrupted maps in the place of its own. Yields after each map."""
    root, pairs = job.data.config.root or "", job.data.pairs
    number = {pair.label: index for index, pair in enumerate(pairs)}
    files = [file for pair in pairs for file in pair[1:] if isinstance(file, Member)]
    for archive in dict.fromkeys(file.archive for file in files):
        place = job.folder / archive.relative_to(root)
        if place.is_file():
            continue
        members = members_of(archive)
        maps = mapped(partial(corrupted, job), [number[member] for member in members if member in number], workers)
        made_folder(place.parent)
        with written_whole(place) as beside, tarfile.open(beside, "w") as made:
            for member in members:
                content = encoded(next(maps)) if member in number else member.read_bytes()
                info = tarfile.TarInfo(member.inner)
                info.size = len(content)
                made.addfile(info, io.BytesIO(content))
                if member in number:
                    yield


def corrupted(job: Job, index: int) -> np.ndarray:
    """The values of a map, (H, W) in the type of its file."""
    labels = stored(job.data, index)
    ids = job.corruption(labels, index).ids[0]
    if not job.small:
        ids = resampled(ids, labels.height, labels.width)
    return job.value_of[ids.numpy()].astype(np.uint8 if job.value_of.max() < 256 else np.uint16)


if __name__ == "__main__":
    sys.exit(perform(main))
