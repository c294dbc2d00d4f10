"""States: whole or not at all, kept by the rule, and only for the run that wrote them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from scdm.networks.dit import DiTConfig
from scdm.training.config import HidingConfig, LabelDiffusionConfig, LossConfig
from scdm.training.learner import Learner
from scdm.training.objective import learning
from scdm.training.run import new_model
from scdm.training.states import NEEDED, OF_DEVICE, States, in_order, is_description, is_of, require_same_run, settings
from tests.training.tiny import NETWORK, config

DESCRIPTION = {"settings": {"seed": 0, "data.size": [16, 16]}, "origin": {"init": None}, "hours": 0.5}


def test_the_newest_stay_and_the_milestones(tmp_path):
    states = States(tmp_path, keep=2, keep_every=10)
    for step in range(5, 40, 5):
        states.save(step, {**DESCRIPTION, "value": step})
    assert list(states.paths()) == [10, 20, 30, 35]
    newest = states.newest()
    assert newest is not None and newest["step"] == newest["value"] == 35


def test_what_a_killed_run_left_is_no_state_and_goes(tmp_path):
    states = States(tmp_path, 1, None)
    states.save(1, DESCRIPTION)
    (tmp_path / ".scdm-0123").write_bytes(b"half")
    (tmp_path / "model.safetensors").touch()
    with states.owned():
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "model.safetensors", "state-1.pt"]


def test_a_folder_has_one_run_at_a_time(tmp_path):
    states = States(tmp_path / "run", 1, None)
    with states.owned():
        (tmp_path / "run" / ".scdm-0123").write_bytes(b"being written")
        with pytest.raises(ValueError, match="another run is using"), states.owned():
            pass
        assert (tmp_path / "run" / ".scdm-0123").exists()
    with states.owned():
        pass


def test_a_full_disk_leaves_the_state_before(tmp_path):
    states = States(tmp_path, 1, None)
    states.save(1, {**DESCRIPTION, "weights": torch.zeros(10)})
    with full_disk(), pytest.raises(OSError):
        states.save(2, {**DESCRIPTION, "weights": torch.zeros(100_000)})
    assert [path.name for path in tmp_path.iterdir()] == ["state-1.pt"]
    assert states.newest()["weights"].shape == (10,)


def test_a_run_does_not_train_on_once_another_learns_from_it(tmp_path):
    first, second = (config(tmp_path / name, steps=6) for name in "ab")
    assert in_order([first, second]) == [first, second]
    for folder, step in (("a", 4), ("a", 6), ("b", 2)):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / f"state-{step}.pt").touch()
    assert in_order([first, second]) == [first, second], "the first is complete"
    with pytest.raises(
        ValueError, match=r"b has begun to learn from .*a as it was after 6 steps, and not after 8: remove"
    ):
        in_order([replace(first, steps=8), second])
    in_order([replace(first, steps=8, hours=1.0), second])  # which may have ended it


@contextmanager
def full_disk(most: int = 100_000) -> Iterator[None]:
    """Files of more than `most` bytes cannot be written."""
    resource = pytest.importorskip("resource", reason="disks are filled as Unix lets one")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_damaged_state_is_named(tmp_path):
    states = States(tmp_path, 1, None)
    states.save(1, {**DESCRIPTION, "weights": torch.zeros(1000)})
    path = tmp_path / "state-1.pt"
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"state-1.pt is damaged: remove it"):
        states.newest()
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"state-1.pt is damaged"):
        states.newest()
    torch.save(torch.zeros(3), path)
    with pytest.raises(ValueError, match=r"state-1.pt is damaged"):
        states.newest()


def test_a_bit_that_has_changed_is_noticed(tmp_path):
    states = States(tmp_path, 1, None)
    states.save(1, {**DESCRIPTION, "weights": torch.zeros(1000)})
    path = tmp_path / "state-1.pt"
    content = bytearray(path.read_bytes())
    content[content.index(bytes(1000)) + 500] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"state-1.pt is damaged"):
        states.newest()


def test_another_configuration_is_refused_by_name(tmp_path):
    before = settings(config(), 10)
    for change, words in [
        ({"network": replace(NETWORK, hidden=16)}, "network.hidden 8 instead of 16"),
        ({"data": replace(config().data, size=32)}, "data.size 16 instead of 32"),
        ({"batch": 8}, "batch 4 instead of 8"),
        ({"seed": 1}, "seed 0 instead of 1"),
    ]:
        with pytest.raises(ValueError, match=words):
            require_same_run(before, config(**change), 10, tmp_path)
    with pytest.raises(ValueError, match="images in the data set 10 instead of 11"):
        require_same_run(before, config(), 11, tmp_path)
    with pytest.raises(ValueError, match="micro_batches"):
        summed = config(micro_batch_sum=True)
        require_same_run(settings(summed, 10), replace(summed, micro_batches=2), 10, tmp_path)


def test_what_changes_nothing_that_was_learned_may_change(tmp_path):
    own = {
        "steps": 9,
        "hours": 1.0,
        "save_every": 3,
        "keep": 5,
        "samples": 2,
        "micro_batches": 2,
        "checkpointing": True,
    }
    now = config("elsewhere", mirror="memory://copy", validation=3, cudnn_benchmark=True, **own)
    require_same_run(settings(config(), 10), now, 10, tmp_path)


def test_a_setting_that_did_nothing_and_is_refused_now_keeps_no_run_from_going_on(tmp_path):
    idle = settings(config(), 10) | {"hiding.both": False, "hiding.removed": "class"}
    require_same_run(idle, config(), 10, tmp_path)
    with pytest.raises(ValueError, match=r"hiding\.both False instead of True"):
        require_same_run(idle | {"sparse_share": 0.5}, config(sparse_share=0.5), 10, tmp_path)
    plain = config(label_diffusion=replace(config().label_diffusion, kind="none"))
    idle = settings(plain, 10) | {"hiding.label_noise": 3, "posthoc_widths": [0.1, 0.2]}
    require_same_run(idle, plain, 10, tmp_path)
    with pytest.raises(ValueError, match=r"hiding\.label_noise 3 instead of 0"):
        require_same_run(settings(config(), 10) | {"hiding.label_noise": 3}, config(), 10, tmp_path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hiding": HidingConfig(clean=3)}, "hiding.clean 0 instead of 3"),
        ({"rough_share": 0.5}, r"rough_share 0\.0 instead of 0\.5"),
        ({"posthoc_every": 2}, "posthoc_every None instead of 2"),
        ({"network": replace(NETWORK, patch=2)}, "network.patch 1 instead of 2"),
        (
            {"label_diffusion": LabelDiffusionConfig("classwise", "scenes", resolution=256)},
            "label_diffusion.resolution None instead of 256",
        ),
    ],
)
def test_what_is_implied_in_one_of_the_two_is_noticed_like_any_other_change(tmp_path, change, words):
    require_same_run(settings(config(**change), 10), config(**change), 10, tmp_path)
    with pytest.raises(ValueError, match=words):
        require_same_run(settings(config(), 10), config(**change), 10, tmp_path)
    back = re.sub(r"(\S+) instead of (\S+)", r"\2 instead of \1", words)
    with pytest.raises(ValueError, match=back):
        require_same_run(settings(config(**change), 10), config(), 10, tmp_path)


def test_a_network_of_another_kind_is_another_setting(tmp_path):
    transformer = config(network=DiTConfig(num_classes=14, patch=4, width=32, depth=1, heads=4))
    unet = {name: value for name, value in settings(config(), 10).items() if name != "network.kind"}  # as it was saved
    require_same_run(unet, config(), 10, tmp_path)
    with pytest.raises(ValueError, match=r"network\.kind"):
        require_same_run(unet, transformer, 10, tmp_path)
    with pytest.raises(ValueError, match=r"network\.kind"):
        require_same_run(settings(transformer, 10), config(), 10, tmp_path)


def test_a_state_with_the_older_name_of_a_precision_resumes(tmp_path):
    before = {**settings(config(precision="bfloat16"), 10), "precision": "bf16"}
    require_same_run(before, config(precision="bfloat16"), 10, tmp_path)
    with pytest.raises(ValueError, match="precision 'bfloat16' instead of 'float32'"):
        require_same_run(before, config(), 10, tmp_path)


def test_any_damage_to_a_file_is_one_sentence_or_does_no_harm(tmp_path):
    """Bits of its directory, of its records, and its end; what is read all the same is what was written."""
    states, rng = States(tmp_path, 1, None), random.Random(0)
    content = {**DESCRIPTION, "weights": torch.arange(100.0)}
    states.save(1, content)
    path = tmp_path / "state-1.pt"
    whole = path.read_bytes()
    directory = whole.index(b"PK\x01\x02")
    places = [rng.randrange(directory, len(whole)) for _ in range(300)] + [
        rng.randrange(len(whole)) for _ in range(150)
    ]
    harmless = 0
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        harmless += is_refused_or_whole(states, content)
    assert harmless < len(places) / 2
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        assert not is_refused_or_whole(states, content)


def is_refused_or_whole(states: States, content: dict[str, Any]) -> bool:
    """Whether it is whole."""
    try:
        state = states.newest()
    except ValueError as error:
        assert re.search(r"state-1.pt (is damaged: remove it|was written by another version)", str(error))
        assert "\n" not in str(error)
        return False
    assert state is not None and state["settings"] == content["settings"]
    assert torch.equal(state["weights"], content["weights"])
    return True


@pytest.mark.parametrize(
    "content",
    [
        {**DESCRIPTION, "version": "2", "step": 1},
        {**DESCRIPTION, "version": torch.zeros(3), "step": 1},
        {**DESCRIPTION, "version": 2, "step": "1"},
        {**DESCRIPTION, "version": 2, "step": torch.ones(2)},
        {**DESCRIPTION, "version": 2, "step": True},
        {**DESCRIPTION, "version": 2, "step": 5},
        {**DESCRIPTION, "version": 2},
        {**DESCRIPTION, "step": 1},
        {"version": 2, "step": 1},
        [1, 2],
        "state",
    ],
    ids=str,
)
def test_a_state_of_other_things_is_damaged(tmp_path, content):
    torch.save(content, tmp_path / "state-1.pt")
    with pytest.raises(ValueError, match=r"state-1\.pt is damaged"):
        States(tmp_path, 1, None).newest()


def test_what_is_said_of_a_damaged_state_can_be_done(tmp_path):
    states = States(tmp_path, 9, None)
    for step in (2, 4):
        states.save(step, DESCRIPTION)
    (tmp_path / "state-4.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"state-4\.pt is damaged: remove it to resume from state-2\.pt$"):
        states.newest()
    (tmp_path / "state-4.pt").unlink()
    assert states.newest()["step"] == 2
    (tmp_path / "state-2.pt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"state-2\.pt is damaged: remove it to begin anew, as no other state"):
        states.newest()
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(
        ValueError, match=r"damaged: no other state is left to resume from. Begin in another run folder"
    ):
        states.newest()


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied", "state-1.pt"), MemoryError()], ids=repr)
def test_a_good_state_that_cannot_be_read_is_not_called_damaged(tmp_path, monkeypatch, error):
    def fail(*_, **__):
        raise error

    states = States(tmp_path, 1, None)
    states.save(1, DESCRIPTION)
    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(type(error)):
        states.newest()


def test_other_files_are_no_states(tmp_path):
    for name in ("state-01.pt", "state-x.pt", "state-.pt", "state-2.pt.part", "state-٣.pt", "state-0.pt"):
        (tmp_path / name).touch()
    assert States(tmp_path, 1, None).newest() is None


def test_what_safetensors_was_writing_goes_and_nothing_else(tmp_path):
    """A version before let it write beside the model."""
    (tmp_path / ".tmpAbCdEf").write_bytes(b'\x10\0\0\0\0\0\0\0{"__metadata__":{"scdm":"{}"}')
    (tmp_path / ".tmpGhIjKl").touch()
    (tmp_path / ".tmpbackup").write_text("somebody's own notes")
    (tmp_path / ".tmpfolder").mkdir()
    with States(tmp_path, 1, None).owned():
        assert {path.name for path in tmp_path.iterdir()} == {".lock", ".tmpbackup", ".tmpfolder"}


CORRUPTED = [None, "text", b"bytes", [], {}, True, float("nan"), torch.zeros(3, 1, 4, 1), torch.zeros(0), object]


@pytest.fixture(scope="module")
def learner() -> Learner:
    from scdm.layouts.palette import Palette

    run = config(loss=LossConfig(timesteps="importance"), ema=(0.9, 0.99))
    return Learner(run, learning(run, new_model(run, Palette.named("scenes"))), Accelerator(cpu=True))


def places(tree: Any, where: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    return [place for key, part in inner for place in [(*where, key), *places(part, (*where, key))]]


def changed(tree: Any, where: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """A copy of the tree, but for tensors, with `change` made to what holds the last key of `where`."""
    tree = tree.copy()
    key, *further = where
    if further:
        tree[key] = changed(tree[key], tuple(further), change)
    else:
        change(tree, key)
    return tree


def optional(where: tuple[Any, ...]) -> bool:
    """Settings of the optimizer that not every version of torch knows, or that are those of a device."""
    return where[:2] == ("optimizer", "param_groups") and len(where) == 4 and where[3] not in NEEDED


def test_what_a_learner_has_learned_is_its_own(learner: Learner) -> None:
    state = learner.state_dict()
    assert is_of(learner, state, 0)
    state["ema"][0.9]["updates"] = 5
    assert is_of(learner, state, 5) and not is_of(learner, state, 4)
    state["ema"][0.9]["updates"] = -1
    assert not is_of(learner, state, 5)


def test_whatever_is_missing_or_of_another_kind_is_noticed(learner: Learner) -> None:
    state, rng = learner.state_dict(), random.Random(0)
    all_places = places(state)
    few = [place for place in all_places if len(place) < 3 or place[0] not in ("network", "ema", "optimizer")]
    groups = [place for place in all_places if place[:2] == ("optimizer", "param_groups") and len(place) == 4]
    for place in [*few, *groups, *rng.sample(all_places, 200)]:
        if not optional(place):
            assert not is_of(learner, changed(state, place, lambda tree, key: tree.pop(key)), 0), place
        for value in rng.sample(CORRUPTED, 3):
            fits = value is None and place == ("scaler",)
            fits |= optional(place) and place[3] in OF_DEVICE and (value is None or value is True)
            fits |= optional(place) and value is True and place[3] == "decoupled_weight_decay"
            corrupted = changed(state, place, lambda tree, key, value=value: tree.__setitem__(key, value))
            assert is_of(learner, corrupted, 0) == fits, (place, value)
    for state in CORRUPTED:
        assert not is_of(learner, state, 0)


def test_what_a_state_says_of_its_run_is_plain_data() -> None:
    assert is_description(DESCRIPTION) and is_description({**DESCRIPTION, "provenance": {"steps": 3}})
    for name in DESCRIPTION:
        assert not is_description({key: value for key, value in DESCRIPTION.items() if key != name})
        for value in CORRUPTED:
            fits = value == {} if isinstance(value, dict) and name != "hours" else False
            assert is_description({**DESCRIPTION, name: value}) == fits, (name, value)
    for value in ({"a": torch.zeros(3)}, {1: 2}, {"a": {1, 2}}, [], "text"):
        assert not is_description({**DESCRIPTION, "provenance": value})
    for hours in (-1, float("inf"), "1"):
        assert not is_description({**DESCRIPTION, "hours": hours})
