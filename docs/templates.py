"""The pictures of the templates (workflows/*.jpg), which ComfyUI shows in its list of templates.

    COMFYUI_DIR=... COMFYUI_PYTHON=... python docs/templates.py    # minutes on two cores

Each is what its template makes, run by a ComfyUI server as it is: two images side by side, four of a batch, or the layout
and its image along a diagonal. photo_to_layout needs another pack's preprocessor: its layout stands for a photo's.
layout_to_controlnet needs models of the user's own: it shows the layout alone. repaint_part_of_a_photo repaints an image of
the model's.
"""

from __future__ import annotations

import base64
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from scdm.layouts import paintings  # noqa: E402
from scdm.layouts.palette import Palette  # noqa: E402
from scdm.layouts.preview import preview  # noqa: E402
from tests.nodes.server import Server, inputs, template  # noqa: E402

SIDE = 512  # pixels
QUALITY = 88  # of the JPEG
LINE = 4  # pixels, white, between the pictures
SCENES = Palette.named("scenes")
EXAMPLES = ROOT / "scdm" / "assets" / "examples"


def beside(pictures: list[Image.Image]) -> Image.Image:
    """The left halves of two pictures side by side, or four in a square."""
    shown = Image.new("RGB", (SIDE, SIDE), "white")
    rows, half = (2 if len(pictures) > 2 else 1), (SIDE - LINE) // 2
    height = half if rows == 2 else SIDE
    for place, picture in enumerate(pictures[: 2 * rows]):
        part = picture.crop((0, 0, half, SIDE)) if rows == 1 else picture.resize((half, half))
        shown.paste(part, (place % 2 * (half + LINE), place // 2 * (height + LINE)))
    return shown


def across(layout: Image.Image, image: Image.Image) -> Image.Image:
    """The layout above the diagonal, its image below."""
    lower = Image.new("L", (SIDE, SIDE))
    ImageDraw.Draw(lower).polygon([(SIDE, 0), (SIDE, SIDE), (0, SIDE)], 255)
    shown = Image.composite(image, layout, lower)
    ImageDraw.Draw(shown).line([(SIDE, 0), (0, SIDE)], "white", LINE)
    return shown


def square(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def painted(name: str) -> Image.Image:
    with Image.open(EXAMPLES / f"{name}.png") as layout:
        return Image.fromarray(preview(SCENES.to_labels(layout.convert("RGBA")), SCENES)[0])


def run(server: Server, prompt: dict[str, Any]) -> list[Image.Image]:
    return [square(picture) for picture in server.run(prompt)]


def saved(prompt: dict[str, Any], kind: str) -> dict[str, Any]:
    """The prompt with the preview nodes of this kind replaced by those that save."""
    for node in prompt.values():
        if node["class_type"] == kind:
            node["class_type"], node["inputs"]["filename_prefix"] = "SaveImage", "thumbnail"
    return prompt


def photo(prompt: dict[str, Any], server: Server) -> list[Image.Image]:
    """The layout of an example in the colours of the preprocessor, in the place of what that would see in a photo."""
    for key in [key for key, node in prompt.items() if node["class_type"] == "LoadImage"]:
        del prompt[key]
    reader = next(node for node in prompt.values() if node["class_type"] == "SCDM_LayoutFromImage")
    with Image.open(EXAMPLES / "seaside.png") as layout:
        layout.convert("RGB").save(server.base / "input" / "seen.png")
    key = reader["inputs"]["image"][0]
    prompt[key] = {"class_type": "LoadImage", "inputs": {"image": "seen.png"}}
    translated = next(key for key, node in prompt.items() if node["class_type"] == "SCDM_TranslateLayout")
    for node in prompt.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list) and value[0] == translated:
                node["inputs"][name] = prompt[translated]["inputs"]["layout"]
    del prompt[translated]
    reader["inputs"]["palette"] = "scenes"
    return run(server, prompt)


def kept(prompt: dict[str, Any]) -> np.ndarray:
    """The layout in the painter of a prompt, in the colours of its classes."""
    node = inputs(prompt, "SCDM_PaintLayout")
    palette = Palette.named(node["palette"])
    labels, _ = paintings.onto(paintings.read(base64.b64decode(node["painting"].split(",", 1)[1])), palette)
    return preview(labels, palette)[0]


def repainted(server: Server, info: dict[str, Any]) -> list[Image.Image]:
    """Before and after."""
    prompt = template("layout_to_image", info)
    inputs(prompt, "SCDM_LoadLayout")["image"] = "scdm_strokes_meadow.png"
    inputs(prompt, "SCDM_Generate")["seed"] = 4  # of a clear sky
    (meadow,) = server.run(prompt)
    Image.fromarray(meadow).save(server.base / "input" / "photo.png")
    prompt = template("repaint_part_of_a_photo", info)
    inputs(prompt, "LoadImage")["image"] = "photo.png"
    return [square(meadow), *run(server, prompt)]


def thumbnails(server: Server) -> dict[str, Image.Image]:
    info = server.get("/object_info")
    made = {}
    for name in ("layout_to_image", "stock_ksampler"):
        made[name] = across(painted("landscape"), run(server, template(name, info))[0])
    for name in ("batch_of_seeds", "edit_part_of_an_image", "rough_layouts"):
        made[name] = beside(run(server, template(name, info)))
    prompt = saved(template("paint_and_follow", info), "PreviewImage")
    before = run(server, prompt)
    inputs(prompt, "SCDM_PaintClass")["class_name"] = "snow"
    made["paint_and_follow"] = beside([*before, *run(server, prompt)])
    made["photo_to_layout"] = across(painted("seaside"), photo(template("photo_to_layout", info), server)[0])
    prompt = saved(template("paint", info), "PreviewImage")
    made["paint"] = across(square(kept(prompt)), run(server, prompt)[0])
    made["layout_to_controlnet"] = square(kept(template("layout_to_controlnet", info)))
    made["repaint_part_of_a_photo"] = beside(repainted(server, info))
    return made


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        server = Server(os.environ["COMFYUI_DIR"], os.environ["COMFYUI_PYTHON"], Path(folder))
        try:
            for name, picture in thumbnails(server).items():
                picture.save(ROOT / "workflows" / f"{name}.jpg", quality=QUALITY)
        finally:
            server.stop()
