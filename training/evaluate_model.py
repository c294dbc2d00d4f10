"""Evaluate a model: accelerate launch training/evaluate_model.py --model FILE --data CONFIG --out FOLDER ...

Makes an image of every layout of the validation split, or several, and measures what there is a network for:

  --inception FILE    FID and KID against the split's images, by the resize rule of the papers and by the "clean" one
  --segmenter PATH    mIoU and pixel accuracy, as read by a file of training/train_segmenter.py, which also gives features
                      for a Frechet and a kernel distance, or by a folder of the transformers library
  --lpips FILE        diversity of the samples of a layout (with --samples 10, as published)
  --features M:F      a Frechet and a kernel distance in features of your own, of what F(device) in the module M gives

Real images are those of the split at the size of CONFIG. FOLDER, which all processes must see, gets the samples
(NUMBER/NAME.png) and their digests, result.json, result.md with the published numbers beside ours, the table as result.tex
and, with all settings, as result.csv, and sheet.png. The same command goes on where it was stopped, and measures anew;
other settings need another FOLDER. training/compare_evaluations.py puts several results together.

With --images IN --name NAME in the place of --model, images of any other program are measured as the method NAME: IN/x.png
for the layout x, or IN/NUMBER/x.png with several samples. --corruption or --layouts then says which layouts they were made
from.

With --layouts FOLDER the model is given FOLDER/x.png, painted by hand for example, in the place of the layout x; what it
makes is measured against x all the same. Images without a layout in FOLDER are left out.

--benchmark published evaluates clean layouts and the papers' three corruptions (DS, Edge, Random), each into FOLDER/KIND,
and puts them together in FOLDER/comparison.md, .tex and .csv. Given images then lie in IN/KIND.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("evaluate_model")  # before the imports that take seconds

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, broadcast_object_list, gather_object
from tqdm.auto import tqdm

from scdm.datasets import DataConfig, collate, loader, open_dataset
from scdm.diffusion.corruption import CORRUPTIONS, RemovedKind
from scdm.evaluation import (
    FeatureCache,
    LayoutCorruption,
    Layouts,
    Measured,
    Networks,
    PaintedLayouts,
    Samples,
    latex,
    markdown,
    result,
    sheet,
)
from scdm.evaluation.comparison import comparison, read_result, write_tables
from scdm.evaluation.layouts import BENCHMARKS, CLEAN
from scdm.evaluation.report import PUBLISHED, REAL_IMAGES, THIS_MODEL, rows_of
from scdm.evaluation.samples import SHEET, Chunk, GivenImages, Images, claim, require_no_pictures, require_same
from scdm.evaluation.tables import csv_table
from scdm.evaluation.words import in_words
from scdm.files.arguments import Parser
from scdm.files.atomic import made_folder, write_text
from scdm.files.config import assignment, flat, from_dict, load
from scdm.files.images import write_image
from scdm.files.plugins import load_plugins
from scdm.files.untrusted import sentence
from scdm.layouts.palette import Palette
from scdm.metrics import FeatureExtractor, Inception, PerceptualNetwork, SmallSegmenter, open_evaluator, open_extractor
from scdm.metrics.optional import digest
from scdm.models import conversion
from scdm.models.checkpoint import model_file
from scdm.models.model import Model
from scdm.models.sizes import UnfamiliarSize
from scdm.pipeline import GenerateOptions
from scdm.training.command import add_plugin_flag, ending
from scdm.training.config import TrainConfig

ON_SHEET = 12  # layouts
SAID = ("sampler", "steps", "guidance", "seed", "label_noise", "precision")  # of every model; other options, if changed
PATIENCE = timedelta(days=1)  # of processes for each other: one may have a batch of slow samples more to make


@ending("evaluate_model", "the same command goes on", memory="lower --batch")
def main(argv: Sequence[str] | None = None) -> int:
    arguments = parsed_arguments(argv)
    load_plugins(arguments.plugin)
    accelerator = Accelerator(kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)])
    try:
        if arguments.benchmark:
            run_benchmark(arguments, accelerator)
        else:
            strength = dict(map(assignment, arguments.strength))
            removed: Any = arguments.removed or "mask"
            corruption = LayoutCorruption(arguments.corruption, arguments.corruption_seed, removed, strength)
            evaluate(arguments, corruption, accelerator)
    finally:
        accelerator.end_training()
    return 0


def run_benchmark(arguments: argparse.Namespace, accelerator: Accelerator) -> None:
    """Every corruption into a folder of its own, and a table of them all."""
    folders = []
    kinds = [corruption.kind for corruption in BENCHMARKS[arguments.benchmark]]
    if arguments.images and (missing := [kind for kind in kinds if not (arguments.images / kind).is_dir()]):
        raise ValueError(
            f"{arguments.images} has no folder {missing[0]}: with --benchmark the images of each kind of layouts lie in a "
            f"folder of their own, {', '.join(kinds)}"
        )
    for corruption in BENCHMARKS[arguments.benchmark]:
        own = argparse.Namespace(**vars(arguments))
        own.out = arguments.out / corruption.kind
        own.images = arguments.images and arguments.images / corruption.kind
        evaluate(own, replace(corruption, seed=arguments.corruption_seed), accelerator)
        folders.append(own.out)
    if accelerator.is_main_process:
        results = [read_result(folder / "result.json") for folder in folders]
        write_tables(results, arguments.out)
        print(comparison(results))


def parsed_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(description=__doc__)
    made_by = parser.add_mutually_exclusive_group(required=True)
    made_by.add_argument("--model", help="a model file, or the name of an embedded model")
    made_by.add_argument("--images", type=Path, metavar="IN", help="images that another program made; needs --name")
    parser.add_argument("--name", help="of the method in tables")
    parser.add_argument("--data", required=True, metavar="CONFIG", help="YAML of a training run; its data are taken")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="data.root=/data/ade20k")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="for the images and the result")
    add_plugin_flag(parser)

    images = parser.add_argument_group("the images")
    images.add_argument(
        "--options",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="guidance=2 steps=50 seed=1 preset=published25 ...",
    )
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
        "--removed", choices=get_args(RemovedKind), help='removed pixels: MASK (default), or the class "unlabelled"'
    )
    layouts.add_argument("--layouts", type=Path, metavar="FOLDER", help="painted ones, called like the images")
    layouts.add_argument(
        "--benchmark", choices=tuple(BENCHMARKS), help="clean layouts and the papers' corruptions, one after the other"
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
    if arguments.images and not arguments.name:
        parser.error("images of another program need the name of what made them: --name NAME")
    if arguments.name is not None and not (arguments.name.strip() and arguments.name.isprintable()):
        parser.error("--name is a text of one line, which tables can show")
    name = (arguments.name or "").strip().casefold()
    if name in (THIS_MODEL, REAL_IMAGES) or name.endswith(PUBLISHED):
        parser.error(
            f"--name {arguments.name!r} reads like a row that tables have already, of the model, the real images or the "
            "papers: choose another"
        )
    if arguments.images and arguments.options:
        parser.error("--options say how a model makes images, and --images are made already: leave the options out")
    corrupted = arguments.corruption != CLEAN or arguments.strength or arguments.removed
    if arguments.benchmark and (corrupted or arguments.layouts):
        parser.error(
            "--benchmark says what is done to layouts: leave --corruption, --strength, --removed, --layouts out"
        )
    if arguments.layouts and corrupted:
        parser.error("--layouts are taken as they are: leave --corruption, --strength and --removed out")
    return arguments


@dataclass(frozen=True)
class Evaluation:
    """An evaluation that can begin: all that it needs has been found and fits.

    model, options: of images that are still to be made (`images` is a `Samples`), or None.
    count: of the layouts that are evaluated.
    """

    model: Model | None
    options: GenerateOptions | None
    layouts: Layouts
    count: int
    settings: dict[str, Any]
    images: Images
    networks: Networks


def evaluate(arguments: argparse.Namespace, corruption: LayoutCorruption, accelerator: Accelerator) -> None:
    evaluation = prepared(arguments, corruption, accelerator.device)
    if accelerator.is_main_process:
        images = evaluation.images
        remark = images.remark if isinstance(images, GivenImages) else ""
        remarks = [evaluation.layouts.no_effect, unfamiliar_size(evaluation), remark]
        if not any(networks_given(arguments)):
            remarks.append(
                "no network is given, so nothing is measured: add --segmenter, --inception, --lpips or --features"
            )
        for remark in filter(None, remarks):
            note(remark)
    make(evaluation, arguments, accelerator)
    measured = measure(evaluation, arguments, accelerator)
    if accelerator.is_main_process:
        if copied := copies_in_words(evaluation, measured):
            note(f"{copied}: are they a method's?")
        report(evaluation, measured, arguments)


def copies_in_words(evaluation: Evaluation, measured: Measured) -> str:
    """Or "", as for all images that a model makes."""
    if not measured.copies or not isinstance(evaluation.images, GivenImages):
        return ""
    return f"{measured.copies} of {evaluation.count} images are the real image of their layout, to the pixel"


def networks_given(arguments: argparse.Namespace) -> list[Path | str | None]:
    return [arguments.inception, arguments.segmenter, arguments.lpips, arguments.features]


def note(words: str) -> None:
    """Something that the user should know and that does not stop the work."""
    print(f"evaluate_model: note: {sentence(words)}", file=sys.stderr)


def unfamiliar_size(evaluation: Evaluation) -> str:
    """A sentence if the model was not taught images of this size, or none in these proportions, or ""."""
    if evaluation.model is None:
        return ""
    taught, (height, width) = evaluation.model.config.taught, evaluation.layouts.config.height_width
    if far := taught.remark((height, width)):
        return f"{far} (--set data.size)"
    if taught.covers((height, width)):
        return ""
    return (
        f"the model was taught images of {taught}, in other sizes or proportions than {width}x{height}, at which it may be "
        "worse (--set data.size)"
    )


def prepared(arguments: argparse.Namespace, corruption: LayoutCorruption, device: torch.device) -> Evaluation:
    config = load(TrainConfig, arguments.data, arguments.set).data
    options = from_dict(GenerateOptions, GenerateOptions.grouped(dict(map(assignment, arguments.options))))
    data = open_dataset(config, "val")
    given = arguments.layouts
    layouts = PaintedLayouts(data, config, given) if given else Layouts(data, config, corruption)
    palette, count = layouts.data.palette, min(len(layouts), arguments.limit or len(layouts))
    if arguments.images:
        images = GivenImages(arguments.images, layouts.names, arguments.samples, count, config.height_width)
        settings = settings_of(arguments.name, config, layouts)
        require_free(arguments, settings, layouts.names)
        networks = networks_of(arguments, palette, count, device)
        return Evaluation(None, None, layouts, count, settings, images, networks)
    with model_file(arguments.model) as file:
        model, weights = conversion.load(file, device), digest(file)
    model.palette.require_same(palette, arguments.model, "the data set")
    options = options.for_model(model)
    settings = settings_of(weights, config, layouts) | {"options": options.record()}
    samples = Samples(arguments.out, layouts, settings, config.workers)
    networks = networks_of(arguments, palette, count, device)
    return Evaluation(model, options, layouts, count, settings, samples, networks)


def require_free(arguments: argparse.Namespace, settings: dict[str, Any], names: Sequence[str]) -> None:
    """ValueError if the folder for the result of given images has another method's, or has images, these or others."""
    if arguments.out.resolve() == arguments.images.resolve():
        raise ValueError(f"{arguments.out} has the images themselves: give --out another folder for the result")
    require_same(arguments.out, settings)
    require_no_pictures(arguments.out, names)


def settings_of(model: str, config: DataConfig, layouts: Layouts) -> dict[str, Any]:
    """All that decides about the images but a model's options, and nothing else. model: its digest, or what made them."""
    return {
        "model": model,
        "data": {
            "name": config.name,
            "size": config.height_width,
            "fit": config.fit,
            "images": sha256("\n".join(layouts.names).encode()).hexdigest()[:16],
            **({"seed": config.seed} if config.root is None else {}),  # what is not read is made, from the seed
        },
        "layouts": layouts.record(),
    }


def networks_of(arguments: argparse.Namespace, palette: Palette, count: int, device: torch.device) -> Networks:
    extractors: dict[str, FeatureExtractor] = {}
    if arguments.inception:
        extractors["inception"] = Inception(arguments.inception, "bilinear", device)
        extractors["inception_clean"] = Inception(arguments.inception, "clean", device)
    evaluator = open_evaluator(arguments.segmenter, palette, device) if arguments.segmenter else None
    if isinstance(evaluator, SmallSegmenter):
        extractors["segmenter"] = evaluator
    if arguments.features:
        extractors["features"] = open_extractor(arguments.features, device)
    if extractors and count < 2:
        raise ValueError("a Frechet distance needs at least two images: raise --limit, or leave the network for it out")
    made_folder(arguments.cache)
    return Networks(extractors, evaluator, PerceptualNetwork(arguments.lpips, device) if arguments.lpips else None)


def make(evaluation: Evaluation, arguments: argparse.Namespace, accelerator: Accelerator) -> None:
    """All images that are not there yet. When it returns, all processes are done."""
    samples = evaluation.images
    if evaluation.model is None or evaluation.options is None or not isinstance(samples, Samples):
        if accelerator.is_main_process:
            claim(arguments.out, evaluation.settings)
        return
    missing: list[Any] = [None]
    if accelerator.is_main_process:  # alone: another process might look when images are being made already
        missing = [missing_of(samples, evaluation, arguments)]
    (agreed,) = broadcast_object_list(missing)
    if isinstance(agreed, Exception):
        raise agreed
    own: list[Chunk] = agreed[accelerator.process_index :: accelerator.num_processes]
    total = sum(chunk.stop - chunk.start for chunk in own)
    made = samples.make(evaluation.model, evaluation.options, own)
    bar = tqdm(total=total, desc="samples", unit="image", disable=not accelerator.is_main_process)
    with bar, warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfamiliarSize)  # `unfamiliar_size` has said it, once for all processes
        for images in made:
            bar.update(images)
    accelerator.wait_for_everyone()


def missing_of(samples: Samples, evaluation: Evaluation, arguments: argparse.Namespace) -> list[Chunk] | Exception:
    """What is left to do; or the error, which all processes raise, as one that raises it alone is waited for in vain."""
    try:
        if remark := samples.claim():
            note(remark)
        return samples.missing(arguments.samples, evaluation.count, arguments.batch)
    except (OSError, ValueError) as error:
        return error


def measure(evaluation: Evaluation, arguments: argparse.Namespace, accelerator: Accelerator) -> Measured:
    """What all processes measure together; whole in the main process."""
    extractors = evaluation.networks.extractors
    config = evaluation.layouts.config
    cache = FeatureCache(arguments.cache, {"name": config.name, "size": config.height_width})
    known = {name: cache.load(extractor) for name, extractor in extractors.items()}

    measured = Measured()
    share = range(accelerator.process_index, evaluation.count, accelerator.num_processes)
    shares = [share[start : start + arguments.batch] for start in range(0, len(share), arguments.batch)]
    batches = loader(evaluation.layouts.clean, shares, evaluation.layouts.config.workers)
    bar = tqdm(batches, desc="metrics", unit="batch", disable=not accelerator.is_main_process)
    for places, batch in zip(shares, bar, strict=True):  # another image may stand in for one that cannot be read
        samples = [evaluation.images.read(number, places) for number in range(arguments.samples)]
        measured.update(evaluation.networks, batch, samples, known)
    parts_of_all = gather_object([measured])
    measured = sum(parts_of_all[1:], parts_of_all[0])

    for name, parts in measured.real.items():
        if accelerator.is_main_process and not known[name].keys() >= set(measured.fingerprints):
            cache.save(extractors[name], measured.fingerprints, torch.cat(parts))
    return measured


def report(evaluation: Evaluation, measured: Measured, arguments: argparse.Namespace) -> None:
    palette = evaluation.layouts.data.palette
    found = result(
        arguments.model or str(arguments.images),
        evaluation.settings,
        palette,
        conditions(evaluation, measured, arguments),
        measured.metrics(),
        measured.score,
        measured.intervals(),
        arguments.name,
        evaluation.count,
        measured.real_images,
    )
    write_text(arguments.out / "result.json", json.dumps(found, indent=1, ensure_ascii=False))
    write_text(arguments.out / "result.md", markdown(found))
    write_text(arguments.out / "result.tex", latex(found))
    write_text(arguments.out / "result.csv", csv_table(rows_of(found)))
    write_image(arguments.out / SHEET, first_samples(evaluation, arguments.samples))
    print(markdown(found))


def conditions(evaluation: Evaluation, measured: Measured, arguments: argparse.Namespace) -> dict[str, str]:
    """What readers need to know about the numbers."""
    height, width = evaluation.layouts.config.height_width
    copied = copies_in_words(evaluation, measured)
    return {
        **made_by(evaluation, arguments),
        "images": f"the first {evaluation.count} of {len(evaluation.layouts)} of the validation split, {width}x{height}, "
        f"{arguments.samples} of each layout",
        "layouts": evaluation.layouts.in_words,
        **({"copies": copied} if copied else {}),
        "measured by": ", ".join(str(network) for network in networks_given(arguments) if network) or "nothing",
    }


def made_by(evaluation: Evaluation, arguments: argparse.Namespace) -> dict[str, str]:
    model, options, images = evaluation.model, evaluation.options, evaluation.images
    if model is None or options is None:
        assert isinstance(images, GivenImages)
        return {"made by": f"{arguments.name}, as --name says; the files of {arguments.images}, digest {images.digest}"}
    steps = model.provenance.get("steps", "an unknown number of")
    return {
        "model": f"{arguments.model}, {steps} training steps",
        "sampler": sampled_by(options, GenerateOptions().for_model(model)),
    }


def sampled_by(options: GenerateOptions, usual: GenerateOptions) -> str:
    """In words: `SAID`, and every other option that is not as usual."""
    values, defaults = (flat(of.record()) for of in (options, usual))
    changed = [name for name in values if name not in SAID and values[name] != defaults.get(name)]
    return ", ".join(in_words(f"options.{name}", values[name]) for name in (*SAID, *changed))


def first_samples(evaluation: Evaluation, samples: int) -> np.ndarray:
    places = range(min(evaluation.count, ON_SHEET))
    given, clean = (collate([layouts[i] for i in places]) for layouts in (evaluation.layouts, evaluation.layouts.clean))
    palette = evaluation.layouts.data.palette
    true, seen = clean.labels(palette.num_classes), given.labels(palette.num_classes)
    return sheet(
        palette, true, seen, [evaluation.images.read(number, places) for number in range(samples)], clean.images
    )


if __name__ == "__main__":
    sys.exit(perform(main))
