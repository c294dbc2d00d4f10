"""What the ComfyUI nodes cost over the library: an image by each, taken in turn, with progress and previews.

    COMFYUI_DIR=... COMFYUI_PYTHON=... $COMFYUI_PYTHON benchmarks/comfyui.py

Runs in ComfyUI's own Python, without a server. Quote the ratios, the seconds are one machine's: the fastest of each.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
PACK = "/custom_nodes/scdm"  # ComfyUI names packs by their path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="scenes")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    pack = _pack()

    model, _, palette = pack("nodes.models").LoadModel.execute(arguments.model).result
    options = pack("scdm.pipeline").GenerateOptions(steps=arguments.steps, sampler="ddim")
    path = pack("scdm.assets").folder() / "examples" / "landscape.png"
    labels = pack("scdm.layouts.reading").read_layout(str(path), palette).resized(*model.model.scdm.config.size)
    layout = pack("nodes.sockets").Layout(labels, palette)
    node = pack("nodes.generate").Generate
    given = {spec.id: spec.default for spec in node.define_schema().inputs[2:] if not spec.optional}
    given |= {"steps": arguments.steps, "sampler": "ddim"}
    ways: dict[str, Callable[[], Any]] = {
        "scdm.generate": lambda: pack("scdm.pipeline").generate(model.model.scdm, labels, options),
        "Generate from Layout": lambda: node.execute(model, layout, **given),
        "Encode Layout and ComfyUI's euler": lambda: _sampled(pack, model, layout, arguments.steps),
    }
    seconds = {way: [_seconds(work) for _ in range(1)] for way, work in ways.items()}  # warms up
    for _ in range(arguments.repeats):
        for way, work in ways.items():
            seconds[way].append(_seconds(work))
    best = {way: min(taken) for way, taken in seconds.items()}
    print("| way | seconds | of scdm.generate |\n| --- | --- | --- |")
    for way, taken in best.items():
        print(f"| {way} | {taken:.3f} | {taken / best['scdm.generate']:.3f} |")


def _pack() -> Callable[[str], ModuleType]:
    """The modules of this pack, imported as ComfyUI does."""
    sys.path.insert(0, os.environ["COMFYUI_DIR"])
    from comfy.cli_args import args

    args.cpu = not torch.cuda.is_available()
    spec = importlib.util.spec_from_file_location(PACK, ROOT / "__init__.py")
    assert spec and spec.loader
    sys.modules[PACK] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda name: importlib.import_module(f"{PACK}.{name}")


@torch.inference_mode()
def _sampled(pack: Callable[[str], ModuleType], model: Any, layout: Any, steps: int) -> Any:
    nodes: Any = importlib.import_module("nodes")  # ComfyUI's own
    positive, negative, latent = pack("nodes.encode").EncodeLayout.execute(model, layout, "fresh", 1).result
    return nodes.common_ksampler(model, 0, steps, 1.5, "euler", "ddim_uniform", positive, negative, latent)


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
