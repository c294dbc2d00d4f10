"""Train a model: accelerate launch training/train.py --config training/configs/scenes64.yaml"""

from __future__ import annotations

import argparse
import sys

from scdm.config import load
from scdm.training.config import TrainConfig
from scdm.training.loop import train


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="YAML file, see training/configs")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting: data.size=128"
    )
    arguments = parser.parse_args()
    try:
        config = load(TrainConfig, arguments.config, arguments.set)
        print(train(config))
    except ValueError as error:
        print(f"train: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
