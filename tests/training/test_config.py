"""What cannot work is refused before anything is built, in words that say what to change."""

from __future__ import annotations

from dataclasses import fields, replace
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file

from scdm import assets
from scdm.datasets import DataConfig
from scdm.devices import PRECISIONS
from scdm.files.config import load, to_dict
from scdm.files.options import declared
from scdm.layouts.palette import Palette
from scdm.models import checkpoint
from scdm.training.config import DistillConfig, HidingConfig, LossConfig, StudentConfig, TrainConfig, UpsamplerConfig
from scdm.training.run import new_model, new_upsampler
from tests.training.tiny import NETWORK, config

CONFIGS = Path(__file__).parents[2] / "training" / "configs"


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("run", " ", "run must be .*: name the folder"),
        ("batch", 0, "batch must be a whole number from 1 to 65536, not 0"),
        ("batch", 10**7, "batch must be a whole number from 1 to 65536"),
        ("steps", 10**12, "steps must be a whole number from 1 to 1,000,000,000, not"),
        ("hours", float("nan"), "hours must be .*not nan"),
        ("hours", float("inf"), "hours must be .*not inf"),
        ("hours", 0, "hours must be"),
        ("null_rate", 1.5, "null_rate must be a number from 0 to 1, not 1.5"),
        ("seed", -1, "seed must be"),
        ("ema", 1.0, "ema must be a number from 0 and below 1, or several"),
        ("ema", [], "ema must be a decay, or several that differ"),
        ("ema", [0.9, 1.0], "ema must be .* below 1"),
        ("ema", [0.9, 0.9], "several that differ"),
        ("micro_batches", 3, "cannot be divided into 3 equal micro_batches"),
        ("keep_every", 3, r"multiple of save_every \(2\), not 3"),
        ("patience", 0, "patience must be"),
        (
            "precision",
            False,
            "one of float32, bfloat16, float16, bf16, fp16, not False",
        ),  # what YAML makes of a bare `no`
        ("optimizer", {"lr": float("inf")}, r"optimizer\.lr must be a number from 0 to 10, not inf"),
        ("optimizer", {"lr": float("nan")}, r"optimizer\.lr must be"),
        ("optimizer", {"clip_norm": -1}, r"optimizer\.clip_norm must be"),
        ("optimizer", {"warmup": -1}, r"optimizer\.warmup must be"),
        ("optimizer", {"decay": -1}, r"optimizer\.decay must be"),
        ("optimizer", {"weight_decay": -1}, r"optimizer\.weight_decay must be"),
        ("loss", {"vb_weight": float("nan")}, r"loss\.vb_weight must be"),
        ("loss", {"objektive": "kl"}, "did you mean 'loss.objective'"),
    ],
)
def test_what_is_out_of_bounds_is_refused(tmp_path, setting, value, words):
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump({**to_dict(config()), setting: value}))
    with pytest.raises(ValueError, match=words):
        load(TrainConfig, file)


@pytest.mark.parametrize("kind", [TrainConfig, StudentConfig, DistillConfig, DataConfig])
def test_every_setting_says_what_it_does(kind):
    sections = {"data", "optimizer", "network", "label_diffusion", "loss", "hiding"}
    assert declared(kind).keys() == {item.name for item in fields(kind)} - sections
    assert all(setting.option.help for setting in declared(kind).values())


def test_precisions_have_the_librarys_names_and_older_ones_are_read():
    assert [config(precision=name).precision for name in ("float32", "bf16", "fp16")] == [*PRECISIONS]


def test_a_bound_needs_a_network_that_learns_the_variance():
    with pytest.raises(ValueError, match=r"set network\.learn_sigma"):
        config(network=replace(NETWORK, learn_sigma=False), loss=replace(config().loss, objective="kl"))


def test_class_rates_come_from_the_settings_or_from_the_data_sets_name():
    """One word changes the kind, whatever rates stand beside it."""
    rates = lambda **settings: new_model(diffused(**settings), Palette.named("scenes")).config.class_rates  # noqa: E731
    own = tuple(float(i) for i in range(14))
    assert rates(kind="classwise", rates=None) == rates(kind="classwise", rates="scenes") != own
    assert rates(kind="classwise", rates=own) == own
    assert rates(kind="uniform", rates="scenes") is rates(kind="none", rates=own) is None
    with pytest.raises(ValueError, match=r"no class rates are called 'mine'.*estimate_class_rates.py"):
        rates(kind="classwise", rates="mine")


def test_a_run_hands_on_how_labels_are_masked():
    made = new_model(diffused(kind="uniform", resolution=256, counting="steps"), Palette.named("scenes")).config
    assert (made.label_resolution, made.label_counting) == (256, "steps")
    assert not {"resolution", "counting"} & to_dict(config())["label_diffusion"].keys()
    with pytest.raises(ValueError, match=r"label_diffusion\.counting must be visits or steps, not 'all'"):
        diffused(counting="all")
    with pytest.raises(ValueError, match=r"counting is about uniform label diffusion, not classwise: leave it out"):
        diffused(kind="classwise", counting="steps")


def diffused(**settings) -> TrainConfig:
    return config(label_diffusion=replace(config().label_diffusion, **settings))


def test_a_share_that_nothing_begins_with_is_refused():
    with pytest.raises(ValueError, match=r"set hiding\.sparse, too"):
        HidingConfig(sparse_from=0.5)


@pytest.mark.parametrize("hidden", [{}, {"sparse_share": 0.5}])
def test_runs_that_end_before_anything_is_hidden_are_refused(hidden):
    clean = {"hiding": HidingConfig(clean=10), **hidden}
    plain = {} if not hidden else {"label_diffusion": replace(config().label_diffusion, kind="none")}
    with pytest.raises(
        ValueError, match=r"hiding\.clean \(10\) leaves none of the 10 steps .*set it to fewer, such as 5"
    ):
        config(steps=10, **clean, **plain)
    assert config(steps=11, **clean, **plain).hiding.clean == 10


@pytest.mark.parametrize("ramp", ["label_noise", "sparse"])
def test_runs_that_end_before_all_is_hidden_are_refused(ramp):
    """A curriculum cut short would never have shown the noise that the model's file names."""
    with pytest.raises(
        ValueError, match=rf"hiding\.{ramp} \(8\) ends after the last of the 10 steps, 3 .*: set it to 7"
    ):
        config(steps=10, sparse_share=0.5, hiding=HidingConfig(clean=3, **{ramp: 8}))
    assert config(steps=10, sparse_share=0.5, hiding=HidingConfig(clean=3, **{ramp: 7})).steps == 10


def test_label_noise_that_is_left_out_does_not_grow():
    with pytest.raises(ValueError, match=r"hiding\.label_noise is about label diffusion, which .*kind none leaves out"):
        config(
            steps=10, hiding=HidingConfig(label_noise=3), label_diffusion=replace(config().label_diffusion, kind="none")
        )


def test_settings_of_what_is_not_there_are_refused():
    with pytest.raises(ValueError, match="posthoc_widths are of the snapshots of posthoc_every: set that"):
        config(posthoc_widths=(0.1, 0.2))
    with pytest.raises(ValueError, match=r"loss\.log_snr_limit: set it to 0 or more, not -3"):
        LossConfig(weighting="truncated", log_snr_limit=-3.0)


def test_clean_steps_of_a_run_that_hides_nothing_are_as_many_as_they_like():
    plain = replace(config().label_diffusion, kind="none")
    assert config(steps=10, hiding=HidingConfig(clean=10), label_diffusion=plain).steps == 10


def test_settings_of_sparse_layouts_are_refused_where_there_are_none():
    with pytest.raises(ValueError, match=r"no sparse layouts for hiding\.both and hiding\.removed: set sparse_share"):
        config(hiding=HidingConfig(both=False, removed="class"))
    assert config(hiding=HidingConfig(both=False), sparse_share=0.1).hiding.both is False
    assert config(hiding=HidingConfig(both=False, sparse=2, sparse_from=1.0)).sparse_share == 0  # which fades out


def test_data_and_network_must_fit_each_other():
    with pytest.raises(ValueError, match="14 classes, the network expects 15"):
        new_model(replace(diffused(kind="none"), network=replace(NETWORK, num_classes=15)), Palette.named("scenes"))
    with pytest.raises(ValueError, match="multiples of 2"):
        new_model(config(data=replace(config().data, size=17)), Palette.named("scenes"))
    with pytest.raises(ValueError, match=r"set network\.edges to false"):
        new_model(config(network=replace(NETWORK, edges=True)), Palette.named("scenes"))


def test_shipped_configurations_of_students_describe_runs_one_after_the_other():
    file = CONFIGS / "distill_scenes64.yaml"
    runs = load(DistillConfig, file).runs()
    assert [(run.student, run.teacher) for run in runs[1:]] == [
        (later.student, f"{earlier.run}/model.safetensors") for earlier, later in pairwise(runs)
    ]
    assert f"--config training/configs/{file.name}" in file.read_text()


def test_the_shipped_configuration_of_an_upsampler_describes_the_one_of_the_embedded_models():
    file = CONFIGS / "scenes_upsampler.yaml"
    palette = Palette.named("scenes")
    with torch.device("meta"):
        model = new_upsampler(load(UpsamplerConfig, file), palette)
    (name,) = assets.upsamplers()
    with resources.as_file(assets.folder() / assets.UPSAMPLERS / f"{name}.safetensors") as path:
        shipped = checkpoint.read_header(path)
    assert (shipped.config, shipped.palette) == (model.config, palette)
    assert f"--config training/configs/{file.name}" in file.read_text()


OTHERS = {*CONFIGS.glob("distill_*"), *CONFIGS.glob("*_upsampler.yaml")}


@pytest.mark.parametrize("file", sorted(set(CONFIGS.glob("*.yaml")) - OTHERS), ids=lambda file: file.stem)
def test_shipped_configurations_describe_models(file, monkeypatch):
    monkeypatch.chdir(CONFIGS.parents[1])  # where their commands are given
    run = load(TrainConfig, file)
    palette = Palette.from_file(run.data.classes) if run.data.classes else Palette.named(run.data.name)
    if run.data.name == "folder":  # its rates are still to be measured
        run = replace(run, label_diffusion=replace(run.label_diffusion, kind="uniform"))
    with torch.device("meta"):
        model = new_model(run, palette)
    assert model.config.network.edges == palette.edge_channel
    assert f"--config training/configs/{file.name}" in file.read_text()


@pytest.mark.parametrize(
    ("name", "lr", "batch", "null_rate"),
    [
        ("ade20k", 1e-4, 4 * 10, 0.2),
        ("coco_stuff", 1e-4, 4 * 10, 0.2),
        ("celebamask_hq", 2e-5, 4 * 10, 0.2),
        ("cityscapes", 1e-4, 8 * 4, 0.0),
    ],
)
def test_recipes_are_those_of_the_released_scripts(name, lr, batch, null_rate):
    """SCDM's scripts/train.sh, and for Cityscapes the first run of SDM's README."""
    run = load(TrainConfig, CONFIGS / f"{name}.yaml")
    assert (run.optimizer.lr, run.batch, run.null_rate, run.ema) == (lr, batch, null_rate, 0.9999)
    assert run.label_diffusion.resolution is None and run.hiding == HidingConfig()


@pytest.mark.parametrize("file", sorted((CONFIGS / "accelerate").glob("*.yaml")), ids=lambda file: file.stem)
def test_accelerate_reads_the_files_made_for_it(file):
    settings = load_config_from_file(str(file))
    assert settings.mixed_precision is None, "precision is a setting of the run"
    assert (settings.num_processes > 1) == (file.stem != "one_process")


def test_windows_without_a_side_are_refused() -> None:
    with pytest.raises(ValueError, match=r"windows \(8\) need a window: set it"):
        config(windows=8)


@pytest.mark.parametrize(("window", "used"), [(None, None), (8, 8), (16, 16), (32, None)])
def test_a_window_is_used_where_an_image_is_larger(window: int | None, used: int | None) -> None:
    run = config(window=window, more_sizes=(24,))
    assert run.window_used == used
    assert new_model(run, Palette.named("scenes")).config.window == used


@pytest.mark.parametrize("sizes", [(), (32,), ((8, 16), (16, 32))])
def test_buckets_are_sizes_of_different_proportions(sizes) -> None:
    with pytest.raises(ValueError, match=r"buckets are data\.size and more_sizes, each in other proportions, not 16"):
        config(buckets=True, more_sizes=sizes)
    assert config(buckets=True, more_sizes=((8, 16), (16, 8))).taught == ((16, 16), (8, 16), (16, 8))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("learning_rate=1e-4", "'optimizer.lr'"),
        ("LR=1e-4", "'optimizer.lr'"),
        ("optimizer.learning_rate=1e-4", "'optimizer.lr'"),
        ("batch_size=8", "'batch'"),
        ("drop_rate=0.2", "'null_rate'"),
        ("image_size=256", "'data.size'"),
        ("num_channels=64", "'network.channels'"),
        ("cond_opt=discrete_zero_classwise", "'label_diffusion.kind'"),
        ("sparse_from=1", "'hiding.sparse_from'"),
        ("label_diffusion.resolutio=256", "'label_diffusion.resolution'"),
        ("data.flipp=true", "'data.flip'"),
    ],
)
def test_names_of_the_published_scripts_and_of_other_sections_are_answered_with_ours(theirs: str, ours: str) -> None:
    with pytest.raises(ValueError, match=rf"unknown setting {theirs.partition('=')[0]}: did you mean {ours}\?"):
        load(TrainConfig, CONFIGS / "scenes64.yaml", [theirs])


def test_a_setting_of_another_kind_of_network_is_not_answered_with_itself() -> None:
    with pytest.raises(ValueError, match=r"unknown setting network\.hidden: known are num_classes"):
        load(TrainConfig, CONFIGS / "dit_scenes.yaml", ["network.hidden=8"])
