"""Read a whole data set before a run does: python training/check_data.py --config CONFIG

Names every file that has no counterpart, cannot be read, differs from its image in proportions, or holds ids that no class
has; photos whose white level is ambiguous (12 bits in a file of 16), or whose EXIF orientation their maps do not share
(data.exif); and maps of ids in a lossy format. Notes are about files that are read, but may be misread: photos that are
black, of one colour or transparent in part, maps that were smoothed or fit two conventions of values.
With buckets it says how many training images each size has, and how much of these its proportions cost.
Ends with status 0 if there are no problems, 1 if there are some, 2 if the configuration or a folder is wrong.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("check_data")  # before the imports that take seconds

import sys
import warnings

from tqdm.auto import tqdm

from scdm.datasets import DataSet, open_dataset
from scdm.datasets.buckets import buckets
from scdm.datasets.config import SPLITS, Split
from scdm.datasets.examples import ENDLESS
from scdm.datasets.reader import Doubt
from scdm.files.arguments import Parser
from scdm.files.config import load
from scdm.models.model import ModelConfig
from scdm.training.command import ending
from scdm.training.config import TrainConfig

MOST_NOTES = 10  # that are shown of a split: most files of a data set deserve the same ones


@ending("check_data")
def main(argv: list[str] | None = None) -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("--config", required=True, help="YAML file of the run, see training/configs")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="data.root=/data/ade20k")
    parser.add_argument("--split", choices=SPLITS, help="only this one")
    arguments = parser.parse_args(argv)
    config = load(TrainConfig, arguments.config, arguments.set)
    found = sum(check(config, split) for split in SPLITS if arguments.split in (None, split))
    return 1 if found else 0


def check(config: TrainConfig, split: Split) -> int:
    """Prints what is wrong with a split and returns the number of problems. ValueError if it cannot be opened."""
    data = open_dataset(config.data, split)
    require_network_for(config, data.palette.num_classes, data.palette.name)
    for note in getattr(data, "notes", ()):
        print(f"note: {note}")
    problems = doubts = 0
    for found in data.check():
        problems += not isinstance(found, Doubt)
        doubts += isinstance(found, Doubt)
        if not isinstance(found, Doubt):
            tqdm.write(found)  # beside the bar
        elif doubts <= MOST_NOTES:
            tqdm.write(f"note: {found}")
    if doubts > MOST_NOTES:
        print(f"note: and so on, {doubts - MOST_NOTES} more")
    images = "endless" if len(data) == ENDLESS else f"{len(data)} images"
    notes = f", {doubts} note{'' if doubts == 1 else 's'}" if doubts else ""
    print(f"{split}: {images}, {problems or 'no'} problem{'' if problems == 1 else 's'}{notes}")
    return problems + (check_buckets(config, data) if config.buckets and split == "train" else 0)


def check_buckets(config: TrainConfig, data: DataSet) -> int:
    """Prints how many images each size has, and how far these are from its proportions. Returns how many sizes have none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of files that cannot be read, which are problems already
        found = buckets(data, [turn.height_width for turn in config.turns()])
    for size, part, lost in found:
        how = "stretched" if part.fit == "stretch" else "cropped"
        few = f", fewer than a batch of {config.batch}" if len(part) < config.batch else ""
        cost = f"{few}, {how} by {lost:.1%} for their proportions" if len(part) else ": no run could take this size"
        print(f"train at {list(size)}: {len(part)} images{cost}")
    return sum(not len(bucket.data) for bucket in found)


def require_network_for(config: TrainConfig, num_classes: int, palette: str) -> None:
    """ValueError if the configured network has other classes than the data set, or cannot take its sizes."""
    if config.network.num_classes != num_classes:
        raise ValueError(f"{palette} has {num_classes} classes, network.num_classes is {config.network.num_classes}")
    for data in config.turns():
        ModelConfig(config.network, data.height_width, label_diffusion="none")


if __name__ == "__main__":
    sys.exit(perform(main))
