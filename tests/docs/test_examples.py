"""The example layouts are those that docs/examples.py draws."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[2]


def test_the_examples_are_what_their_script_draws() -> None:
    """Pixel by pixel: how a PNG is compressed differs between versions of Pillow."""
    spec = importlib.util.spec_from_file_location("examples", ROOT / "docs" / "examples.py")
    assert spec and spec.loader
    examples = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(examples)
    drawn = {layout.__name__: examples.painted(layout) for layout in examples.LAYOUTS}
    stored = {path.stem: Image.open(path) for path in (ROOT / "scdm" / "assets" / "examples").glob("*.png")}
    assert drawn.keys() == stored.keys()
    for name, picture in stored.items():
        assert np.array_equal(picture.convert("RGBA"), drawn[name])
