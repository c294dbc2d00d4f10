"""The command line: `scdm sample | paint | inspect | corrupt | palette | convert`.

`arguments` holds all that can be asked for and is free of torch, so that help is there at once; each command is a module
of its name whose `run` does the work. What is wrong with a request ends here as one sentence and exit status 2.
"""

from __future__ import annotations

import logging
import signal
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from ..files import untrusted
from ..files.untrusted import is_out_of_memory
from ..start import importing
from .arguments import parser
from .terminal import Ended, alone_on_stderr, prepare, say, stoppable

WRONG, STOPPED = 2, 128  # exit statuses; to the latter the number of the signal is added, as in shells


def main(argv: Sequence[str] | None = None) -> int:
    """Does what the command line asks and returns the exit status; `--help` and `--version` raise SystemExit."""
    prepare()
    logging.getLogger("PIL").setLevel(logging.CRITICAL)  # a damaged picture is reported once, by us
    command = ""
    try:
        with stoppable(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # for programmers; what a user can act on is a note
            arguments = parser().parse_args(argv)
            command = arguments.command
            with importing():
                module = import_module(f".{command}", __package__)
            with alone_on_stderr():
                module.run(arguments)
    except KeyboardInterrupt as stop:
        say("scdm: interrupted", sys.stderr)
        return STOPPED + (stop.number if isinstance(stop, Ended) else signal.SIGINT)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _failed(f"{where}{error.strerror or error}")
    except ValueError as error:
        return _failed(str(error))
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        advice = " (images of a smaller --size need less)" if command == "sample" else ""
        return _failed(f"there is not enough memory for this{advice}")
    return 0


def _failed(sentence: str) -> int:
    say(f"scdm: error: {untrusted.sentence(sentence)}", sys.stderr)
    return WRONG
