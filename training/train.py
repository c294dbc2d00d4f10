"""Train a model: accelerate launch training/train.py --config training/configs/scenes64.yaml

The same command resumes a run that was stopped. Ends with status 0 if the run is complete, 128 + N if signal N stopped it,
saved, and 2 if something is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from scdm.config import load
from scdm.training.config import TrainConfig


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="YAML file, see training/configs")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting: data.size=128"
    )
    parser.add_argument("--dry-run", action="store_true", help="build everything, take one step, write nothing")
    arguments = parser.parse_args(argv)
    try:
        from scdm.training.interruption import Interrupted
        from scdm.training.loop import rehearse, train
    except ModuleNotFoundError as error:
        print(f"train: {error.name} is not installed: pip install -e '.[train]'", file=sys.stderr)
        return 2
    try:
        config = load(TrainConfig, arguments.config, arguments.set)
        say(str(rehearse(config) if arguments.dry_run else train(config)))
        status = 0
    except Interrupted as interrupted:
        say(f"train: {interrupted}")
        status = 128 + interrupted.signum
    except (ValueError, OSError, MemoryError, FloatingPointError) as error:
        print(f"train: {error or 'out of memory: a smaller batch needs less'}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("train: interrupted before there was anything to save", file=sys.stderr)
        return 130
    part_from_other_processes()
    return status


def say(sentence: str) -> None:
    """What is true of all processes, one of them says."""
    if int(os.environ.get("RANK", "0")) == 0:
        print(sentence)


def part_from_other_processes() -> None:
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        time.sleep(
            0.1
        )  # gloo's threads need the interpreter to let go of their last messages, or they would be waited for
        distributed.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
