"""How much of a data set each class covers and how rare it is, and the class rates that follow.

The class-wise schedule has one number a class, rate = psi * phi, of rarity and of coverage (SCDM, section 4). The paper
publishes three arrays of them, and no formula; this one was fitted:

    rate of c = RARITY * ln(1 / image share of c) / pixel share of c          (`label_diffusion.estimate_rates`)

* image share: the part of all images in which the class occurs.
* pixel share: its part of all pixels, every image counting alike, whatever its size. Unlabelled pixels are pixels, too.

Relation to the published arrays. ADE20K: from the published shares (four decimals) and image counts, the rates of the 50
most frequent classes deviate by 1.2 % in the median; RARITY is fitted there. CelebAMask-HQ's array follows another rule,
about 1 / (share of the class in the images that hold it), and COCO-Stuff's about 1 / share times a factor that grows slowly
with rarity. To train on these three as the paper did, take the arrays that come with the package; this is for other data.
A class that never occurs, and the "unlabelled" one, have 0.5, as published: they fade linearly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..diffusion.label_diffusion import estimate_rates


@dataclass(frozen=True)
class ClassStatistics:
    """Sums over images; those of parts of a data set are added.

    coverage: (C,) float64, the sum of each class's shares of the images' pixels. present: (C,) int64 images that hold it.
    """

    images: int
    coverage: np.ndarray
    present: np.ndarray

    @classmethod
    def none(cls, num_classes: int) -> ClassStatistics:
        return cls(0, np.zeros(num_classes), np.zeros(num_classes, dtype=np.int64))

    @classmethod
    def of(cls, ids: np.ndarray, num_classes: int) -> ClassStatistics:
        """Of one layout: ids (H, W) in [0, num_classes], the last being MASK, which is no class."""
        counts = np.bincount(ids.ravel(), minlength=num_classes + 1)[:num_classes]
        return cls(1, counts / ids.size, (counts > 0).astype(np.int64))

    def __add__(self, other: ClassStatistics) -> ClassStatistics:
        return ClassStatistics(self.images + other.images, self.coverage + other.coverage, self.present + other.present)

    def rates(self, unlabelled: int | None = None) -> tuple[float, ...]:
        """The class rates; `unlabelled` is the class that stands for no class. ValueError if there are no images."""
        if self.images == 0:
            raise ValueError("class rates need images to be estimated from, and there are none")
        counted = np.arange(len(self.coverage)) != unlabelled
        return estimate_rates(self.coverage * counted / self.images, self.present * counted / self.images)
