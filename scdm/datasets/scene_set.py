"""`scenes` as a data set: rendered, so nothing can be wrong with files, and no two images are alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from math import gcd

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from ..layouts.painting import classes_called
from ..layouts.palette import Palette
from .config import DataConfig, Split
from .examples import ENDLESS, Example, Validation
from .registry import DATASETS, Source
from .scenes import Scenes, render, require_size

VALIDATION_SCENES = 2000
CHOSEN = 800  # scenes that show some classes
SHARE = 0.02  # of its pixels, from which a scene shows them
SIDE = 32  # pixels of the shorter side at which that is seen: what a scene shows depends on its proportions alone
CLOSEST = 2.5  # times as large things are in a close-up, at most: beyond, scenes have no more detail to show
FEW_STEPS = 8  # of nearness: with fewer, close-ups would hardly differ
NEARNESS = 2  # key of the random stream of close-ups, beside a scene's composition and detail (1)
RAREST = 100  # scenes that are looked at for each that is chosen, before the classes are taken to be too rare


class SceneSet:
    """Training shows the series of the configuration's seed (`DataSet`), validation the first scenes of the next one.

    With `data.showing` every other scene of the training is one of the series' first `CHOSEN` that show these classes, and
    with `data.close_ups` a share of all are parts of larger scenes.
    """

    def __init__(self, config: DataConfig, split: Split) -> None:
        self.config, self.split = config, split
        self.palette = Palette.named("scenes")
        self.size = config.height_width
        self.seed = config.seed + (split == "val")
        self.showing = tuple(sorted(set(classes_called(self.palette, config.showing))))
        if self.palette.num_classes in self.showing:
            raise ValueError("data.showing names classes, and nothing is unpainted in scenes: leave unpainted out")
        require_size(*self.size)

    def __len__(self) -> int:
        return ENDLESS

    def training(self, start: int = 0) -> Dataset[Example]:
        chosen = scenes_that_show(self.showing, self.seed, CHOSEN, small(*self.size)) if self.showing else ()
        return _Training(
            Scenes(ENDLESS - start, self.seed, self.size, start), chosen, self.config.close_ups, self.showing
        )

    def validation(self) -> Validation:
        return _Numbered(Scenes(VALIDATION_SCENES, self.seed, self.size))

    def at(self, size: int | tuple[int, int]) -> SceneSet:
        return SceneSet(replace(self.config, size=size), self.split)

    def layout(self, index: int) -> np.ndarray:
        return render(index, self.seed, self.size)[1].astype(np.int64)

    def instances(self, index: int) -> None:
        return None

    def check(self) -> Iterator[str]:
        yield from ()


def small(height: int, width: int) -> tuple[int, int]:
    """A size of these proportions whose shorter side is `SIDE`."""
    scale = SIDE / min(height, width)
    return round(scale * height), round(scale * width)


@lru_cache(16)
def scenes_that_show(classes: tuple[int, ...], seed: int, count: int, size: tuple[int, int]) -> tuple[int, ...]:
    """The first `count` scenes of a series with `SHARE` of the pixels in any of these classes, at a size (height, width).

    ValueError as soon as they turn out to be rarer than one in `RAREST`.
    """
    found: list[int] = []
    index = 0
    with tqdm(total=count, desc="scenes with these classes", unit="scene", leave=False) as bar:
        while len(found) < count:
            if index >= RAREST * (len(found) + 5):
                raise ValueError(
                    f"of {index} scenes only {len(found)} show data.showing on {SHARE:.0%} of their pixels: leave it "
                    "out, or name other classes"
                )
            if np.isin(render(index, seed, size)[1], classes).mean() >= SHARE:
                found.append(index)
                bar.update()
            index += 1
    return tuple(found)


class _Examples(Dataset[Example]):
    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Example:
        image, ids = self.scenes[index]
        return Example(image, ids, None, self.scenes.offset + index)


class _Training(_Examples):
    """chosen: numbers of scenes that take turns with the others, and come round again. close_ups: share of the examples that
    are parts of larger scenes, around `classes` where these have any."""

    def __init__(self, scenes: Scenes, chosen: tuple[int, ...], close_ups: float, classes: tuple[int, ...]) -> None:
        super().__init__(scenes)
        self.chosen, self.close_ups, self.classes = chosen, close_ups, classes

    def __getitem__(self, index: int) -> Example:
        position = self.scenes.offset + index
        number = self.chosen[position // 2 % len(self.chosen)] if self.chosen and position % 2 else position
        rng = np.random.default_rng((self.scenes.seed, position, NEARNESS))
        near = rng.random() < self.close_ups
        image, ids = close_up(self.scenes, number, self.classes, rng) if near else self.scenes.scene(number)
        return Example(image, ids, None, position)


def close_up(scenes: Scenes, number: int, classes: tuple[int, ...], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A part of scene `number`, drawn 1 to `CLOSEST` times as large, as an item of `scenes`. Somewhere in it is a pixel of
    these classes, if the scene has any."""
    height, width = scenes.height_width
    steps = gcd(height, width)  # of exactly these proportions, by which scenes differ
    if steps < FEW_STEPS:
        steps = min(height, width)  # but for a pixel
    nearness = round(steps * CLOSEST ** rng.random()) / steps
    size = round(nearness * height), round(nearness * width)
    image, ids = Scenes(scenes.length, scenes.seed, size).scene(number)
    shown = torch.isin(ids, torch.tensor(classes, dtype=ids.dtype))
    places = (shown if shown.any() else torch.ones_like(shown)).nonzero()
    row, column = places[rng.integers(len(places))].tolist()
    top = int(np.clip(row - rng.integers(height), 0, size[0] - height))
    left = int(np.clip(column - rng.integers(width), 0, size[1] - width))
    rows, columns = slice(top, top + height), slice(left, left + width)
    return image[:, rows, columns].clone(), ids[rows, columns].clone()  # without all the rest, on the way from a worker


class _Numbered(_Examples, Validation):
    def __init__(self, scenes: Scenes) -> None:
        super().__init__(scenes)
        self.names = [f"scene_{index:05}" for index in range(len(scenes))]


DATASETS["scenes"] = Source(SceneSet, takes=("showing", "close_ups"))
