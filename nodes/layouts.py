"""Load Layout: a painted image as the classes that a model reads."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import folder_paths
import torch
from comfy_api.latest import io, ui

from ..scdm import assets
from ..scdm.labels import LabelMap
from ..scdm.palette import TOLERANCE, Palette, palette_names, read_layout
from .messages import complaint, tell

MAX_SIDE = 8192  # pixels
PREVIEW_SIDE = 512
EXAMPLES = Path(str(assets.folder() / "examples"))
EXAMPLE = "example: "  # entries so marked come with SCDM; no file can be called that on Windows, and few are elsewhere

LayoutSocket = io.Custom("SCDM_LAYOUT")


@dataclass(frozen=True)
class Layout:
    """A layout, and the palette that says what its ids mean."""

    labels: LabelMap
    palette: Palette


class LoadLayout(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SCDM_LoadLayout",
            display_name="Load Layout (SCDM)",
            category="SCDM",
            description="Reads a painted image, one colour for each class. Transparent pixels and unknown colours are left "
            "to the model. The preview shows what was understood.",
            inputs=[
                io.Combo.Input(
                    "image",
                    options=layout_names(),
                    upload=io.UploadType.image,
                    image_folder=io.FolderType.input,
                    tooltip="The painted layout: an example that comes with SCDM, or a file of ComfyUI's input folder.",
                ),
                io.Combo.Input(
                    "palette",
                    options=palette_names(),
                    default="scenes",
                    tooltip="The classes and their colours, with which the layout was painted and the model trained.",
                ),
                io.Float.Input(
                    "tolerance",
                    default=TOLERANCE,
                    min=0,
                    max=442,
                    step=1,
                    tooltip="How far a colour may be from that of its class (0 to 442, the way from black to white). Pixels "
                    "further off are unpainted.",
                ),
                io.Int.Input(
                    "width",
                    default=0,
                    min=0,
                    max=MAX_SIDE,
                    tooltip="Width of the image to generate, in pixels. 0: follows from the height, or stays as painted.",
                ),
                io.Int.Input(
                    "height",
                    default=0,
                    min=0,
                    max=MAX_SIDE,
                    tooltip="Height of the image to generate, in pixels. 0: follows from the width, or stays as painted.",
                ),
            ],
            outputs=[LayoutSocket.Output(display_name="layout", tooltip="The class of each pixel, and the palette.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def validate_inputs(cls, image: str | None) -> bool | str:
        return complaint(layout_file, image)

    @classmethod
    def fingerprint_inputs(cls, image: str | None, **others: object) -> object:
        if image is None:
            return float("nan")  # a linked name: equal to nothing, so the file is read every time
        return hashlib.sha256(layout_file(image).read_bytes()).hexdigest()

    @classmethod
    def execute(cls, image: str, palette: str, tolerance: float, width: int, height: int) -> io.NodeOutput:
        remarks: list[str] = []
        classes = Palette.named(palette)
        labels = read_layout(layout_file(image), classes, tolerance, remarks.append)
        labels = labels.resized(*fitted((labels.height, labels.width), height, width))
        tell(cls.hidden and cls.hidden.unique_id, summary(labels, classes), remarks)
        return io.NodeOutput(Layout(labels, classes), ui=ui.PreviewImage(picture(labels, classes), cls=cls))


def layout_names() -> list[str]:
    """The examples that come with SCDM, then the images in ComfyUI's input folder."""
    examples = sorted(EXAMPLE + file.stem for file in EXAMPLES.glob("*.png"))
    files = [file.name for file in Path(folder_paths.get_input_directory()).iterdir() if file.is_file()]
    return examples + sorted(folder_paths.filter_files_content_types(files, ["image"]))


def layout_file(name: str) -> Path:
    """The file behind a name in the list, or behind any path in ComfyUI's folders. ValueError if there is none."""
    if name.startswith(EXAMPLE):
        folder, name = EXAMPLES, name.removeprefix(EXAMPLE) + ".png"
    else:
        name, annotated = folder_paths.annotated_filepath(name)  # "painted.png [output]"
        folder = Path(annotated or folder_paths.get_input_directory())
    # "..", but no links, is followed to where it leads: links are the user's own.
    path, inside = (Path(os.path.abspath(place)) for place in (folder / name, folder))  # noqa: PTH100
    if not path.is_relative_to(inside):
        raise ValueError(f"layout {name!r} is outside the folder {folder.name}: upload it, or choose one from the list")
    if not path.is_file():
        raise ValueError(
            f"there is no layout {name!r} in the folder {folder.name}: upload it, or choose one from the list"
        )
    return path


def fitted(size: tuple[int, int], height: int, width: int) -> tuple[int, int]:
    """(height, width) as asked for; a side of 0 follows from the other in the proportions of `size`, or stays."""
    if not height and not width:
        return size
    return height or max(1, round(width * size[0] / size[1])), width or max(1, round(height * size[1] / size[0]))


def picture(labels: LabelMap, palette: Palette) -> torch.Tensor:
    """ComfyUI's IMAGE with alpha (1, H, W, 4): unpainted is transparent, and small layouts are enlarged to be seen."""
    times = max(1, PREVIEW_SIDE // max(labels.height, labels.width))
    large = labels.resized(times * labels.height, times * labels.width)
    return torch.from_numpy(palette.to_image(large)).float() / 255


def summary(labels: LabelMap, palette: Palette) -> str:
    """What is painted in words, the largest class first."""
    shares = labels.ids.flatten().bincount(minlength=labels.num_classes + 1) / labels.ids.numel()
    names = (*palette.names, "unpainted")
    painted = [f"{names[i]} {shares[i]:.0%}" for i in shares.argsort(descending=True).tolist() if shares[i] > 0]
    return f"{labels.width} x {labels.height}: {', '.join(painted)}"
