"""The command line: `scdm sample | inspect | corrupt | palette | convert`.

`arguments` holds all that can be asked for and is free of torch, so that help is there at once; each command is a module
of its name whose `run` does the work. What is wrong with a request ends here as one sentence and exit status 2.
"""

from __future__ import annotations

import io
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from .arguments import parser

WRONG, INTERRUPTED = 2, 130  # exit statuses; 128 + the number of the signal, as in shells
NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "insufficient memory")  # of torch and OpenCV


def main(argv: Sequence[str] | None = None) -> int:
    """Does what the command line asks and returns the exit status; `--help` and `--version` raise SystemExit."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names that the terminal cannot write are no reason to stop
    try:
        arguments = parser().parse_args(argv)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they speak to programmers; what a user can act on arrives as a note
            import_module(f".{arguments.command}", __package__).run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("scdm: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # as in `scdm inspect FILE | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _complain(f"{where}{error.strerror or error}")
    except ValueError as error:
        return _complain(str(error))
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(text in str(error).lower() for text in NO_MEMORY):
            raise
        return _complain("there is not enough memory for this (images of a smaller --size need less)")
    return 0


def _complain(sentence: str) -> int:
    print(f"scdm: error: {' '.join(sentence.split())}", file=sys.stderr)
    return WRONG
