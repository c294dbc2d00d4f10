"""Mirrors: a run that lost its folder goes on from the copy, which is whole at any moment."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from scdm.models import checkpoint
from scdm.training.config import OptimizerConfig
from scdm.training.loop import rehearse, train
from scdm.training.mirror import Mirror
from tests.training.tiny import apart, assert_close, config, learned

fsspec = pytest.importorskip("fsspec", reason="mirrors need the extra 'remote'")

ADDRESS = "memory://runs/one"


@pytest.fixture(autouse=True)
def memory() -> Iterator[None]:
    yield
    fsspec.filesystem("memory").store.clear()


def names() -> set[str]:
    return {Path(path).name for path in fsspec.filesystem("memory").find("/runs/one")}


def state(folder: Path, step: int, content: str = "state") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"state-{step}.pt"
    path.write_text(content)
    return path


def test_a_run_without_its_folder_goes_on_from_the_mirror(tmp_path: Path, capsys) -> None:
    run = config(tmp_path / "lost", mirror=ADDRESS)
    train(replace(run, steps=2))
    assert names() == {"state-2.pt", "model.safetensors"}
    shutil.rmtree(tmp_path / "lost")
    with apart():
        train(run)
    assert "goes on from memory://runs/one" in capsys.readouterr().out
    assert names() == {"state-4.pt", "model.safetensors"}
    with apart():
        train(config(tmp_path / "whole"))
    assert_close(learned(tmp_path / "lost", 4), learned(tmp_path / "whole", 4))


def test_a_run_begins_with_the_weights_of_a_mirrored_one(tmp_path: Path) -> None:
    train(config(tmp_path / "first", mirror=ADDRESS, steps=2))
    still = config(tmp_path / "second", init=f"{ADDRESS}/model.safetensors", optimizer=OptimizerConfig(lr=0.0), steps=1)
    with apart():
        second = checkpoint.load(train(still))
    averages = checkpoint.load(tmp_path / "first" / "model.safetensors").network.state_dict()
    for name, weight in second.network.state_dict().items():
        torch.testing.assert_close(weight, averages[name])
    assert second.provenance["init"]["steps"] == 2
    with pytest.raises(ValueError, match=r"memory://runs/one/absent\.safetensors: there is no such file"), apart():
        train(config(tmp_path / "third", init=f"{ADDRESS}/absent.safetensors"))
    assert not (tmp_path / "third").exists()


def test_files_are_copied_once_and_old_states_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = Mirror(tmp_path / "run", ADDRESS)
    assert not mirror.fetch()  # there is nothing yet
    old = state(tmp_path / "run", 2)
    (tmp_path / "run" / "posthoc").mkdir()
    (tmp_path / "run" / "posthoc" / "2-0.05.safetensors").write_text("snapshot")
    mirror.push()
    assert names() == {"state-2.pt", "2-0.05.safetensors"}
    old.unlink()
    state(tmp_path / "run", 4)
    copied: list[str] = []
    put = mirror._put
    monkeypatch.setattr(mirror, "_put", lambda path, name: (copied.append(name), put(path, name)))
    mirror.push()
    assert copied == ["state-4.pt"] and names() == {"state-4.pt", "2-0.05.safetensors"}

    elsewhere = Mirror(tmp_path / "new", ADDRESS)
    assert elsewhere.fetch() and not elsewhere.fetch()
    assert (tmp_path / "new" / "posthoc" / "2-0.05.safetensors").read_text() == "snapshot"


def test_a_copy_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = Mirror(tmp_path / "run", ADDRESS)
    state(tmp_path / "run", 2)
    mirror.push()
    state(tmp_path / "run", 2, "longer than before")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(mirror.files), "mv", fail)
    with pytest.raises(OSError, match="No space left"):
        mirror.push()
    assert names() == {"state-2.pt"} and fsspec.filesystem("memory").cat("/runs/one/state-2.pt") == b"state"


def test_a_mirror_that_cannot_be_read_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than a run that begins anew and writes over it."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("token expired")

    monkeypatch.setattr(type(Mirror(tmp_path, ADDRESS).files), "find", fail)
    with pytest.raises(ValueError, match="the mirror memory://runs/one cannot be read: token expired"):
        train(config(tmp_path, mirror=ADDRESS))


def test_a_complete_run_copies_what_could_not_be_copied(tmp_path: Path) -> None:
    """With its last save, after which there is no other."""
    run = config(tmp_path / "run", steps=2)
    train(run)
    with apart():
        train(replace(run, mirror=ADDRESS))
    assert names() == {"state-2.pt", "model.safetensors"}


def test_a_mirror_that_is_ahead_is_not_written_over(tmp_path: Path) -> None:
    """As from a machine that was lost for a while, or of another run."""
    train(config(tmp_path / "here", mirror=ADDRESS, steps=4))
    with apart():
        train(config(tmp_path / "stale", steps=2))
    words = r"memory://runs/one holds step 4, but .*stale ends at step 2.*remove the states in .*stale to go on"
    for begin in (train, rehearse):
        with pytest.raises(ValueError, match=words), apart():
            begin(config(tmp_path / "stale", mirror=ADDRESS, steps=4))
    assert names() == {"state-4.pt", "model.safetensors"}


def test_an_address_of_an_unknown_kind_is_a_sentence(tmp_path: Path) -> None:
    for begin in (train, rehearse):
        with pytest.raises(ValueError, match="mirror: odd://place cannot be opened"), apart():
            begin(config(tmp_path, mirror="odd://place"))
