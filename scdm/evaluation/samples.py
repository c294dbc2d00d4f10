"""The images of an evaluation, in a folder that knows how they were made: what is there is not made again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ..datasets import Batch, Validation, loader
from ..files import config
from ..files.atomic import made_folder, write_text
from ..files.config import flat
from ..files.images import from_levels, read_image, to_levels, write_image
from ..files.parsing import parsed
from ..files.untrusted import content_of
from ..models.model import Model
from ..pipeline import GenerateOptions, generate

SETTINGS = "settings.json"


class Chunk(NamedTuple):
    """Samples number `sample` of the layouts `start` to `stop` - 1, made at a time."""

    sample: int
    start: int
    stop: int


class Samples:
    """FOLDER/SAMPLE/NAME.png. Sample k of layout i has the seed `options.seed` + k 2^32 + i, however the work is shared.

    settings: all that decides about the images. ValueError if the folder holds images made with others.
    """

    def __init__(self, folder: str | Path, names: Sequence[str], settings: Mapping[str, Any]) -> None:
        self.folder, self.names = Path(folder), names
        self.settings: dict[str, Any] = json.loads(json.dumps(settings))  # as they will be read
        require_same(self.folder, self.settings)

    def claim(self) -> None:
        """Writes the settings down. One process does it."""
        claim(self.folder, self.settings)

    def path(self, sample: int, index: int) -> Path:
        return self.folder / str(sample) / f"{self.names[index]}.png"

    def missing(self, samples: int, images: int, batch: int) -> list[Chunk]:
        """What is left to do of `samples` samples of the first `images` layouts, at most `batch` at a time."""
        chunks: list[Chunk] = []
        for sample in range(samples):
            for index in range(images):
                if self.path(sample, index).is_file():
                    continue
                last = chunks[-1] if chunks else None
                if last and last.sample == sample and last.stop == index and last.stop - last.start < batch:
                    chunks[-1] = last._replace(stop=index + 1)
                else:
                    chunks.append(Chunk(sample, index, index + 1))
        return chunks

    def make(
        self, model: Model, layouts: Validation, options: GenerateOptions, chunks: Sequence[Chunk], workers: int = 0
    ) -> Iterator[int]:
        """Makes the images of `chunks` and gives the number of each chunk when it is written."""
        places = [list(range(chunk.start, chunk.stop)) for chunk in chunks]
        batch: Batch
        for chunk, batch in zip(chunks, loader(layouts, places, workers), strict=True):
            seed = (options.seed + (chunk.sample << 32) + chunk.start) % 2**64
            images = generate(model, batch.labels(model.palette.num_classes), replace(options, seed=seed))
            for index, levels in zip(range(chunk.start, chunk.stop), to_levels(images), strict=True):
                path = self.path(chunk.sample, index)
                made_folder(path.parent)
                write_image(path, levels)
            yield chunk.stop - chunk.start

    def read(self, sample: int, indices: Sequence[int]) -> Tensor:
        """(B, 3, H, W) in [-1, 1]."""
        return from_levels(np.stack([np.array(read_image(self.path(sample, i)).convert("RGB")) for i in indices]))


def claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Writes down how the files of a folder are made. ValueError if others are there already."""
    require_same(folder, settings)
    write_text(made_folder(folder) / SETTINGS, json.dumps(settings, indent=1))


def require_same(folder: Path, settings: Mapping[str, Any]) -> None:
    """ValueError if the files of a folder were made with other settings. Settings of nothing do not bind."""
    path = folder / SETTINGS
    if not path.is_file() or len(list(folder.iterdir())) == 1:
        return
    try:
        before = flat(parsed(content_of(path), "JSON"))
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path} is damaged ({error}): choose another folder") from error
    config.require_same(f"what {folder} holds", before, flat(settings), "Choose another folder")
