"""What has to be true of an accelerator, and the program that measures one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

pytest.importorskip("accelerate", reason="training needs the extra 'train'")

from benchmarks import accelerator
from benchmarks.checks import CHECKS


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
@pytest.mark.parametrize("name", CHECKS)
def test_a_gpu_makes_what_the_cpu_makes(name: str) -> None:
    CHECKS[name](torch.device("cuda"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU takes these checks")
@pytest.mark.parametrize("name", CHECKS)
def test_the_checks_of_a_gpu_run(name: str) -> None:
    """Rehearsed on the CPU: they hold there, and nobody meets their mistakes on a rented machine."""
    CHECKS[name](torch.device("cpu"))


def test_all_parts_are_rehearsed_and_written_down(tmp_path: Path) -> None:
    parts = ["peaks", "steps", "images", "training", "loader", "compiled float32"]  # of the others, checks are above
    arguments = ["--device", "cpu", "--rehearse", "--out", str(tmp_path), "--parts", *parts]
    assert accelerator.main(arguments) == 0
    content = json.loads((tmp_path / "accelerator.json").read_text())
    rows = content["rows"]
    assert {row["part"] for row in rows} == set(parts) and not any("failed" in row["note"] for row in rows)
    steps = [row for row in rows if row["part"] == "steps"]
    assert [row["precision"] for row in steps] == list(accelerator.PRECISIONS)
    assert all(row["milliseconds"] > 0 and row["teraflops"] > 0 and row["share"] > 0 for row in steps)
    table = (tmp_path / "accelerator.md").read_text()
    assert "The published network:" in table and table.count("guided step") == len(accelerator.PRECISIONS) + 1


def test_a_part_that_fails_or_takes_too_long_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(order: accelerator.Order, emit: accelerator.Emit) -> None:
        raise ValueError("no such | thing")

    monkeypatch.setitem(accelerator.PARTS, "peaks", accelerator.Part("Peak", broken, 1.0))
    (row,) = accelerator.measured(accelerator.Order("peaks", "cpu", True, 100.0))
    assert row.note == "failed: ValueError: no such / thing"
    (row,) = accelerator.measured(accelerator.Order("peaks", "cpu", False, 3.0))
    assert row.note == "left out: no time was left"
    monkeypatch.setattr(accelerator, "LEAST", 0.0)
    (row,) = accelerator.measured(accelerator.Order("peaks", "cpu", False, 0.1))  # a process has hardly begun by then
    assert row.note == "left out: it takes more than its 0 s"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert accelerator.main(["--out", str(tmp_path)]) == 2
    assert "finds no GPU on this machine" in capsys.readouterr().err
    assert accelerator.main(["--device", "cpu", "--out", str(tmp_path)]) == 2
    assert "add --rehearse" in capsys.readouterr().err and not list(tmp_path.iterdir())
