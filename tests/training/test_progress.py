"""Progress: what was left out is counted, and on an accelerator numbers are looked at only where they are reported."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from tqdm.auto import tqdm

from scdm.training.learner import Outcome
from scdm.training.objective import Losses
from scdm.training.progress import Progress
from tests.training.tiny import config


def outcome(taken: bool | None = True, device: str = "cpu") -> Outcome:
    t = torch.arange(4, device=device)
    term = torch.full((4,), 2.0 if taken else torch.nan, device=device)
    losses = Losses(t * 250, torch.ones(4, device=device), term, term, term)
    return Outcome(losses, term[0], torch.tensor(bool(taken), device=device))


def test_steps_that_were_left_out_are_counted_and_not_averaged() -> None:
    with Progress(Accelerator(cpu=True), config(log_every=100), 0, 1000) as progress:
        for step, taken in enumerate([True, False, True, False, False], 1):
            progress.report(step, outcome(taken), 1e-3)
        assert (progress.missed, progress.left_out) == (2, 3)
        assert progress.window.loss == 2.0
        means = progress.window.means(progress.accelerator)
    assert means["loss/total"] == means["loss/t 750-999"] == 2.0


def test_an_accelerator_is_waited_for_only_where_something_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """`meta` stands for it, which has no numbers to give."""
    accelerator = Accelerator(cpu=True)
    for state in (AcceleratorState, PartialState):
        monkeypatch.setitem(state._shared_state, "device", torch.device("meta"))
    with Progress(accelerator, config(log_every=100, patience=5), 0, 1000) as progress:
        for step in (1, 2, 3, 4, 6):
            progress.report(step, outcome(device="meta"), 1e-3)
        for step in (5, 100):
            with pytest.raises((NotImplementedError, RuntimeError), match="meta"):
                progress.report(step, outcome(device="meta"), 1e-3)


def test_the_time_of_a_pause_is_not_that_of_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as that of a save with its sheet of samples, after which the time left would jump."""
    with Progress(Accelerator(cpu=True), config(log_every=100), 0, 1000) as progress:
        since, last = progress.window.since, progress.bar.last_print_t
        clock = iter([100.0, 160.0])
        monkeypatch.setattr("scdm.training.progress.time.monotonic", lambda: next(clock))
        with progress.paused():
            pass
        assert (progress.window.since - since, progress.bar.last_print_t - last) == pytest.approx((60, 60))


def test_processes_without_a_bar_pause_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """All but the first: their bars are off and keep no times."""
    with Progress(Accelerator(cpu=True), config(log_every=100), 0, 1000) as progress:
        monkeypatch.setattr(progress, "bar", tqdm(disable=True))
        since = progress.window.since
        with progress.paused():
            pass
        assert progress.window.since >= since


def test_validation_losses_are_said_beside_those_before(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(Accelerator(cpu=True), config(), 0, 1000) as progress:
        progress.validated(2, {"total": 0.5})
        progress.validated(4, {"total": 0.25})
    assert "step 2: validation loss 0.5000\nstep 4: validation loss 0.2500 (0.5000 before)" in capsys.readouterr().out
