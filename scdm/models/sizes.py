"""The sizes of images that a model was taught, and what to do beyond them. Free of torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

BEYOND = 1.5  # times the largest side, or a fraction of the smallest, up to which images are made without a remark
ELONGATED = 2  # times the most elongated proportions, likewise

Size = tuple[int, int]


class UnfamiliarSize(UserWarning):
    """An image is to be made at a size that the model was not taught."""


@dataclass(frozen=True)
class TaughtSizes:
    """(height, width) in pixels of the images that a model was trained on, one at least."""

    sizes: tuple[Size, ...]

    @property
    def preferred(self) -> Size:
        """The largest: what it paints there has most detail."""
        return max(self.sizes, key=lambda size: (size[0] * size[1], size))

    @property
    def smallest_side(self) -> int:
        return min(map(min, self.sizes))

    @property
    def largest_side(self) -> int:
        return max(map(max, self.sizes))

    @property
    def elongation(self) -> float:
        """The longer side of the most elongated of them, as a multiple of the shorter."""
        return max(max(size) / min(size) for size in self.sizes)

    def covers(self, size: Size) -> bool:
        """Whether sides and proportions of this (height, width) lie between those that were taught."""
        aspects = [width / height for height, width in self.sizes]
        sides = self.smallest_side <= min(size) and max(size) <= self.largest_side
        return sides and min(aspects) <= size[1] / size[0] <= max(aspects)

    def shrunk(self, size: Size) -> Size:
        """This (height, width), or the largest that was taught in its proportions if that is less."""
        times = min(1.0, self.largest_side / max(size))
        height, width = (max(1, round(side * times)) for side in size)
        return height, width

    def __str__(self) -> str:
        """In words: "256x512 pixels", or "64 to 512 pixels" of several."""
        if len(set(self.sizes)) == 1:
            return f"{_words(self.sizes[0])} pixels"
        return f"{self.smallest_side} to {self.largest_side} pixels"

    def remark(self, size: Size) -> str:
        """What to say about an image of this (height, width); "" where it is like those that the model was taught."""
        whole = self._widened(size)
        at = self._near(whole) if self._is_beyond(size) else whole
        if at == size:
            return ""
        if self._is_large(size):
            what = "shapes may repeat and fall apart"
        elif self._is_small(size):
            what = "shapes may dissolve"
        else:
            what = "an image is far longer than those, and shapes may repeat"
        changes = [
            *(["enlarge"] if max(at) < max(whole) else ["reduce"] if max(at) > max(whole) else []),
            *(["crop"] if whole != size else []),
        ]
        advice = f"paint at {_words(at)} and {' and '.join(changes)} the result"
        return f"the model was taught images of {self}; at {_words(size)} {what}: {advice}"

    def nearest(self, size: Size) -> Size:
        """This (height, width) if its sides were taught, or nearly, else the nearest in these proportions."""
        return self._within(size) if self._is_beyond(size) else size

    def _is_beyond(self, size: Size) -> bool:
        return self._is_large(size) or self._is_small(size)

    def _is_large(self, size: Size) -> bool:
        return max(size) > self.largest_side * BEYOND

    def _is_small(self, size: Size) -> bool:
        return min(size) * BEYOND < self.smallest_side

    def _widened(self, size: Size) -> Size:
        """This (height, width), or the smallest around it that is not far longer than those that were taught."""
        longest = ELONGATED * self.elongation
        if self._is_beyond(size):  # `_near` keeps proportions, and sides to these
            longest = min(longest, BEYOND**2 * self.largest_side / self.smallest_side)
        shorter = math.ceil(max(size) / longest)
        height, width = (max(side, shorter) for side in size)
        return height, width

    def _near(self, size: Size) -> Size:
        """The size in exactly these proportions whose sides the model was taught, or nearly."""
        longer = self.smallest_side * max(size) / min(size)
        if longer <= self.largest_side:
            longer = self.largest_side if self._is_large(size) else max(longer, max(size))
        times = min(longer, BEYOND * self.largest_side) / max(size)
        height, width = (max(1, round(side * times)) for side in size)
        return height, width

    def _within(self, size: Size) -> Size:
        """The size whose sides the model was taught, in these proportions, or nearly."""
        low, high = self.smallest_side, self.largest_side
        times = min(high / max(size), max(1.0, low / min(size)))
        height, width = (min(max(round(side * times), low), high) for side in size)
        return height, width


def _words(size: Size) -> str:
    """As people name it: the width first."""
    return f"{size[1]}x{size[0]}"
