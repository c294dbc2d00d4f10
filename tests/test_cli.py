"""The command line: what it makes, and that every bad request ends in one sentence and leaves nothing behind."""

import dataclasses
import errno
import json
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from scdm import assets
from scdm.cli import main
from scdm.cli.arguments import DEFAULT_PALETTE, DEFAULT_TOLERANCE, parser
from scdm.cli.common import chosen_palette
from scdm.cli.terminal import stoppable
from scdm.diffusion.corruption import CORRUPTIONS, about, settings
from scdm.diffusion.samplers import SAMPLERS, ddim
from scdm.files.images import write_image
from scdm.files.options import Option
from scdm.layouts.decoding import TOLERANCE
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.layouts.reading import read_layout
from scdm.layouts.roughness import NAMES, RoughnessEstimator
from scdm.models import checkpoint, conversion
from scdm.models.conversion import Assumptions
from scdm.models.model import Model, ModelConfig
from scdm.networks import UNetConfig
from scdm.pipeline.options import every_option

SCENES = Palette.named("scenes")
TINY = UNetConfig(14, channels=32, channel_mult=(1, 1), res_blocks=1, attention=(), head_channels=None, hidden=8)
SIZE = 8


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = torch.Generator().manual_seed(0)
    model = Model.new(ModelConfig(TINY, (SIZE, SIZE), label_diffusion="uniform"), SCENES, data="none", steps=0)
    for parameter in model.network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.05
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    checkpoint.save(path, model)
    return path


@pytest.fixture
def folder(tmp_path: Path, model_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: model.safetensors, layout.png (sky over grass), image.png, mask.png (the left half)."""
    monkeypatch.chdir(tmp_path)
    Path("model.safetensors").symlink_to(model_file)
    paint("layout.png", np.repeat([0, 6], SIZE // 2))
    write_image("image.png", np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8))
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    mask[:, : SIZE // 2] = 255
    write_image("mask.png", mask)
    return tmp_path


def paint(path: str, rows: np.ndarray, palette: Palette = SCENES) -> None:
    """A square layout of one id a row."""
    ids = torch.from_numpy(np.asarray(rows, dtype=np.int64))[:, None].expand(-1, len(rows))
    write_image(path, palette.to_image(LabelMap.checked(ids, palette.num_classes))[0])


def scdm(request: str) -> int:
    return main(request.split())


def sample(request: str) -> int:
    return scdm(f"sample {request} --model model.safetensors --steps 2")


def pixels(path: str) -> np.ndarray:
    return np.asarray(Image.open(path))


def refused(capsys: pytest.CaptureFixture[str], request: str, complaint: str) -> None:
    """The request ends with status 2, one sentence that holds `complaint`, and no new file."""
    before = sorted(Path.cwd().rglob("*"))
    assert scdm(request) == 2
    output, errors = capsys.readouterr()
    assert complaint in errors
    assert errors.startswith("scdm: error: ") and errors.count("\n") == 1
    assert not output
    assert sorted(Path.cwd().rglob("*")) == before


def test_a_layout_becomes_an_image(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample("layout.png -o out.png") == 0
    assert pixels("out.png").shape == (SIZE, SIZE, 3)
    assert capsys.readouterr() == ("out.png\n", "")


def test_an_image_is_that_of_its_seed(folder: Path) -> None:
    assert sample("layout.png -o out.png --count 3 --seed 7") == 0
    assert sample("layout.png -o alone.png --seed 9") == 0
    assert sorted(path.name for path in folder.glob("out*")) == ["out_7.png", "out_8.png", "out_9.png"]
    # A batch of another size may round a level of 255 the other way.
    assert np.abs(pixels("out_9.png").astype(int) - pixels("alone.png")).max() <= 1
    assert np.abs(pixels("out_8.png").astype(int) - pixels("alone.png")).max() > 1


@pytest.mark.parametrize(
    ("output", "names"),
    [
        ("images", ["images/layout.png", "images/other.png"]),
        ("images/ --count 2", [f"images/{name}_{seed}.png" for name in ("layout", "other") for seed in (0, 1)]),
        ("{layout}-made.jpg", ["layout-made.jpg", "other-made.jpg"]),
        ("images/{seed}-{layout}.webp --seed 5", ["images/5-layout.webp", "images/5-other.webp"]),
    ],
)
def test_several_layouts_need_a_folder_or_a_pattern(folder: Path, output: str, names: list[str]) -> None:
    Path("images").mkdir()
    paint("other.png", np.arange(4))
    assert sample(f"layout.png other.png -o {output} --sheet sheet.png --quiet") == 0
    assert all(Path(name).is_file() for name in names)
    columns = 1 + len(names) // 2
    assert pixels("sheet.png").shape == (SIZE + 4 + 3 * 8, 8 + columns * (SIZE + 8), 3)


def test_a_sheet_fits_the_width_asked_for(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paint("other.png", np.arange(4))
    assert sample("layout.png other.png -o {layout}-made.png --sheet sheet.png --sheet-width 400 --quiet") == 0
    assert pixels("sheet.png").shape[1] == 400
    refused(capsys, "sample layout.png -o out.png --sheet-width 400", "no effect without a sheet")


def test_size_resizes_the_layout(folder: Path) -> None:
    assert sample("layout.png -o out.png --size 12x10") == 0
    assert pixels("out.png").shape == (10, 12, 3)


@pytest.mark.parametrize(
    ("flags", "precision", "dtype", "compiled"),
    [
        ("--device cpu", "float32", torch.float32, False),
        ("--precision float32", "float32", torch.float32, False),
        ("--precision bfloat16 --compile", "bfloat16", torch.bfloat16, True),
        ("--precision float16", "float16", torch.float16, False),
    ],
)
def test_weights_are_loaded_in_the_precision_asked_for(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    flags: str,
    precision: str,
    dtype: torch.dtype,
    compiled: bool,
) -> None:
    loaded = []

    def loading(*given: Any, **options: Any) -> Model:
        loaded.append((load(*given, **{**options, "compile": False}), options["compile"]))
        return loaded[-1][0]

    load = conversion.load
    monkeypatch.setattr(conversion, "load", loading)
    assert sample(f"layout.png -o out.png --json {flags}") == 0
    ((model, asked),) = loaded
    assert model.dtype == dtype and asked == compiled
    assert json.loads(capsys.readouterr().out)["options"]["precision"] == precision
    assert pixels("out.png").shape == (SIZE, SIZE, 3)


def test_only_what_the_mask_shows_white_is_repainted(folder: Path) -> None:
    assert sample("layout.png -o out.png --image image.png --mask mask.png --repeats 2 --feather 1") == 0
    kept, image = pixels("out.png"), pixels("image.png")
    assert np.array_equal(kept[:, SIZE // 2 :], image[:, SIZE // 2 :])
    assert not np.array_equal(kept[:, : SIZE // 2], image[:, : SIZE // 2])


def test_images_and_masks_of_sixteen_bits_are_scaled(folder: Path) -> None:
    for name in ("image", "mask"):
        grey = np.asarray(Image.open(f"{name}.png").convert("L"))
        write_image(f"{name}_8.png", grey)
        write_image(f"{name}_16.png", grey.astype(np.uint16) * 257)
    for bits in (8, 16):
        assert sample(f"layout.png -o out_{bits}.png --image image_{bits}.png --mask mask_{bits}.png") == 0
    assert np.array_equal(pixels("out_8.png"), pixels("out_16.png"))


def test_a_turned_photo_is_noted_and_explains_its_size(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = Image.fromarray(pixels("image.png"))
    photo.save("square.png", exif=exif)
    assert sample("layout.png -o out.png --image square.png --strength 0.5") == 0
    assert "note: square.png: turned as the file says (EXIF orientation 6)" in capsys.readouterr().err
    photo.crop((0, 0, SIZE, 4)).save("wide.png", exif=exif)
    complaint = f"wide.png is 4x{SIZE} when it is turned as it says (EXIF orientation 6), the layout"
    refused(
        capsys, "sample layout.png -o out2.png --image wide.png --strength 0.5 --model model.safetensors", complaint
    )


def test_masks_that_may_be_meant_otherwise_are_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask, image = pixels("mask.png"), pixels("image.png")
    write_image("ones.png", (mask > 0).astype(np.uint8))
    write_image("hole.png", np.dstack([image, 255 - mask]))
    assert sample("layout.png -o out.png --image image.png --mask mask.png") == 0
    assert sample("layout.png -o ones_out.png --image image.png --mask ones.png") == 0
    assert "note: ones.png: the mask has the levels 0 and 1 of 255: 1 is taken for white" in capsys.readouterr().err
    assert np.array_equal(pixels("out.png"), pixels("ones_out.png"))
    assert sample("layout.png -o hole_out.png --image image.png --mask hole.png") == 0
    assert "note: hole.png: the mask looks like a picture with a transparent part" in capsys.readouterr().err


def test_transparent_parts_of_a_mask_are_kept(folder: Path) -> None:
    mask = np.full((SIZE, SIZE, 4), 255, dtype=np.uint8)
    mask[:, SIZE // 2 :, 3] = 0
    write_image("alpha.png", mask)
    assert sample("layout.png -o black.png --image image.png --mask mask.png") == 0
    assert sample("layout.png -o alpha_out.png --image image.png --mask alpha.png") == 0
    assert np.array_equal(pixels("black.png"), pixels("alpha_out.png"))


def test_json_reports_what_was_used(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paint("half.png", np.repeat([0, 14, 6, 6], SIZE // 4))
    assert sample("half.png -o out.png --size 24x24 --guidance 2 --json") == 0
    output, errors = capsys.readouterr()
    report = json.loads(output)
    assert report["layouts"][0]["classes"] == [
        {"id": 6, "name": "grass", "share": 0.5},
        {"id": 0, "name": "sky", "share": 0.25},
        {"id": None, "name": "unpainted", "share": 0.25},
    ]
    assert report["layouts"][0]["size"] == [24, 24]
    options = report["options"]
    assert (options["guidance"], options["steps"], options["sampler"]) == (2, 2, "ddpm"), "what was not asked for, too"
    assert report["images"] == [{"file": "out.png", "layout": "half.png", "seed": 0}]
    assert len(report["notes"]) == 1 and "taught images of 8x8 pixels; at 24x24" in report["notes"][0]
    assert errors == f"scdm: note: {report['notes'][0]}\n"


def test_options_reach_the_sampler(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    request = "--sampler ddim --eta 0.5 --no-clip --mean -0.1 0 0.1 --std 0.3 0.2 0.1"
    assert sample(f"layout.png -o out.png --json {request}") == 0
    options = json.loads(capsys.readouterr().out)["options"]
    assert (options["eta"], options["clip"]) == (0.5, False)
    assert (options["mean"], options["std"]) == ([-0.1, 0, 0.1], [0.3, 0.2, 0.1])


def test_a_preset_is_changed_by_options_beside_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample("layout.png -o out.png --json --preset published25 --extrapolation 0.5") == 0
    options = json.loads(capsys.readouterr().out)["options"]
    assert (options["steps"], options["dynamic_threshold"], options["extrapolation"]) == (2, 0.95, 0.5)


def with_borders(folder: Path) -> None:
    """bordered.safetensors: a model that reads borders of instances."""
    torch.manual_seed(0)
    model = Model.new(ModelConfig(dataclasses.replace(TINY, edges=True), (SIZE, SIZE), label_diffusion="none"), SCENES)
    for parameter in model.network.parameters():
        parameter.data = torch.randn(parameter.shape) * 0.05
    checkpoint.save("bordered.safetensors", model)


def test_instances_keep_things_that_touch_apart(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_borders(folder)
    things = np.repeat([[7], [26001]], SIZE // 2, axis=0).repeat(SIZE, axis=1).astype(np.uint16)
    write_image("classes.png", things)
    things[SIZE // 2 :, SIZE // 2 :] = 26002
    write_image("things.png", things)
    colours = np.zeros((SIZE, SIZE, 3), np.uint8)
    colours[SIZE // 2 :] = 9
    colours[SIZE // 2 :, SIZE // 2 :, 2] = 200
    write_image("colours.png", colours)
    made = "sample layout.png --model bordered.safetensors --steps 2 --guidance 1 -o"
    assert scdm(f"{made} none.png") == 0
    assert "taken between classes" in capsys.readouterr().err
    for name in ("classes", "things", "colours"):
        assert scdm(f"{made} {name}-image.png --instances {name}.png --json") == 0
        report = json.loads(capsys.readouterr().out)
        assert report["layouts"][0]["instances"] == f"{name}.png" and report["notes"] == []
    assert np.array_equal(pixels("classes-image.png"), pixels("none.png"))
    assert not np.array_equal(pixels("things-image.png"), pixels("none.png"))
    assert np.array_equal(pixels("things-image.png"), pixels("colours-image.png"))


def test_each_layout_has_its_instances(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_borders(folder)
    paint("other.png", np.zeros(SIZE))
    Path("things").mkdir()
    for name in ("layout", "other"):
        write_image(f"things/{name}.png", np.eye(SIZE, dtype=np.uint8).repeat(2, axis=0)[:SIZE])
    made = "sample layout.png other.png --model bordered.safetensors --steps 1 --size 16x16 -o {layout}-new.png --instances"
    assert scdm(f"{made} things/{{layout}}.png --json") == 0
    report = json.loads(capsys.readouterr().out)
    assert [one["instances"] for one in report["layouts"]] == ["things/layout.png", "things/other.png"]
    assert scdm(f"{made} things/layout.png --instances things/other.png") == 0
    capsys.readouterr()
    refused(capsys, f"{made} things/layout.png", "2 layouts need as many instance maps, not 1")


@pytest.mark.parametrize(
    "instances, complaint",
    [
        (
            "small.png",
            "small.png, for layout.png: the instance map is 4x4, the layout 8x8: they must have the same size",
        ),
        ("nowhere.png", "nowhere.png: there is no such file"),
        ("half.tif", "half.tif: an instance map holds whole numbers or colours, not fractions"),
    ],
)
def test_instances_that_cannot_be_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], instances: str, complaint: str
) -> None:
    with_borders(folder)
    write_image("small.png", np.zeros((4, 4), np.uint8))
    write_image("half.tif", np.full((SIZE, SIZE), 0.5, np.float32))
    refused(
        capsys,
        f"sample layout.png -o x.png --model bordered.safetensors --instances {instances}",
        complaint,
    )


def test_instances_are_for_models_that_read_borders(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image("things.png", np.zeros((SIZE, SIZE), np.uint8))
    refused(
        capsys,
        "sample layout.png -o x.png --model model.safetensors --instances things.png",
        "the model reads no borders of instances",
    )
    refused(capsys, "sample layout.png -o layout.png --model model.safetensors --instances layout.png", "would be lost")


def test_notes_are_sentences_that_quiet_silences(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = pixels("layout.png").copy()
    rows[0] = 1, 2, 3, 255
    write_image("strange.png", rows)
    assert sample("strange.png -o out.png") == 0
    assert "12% of the painted pixels have no colour of palette scenes" in capsys.readouterr().err
    assert sample("strange.png -o out.png --quiet") == 0
    assert capsys.readouterr() == ("", "")


def test_an_unpainted_layout_leaves_all_to_the_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image("empty.png", np.zeros((SIZE, SIZE, 4), dtype=np.uint8))
    assert sample("empty.png -o out.png") == 0
    assert "nothing is painted" in capsys.readouterr().err


def test_ids_are_read_with_a_palette_of_the_same_classes(folder: Path) -> None:
    table = {**SCENES.to_dict(), "name": "own"}
    table["classes"] = [{**entry, "color": [10 * entry["id"], 0, 0]} for entry in table["classes"]]
    Path("own.json").write_text(json.dumps(table))
    paint("own.png", np.repeat([0, 6], SIZE // 2), Palette.from_file("own.json"))
    assert sample("layout.png -o out.png") == 0
    assert sample("own.png -o own_out.png --palette own.json --tolerance 4") == 0
    assert np.array_equal(pixels("out.png"), pixels("own_out.png"))


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        ("absent.png -o out.png", "absent.png: there is no such file"),
        ("text.png -o out.png", "text.png: not an image"),
        ("cut.png -o out.png", "cut.png: the image is damaged or incomplete"),
        ("huge.png -o out.png", "huge.png: the image has more than 64 megapixels"),
        ("image.png -o out.png --tolerance 0", "no pixel has a colour of palette scenes"),
        ("ids.png -o out.png", "this grey image holds 200"),
        ("layout.png -o out.png --palette ade20k", "palette ade20k has 151 classes, the model 14"),
        ("layout.png -o out.png --palette nowhere", "there is no palette 'nowhere'"),
        ("layout.png -o out.png --palette text.png", "text.png"),
        ("layout.png -o out.png --image small.png --strength 0.5", "image small.png is 4x4, the layout layout.png 8x8"),
        ("layout.png -o out.png --image image.png --mask small.png", "mask small.png is 4x4"),
        ("layout.png -o out.png --image image.png --mask black.png", "the mask is empty"),
        ("layout.png -o out.png --image image.png --mask white.png", "the mask covers the whole image"),
        ("layout.png -o out.png --mask mask.png", "give the image too"),
        ("layout.png -o out.png --image image.png", "nothing is kept of the image"),
        (
            "layout.png -o out.png --image deep.png --strength 0.5",
            "deep.png: the image has more than 8 bits, but its brightest",
        ),
        ("layout.png -o out.png --strength 0.5", "give the image with --image"),
        ("layout.png -o out.png --feather 2", "give the mask with --mask"),
        ("layout.png -o out.png --size 100000x100000", "more than 64 megapixels"),
        ("layout.png -o out.png --size 8by8", "must look like 256x192"),
        ("layout.png -o out.png --size 0x8", "must look like 256x192"),
        ("layout.png -o out.png --count 0", "must be a whole number from 1"),
        ("layout.png -o out.png --seed -1", "seed must be a whole number from 0 to 2^64 - 1, not -1"),
        ("layout.png -o out.png --guidance nan", "guidance must be a number from 1 to 100"),
        ("layout.png -o out.png --guidance 0", "from 1 to 100, or None, not 0.0: leave it out"),
        ("layout.png -o out.png --precision int8", "precision must be auto, float32, bfloat16 or float16, not 'int8'"),
        ("layout.png -o out.png --sampler euler", "dpmpp_2m_sde or unipc, or None, not 'euler'"),
        (
            "layout.png -o out.png --sampler unipc --repeats 2",
            "repeats belongs to the sampler ddpm or ddim, not to unipc",
        ),
        ("layout.png -o out.png --label-noise white", "label_noise must be fresh, coupled or none, not 'white'"),
        ("layout.png -o out.png --eta 0.5", "--eta belongs to --sampler ddim, not to ddpm"),
        (
            "layout.png -o out.png --sampler ddim --variance learned",
            "--variance belongs to --sampler ddpm, not to ddim",
        ),
        ("layout.png -o {name}_{seed}.png", "{layout} and {seed} stand for something in a name, {name} does not"),
        ("layout.png -o {seed:03d}.png", "{seed:03d} does not"),
        ("layout.png -o out.png --device tpu", "invalid choice: 'tpu'"),
        ("layout.png -o nowhere/out.png", "there is no folder nowhere"),
        ("layout.png -o nowhere/", "there is no folder nowhere"),
        ("layout.png -o out", "the name of an image ends in .png"),
        ("layout.png -o out.pdf", "the name of an image ends in .png"),
        ("layout.png -o out.png --sheet sheet.xbm", "sheet.xbm: the name of an image ends in .png"),
        ("layout.png -o out.png --eta 2", "eta must be a number from 0 to 1, not 2.0"),
        ("layout.png -o out.png --mean 0 0 0", "both mean and std"),
        ("layout.png -o out.png --image image.png --mask mask.png --feather 1e30", "from 0 to 1024"),
        (". -o out.png", ". is a folder"),
        ("layout.png -o out.png --sheet out.png", "both an image and the sheet"),
        ("layout.png -o layout.png", "would be lost"),
        ("layout.png -o .", "would be lost"),
        ("layout.png -o out.png --image image.png --mask mask.png --sheet mask.png", "would be lost"),
        ("layout.png image.png -o out.png", "give a folder that exists, or a name with {layout}"),
        ("layout.png layout.png -o {layout}_.png", "would both become layout_.png"),
        ("-o out.png", "required: LAYOUT"),
        ("layout.png", "required: -o"),
        ("layout.png -o out.png --colour red", "unrecognized arguments: --colour red"),
        (
            "layout.png -o out.png --sed=3",
            "unrecognized arguments: --sed=3: did you mean '--seed'? ('scdm sample --help' explains)",
        ),
        ("layout.png -o out.png --plugin m.py", "--plugin m.py: --plugin stands before the command"),
    ],
)
def test_bad_requests_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], request_: str, complaint: str
) -> None:
    Path("text.png").write_text("id,name\n")
    Path("cut.png").write_bytes(Path("image.png").read_bytes()[:-40])
    Image.new("1", (9000, 9000)).save("huge.png")
    write_image("ids.png", np.full((SIZE, SIZE), 200, dtype=np.uint8))
    write_image("small.png", np.zeros((4, 4, 3), dtype=np.uint8))
    write_image("black.png", np.zeros((SIZE, SIZE, 3), dtype=np.uint8))
    write_image("white.png", np.full((SIZE, SIZE, 3), 255, dtype=np.uint8))
    write_image("deep.png", np.zeros((SIZE, SIZE), dtype=np.uint16))
    refused(capsys, f"sample {request_} --model model.safetensors", complaint)


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ("0", "or a whole number from 1, or None, not 0"),
        ("-5", "or a whole number from 1, or None, not -5"),
        ("many", "steps must look like 25"),
        ("2000", "cannot take 2000 steps"),
        ("ddim0", "exactly 0"),
    ],
)
def test_impossible_steps_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], steps: str, complaint: str
) -> None:
    refused(capsys, f"sample layout.png -o out.png --model model.safetensors --steps {steps}", complaint)


class Harmful:
    """A pickle that would make a folder when it is read."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.mkdir, (Path("harm"),)


def bad_models(model: Path) -> list[str]:
    """Makes files that no model can be read from, and says their names."""
    header, whole = checkpoint.read_header(model).to_json(), model.read_bytes()
    before = set(Path.cwd().iterdir())
    Path("cut.safetensors").write_bytes(whole[: len(whole) // 2])
    Path("start.safetensors").write_bytes(whole[:100])
    Path("empty.safetensors").write_bytes(b"")
    Path("text.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    save_file({"a": torch.zeros(2)}, "foreign.safetensors", {"format": "pt"})
    save_file({"a": torch.zeros(2)}, "broken.safetensors", {checkpoint.HEADER: "{"})
    save_file({"a": torch.zeros(2)}, "hollow.safetensors", {checkpoint.HEADER: header})
    torch.save({"a": torch.zeros(2)}, "foreign.pt")
    torch.save({"a": Harmful()}, "harmful.pt")
    Path("harmful.pkl").write_bytes(pickle.dumps(Harmful()))
    return sorted(path.name for path in set(Path.cwd().iterdir()) - before)


def test_bad_models_are_refused_and_run_no_code(
    folder: Path, model_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refused(capsys, "sample layout.png -o out.png --model nowhere", "there is no model 'nowhere'")
    for name in bad_models(model_file):
        refused(capsys, f"sample layout.png -o out.png --model {name}", name)
        refused(capsys, f"convert {name} -o out.safetensors", name)
        if name != "hollow.safetensors":  # whose header is sound
            refused(capsys, f"inspect {name}", name)
    assert not Path("harm").exists()


@pytest.mark.parametrize(
    ("failure", "status", "complaint"),
    [
        (KeyboardInterrupt(), 130, "scdm: interrupted\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "out.png cannot be written: No space left on device"),
        (MemoryError(), 2, "there is not enough memory"),
    ],
)
def test_failures_while_writing_leave_nothing(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
    status: int,
    complaint: str,
) -> None:
    before = sorted(folder.iterdir())

    def half_written(self: Image.Image, path: Path, **_: object) -> None:
        Path(path).write_bytes(b"\x89PNG")
        raise failure

    monkeypatch.setattr(Image.Image, "save", half_written)
    assert sample("layout.png -o out.png") == status
    assert complaint in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


SLOW_SAVE = """
import pathlib, signal, sys, time
from scdm.cli import main

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup and shells' background jobs have their children ignore these
signal.signal(signal.SIGINT, signal.default_int_handler)

def write_slowly(path, content):
    path.touch()
    print("writing", flush=True)
    time.sleep(60)

pathlib.Path.write_bytes = write_slowly
sys.exit(main(["palette", "scenes", "-o", "scenes.gpl"]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_being_stopped_while_writing_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", SLOW_SAVE]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "writing\n"
        assert len(list(tmp_path.iterdir())) == 1
        process.send_signal(number)
        assert process.communicate(timeout=30) == ("", "scdm: interrupted\n")
    assert process.returncode == 128 + number
    assert not list(tmp_path.iterdir())


def test_ignored_signals_stay_ignored() -> None:
    """nohup ignores SIGHUP."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_the_work_goes_on_where_nobody_listens(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `scdm sample ... | head -1`, and where standard output is closed."""
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        monkeypatch.setattr(sys, "stdout", nobody)
        assert sample("layout.png -o piped.png --count 3") == 0
        assert scdm("inspect model.safetensors") == 0
    monkeypatch.setattr(sys, "stdout", None)
    assert sample("layout.png -o closed.png --count 3") == 0
    assert len(list(folder.glob("piped_*.png"))) == len(list(folder.glob("closed_*.png"))) == 3


def test_words_that_cannot_be_delivered_are_a_failure(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = None
    with suppress(OSError), open("/dev/full", "w") as full:  # what was not written is in the way of closing it, too
        monkeypatch.setattr(sys, "stdout", full)
        status = scdm("inspect model.safetensors --json")
    assert status == 2


@pytest.mark.parametrize(
    "words",
    ["CUDA out of memory. Tried to allocate 2.00 GiB.", "DefaultCPUAllocator: can't allocate memory: you tried ..."],
)
def test_a_lack_of_memory_is_a_sentence(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    def generate(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError(words)

    monkeypatch.setattr("scdm.cli.sample.generate", generate)
    refused(capsys, "sample layout.png -o out.png --model model.safetensors", "there is not enough memory")


def test_a_bug_is_not_taken_for_a_bad_request(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def generate(*_: object, **__: object) -> torch.Tensor:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("scdm.cli.sample.generate", generate)
    with pytest.raises(RuntimeError, match="shapes"):
        sample("layout.png -o out.png")


def test_inspect_shows_a_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scdm("inspect model.safetensors") == 0
    table = capsys.readouterr().out
    for words in ("14, scenes", "trained at       8x8 pixels", "1000 linear steps, predicts eps", "uniform", "#78c0fa"):
        assert words in table
    assert scdm("inspect model.safetensors --json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["parameters"] == sum(p.numel() for p in checkpoint.load("model.safetensors").network.parameters())
    assert report["types"] == ["F32"] and report["config"]["network"]["num_classes"] == 14
    assert report["provenance"] == {"data": "none", "steps": 0}
    assert report["bytes"] == Path("model.safetensors").stat().st_size and report["upsampler"] is None
    assert scdm("inspect scenes-fast") == 0
    assert "trained at       64 to 512 pixels\n" in capsys.readouterr().out
    assert scdm("inspect scenes-fast --json") == 0
    assert json.loads(capsys.readouterr().out)["upsampler"]["config"]["upsamples"] == 64


def test_inspect_shows_patches_and_what_goes_with_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = checkpoint.load("model.safetensors")
    network = replace(model.config.network, patch=4, layout_width=16, sized=True)
    config = replace(model.config, network=network, size=(128, 128), window=64, noise_shift=0.25, prediction="x0")
    checkpoint.save("patched.safetensors", Model.new(config, model.palette))
    assert scdm("inspect patched.safetensors") == 0
    table = capsys.readouterr().out
    for words in (
        "128x128 pixels, in windows of 64",
        "4x4 pixels, layout embedded in 16 channels",
        "image height",
        "1000 linear steps, shifted by 0.25, predicts x0",
    ):
        assert words in table


def test_inspect_shows_how_labels_are_masked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = checkpoint.load("model.safetensors")
    config = replace(model.config, label_resolution=256, label_counting="steps")
    checkpoint.save("aware.safetensors", Model.new(config, model.palette))
    assert scdm("inspect aware.safetensors") == 0
    assert "uniform, as at 256 pixels, by original steps" in capsys.readouterr().out


def test_inspect_shows_a_layout(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scdm("inspect layout.png") == 0
    assert " 50.00%    6  grass" in capsys.readouterr().out
    assert scdm("inspect layout.png --json --palette model.safetensors") == 0
    assert json.loads(capsys.readouterr().out)["classes"][0] == {"id": 0, "name": "sky", "share": 0.5}


def test_values_are_chosen_and_what_was_assumed_is_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.array([[0, 3, 3]], dtype=np.uint8)).save("map.png")
    assert scdm("inspect map.png --palette ade20k") == 0
    output, errors = capsys.readouterr()
    assert "floor" in output and "scdm: note: the values are read as ids" in errors and "values annotations" in errors
    assert scdm("inspect map.png --palette ade20k --values annotations") == 0
    output, errors = capsys.readouterr()
    assert "sky" in output and errors == ""
    assert scdm("corrupt map.png -o rough.png --kind random --palette ade20k --values annotations") == 0
    assert read_layout("rough.png", Palette.named("ade20k")).ids[0, 0, -1] in (2, 151)
    capsys.readouterr()
    refused(capsys, "inspect map.png --values official", "palette scenes has no values 'official': choose ids")
    assert scdm("palette --list") == 0
    assert "cityscapes         35 classes, --values ids, train_ids\n" in capsys.readouterr().out


def test_inspect_shows_hostile_words_without_obeying_them(
    folder: Path, model_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    header = json.loads(checkpoint.read_header(model_file).to_json())
    header["palette"]["name"] = "\x1b[2J\nmodel"
    header["palette"]["classes"][0]["name"] = "sky\x9b31m"
    header["provenance"] = {"note\n": "\x1b]0;x\x07", "long": "x" * 10**6, "many": {"a": ["y" * 10**4] * 100}}
    tensors = {"a": torch.zeros(2)}
    save_file(tensors, "hostile.safetensors", {checkpoint.HEADER: json.dumps(header)})
    assert scdm("inspect hostile.safetensors") == 0
    table = capsys.readouterr().out
    assert len(table) < 5000
    assert scdm("inspect hostile.safetensors --json") == 0
    report = capsys.readouterr().out
    assert json.loads(report)["provenance"] == header["provenance"]
    for output in (table, report):
        assert "".join(output.split("\n")).isprintable()


def test_libraries_do_not_speak_beside_us(tmp_path: Path) -> None:
    """libtiff writes to the terminal by itself about a damaged file."""
    path = tmp_path / "layout.tif"
    Image.fromarray(np.zeros((40, 40), dtype=np.uint8)).save(path, compression="tiff_lzw")
    content = path.read_bytes()
    place = content.index(b"\x80\x00") if b"\x80\x00" in content[:16] else 8
    path.write_bytes(content[:place] + bytes(12) + content[place + 12 :])
    done = subprocess.run(
        [sys.executable, "-m", "scdm", "inspect", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("scdm: error: ") and done.stderr.count("\n") == 1


def test_long_values_are_not_echoed_whole(capsys: pytest.CaptureFixture[str]) -> None:
    long = "x" * 10**5
    for request in (
        ["inspect", long],
        ["inspect", "scenes", "--palette", long],
        ["inspect", "scenes", "--tolerance", long],
        [long],
        ["sample", "a.png", "-o", "a.png", "--size", long],
        ["sample", "a.png", "-o", long],
        ["sample", "a.png", "-o", "b.png", "--model", " x" * 10**5],
        ["palette", long, "-o", "x.png"],
    ):
        assert main(request) in (0, 2)
        assert len(capsys.readouterr().err) < 3000


def test_former_names_of_embedded_models_are_noted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    called = "scdm: note: the model scenes64-fast is called scenes-fast now\n"
    assert scdm("inspect scenes64-fast") == 0 and capsys.readouterr().err == called
    assert scdm("palette scenes64-fast -o scenes.gpl") == 0 and capsys.readouterr().err == called
    paint("large.png", np.repeat([0, 6], 32))
    assert scdm("sample large.png -o out.png --model scenes64-fast") == 0 and capsys.readouterr().err.startswith(called)


def test_a_palette_comes_before_the_model_of_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "read_header", None)
    assert "scenes" in assets.embedded_models() and chosen_palette("scenes") == SCENES


@pytest.mark.parametrize("name", assets.embedded_models())
def test_inspect_knows_embedded_models(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert scdm(f"inspect {name}") == 0
    assert capsys.readouterr().out.startswith(f"model            {name}\n")


@pytest.mark.parametrize("kind", [*CORRUPTIONS, "diffuse --step 900 --rates uniform"])
def test_corrupted_layouts_keep_their_colours(folder: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    assert scdm(f"corrupt layout.png -o rough.png --seed 1 --kind {kind}") == 0
    before, after = read_layout("layout.png", SCENES), read_layout("rough.png", SCENES)
    assert ((after.ids == before.ids) | after.unpainted).all()
    assert after.unpainted.any() == (kind != "downsample")
    first = Path("rough.png").read_bytes()
    assert scdm(f"corrupt layout.png -o rough.png --seed 1 --kind {kind}") == 0
    assert Path("rough.png").read_bytes() == first
    note = "scdm: note: layout.png stays as it is: --kind downsample changes nothing at this strength and size\n"
    assert capsys.readouterr() == ("", 2 * note if kind == "downsample" else "")


def test_removed_pixels_may_be_the_class_that_stands_for_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classes = [{"id": 0, "name": "sky", "color": [0, 0, 255]}, {"id": 1, "name": "void", "color": [90, 90, 90]}]
    table = {"name": "two", "num_channels": 2, "unlabelled_channel": 1, "classes": classes}
    Path("two.json").write_text(json.dumps(table))
    Image.new("RGB", (8, 8), (0, 0, 255)).save("sky.png")
    palette = Palette.from_file("two.json")
    for removed, open_is in (("mask", 2), ("class", 1)):
        arguments = f"--kind random --share 0.5 --palette two.json --removed {removed}"
        assert scdm(f"corrupt sky.png -o rough.png {arguments}") == 0
        assert set(read_layout("rough.png", palette).ids.unique().tolist()) == {0, open_is}
    assert scdm("corrupt layout.png -o rough.png --kind random --removed class") == 2
    assert "scenes have none for unlabelled pixels: leave removed pixels MASK" in capsys.readouterr().err


def test_corruptions_are_as_strong_as_asked_for(folder: Path) -> None:
    def unpainted(request: str) -> float:
        assert scdm(f"corrupt layout.png -o rough.png --seed {2**63 - 1} --kind {request}") == 0
        return read_layout("rough.png", SCENES).unpainted.double().mean().item()

    assert unpainted("edges --radius 0") == 2 / SIZE
    assert unpainted("edges --radius 1") == 4 / SIZE
    assert unpainted("random --share 0") == unpainted("patterns --share 0") == 0
    assert unpainted("diffuse --step 999 --rates uniform") == 1
    assert unpainted("random --share 0.9") > unpainted("random")
    assert unpainted("patterns --share 0.9") > unpainted("patterns --share 0.4") > 0.2
    assert unpainted("downsample --to 1") == 0
    assert len(read_layout("rough.png", SCENES).ids.unique()) == 1


def test_classes_that_colours_cannot_tell_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_image("ids.png", np.repeat(np.uint8([48, 150]), SIZE // 2)[:, None].repeat(SIZE, axis=1))
    assert scdm("corrupt ids.png -o rough.png --kind downsample --palette ade20k") == 0
    errors = capsys.readouterr().err
    assert "skyscraper (48) has the colour of road" in errors
    assert "unlabelled (150) has no colour" in errors


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        ("corrupt layout.png -o layout.png --kind edges", "would be lost"),
        ("corrupt layout.png -o nowhere/out.png --kind edges", "there is no folder nowhere"),
        ("corrupt layout.png -o . --kind edges", "is a folder"),
        ("corrupt layout.png -o out.jpg --kind edges", "a layout is written as .png or .tif"),
        ("corrupt layout.png -o out.png --kind blur", "invalid choice: 'blur'"),
        ("corrupt layout.png -o out.png --kind edges --step 3", "--step belongs to --kind diffuse, not to edges"),
        ("corrupt layout.png -o out.png --kind random --to 3", "--to belongs to --kind downsample, not to random"),
        ("corrupt layout.png -o out.png --kind edges --share 0", "--share belongs to --kind random or patterns"),
        ("corrupt layout.png -o out.png --kind downsample --to 0", "size must be a whole number from 1 to 8192, not 0"),
        (
            "corrupt layout.png -o out.png --kind edges --radius 65",
            "radius must be a whole number from 0 to 64, not 65",
        ),
        ("corrupt layout.png -o out.png --kind random --share 1", "a number from 0 and below 1"),
        ("corrupt layout.png -o out.png --kind patterns --share nan", "a number from 0 and below 1"),
        (f"corrupt layout.png -o out.png --kind random --seed {2**64}", "from 0 to 2^63 - 1"),
        ("corrupt layout.png -o out.png --kind diffuse --step 1000", "a whole number from 0 to 999"),
        ("corrupt layout.png -o out.png --kind diffuse --rates nowhere", "no class rates are called 'nowhere'"),
        ("corrupt layout.png -o out.png --kind diffuse --rates ade20k", "class rates for 151 classes"),
        ("corrupt absent.png -o out.png --kind edges", "no such file"),
        ("inspect absent.png", "no such file"),
        ("inspect absent", "there is no model 'absent'"),
        ("palette nowhere -o out.png", "there is no palette 'nowhere'"),
        ("palette scenes -o out.txt", "not .txt"),
        ("palette scenes -o nowhere/out.png", "there is no folder nowhere"),
        ("palette scenes", "with -o which file"),
        ("convert model.safetensors -o out.pt", "ends in .safetensors"),
        ("convert layout.png -o model.safetensors", "exists already"),
        ("convert absent.pt -o out.safetensors", "absent.pt"),
        ("", "required: COMMAND"),
        ("smaple", "invalid choice: 'smaple'"),
    ],
)
def test_other_bad_requests_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], request_: str, complaint: str
) -> None:
    refused(capsys, request_, complaint)


def test_palettes_are_listed_and_exported(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert scdm("palette --list") == 0
    assert "scenes             14 classes\n" in capsys.readouterr().out
    for request in ("scenes -o a.png", "scenes -o a.kpl", "model.safetensors -o a.gpl", "ade20k_golden_angle -o b.gpl"):
        assert scdm(f"palette {request}") == 0
    for name in assets.embedded_models():
        assert scdm(f"palette {name} -o {name}.gpl") == 0
    assert Path("a.gpl").read_text().splitlines()[4] == "120 192 250\tsky"
    assert Path("b.gpl").read_text().splitlines()[1] == "Name: ade20k_golden_angle"


def test_a_picture_of_too_many_colours_says_what_to_write_instead(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would take gigabytes."""
    classes = [{"name": f"class {i}", "color": [i >> 8, i & 255, 0]} for i in range(65_534)]
    Path("many.json").write_text(json.dumps({"classes": classes}))
    refused(capsys, "palette many.json -o many.png", "write .gpl or .kpl")
    assert scdm("palette many.json -o many.gpl") == 0


def test_layouts_are_not_written_in_lossy_formats(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And not only after the work: there is no such layout."""
    for suffix in ("jpg", "webp", "bmp"):
        refused(capsys, f"corrupt absent.png -o out.{suffix} --kind edges", "a layout is written as .png or .tif")


def test_convert_saves_what_conversion_reads(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def convert(path: Path, assumptions: Any) -> Model:
        given.append(assumptions)
        return checkpoint.load("model.safetensors")

    monkeypatch.setattr("scdm.cli.convert.convert", convert)
    Path("published.pt").touch()
    assert scdm("convert published.pt -o out.safetensors --palette ade20k --label-diffusion none") == 0
    assert given[0] == Assumptions(palette=Palette.named("ade20k"), label_diffusion="none")
    assert checkpoint.load("out.safetensors").palette == SCENES
    capsys.readouterr()
    refused(capsys, "convert published.pt -o out.safetensors", "exists already")
    assert scdm("convert published.pt -o out.safetensors --half --force") == 0
    assert Path("out.safetensors").stat().st_size < 0.6 * Path("model.safetensors").stat().st_size
    assert scdm("convert published.pt -o b.safetensors --size 512x256 --heads 8 --qkv-order qkv_major") == 0
    assert given[-1] == Assumptions(size=(256, 512), head_channels=None, heads=8, qkv_order="qkv_major")
    assert scdm("convert published.pt -o c.safetensors --head-channels 32") == 0
    assert given[-1] == Assumptions(head_channels=32)
    process = "--prediction x0 --noise-schedule cosine --steps 500"
    assert scdm(f"convert published.pt -o e.safetensors --heads 2 --heads-up 4 {process} --entry ema") == 0
    assert given[-1] == Assumptions(
        head_channels=None, heads=2, heads_up=4, prediction="x0", noise_schedule="cosine", steps=500, entry="ema"
    )
    capsys.readouterr()
    refused(capsys, "convert published.pt -o d.safetensors --heads-up 4", "--heads-up belongs to --heads")
    capsys.readouterr()
    refused(capsys, "convert published.pt -o d.safetensors --head-channels 32 --heads 4", "not allowed with")


def test_help_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        scdm("sample --help")
    assert caught.value.code == 0
    words = " ".join(capsys.readouterr().out.split()).replace(", --no-clip", "")
    assert "(ddpm, ddim, dpmpp_2m, dpmpp_2m_sde or unipc; default: what the model was made for, ddpm for most)" in words
    for name, setting in every_option().items():
        _, flag, after = words.partition(f" --{name.replace('_', '-')}")
        assert flag and f"default: {setting.unset})" in after.partition(" --")[0], name


def test_a_new_sampler_and_its_options_are_there(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def toy(
        denoise: Any, x: Any, schedule: Any, noise: Any, *, gain_x: Annotated[float, Option("a factor")] = 1.0
    ) -> Any:
        gains.append(gain_x)
        return ddim(denoise, x, schedule, noise)

    gains: list[float] = []
    monkeypatch.setitem(SAMPLERS, "toy", toy)
    with pytest.raises(SystemExit):
        scdm("sample --help")
    words = " ".join(capsys.readouterr().out.split())
    assert "unipc or toy; default" in words and "--gain-x GAIN_X toy: a factor (default: 1.0)" in words
    assert sample("layout.png -o out.png --sampler toy --gain-x 0.5") == 0 and gains == [0.5]
    assert sample("layout.png -o out.png --sampler toy") == 0 and gains == [0.5, 1.0]
    capsys.readouterr()
    request = "sample layout.png -o new.png --model model.safetensors --gain-x"
    refused(capsys, f"{request} 1", "--gain-x belongs to --sampler toy, not to ddpm")
    assert DEFAULT_TOLERANCE == TOLERANCE
    assert SCENES.name == DEFAULT_PALETTE


def test_help_names_the_corruptions_and_their_strengths(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scdm("corrupt --help")
    words = " ".join(capsys.readouterr().out.split())
    assert f"--kind {{{','.join(CORRUPTIONS)}}}" in words
    flags = {"size": "--to SIZE", "radius": "--radius PIXELS", "share": "--share SHARE", "step": "--step STEP"}
    for kind in CORRUPTIONS:
        assert about(kind) in words
        for name, setting in settings(kind).items():
            if setting.default is not None:
                explained = words.rpartition(flags[name])[2].partition(" --")[0]
                assert f"of {kind}: {setting.option.help}" in explained, name
                assert f"(default {setting.default})" in explained, name


def test_a_new_corruption_brings_its_flags(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def shifted(
        labels: LabelMap, seeds: list[int], far_right: Annotated[int, Option("pixels to the right", ge=0, le=9)] = 1
    ) -> LabelMap:
        """Shifted to the right."""
        return dataclasses.replace(labels, ids=labels.ids.roll(far_right, dims=2))

    monkeypatch.setitem(CORRUPTIONS, "shift", shifted)
    with pytest.raises(SystemExit):
        scdm("corrupt --help")
    words = " ".join(capsys.readouterr().out.split())
    assert "shift Shifted to the right" in words and "--far-right FAR_RIGHT of shift: pixels to the right" in words
    assert scdm("corrupt layout.png -o rough.png --kind shift --far-right 3") == 0
    assert torch.equal(read_layout("rough.png", SCENES).ids, read_layout("layout.png", SCENES).ids.roll(3, dims=2))
    capsys.readouterr()
    refused(capsys, "corrupt layout.png -o out.png --kind edges --far-right 3", "--far-right belongs to --kind shift")


@pytest.mark.parametrize("command", ["sample", "inspect", "corrupt", "palette", "convert"])
def test_every_command_explains_itself_with_examples(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args([command, "--help"])
    assert "examples:\n  scdm " in capsys.readouterr().out


def test_help_is_free_of_torch() -> None:
    code = "import sys, scdm.cli as c; c.parser().format_help(); sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        scdm("--version")
    assert capsys.readouterr().out.startswith("scdm ")


def test_a_roughness_is_given_or_estimated_and_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = checkpoint.load("model.safetensors")
    asked = ["sample", "layout.png", "-o", "out.png", "--steps", "2", "--model"]
    assert main([*asked, "model.safetensors", "--roughness", "0.5"]) != 0
    assert "leave roughness at auto" in capsys.readouterr().err
    config = dataclasses.replace(model.config, network=dataclasses.replace(TINY, roughness=True))
    count = len(NAMES)
    estimator = RoughnessEstimator((0.0,) * count, (1.0,) * count, ((0.0,) * (count + 1),), (0.0, 0.25))
    checkpoint.save("reader.safetensors", dataclasses.replace(Model.new(config, SCENES), roughness=estimator))
    assert main([*asked, "reader.safetensors"]) == 0
    assert "layout.png 0.25; --roughness sets another" in capsys.readouterr().err
    assert main([*asked, "reader.safetensors", "--json", "--roughness", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert main(["inspect", "reader.safetensors"]) == 0
    assert "read of layouts, auto estimates it" in capsys.readouterr().out
    assert report["layouts"][0]["roughness"] == 1 and report["options"]["roughness"] == 1 and not report["notes"]
