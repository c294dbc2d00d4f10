"""What the scripts have in common: how they end and what they say then; and of those that train, the arguments."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

from ..files.config import load
from ..files.untrusted import harmless, sentence
from ..start import importing
from .config import RunConfig

Config = TypeVar("Config", bound=RunConfig)
Arguments = ParamSpec("Arguments")


def ending(program: str, interrupted: str = "") -> Callable[[Callable[Arguments, int]], Callable[Arguments, int]]:
    """For a script's `main`: what a user can mend ends in a line and status 2, Ctrl-C in a line and status 130.

    interrupted: what is true then, such as that the same command goes on.
    """

    def of(main: Callable[Arguments, int]) -> Callable[Arguments, int]:
        @wraps(main)
        def ended(*arguments: Arguments.args, **options: Arguments.kwargs) -> int:
            try:
                return main(*arguments, **options)
            except (ValueError, OSError) as error:
                print(f"{program}: {sentence(str(error))}", file=sys.stderr)
                return 2
            except KeyboardInterrupt:
                print(f"{program}: interrupted{'; ' if interrupted else ''}{interrupted}", file=sys.stderr)
                return 130

        return ended

    return of


def run(
    name: str,
    description: str,
    kind: type[Config],
    runs: Callable[[Config], Sequence[RunConfig]],
    argv: Sequence[str] | None = None,
) -> int:
    """Makes the `runs` of the configuration of that `kind` that the arguments name, in order. Returns the exit status."""
    arguments = _parsed(description, argv)
    try:
        with importing():
            from .interruption import Interrupted
            from .loop import rehearse, train
    except ModuleNotFoundError as error:
        print(f"{name}: {error.name} is not installed: pip install -e '.[train]'", file=sys.stderr)
        return 2
    try:
        todo = runs(load(kind, arguments.config, arguments.set))
        if arguments.dry_run:
            _say(rehearse(todo[0]))
        else:
            for config in todo:
                _say(str(train(config)))
        status = 0
    except Interrupted as interrupted:
        _say(f"{name}: {interrupted}")
        status = 128 + interrupted.signum
    except (ValueError, OSError, MemoryError, FloatingPointError) as error:
        print(f"{name}: {harmless(_words(error)) or 'out of memory: a smaller batch needs less'}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # between runs, or before the first: within one, it asks to save
        print(f"{name}: interrupted; what was saved is kept, and the same command goes on from there", file=sys.stderr)
        return 130
    part_from_other_processes()
    return status


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _parsed(description: str, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="YAML file, see training/configs")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting: data.size=128"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="build everything, take a step of each size, write nothing"
    )
    return parser.parse_args(argv)


def _say(sentence: str) -> None:
    """What is true of all processes, one of them says."""
    if int(os.environ.get("RANK", "0")) == 0:
        print(sentence)


def part_from_other_processes() -> None:
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        # gloo's threads need the interpreter to let go of their last messages, or they would be waited for
        time.sleep(0.1)
        distributed.destroy_process_group()
