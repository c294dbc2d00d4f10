"""Train a segmentation evaluator: python training/train_segmenter.py --data CONFIG --out segmenter.safetensors

It learns from the training split of any data set as a run of that configuration sees it, at `data.size` and `more_sizes` in
turn and through windows of the side `window`, and is measured on whole images of each size of the validation split.

The evaluator of `scenes` at 64 to 512 pixels is made by

    python training/train_segmenter.py --data training/configs/scenes.yaml --set window=192 --channels 32 48 64 96 \
        --batch 4 --steps 4500 --held-out 64 --out benchmarks/segmenter_scenes.safetensors
"""

from __future__ import annotations

from scdm.start import begin, perform

if __name__ == "__main__":
    begin("train_segmenter")  # before the imports that take seconds

import argparse
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Subset
from tqdm.auto import tqdm

from scdm.datasets import DataConfig, DataSet, loader, open_dataset
from scdm.devices import device_called
from scdm.files.arguments import Parser
from scdm.files.atomic import made_folder
from scdm.files.config import load
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.metrics import SegmentationResult, SegmentationScore
from scdm.metrics.segmenter import Segmenter, save
from scdm.training.command import ending
from scdm.training.config import TrainConfig
from scdm.training.stream import examples_from


@ending("train_segmenter", "nothing is written")
def main(argv: Sequence[str] | None = None) -> int:
    arguments = parsed_arguments(argv)
    device_called(arguments.device)
    config = load(TrainConfig, arguments.data, arguments.set)
    config = replace(config, batch=arguments.batch, micro_batches=1)
    data, *held_out = open_dataset(config.data), *(open_dataset(turn, "val") for turn in config.turns())
    made_folder(arguments.out.parent)
    if arguments.out.is_dir():
        raise ValueError(f"{arguments.out} is a folder: give the name of a file")
    segmenter, steps = train(data, config, arguments)
    results = [evaluate(segmenter, part, arguments, config.data.workers) for part in held_out]
    segmenter.provenance = provenance(config, steps, results)
    save(arguments.out, segmenter)
    for turn, result in zip(config.turns(), results, strict=True):
        print_result(result, segmenter.palette, turn)
    print(arguments.out)
    return 0


def parsed_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(description=__doc__)
    parser.add_argument("--data", required=True, metavar="CONFIG", help="YAML of a training run; its data are taken")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="data.size=64")
    parser.add_argument(
        "--channels",
        type=int,
        nargs="+",
        default=[48, 64, 96],
        metavar="WIDTH",
        help="widths at 1/2, 1/4, ... of the image's size: more levels see further (default 48 64 96)",
    )
    parser.add_argument("--steps", type=int, default=3000, help="(default %(default)s)")
    parser.add_argument(
        "--minutes",
        type=float,
        default=math.inf,
        help="end, well annealed, after so long at the latest (default: never)",
    )
    parser.add_argument(
        "--batch", type=int, default=8, help="images a step (default %(default)s); their mirror images come on top"
    )
    parser.add_argument("--lr", type=float, default=2e-3, help="highest learning rate (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the augmentation (default %(default)s)")
    parser.add_argument(
        "--held-out",
        type=int,
        default=500,
        metavar="N",
        help="images of the final measurement at each size, at most (default %(default)s)",
    )
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16, where the hardware is fast at it")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--out", required=True, type=Path, help="file to write")
    arguments = parser.parse_args(argv)
    if min(arguments.steps, arguments.batch, arguments.held_out) < 1 or not arguments.minutes > 0:
        parser.error("steps, batch and held-out must be at least 1, minutes more than 0")
    if not (0 < arguments.lr <= 1 and 0 <= arguments.seed < 2**63):
        parser.error("lr must be above 0, and at most 1; the seed from 0 to 2^63 - 1")
    return arguments


def train(data: DataSet, config: TrainConfig, arguments: argparse.Namespace) -> tuple[Segmenter, int]:
    """The segmenter, and the steps that it took."""
    torch.manual_seed(arguments.seed)
    segmenter = Segmenter(data.palette, arguments.channels).to(arguments.device)
    optimizer = torch.optim.AdamW(segmenter.parameters(), weight_decay=1e-2)
    generator = torch.Generator(arguments.device).manual_seed(arguments.seed)
    started = time.monotonic()
    examples = loader(examples_from(0, data, config), config.batch, config.data.workers)
    bar = tqdm(examples, total=arguments.steps, unit="step")
    for step, batch in enumerate(bar, start=1):
        images, ids = batch.images.to(arguments.device), labelled(batch.ids, data.palette).to(arguments.device)
        if config.data.flip:
            images, ids = torch.cat([images, images.flip(-1)]), torch.cat([ids, ids.flip(-1)])
        with torch.autocast(images.device.type, torch.bfloat16, enabled=arguments.bf16):
            logits = segmenter(augmented(images, generator))
        loss = cross_entropy_and_overlap(logits.float(), LabelMap(ids, segmenter.palette.num_classes))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(segmenter.parameters(), 1.0)
        progress = max(step / arguments.steps, (time.monotonic() - started) / (60 * arguments.minutes))
        optimizer.param_groups[0]["lr"] = arguments.lr * learning_rate_factor(progress)
        optimizer.step()
        if not math.isfinite(loss.item()):
            raise ValueError(
                f"at step {step} the loss is NaN or infinite, so nothing is written: try again with a lower --lr"
            )
        bar.set_postfix(refresh=False, loss=f"{loss.item():.3f}")
        if progress >= 1:
            break
    return segmenter.eval(), step


def labelled(ids: Tensor, palette: Palette) -> Tensor:
    """Ids with MASK for "unlabelled", which cannot be seen in an image."""
    return ids if palette.unlabelled is None else ids.masked_fill(ids == palette.unlabelled, palette.num_classes)


def learning_rate_factor(progress: float) -> float:
    """A warm-up over the first twentieth of the run, and half a cosine to 0 at progress 1."""
    return min(1.0, 20 * progress) * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Colour, blur and noise a little off, as in samples of a model early in training: structure should count, not digits.

    Images (B, 3, H, W) in [-1, 1]; each has its own contrast and tint (within a tenth), blur and noise (up to 0.1).
    """

    def random(channels: int) -> Tensor:  # (B, channels, 1, 1) in [0, 1]
        return torch.rand((len(images), channels, 1, 1), generator=generator, device=images.device)

    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    images = images.lerp(blurred, 0.6 * random(1))
    images = images * (0.9 + 0.2 * random(1)) + 0.2 * (random(3) - 0.5)
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    return (images + 0.1 * random(1) * noise).clamp(-1, 1)


def cross_entropy_and_overlap(logits: Tensor, truth: LabelMap) -> Tensor:
    """Cross-entropy, plus 1 - the soft mIoU of the batch, without which rare classes would hardly count. MASK is skipped."""
    cross_entropy = F.cross_entropy(logits, truth.ids, ignore_index=truth.mask_id)
    true = truth.one_hot()
    predicted = logits.softmax(dim=1) * true.sum(dim=1, keepdim=True)
    hits = (predicted * true).sum(dim=(0, 2, 3))  # (num_classes,)
    union = (predicted + true).sum(dim=(0, 2, 3)) - hits
    present = true.sum(dim=(0, 2, 3)) > 0
    if not present.any():  # nothing to learn from
        return 0 * logits.sum()
    return cross_entropy + 1 - (hits / union)[present].mean()


def evaluate(segmenter: Segmenter, split: DataSet, arguments: argparse.Namespace, workers: int) -> SegmentationResult:
    """On whole images as they are, without augmentation."""
    images = split.validation()
    held_out = Subset(images, range(min(len(images), arguments.held_out)))
    score = SegmentationScore(segmenter.palette.num_classes)
    for batch in loader(held_out, arguments.batch, workers):
        predicted = segmenter.ids(batch.images.to(arguments.device)).cpu()
        score.update(predicted, labelled(batch.ids, segmenter.palette))
    return score.compute()


def provenance(config: TrainConfig, steps: int, results: Sequence[SegmentationResult]) -> dict[str, object]:
    sizes = [called(turn) for turn in config.turns()]
    through = f" through windows of {config.window}" if config.window else ""
    return {
        "data": f"{config.data.name}, seed {config.data.seed}, {steps * config.batch} images of {', '.join(sizes)}{through}",
        "size": config.data.size,
        "seed": config.data.seed,
        "steps": steps,
        "held_out": rounded(results[0]),
        "held_out_at": {size: rounded(result) for size, result in zip(sizes, results, strict=True)},
    }


def called(data: DataConfig) -> str:
    return "x".join(map(str, data.height_width))


def rounded(result: SegmentationResult) -> dict[str, float]:
    return {"miou": round(result.miou, 4), "pixel_accuracy": round(result.pixel_accuracy, 4)}


def print_result(result: SegmentationResult, palette: Palette, data: DataConfig) -> None:
    for name, iou in zip(palette.names, result.iou.tolist(), strict=True):
        print(f"{name:>12} {iou:.3f}")
    print(f"held-out mIoU {result.miou:.3f}, pixel accuracy {result.pixel_accuracy:.3f} at {called(data)}")


if __name__ == "__main__":
    sys.exit(perform(main))
