"""Layout files: the examples that come with SCDM, and what lies in ComfyUI's folders."""

from __future__ import annotations

import os
from pathlib import Path

import folder_paths

from ..scdm import assets
from ..scdm.files.untrusted import shown

EXAMPLES = Path(str(assets.folder() / "examples"))
EXAMPLE = "example: "  # entries so marked come with SCDM; no file can be called that on Windows, and few are elsewhere


def layout_names() -> list[str]:
    """The examples that come with SCDM, then the images in ComfyUI's input folder."""
    examples = sorted(EXAMPLE + file.stem for file in EXAMPLES.glob("*.png"))
    files = [file.name for file in Path(folder_paths.get_input_directory()).iterdir() if file.is_file()]
    return examples + sorted(folder_paths.filter_files_content_types(files, ["image"]))


def layout_file(name: str) -> Path:
    """The file behind a name in the list, or behind any path in ComfyUI's folders. ValueError if there is none."""
    if not isinstance(name, str):
        raise ValueError(f"a layout has a name, not {shown(name)}: choose one from the list")
    if name.startswith(EXAMPLE):
        folder, name = EXAMPLES, name.removeprefix(EXAMPLE) + ".png"
    else:
        name, annotated = folder_paths.annotated_filepath(name)  # "painted.png [output]"
        folder = Path(annotated or folder_paths.get_input_directory())
    # "..", but no links, is followed to where it leads: links are the user's own.
    path, inside = (Path(os.path.abspath(place)) for place in (folder / name, folder))  # noqa: PTH100
    if not path.is_relative_to(inside) or not _is_file(path):
        place = f"{shown(name)} in the folder {folder.name}"
        raise ValueError(f"there is no layout {place}: upload it, or choose one from the list")
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no file system takes such a name
        return False
