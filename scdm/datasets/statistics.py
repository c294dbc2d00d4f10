"""How much of a data set each class covers and how rare it is, and the class rates that follow.

The class-wise schedule has one number a class, rate = psi * phi, of coverage and of rarity (SCDM, section 4). The paper
publishes three arrays of them, and no formula; this one was fitted (`label_diffusion.estimate_rates`):

    rate of c = scale * (rarity of c / coverage of c) ^ (1 / temperature)

* coverage: the mean share of pixels that the class covers in the images that hold it, or, with `coverage="all"`, in all.
* rarity: ln(1 / share of the images that hold it), but at least 1; or 1 throughout, with `rarity="none"`.

Unlabelled pixels are pixels, too, and every image counts alike. What it makes of the published sets, from public counts and
areas:

* CelebAMask-HQ: 4 % off in the median of the 18 parts of a face, at most 36 % in nine of ten, and rank correlation 0.99,
  from all 30,000 images. The areas are those of the archive's masks, which lie over each other in label maps: a part that
  others cover has less area there, and a larger published rate (necklace 2.0 times, ears 1.5, skin 1.3), and what lies on
  top is exact (cloth and hat within 0.4 %).
* COCO-Stuff: 10 % off in the median of the 171 classes that occur, at most 36 % in nine of ten, and rank correlation 0.93;
  the 80 classes of things 7 %, 23 % and 0.99, those of stuff 16 %, 54 % and 0.85. Counts and areas are those of the 10,000
  images of COCO-Stuff 10K, a part of the set whose stuff was labelled by other means.
* ADE20K: `coverage="all"` and scale 0.282: 3 % off in the median of the 150 classes, at most 13 % in nine of ten, and rank
  correlation 0.99, from the published shares of pixels (four decimals) and numbers of images. Its own array has no least
  rarity: the three classes that more than 1 / e of the images hold have less than 1 (wall ln(1 / 0.58) = 0.55, and so a rate
  of 0.999 where this gives 1.79). By default its rates are 12 times smaller in the median, with rank correlation 0.61.

So the first two follow one rule, which is the default here. ADE20K's coverage is that of all images, which keeps rare
classes far longer: that of a class in one image in a hundred is a hundredth.
To train on these three as the paper did, take the arrays that come with the package; this is for other data.
A class that never occurs, and the "unlabelled" one, have 0.5, as published: they fade linearly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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

    def rates(self, unlabelled: int | None = None, **settings: Any) -> tuple[float, ...]:
        """The class rates; `unlabelled` is the class that stands for no class. ValueError if there are no images.

        settings: those of `estimate_rates`.
        """
        if self.images == 0:
            raise ValueError("class rates need images to be estimated from, and there are none")
        counted = np.arange(len(self.coverage)) != unlabelled
        return estimate_rates(self.coverage * counted / self.images, self.present * counted / self.images, **settings)
