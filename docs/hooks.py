"""What the site needs beside the pages in docs/: pages from elsewhere in the repository, and tables of options.

mkdocs calls the functions `on_...`. Links in Markdown files are relative to the file, as a repository's viewer wants them;
whatever they name outside of docs/ becomes a part of the site, under its path in the repository.
"""

from __future__ import annotations

import os
import pydoc
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docs.option_tables import table
from scdm.files.options import declared
from scdm.pipeline.options import GenerateOptions, every_option

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
ELSEWHERE = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "tests/golden/README.md")
LINK = re.compile(r"(!?\[[^]]*\])\((?!\w+:)([^)#\s]*)((?:#[^)\s]*)?)\)")  # text, path (empty: the page itself), anchor
FENCED = re.compile(r"(^[ ]*```.*?^[ ]*```[ ]*$)", re.MULTILINE | re.DOTALL)
OPTIONS = re.compile(r"^<!-- options: ([\w.]+) -->$", re.MULTILINE)


def on_files(files: Any, config: Any) -> Any:
    """Adds the files of `ELSEWHERE`, and all that pages link to outside of docs/."""
    from mkdocs.structure.files import File

    for file in sorted(linked({*DOCS.rglob("*.md"), *(ROOT / name for name in ELSEWHERE)})):
        if not file.is_relative_to(DOCS) and file.is_file():
            files.append(File.generated(config, address(file), abs_src_path=str(file)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    source = Path(page.file.abs_src_path)
    return OPTIONS.sub(lambda found: option_table(found[1]), relinked(markdown, source))


def links(markdown: str) -> Iterator[tuple[str, str]]:
    """The relative links of a page: path, empty for the page itself, and anchor with its #."""
    for _, path, anchor in LINK.findall(FENCED.sub("", markdown)):
        yield path, anchor


def linked(pages: set[Path]) -> set[Path]:
    """These pages, all that they link to, and so on."""
    seen: set[Path] = set()
    while pages:
        page = pages.pop()
        seen.add(page)
        if page.suffix == ".md":
            text = page.read_text(encoding="utf-8")
            pages |= {target(page, path) for path, _ in links(text) if path} - seen
    return seen


def relinked(markdown: str, source: Path) -> str:
    """The links of the file `source`, as they are between pages of the site; a folder has none, so its link becomes text."""

    def moved(found: re.Match[str]) -> str:
        text, path, anchor = found.groups()
        file = target(source, path)
        if not path or file.is_dir():
            return found[0] if not path else text[1:-1]
        to = os.path.relpath(address(file), Path(address(source)).parent).replace(os.sep, "/")
        return f"{text}({to}{anchor})"

    parts = FENCED.split(markdown)  # what stands between code, code, ...
    return "".join(part if i % 2 else LINK.sub(moved, part) for i, part in enumerate(parts))


def target(source: Path, path: str) -> Path:
    return Path(os.path.normpath(source.parent / path))


def address(file: Path) -> str:
    """Where a file of the repository is on the site, from its root."""
    return file.relative_to(DOCS if file.is_relative_to(DOCS) else ROOT).as_posix()


def option_table(name: str) -> str:
    """The options of a dataclass or a function, as a Markdown table; nothing if it declares none."""
    source = pydoc.locate(name)
    if source is None:
        raise ValueError(f"there is no {name} to make a table of options of")
    # Samplers declare options of their own beside those that are fields.
    settings = every_option() if source is GenerateOptions else declared(source)
    return table(settings.values())
