"""Put evaluations together: python training/compare_evaluations.py runs/evaluation/*/result.json --out runs/comparison

Writes comparison.md, a table of all results beside the published ones, and a plot (guidance.png, steps.png, layouts.png,
label_noise.png) for each of these settings by which results differ that agree in all the others.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("compare_evaluations")  # before the imports that take seconds

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scdm.evaluation.plots import comparison, plots, read_result
from scdm.files.atomic import made_folder, write_text
from scdm.training.command import ending


@ending("compare_evaluations")
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULT", help="result.json of training/evaluate_model.py"
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="for the table and the plots")
    arguments = parser.parse_args(argv)
    results = [read_result(path) for path in arguments.results]
    write_text(made_folder(arguments.out) / "comparison.md", comparison(results))
    for path in [arguments.out / "comparison.md", *plots(results, arguments.out)]:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(perform(main))
