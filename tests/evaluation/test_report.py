"""Reports: our numbers beside the published ones, and plots of what several evaluations differ in."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from scdm.evaluation import markdown, result, sheet
from scdm.evaluation.plots import comparison, plots, read_result
from scdm.evaluation.report import published
from scdm.files.images import read_image
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.metrics import SegmentationScore

ADE20K = Palette.named("ade20k")
METRICS = {"fid": 31.234, "lpips": 0.5, "miou": 0.4321, "miou_of_real_images": 0.5, "frechet_mine": 1.5}


def found(kind: str = "clean", guidance: float = 1.5, palette: Palette = ADE20K, **metrics: float) -> dict[str, Any]:
    settings = {"model": "digest", "layouts": {"kind": kind}, "options": {"guidance": guidance, "steps": 25}}
    settings["options"]["label_noise"] = "fresh"
    return result("runs/new/model.safetensors", settings, palette, {"images": "3"}, {**METRICS, **metrics}, None)


def test_without_any_metric_there_is_still_a_table() -> None:
    lines = markdown({**found(palette=Palette.named("scenes")), "metrics": {}}).splitlines()
    assert [line for line in lines if line.startswith("|")] == [
        "| method | layouts |",
        "| --- | --- |",
        "| this model | clean |",
    ]


def row(text: str, start: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_has_what_is_published_about_these_layouts() -> None:
    text = markdown(found())
    assert row(text, "method")[1:] == ["layouts", "FID ↓", "LPIPS ↑", "mIoU % ↑", "frechet mine ↓"]
    assert row(text, "SDM, published") == ["SDM, published", "clean", "27.50", "0.524", "39.2", ""]
    assert row(text, "this model") == ["this model", "clean", "31.23", "0.500", "43.2", "1.5"]
    assert row(text, "real images") == ["real images", "", "", "", "50.0", ""]
    assert "cannot be compared" in text and "- images: 3" in text
    noisy = markdown(found("edges"))
    assert row(noisy, "SCDM, published") == ["SCDM, published", "edges", "31.20", "", "40.1", ""]
    assert "SDM, published" not in noisy.replace("SCDM, published", "")
    assert "ublished" not in markdown(found(palette=Palette.named("scenes")))


def test_published_results_are_of_data_sets_that_have_a_palette() -> None:
    assert len(published("ade20k")) == 5 and len(published("ade20k", "clean")) == 2
    assert published("celebamask_hq")[1] == ("SCDM, published", "clean", {"fid": 17.4, "lpips": 0.418, "miou": 0.772})


def test_classes_that_never_occur_have_no_share_in_json_and_no_line() -> None:
    score = SegmentationScore(3)
    score.update(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]))
    palette = Palette("test", ("a", "b", "c"), (None,) * 3)
    content = result("m", {"layouts": {"kind": "clean"}}, palette, {}, METRICS, score)
    assert json.loads(json.dumps(content, allow_nan=False))["iou"] == {"a": 0.5, "b": 0.5, "c": None}
    assert "| a | 50.0 |" in markdown(content) and "| c |" not in markdown(content)


def test_a_sheet_has_a_row_for_each_layout_and_shows_corrupted_ones_apart() -> None:
    palette = Palette.named("scenes")
    clean = LabelMap(torch.zeros(2, 8, 8, dtype=torch.int64), 14)
    images = torch.zeros(2, 3, 8, 8)
    narrow = sheet(palette, clean, clean, [images], images)
    wide = sheet(palette, clean, clean.masked(torch.eye(8, dtype=torch.bool)), [images, images], images)
    assert narrow.shape == (2 * 136 + 8, 3 * 136 + 8, 3) and wide.shape == (2 * 136 + 8, 5 * 136 + 8, 3)


def test_results_are_compared_by_data_set() -> None:
    text = comparison([found(), found("random"), found(palette=Palette.named("scenes"))])
    ade20k, scenes = text.split("## scenes")
    assert ade20k.count("| new, guidance 1.5, 25 steps |") == 2 and ade20k.count("published") == 5
    assert scenes.count("| new, guidance 1.5, 25 steps |") == 1


def test_plots_show_the_settings_in_which_results_differ(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert plots([found()], tmp_path) == []
    assert plots([found(), found()], tmp_path) == []  # the same twice
    results = [found(guidance=g, fid=20 + (g - 2) ** 2) for g in (3.0, 1.0, 2.0)] + [found("edges", guidance=2.0)]
    written = plots(results, tmp_path)
    assert [path.name for path in written] == ["guidance.png", "layouts.png"]
    assert all(min(read_image(path).size) > 300 for path in written)
    ddim = copy.deepcopy(results[0])
    ddim["settings"]["options"]["steps"] = "ddim50"
    assert [path.name for path in plots([results[0], ddim], tmp_path)] == ["steps.png"]
    other = copy.deepcopy(results[0])
    other["settings"]["options"].update(steps=50, label_noise="none")  # differs in two settings: no plot can show it
    assert [path.name for path in plots([results[0], other], tmp_path)] == []


def test_files_that_are_no_results_are_named(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    with pytest.raises(ValueError, match=r"result.json: cannot be read"):
        read_result(path)
    whole = found(fid=20.0)
    odd = [{**whole, "model": 1}, {**whole, "settings": {}}, {**whole, "metrics": {"fid": "good"}}]
    for content in ("{", "[]", "{}", *map(json.dumps, odd)):
        path.write_text(content)
        with pytest.raises(ValueError, match=r"result.json is not the result of an evaluation"):
            read_result(path)
    options = whole["settings"]["options"]
    for change in ({"steps": [1]}, {"steps": None}, {"guidance": 1e300}, {"guidance": 10**400}, {"label_noise": {}}):
        path.write_text(json.dumps({**whole, "settings": {**whole["settings"], "options": {**options, **change}}}))
        with pytest.raises(ValueError, match=r"result.json is not the result of an evaluation"):
            read_result(path)
    for change in ({"data": []}, {"layouts": 5}, {"metrics": {"fid": True}}, {"metrics": []}, {"model": "x" * 10**4}):
        path.write_text(json.dumps({**whole, **change}))
        with pytest.raises(ValueError, match=r"result.json is not the result of an evaluation"):
            read_result(path)
    path.write_text(json.dumps(whole))
    assert read_result(path) == whole
