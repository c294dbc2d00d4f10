"""States: whole or not at all, kept by the rule, and only for the run that wrote them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch

from scdm.training.states import States, in_order, require_same, settings
from tests.training.tiny import NETWORK, config

resource = pytest.importorskip("resource", reason="disks are filled as Unix lets one")


def test_the_newest_stay_and_the_milestones(tmp_path):
    states = States(tmp_path, keep=2, keep_every=10)
    for step in range(5, 40, 5):
        states.save(step, {"value": step})
    assert list(states.paths()) == [10, 20, 30, 35]
    newest = states.newest()
    assert newest is not None and newest["step"] == newest["value"] == 35


def test_what_a_killed_run_left_is_no_state_and_goes(tmp_path):
    states = States(tmp_path, 1, None)
    states.save(1, {})
    (tmp_path / ".scdm-0123").write_bytes(b"half")
    (tmp_path / "model.safetensors").touch()
    with states.owned():
        assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "model.safetensors", "state-1.pt"]


def test_a_folder_has_one_run_at_a_time(tmp_path):
    states = States(tmp_path / "run", 1, None)
    with states.owned():
        (tmp_path / "run" / ".scdm-0123").write_bytes(b"being written")
        with pytest.raises(ValueError, match="another run is going on in"), states.owned():
            pass
        assert (tmp_path / "run" / ".scdm-0123").exists()
    with states.owned():
        pass


def test_a_full_disk_leaves_the_state_before(tmp_path):
    states = States(tmp_path, 1, None)
    states.save(1, {"weights": torch.zeros(10)})
    with full_disk(), pytest.raises(OSError):
        states.save(2, {"weights": torch.zeros(100_000)})
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
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_damaged_state_is_named(tmp_path):
    states = States(tmp_path, 1, None)
    states.save(1, {"weights": torch.zeros(1000)})
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
    states.save(1, {"weights": torch.zeros(1000)})
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
            require_same(before, settings(config(**change), 10), tmp_path)
    with pytest.raises(ValueError, match="images in the data set 10 instead of 11"):
        require_same(before, settings(config(), 11), tmp_path)
    with pytest.raises(ValueError, match="micro_batches"):
        summed = config(micro_batch_sum=True)
        require_same(settings(summed, 10), settings(replace(summed, micro_batches=2), 10), tmp_path)


def test_what_changes_nothing_that_was_learned_may_change(tmp_path):
    now = config("elsewhere", steps=9, hours=1.0, save_every=3, keep=5, samples=2, micro_batches=2, checkpointing=True)
    require_same(settings(config(), 10), settings(now, 10), tmp_path)
