"""Generate from Layout: images that follow a layout."""

from __future__ import annotations

from comfy.utils import ProgressBar
from comfy_api.latest import io
from PIL import Image
from torch import Tensor

from ..scdm.labels import LabelMap
from ..scdm.model import Model
from ..scdm.noise import LABEL_NOISE
from ..scdm.palette import Palette
from ..scdm.pipeline import GenerateOptions, generate
from ..scdm.samplers import SAMPLERS, Step
from .layouts import Layout, LayoutSocket
from .models import ManagedModel, ModelSocket

DEFAULT = GenerateOptions()
PREVIEW_SIDE = 512  # pixels


class Generate(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_Generate",
            display_name="Generate from Layout (SCDM)",
            category="SCDM",
            description="Makes images that follow a layout. Unpainted parts are left to the model.",
            inputs=[
                ModelSocket.Input("model", tooltip="The model, from Load SCDM Model."),
                LayoutSocket.Input("layout", tooltip="What to draw where, in the classes of the model."),
                io.Int.Input(
                    "seed",
                    default=DEFAULT.seed,
                    min=0,
                    max=2**64 - 1,
                    control_after_generate=True,
                    tooltip="The same seed gives the same image. Further images of a batch have the seeds that follow.",
                ),
                io.Int.Input(
                    "steps",
                    default=25,
                    min=1,
                    max=1000,
                    tooltip="Steps from noise to image: more take longer and show finer detail.",
                ),
                io.Combo.Input(
                    "sampler",
                    options=list(SAMPLERS),
                    default="ddpm",
                    tooltip="How a step is taken. ddpm is the paper's; the others need fewer steps.",
                ),
                io.Float.Input(
                    "guidance",
                    default=DEFAULT.guidance,
                    min=1,
                    max=100,
                    step=0.1,
                    tooltip="How strictly the image follows the layout. 1 is no guidance, in less time.",
                ),
                io.Combo.Input(
                    "label_noise",
                    options=list(LABEL_NOISE),
                    default=DEFAULT.label_noise,
                    tooltip="How the layout is blurred on the way: fresh at every step (the paper's), or coupled, one "
                    "pattern that only clears up. Without effect on models without label diffusion.",
                ),
                io.Float.Input(
                    "dynamic_threshold",
                    default=0,
                    min=0,
                    max=1,
                    step=0.005,
                    tooltip="Against burnt colours at high guidance: the share of pixels to leave within range, such as "
                    "0.95. 0 is off.",
                ),
                io.Float.Input(
                    "extrapolation",
                    default=DEFAULT.extrapolation,
                    min=0,
                    max=10,
                    step=0.05,
                    tooltip="How far each step runs ahead of the last: crisper at few steps, too crisp above 1. 0 is off.",
                ),
                io.Int.Input("batch_size", default=1, min=1, max=64, tooltip="Number of images."),
            ],
            outputs=[io.Image.Output(display_name="image", tooltip="The images, as large as the layout.")],
        )

    @classmethod
    def execute(
        cls,
        model: ManagedModel,
        layout: Layout,
        seed: int,
        steps: int,
        sampler: str,
        guidance: float,
        label_noise: str,
        dynamic_threshold: float,
        extrapolation: float,
        batch_size: int,
    ) -> io.NodeOutput:
        options = GenerateOptions(
            steps=steps,
            sampler=sampler,
            guidance=guidance,
            seed=seed,
            label_noise=label_noise,
            dynamic_threshold=dynamic_threshold or None,
            extrapolation=extrapolation,
        )
        check_classes(layout.palette, model.model.palette)
        labels = layout.labels.expanded(batch_size)
        ready = model.on_device(working_memory(model.model, labels))
        return io.NodeOutput(to_comfy(generate(ready, labels, options, on_step=Progress(steps))))


class Progress:
    """Shows each step and what the image will be. The progress bar also raises when the painter interrupts."""

    def __init__(self, steps: int):
        self.bar = ProgressBar(steps)

    def __call__(self, step: Step, steps: int) -> None:
        pixels = to_comfy(step.x0[:1])[0]  # (H, W, 3)
        preview = Image.fromarray((255 * pixels + 0.5).byte().cpu().numpy())
        self.bar.update_absolute(step.done, steps, ("JPEG", preview, PREVIEW_SIDE))


def to_comfy(images: Tensor) -> Tensor:
    """(B, 3, H, W) in [-1, 1] -> ComfyUI's IMAGE: (B, H, W, 3) in [0, 1]."""
    return ((images.float() + 1) / 2).clamp(0, 1).movedim(1, -1)


def check_classes(layout: Palette, model: Palette) -> None:
    if layout.names != model.names:
        raise ValueError(
            f"the layout has the {layout.num_classes} classes of palette {layout.name}, the model those of {model.name} "
            f"({model.num_classes}): load the layout with the palette of the model, or a model of palette {layout.name}"
        )


def working_memory(model: Model, labels: LabelMap) -> float:
    """Bytes that generating takes beside the weights: 18 to 24 maps of the first level's features, and some for cuDNN."""
    return 30 * 4 * model.config.network.channels * labels.batch * labels.height * labels.width
