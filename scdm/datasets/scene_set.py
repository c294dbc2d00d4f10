"""`scenes` as a data set: rendered, so nothing can be wrong with files, and no two images are alike."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from torch.utils.data import Dataset

from ..layouts.palette import Palette
from .config import DataConfig, Split
from .examples import ENDLESS, Example, Validation
from .registry import DATASETS, Source
from .scenes import Scenes, render, require_size

VALIDATION_SCENES = 2000


class SceneSet:
    """Training shows the series of the configuration's seed (`DataSet`), validation the first scenes of the next one."""

    def __init__(self, config: DataConfig, split: Split) -> None:
        self.config, self.split = config, split
        self.palette = Palette.named("scenes")
        self.size = config.height_width
        self.seed = config.seed + (split == "val")
        require_size(*self.size)

    def __len__(self) -> int:
        return ENDLESS

    def training(self, start: int = 0) -> Dataset[Example]:
        return _Examples(Scenes(ENDLESS - start, self.seed, self.size, start))

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


class _Examples(Dataset[Example]):
    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> Example:
        image, ids = self.scenes[index]
        return Example(image, ids, None, self.scenes.offset + index)


class _Numbered(_Examples, Validation):
    def __init__(self, scenes: Scenes) -> None:
        super().__init__(scenes)
        self.names = [f"scene_{index:05}" for index in range(len(scenes))]


DATASETS["scenes"] = Source(SceneSet)
