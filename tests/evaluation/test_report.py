"""Reports: our numbers beside the published ones, and plots of what several evaluations differ in."""

from __future__ import annotations

import copy
import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch

from scdm.evaluation import markdown, result, sheet
from scdm.evaluation.comparison import (
    as_csv,
    comparison,
    footnotes,
    labels,
    latex,
    read_result,
    repeated,
    tables,
)
from scdm.evaluation.plots import plots
from scdm.evaluation.report import latex as report_latex
from scdm.evaluation.report import published, rows_of
from scdm.evaluation.tables import Row, csv_table
from scdm.evaluation.words import in_words
from scdm.files.images import read_image
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.metrics import SegmentationScore
from scdm.pipeline import GenerateOptions
from scdm.pipeline.options import preset

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
    assert row(text, "method")[1:] == ["layouts", "FID ↓", "LPIPS ↑", "mIoU % ↑", "Fréchet distance (mine) ↓"]
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
    assert published("celebamask_hq")[1] == Row(
        "SCDM, published", "clean", {"fid": 17.4, "lpips": 0.418, "miou": 0.772}
    )


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


def changed(found_: dict[str, Any], **options: object) -> dict[str, Any]:
    other = copy.deepcopy(found_)
    other["settings"]["options"].update(options)
    return other


def test_rows_are_told_apart_by_whatever_they_differ_in() -> None:
    base = found("random")
    sampled = [base, changed(base, label_noise="none"), changed(base, sampler="ddim", label_noise="coupled")]
    assert labels(sampled)[:2] == [
        "new, guidance 1.5, 25 steps, label noise fresh",
        "new, guidance 1.5, 25 steps, label noise none",
    ]
    assert labels(sampled)[2].endswith("label noise coupled, ddim")
    removed = [copy.deepcopy(base) for _ in range(3)]
    for one, value in zip(removed, ("mask", "class", "class"), strict=True):
        one["settings"]["layouts"]["removed"] = value
    removed[2]["settings"]["layouts"]["strength"] = {"share": 0.4}
    assert [row.layouts for row in tables(removed)["ade20k"][5:]] == [
        "random, removed pixels mask",
        "random, removed pixels class",
        "random, share 0.4, removed pixels class",
    ]
    weights = [copy.deepcopy(base), copy.deepcopy(base)]
    weights[1]["model"], weights[1]["settings"]["model"] = "older/new/model.safetensors", "abcdef0123456789"
    assert labels(weights)[1] == "new, older/new/model.safetensors, guidance 1.5, 25 steps"
    weights[1]["model"] = weights[0]["model"]  # another file was there then
    assert labels(weights)[1].endswith("file abcdef01") and labels(weights)[0] != labels(weights)[1]


def test_what_all_rows_share_stands_below_the_table() -> None:
    base = changed(found("random"), sampler="ddpm")
    base["settings"]["layouts"]["removed"] = "class"
    assert footnotes([base, base])[0] == "All but published rows: ddpm, label noise fresh."
    removed = 'What is removed from layouts is the class "unlabelled", or MASK where the data set has none.'
    assert removed in footnotes([base, base])
    base["settings"]["layouts"]["kind"] = "downsample"
    assert removed not in footnotes([base, base])  # which removes nothing
    base["settings"]["layouts"]["kind"] = "random"
    assert footnotes([base, changed(base, sampler="ddim")])[0].startswith("All but published rows: label noise fresh")


def test_how_strong_a_corruption_is_stands_in_every_row_that_asked_for_it() -> None:
    """Half of the pixels are not the published tenth, and a border at 256x256 is not one at the stored size."""
    random, edges = found("random"), found("edges")
    random["settings"]["layouts"] |= {"removed": "mask", "strength": {"share": 0.5}, "resized": None}
    edges["settings"]["layouts"] |= {"removed": "class", "strength": {"radius": 10}, "resized": 256}
    del random["settings"]["layouts"]["resized"]  # as files have it
    rows = tables([random, edges])["ade20k"][5:]
    assert [one.layouts for one in rows] == ["random, share 0.5", "edges, radius 10, at 256x256"]
    note = "What is removed from layouts is MASK (random); the class "
    note += '"unlabelled", or MASK where the data set has none (edges).'
    for text in (comparison([random, edges]), latex([random, edges])):
        assert "random, share 0.5" in text and note in text
    alone = markdown(random)
    assert row(alone, "this model")[1] == "random, share 0.5" and row(alone, "SCDM, published")[1] == "random"


def test_real_images_that_are_called_alike_are_told_apart_by_their_pixels() -> None:
    one, other = ({**found(), "count": 3, "real_images": pixels} for pixels in ("a", "b"))
    note = "Not all rows of the same layouts are of the same images, so they may not be comparable."
    assert note in footnotes([one, other]) and note not in footnotes([one, one])
    assert note not in footnotes([one, {**other, "count": 2}])  # the first two of them
    assert note not in footnotes([one, found()])  # of an earlier version


def test_how_images_were_made_stands_in_latex_and_csv_of_a_single_evaluation() -> None:
    one = found("random")
    one["conditions"] = {"model": "runs/new/model.safetensors, 5 training steps", "sampler": "ddpm, 25 steps\n"}
    tex = report_latex(one)
    assert "\n% model: runs/new/model.safetensors, 5 training steps\n% sampler: ddpm, 25 steps" in tex
    assert all(line.startswith(("%", "\\")) or "&" in line for line in tex.splitlines())
    line = next(csv.DictReader(io.StringIO(csv_table([row_ for row_ in rows_of(one) if row_.method == "this model"]))))
    assert line["file"] == "runs/new/model.safetensors" and line["options.guidance"] == "1.5"
    assert line["layouts.kind"] == "random"


def test_how_many_images_of_which_size_seed_and_segmenter_stands_below_the_table() -> None:
    """A table of 3 images must not read as one of all."""
    base = {**changed(found("random"), seed=4), "count": 3, "conditions": {"measured by": "runs/segmenter.safetensors"}}
    base["settings"]["data"] = {"size": [96, 128]}
    base["settings"]["layouts"]["seed"] = 7
    shared = "3 images of 128x96 pixels, corruption seed 7, measured by runs/segmenter.safetensors."
    for text in (comparison([base, base]), latex([base, base])):
        assert "All but published rows: label noise fresh, seed 4." in text
        assert f"All but published rows: {shared}" in text
    other = copy.deepcopy(base)
    other["settings"]["layouts"] = {"kind": "downsample", "seed": 8}  # which draws nothing: its seed says nothing
    other["count"] = 4
    assert "All but published rows: images of 128x96 pixels, corruption seed 7, measured by" in comparison(
        [base, other]
    )
    scenes = {**copy.deepcopy(base), "data": "scenes"}
    assert footnotes([scenes])[-1] == f"All rows: {shared}"
    runs = [changed(base, seed=seed) | {"name": "ours"} for seed in (4, 5)]
    for run, seed in zip(runs, (7, 8), strict=True):
        run["settings"]["layouts"]["seed"] = seed
    assert "seed" not in "".join(footnotes(repeated(runs)))  # a row of several seeds


def test_options_that_are_not_the_usual_ones_stand_below_the_table() -> None:
    """Or the papers' fast sampling would read as plain steps at equal strides."""
    usual = changed(found(), **GenerateOptions(sampler="ddpm", guidance=1.5, steps=25, clip=True).record())
    fast = changed(usual, **preset("published25"))
    noted = "All but published rows: ddpm, label noise fresh, seed 0"
    assert footnotes([fast])[0] == f"{noted}, dynamic threshold 0.95, extrapolation 0.8."
    assert footnotes([usual])[0] == f"{noted}."
    assert footnotes([changed(usual, clip=False)])[0] == f"{noted}, clip off."
    assert labels([fast]) == ["new, guidance 1.5, steps ddim25"]


@pytest.mark.parametrize(
    ("steps", "words"), [(25, "25 steps"), (1, "1 step"), ("50", "50 steps"), ("10,15", "steps 10,15")]
)
def test_steps_are_counted_or_called_by_their_name(steps: object, words: str) -> None:
    assert in_words("options.steps", steps) == words


def test_distances_in_other_features_have_headings_that_people_write() -> None:
    distances = {"frechet_segmenter": 1.0, "kernel_segmenter": 2.0, "kernel_segmenter_spread": 0.1}
    measured = {**found(palette=Palette.named("scenes")), "metrics": distances}
    assert row(markdown(measured), "method")[2:] == ["Fréchet distance (segmenter) ↓", "kernel distance (segmenter) ↓"]
    heading = r"& Fréchet distance (segmenter) $\downarrow$ & kernel distance (segmenter) $\downarrow$ \\"
    assert heading in latex([measured])
    assert "frechet_segmenter,kernel_segmenter" in as_csv([measured]).splitlines()[0]


def test_rows_of_other_numbers_of_images_and_other_networks_are_told_apart() -> None:
    few, all_ = ({**found("random"), "count": count} for count in (10, 2000))
    assert [row.layouts for row in tables([few, all_])["ade20k"][5:]] == ["random, 10 images", "random, 2000 images"]
    assert [row.layouts for row in tables([few, few])["ade20k"][5:]] == ["random"] * 2
    assert "10" in as_csv([few]).splitlines()[-1].split(",")
    few["conditions"], all_["conditions"] = {"measured by": "a.pth"}, {"measured by": "b.pth"}
    (note,) = (note for note in footnotes([few, all_]) if "comparable" in note)
    assert note.endswith("a.pth; b.pth.")


def test_rows_of_other_images_and_sizes_are_told_apart() -> None:
    """Images of another list, or of another size, must not read as another method's of the same."""
    base = found("random")
    base["settings"]["data"] = {"size": [96, 128], "fit": None, "images": "a9562d9e1f63cb03"}
    small, others, scribbles = (copy.deepcopy(base) for _ in range(3))
    small["settings"]["data"]["size"] = [48, 64]
    others["settings"]["data"]["images"] = "0123456789abcdef"
    scribbles["layouts"] = scribbles["settings"]["layouts"]["kind"] = "painted"
    scribbles["settings"]["data"]["images"] = "fedcba9876543210"
    assert [row.layouts for row in tables([base, small])["ade20k"][5:]] == ["random, 128x96", "random, 64x48"]
    assert [row.layouts for row in tables([base, others])["ade20k"][5:]] == [
        "random, images a9562d9e",
        "random, images 01234567",
    ]
    assert "Not all rows of the same layouts are of the same images" in "".join(footnotes([base, others]))
    assert [row.layouts for row in tables([base, scribbles])["ade20k"][5:]] == ["random", "painted"]
    assert "comparable" not in "".join(footnotes([base, small, scribbles]))
    cropped = copy.deepcopy(base)
    cropped["settings"]["data"]["fit"] = "center_crop"
    assert [row.layouts for row in tables([base, cropped])["ade20k"][5:]] == [
        "random, fit unset",
        "random, fit center_crop",
    ]


def test_intervals_are_shown_in_markdown_latex_and_csv() -> None:
    bounded = {**found(), "intervals": {"miou": [0.41, 0.45]}}
    assert "43.2 [41.0, 45.0]" in markdown(bounded) and "95 % intervals over the layouts" in markdown(bounded)
    assert "43.2 [41.0, 45.0]" in comparison([bounded]) and "43.2 [41.0, 45.0]" in latex([bounded])
    ours = list(csv.DictReader(io.StringIO(as_csv([bounded]))))[-1]
    assert (ours["miou"], ours["miou_low"], ours["miou_high"]) == ("0.4321", "0.41", "0.45")
    assert ours["options.guidance"] == "1.5" and ours["layouts.kind"] == "clean"


def test_latex_holds_no_character_that_latex_would_take_for_its_own() -> None:
    odd = {**found(), "name": "50 % of a_b & c#"}
    text = latex([odd])
    assert r"50 \% of a\_b \& c\#" in text and r"mIoU \% $\uparrow$" in text
    assert text.count(r"\begin{tabular}{lccccc}") == 1 and "↑" not in text
    widths = {line.count(" & ") for line in text.splitlines() if line.endswith(r"\\")}
    assert widths == {5}


def test_runs_of_one_name_become_a_row_with_their_interval() -> None:
    runs = [{**changed(found(miou=miou), seed=seed), "name": "ours"} for seed, miou in enumerate((0.4, 0.5, 0.6))]
    for number, run in enumerate(runs):
        run["settings"]["model"] = f"weights {number}"
    other = {**changed(found(), guidance=3.0), "name": "ours"}
    merged = repeated([*runs, other])
    assert len(merged) == 2 and merged[0]["name"] == "ours, 3 runs"
    assert merged[0]["metrics"]["miou"] == pytest.approx(0.5)
    low, high = merged[0]["intervals"]["miou"]
    assert high - low == pytest.approx(2 * 4.303 * 0.1 / 3**0.5)
    assert "Student's t" in comparison(merged)
    with pytest.raises(ValueError, match="has no name: evaluate the runs of a method with --name NAME"):
        repeated([found()])
    with pytest.raises(
        ValueError, match=r"two results of ours .* have the same weights and seeds: a repetition has others"
    ):
        repeated([*runs, copy.deepcopy(runs[1])])


def test_images_of_another_program_are_a_row_by_name_without_options() -> None:
    other = {**found(), "name": "OASIS", "settings": {"model": "OASIS", "layouts": {"kind": "clean"}}}
    assert row(comparison([found(), other]), "OASIS")[0] == "OASIS"
    assert footnotes([found(), other])[0].startswith("All but published rows and those of other programs: label noise")
    assert row(markdown(other), "OASIS")[1] == "clean"
    _require = {key: value for key, value in other.items() if key != "name"}
    with pytest.raises(ValueError, match="does not say how its images were made"):
        read_from(_require)
    assert read_from(other) == other


def read_from(content: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        path.write_text(json.dumps(content))
        return read_result(path)


def test_results_are_compared_by_data_set() -> None:
    text = comparison([found(), found("random"), found(palette=Palette.named("scenes"))])
    ade20k, scenes = text.split("## scenes")
    assert ade20k.count("| new, guidance 1.5, 25 steps |") == 2 and ade20k.count(", published |") == 5
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
    for change in (
        {"data": []},
        {"layouts": 5},
        {"count": "many"},
        {"conditions": []},
        {"metrics": {"fid": True}},
        {"metrics": []},
        {"model": "x" * 10**4},
    ):
        path.write_text(json.dumps({**whole, **change}))
        with pytest.raises(ValueError, match=r"result.json is not the result of an evaluation"):
            read_result(path)
    path.write_text(json.dumps(whole))
    assert read_result(path) == whole
