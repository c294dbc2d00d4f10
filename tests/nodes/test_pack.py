"""What the pack ships around its nodes, and that it keeps out of the way where there is no ComfyUI."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scdm.layouts.palette import Palette
from scdm.layouts.reading import read_layout

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / "workflows").glob("*.json"))


def test_importing_the_entry_point_does_nothing() -> None:
    code = """
import importlib.util, sys
before = set(sys.modules)
spec = importlib.util.spec_from_file_location("pack", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
assert set(sys.modules) == before, set(sys.modules) - before
assert callable(module.comfy_entrypoint) and not hasattr(module, "NODE_CLASS_MAPPINGS")
"""
    result = subprocess.run(
        [sys.executable, "-c", "import typing\n" + code, str(ROOT / "__init__.py")], capture_output=True, text=True
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_template_is_a_graph_with_a_picture(path: Path) -> None:
    graph = json.loads(path.read_text(encoding="utf-8"))
    assert {"nodes", "links", "version"} <= graph.keys()
    assert path.with_suffix(".jpg").is_file()


def test_examples_are_painted_in_the_colours_of_a_palette_at_the_size_of_a_canvas() -> None:
    paths = list((ROOT / "scdm" / "assets" / "examples").glob("*.png"))
    assert len(paths) == 6
    for path in paths:
        transparent = np.asarray(Image.open(path).convert("RGBA"))[..., 3] == 0
        labels = read_layout(path, Palette.named("scenes"), tolerance=0)
        assert np.array_equal(labels.unpainted[0].numpy(), transparent) and transparent.shape == (512, 512)
        assert path.stat().st_size < 10_000
