"""Cost of sparse layouts: how many a second one core makes of clean ones.

    python benchmarks/patterns.py
    python benchmarks/patterns.py --sizes 64 --batch 64 --device cuda

The last column is what masking adds to a training step, or to the work of a loader. The layouts are scenes, and patchworks
with as many classes as the largest data sets have.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("patterns")  # before torch is loaded

import platform
import sys
import time

import torch

from scdm.datasets.scenes import render
from scdm.files.arguments import Parser
from scdm.layouts.labels import LabelMap
from scdm.layouts.patterns import sparse
from scdm.training.command import ending

PATCHES = 16  # on either side of a patchwork
CLASSES = 182


@ending("patterns")
def main() -> int:
    parser = Parser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 128, 256, 512])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.processor() or platform.machine()}, one core, torch {torch.__version__}\n")
    print("| layouts | size | classes each | layouts/s | ms a batch |\n| --- | --- | --- | --- | --- |")
    for size in arguments.sizes:
        for name, labels in (
            ("scenes", scenes(arguments.batch, size)),
            ("patchwork", patchwork(arguments.batch, size)),
        ):
            seconds = fastest(labels.to(arguments.device), arguments.repeats)
            classes = sum(len(ids.unique()) for ids in labels.ids) / labels.batch
            print(
                f"| {name} | {size} | {classes:.0f} | {labels.batch / seconds:.0f} | {1000 * seconds:.1f} |", flush=True
            )
    return 0


def scenes(batch: int, size: int) -> LabelMap:
    return LabelMap(torch.stack([torch.from_numpy(render(i, size=size)[1]).long() for i in range(batch)]), 14)


def patchwork(batch: int, size: int) -> LabelMap:
    ids = torch.randint(0, CLASSES, (batch, PATCHES, PATCHES), generator=torch.Generator().manual_seed(0))
    return LabelMap(ids, CLASSES).resized(size, size)


def fastest(labels: LabelMap, repeats: int) -> float:
    """Seconds for the batch: what else a machine does only ever adds to them."""
    best = float("inf")
    for first in range(repeats + 1):  # one to warm up
        started = time.perf_counter()
        left = sparse(labels, range(first, first + labels.batch))
        float(left.ids[0, 0, 0])  # waits for the device
        best = min(best, time.perf_counter() - started)
    return best


if __name__ == "__main__":
    sys.exit(perform(main))
