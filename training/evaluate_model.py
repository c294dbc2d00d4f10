"""Evaluate a model: accelerate launch training/evaluate_model.py --model FILE --data CONFIG --out FOLDER ...

Makes an image of every layout of the validation split, or several, and measures what there is a network for:

  --inception FILE    FID and KID against the split's images, by the resize rule of the papers and by the "clean" one
  --segmenter PATH    mIoU and pixel accuracy, as read by a file of training/train_segmenter.py, which also gives features
                      for a Frechet and a kernel distance, or by a folder of the transformers library
  --lpips FILE        diversity of the samples of a layout (with --samples 10, as published)
  --features M:F      a Frechet and a kernel distance in features of your own, of what F(device) in the module M gives

Real images are those of the split at the size of CONFIG. FOLDER, which all processes must see, gets the samples
(NUMBER/NAME.png), result.json, result.md with the published numbers beside ours, and sheet.png. The same command goes on
where it was stopped, and measures anew; other settings need another FOLDER.
training/compare_evaluations.py puts several results together.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("evaluate_model")  # before the imports that take seconds

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list, gather_object
from tqdm.auto import tqdm

from scdm.datasets import DataConfig, collate, loader, open_dataset
from scdm.diffusion.corruption import CORRUPTIONS
from scdm.evaluation import (
    FeatureCache,
    LayoutCorruption,
    Layouts,
    Measured,
    Networks,
    Samples,
    markdown,
    result,
    sheet,
)
from scdm.evaluation.layouts import CLEAN
from scdm.files.atomic import made_folder, write_text
from scdm.files.config import assignment, from_dict, load
from scdm.files.images import write_image
from scdm.layouts.palette import Palette
from scdm.metrics import FeatureExtractor, Inception, PerceptualNetwork, SmallSegmenter, open_evaluator, open_extractor
from scdm.metrics.optional import digest
from scdm.models import conversion
from scdm.models.checkpoint import model_file
from scdm.models.model import Model
from scdm.pipeline import GenerateOptions
from scdm.training.command import ending
from scdm.training.config import TrainConfig

ON_SHEET = 12  # layouts
PATIENCE = timedelta(days=1)  # of processes for each other: one may have a batch of slow samples more to make


@ending("evaluate_model", "the same command goes on", memory="lower --batch")
def main(argv: Sequence[str] | None = None) -> int:
    arguments = parsed_arguments(argv)
    accelerator = Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)])
    try:
        evaluate(arguments, accelerator)
    finally:
        accelerator.end_training()
    return 0


def parsed_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="a model file, or the name of an embedded model")
    parser.add_argument("--data", required=True, metavar="CONFIG", help="YAML of a training run; its data are taken")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="data.root=/data/ade20k")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="for the images and the result")

    images = parser.add_argument_group("the images")
    images.add_argument("--options", nargs="+", default=[], metavar="KEY=VALUE", help="guidance=2 steps=50 seed=1 ...")
    images.add_argument(
        "--samples", type=int, default=1, metavar="N", help="of each layout; all but LPIPS take the first"
    )
    images.add_argument("--limit", type=int, metavar="N", help="take the first N layouts only")
    images.add_argument("--batch", type=int, default=8, help="images at a time; changes speed, not results")

    layouts = parser.add_argument_group("the layouts")
    layouts.add_argument("--corruption", default=CLEAN, choices=(CLEAN, *CORRUPTIONS))
    layouts.add_argument("--corruption-seed", type=int, default=0)
    layouts.add_argument(
        "--strength", nargs="+", default=[], metavar="KEY=VALUE", help="share=0.4, size=32, radius=4 ..."
    )
    layouts.add_argument(
        "--removed", default="mask", choices=("mask", "class"), help='removed pixels: MASK, or the class "unlabelled"'
    )

    networks = parser.add_argument_group("the networks")
    networks.add_argument("--inception", type=Path, metavar="FILE", help="weights-inception-2015-12-05-6726825d.pth")
    networks.add_argument("--segmenter", type=Path, metavar="PATH")
    networks.add_argument(
        "--lpips", type=Path, metavar="FILE", help="torchvision's alexnet-owt-7be5be79.pth, or its VGG16"
    )
    networks.add_argument("--features", metavar="MODULE:FUNCTION")
    networks.add_argument("--cache", type=Path, default=Path("runs/features"), help="for the real images' features")
    arguments = parser.parse_args(argv)
    if min(arguments.samples, arguments.batch, 1 if arguments.limit is None else arguments.limit) < 1:
        parser.error("samples, limit and batch must be at least 1")
    if arguments.lpips and arguments.samples < 2:
        parser.error("the diversity of samples needs several of them: --samples 10")
    return arguments


class Evaluation(NamedTuple):
    """An evaluation that can begin: all that it needs has been found and fits."""

    model: Model
    layouts: Layouts
    images: int
    options: GenerateOptions
    settings: dict[str, Any]
    samples: Samples
    networks: Networks


def evaluate(arguments: argparse.Namespace, accelerator: Accelerator) -> None:
    evaluation = prepared(arguments, accelerator.device)
    make(evaluation, arguments, accelerator)
    measured, real = measure(evaluation, arguments, accelerator)
    if accelerator.is_main_process:
        report(evaluation, measured, real, arguments)


def prepared(arguments: argparse.Namespace, device: torch.device) -> Evaluation:
    config = load(TrainConfig, arguments.data, arguments.set).data
    strength = dict(map(assignment, arguments.strength))
    corruption = LayoutCorruption(arguments.corruption, arguments.corruption_seed, arguments.removed, strength)
    options = from_dict(GenerateOptions, GenerateOptions.grouped(dict(map(assignment, arguments.options))))
    layouts = Layouts(open_dataset(config, "val"), config, corruption)
    palette = layouts.data.palette
    model = conversion.load(arguments.model, device)
    model.palette.require_same(palette, arguments.model, "the data set")
    options = options.for_model(model)
    settings = settings_of(arguments.model, config, layouts, options)
    samples = Samples(arguments.out, layouts.names, settings)
    images = min(len(layouts), arguments.limit or len(layouts))
    networks = networks_of(arguments, palette, device)
    if networks.extractors and images < 2:
        raise ValueError("a Frechet distance needs at least two images: raise --limit, or leave the network for it out")
    made_folder(arguments.cache)
    return Evaluation(model, layouts, images, options, settings, samples, networks)


def settings_of(model: str, config: DataConfig, layouts: Layouts, options: GenerateOptions) -> dict[str, Any]:
    """All that decides about the images, and nothing else."""
    with model_file(model) as file:
        weights = digest(file)
    return {
        "model": weights,
        "data": {
            "name": config.name,
            "size": config.height_width,
            "fit": config.fit,
            "images": sha256("\n".join(layouts.names).encode()).hexdigest()[:16],
            **({"seed": config.seed} if config.root is None else {}),  # what is not read is made, from the seed
        },
        "layouts": asdict(layouts.corruption),
        "options": options.record(),
    }


def networks_of(arguments: argparse.Namespace, palette: Palette, device: torch.device) -> Networks:
    extractors: dict[str, FeatureExtractor] = {}
    if arguments.inception:
        extractors["inception"] = Inception(arguments.inception, "bilinear", device)
        extractors["inception_clean"] = Inception(arguments.inception, "clean", device)
    evaluator = open_evaluator(arguments.segmenter, palette, device) if arguments.segmenter else None
    if isinstance(evaluator, SmallSegmenter):
        extractors["segmenter"] = evaluator
    if arguments.features:
        extractors["features"] = open_extractor(arguments.features, device)
    return Networks(extractors, evaluator, PerceptualNetwork(arguments.lpips, device) if arguments.lpips else None)


def make(evaluation: Evaluation, arguments: argparse.Namespace, accelerator: Accelerator) -> None:
    """All images that are not there yet. When it returns, all processes are done."""
    if accelerator.is_main_process:
        evaluation.samples.claim()
    agreed = broadcast_object_list([evaluation.samples.missing(arguments.samples, evaluation.images, arguments.batch)])
    own = agreed[0][accelerator.process_index :: accelerator.num_processes]
    total = sum(chunk.stop - chunk.start for chunk in own)
    layouts, samples = evaluation.layouts, evaluation.samples
    made = samples.make(evaluation.model, layouts, evaluation.options, own, layouts.config.workers)
    with tqdm(total=total, desc="samples", unit="image", disable=not accelerator.is_main_process) as bar:
        for images in made:
            bar.update(images)
    accelerator.wait_for_everyone()


def measure(
    evaluation: Evaluation, arguments: argparse.Namespace, accelerator: Accelerator
) -> tuple[Measured, dict[str, torch.Tensor]]:
    """What all processes measure together, and the features of all real images by extractor, in the main process."""
    extractors = evaluation.networks.extractors
    cache = FeatureCache(arguments.cache, {**evaluation.settings["data"], "count": evaluation.images})
    real = {}
    if accelerator.is_main_process:
        found = {name: cache.load(extractor) for name, extractor in extractors.items()}
        real = {name: features for name, features in found.items() if features is not None}
    cached = broadcast_object_list([list(real)])[0]

    measured = Measured()
    share = range(accelerator.process_index, evaluation.images, accelerator.num_processes)
    shares = [share[start : start + arguments.batch] for start in range(0, len(share), arguments.batch)]
    batches = loader(evaluation.layouts.clean, shares, evaluation.layouts.config.workers)
    bar = tqdm(batches, desc="metrics", unit="batch", disable=not accelerator.is_main_process)
    for places, batch in zip(shares, bar, strict=True):  # another image may stand in for one that cannot be read
        samples = [evaluation.samples.read(number, places) for number in range(arguments.samples)]
        measured.update(evaluation.networks, batch, samples, cached)
    parts_of_all = gather_object([measured])
    measured = sum(parts_of_all[1:], parts_of_all[0])

    for name, parts in measured.real.items():
        real[name] = torch.cat(parts)
        if accelerator.is_main_process:
            cache.save(extractors[name], real[name])
    return measured, real


def report(
    evaluation: Evaluation, measured: Measured, real: dict[str, torch.Tensor], arguments: argparse.Namespace
) -> None:
    palette = evaluation.layouts.data.palette
    found = result(
        arguments.model,
        evaluation.settings,
        palette,
        conditions(evaluation, arguments),
        measured.metrics(real),
        measured.score,
    )
    write_text(arguments.out / "result.json", json.dumps(found, indent=1, ensure_ascii=False))
    write_text(arguments.out / "result.md", markdown(found))
    write_image(arguments.out / "sheet.png", first_samples(evaluation, arguments.samples))
    print(markdown(found))


def conditions(evaluation: Evaluation, arguments: argparse.Namespace) -> dict[str, str]:
    """What readers need to know about the numbers."""
    height, width = evaluation.layouts.config.height_width
    options, corruption = evaluation.options, evaluation.layouts.corruption
    strength = "".join(f", {key} {value}" for key, value in corruption.strength.items())
    networks = [arguments.inception, arguments.segmenter, arguments.lpips, arguments.features]
    return {
        "model": f"{arguments.model}, {evaluation.model.provenance.get('steps', 'an unknown number of')} training steps",
        "images": f"the first {evaluation.images} of {len(evaluation.layouts)} of the validation split, {height}x{width}, "
        f"{arguments.samples} of each layout",
        "layouts": f"{corruption.kind}{strength}"
        + ("" if corruption.kind == CLEAN else f", seed {corruption.seed}, removed pixels are {corruption.removed}"),
        "sampler": f"{options.sampler}, {options.steps} steps, guidance {options.guidance:g}, seed {options.seed}, "
        f"label noise {options.label_noise}, {options.precision}",
        "measured by": ", ".join(str(network) for network in networks if network) or "nothing",
    }


def first_samples(evaluation: Evaluation, samples: int) -> np.ndarray:
    places = range(min(evaluation.images, ON_SHEET))
    given, clean = (collate([layouts[i] for i in places]) for layouts in (evaluation.layouts, evaluation.layouts.clean))
    palette = evaluation.layouts.data.palette
    true, seen = clean.labels(palette.num_classes), given.labels(palette.num_classes)
    return sheet(
        palette, true, seen, [evaluation.samples.read(number, places) for number in range(samples)], clean.images
    )


if __name__ == "__main__":
    sys.exit(perform(main))
