"""Layout files: the examples that come with SCDM, and what lies in ComfyUI's folders."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import folder_paths

from ..scdm import assets
from ..scdm.files.untrusted import shown

log = logging.getLogger(__name__)

EXAMPLES = Path(str(assets.folder() / "examples"))
# Begins the examples' names in the input folder, where the front end shows them and its mask editor opens them.
SHIPPED = "scdm_"
EXAMPLE = "example: "  # began their names in workflows from before


def place_examples() -> None:
    """Copies the examples that come with SCDM into ComfyUI's input folder, unless something is there by their names."""
    for example in _examples():
        place = Path(folder_paths.get_input_directory()) / (SHIPPED + example.name)
        try:
            with place.open("xb") as copy:
                copy.write(example.read_bytes())
        except FileExistsError:
            continue
        except OSError as error:  # a folder that is not ours to write in, for instance: the pack's own serve as well
            log.info("the example layouts stay out of ComfyUI's input folder: %s", error)
            return


def layout_names() -> list[str]:
    """The examples that come with SCDM, then the other images in ComfyUI's input folder."""
    examples = [SHIPPED + example.name for example in _examples()]
    files = [file.name for file in Path(folder_paths.get_input_directory()).iterdir() if file.is_file()]
    images = folder_paths.filter_files_content_types(files, ["image"])
    return examples + sorted(name for name in images if name not in examples)


def _examples() -> list[Path]:
    return sorted(EXAMPLES.glob("*.png"))


def layout_file(name: str) -> Path:
    """The file behind a name in the list, or behind any path in ComfyUI's folders. ValueError if there is none."""
    if not isinstance(name, str):
        raise ValueError(f"a layout has a name, not {shown(name)}: choose one from the list")
    if name.startswith(EXAMPLE):
        name = f"{SHIPPED}{name.removeprefix(EXAMPLE)}.png"
    shipped = {SHIPPED + example.name: example for example in _examples()}
    if name in shipped and not _is_file(Path(folder_paths.get_input_directory()) / name):
        return shipped[name]
    return existing_file(name, "layout", "upload it, or choose one from the list")


def existing_file(name: str, what: str, advice: str) -> Path:
    """The file of that name, "painted.png [output]" for instance, in ComfyUI's folders. ValueError if there is none."""
    bare, annotated = folder_paths.annotated_filepath(name)
    folder = Path(annotated or folder_paths.get_input_directory())
    # "..", but no links, is followed to where it leads: links are the user's own.
    path, inside = (Path(os.path.abspath(place)) for place in (folder / bare, folder))  # noqa: PTH100
    if not path.is_relative_to(inside) or not _is_file(path):
        raise ValueError(f"there is no {what} {shown(bare)} in the folder {folder.name}: {advice}")
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # no file system takes such a name
        return False
