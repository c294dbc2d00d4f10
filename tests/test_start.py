"""The first moments of a program: what answers without torch, and Ctrl-C at any moment, imports included."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scdm.files.images import write_image
from scdm.layouts.palette import Palette
from tests.parity import REPOSITORY

SCENES = Palette.named("scenes")
SCRIPTS = [
    path.relative_to(REPOSITORY).as_posix()
    for pattern in ("training/*.py", "benchmarks/*.py", "benchmarks/*/*.py")
    for path in sorted(REPOSITORY.glob(pattern))
    if path.name not in ("comfyui.py", "checks.py")  # of another environment, without scdm; no program
]
WITHOUT_TORCH = [
    sys.executable,
    "-c",
    "import sys; sys.modules['torch'] = None; from scdm.__main__ import main; sys.exit(main())",
]


def ran(command: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, cwd=folder)


@pytest.mark.parametrize(
    ("request_", "status", "answer"),
    [
        ("--help", 0, "From a painted layout"),
        ("--version", 0, "scdm "),
        ("sample --help", 0, "Make images from layouts"),
        ("paint --help", 0, "Open a page in the browser"),
        ("corrupt --help", 0, "Corrupt a layout"),
        ("convert --help", 0, "Turn a published checkpoint"),
        ("palette --list", 0, "ade20k"),
        ("palette scenes -o scenes.png", 0, ""),
        ("palette scenes -o scenes.kpl", 0, ""),
        ("inspect layout.png", 0, "sky"),
        ("inspect layout.png --json", 0, '"share"'),
        ("inspect layout.png --palette ade20k --tolerance 0", 2, "no pixel has a colour of palette ade20k"),
        ("inspect absent.png", 2, "there is no such file"),
        ("sample", 2, "the following arguments are required"),
        ("daub", 2, "invalid choice: 'daub'"),
    ],
)
def test_what_needs_no_torch_answers_without_it(request_: str, status: int, answer: str, tmp_path: Path) -> None:
    write_image(tmp_path / "layout.png", np.full((4, 4, 3), SCENES.colors[0], dtype=np.uint8))
    answered = ran([*WITHOUT_TORCH, *request_.split()], tmp_path)
    assert (answered.returncode, "Traceback" in answered.stderr) == (status, False)
    assert answer in answered.stdout + answered.stderr


# At one in so many of the imports that a program does, and at no more than so many, a child is forked and interrupted.
INTERRUPTED_AT_IMPORTS = """
import builtins, os, runpy, signal, sys

every, most, program, *arguments = sys.argv[1:]
there, imports, moments = builtins.__import__, 0, []
parent = os.getpid()

def interrupted(*names, **more):
    global imports
    imports += 1
    assert begun() or names[0] != "numpy", "the program begins too late"
    if imports % int(every) == 0 and begun() and os.getpid() == parent:
        if len(moments) == int(most):
            raise SystemExit
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.dup2(writing, 2)
            signal.raise_signal(signal.SIGINT)
            return there(*names, **more)
        os.close(writing)
        _, status = os.waitpid(child, 0)
        moments.append((os.waitstatus_to_exitcode(status), os.read(reading, 10000).decode()))
        os.close(reading)
    return there(*names, **more)

def begun():
    start = sys.modules.get("scdm.start")
    return start is not None and getattr(start, "_program", None) is not None

sys.argv = [program, *arguments]
builtins.__import__ = interrupted
try:
    if program.endswith(".py"):
        sys.path.insert(0, os.path.dirname(program))
        runpy.run_path(program, run_name="__main__")
    else:
        from scdm.__main__ import main
        main()
except SystemExit:
    pass
builtins.__import__ = there
assert os.getpid() == parent
print(*sorted(set(moments)), sep="\\n")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork, by which many moments are tried at once")
@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("scdm", ["sample", "absent.png", "-o", "image.png"]),
        *((path, ["--help"]) for path in SCRIPTS),
    ],
)
def test_an_interrupt_while_a_program_imports_is_one_line(program: str, arguments: list[str], tmp_path: Path) -> None:
    path = str(REPOSITORY / program) if program.endswith(".py") else program
    every, most = ("1", "20") if program.endswith(".py") else ("499", "100")  # scripts differ in their beginnings
    answered = ran([sys.executable, "-c", INTERRUPTED_AT_IMPORTS, every, most, path, *arguments], tmp_path)
    ends = answered.stdout.splitlines()[-1:]
    assert ends == [str((130, f"{Path(program).stem}: interrupted\n"))], answered.stdout + answered.stderr


def test_an_interrupt_of_the_work_ends_in_a_line_too() -> None:
    work = "import signal; from scdm.start import begin, perform; begin('work'); sys.exit(perform(lambda: {}))"
    answered = ran([sys.executable, "-c", "import sys; " + work.format("signal.raise_signal(signal.SIGINT)")])
    assert (answered.returncode, answered.stderr) == (130, "work: interrupted\n")
    assert ran([sys.executable, "-c", "import sys; " + work.format("3")]).returncode == 3


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no nohup")
def test_an_ignored_interrupt_stays_ignored() -> None:
    ignored = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); from scdm.start import begin, perform; "
    work = (
        "begin('work'); signal.raise_signal(signal.SIGINT); print(perform(lambda: signal.raise_signal(signal.SIGINT)))"
    )
    answered = ran([sys.executable, "-c", ignored + work])
    assert (answered.returncode, answered.stdout) == (0, "None\n")


def test_the_library_leaves_signals_and_environment_alone() -> None:
    """They are the host's: only programs of ours begin."""
    code = """
import os, signal
os.environ.pop("OMP_WAIT_POLICY", None)
from scdm.start import importing
import scdm.cli
with importing():
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
assert "OMP_WAIT_POLICY" not in os.environ
"""
    assert ran([sys.executable, "-c", code]).stderr == ""


@pytest.mark.parametrize(("given", "found"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_asleep_unless_told_otherwise(given: str | None, found: str) -> None:
    code = "import os; from scdm.start import begin; begin('work'); print(os.environ['OMP_WAIT_POLICY'])"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"PYTHONPATH": str(REPOSITORY)} | ({} if given is None else {"OMP_WAIT_POLICY": given})
    answered = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert answered.stdout == f"{found}\n"
