"""What scripts have in common: how they end and what they say then; and of those that train, the arguments."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import wraps
from typing import ParamSpec, TypeVar

from ..files.arguments import Parser
from ..files.config import load
from ..files.plugins import load_plugins
from ..files.untrusted import is_out_of_memory, sentence
from ..start import importing
from .config import RunConfig
from .interruption import Interrupted

Config = TypeVar("Config", bound=RunConfig)
Arguments = ParamSpec("Arguments")


def ending(
    program: str, interrupted: str = "", memory: str = "a smaller batch needs less"
) -> Callable[[Callable[Arguments, int]], Callable[Arguments, int]]:
    """For a script's `main`: what a user can mend ends in a line and status 2, Ctrl-C in a line and status 130.

    interrupted: what is true then, such as that the same command goes on. memory: what to do where it runs out.
    """

    def of(main: Callable[Arguments, int]) -> Callable[Arguments, int]:
        @wraps(main)
        def ended(*arguments: Arguments.args, **options: Arguments.kwargs) -> int:
            try:
                return main(*arguments, **options)
            except KeyboardInterrupt:
                print(f"{program}: interrupted{'; ' if interrupted else ''}{interrupted}", file=sys.stderr)
                return 130
            except Exception as error:
                words = _words(error, memory)
                if words is None:
                    raise
                print(f"{program}: {sentence(words)}", file=sys.stderr)
                return 2

        return ended

    return of


def _words(error: Exception, memory: str) -> str | None:
    """What to say of an error that a user can mend, None for any other."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, (MemoryError, RuntimeError)) and is_out_of_memory(error):
        ours = type(error) is MemoryError and str(error)  # which says what to change
        return str(error) if ours else f"out of memory: {memory}"
    return str(error) if isinstance(error, (ValueError, OSError, FloatingPointError)) else None


def run(
    name: str,
    description: str,
    kind: type[Config],
    runs: Callable[[Config], Sequence[RunConfig]],
    argv: Sequence[str] | None = None,
) -> int:
    """Makes the `runs` of the configuration of that `kind` that the arguments name, in order. Returns the exit status."""
    arguments = _parsed(description, argv)
    # Between runs, or before the first: within one, Ctrl-C asks to save.
    end = ending(name, "what was saved is kept, and the same command goes on from there")

    def configured() -> Sequence[RunConfig]:
        load_plugins(arguments.plugin)
        return runs(load(kind, arguments.config, arguments.set))

    return end(_run)(name, configured, arguments.dry_run)


def _run(name: str, runs: Callable[[], Sequence[RunConfig]], dry_run: bool) -> int:
    try:
        with importing():
            from .loop import rehearse, train
    except ModuleNotFoundError as error:
        raise ValueError(f"{error.name} is not installed: pip install -e '.[train]'") from error
    todo, status = runs(), 0
    try:
        for config in todo[:1] if dry_run else todo:
            _say(rehearse(config) if dry_run else str(train(config)))
    except Interrupted as interrupted:
        _say(f"{name}: {interrupted}")
        status = 128 + interrupted.signum
    part_from_other_processes()
    return status


def _parsed(description: str, argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(description=description)
    parser.add_argument("--config", required=True, help="YAML file, see training/configs")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting: data.size=128"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="build everything, time a few steps of each size, write nothing"
    )
    add_plugin_flag(parser)
    return parser.parse_args(argv)


def add_plugin_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--plugin",
        action="append",
        default=[],
        metavar="MODULE",
        help="import this module, or file.py, which registers a network, a data set, a sampler ...; may be repeated",
    )


def _say(words: str) -> None:
    """What is true of all processes, one of them says."""
    if int(os.environ.get("RANK", "0")) == 0:
        print(words)


def part_from_other_processes() -> None:
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        # gloo's threads need the interpreter to let go of their last messages, or they would be waited for
        time.sleep(0.1)
        distributed.destroy_process_group()
