"""What is measured on the images of an evaluation. Each process measures its share; the shares are added."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
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
from .intervals import Interval, bootstrap

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
    real_score, score: how well the evaluator reads the clean layouts in these. diversity: of all samples of a layout.
    counts, distances: of each layout, by its position: (3, num_classes) pixels of each class that are right, true, and
        predicted where there is a truth; the mean distance of its samples. For intervals.
    """

    real: dict[str, list[Tensor]] = field(default_factory=dict)
    generated: dict[str, list[Tensor]] = field(default_factory=dict)
    real_score: SegmentationScore | None = None
    score: SegmentationScore | None = None
    diversity: Diversity = field(default_factory=Diversity)
    counts: dict[int, np.ndarray] = field(default_factory=dict)
    distances: dict[int, float] = field(default_factory=dict)

    def update(self, networks: Networks, batch: Batch, samples: Sequence[Tensor], cached: Collection[str] = ()) -> None:
        """Looks at real images with clean layouts, and at their samples, a (B, 3, H, W) for each sample's number.

        cached: extractors whose features of the real images are known already.
        """
        for name, extractor in networks.extractors.items():
            self.generated.setdefault(name, []).append(extractor(samples[0]))
            if name not in cached:
                self.real.setdefault(name, []).append(extractor(batch.images))
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
            _sum(self.real_score, other.real_score),
            _sum(self.score, other.score),
            self.diversity + other.diversity,
            {**self.counts, **other.counts},
            {**self.distances, **other.distances},
        )

    def metrics(self, real: Mapping[str, Tensor]) -> dict[str, float]:
        """By name. real: features (N, D) of all real images, by extractor."""
        found: dict[str, float] = {}
        for name, parts in self.generated.items():
            frechet, kernel = FrechetDistance(), KernelDistance()
            for accumulator in (frechet, kernel):
                accumulator.update(real[name], real=True)
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


class FeatureCache:
    """Features of real images on disk, for evaluations of other models on the same images.

    data: all that decides about the images, their names and number included.
    """

    def __init__(self, folder: str | Path, data: Mapping[str, Any]) -> None:
        self.folder, self.data = Path(folder), data

    def load(self, extractor: FeatureExtractor) -> Tensor | None:
        """(N, D), or None if they are not known, or damaged."""
        try:
            with opened(self._path(extractor)) as file:
                features: Tensor = file.get_tensor("features")
        except ValueError:
            return None
        whole = features.ndim == 2 and features.is_floating_point() and bool(features.isfinite().all())
        return features if whole else None

    def save(self, extractor: FeatureExtractor, features: Tensor) -> None:
        made_folder(self.folder)
        write_tensors(self._path(extractor), {"features": features.contiguous()}, {"extractor": extractor.name})

    def _path(self, extractor: FeatureExtractor) -> Path:
        of = json.dumps([extractor.name, self.data], sort_keys=True)
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
