"""The measurement of rough layouts runs, for models that read their roughness and for others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks import layout_following, roughness
from benchmarks.roughness import in_cells, main, scrawl
from scdm.files.images import require_writable
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.models import checkpoint
from scdm.training.run import new_model
from tests.training.tiny import config
from tests.weights import randomize


def saved(path: Path, reads: bool) -> str:
    base = config()
    model = new_model(replace(base, network=replace(base.network, roughness=reads)), Palette.named("scenes"))
    randomize(model.network)
    checkpoint.save(path, model)
    return str(path)


def test_a_table_and_a_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = [saved(tmp_path / "plain.safetensors", False), saved(tmp_path / "reader.safetensors", True)]
    size = ["--layouts", "4", "--size", "16", "--steps", "1", "--errors", "exact", "mix"]
    size += ["--roughness", "0", "unknown"]
    assert main([*models, *size, "--ends", "1", "0.5", "--sheet", str(tmp_path / "sheet.png")]) == 0
    plain, reader = capsys.readouterr().out.split("reader.safetensors")
    assert "| layouts | auto | auto, layout_end 0.5 |" in plain
    assert "| layouts | 0 | 0, layout_end 0.5 | unknown | unknown, layout_end 0.5 |" in reader
    for table in (plain, reader):
        assert all(f"\n| {name} | " in table for name in ("exact", "mix"))
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 5 * 128 and sheet.height > 8 * 128


def test_an_error_that_does_not_exist_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["scenes", "--errors", "smudges"])
    assert "there is no error smudges: choose of exact, mix, outgrown" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (["--roughness", "0", "7"], "roughness must be a number from 0 to 1, or auto or unknown, not 7"),
        (["--ends", "1", "0"], "layout_end must be a number above 0 to 1, not 0"),
        (["--sheet", "nowhere/sheet.png"], "there is no folder nowhere: make it first"),
        (["--sheet", "sheet.gif2"], "the name of an image ends in .png"),
        (["--layouts", "1"], "layouts must be at least 2"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(
    wrong: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        assert main(["there-is-no-such-model", *wrong]) == 2
    except SystemExit as ended:
        assert ended.code == 2
    assert complaint in capsys.readouterr().err


def test_blocks_and_scrawl_are_layouts_of_scenes() -> None:
    blocks = in_cells(LabelMap(torch.arange(64 * 64).view(1, 64, 64) % 14, 14), 8)
    assert torch.equal(blocks.ids, blocks.resized(8, 8).resized(64, 64).ids)
    drawn = scrawl(64, 96, 14)
    assert drawn.ids.shape == (1, 64, 96) and drawn.ids.unique().numel() >= 7


@pytest.mark.parametrize("measure", [roughness.main, layout_following.main])
def test_a_sheet_that_cannot_be_written_is_refused_before_any_work(
    measure: Callable[[list[str]], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measure(["no such model", "--sheet", str(tmp_path / "sheet.txt")])
    assert "sheet.txt: the name of an image ends in .png" in capsys.readouterr().err


def test_the_folder_of_a_sheet_is_made(tmp_path: Path) -> None:
    require_writable(tmp_path / "new" / "sheet.png")
    assert (tmp_path / "new").is_dir()


def test_what_is_no_roughness_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        roughness.main(["scenes", "--roughness", "much"])
    assert "invalid roughness value: 'much'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        roughness.main(["no such model", "--strength", "3"])
    assert "strength is a roughness from 0 to 1, not 3" in capsys.readouterr().err
