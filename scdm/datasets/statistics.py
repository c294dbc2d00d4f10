"""How much of a data set each class covers and how rare it is, and the class rates that follow.

The class-wise schedule has one number a class, rate = psi * phi, of coverage and of rarity (SCDM, section 4). The paper
publishes three arrays of them, and no formula; this one was fitted (`label_diffusion.estimate_rates`):

    rate of c = (1 / (area of c * image share of c ^ rarity)) ^ (1 / temperature)

* area: the mean share of pixels that the class covers in the images that hold it.
* image share: the part of all images that hold it. Unlabelled pixels are pixels, too, and every image counts alike.

What it makes of the published sets, as far as their statistics are known:

* CelebAMask-HQ: rarity 0, temperature 1. Nearly all images hold most of its classes, and the rates can be 1 / area: these
  areas add up to 1.12, and those of classes that all images hold to less than 1. Its statistics are not at hand.
* ADE20K: rarity 1.41, temperature 1.22: 14 % off in the median of the 150 classes, at most 57 % in nine of ten, and rank
  correlation 0.99, from the published shares of pixels (four decimals) and numbers of images. Rarity 0 gives 2 % of the
  published rates in the median, with rank correlation 0.31; rarity 1 is 25 % off, with 0.98. Its own rule is
  0.282 ln(1 / image share) / pixel share: 1.2 % off for the 50 most frequent classes, 3.0 % for all. That rule does not
  carry over: a class that all images hold gets 0.
* COCO-Stuff: its statistics are not known. In the 21 layouts at hand, rates grow with 1 / area (rank correlation 0.54 over
  the 37 classes that two images or more hold), and are 2.0 times it in the median: more rarity than 0, less than ADE20K.

To train on these three as the paper did, take the arrays that come with the package; this is for other data. Its default is
the rule of CelebAMask-HQ, whose classes are, like those of most data of one kind of scene, in nearly all images.
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

    def rates(self, unlabelled: int | None = None, **settings: float) -> tuple[float, ...]:
        """The class rates; `unlabelled` is the class that stands for no class. ValueError if there are no images.

        settings: those of `estimate_rates`.
        """
        if self.images == 0:
            raise ValueError("class rates need images to be estimated from, and there are none")
        counted = np.arange(len(self.coverage)) != unlabelled
        return estimate_rates(self.coverage * counted / self.images, self.present * counted / self.images, **settings)
