"""An image beside other busy programs: what it costs that threads which wait keep their cores, or give them away.

    python benchmarks/busy.py --programs 4

Times `scdm sample` as a program of its own, alone and with busy programs beside it, by default one for each core: with
OMP_WAIT_POLICY=PASSIVE, as programs of ours set it before torch is loaded, and without, as in a program that has imported
torch first.
"""

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("busy")

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from scdm import assets
from scdm.files.arguments import Parser
from scdm.training.command import ending

OURS = "import sys; from scdm.__main__ import main; sys.exit(main())"
BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"  # no longer than this program
WAYS = {"asleep (PASSIVE)": OURS, "as torch has it": f"import torch; {OURS}"}


@ending("busy")
def main() -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("--model", default="scenes", help="embedded model or file (default %(default)s)")
    parser.add_argument("--programs", type=int, default=os.cpu_count() or 1, help="busy ones (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, medians of {arguments.repeats}, seconds of the whole program\n")
    print(f"| threads wait | alone, s | beside {arguments.programs} busy programs, s | of alone |")
    print("| --- | --- | --- | --- |")
    for name, code in WAYS.items():
        alone = seconds(code, arguments.model, arguments.repeats)
        with busy(arguments.programs):
            beside = seconds(code, arguments.model, arguments.repeats)
        print(f"| {name} | {alone:.1f} | {beside:.1f} | {beside / alone:.1f} |", flush=True)
    return 0


@contextmanager
def busy(programs: int) -> Iterator[None]:
    """Within it so many programs work without a pause."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(programs)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def seconds(code: str, model: str, repeats: int) -> float:
    """Of a program that makes an image of an example, after one run to warm up."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    layout = str(assets.folder() / "examples" / "landscape.png")
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        request = ["sample", layout, "-o", str(Path(folder) / "image.png"), "--model", model, "--quiet"]
        for _ in range(repeats + 1):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", code, *request], check=True, env=environment, capture_output=True)
            taken.append(time.perf_counter() - started)
    return median(taken[1:])


if __name__ == "__main__":
    sys.exit(perform(main))
