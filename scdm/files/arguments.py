"""The arguments of a program."""

from __future__ import annotations

import argparse
from typing import Any

from .untrusted import meant


class Parser(argparse.ArgumentParser):
    """Keeps the lines of its description, and answers an unknown option with the nearest that it has."""

    def __init__(self, *, formatter_class: Any = argparse.RawDescriptionHelpFormatter, **settings: Any):
        super().__init__(formatter_class=formatter_class, **settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        known, others = super().parse_known_args(args, namespace)
        if others:  # here, where the options of this command are known, and not in the parser above it
            self.error(f"unrecognized arguments: {' '.join(others)}{self.hint(others[0])}")
        return known, others

    def hint(self, argument: str) -> str:
        name = argument.partition("=")[0]
        question = meant(name, self._option_string_actions) if name.startswith("--") else ""
        return question and f": {question}"
