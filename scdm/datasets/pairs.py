"""Data sets in files: an image, a label map and perhaps an instance map for each example."""

from __future__ import annotations

import copy
import multiprocessing
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cached_property, lru_cache, partial

import numpy as np
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from ..files.addresses import is_address
from ..files.images import picture_size
from ..files.untrusted import shown
from ..layouts.palette import Palette
from .config import DataConfig, Split
from .examples import ENDLESS, Example, Validation
from .framing import Frame, Size, fitted, random_crop
from .parallel import mapped
from .reader import Reader
from .structure import FolderStructure

MOST_IN_A_ROW = 100  # files that cannot be read, before a run gives up
ORDER, AUGMENTATION = 0, 1  # what randomness is for, beside seed and place


class PairSet:
    """One split of a data set that is read from files (`DataSet`). ValueError if its folders or names are not in order.

    What lies at an address and cannot be read any more raises Unreachable: no other image stands in for it.

    notes: sentences on files that were left out or taken without being a fault.
    """

    def __init__(self, config: DataConfig, split: Split, structure: FolderStructure, palette: Palette) -> None:
        if is_address(config.root or "") and not structure.anywhere:
            raise ValueError(
                f"data.root is a folder whose files are read in place, not an address like {shown(config.root)}: mount what "
                "is there, or copy it, or put it into archives there, for data.name=shards"
            )
        structure = structure if config.values is None else replace(structure, values=config.values)
        self.config, self.palette, self.fit = config, palette, config.fit or structure.fit
        self.reader = Reader(structure, palette, config.exif)
        self.pairs, self.unpaired, self.notes = structure.listing(config, split, palette.edge_channel)
        self._reported = multiprocessing.Array("b", len(self.pairs))  # by any worker

    def __len__(self) -> int:
        return len(self.pairs)

    def training(self, start: int = 0) -> Dataset[Example]:
        self.require_pairs()
        return _Training(self, start)

    def validation(self) -> Validation:
        self.require_pairs()
        return _InOrder(self)

    def at(self, size: int | tuple[int, int]) -> PairSet:
        other = copy.copy(self)  # which goes on listing and reporting in common
        other.config = replace(self.config, size=size)
        return other

    def only(self, places: np.ndarray) -> PairSet:
        """Some of the pairs, as a data set of their own."""
        other = copy.copy(self)
        other.pairs, other.sizes = [self.pairs[place] for place in places], self.sizes[places]
        other._reported = multiprocessing.Array("b", len(places))
        return other

    @cached_property
    def sizes(self) -> np.ndarray:
        """(N, 2): (height, width) of each image as training reads it, by the headers of the files. Where one cannot be read
        it is (0, 0), with a warning."""
        images = [pair.image for pair in self.pairs]
        found = list(mapped(partial(_size, upright=self.config.exif != "ignore"), images, self.config.workers))
        for problem in found:
            if isinstance(problem, str):
                warnings.warn(f"{problem}; left out", stacklevel=2)
        return np.array([(0, 0) if isinstance(size, str) else size for size in found])

    def layout(self, index: int) -> np.ndarray:
        return self.reader.ids(np.asarray(self.reader.label(self.pairs[index])), self.pairs[index])

    def instances(self, index: int) -> np.ndarray | None:
        instances = self.reader.instances(self.pairs[index])
        return None if instances is None else np.asarray(instances)

    def check(self) -> Iterator[str]:
        yield from self.unpaired
        found = mapped(self._problems, range(len(self)), self.config.workers)
        for problems in tqdm(found, total=len(self), unit="image", leave=False):
            yield from problems

    def first_readable(self, tries: Iterable[tuple[int, int]], frame: Callable[[Size, int], Frame]) -> Example:
        """The example of the first pair that is in order, given (index, position) of those that may stand in.

        frame: the window for an image of this size at this position. Every broken pair is reported once.
        """
        for index, position in tries:
            try:
                return self.reader.example(self.pairs[index], frame, position)
            except ValueError as error:
                problem = error
                if self._is_new(index):
                    warnings.warn(f"{error}; left out, the next image stands in", stacklevel=2)
        raise ValueError(f"no image can be read any more: {problem}")

    def _is_new(self, index: int) -> bool:
        with self._reported:  # or two workers that meet a pair at once would both report it
            known, self._reported[index] = self._reported[index], True
        return not known

    def _problems(self, index: int) -> list[str]:
        return self.reader.problems(self.pairs[index])

    def require_pairs(self) -> None:
        """ValueError if there are files that belong to no pair."""
        if self.unpaired:
            more = f" (and {len(self.unpaired) - 3} more)" if len(self.unpaired) > 3 else ""
            raise ValueError(
                f"images and label maps do not match: {'; '.join(self.unpaired[:3])}{more}. Add what is missing, or leave "
                "these files out by data.unpaired=skip, or name those to take in data.list=FILE; training/check_data.py "
                "lists them all"
            )


class _Training(Dataset[Example]):
    """Every epoch shows all pairs in a new order; a position's pair, window and mirroring follow from seed and position."""

    def __init__(self, data: PairSet, start: int) -> None:
        self.data, self.start = data, start

    def __len__(self) -> int:
        return ENDLESS - self.start

    def __getitem__(self, index: int) -> Example:
        position = self.start + index
        seed, count = self.data.config.seed, len(self.data)
        places = range(position, position + MOST_IN_A_ROW)
        tries = ((int(_order(seed, place // count, count)[place % count]), position) for place in places)
        return self.data.first_readable(tries, self._frame)

    def _frame(self, source: Size, position: int) -> Frame:
        rng = np.random.default_rng((self.data.config.seed, AUGMENTATION, position))
        return augmented(source, self.data.config, self.data.fit, rng)


class _InOrder(Validation):
    def __init__(self, data: PairSet) -> None:
        self.data = data
        self.names = [pair.name for pair in data.pairs]

    def __getitem__(self, index: int) -> Example:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of a data set of {len(self)}")
        places = ((index + i) % len(self) for i in range(min(len(self), MOST_IN_A_ROW)))
        return self.data.first_readable(((place, place) for place in places), self._frame)

    def _frame(self, source: Size, position: int) -> Frame:
        return fitted(source, self.data.config.height_width, self.data.config.fit)


def _size(image: str, upright: bool) -> Size | str:
    """What the header says, or what is wrong with it."""
    try:
        return picture_size(image, upright)
    except ValueError as error:
        return str(error)


def augmented(source: Size, config: DataConfig, fit: str, rng: np.random.Generator) -> Frame:
    """A training image's frame; what is drawn, and in which order, is as published."""
    size = config.height_width
    frame = random_crop(source, size, rng) if fit == "random_crop" else fitted(source, size, fit)
    return frame._replace(mirrored=config.flip and rng.random() < 0.5)


@lru_cache(maxsize=2)  # the end of one epoch and the beginning of the next
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng((seed, ORDER, epoch)).permutation(count)
