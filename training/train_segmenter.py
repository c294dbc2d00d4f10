"""Train a segmentation evaluator: python training/train_segmenter.py --data CONFIG --out segmenter.safetensors

It learns from the training split of any data set, and is measured on the validation split.
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
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset, Subset
from tqdm.auto import tqdm

from scdm.datasets import DataConfig, DataSet, Example, loader, open_dataset
from scdm.devices import device_called
from scdm.files.atomic import made_folder
from scdm.files.config import load
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.metrics import SegmentationResult, SegmentationScore
from scdm.metrics.segmenter import Segmenter, save
from scdm.training.command import ending
from scdm.training.config import TrainConfig


@ending("train_segmenter", "nothing is written")
def main(argv: Sequence[str] | None = None) -> int:
    arguments = parsed_arguments(argv)
    device_called(arguments.device)
    config = load(TrainConfig, arguments.data, arguments.set).data
    data, held_out = open_dataset(config), open_dataset(config, "val").validation()
    made_folder(arguments.out.parent)
    if arguments.out.is_dir():
        raise ValueError(f"{arguments.out} is a folder: give the name of a file")
    segmenter, steps = train(data, config, arguments)
    result = evaluate(segmenter, Subset(held_out, range(min(len(held_out), arguments.held_out))), config, arguments)
    segmenter.provenance = provenance(config, arguments, steps, result)
    save(arguments.out, segmenter)
    print_result(result, segmenter.palette)
    print(arguments.out)
    return 0


def parsed_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, metavar="CONFIG", help="YAML of a training run; its data are taken")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="data.size=64")
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
        help="images of the final measurement, at most (default %(default)s)",
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


def train(data: DataSet, config: DataConfig, arguments: argparse.Namespace) -> tuple[Segmenter, int]:
    """The segmenter, and the steps that it took."""
    torch.manual_seed(arguments.seed)
    segmenter = Segmenter(data.palette).to(arguments.device)
    optimizer = torch.optim.AdamW(segmenter.parameters(), weight_decay=1e-2)
    generator = torch.Generator(arguments.device).manual_seed(arguments.seed)
    started = time.monotonic()
    bar = tqdm(loader(data.training(), arguments.batch, config.workers), total=arguments.steps, unit="step")
    for step, batch in enumerate(bar, start=1):
        images, ids = batch.images.to(arguments.device), labelled(batch.ids, data.palette).to(arguments.device)
        if config.flip:
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


def evaluate(
    segmenter: Segmenter, held_out: Dataset[Example], config: DataConfig, arguments: argparse.Namespace
) -> SegmentationResult:
    """On images as they are, without augmentation."""
    score = SegmentationScore(segmenter.palette.num_classes)
    for batch in loader(held_out, arguments.batch, config.workers):
        predicted = segmenter.ids(batch.images.to(arguments.device)).cpu()
        score.update(predicted, labelled(batch.ids, segmenter.palette))
    return score.compute()


def provenance(
    config: DataConfig, arguments: argparse.Namespace, steps: int, result: SegmentationResult
) -> dict[str, object]:
    height, width = config.height_width
    return {
        "data": f"{config.name}, seed {config.seed}, {steps * arguments.batch} images of {height}x{width}",
        "size": config.size,
        "seed": config.seed,
        "steps": steps,
        "held_out": {"miou": round(result.miou, 4), "pixel_accuracy": round(result.pixel_accuracy, 4)},
    }


def print_result(result: SegmentationResult, palette: Palette) -> None:
    for name, iou in zip(palette.names, result.iou.tolist(), strict=True):
        print(f"{name:>12} {iou:.3f}")
    print(f"held-out mIoU {result.miou:.3f}, pixel accuracy {result.pixel_accuracy:.3f}")


if __name__ == "__main__":
    sys.exit(perform(main))
