"""Fit what estimates how rough a layout is: python training/fit_roughness.py --config CONFIG --model FILE

Makes layouts of the training split rough at known strengths, fits an estimator to measures of their outlines, writes it into
the model's file, and prints its mean absolute error on layouts of the validation split: per error, and for layouts of which
much is unpainted. The weights stay as they are. It takes the sizes of the configuration in turn (data.size, more_sizes).
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("fit_roughness")  # before the imports that take seconds

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from tqdm.auto import tqdm

from scdm.datasets import DataSet, open_dataset
from scdm.datasets.parallel import mapped
from scdm.files.arguments import Parser
from scdm.files.config import load
from scdm.layouts.labels import LabelMap
from scdm.layouts.roughening import ERRORS, OMISSIONS
from scdm.layouts.roughness import RoughnessEstimator
from scdm.models.checkpoint import HEADER, read_header, write_tensors
from scdm.training.command import ending
from scdm.training.config import TrainConfig
from scdm.training.roughness import UNFINISHED, Fitted, Trial, examples, fitted, joined


@ending("fit_roughness", "nothing is written")
def main(argv: list[str] | None = None) -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("--config", required=True, type=Path, help="YAML file of the run, for its data and sizes")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="data.root=/data/ade20k")
    parser.add_argument("--model", required=True, type=Path, help="model file that the estimator is written into")
    parser.add_argument("--layouts", type=int, default=1000, help="layouts to fit to (default 1000)")
    parser.add_argument("--unseen", type=int, default=200, help="layouts to evaluate on (default 200)")
    parser.add_argument("--dry-run", action="store_true", help="print the errors and change nothing")
    arguments = parser.parse_args(argv)
    if arguments.layouts < 1 or arguments.unseen < 1:
        raise ValueError("--layouts and --unseen are 1 at least")
    config = load(TrainConfig, arguments.config, arguments.set)
    header = read_header(arguments.model)
    training, unseen = ([open_dataset(data, split) for data in config.turns()] for split in ("train", "val"))
    header.palette.require_same(training[0].palette, str(arguments.model), "the data set")
    if not header.config.network.roughness:
        raise ValueError(f"{arguments.model} does not read roughness: train it with network.roughness and rough_share")

    workers = config.data.workers
    made = mapped(partial(of_training, training), range(arguments.layouts), workers)
    estimator = fitted(joined(tqdm(made, total=arguments.layouts, unit="layout")), config.seed)
    trials = mapped(partial(of_validation, unseen), range(arguments.unseen), workers)
    print(table(estimator, list(tqdm(trials, total=arguments.unseen, unit="layout"))))
    if not arguments.dry_run:
        write_tensors(
            arguments.model, load_file(arguments.model), {HEADER: replace(header, roughness=estimator).to_json()}
        )
        print(f"{arguments.model} estimates roughness from now on")
    return 0


TRIALS = {
    "exact": Trial(exact=True),
    "mix of errors": Trial(),
    **{name: Trial(name) for name in (*ERRORS, *OMISSIONS)},
    **{f"exact, {left}": Trial(exact=True, left=left) for left in UNFINISHED if left != "whole"},
    **{f"mix, {left}": Trial(left=left) for left in UNFINISHED if left != "whole"},
    "exact, simple shapes": Trial(exact=True, shapes=True),
    "cells, simple shapes": Trial("cells", shapes=True),
}


def of_training(turns: list[DataSet], index: int) -> Fitted:
    data = turns[index % len(turns)]
    return examples(LabelMap(data.training(index)[0].ids[None], data.palette.num_classes), index)


def of_validation(turns: list[DataSet], index: int) -> dict[str, Fitted]:
    data = turns[index % len(turns)]
    validation = data.validation()
    labels = LabelMap(validation[index % len(validation)].ids[None], data.palette.num_classes)
    return {name: trial(labels, index) for name, trial in TRIALS.items()}


def table(estimator: RoughnessEstimator, trials: list[dict[str, Fitted]]) -> str:
    """In Markdown: per kind, the mean absolute error, that of the best constant, and the mean estimate."""
    lines = ["| layouts | error | of a constant | mean estimate |", "| --- | --- | --- | --- |"]
    for name in TRIALS:
        rows, roughness = joined(one[name] for one in trials)
        if len(rows) == 0:
            continue
        estimates = estimator.of_measures(rows)
        error, constant = (float(np.abs(roughness - by).mean()) for by in (estimates, np.median(roughness)))
        lines.append(f"| {name} | {error:.3f} | {constant:.3f} | {estimates.mean():.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(perform(main))
