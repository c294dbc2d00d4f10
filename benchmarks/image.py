"""What a painter waits for: an image of the embedded model, and the start of the program.

    python benchmarks/image.py

Each time is compared with another of the same run: an image's with that of its bare network calls (25 encodings, 50
decodings), the import of scdm with the import of torch alone.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import torch

from scdm.conversion import load
from scdm.datasets.scenes import Scenes
from scdm.labels import LabelMap
from scdm.pipeline import GenerateOptions, generate

STEPS = 25
IMPORTS = ("import torch", "import torch, scdm", "import torch; from scdm import generate, load, read_layout")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="scenes64", help="an embedded model or a file")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print("| image of 25 guided steps | s | of its bare network calls |\n| --- | --- | --- |")
    print(image_row(arguments.model, arguments.repeats))
    print("\n| start | s | of torch alone |\n| --- | --- | --- |")
    print("\n".join(import_rows(arguments.repeats)))


def image_row(name: str, repeats: int) -> str:
    model = load(name)
    size = model.config.size
    _, ids = Scenes(1, 1, size)[0]
    labels = LabelMap(ids[None], model.palette.num_classes)
    x, t = torch.randn(1, 3, *size), torch.tensor([500])

    def image() -> None:
        generate(model, labels, GenerateOptions(steps=STEPS))

    def bare_calls() -> None:
        with torch.inference_mode():
            for _ in range(STEPS):
                features = model.network.encode(x, t)
                model.network.decode(features, labels)
                model.network.decode(features, None)

    pairs = paired(image, bare_calls, repeats)
    seconds, ratio = statistics.median(a for a, _ in pairs), statistics.median(a / b for a, b in pairs)
    return f"| {name}, {size[1]}x{size[0]}, {torch.get_num_threads()} threads | {seconds:.2f} | {ratio:.2f} |"


def import_rows(repeats: int) -> list[str]:
    def start(code: str) -> Callable[[], object]:
        return lambda: subprocess.run([sys.executable, "-c", code], check=True)

    rows = []
    for code in IMPORTS:
        pairs = paired(start(code), start(IMPORTS[0]), repeats)
        seconds, added = statistics.median(a for a, _ in pairs), statistics.median(a - b for a, b in pairs)
        rows.append(f"| `{code}` | {seconds:.2f} | {added:+.2f} s |")
    return rows


def paired(work: Callable[[], object], other: Callable[[], object], repeats: int) -> list[tuple[float, float]]:
    """Seconds of both, taken in turn after a warm-up."""
    work(), other()
    return [(seconds(work), seconds(other)) for _ in range(repeats)]


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
