"""Put evaluations together: python training/compare_evaluations.py runs/evaluation/*/result.json --out runs/comparison

Writes a table of all results beside the published ones, as comparison.md, comparison.tex and comparison.csv, and a plot
(guidance.png, steps.png, layouts.png, label_noise.png) for each of these settings by which results differ that agree in all
the others. Without matplotlib there are no plots.

With --repetitions, results of one --name of evaluate_model.py that differ only in weights and seeds become one row: the mean
of the runs, with its interval.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("compare_evaluations")  # before the imports that take seconds

import sys
from collections.abc import Sequence
from pathlib import Path

from scdm.evaluation.comparison import read_result, repeated, write_tables
from scdm.evaluation.plots import plots
from scdm.evaluation.report import Result
from scdm.files.arguments import Parser
from scdm.metrics.optional import MissingPackage
from scdm.training.command import ending


@ending("compare_evaluations")
def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(description=__doc__)
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULT", help="result.json of training/evaluate_model.py"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="for the table and the plots")
    parser.add_argument("--repetitions", action="store_true", help="runs of one --name, other seeds, as one row")
    arguments = parser.parse_args(argv)
    require_once(arguments.results)
    results = [read_result(path) for path in arguments.results]
    shown = repeated(results) if arguments.repetitions else results
    for path in [*write_tables(shown, arguments.out), *_plots(shown, arguments.out)]:
        print(path)
    return 0


def require_once(paths: Sequence[Path]) -> None:
    places = [path.resolve() for path in paths]
    for place, path in zip(places, paths, strict=True):
        if places.count(place) > 1:
            raise ValueError(f"{path} is named twice: name each result once")


def _plots(results: Sequence[Result], folder: Path) -> list[Path]:
    try:
        return plots(results, folder)
    except MissingPackage as missing:
        print(f"compare_evaluations: the tables are written, but no plots: {missing}", file=sys.stderr)
        return []


if __name__ == "__main__":
    sys.exit(perform(main))
