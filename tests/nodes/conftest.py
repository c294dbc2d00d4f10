"""The pack as ComfyUI loads it: by its path, under a name of ComfyUI's making."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
NAME = "/custom_nodes/pack"


@pytest.fixture(scope="session")
def pack() -> Iterator[Callable[[str], ModuleType]]:
    """The modules of the pack by name ("nodes.layouts"), where this Python can import ComfyUI from COMFYUI_DIR."""
    checkout = os.environ.get("COMFYUI_DIR")
    if not checkout:
        pytest.skip("COMFYUI_DIR does not name a ComfyUI checkout")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(checkout)
        try:
            from comfy.cli_args import args

            args.cpu = not torch.cuda.is_available()  # else ComfyUI insists on a GPU
            importlib.import_module("comfy_api.latest")
        except ImportError as error:
            pytest.skip(f"this Python cannot import ComfyUI: {error}")
        spec = importlib.util.spec_from_file_location(NAME, ROOT / "__init__.py")
        assert spec and spec.loader
        sys.modules[NAME] = module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield lambda name: importlib.import_module(f"{NAME}.{name}" if name else NAME)


@pytest.fixture
def folders(pack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """ComfyUI's folders, all of them empty."""
    pack("nodes")
    import folder_paths

    for name in ("input", "output", "temp", "models"):
        (tmp_path / name).mkdir()
    for name in ("input", "output", "temp"):
        monkeypatch.setattr(folder_paths, f"{name}_directory", str(tmp_path / name))
    suffixes = folder_paths.folder_names_and_paths["scdm"][1]
    monkeypatch.setitem(folder_paths.folder_names_and_paths, "scdm", ([str(tmp_path / "models")], suffixes))
    return folder_paths
