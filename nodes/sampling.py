"""What both ways to sample ask for: Generate from Layout, and Encode Layout for ComfyUI's own samplers."""

from __future__ import annotations

from comfy_api.latest import io

from ..scdm.noise import LABEL_NOISE
from ..scdm.pipeline import GenerateOptions
from .sockets import LayoutSocket

DEFAULT = GenerateOptions()
MOST_IMAGES = 64  # in a batch


def subject_inputs() -> list[io.Input]:
    return [
        io.Model.Input("model", tooltip="The model, from Load SCDM Model."),
        LayoutSocket.Input("layout", tooltip="What to draw where, in the classes of the model."),
    ]


def label_noise_input() -> io.Combo.Input:
    return io.Combo.Input(
        "label_noise",
        options=list(LABEL_NOISE),
        default=DEFAULT.label_noise,
        tooltip="How the layout is blurred on the way: fresh at every step (the paper's), coupled, one pattern that only "
        "clears up, or none. Without effect on models without label diffusion.",
    )


def batch_size_input(tooltip: str) -> io.Int.Input:
    return io.Int.Input("batch_size", default=1, min=1, max=MOST_IMAGES, tooltip=tooltip)


def check_batch(batch_size: int) -> None:
    """ValueError for what a link, which ComfyUI does not check, may bring."""
    if not 1 <= batch_size <= MOST_IMAGES:
        raise ValueError(f"a batch has 1 to {MOST_IMAGES} images, not {batch_size}")
