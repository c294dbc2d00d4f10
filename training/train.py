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
    except (ValueError, OSError, MemoryError) as error:
        print(f"train: {error or 'out of memory: a smaller batch needs less'}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train: interrupted; the same command goes on from the last save", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
