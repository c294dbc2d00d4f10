"""Cost of the network: a forward, a guided step, what sharing saves, and what a megapixel takes with and without patches.

    python benchmarks/network.py                    # the published 256x256 model (random weights) and the embedded one
    python benchmarks/network.py --models scenes --repeats 9 --device cuda --costs
    python benchmarks/network.py --models --costs 1 2 4 8 training/configs/ade20k_512.yaml --repeats 0

A guided step is compared with two plain forwards, one with the layout and one with the all-MASK map, taken in turn in the
same run: quote the ratio, the seconds are one machine's. GFLOP are counted by torch (a multiply-add is two).

Costs are of the published network with patches of so many pixels, with the embedding of the layout and the head that
patches need, or of the network and size of a training configuration. What a training step keeps for its backward pass is
counted without computing anything, at two bytes a value (bfloat16); weights, gradient, optimizer and average come on top, of
20 bytes a parameter. Seconds are of a forward in float32; --repeats 0 leaves them out.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("network")  # before torch is loaded

import math
import multiprocessing
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from scdm.files.arguments import Parser
from scdm.files.config import load as load_config
from scdm.layouts.labels import LabelMap
from scdm.models.conversion import load
from scdm.networks import Network, NetworkConfig, UNetConfig, build
from scdm.training.command import ending
from scdm.training.config import TrainConfig

SCALE = 1.5
PUBLISHED = "published ADE20K 256x256"
ADE20K = UNetConfig(num_classes=151)  # the defaults are the published configuration
LAYOUT_WIDTH, HEAD = 32, 16  # widths beside patches, as in training/configs
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
    parser = Parser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=[PUBLISHED, "scenes"], help="embedded names or files")
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument(
        "--costs",
        nargs="*",
        default=["1", "2", "4", "8"],
        metavar="PATCH",
        help="sides of patches, or YAML of a training run",
    )
    parser.add_argument("--size", type=int, default=256, help="side of the images of patches (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    print(
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}\n"
    )
    if arguments.models and arguments.repeats:
        print(Row.HEADER, flush=True)
    context = multiprocessing.get_context("spawn")  # a process for each row, so that its peak memory is its own
    for model in arguments.models if arguments.repeats else []:
        for precision in arguments.precisions:
            with context.Pool(1) as pool:
                print(pool.apply(measure, (model, precision, arguments.repeats, arguments.device)), flush=True)
    if arguments.costs:
        print(f"\n{Cost.HEADER}", flush=True)
        published = cost("1", arguments.size, arguments.repeats, arguments.device)
        for name in arguments.costs:
            found = published if name == "1" else cost(name, arguments.size, arguments.repeats, arguments.device)
            print(found.row(published), flush=True)
    return 0


@dataclass(frozen=True)
class Cost:
    """Of an image of `megapixels`. forward_seconds: NaN if not measured."""

    network: str
    size: tuple[int, int]
    parameters: int
    forward_tflop: float
    kept_gigabytes: float
    forward_seconds: float

    HEADER = (
        "| network | size | million parameters | forward, TFLOP | TFLOP per megapixel | of published "
        "| kept in training, GB | GB per megapixel | forward, s | s per megapixel, of published |\n"
        + "| --- " * 10
        + "|"
    )

    @property
    def megapixels(self) -> float:
        return self.size[0] * self.size[1] / 1e6

    def row(self, published: Cost) -> str:
        flop, seconds = self.forward_tflop / self.megapixels, self.forward_seconds / self.megapixels
        of_flop = flop * published.megapixels / published.forward_tflop
        of_seconds = seconds * published.megapixels / published.forward_seconds
        cells = [
            self.network,
            "x".join(map(str, self.size)),
            f"{self.parameters / 1e6:.1f}",
            f"{self.forward_tflop:.3g}",
            f"{flop:.3g}",
            f"{of_flop:.3f}",
            f"{self.kept_gigabytes:.3g}",
            f"{self.kept_gigabytes / self.megapixels:.3g}",
            *(["–", "–"] if math.isnan(seconds) else [f"{self.forward_seconds:.2f}", f"{of_seconds:.3f}"]),
        ]
        return f"| {' | '.join(cells)} |"


def cost(name: str, side: int, repeats: int, device: str) -> Cost:
    """ValueError if `name` is neither a patch nor a configuration, or the size is none that the network takes."""
    config, size, called = costed(name, side)
    parameters, tflop, kept = counted(config, size)
    seconds = timed(config, size, repeats, device) if repeats else math.nan
    return Cost(called, size, parameters, tflop, kept, seconds)


def costed(name: str, side: int) -> tuple[NetworkConfig, tuple[int, int], str]:
    """The network, the size of its images, and what to call it."""
    if not name.isdigit():
        run = load_config(TrainConfig, name)
        return run.network, run.data.height_width, Path(name).stem
    patch = int(name)
    if patch == 1:
        return ADE20K, (side, side), "published"
    patches: dict[str, Any] = {"patch": patch, "layout_width": LAYOUT_WIDTH, "head": HEAD}
    return replace(ADE20K, **patches), (side, side), f"patches of {patch}"


def counted(config: NetworkConfig, size: tuple[int, int]) -> tuple[int, float, float]:
    """Parameters, TFLOP of a forward, and GB that autograd keeps of it at two bytes a value. Nothing is computed."""
    with torch.device("meta"):
        network = build(config)
        x, t = torch.zeros(1, 3, *size), torch.zeros(1, dtype=torch.int64)
        edges = torch.zeros(1, 1, *size, dtype=torch.bool) if config.edges else None
        labels = LabelMap(torch.zeros(1, *size, dtype=torch.int64), config.num_classes, edges)
    weights = {parameter.untyped_storage()._cdata for parameter in network.parameters()}
    kept: dict[int, Tensor] = {}  # by storage, as several tensors may view one

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()._cdata
        if storage not in weights:
            kept[storage] = tensor
        return tensor

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept):
        network(x, t, labels)
    values = sum(tensor.untyped_storage().nbytes() // tensor.element_size() for tensor in kept.values())
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return parameters, counter.get_total_flops() / 1e12, 2 * values / 1e9


@torch.inference_mode()
def timed(config: NetworkConfig, size: tuple[int, int], repeats: int, device: str) -> float:
    """Seconds of a forward, the fastest of repeats after one that warms up."""
    network = random_network(config, device)
    x, t, labels = inputs(network, size, device)
    return min([_seconds(lambda: network(x, t, labels), device) for _ in range(repeats + 1)][1:])


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
    edges = torch.zeros(1, 1, *ids.shape[1:], dtype=torch.bool) if network.config.edges else None
    labels = LabelMap(ids, network.config.num_classes, edges).resized(*size).to(device)
    return x.contiguous(memory_format=torch.channels_last), torch.tensor([500], device=device), labels


def network_called(name: str, device: str) -> tuple[Network, tuple[int, int]]:
    """An embedded model's network, a file's, or one with random weights: the published, or one for a rehearsal."""
    if name not in (PUBLISHED, REHEARSAL):
        model = load(name, device)
        return model.network, model.config.size
    config, side = ADE20K, 256
    if name == REHEARSAL:
        config, side = replace(config, channels=32, channel_mult=(1, 1), res_blocks=1, head_channels=32, hidden=8), 32
    return random_network(config, device), (side, side)


def random_network(config: NetworkConfig, device: str) -> Network:
    """With weights without zeros: those of an untrained network's last layers would hide differences."""
    network = build(config, device=device)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    return network


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
