"""What the ways to sample ask for: Generate from Layout and Edit Image, and Encode Layout for ComfyUI's own samplers."""

from __future__ import annotations

from comfy_api.latest import io

from ..scdm.devices import AUTO, PRECISIONS
from ..scdm.diffusion.noise import LABEL_NOISE
from ..scdm.diffusion.samplers import SAMPLERS
from ..scdm.models.model import MOST_GUIDANCE
from ..scdm.pipeline import GenerateOptions
from .sockets import LayoutSocket

DEFAULT = GenerateOptions()
MOST_IMAGES = 64  # in a batch


def subject_inputs() -> list[io.Input]:
    return [
        io.Model.Input("model", tooltip="The model, from Load SCDM Model."),
        LayoutSocket.Input("layout", tooltip="What to draw where, in the classes of the model."),
    ]


def seed_input(tooltip: str, changes: bool) -> io.Int.Input:
    """changes: whether ComfyUI offers another seed after every run."""
    return io.Int.Input(
        "seed", default=DEFAULT.seed, min=0, max=2**64 - 1, control_after_generate=changes, tooltip=tooltip
    )


def way_inputs() -> list[io.Input]:
    """From noise to image by the paper's samplers. 0 and "auto" are what the model was made for."""
    return [
        io.Int.Input(
            "steps",
            default=0,
            min=0,
            max=1000,
            tooltip="Steps from noise to image: more show finer detail, fewer answer sooner. 0: as many as the model was "
            "made for, 25 for most.",
        ),
        io.Combo.Input(
            "sampler",
            options=[AUTO, *SAMPLERS],
            default=AUTO,
            tooltip="How a step is taken. ddpm is the paper's; the others need fewer steps, ddim is cleanest with few. "
            "auto: ddpm, or what the model was distilled for.",
        ),
        io.Float.Input(
            "guidance",
            default=0,
            min=0,
            max=MOST_GUIDANCE,
            step=0.1,
            tooltip="How strictly the image follows the layout. 1, or anything between 0 and 1, is no guidance, in less "
            "time. 0: as the model was made for, 1.5 for most.",
        ),
        label_noise_input(),
    ]


COMPUTED_IN = (
    "What to compute in. auto: what the device is fast and safe in, or what ComfyUI has put the model's weights in. A model "
    "in half precision stays in it."
)


def precision_input(tooltip: str = COMPUTED_IN) -> io.Combo.Input:
    """The last of a node's widgets, and optional: workflows that were saved without it still run."""
    return io.Combo.Input("precision", options=[AUTO, *PRECISIONS], default=AUTO, optional=True, tooltip=tooltip)


def way(
    seed: int, steps: int, sampler: str, guidance: float, label_noise: str, precision: str = AUTO
) -> GenerateOptions:
    """What these inputs ask for."""
    return GenerateOptions(
        seed=seed,
        steps=steps or None,
        sampler=None if sampler == AUTO else sampler,
        guidance=max(guidance, 1.0) if guidance else None,
        label_noise=label_noise,
        precision=precision,
    )


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
