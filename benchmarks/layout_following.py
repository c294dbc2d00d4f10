"""How well samples follow their layouts: a segmenter reads renderings and samples of the same held-out scenes.

    python benchmarks/layout_following.py runs/scenes64/model.safetensors --layouts 128 --sheet runs/sheet.png

What the segmenter cannot read even in a rendering is no fault of the sampler, so what counts is the ratio of the
samples' mIoU to the renderings'. Neither the model nor the segmenter may have seen the scenes: they come from another
series. With --rough every other layout is given as somebody paints it roughly; what counts are the true ones.
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("layout_following")  # before torch is loaded

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from scdm.datasets.scenes import Scenes
from scdm.diffusion.noise import LABEL_NOISE
from scdm.diffusion.samplers import SAMPLERS
from scdm.files.arguments import Parser
from scdm.files.contact_sheet import UNPAINTED_GREY, contact_sheet
from scdm.files.images import require_writable, to_levels, write_image
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.layouts.roughening import roughened
from scdm.metrics import SegmentationResult, SegmentationScore
from scdm.metrics.segmenter import Segmenter
from scdm.metrics.segmenter import load as load_segmenter
from scdm.models.conversion import load
from scdm.models.model import Model
from scdm.pipeline import GenerateOptions, generate
from scdm.training.command import ending

SEGMENTER = Path(__file__).with_name("segmenter_scenes.safetensors")  # of training/train_segmenter.py
SHEET_SCENES, SHEET_COLUMNS, SHEET_SIDE = 24, 3, 128  # scenes shown, side by side, and their least width in pixels


class Comparison(NamedTuple):
    """`miou_ratio` is samples to renderings; `spread` its standard deviation if other scenes had been drawn."""

    renderings: SegmentationResult
    samples: SegmentationResult
    miou_ratio: float
    spread: float


@ending("layout_following")
def main(argv: Sequence[str] | None = None) -> int:
    arguments = parsed_arguments(argv)
    if arguments.sheet:
        require_writable(arguments.sheet)
    model = load(arguments.model, arguments.device)
    segmenter = load_segmenter(arguments.segmenter, arguments.device)
    require_unseen_and_alike(model, segmenter, arguments.seed)
    height, width = model.config.size if arguments.size is None else (arguments.size, arguments.size)
    scenes = Scenes(arguments.layouts, arguments.seed, (height, width))
    options = GenerateOptions(
        steps=arguments.steps,
        sampler=arguments.sampler,
        guidance=arguments.guidance,
        label_noise=arguments.label_noise,
        precision=arguments.precision,
    ).for_model(model)
    found = sampled(model, DataLoader(scenes, arguments.batch), options, arguments.seed, arguments.rough)
    comparison = compared(segmenter, found.ids, found.renderings, found.samples)
    if arguments.sheet:
        write_image(arguments.sheet, sheet(model.palette, found.given, found.samples, found.renderings))
    conditions = measured_under(arguments, model, segmenter, options, (height, width))
    show = as_json if arguments.json else as_markdown
    print(show(comparison, model.palette.names, conditions))
    return 0


def parsed_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(description=(__doc__ or "").split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("model", help="a model file, or the name of an embedded model")
    parser.add_argument("--segmenter", type=Path, default=SEGMENTER)
    parser.add_argument("--layouts", type=int, default=64, metavar="N")
    parser.add_argument("--size", type=int, help="side in pixels, if not what the model was trained at")
    parser.add_argument(
        "--rough",
        type=float,
        default=0.0,
        metavar="ROUGHNESS",
        help="0 to 1, of every other layout; the model is not told",
    )
    parser.add_argument("--seed", type=int, default=1, help="series of the scenes, and seed of the first sample")
    parser.add_argument("--steps", help="25, ddim25 or 10,15; without it what the model was made for")
    parser.add_argument("--sampler", choices=sorted(SAMPLERS), help="without it what the model was made for")
    parser.add_argument("--guidance", type=float, help="without it what the model was made for")
    parser.add_argument("--label-noise", default="fresh", choices=sorted(LABEL_NOISE))
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--batch", type=int, default=8, help="samples at a time; changes speed, not results")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", action="store_true", help="print JSON instead of Markdown")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet here: layout | sample | rendering")
    arguments = parser.parse_args(argv)
    if min(arguments.layouts, arguments.batch) < 1:
        parser.error("layouts and batch must be at least 1")
    if not 0 <= arguments.rough <= 1:
        parser.error(f"rough is a roughness from 0 to 1, not {arguments.rough:g}")
    return arguments


def measured_under(
    arguments: argparse.Namespace,
    model: Model,
    segmenter: Segmenter,
    options: GenerateOptions,
    size: tuple[int, int],
) -> dict[str, str]:
    """What someone needs to know to measure it again."""
    first, last = arguments.seed, arguments.seed + arguments.layouts - 1
    return {
        "model": f"{arguments.model}, {model.provenance.get('steps', 'an unknown number of')} training steps",
        "layouts": f"scenes 0..{arguments.layouts - 1} of series {arguments.seed}, {size[0]}x{size[1]}"
        + (f", every other one of roughness {arguments.rough:g}" if arguments.rough else ""),
        "sampler": f"{options.sampler}, {options.steps} steps, guidance {options.guidance:g}, seeds {first}..{last}",
        "label noise": str(options.label_noise),
        "precision": options.precision,
        "segmenter": f"{arguments.segmenter.name}, trained on {segmenter.provenance.get('data', 'unknown data')}",
    }


def require_unseen_and_alike(model: Model, segmenter: Segmenter, seed: int) -> None:
    if segmenter.palette.names != model.palette.names:
        raise ValueError(
            f"the segmenter reads {segmenter.palette.name}, the model paints {model.palette.name}: "
            "they must have the same classes"
        )
    if segmenter.provenance.get("seed") == seed:
        raise ValueError(f"the segmenter was trained on scenes of series {seed}: choose another --seed")


class Sampled(NamedTuple):
    """ids, given: (N, H, W), the true layouts and those that the model was given. renderings, samples: (N, 3, H, W)."""

    ids: Tensor
    renderings: Tensor
    samples: Tensor
    given: Tensor


def sampled(
    model: Model, scenes: DataLoader[tuple[Tensor, Tensor]], options: GenerateOptions, seed: int, rough: float = 0.0
) -> Sampled:
    """Sample i has the seed `seed` + i, and with odd i a layout of roughness `rough`."""
    found: list[Sampled] = []
    done = 0
    for renderings, ids in tqdm(scenes, unit="batch", file=sys.stderr):
        places = range(done, done + len(ids))
        exact = LabelMap(ids, model.palette.num_classes)
        rougher = roughened(exact, [rough * (i % 2) for i in places], [seed + i for i in places])
        given = LabelMap(rougher.ids, exact.num_classes)  # without its roughness, which no painter gives
        samples = generate(model, given, replace(options, seed=seed + done))
        found.append(Sampled(ids, renderings, samples, given.ids))
        done += len(ids)
    return Sampled(*map(torch.cat, zip(*found, strict=True)))


def compared(segmenter: Segmenter, ids: Tensor, renderings: Tensor, samples: Tensor) -> Comparison:
    of_renderings, of_samples = scores(segmenter, renderings, ids), scores(segmenter, samples, ids)
    ratio = miou_ratio(of_renderings, of_samples)
    bootstrap = np.random.default_rng(0).integers(len(ids), size=(200, len(ids)))
    redrawn = [miou_ratio([of_renderings[i] for i in drawn], [of_samples[i] for i in drawn]) for drawn in bootstrap]
    return Comparison(total(of_renderings).compute(), total(of_samples).compute(), ratio, float(np.std(redrawn)))


def scores(segmenter: Segmenter, images: Tensor, ids: Tensor) -> list[SegmentationScore]:
    """One for each image."""
    device = next(segmenter.parameters()).device
    result = []
    for image, truth in zip(images, ids, strict=True):
        score = SegmentationScore(segmenter.palette.num_classes)
        score.update(segmenter.ids(image[None].to(device))[0].cpu(), truth)
        result.append(score)
    return result


def total(parts: Sequence[SegmentationScore]) -> SegmentationScore:
    return sum(parts[1:], parts[0])


def miou_ratio(of_renderings: Sequence[SegmentationScore], of_samples: Sequence[SegmentationScore]) -> float:
    return total(of_samples).compute().miou / total(of_renderings).compute().miou


def sheet(palette: Palette, ids: Tensor, samples: Tensor, renderings: Tensor) -> np.ndarray:
    """uint8 (H, W, 3): layout as given, sample and rendering of the first scenes, some of these triples in a row."""
    layouts = palette.to_image(LabelMap(ids[:SHEET_SCENES], palette.num_classes), mask_color=UNPAINTED_GREY)
    triples = zip(layouts, to_levels(samples), to_levels(renderings), strict=False)  # as many as there are layouts
    pictures = [picture for triple in triples for picture in triple]
    across = 3 * SHEET_COLUMNS
    return contact_sheet([pictures[i : i + across] for i in range(0, len(pictures), across)], SHEET_SIDE)


def as_markdown(comparison: Comparison, names: Sequence[str], conditions: dict[str, str]) -> str:
    renderings, samples = comparison.renderings, comparison.samples
    accuracy_ratio = samples.pixel_accuracy / renderings.pixel_accuracy
    return "\n".join(
        [
            *(f"- {name}: {value}" for name, value in conditions.items()),
            "",
            "| read by the segmenter | mIoU | pixel accuracy |",
            "| --- | --- | --- |",
            f"| renderings | {renderings.miou:.3f} | {renderings.pixel_accuracy:.3f} |",
            f"| samples | {samples.miou:.3f} | {samples.pixel_accuracy:.3f} |",
            f"| samples / renderings | {comparison.miou_ratio:.3f} ± {comparison.spread:.3f} | {accuracy_ratio:.3f} |",
            "",
            "| IoU of class | renderings | samples |",
            "| --- | --- | --- |",
            *(
                f"| {name} | {rendering:.3f} | {sample:.3f} |"
                for name, rendering, sample in zip(names, renderings.iou.tolist(), samples.iou.tolist(), strict=True)
            ),
        ]
    )


def as_json(comparison: Comparison, names: Sequence[str], conditions: dict[str, str]) -> str:
    def plain(result: SegmentationResult) -> dict[str, Any]:
        iou = {name: None if np.isnan(value) else value for name, value in zip(names, result.iou.tolist(), strict=True)}
        return {"miou": result.miou, "pixel_accuracy": result.pixel_accuracy, "iou": iou}

    content = {
        "conditions": conditions,
        "renderings": plain(comparison.renderings),
        "samples": plain(comparison.samples),
        "miou_ratio": comparison.miou_ratio,
        "spread": comparison.spread,
    }
    return json.dumps(content, indent=1)


if __name__ == "__main__":
    sys.exit(perform(main))
