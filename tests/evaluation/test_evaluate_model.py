"""The evaluation script: images, a result and a sheet; goes on where it stopped; several processes do the same together."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from scdm import assets
from scdm.datasets import DataConfig, open_dataset
from scdm.files.images import read_image, to_levels, write_image
from scdm.metrics.optional import MissingPackage
from tests.evaluation.conftest import configuration
from tests.evaluation.test_layouts import paint
from tests.evaluation.test_measures import Brightness
from tests.evaluation.test_report import found
from tests.parity import REPOSITORY

pytest.importorskip("accelerate", reason="evaluation needs the extra 'train'")

from training.compare_evaluations import main as compare
from training.evaluate_model import main

pytestmark = pytest.mark.usefixtures("one_process")
MAKER = "tests.evaluation.test_measures:Brightness"


def command(model: Path, scenes: Path, out: Path, *more: str) -> list[str]:
    """Three layouts with two samples each, in two steps."""
    few = ["--limit", "3", "--samples", "2", "--options", "steps=2", "--cache", str(out.parent / "cache")]
    return ["--model", str(model), "--data", str(scenes), "--out", str(out), *few, *more]


def images(out: Path) -> dict[str, np.ndarray]:
    return {str(path.relative_to(out)): np.array(read_image(path)) for path in sorted(out.glob("*/*.png"))}


def assert_alike(some: dict[str, np.ndarray], others: dict[str, np.ndarray]) -> None:
    """Other batches and processes may compute in another order, and round a level of 255 the other way."""
    assert some.keys() == others.keys()
    assert all(np.abs(some[name].astype(int) - others[name]).max() <= 1 for name in some)


def alike(metrics: dict[str, float]) -> object:
    """Rounding, and a level here or there, moves distances near 0 by 1e-9 and more: they are differences of larger sums."""
    return pytest.approx(metrics, rel=1e-3, abs=1e-5)


def test_it_leaves_images_a_result_and_a_sheet(
    model: Path, evaluator: Path, scenes: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "out"
    assert main(command(model, scenes, out, "--segmenter", str(evaluator), "--corruption", "random")) == 0
    assert len(images(out)) == 6 and "0/scene_00000.png" in images(out)
    found = json.loads((out / "result.json").read_text())
    assert found["layouts"] == "random" and found["data"] == "scenes"
    assert {"miou", "miou_of_real_images", "pixel_accuracy", "frechet_segmenter"} <= found["metrics"].keys()
    assert found["settings"]["options"]["steps"] == 2
    assert (out / "result.md").read_text() in capsys.readouterr().out
    assert read_image(out / "sheet.png").height == 3 * 136 + 8
    assert len(list((tmp_path / "cache").iterdir())) == 1
    words = "ddpm, 2 steps, guidance 1.5, seed 0, label noise fresh, precision float32"
    assert found["conditions"]["sampler"] == words


def test_a_result_names_every_option_that_is_not_the_usual_one_and_sizes_the_width_first(
    model: Path, tmp_path: Path
) -> None:
    scenes, out = configuration(tmp_path, {"name": "scenes", "size": [16, 24], "workers": 0}), tmp_path / "out"
    options = ["preset=published25", "steps=ddim2", "clip=false"]
    assert main(command(model, scenes, out, "--limit", "1", "--samples", "1", "--options", *options)) == 0
    text = (out / "result.md").read_text()
    assert (
        "- sampler: ddpm, steps ddim2, guidance 1.5, seed 0, label noise fresh, precision float32, clip off, " in text
    )
    assert "dynamic threshold 0.95, extrapolation 0.8\n" in text
    assert "of the validation split, 24x16, 1 of each layout" in text


def test_a_size_that_the_model_was_not_taught_is_said(model: Path, tmp_path: Path, capsys) -> None:
    """As `scdm sample` says it; and what it passes over as near is said, too, since numbers are compared."""
    for size, sentence in (
        (
            32,
            "evaluate_model: note: the model was taught images of 16x16 pixels; at 32x32 shapes may repeat and fall apart",
        ),
        ([16, 24], "note: the model was taught images of 16x16 pixels, in other sizes or proportions than 24x16"),
        (16, ""),
    ):
        scenes, out = configuration(tmp_path, {"name": "scenes", "size": size, "workers": 0}), tmp_path / str(size)
        assert main(command(model, scenes, out, "--limit", "1", "--samples", "1", "--options", "steps=1")) == 0
        told = capsys.readouterr().err
        assert sentence in told and told.count("note: the model") == bool(sentence)
        assert "note: no network is given, so nothing is measured: add --segmenter" in told


def test_photographs_that_are_copied_over_images_are_not_measured_as_the_models(
    model: Path, evaluator: Path, scenes: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "out"
    assert main(command(model, scenes, out)) == 0
    made = images(out)
    for path in (out / "0").iterdir():
        write_image(path, np.full((16, 16, 3), 128, np.uint8))
    assert main(command(model, scenes, out, "--segmenter", str(evaluator))) == 2
    assert "are not the images that the model made: delete" in capsys.readouterr().err
    shutil.rmtree(out / "0")
    assert main(command(model, scenes, out)) == 0
    assert_alike(made, images(out))
    shutil.rmtree(out / "digests")
    assert main(command(model, scenes, out)) == 0
    assert "its 6 images are taken as they are" in capsys.readouterr().err


def test_another_data_set_whose_files_are_called_alike_is_not_taken_for_this_one(
    model: Path, evaluator: Path, tmp_path: Path, capsys
) -> None:
    """Neither do its real images have features that are known of the others, nor are images of its layouts there."""
    more = ["--segmenter", str(evaluator), "--limit", "4", "--samples", "1", "--options", "steps=1"]
    results = {}
    for name, turned in (("one", False), ("other", True)):
        data = folder_of_scenes(tmp_path / name, turned)
        cache = ["--cache", str(tmp_path / "cache")]
        given = ["--images", str(tmp_path / "one" / "val" / "images"), "--name", "given", *more[:4]]
        assert main([*given, "--data", str(data), "--out", str(tmp_path / f"given-{name}"), *cache]) == 0
        told = capsys.readouterr().err
        copied = "4 of 4 images are the real image of their layout, to the pixel"
        assert (copied in told) is (copied in (tmp_path / f"given-{name}" / "result.md").read_text()) is (not turned)
        assert "as label maps are stored" not in told
        results[name] = json.loads((tmp_path / f"given-{name}" / "result.json").read_text())["metrics"]
        images = ["--model", str(model), "--data", str(data), "--out", str(tmp_path / "out"), *more, *cache]
        assert main(images) == (2 if turned else 0)
    assert "0/0.png, " in (told := capsys.readouterr().err) and "were made of other layouts than is read now" in told
    maps = ["--images", str(tmp_path / "one" / "val" / "labels"), "--name", "maps", *more[:4], "--data", str(data)]
    assert main([*maps, "--out", str(tmp_path / "maps")]) == 0
    assert "0.png is grey or has a colour table, as label maps are stored: is it an image?" in capsys.readouterr().err
    assert results["one"]["frechet_segmenter"] == 0 < results["other"]["frechet_segmenter"]


def test_features_of_real_images_are_kept_until_an_image_changes(tmp_path: Path, monkeypatch) -> None:
    data, looked = folder_of_scenes(tmp_path / "scenes", False), []
    shutil.copytree(tmp_path / "scenes" / "val" / "images", tmp_path / "given")
    changed = tmp_path / "scenes" / "val" / "images" / "1.png"

    def look(self: Brightness, images: torch.Tensor) -> torch.Tensor:
        looked.append(len(images))
        return images.mean(dim=(2, 3))

    monkeypatch.setattr(Brightness, "__call__", look)
    given = [
        "--images",
        str(tmp_path / "given"),
        "--name",
        "given",
        "--data",
        str(data),
        "--limit",
        "4",
        "--features",
        MAKER,
    ]
    counts = []
    for place in range(4):
        if place == 2:
            write_image(changed, np.full((16, 16, 3), 128, np.uint8))
        looked.clear()
        assert main([*given, "--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")]) == 0
        counts.append(sum(looked) - 4)  # the given images are always looked at
    assert counts == [4, 0, 1, 0]


def folder_of_scenes(root: Path, turned: bool) -> Path:
    """Four scenes of 16 pixels as a folder data set, upside down in all their pixels or not."""
    data = open_dataset(DataConfig(size=16, workers=0), "val")
    for i, example in enumerate(data.validation()[i] for i in range(4)):
        levels, ids = to_levels(example.image[None])[0], example.ids.numpy().astype(np.uint8)
        for kind, pixels in (("images", levels), ("labels", ids)):
            (root / "val" / kind).mkdir(parents=True, exist_ok=True)
            write_image(root / "val" / kind / f"{i}.png", pixels[::-1].copy() if turned else pixels)
    classes = str(assets.folder() / "classes" / "scenes.json")
    return configuration(root, {"name": "folder", "root": str(root), "classes": classes, "size": 16, "workers": 0})


def test_a_folder_with_pictures_is_no_place_for_a_result(model: Path, scenes: Path, tmp_path: Path, capsys) -> None:
    for folder in ("photographs", "others"):
        paint(tmp_path / folder / "scene_00000.png", "sky", 16)
    few = ["--data", str(scenes), "--out", str(tmp_path / "photographs"), "--limit", "1"]
    for made_by in (["--model", str(model)], ["--images", str(tmp_path / "others"), "--name", "other"]):
        assert main([*few, *made_by]) == 2
        assert "photographs has pictures in it (scene_00000.png)" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "photographs").iterdir()] == ["scene_00000.png"]


def test_it_goes_on_where_it_was_stopped(model: Path, evaluator: Path, scenes: Path, tmp_path: Path) -> None:
    out, more = tmp_path / "out", ["--segmenter", str(evaluator)]
    assert main(command(model, scenes, out, *more)) == 0
    made, result = images(out), (out / "result.json").read_text()
    for lost in ("0/scene_00001.png", "1/scene_00002.png"):
        (out / lost).unlink()
    kept = out / "0" / "scene_00000.png"
    before = kept.stat().st_mtime_ns
    assert main(command(model, scenes, out, *more, "--batch", "2")) == 0
    assert kept.stat().st_mtime_ns == before
    again = images(out)
    assert_alike(made, again)
    assert json.loads(result)["metrics"] == alike(json.loads((out / "result.json").read_text())["metrics"])


class Immense:
    """Asks for more memory than a process can address."""

    name = "immense"

    def __init__(self, device: torch.device) -> None:
        pass

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return torch.empty(2**50)


def test_a_lack_of_memory_is_a_sentence(model: Path, scenes: Path, tmp_path: Path, capsys) -> None:
    assert main(command(model, scenes, tmp_path / "out", "--features", f"{__name__}:Immense", "--batch", "3")) == 2
    assert "evaluate_model: out of memory: lower --batch" in capsys.readouterr().err


def test_a_bug_is_not_taken_for_a_lack_of_memory(model: Path, scenes: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Immense, "__call__", lambda self, images: images.view(-1, 7))
    with pytest.raises(RuntimeError, match="is invalid for input"):
        main(command(model, scenes, tmp_path / "out", "--features", f"{__name__}:Immense"))


def test_other_settings_need_another_folder(model: Path, scenes: Path, tmp_path: Path, capsys) -> None:
    assert main(command(model, scenes, tmp_path / "out", "--options", "steps=1")) == 0
    assert main(command(model, scenes, tmp_path / "out", "--options", "steps=1", "guidance=3")) == 2
    assert "was made with other settings: options.guidance 1.5 instead of 3" in capsys.readouterr().err


def test_two_processes_make_the_same_images_and_numbers_as_one(model: Path, scenes: Path, tmp_path: Path) -> None:
    alone, together = tmp_path / "alone", tmp_path / "together"
    more = ["--features", MAKER, "--batch", "1"]
    assert main(command(model, scenes, alone, *more)) == 0
    shutil.rmtree(tmp_path / "cache")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    script = [str(REPOSITORY / "training" / "evaluate_model.py"), *command(model, scenes, together, *more)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(launch + script, env=environment, check=True, capture_output=True, timeout=120)
    assert len(images(alone)) == 6
    assert_alike(images(alone), images(together))
    first, second = (json.loads((out / "result.json").read_text())["metrics"] for out in (alone, together))
    assert first == alike(second) and "frechet_features" in first


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--model", "absent"], "there is no model 'absent'"),
        (["--data", "absent.yaml"], "absent.yaml: there is no such file"),
        (["--set", "data.siez=8"], "did you mean 'data.size'"),
        (["--options", "guidence=2"], "did you mean 'guidance'"),
        (["--options", "guidance"], "a setting looks like key=value"),
        (["--strength", "share=0.2"], "clean layouts have no setting 'share'"),
        (
            ["--corruption", "random", "--strength", "share=2"],
            "random: share must be a number from 0 and below 1, not 2",
        ),
        (["--segmenter", "absent"], "no segmenter file absent"),
        (["--inception", "absent"], "absent: there is no such file"),
        (["--lpips", "absent"], "absent: there is no such file"),
        (["--features", "absent:f"], "gives no feature extractor: No module named 'absent'"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_made(
    more: list[str], sentence: str, model: Path, scenes: Path, tmp_path: Path, capsys
) -> None:
    assert main(command(model, scenes, tmp_path / "out", *more)) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_model_of_other_classes_is_refused(model: Path, tmp_path: Path, capsys) -> None:
    root = tmp_path / "val"
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
        shutil.copy(REPOSITORY / "docs" / "images" / "krita_inpaint.png", root / folder / "a.png")
    (tmp_path / "classes.json").write_text('{"classes": [{"name": "sky"}]}')
    data = {"name": "folder", "root": str(tmp_path), "classes": str(tmp_path / "classes.json"), "size": 16}
    assert main(command(model, configuration(tmp_path, data), tmp_path / "out")) == 2
    assert "has 14 classes, the data set expects" in capsys.readouterr().err


def test_images_of_another_program_are_a_method_of_the_table(
    model: Path, evaluator: Path, scenes: Path, tmp_path: Path, capsys
) -> None:
    made = tmp_path / "made"
    more = ["--samples", "1", "--segmenter", str(evaluator)]
    assert main(command(model, scenes, made, *more)) == 0
    out, few = tmp_path / "out", ["--limit", "3", "--segmenter", str(evaluator), "--cache", str(tmp_path / "cache")]
    given = ["--images", str(made / "0"), "--data", str(scenes), "--out", str(out), *few]
    assert main([*given, "--name", "other program"]) == 0
    found, ours = (json.loads((folder / "result.json").read_text()) for folder in (out, made))
    assert found["metrics"] == alike(ours["metrics"]) and "options" not in found["settings"]
    assert found["intervals"]["miou"] == pytest.approx(ours["intervals"]["miou"])
    text = (out / "result.md").read_text()
    assert "| other program | clean |" in text and "this model" not in text and "digest" in text
    tex = (out / "result.tex").read_text()
    assert tex.startswith("% \\usepackage{booktabs}") and "other program & clean" in tex
    assert "\n% In brackets: 95 % intervals over the layouts" in tex
    assert (out / "result.csv").read_text().startswith("method,layouts,")
    assert main([*given, "--name", "a second program"]) == 2  # whose result would take the place of the first one's
    assert "model 'other program' instead of 'a second program'. Choose another folder" in capsys.readouterr().err
    assert main([*given, "--out", str(made / "0"), "--name", "other program"]) == 2
    assert "has the images themselves" in capsys.readouterr().err
    for name, sentence in (
        (None, "need the name of what made them: --name NAME"),
        ("a\nb", "a text of one line"),
        (" Real images", "reads like a row that tables have already"),
        ("SDM, published", "reads like a row that tables have already"),
    ):
        with pytest.raises(SystemExit):
            main([*given, *([] if name is None else ["--name", name])])
        assert sentence in capsys.readouterr().err
    (made / "settings.json").unlink()
    assert main(command(model, scenes, made, *more)) == 2
    assert "holds images (0/scene_00000.png) but no settings.json" in capsys.readouterr().err


def test_the_published_benchmark_is_one_command_and_one_table(
    model: Path, evaluator: Path, scenes: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / "out"
    few = ["--samples", "1", "--segmenter", str(evaluator), "--benchmark", "published", "--name", "tiny"]
    assert main(command(model, scenes, out, *few)) == 0
    kinds = ("clean", "downsample", "edges", "random")
    found = [json.loads((out / kind / "result.json").read_text()) for kind in kinds]
    assert [one["layouts"] for one in found] == list(kinds)
    assert [one["settings"]["layouts"].get("resized") for one in found] == [None, None, 256, 256]
    table = (out / "comparison.md").read_text()
    rows = ("clean", "downsample", "edges, at 256x256", "random, at 256x256")
    assert all(f"| tiny, guidance 1.5, 2 steps | {row} |" in table for row in rows)
    assert "tiny" in (out / "comparison.tex").read_text() and "tiny" in (out / "comparison.csv").read_text()
    assert "downsampling to 64 blocks a side hardly changes layouts of 16x16" in capsys.readouterr().err
    assert found[1]["conditions"]["layouts"] == "downsample, to 64x64, which hardly changes them"
    assert f"*All rows: 3 images of 16x16 pixels, corruption seed 0, measured by {evaluator}.*" in table
    assert "*All rows: ddpm, label noise fresh, seed 0.*" in table
    given = ["--images", str(out / "clean"), "--name", "other", "--data", str(scenes), "--benchmark", "published"]
    assert main([*given, "--out", str(tmp_path / "given")]) == 2
    assert "has no folder clean: with --benchmark the images of each kind of layouts lie in" in capsys.readouterr().err
    assert not (tmp_path / "given").exists()


def test_without_matplotlib_the_tables_are_a_success(scenes: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    def absent(name: str, purpose: str) -> None:
        raise MissingPackage(f"{purpose} needs the package {name}")

    monkeypatch.setattr("scdm.evaluation.plots.library", absent)
    paths = []
    for guidance in (1.0, 2.0):
        paths.append(tmp_path / f"{guidance}.json")
        paths[-1].write_text(json.dumps(found(guidance=guidance)))
    assert compare([*map(str, paths), "--out", str(tmp_path / "comparison")]) == 0
    told = capsys.readouterr()
    assert "the tables are written, but no plots: a plot needs the package matplotlib.figure" in told.err
    assert {path.name for path in (tmp_path / "comparison").iterdir()} == {f"comparison.{kind}" for kind in TABLES}


TABLES = ("md", "tex", "csv")


def test_results_are_put_together(model: Path, scenes: Path, tmp_path: Path, capsys) -> None:
    pytest.importorskip("matplotlib")
    for guidance in ("1", "2"):
        out = tmp_path / guidance
        more = ["--options", "steps=1", f"guidance={guidance}", "--features", MAKER]
        assert main(command(model, scenes, out, *more)) == 0
    results = [str(tmp_path / guidance / "result.json") for guidance in ("1", "2")]
    assert compare([*results, "--out", str(tmp_path / "comparison")]) == 0
    text = (tmp_path / "comparison" / "comparison.md").read_text()
    assert "guidance 1, 1 step |" in text and "guidance 2, 1 step |" in text
    assert compare([*results, str(scenes), "--out", str(tmp_path)]) == 2
    assert "run.yaml is not the result of an evaluation" in capsys.readouterr().err
    assert compare([results[0], *results, "--out", str(tmp_path)]) == 2
    assert "result.json is named twice" in capsys.readouterr().err


def test_painted_layouts_are_given_and_the_true_ones_measured(
    model: Path, evaluator: Path, scenes: Path, tmp_path: Path, capsys
) -> None:
    for i in (0, 2):
        paint(tmp_path / "painted" / f"scene_{i:05d}.png", "sky", 16)
    out, clean = tmp_path / "out", tmp_path / "clean"
    more = ["--samples", "1", "--segmenter", str(evaluator)]
    given = ["--layouts", str(tmp_path / "painted")]
    assert main(command(model, scenes, out, *more, *given)) == 0
    assert list(images(out)) == ["0/scene_00000.png", "0/scene_00002.png"]
    assert main(command(model, scenes, clean, *more)) == 0
    assert not np.array_equal(images(out)["0/scene_00000.png"], images(clean)["0/scene_00000.png"])
    found = json.loads((out / "result.json").read_text())
    assert found["layouts"] == "painted" and len(found["settings"]["layouts"]["digest"]) == 16
    assert "| painted |" in (out / "result.md").read_text()
    assert compare([str(folder / "result.json") for folder in (out, clean)] + ["--out", str(tmp_path / "all")]) == 0
    measured = [
        "--images",
        str(clean / "0"),
        "--name",
        "clean",
        "--data",
        str(scenes),
        "--out",
        str(tmp_path / "given"),
    ]
    assert main([*measured, *given, "--segmenter", str(evaluator), "--cache", str(tmp_path / "cache")]) == 0
    for refused in (["--corruption", "random"], ["--benchmark", "published"]):
        with pytest.raises(SystemExit):
            main(command(model, scenes, tmp_path / "other", *given, *refused))
    assert "--layouts are taken as they are" in capsys.readouterr().err
