"""Whatever ends a run, wherever: the same command afterwards leaves what an undisturbed run does."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor

from scdm.layouts.palette import Palette
from scdm.models import checkpoint
from scdm.models.model import Model
from scdm.training import loop, release
from scdm.training.config import MODEL, RunConfig, TrainConfig
from scdm.training.loop import train
from scdm.training.progress import Progress
from scdm.training.run import Run, new_model
from scdm.training.states import States
from tests.disasters import Killed, failing_from
from tests.training.tiny import config


class Weights(dict[str, Tensor]):
    """As a network gives them, and as their average does."""

    state_dict = whole = lambda self, *_: dict(self)

    def to(self, *_: object, **__: object) -> Weights:
        return self

    placed = to


class Learner:
    """Learns to count."""

    def __init__(self, decays: tuple[float, ...], saved: dict[str, Any] | None):
        learned = saved["learner"]["ema"] if saved else {decay: {"weights": {"w": torch.zeros(3)}} for decay in decays}
        self.ema = {decay: Weights(ema["weights"]) for decay, ema in learned.items()}

    def step(self, *_: object) -> None:
        for decay, ema in self.ema.items():
            ema["w"] = ema["w"] + decay

    def posthoc_state(self) -> dict[str, Any]:
        return {}

    def state_dict(self) -> dict[str, Any]:
        return {"ema": {decay: {"weights": dict(ema)} for decay, ema in self.ema.items()}}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs without data and networks: what is asked here is what is left of them."""
    model = new_model(config(), Palette.named("scenes"))

    def prepared(config: RunConfig, accelerator: Accelerator) -> Run:
        states = States(Path(config.run), config.keep, config.keep_every)
        saved: Any = states.newest()
        learner: Any = Learner(config.decays, saved)
        run = Run(config, states, [0] * 16, object(), model, learner, {})  # type: ignore[arg-type]
        if saved:
            run.step, run.provenance = saved["step"], saved["provenance"]
        return run

    def with_weights(model: Model, weights: Mapping[str, Tensor], provenance: dict[str, Any]) -> Model:
        return replace(model, network=Weights(weights), provenance=provenance)  # type: ignore[arg-type]

    def sheet(model: Model, *_: object) -> tuple[np.ndarray, dict[str, float]]:
        return np.full((2, 2, 3), int(model.network.state_dict()["w"][0] * 10), np.uint8), {}

    monkeypatch.setattr(loop, "prepared", prepared)
    monkeypatch.setattr(loop, "steps_from", lambda *_: itertools.repeat([None]))
    monkeypatch.setattr(release, "with_weights", with_weights)
    monkeypatch.setattr(release, "sample_sheet", sheet)
    monkeypatch.setattr(release, "validation_loss", lambda *_: {"total": 0.5})
    monkeypatch.setattr(Progress, "report", lambda *_: None)


def run_in(folder: Path, **changes: Any) -> TrainConfig:
    return config(folder, **{"steps": 2, "save_every": 1, "samples": 1, "ema": (0.5, 0.9), **changes})


def content(folder: Path) -> dict[str, Any]:
    """Of all files; states, which also hold how long it took, by what was learned."""
    return {
        path.name: torch.load(path)["learner"]["ema"][0.5]["weights"]["w"].tolist()
        if path.suffix == ".pt"
        else path.read_bytes()
        for path in folder.iterdir()
    }


def ends(folder: Path, run: Callable[[Path], TrainConfig], killed: bool) -> Iterator[tuple[Path, TrainConfig]]:
    """Folders of runs that ended at their first operation, at their second, ..."""
    with failing_from(10**9, killed) as counted:
        train(run(folder / "counted"))
    assert counted.count > 30
    for at in range(counted.count):
        again = run(folder / str(at))
        told = (Killed,) if killed else (OSError, ValueError)
        with pytest.raises(told) as error, failing_from(at, killed):
            train(again)
        assert killed or "No space left on device" in str(error.value)
        yield folder / str(at), again


def test_a_run_that_is_killed_at_any_operation_ends_like_any_other(tmp_path: Path, quick: None) -> None:
    """And what is released is of the state beside it as soon as it goes on, also where that ends before its next save."""
    train(run_in(tmp_path / "undisturbed"))
    undisturbed = content(tmp_path / "undisturbed")
    assert undisturbed["state-2.pt"] == [1.0] * 3
    for folder, run in ends(tmp_path, run_in, killed=True):
        if saved := States(folder, 1, None).step:
            train(replace(run, steps=saved))
            for name in (MODEL, "model-ema-0.9.safetensors"):
                assert checkpoint.read_header(folder / name).provenance["steps"] == saved, folder.name
        train(run)
        assert content(folder) == undisturbed, folder.name


def test_a_disk_that_fills_up_at_any_operation_is_told_and_the_run_goes_on(tmp_path: Path, quick: None) -> None:
    train(run_in(tmp_path / "undisturbed"))
    undisturbed = content(tmp_path / "undisturbed")
    for folder, run in ends(tmp_path, run_in, killed=False):
        assert not list(folder.glob(".scdm-*")) and not list(folder.glob(".tmp*"))
        train(run)
        left = content(folder)
        left.setdefault("samples-1.png", undisturbed["samples-1.png"])  # on the way, left out while there is no room
        assert left == undisturbed, folder.name


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (0, "step 2 could not be saved: make room, and the same command begins anew"),
        (1, "step 2 could not be saved: make room, and the same command goes on from 1"),
    ],
)
def test_what_is_said_of_a_full_disk_is_true(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch, files: int, words: str
) -> None:
    written, save = itertools.count(), States.save

    def full(self: States, step: int, state: Mapping[str, Any]) -> None:
        if next(written) >= files:
            raise OSError(28, "No space left on device")
        save(self, step, state)

    monkeypatch.setattr(States, "save", full)
    with pytest.raises(OSError, match=rf"^{words} \(No space left on device\)$"):
        train(run_in(tmp_path))


def test_a_state_without_room_for_its_models_is_said_to_be_saved(
    tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    words = r"step 2 is saved, but not all of its models .*and the same command writes them \(No space"
    with pytest.raises(OSError, match=words):
        train(run_in(tmp_path))
    with pytest.raises(OSError, match=words):
        train(run_in(tmp_path))
    monkeypatch.undo()


def test_a_damaged_model_is_written_again(tmp_path: Path, quick: None) -> None:
    file = train(run_in(tmp_path))
    whole = file.read_bytes()
    for damaged in (whole[:-1], whole[:5], b"", whole[:-1] + bytes([whole[-1] ^ 1])):
        file.write_bytes(damaged)
        train(run_in(tmp_path))
        assert file.read_bytes() == whole
