"""scdm paint: a page on which a layout is painted and its image follows."""

from __future__ import annotations

import asyncio
import contextlib
import webbrowser
from argparse import Namespace
from importlib.util import find_spec

import torch

from ..devices import device_called
from ..files.options import declared
from ..paint.models import Models
from ..paint.options import DEFAULT_MODEL, LARGEST_DEFAULT, MOST_SIDE, NEEDED, ServerOptions
from ..pipeline import GenerateOptions
from ..pipeline.options import every_option
from .terminal import say


def run(arguments: Namespace) -> None:
    if find_spec("aiohttp") is None:
        raise ValueError(NEEDED)
    from ..paint.server import Server, serve

    given = {name: value for name, value in vars(arguments).items() if name in declared(ServerOptions)}
    options = ServerOptions(**given)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    models = Models(arguments.model or [DEFAULT_MODEL], _generation(arguments), device_called(arguments.device))

    def ready(address: str) -> None:
        say(f"Painting at {address} (Ctrl-C ends it)")
        if options.browser:
            webbrowser.open(address)

    server = Server(models, _size(arguments.size, models))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(server, options.port, ready))


def _size(asked: tuple[int, int] | None, models: Models) -> tuple[int, int]:
    """(width, height) of a new canvas."""
    if asked is None:
        height, width = models.size(models.names[0])
        return min(width, LARGEST_DEFAULT), min(height, LARGEST_DEFAULT)
    if max(asked) > MOST_SIDE:
        size = f"{asked[0]}x{asked[1]}"
        raise ValueError(f"--size {size} is more than {MOST_SIDE} pixels along a side: ask for less")
    return asked


def _generation(arguments: Namespace) -> GenerateOptions:
    """What the page does not set of how images are made."""
    return GenerateOptions.of({name: getattr(arguments, name) for name in every_option() if hasattr(arguments, name)})
