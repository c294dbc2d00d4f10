"""The files of the page: in a clone beside the package, installed where the distribution's record says."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

TYPES = {
    ".html": "text/html",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
PARTS = ("page", "painter")
FIRST = "page/index.html"


def folder() -> Path:
    """The folder of the pages. ValueError if there is none."""
    candidates = [Path(__file__).parents[2] / "web" / FIRST, *_installed()]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        raise ValueError("the files of the page are not there: install scdm again, or take a clone of it")
    return found.parents[1]


def files() -> dict[str, Path]:
    """What is handed out, by its address; nothing else is."""
    top = folder()
    found = {
        f"/{path.relative_to(top).as_posix()}": path
        for part in PARTS
        for path in sorted((top / part).rglob("*"))
        if path.suffix in TYPES and path.is_file()
    }
    return {"/": found[f"/{FIRST}"], **found}


def _installed() -> list[Path]:
    try:
        recorded = metadata.files("scdm") or []
    except metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in recorded if file.as_posix().endswith(f"share/scdm/web/{FIRST}")]
