"""A run does what its configuration says, leaves whole files, goes on where it stopped, and says why it cannot."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import re
import signal
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scdm.diffusion.denoiser import Denoiser, LossTerms
from scdm.files.config import load
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.metrics import segmenter
from scdm.models import checkpoint
from scdm.pipeline import GenerateOptions, generate
from scdm.training import loop
from scdm.training.config import (
    MODEL,
    DataConfig,
    HidingConfig,
    LabelDiffusionConfig,
    LossConfig,
    OptimizerConfig,
    TrainConfig,
)
from scdm.training.interruption import Interrupted
from scdm.training.learner import Learner, Outcome
from scdm.training.loop import rehearse, train
from scdm.training.release import sampling
from scdm.training.run import new_model, start_from
from tests.datasets import trees
from tests.training.test_states import full_disk
from tests.training.tiny import NETWORK, assert_same, config, learned

REPOSITORY = Path(__file__).parents[2]


def test_a_run_leaves_a_model_that_explains_itself_and_a_sheet(tmp_path):
    file = train(config(tmp_path / "run", samples=2, ema=(0.999, 0.9), save_every=4))
    model = checkpoint.load(file)
    assert model.palette.name == "scenes" and model.config.size == (16, 16)
    assert model.config.class_rates is not None and len(model.config.class_rates) == 14
    assert model.provenance["steps"] == 4 and "16 images" in model.provenance["data"]
    assert any(parameter.abs().max() > 0 for parameter in model.network.out[2].parameters())  # zero before training
    names = {"model.safetensors", "model-ema-0.9.safetensors", "samples-4.png", "state-4.pt", ".lock"}
    assert {path.name for path in file.parent.iterdir()} == names
    weights = learned(file.parent, 4)
    assert torch.equal(weights["0.999 out.2.weight"], model.network.out[2].weight)
    fast = checkpoint.load(file.parent / "model-ema-0.9.safetensors")
    assert torch.equal(weights["0.9 out.2.weight"], fast.network.out[2].weight)


@pytest.mark.parametrize(
    "changes",
    [
        {"network": replace(NETWORK, conditioning="concat")},
        {"prediction": "flow", "noise_schedule": "flow"},
        {
            "label_diffusion": LabelDiffusionConfig("uniform", resolution=256, counting="steps"),
            "sparse_share": 0.5,
            "hiding": HidingConfig(both=False, clean=1, label_noise=2, sparse=2),
        },
    ],
    ids=["concatenated", "flow", "hiding"],
)
def test_other_ways_to_train_leave_models_that_sample_layouts(tmp_path, changes):
    file = train(config(tmp_path / "run", samples=1, save_every=4, **changes))
    model = checkpoint.load(file)
    assert (tmp_path / "run" / "samples-4.png").is_file()
    layouts = [LabelMap(torch.full((1, 16, 16), label), 14) for label in (0, 6)]
    images = [generate(model, labels, GenerateOptions(steps=2, seed=1)) for labels in layouts]
    assert not torch.equal(*images)


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path):
    """Also with what is not a function of the step: importance sampling's memory; and with what is: dropout."""
    changes = {"network": replace(NETWORK, dropout=0.1), "loss": LossConfig(timesteps="importance")}
    train(config(tmp_path / "whole", **changes))
    for steps in (1, 3, 4):  # resumed twice: torch hands back some of an optimizer's settings in other types
        train(config(tmp_path / "parts", steps=steps, save_every=1, **changes))
    assert_same(learned(tmp_path / "parts", 4), learned(tmp_path / "whole", 4))


def test_a_run_of_several_sizes_resumes_in_its_turn_and_names_them(tmp_path):
    sizes = {"more_sizes": (32, (16, 24)), "samples": 1}
    whole = train(config(tmp_path / "whole", **sizes))
    train(config(tmp_path / "parts", steps=2, **sizes))
    train(config(tmp_path / "parts", **sizes))
    assert_same(learned(tmp_path / "parts", 4), learned(tmp_path / "whole", 4))
    header = checkpoint.read_header(whole)
    assert header.config.size == (16, 16) and header.config.sizes == ((16, 16), (32, 32), (16, 24))
    assert header.provenance["data"].endswith("16 images at 16 and 32 and (16, 24) pixels")
    with pytest.raises(ValueError, match="more_sizes"):
        train(config(tmp_path / "parts", more_sizes=(32,)))


def test_a_run_in_buckets_resumes_in_its_bucket_and_names_their_sizes(tmp_path):
    for number, size in enumerate([(20, 20), (20, 20), (20, 40), (40, 20)]):
        label, image = trees.random_label(number, size=size), trees.random_image(number, size)
        trees.write(tmp_path, "folder", label, image, name=str(number))
    own = {
        "data": trees.folder_config(tmp_path),
        "network": replace(NETWORK, num_classes=3),
        "label_diffusion": LabelDiffusionConfig("uniform"),
        "more_sizes": ((8, 16), (16, 8)),
        "buckets": True,
    }
    whole = train(config(tmp_path / "whole", **own))
    train(config(tmp_path / "parts", steps=2, **own))
    train(config(tmp_path / "parts", **own))
    assert_same(learned(tmp_path / "parts", 4), learned(tmp_path / "whole", 4))
    assert checkpoint.read_header(whole).config.sizes == ((16, 16), (8, 16), (16, 8))
    with pytest.raises(ValueError, match="buckets True instead of False"):
        train(config(tmp_path / "parts", **{**own, "buckets": False}))
    for change, complaint in (
        ({"more_sizes": ((8, 17),)}, "multiples of 2"),
        ({"more_sizes": ((8, 16), (8, 48))}, r"nearest to \[8, 48\]"),
        ({"data": DataConfig(size=16, workers=0)}, "scenes have no image files"),
    ):
        with pytest.raises(ValueError, match=complaint):
            train(config(tmp_path / "refused", **{**own, **change}))
    assert not (tmp_path / "refused").exists()


@pytest.mark.parametrize(
    ("sizes", "complaint"),
    [
        ((0,), r"more_sizes must be several values from 1 to 8192, not \(0,\)"),
        ((32, (16, 17)), "multiples of 2"),
        (((16, 16),), "each once"),
    ],
)
def test_sizes_that_cannot_be_had_are_refused_before_any_step(tmp_path, sizes, complaint):
    with pytest.raises(ValueError, match=complaint):
        train(config(tmp_path / "run", more_sizes=sizes))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("measured", [True, False])
def test_cudnn_measures_its_convolutions_if_it_is_asked_to(tmp_path, monkeypatch, measured):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", not measured)
    loop.new_accelerator(config(tmp_path, cudnn_benchmark=measured))
    assert torch.backends.cudnn.benchmark is measured


def test_a_run_that_is_over_stays_as_it_is(tmp_path):
    file = train(config(tmp_path))
    before = file.stat().st_mtime_ns
    assert train(config(tmp_path, steps=2)) == file and file.stat().st_mtime_ns == before


def test_a_run_starts_from_another_models_weights_and_says_so(tmp_path):
    first = train(config(tmp_path / "first"))
    still = config(tmp_path / "second", init=str(first), null_rate=0.5, optimizer=OptimizerConfig(lr=0.0), steps=2)
    train(still)
    first.unlink()  # it is not needed to resume
    second = train(replace(still, steps=4))
    start = learned(tmp_path / "first", 4)
    for name, tensor in checkpoint.load(second).network.state_dict().items():
        torch.testing.assert_close(tensor, start[f"0.999 {name}"])
    assert checkpoint.read_header(second).provenance["init"]["steps"] == 4


def test_weights_that_meant_something_else_are_a_start_with_a_warning(tmp_path):
    first = tmp_path / "first" / "model.safetensors"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(config(tmp_path / "first", steps=1))
        train(config(tmp_path / "second", init=str(first), steps=1))
    with pytest.warns(UserWarning, match="must adapt to what changes here: prediction '(eps|v)' instead of 'x0'$"):
        train(config(tmp_path / "third", init=str(first), steps=1, prediction="x0"))


def test_another_network_to_start_from_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"scenes holds another network .*channel_mult \[1.*instead of \[1"):
        train(config(tmp_path, init="scenes"))


def test_a_network_of_other_patches_to_start_from_is_refused(tmp_path):
    """Though its file, as any of the published network, does not mention patches."""
    pixels = new_model(config(tmp_path), Palette.named("scenes"))
    checkpoint.save(tmp_path / "pixels.safetensors", pixels)
    network = replace(config().network, patch=2)
    with pytest.raises(
        ValueError, match=r"holds another network than the configuration describes: patch 1 instead of 2"
    ):
        start_from(str(tmp_path / "pixels.safetensors"), new_model(config(network=network), Palette.named("scenes")))


def test_a_model_learns_afterwards_how_rough_layouts_are(tmp_path):
    """It begins as it was, whatever the roughness; one that reads it already does not unlearn it unasked."""
    old = new_model(config(tmp_path), Palette.named("scenes"))
    for parameter in old.network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)  # untrained its output is 0
    checkpoint.save(tmp_path / "old.safetensors", old)
    network = replace(config().network, roughness=True, sized=True)
    model = new_model(config(network=network, seed=5), Palette.named("scenes"))
    start_from(str(tmp_path / "old.safetensors"), model)
    x, t = torch.randn(1, 3, 32, 32), torch.tensor([500])
    labels = LabelMap(torch.randint(14, (1, 32, 32)), 14)
    rough = replace(labels, roughness=torch.tensor([0.7]))
    with torch.no_grad():
        expected = old.network(x, t, labels)
        torch.testing.assert_close(model.network(x, t, rough), expected)
    assert expected.std() > 0.1
    checkpoint.save(tmp_path / "new.safetensors", model)
    with pytest.raises(ValueError, match=r"another network than the configuration describes: .*roughness True instead"):
        start_from(str(tmp_path / "new.safetensors"), old)


def test_a_folder_with_another_run_is_refused_and_left_alone(tmp_path):
    train(config(tmp_path, steps=2))
    with pytest.raises(ValueError, match=r"other settings: prediction .eps. instead of .v."):
        train(config(tmp_path, prediction="v"))
    assert [path.name for path in tmp_path.glob("state-*")] == ["state-2.pt"]


def test_a_model_without_a_state_is_not_overwritten(tmp_path):
    file = train(config(tmp_path))
    (tmp_path / "state-4.pt").unlink()
    with pytest.raises(ValueError, match=r"holds a model.safetensors, but no state"):
        train(config(tmp_path))
    checkpoint.load(file)


def test_sheets_are_not_guided_by_a_null_condition_that_was_never_shown():
    assert sampling(config(null_rate=0.0)).guidance == 1.0
    assert sampling(config(null_rate=0.1)) == GenerateOptions()


def test_too_few_images_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("scdm.datasets.scene_set.SceneSet.__len__", lambda self: 3)
    with pytest.raises(ValueError, match="3 images, too few for a batch of 4"):
        train(config(tmp_path))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_step_finish_and_saves(tmp_path, monkeypatch, signum):
    after_steps(monkeypatch, 3, lambda: os.kill(os.getpid(), signum))
    before = signal.getsignal(signum)
    with pytest.raises(Interrupted, match=f"{signum.name} after step 3, all is saved") as interrupted:
        train(config(tmp_path / "stopped", save_every=100))
    assert interrupted.value.signum == signum and signal.getsignal(signum) == before
    monkeypatch.undo()
    train(config(tmp_path / "stopped", save_every=100))
    train(config(tmp_path / "whole"))
    assert_same(learned(tmp_path / "stopped", 4), learned(tmp_path / "whole", 4))


def test_a_signal_before_the_first_step_is_said_to_be_that(tmp_path, monkeypatch):
    prepare = loop.prepared

    def interrupted(*arguments):
        os.kill(os.getpid(), signal.SIGINT)
        return prepare(*arguments)

    monkeypatch.setattr(loop, "prepared", interrupted)
    with pytest.raises(Interrupted, match=r"^SIGINT before the first step: there was nothing to save, and the same"):
        train(config(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no process is killed like that here")
def test_a_reader_that_is_killed_ends_the_run_with_a_save_and_a_sentence(tmp_path, monkeypatch):
    """Wherever the main process is then: what torch would raise in the middle of a step, it raises after the step."""
    monkeypatch.setattr(torch.utils.data._utils, "MP_STATUS_CHECK_INTERVAL", 0.1)

    def kill_readers() -> None:
        for process in multiprocessing.active_children():
            os.kill(process.pid, signal.SIGKILL)
            process.join()

    after_steps(monkeypatch, 3, kill_readers)
    before, children = config(tmp_path / "killed", steps=50, data=DataConfig(size=16, workers=1)), signal.SIGCHLD
    words = (
        r"^a process that reads images was killed by the system.*want of memory: set data.workers to less than 1. "
        r"It ended after step (\d+), all is saved"
    )
    handler = signal.getsignal(children)
    with pytest.raises(ChildProcessError, match=words) as told:
        train(before)
    assert signal.getsignal(children) == handler
    steps = int(re.search(words, str(told.value))[1])
    assert 3 <= steps < 10
    learned(tmp_path / "killed", steps)
    monkeypatch.undo()
    train(config(tmp_path / "killed", steps=steps + 1))
    train(config(tmp_path / "whole", steps=steps + 1))
    assert_same(learned(tmp_path / "killed", steps + 1), learned(tmp_path / "whole", steps + 1))


def test_a_log_that_cannot_be_written_costs_no_step(tmp_path, monkeypatch, capsys):
    pytest.importorskip("tensorboard")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(loop.Accelerator, "log", full)
    assert train(config(tmp_path, tracker="tensorboard", log_every=1)).is_file()
    assert capsys.readouterr().out.count("losses are no longer logged") == 1


def test_a_signal_in_the_last_step_is_not_lost(tmp_path, monkeypatch):
    """Another run may follow, which it was to stop as well."""
    after_steps(monkeypatch, 4, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted, match="SIGTERM after step 4, all is saved"):
        train(config(tmp_path))
    assert (tmp_path / MODEL).is_file()


def test_a_model_that_was_moved_away_is_written_again(tmp_path):
    train(config(tmp_path))
    (tmp_path / MODEL).rename(tmp_path / "mine.safetensors")
    assert train(config(tmp_path)).is_file()
    assert checkpoint.load(tmp_path / MODEL).digest() == checkpoint.load(tmp_path / "mine.safetensors").digest()


def test_at_least_one_step_is_taken(tmp_path):
    assert train(config(tmp_path, hours=1e-6)).is_file()


def after_steps(monkeypatch: pytest.MonkeyPatch, steps: int, act) -> None:
    """Has `act` called within step number `steps`."""
    step = Learner.step

    def watched(self: Learner, drawn, number: int, lr: float) -> Outcome:
        if number == steps - 1:
            act()
        return step(self, drawn, number, lr)

    monkeypatch.setattr(Learner, "step", watched)


def test_hours_end_a_run_with_a_save(tmp_path):
    train(config(tmp_path, steps=10**6, hours=1e-4, save_every=10**6))
    assert len(list(tmp_path.glob("state-*.pt"))) == 1


def test_losses_that_are_not_finite_stop_the_run_and_keep_the_last_state(tmp_path, monkeypatch):
    break_losses(monkeypatch, from_call=3)
    words = "5 steps in a row, up to step 8, gave no finite gradient; the state of step 6 is kept"
    with pytest.raises(FloatingPointError, match=words):
        train(config(tmp_path, steps=50, save_every=2, patience=5, keep=9))
    # What was saved in between has the weights of the last good step.
    assert_same(learned(tmp_path, 6), learned(tmp_path, 4))
    assert all(weight.isfinite().all() for weight in learned(tmp_path, 6).values())


def test_a_single_loss_that_is_not_finite_is_left_out(tmp_path, monkeypatch):
    break_losses(monkeypatch, from_call=2, to_call=3)
    assert checkpoint.load(train(config(tmp_path, patience=2))).provenance["steps"] == 4


def break_losses(monkeypatch: pytest.MonkeyPatch, from_call: int, to_call: int = 10**9) -> None:
    """Makes the losses of these calls (counted from 0) nan."""
    calls, loss = itertools.count(), Denoiser.loss

    def broken(self: Denoiser, *arguments, **options) -> LossTerms:
        terms = loss(self, *arguments, **options)
        return terms._replace(total=terms.total * torch.nan) if from_call <= next(calls) < to_call else terms

    monkeypatch.setattr(Denoiser, "loss", broken)


def test_a_disk_that_is_full_for_a_while_costs_a_save_and_no_more(tmp_path, monkeypatch, capsys):
    train(config(tmp_path / "whole", steps=6))
    filled = full_disk()
    after_steps(monkeypatch, 3, filled.__enter__)
    with pytest.raises(OSError, match="step 6 could not be saved: make room, and the same command goes on from 2"):
        train(config(tmp_path / "full", steps=6))
    filled.__exit__(None, None, None)
    told = capsys.readouterr().out
    assert "step 4 could not be saved: make room, and the same command goes on from 2 (File too large)" in told
    assert sorted(path.name for path in (tmp_path / "full").iterdir()) == [".lock", "model.safetensors", "state-2.pt"]
    checkpoint.load(tmp_path / "full" / "model.safetensors")
    monkeypatch.undo()
    train(config(tmp_path / "full", steps=6))
    assert_same(learned(tmp_path / "full", 6), learned(tmp_path / "whole", 6))


def test_running_out_of_memory_names_what_to_change(tmp_path, monkeypatch):
    def fail() -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes")

    after_steps(monkeypatch, 1, fail)
    words = r"4 images of 16 pixels.*micro_batches to 2, checkpointing to true, or batch to less"
    with pytest.raises(MemoryError, match=words):
        train(config(tmp_path))


def test_a_rehearsal_takes_a_step_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = rehearse(config("run", samples=2, tracker="tensorboard"))
    assert "0.4 million parameters" in report and "step 1 of 4, 4 images" in report and "peak memory" in report
    seconds, steps, all_of_them = re.search(
        r": ([\d.]+) s, the first one .* (\d+) steps take ([\d.e-]+) s,", report
    ).groups()
    assert float(all_of_them) == pytest.approx(int(steps) * float(seconds), rel=0.5, abs=0.02) and steps == "4"
    assert not list(tmp_path.iterdir())


def test_durations_have_the_unit_that_suits():
    of = (0.0067, 59.5, 90, 5400, 1e6, 5e6)
    assert [*map(loop.duration, of)] == ["0.0067 s", "59.5 s", "1.5 min", "1.5 h", "278 h", "1,389 h"]


def test_settings_without_effect_are_said(tmp_path, capsys):
    """A configuration stays one word away from SDM; what that leaves idle is no error."""
    sdm = {"label_diffusion": LabelDiffusionConfig("none", resolution=256), "hiding": HidingConfig(clean=2)}
    note = "note: without effect in this run: label_diffusion.resolution, hiding.clean"
    assert rehearse(config(tmp_path / "run", **sdm)).endswith(note)
    train(config(tmp_path / "run", **sdm))
    assert note in capsys.readouterr().out
    sparse = config(tmp_path / "run", **sdm, sparse_share=0.5)
    assert sparse.idle == ["label_diffusion.resolution"] and config(tmp_path / "run").idle == []


def test_the_embedded_models_configuration_still_runs(monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    run = load(TrainConfig, "training/configs/scenes64.yaml", ["batch=2", "run=/nowhere", "tracker=none"])
    assert "7.2 million parameters" in rehearse(run)


def test_precisions_and_trackers_that_cannot_be_had_are_refused(tmp_path):
    with pytest.raises(ValueError, match="float16 needs a GPU"):
        train(config(tmp_path, precision="float16"))
    with pytest.raises(ValueError, match=r"no tracker is called 'tensorbord'; there are .*wandb.*and none"):
        train(config(tmp_path, tracker="tensorbord"))
    assert not list(tmp_path.iterdir())


def test_a_segmenter_that_cannot_read_the_samples_is_named_before_anything_is_done(tmp_path):
    segmenter.save(tmp_path / "seg", segmenter.Segmenter(Palette.named("ade20k"), channels=(8,)), torch.float32)
    (tmp_path / "text").write_text("none")
    for name, words in (("absent", "there is no segmenter"), ("text", "text"), ("seg", "classes, the data set")):
        with pytest.raises(ValueError, match=words):
            rehearse(config(tmp_path / "run", samples=1, segmenter=str(tmp_path / name)))
    with pytest.raises(ValueError, match="segmenter reads the sheet's samples: set samples to 1 or more"):
        config(tmp_path / "run", samples=0, segmenter=str(tmp_path / "seg"))


def test_losses_of_all_quarters_rates_and_samples_are_tracked(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    segmenter.save(tmp_path / "seg", segmenter.Segmenter(Palette.named("scenes"), channels=(8,)), torch.float32)
    run = config(tmp_path, tracker="tensorboard", log_every=2, batch=16, samples=1, validation=2)
    run = replace(run, segmenter=str(tmp_path / "seg"))
    train(replace(run, steps=2))
    train(run)
    log = events.EventAccumulator(str(tmp_path / "logs" / "scdm")).Reload()
    quarters = {"loss/t 0-249", "loss/t 250-499", "loss/t 500-749", "loss/t 750-999"}
    assert {"validation/total", "validation/t 0-249"} <= set(log.Tags()["scalars"])
    assert [event.step for event in log.Scalars("validation/total")] == [2, 4]
    assert [event.step for event in log.Scalars("samples/miou")] == [2, 4]
    assert all(0 <= event.value <= 1 for event in log.Scalars("samples/pixel_accuracy"))
    assert quarters | {"loss/total", "loss/mse", "loss/vb", "lr", "gradient_norm"} <= set(log.Tags()["scalars"])
    assert (
        [event.step for event in log.Scalars("loss/total")] == [event.step for event in log.Images("samples")] == [2, 4]
    )


@pytest.mark.parametrize("missing", ["settings", "learner", "network", "0.9"])
def test_a_state_of_which_something_is_missing_is_damaged(tmp_path, missing):
    run = config(tmp_path, ema=0.9, steps=2)
    train(run)
    path = tmp_path / "state-2.pt"
    state = torch.load(path, weights_only=True)
    for part in (state, state["learner"], state["learner"]["ema"] if missing == "0.9" else {}):
        part.pop(float(missing) if missing == "0.9" else missing, None)
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"state-2\.pt is damaged"):
        train(replace(run, steps=4))


def test_a_state_with_the_older_name_of_a_precision_goes_on(tmp_path):
    run, path = config(tmp_path, precision="bfloat16", steps=2), tmp_path / "state-2.pt"
    train(run)
    state = torch.load(path, weights_only=True)
    state["settings"]["precision"] = "bf16"
    torch.save(state, path)
    assert checkpoint.load(train(replace(run, precision="bf16", steps=4))).provenance["steps"] == 4


def test_a_file_in_the_place_of_the_folder_is_named_before_anything_is_done(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(NotADirectoryError, match="which is a file: choose another"):
        rehearse(config(tmp_path / "run"))


def test_a_good_state_is_not_called_damaged_for_want_of_memory(tmp_path, monkeypatch):
    train(config(tmp_path, steps=2))

    def too_much(self: Learner, state: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Learner, "load_state_dict", too_much)
    with pytest.raises(MemoryError, match="set micro_batches to 2"):
        train(config(tmp_path, steps=4))
