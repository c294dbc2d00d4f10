"""Make one model of a model and an upsampler: python training/join_upsampler.py MODEL UPSAMPLER --out FILE

The model then makes larger images in two stages: small ones, to which the upsampler adds detail. An upsampler that MODEL has
already is replaced. --shared is for the models that come with the package: their files name the upsampler, which they share.
Ends with status 0, or 2 if something is wrong.
"""

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("join_upsampler")  # before the imports that take seconds

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from scdm import load
from scdm.cli.common import check_output
from scdm.cli.flags import add_stored_type
from scdm.files.arguments import Parser
from scdm.models import checkpoint
from scdm.training.command import ending


@ending("join_upsampler")
def main(argv: Sequence[str] | None = None) -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("model", help="as scdm.load reads it")
    parser.add_argument("upsampler", help="model file that training/train_upsampler.py made")
    parser.add_argument("--out", required=True, metavar="FILE", help="model file to write, which may be MODEL's own")
    add_stored_type(parser)
    parser.add_argument(
        "--shared", metavar="NAME", help="name this upsampler of the package instead of storing its weights"
    )
    arguments = parser.parse_args(argv)
    check_output(Path(arguments.out), [Path(arguments.upsampler)])
    joined = load(arguments.model).upsampled_by(load(arguments.upsampler))
    checkpoint.save(arguments.out, joined, arguments.stored and getattr(torch, arguments.stored), arguments.shared)
    return 0


if __name__ == "__main__":
    sys.exit(perform(main))
