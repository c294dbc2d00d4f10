"""Cost of the network: a forward, a guided step, and what sharing saves.

    python benchmarks/network.py                    # the published 256x256 model (random weights) and the embedded one
    python benchmarks/network.py --models scenes --repeats 9 --device cuda

A guided step is compared with two plain forwards, one with the layout and one with the all-MASK map, taken in turn in the
same run: quote the ratio, the seconds are one machine's. GFLOP are counted by torch (a multiply-add is two).
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("network")  # before torch is loaded

import argparse
import multiprocessing
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from scdm.layouts.labels import LabelMap
from scdm.models.conversion import load
from scdm.networks import Network, UNet, UNetConfig
from scdm.training.command import ending

SCALE = 1.5
PUBLISHED = "published ADE20K 256x256"
REHEARSAL = "rehearsal"  # so small that it shows no more than that a program runs


@dataclass(frozen=True)
class Row:
    """One line of the table: the fastest run of each, and their ratio."""

    model: str
    precision: str
    forward_seconds: float
    forward_gflop: float
    guided_seconds: float
    guided_gflop: float
    ratio: float
    difference: float
    peak_gigabytes: float

    HEADER = (
        "| model | precision | forward, s | GFLOP | guided step, s | GFLOP | of two forwards | difference | peak GB |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    )

    def __str__(self) -> str:
        return (
            f"| {self.model} | {self.precision} | {self.forward_seconds:.3f} | {self.forward_gflop:.1f} "
            f"| {self.guided_seconds:.3f} | {self.guided_gflop:.1f} | {self.ratio:.2f} | {self.difference:.1e} "
            f"| {self.peak_gigabytes:.2f} |"
        )


@ending("network")
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=[PUBLISHED, "scenes"], help="embedded names or files")
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n"
    )
    print(Row.HEADER, flush=True)
    context = multiprocessing.get_context("spawn")  # a process for each row, so that its peak memory is its own
    for model in arguments.models:
        for precision in arguments.precisions:
            with context.Pool(1) as pool:
                print(pool.apply(measure, (model, precision, arguments.repeats, arguments.device)), flush=True)
    return 0


@torch.inference_mode()
def measure(name: str, precision: str, repeats: int, device: str) -> Row:
    network, size = network_called(name, device)
    x, t, labels = inputs(network, size, device)

    def forward() -> Tensor:
        return network(x, t, labels)

    def two_forwards() -> Tensor:
        null = network(x, t, labels.blank())
        return null + SCALE * (network(x, t, labels) - null)

    guided = guided_step(network, size, device)
    with torch.autocast(device, torch.bfloat16, enabled=precision == "bfloat16"):
        difference = (two_forwards() - guided()).abs().max().item()  # also warms up
        seconds = [[_seconds(work, device) for work in (forward, two_forwards, guided)] for _ in range(repeats)]
        best = [min(column) for column in zip(*seconds, strict=True)]  # what else a machine does only ever adds
        return Row(
            name,
            precision,
            best[0],
            _gflop(forward),
            best[2],
            _gflop(guided),
            best[2] / best[1],
            difference,
            _peak_gigabytes(device),
        )


def guided_step(network: Network, size: tuple[int, int], device: str) -> Callable[[], Tensor]:
    """Of one image: the encoder once, the decoder with a layout and with none."""
    x, t, labels = inputs(network, size, device)

    def step() -> Tensor:
        features = network.encode(x, t)
        null = network.decode(features, None)
        return null + SCALE * (network.decode(features, labels) - null)

    return step


def inputs(network: Network, size: tuple[int, int], device: str) -> tuple[Tensor, Tensor, LabelMap]:
    """Noise, a step, and a layout in blocks of 16 pixels."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 3, *size, generator=generator).to(device)
    ids = torch.randint(0, network.config.num_classes, (1, size[0] // 16, size[1] // 16), generator=generator)
    labels = LabelMap(ids, network.config.num_classes).resized(*size).to(device)
    return x.contiguous(memory_format=torch.channels_last), torch.tensor([500], device=device), labels


def network_called(name: str, device: str) -> tuple[Network, tuple[int, int]]:
    """An embedded model's network, a file's, or one with random weights: the published, or one for a rehearsal."""
    if name not in (PUBLISHED, REHEARSAL):
        model = load(name, device)
        return model.network, model.config.size
    config, side = UNetConfig(num_classes=151), 256  # the defaults are the published configuration
    if name == REHEARSAL:
        config, side = replace(config, channels=32, channel_mult=(1, 1), res_blocks=1, head_channels=32, hidden=8), 32
    with torch.device(device):
        network = UNet(config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    return network.to(memory_format=torch.channels_last), (side, side)  # type: ignore[call-overload]


def _seconds(work: Callable[[], Tensor], device: str) -> float:
    started = time.perf_counter()
    work()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _gflop(work: Callable[[], Tensor]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e9


def _peak_gigabytes(device: str) -> float:
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    import resource  # not on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


if __name__ == "__main__":
    sys.exit(perform(main))
