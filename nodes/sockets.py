"""What travels between SCDM's nodes beside ComfyUI's own kinds."""

from __future__ import annotations

from dataclasses import dataclass

from comfy_api.latest import io

from ..scdm.layouts.labels import LabelMap
from ..scdm.layouts.palette import Palette


@dataclass(frozen=True)
class Layout:
    """A layout, and the palette that says what its ids mean."""

    labels: LabelMap
    palette: Palette


LayoutSocket = io.Custom("SCDM_LAYOUT")  # carries a Layout
PaletteSocket = io.Custom("SCDM_PALETTE")  # carries a Palette
