"""An average of any length, after training: python training/posthoc_ema.py RUN --width 0.08 --out model.safetensors

RUN is the folder of a run with `posthoc_every`, which kept two power-function averages of its weights and wrote snapshots of
them. The average with the relative width --width is reconstructed from these by least squares (Karras et al. 2024): 0.05 is
an average over about the last twentieth of the training, 0.2 over most of it. Which is best depends on model, data and
guidance, so make several and compare them with training/evaluate_model.py.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("posthoc_ema")  # before the imports that take seconds

import sys
from collections.abc import Sequence
from pathlib import Path

from scdm.files.arguments import Parser
from scdm.files.plugins import load_plugins
from scdm.models import checkpoint
from scdm.training.command import add_plugin_flag, ending
from scdm.training.posthoc import LEAST_WIDTH, MOST_WIDTH, reconstructed


@ending("posthoc_ema")
def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="the run's folder")
    parser.add_argument("--width", type=float, required=True, help=f"relative width, {LEAST_WIDTH} to {MOST_WIDTH}")
    parser.add_argument("--updates", type=int, help="where the average ends (default: at the last snapshot)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="model file to write")
    add_plugin_flag(parser)
    arguments = parser.parse_args(argv)
    load_plugins(arguments.plugin)
    if not LEAST_WIDTH <= arguments.width <= MOST_WIDTH:
        raise ValueError(f"--width must be a number from {LEAST_WIDTH} to {MOST_WIDTH}, not {arguments.width}")
    if arguments.out.exists():
        raise ValueError(f"{arguments.out} exists already: give --out another name")
    checkpoint.save(arguments.out, reconstructed(arguments.run, arguments.width, arguments.updates))
    print(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(perform(main))
