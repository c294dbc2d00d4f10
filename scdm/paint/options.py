"""What `scdm paint` can be told. Free of torch, as `--help` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ..files.options import Option, check_fields

DEFAULT_MODEL = "scenes-fast"
LARGEST_DEFAULT = 512  # pixels of a side of a canvas that nobody has asked for
MOST_SIDE = 4096  # pixels of a canvas: more is no longer painted in the time of an edit
NEEDED = 'the painting page needs the package aiohttp: pip install "scdm[paint]"'


@dataclass(frozen=True)
class ServerOptions:
    """How the page is served."""

    port: Annotated[
        int, Option("where it listens, on this computer alone; 0 takes a free one", ge=0, le=65535, metavar="N")
    ] = 8199
    browser: Annotated[bool, Option("open the page in the browser")] = True
    threads: Annotated[
        int | None,
        Option("of the processor that paint", ge=1, le=1024, metavar="N", unset="as many as torch takes"),
    ] = None

    def __post_init__(self) -> None:
        check_fields(self)
