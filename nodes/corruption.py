"""Corrupt Layout: what a careless painter, a coarse segmentation or label diffusion makes of a clean layout."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..scdm.diffusion.corruption import CORRUPTIONS, MOST_RADIUS, MOST_SEED, MOST_SIZE, corrupt
from ..scdm.diffusion.label_diffusion import CLASSWISE_STEPS, shipped_rates
from ..scdm.layouts.contents import summary
from ..scdm.layouts.palette import GOLDEN_ANGLE, Palette
from .messages import tell
from .sockets import Layout, LayoutSocket
from .versions import where_known

BENCHMARK = {kind: corruption.strength for kind, corruption in CORRUPTIONS.items()}


class CorruptLayout(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_CorruptLayout",
            display_name="Corrupt Layout (SCDM)",
            category="SCDM",
            description="Spoils a clean layout, to see what a model makes of rough ones. Each setting belongs to the kind "
            "that it is named after; those of downsample, edges and random begin as in the paper's benchmark.",
            **where_known(search_aliases=["noisy layout", "degrade segmentation", "sparse layout"]),
            inputs=[
                LayoutSocket.Input("layout", tooltip="A clean layout."),
                io.Combo.Input(
                    "kind",
                    options=list(CORRUPTIONS),
                    tooltip="downsample: coarse blocks. edges: no borders between classes. random: single pixels are "
                    "erased. patterns: of each class only strokes and blobs are left. diffuse: as the model sees the layout "
                    "on its way from noise.",
                ),
                io.Int.Input(
                    "seed",
                    default=0,
                    min=0,
                    max=MOST_SEED,
                    control_after_generate=True,
                    tooltip="The same seed spoils the same layout in the same way (random, patterns, diffuse).",
                ),
                io.Int.Input(
                    "downsample_to",
                    default=BENCHMARK["downsample"]["size"],
                    min=1,
                    max=MOST_SIZE,
                    tooltip="downsample: pixels that are left on either side.",
                ),
                io.Int.Input(
                    "edge_radius",
                    default=BENCHMARK["edges"]["radius"],
                    min=0,
                    max=MOST_RADIUS,
                    tooltip="edges: pixels that are erased on both sides of a border.",
                ),
                io.Float.Input(
                    "random_share",
                    default=BENCHMARK["random"]["share"],
                    min=0,
                    max=0.99,
                    step=0.01,
                    tooltip="random: share of pixels to erase.",
                ),
                io.Float.Input(
                    "pattern_share",
                    default=BENCHMARK["patterns"]["share"],
                    min=0,
                    max=0.99,
                    step=0.01,
                    tooltip="patterns: share of pixels to leave unpainted.",
                ),
                io.Int.Input(
                    "diffusion_step",
                    default=BENCHMARK["diffuse"]["step"],
                    min=0,
                    max=CLASSWISE_STEPS - 1,
                    tooltip="diffuse: the step, from 0 (almost the image) to 999 (noise, nothing is left).",
                ),
            ],
            outputs=[LayoutSocket.Output(display_name="layout", tooltip="The spoilt layout.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        layout: Layout,
        kind: str,
        seed: int,
        downsample_to: int,
        edge_radius: int,
        random_share: float,
        pattern_share: float,
        diffusion_step: int,
    ) -> io.NodeOutput:
        strengths: dict[str, dict[str, Any]] = {
            "downsample": {"size": downsample_to},
            "edges": {"radius": edge_radius},
            "random": {"share": random_share},
            "patterns": {"share": pattern_share},
            "diffuse": {"step": diffusion_step, "rates": class_rates(layout.palette)},
        }
        labels = corrupt(layout.labels, kind, seed, **strengths.get(kind, {}))
        tell(cls, summary(labels, layout.palette))
        return io.NodeOutput(Layout(labels, layout.palette))


def class_rates(palette: Palette) -> tuple[float, ...] | None:
    """Those that come with SCDM for the palette's data set, in whatever colours; None (all classes alike) for others."""
    try:
        rates = shipped_rates(palette.name.removesuffix(GOLDEN_ANGLE))
    except ValueError:
        return None
    return rates if len(rates) == palette.num_classes else None
