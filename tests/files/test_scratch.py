"""What is being written disappears with the process that writes it, and with no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scdm.files import scratch
from scdm.files.atomic import written_whole

KILLED = """
import os, sys
from pathlib import Path
from scdm.files.atomic import written_whole
with written_whole(Path(sys.argv[1])) as beside:
    beside.write_bytes(b"half of it")
    beside.with_name(".tmpAbCdEf").write_bytes(b"a library's own")
    {ending}
"""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test is like a new process."""
    monkeypatch.setattr(scratch, "_swept", set())


def begun(path: Path, ending: str) -> subprocess.Popen[str]:
    """A process that is writing `path`."""
    return subprocess.Popen(
        [sys.executable, "-c", KILLED.format(ending=ending), str(path)],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_what_a_killed_process_was_writing_goes_when_the_folder_is_next_written_to(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    assert begun(path, "os._exit(1)").wait(60) == 1
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 2
    with written_whole(path) as beside:
        beside.write_text("new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_what_another_process_is_writing_stays(tmp_path: Path) -> None:
    with begun(tmp_path / "theirs", "print(flush=True); input()") as process:
        assert process.stdout is not None and process.stdout.readline()
        with written_whole(tmp_path / "ours") as beside:
            beside.write_text("ours")
        scratch.sweep(tmp_path)
        process.communicate("\n", timeout=60)
    assert process.returncode == 0
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"ours": "ours", "theirs": "half of it"}


def test_what_another_thread_is_writing_stays(tmp_path: Path) -> None:
    with scratch.scratch(tmp_path) as folder:
        (folder / "new").touch()
        scratch.sweep(tmp_path)
        assert (folder / "new").exists()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_a_sweep_takes_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, made = Path.mkdir, []

    def swept_at_once(path: Path, *arguments: object, **options: object) -> None:
        make(path)
        made.append(path)
        if len(made) == 1:
            scratch.sweep(tmp_path)

    monkeypatch.setattr(Path, "mkdir", swept_at_once)
    with scratch.scratch(tmp_path) as folder:
        assert made[1:] == [folder] and folder.is_dir()


def test_all_goes_when_it_is_known_that_nobody_writes(tmp_path: Path) -> None:
    (tmp_path / ".scdm-0123").write_bytes(b"of an earlier version")
    (tmp_path / ".scdm-4567").mkdir()
    (tmp_path / ".scdm-4567" / "new").touch()
    (tmp_path / "other").touch()
    scratch.clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
