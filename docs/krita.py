"""What docs/krita.md hands out and shows: palettes and a first document to paint in (web/painting), and its pictures.

    python docs/krita.py    # a minute on two cores

The pictures are made by the steps of the graphs in workflows/krita, with the model that comes with SCDM.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import numpy as np
import torch
from PIL import Image, ImageDraw

from scdm.files.contact_sheet import contact_sheet
from scdm.files.images import from_levels, to_levels, write_image
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette, palette_names
from scdm.layouts.preview import preview
from scdm.layouts.swatches import export
from scdm.models.conversion import load
from scdm.models.model import Model
from scdm.pipeline import GenerateOptions, generate

ROOT = Path(__file__).resolve().parents[1]
SIDE = 512  # pixels of the document
WORK = 512  # pixels: the width at which the graphs let the model work
BOX = Image.Resampling.BOX
LIVE = {"label_noise": "coupled"}


def hand_out(folder: Path) -> None:
    """Write the palette of every class table for Krita and for GIMP, and `layout.ora` in the colours of "scenes"."""
    for name in palette_names():
        for suffix in (".kpl", ".gpl"):
            export(Palette.named(name), folder / (name + suffix))
    (folder / "layout.ora").write_bytes(open_raster("Layout", first_layout(Palette.named("scenes"))))


def first_layout(palette: Palette) -> Image.Image:
    """A landscape in a few flat shapes (RGBA), with ground that nobody painted."""
    picture = Image.new("RGBA", (SIDE, SIDE))
    draw = ImageDraw.Draw(picture)
    color = dict(zip(palette.names, palette.colors, strict=True))
    draw.rectangle((0, 0, SIDE, 280), color["sky"])
    draw.ellipse((348, 48, 436, 136), color["sun"])
    draw.ellipse((24, 58, 196, 102), color["cloud"])
    draw.ellipse((100, 40, 220, 88), color["cloud"])
    draw.polygon(
        [(0, 300), (70, 180), (130, 230), (220, 110), (330, 260), (400, 200), (512, 290), (512, 330), (0, 330)],
        color["mountain"],
    )
    draw.polygon([(220, 110), (192, 148), (215, 160), (232, 146), (254, 156)], color["snow"])
    draw.polygon([(0, 340), (0, 280), (150, 290), (300, 310), (512, 280), (512, 340)], color["hill"])
    draw.polygon([(512, 340), (512, 420), (300, 380), (180, 420), (40, 512), (0, 512), (0, 340)], color["grass"])
    draw.polygon([(150, 440), (300, 385), (512, 425), (512, 512), (60, 512)], color["water"])
    for x, y in ((28, 344), (78, 326), (0, 304)):
        draw.ellipse((x, y, x + 64, y + 92), color["tree"])
    return picture


def open_raster(name: str, layer: Image.Image) -> bytes:
    """An OpenRaster document (.ora, version 0.0.3) of one layer."""
    attributes = {"name": name, "src": "data/layer.png", "x": "0", "y": "0", "opacity": "1.0", "visibility": "visible"}
    image = xml.Element("image", version="0.0.3", w=str(layer.width), h=str(layer.height))
    xml.SubElement(xml.SubElement(image, "stack"), "layer", attributes)
    thumbnail = layer.copy()
    thumbnail.thumbnail((256, 256))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        # The type comes first and uncompressed, so that it is found at a fixed place in the file.
        members = {
            "mimetype": b"image/openraster",
            "stack.xml": xml.tostring(image, encoding="utf-8", xml_declaration=True),
            "data/layer.png": png(layer),
            "mergedimage.png": png(layer),
            "Thumbnails/thumbnail.png": png(thumbnail),
        }
        for member, data in members.items():
            archive.writestr(zipfile.ZipInfo(member), data)  # stored, dated 1980: the same document is the same file
    return content.getvalue()


def png(picture: Image.Image) -> bytes:
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return content.getvalue()


def illustrate(folder: Path) -> None:
    """Write krita_*.png, the pictures of docs/krita.md."""
    model, fast = load("scenes"), load("scenes-fast")
    palette = model.palette
    color = dict(zip(palette.names, palette.colors, strict=True))

    def labels(layer: Image.Image) -> LabelMap:
        return palette.to_labels(layer).resized(WORK, WORK)

    def image(layer: Image.Image, by: Model = model, **options: Any) -> np.ndarray:
        return on_canvas(generate(by, labels(layer), GenerateOptions(**options)))

    def repainted(canvas: np.ndarray, layer: Image.Image, selection: Image.Image) -> np.ndarray:
        small, mask = (picture.resize((WORK, WORK), BOX) for picture in (Image.fromarray(canvas), selection))
        new = generate(
            model,
            labels(layer),
            GenerateOptions(seed=4, repeats=3),
            image=from_levels(np.array(small)[None]),
            mask=torch.from_numpy(np.array(mask))[None, None] / 255,
        )
        return np.where(np.array(selection)[..., None] > 0, on_canvas(new), canvas)

    def show(name: str, *pictures: np.ndarray | Image.Image) -> None:
        """A row of pictures; layouts on a chequered ground."""
        shown = [
            preview(palette.to_labels(picture), palette)[0] if isinstance(picture, Image.Image) else picture
            for picture in pictures
        ]
        small = [np.array(Image.fromarray(picture).resize((SIDE // 2, SIDE // 2), BOX)) for picture in shown]
        write_image(folder / f"krita_{name}.png", contact_sheet([small]))

    export(palette, folder / "krita_colours.png")

    painting = first_layout(palette)
    canvas = image(painting, seed=1)
    show("layout_to_image", painting, canvas, image(painting, fast, seed=1, **LIVE))

    strokes = Image.new("RGBA", painting.size)
    draw = ImageDraw.Draw(strokes)
    draw.line([(0, 300), (150, 190), (260, 280), (380, 160), (512, 290)], color["mountain"], 28, joint="curve")
    draw.line([(40, 440), (250, 400), (470, 430)], color["water"], 36, joint="curve")
    draw.ellipse((60, 60, 130, 130), color["sun"])
    show("unpainted", strokes, image(strokes, seed=1), image(strokes, seed=2))

    box = (230, 300, 420, 430)
    with_house, selection = painting.copy(), Image.new("L", painting.size)
    ImageDraw.Draw(with_house).rectangle((270, 330, 380, 410), color["building"])
    ImageDraw.Draw(selection).rectangle(box, 255)
    outlined = Image.fromarray(preview(palette.to_labels(with_house), palette)[0])
    ImageDraw.Draw(outlined).rectangle(box, outline="white", width=6)
    show("inpaint", canvas, np.array(outlined), repainted(canvas, with_house, selection))


def on_canvas(images: torch.Tensor) -> np.ndarray:
    """The first image (B, 3, h, w) in [-1, 1] as levels (SIDE, SIDE, 3)."""
    return np.array(Image.fromarray(to_levels(images)[0]).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


if __name__ == "__main__":
    hand_out(ROOT / "web" / "painting")
    illustrate(ROOT / "docs" / "images")
