"""What is measured on the images of an evaluation. Each process measures its share; the shares are added."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..datasets import Batch
from ..files.atomic import made_folder
from ..files.tensors import opened
from ..metrics import (
    Diversity,
    Evaluator,
    FeatureExtractor,
    FrechetDistance,
    KernelDistance,
    PerceptualNetwork,
    SegmentationScore,
    true_ids,
)
from ..metrics.segmentation import intersection_over_union
from ..models.checkpoint import write_tensors
from .fingerprint import BYTES, fingerprint
from .intervals import Interval, bootstrap

Known = Mapping[bytes, Tensor]  # features (D,) of images, by their `fingerprint`
DISTANCES = {"inception": ("fid", "kid"), "inception_clean": ("fid_clean", "kid_clean")}  # their usual names


@dataclass(frozen=True)
class Networks:
    """Those that look at the images. What there is no network for is not measured.

    extractors: by the name that their distances have in the result.
    """

    extractors: dict[str, FeatureExtractor] = field(default_factory=dict)
    evaluator: Evaluator | None = None
    perceptual: PerceptualNetwork | None = None


@dataclass
class Measured:
    """Of a share of the images.

    real, generated: parts (N, D) of the features of real images and of the first samples, by extractor.
    fingerprints: of the real images, in the order of their features. copies: first samples that are their real image.
    real_score, score: how well the evaluator reads the clean layouts in these. diversity: of all samples of a layout.
    counts, distances: of each layout, by its position: (3, num_classes) pixels of each class that are right, true, and
        predicted where there is a truth; the mean distance of its samples. For intervals.
    """

    real: dict[str, list[Tensor]] = field(default_factory=dict)
    generated: dict[str, list[Tensor]] = field(default_factory=dict)
    fingerprints: list[bytes] = field(default_factory=list)
    copies: int = 0
    real_score: SegmentationScore | None = None
    score: SegmentationScore | None = None
    diversity: Diversity = field(default_factory=Diversity)
    counts: dict[int, np.ndarray] = field(default_factory=dict)
    distances: dict[int, float] = field(default_factory=dict)

    def update(
        self, networks: Networks, batch: Batch, samples: Sequence[Tensor], known: Mapping[str, Known] | None = None
    ) -> None:
        """Looks at real images with clean layouts, and at their samples, a (B, 3, H, W) for each sample's number.

        known: features of real images, by extractor.
        """
        fingerprints = [fingerprint(image) for image in batch.images]
        self.fingerprints += fingerprints
        self.copies += int((samples[0] == batch.images).flatten(1).all(dim=1).sum())
        for name, extractor in networks.extractors.items():
            generated = extractor(samples[0])
            before = (known or {}).get(name, {})
            if any(len(features) != generated.shape[1] for features in islice(before.values(), 1)):
                before = {}  # of another extractor, which was called alike
            self.generated.setdefault(name, []).append(generated)
            self.real.setdefault(name, []).append(features_of(extractor, batch.images, fingerprints, before))
        if evaluator := networks.evaluator:
            num_classes, truth = len(evaluator.known), true_ids(evaluator, batch.ids)
            self.score = self.score or SegmentationScore(num_classes)
            self.real_score = self.real_score or SegmentationScore(num_classes)
            self.real_score.update(evaluator.ids(batch.images), truth)
            for position, *maps in zip(batch.positions.tolist(), evaluator.ids(samples[0]), truth, strict=True):
                own = SegmentationScore(num_classes)
                own.update(*maps)
                self.score += own
                self.counts[position] = own.counts.numpy()
        if networks.perceptual and len(samples) > 1:
            for position, of_layout in zip(batch.positions.tolist(), torch.stack(list(samples), dim=1), strict=True):
                distances = networks.perceptual.distances(of_layout)
                self.diversity.update(distances)
                self.distances[position] = float(distances.mean())

    def __add__(self, other: Measured) -> Measured:
        return Measured(
            _merged(self.real, other.real),
            _merged(self.generated, other.generated),
            [*self.fingerprints, *other.fingerprints],
            self.copies + other.copies,
            _sum(self.real_score, other.real_score),
            _sum(self.score, other.score),
            self.diversity + other.diversity,
            {**self.counts, **other.counts},
            {**self.distances, **other.distances},
        )

    @property
    def real_images(self) -> str:
        """What tells these real images from all others, in whatever order."""
        return hashlib.sha256(b"".join(sorted(self.fingerprints))).hexdigest()[:16]

    def metrics(self) -> dict[str, float]:
        """By name."""
        found: dict[str, float] = {}
        for name, parts in self.generated.items():
            frechet, kernel = FrechetDistance(), KernelDistance()
            for accumulator in (frechet, kernel):
                accumulator.update(torch.cat(self.real[name]), real=True)
                accumulator.update(torch.cat(parts), real=False)
            frechet_name, kernel_name = DISTANCES.get(name, (f"frechet_{name}", f"kernel_{name}"))
            found[frechet_name] = frechet.compute()
            found[kernel_name], found[f"{kernel_name}_spread"] = kernel.compute()
        for end, score in (("", self.score), ("_of_real_images", self.real_score)):
            if score is not None:
                shares = score.compute()
                found[f"miou{end}"], found[f"pixel_accuracy{end}"] = shares.miou, shares.pixel_accuracy
        if self.diversity.layouts:
            found["lpips"] = self.diversity.compute()
        return found

    def intervals(self) -> dict[str, Interval]:
        """95 % intervals over the layouts, of what is a mean or a ratio of sums over them. A Frechet distance is neither:
        it grows when layouts are drawn twice. Of a single layout there are none."""
        found: dict[str, Interval] = {}
        if len(self.counts) > 1:
            counts = np.stack([self.counts[position].ravel() for position in sorted(self.counts)])
            found = {"miou": bootstrap(counts, _miou), "pixel_accuracy": bootstrap(counts, _pixel_accuracy)}
        if len(self.distances) > 1:
            means = np.array([[self.distances[position]] for position in sorted(self.distances)])
            found["lpips"] = bootstrap(means, lambda sums: sums[:, 0] / len(means))
        return found


def features_of(extractor: FeatureExtractor, images: Tensor, fingerprints: Sequence[bytes], known: Known) -> Tensor:
    """(N, D), on the CPU, of images (N, 3, H, W) with these fingerprints; the extractor computes what is not known."""
    new = [place for place, one in enumerate(fingerprints) if one not in known]
    computed = dict(zip(new, extractor(images[new]).detach().cpu(), strict=True)) if new else {}
    return torch.stack([computed[i] if i in computed else known[one] for i, one in enumerate(fingerprints)])


class FeatureCache:
    """Features of real images on disk, by the images' pixels, for evaluations of other models on the same images.

    settings: choose the file in `folder`, beside the extractor's name. They need not tell images apart.
    """

    def __init__(self, folder: str | Path, settings: Mapping[str, Any]) -> None:
        self.folder, self.settings = Path(folder), settings

    def load(self, extractor: FeatureExtractor) -> Known:
        """Nothing if there is no file, or a damaged one, or that of an earlier version, which knew images by their names."""
        try:
            with opened(self._path(extractor)) as file:
                features, images = (file.get_tensor(name) for name in ("features", "images"))
        except ValueError:
            return {}
        fits = features.ndim == 2 and features.is_floating_point() and bool(features.isfinite().all())
        if not fits or images.dtype != torch.uint8 or images.shape != (len(features), BYTES):
            return {}
        return {row.numpy().tobytes(): of for row, of in zip(images, features, strict=True)}

    def save(self, extractor: FeatureExtractor, fingerprints: Sequence[bytes], features: Tensor) -> None:
        """Adds features (N, D) of the images with these fingerprints to what is there."""
        made_folder(self.folder)
        new = dict(zip(fingerprints, features.cpu(), strict=True))
        before = {one: row for one, row in self.load(extractor).items() if len(row) == features.shape[1]}
        rows = {**before, **new}
        images = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), BYTES)
        tensors = {"features": torch.stack(list(rows.values())), "images": torch.from_numpy(images.copy())}
        write_tensors(self._path(extractor), tensors, {"extractor": extractor.name})

    def _path(self, extractor: FeatureExtractor) -> Path:
        of = json.dumps([extractor.name, self.settings], sort_keys=True)
        return self.folder / f"{hashlib.sha256(of.encode()).hexdigest()[:24]}.safetensors"


def _miou(sums: np.ndarray) -> np.ndarray:
    """Sums (R, 3 num_classes) of counts -> (R,)."""
    with np.errstate(invalid="ignore"):  # 0 / 0 where a class does not occur
        return np.nanmean(intersection_over_union(sums.reshape(len(sums), 3, -1)), axis=1)


def _pixel_accuracy(sums: np.ndarray) -> np.ndarray:
    right, true, _ = np.split(sums, 3, axis=1)
    return right.sum(axis=1) / true.sum(axis=1)


def _merged(one: Mapping[str, list[Tensor]], other: Mapping[str, list[Tensor]]) -> dict[str, list[Tensor]]:
    return {name: [*one.get(name, []), *other.get(name, [])] for name in {**one, **other}}


def _sum(one: SegmentationScore | None, other: SegmentationScore | None) -> SegmentationScore | None:
    return one + other if one and other else one or other
