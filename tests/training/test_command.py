"""Scripts end in a line about what a user can mend; any other error is a bug and keeps its traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scdm.training.command import ending, run
from scdm.training.config import RunConfig
from scdm.training.interruption import Interrupted


def failing(error: BaseException):
    @ending("script", "the same command goes on", memory="lower --batch")
    def main() -> int:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("data.size is odd"), "data.size is odd"),
        (FileNotFoundError(2, "No such file or directory", "run.yaml"), "run.yaml: No such file or directory"),
        (OSError("step 4 could not be saved"), "step 4 could not be saved"),
        (MemoryError("set micro_batches to 2"), "set micro_batches to 2"),
        (MemoryError(), "out of memory: lower --batch"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory: lower --batch"),
        (FloatingPointError("25 steps in a row"), "25 steps in a row"),
        (ValueError("a\x1b[2Jb"), r"a\u001b[2Jb"),
    ],
)
def test_what_a_user_can_mend_is_a_line(error, line, capsys):
    assert failing(error)() == 2
    assert capsys.readouterr().err == f"script: {line}\n"


def test_ctrl_c_says_what_holds_then(capsys):
    assert failing(KeyboardInterrupt())() == 130
    assert capsys.readouterr().err == "script: interrupted; the same command goes on\n"


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), TypeError("a bug"), KeyError("name")])
def test_a_bug_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        failing(error)()


def test_a_run_that_a_signal_ended_has_its_status(tmp_path: Path, monkeypatch, capsys):
    def train(config: RunConfig) -> Path:
        raise Interrupted(15, "SIGTERM after step 3, all is saved")

    monkeypatch.setattr("scdm.training.loop.train", train)
    file = tmp_path / "run.yaml"
    file.write_text(f"run: {tmp_path}/run")
    make = lambda config: [config]  # noqa: E731
    assert run("train", "", RunConfig, make, ["--config", str(file)]) == 128 + 15
    assert capsys.readouterr().out == "train: SIGTERM after step 3, all is saved\n"
    assert run("train", "", RunConfig, make, ["--config", str(file), "--set", "batch=0"]) == 2
    assert "batch must be" in capsys.readouterr().err
