"""`scdm` and `python -m scdm`: the command line as a program of its own."""

import sys

from .start import begin, perform


def main() -> int | None:
    begin("scdm")
    from .cli import main as work

    return perform(work)


if __name__ == "__main__":
    sys.exit(main())
