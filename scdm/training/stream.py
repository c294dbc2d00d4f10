"""The training data: examples in the order of the data set, each with its own random draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice, repeat
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..datasets import Batch, DataSet, Example, PairSet, collate, loader
from ..datasets.buckets import buckets
from ..datasets.examples import ENDLESS
from ..diffusion.corruption import as_class
from ..diffusion.space import PIXELS, Space
from ..layouts.labels import LabelMap
from ..layouts.painting import classes_called
from ..layouts.patterns import sparse
from ..layouts.roughening import roughened
from .config import HidingConfig, RunConfig, UpsamplerConfig
from .redrawing import FirstStage, Redrawn

# Keys of random streams, beside a data set's order (0) and augmentation (1).
DRAWS, PATTERNS, ROUGHNESS, WINDOWS, FLAWS, BUCKETS, REDRAWN, SIMULATED = range(2, 10)


class ExampleDraws(NamedTuple):
    """Random draws of the examples of a batch. Uniform in [0, 1), but for the noise, which is standard normal.

    step: (B,) float64, chooses t. null: (B,) float64, chooses the layouts to blank.
    noise: (B, C, h, w) float32, of samples. label: (B, H, W) float32, for label diffusion, where training hides less of a
        layout (`HidingConfig`) above 1, too: no label is masked there.
    """

    step: Tensor
    null: Tensor
    noise: Tensor
    label: Tensor


class RoughnessDraws(NamedTuple):
    """What makes an example's layout rough, and whether the network is given how rough it is.

    rough, null: uniform in [0, 1), choose the layouts to make rough and the roughnesses to leave out.
    roughness: in (0, 1], of those that are. seed: of its errors.
    """

    rough: float
    null: float
    roughness: float
    seed: int


class DrawnBatch(NamedTuple):
    batch: Batch
    draws: ExampleDraws


def steps_from(
    step: int, data: DataSet, config: RunConfig, rank: int = 0, ranks: int = 1, space: Space = PIXELS
) -> Iterator[list[DrawnBatch]]:
    """The micro-batches that process `rank` of `ranks` takes in each step, from `step` on, without end.

    Together the processes take the data set's stream in order, `config.batch` examples a step, each a contiguous part. The
    stream is opened by the call, so that no step waits for what a data set looks for at its start.
    ValueError if a batch cannot be divided among them, and from a step, if an image cannot be read.
    """
    part, rest = divmod(config.batch, ranks * config.micro_batches)
    if rest:
        raise ValueError(
            f"a batch of {config.batch} cannot be divided among {ranks} processes with {config.micro_batches} micro_batches "
            f"each: set batch to a multiple of {ranks * config.micro_batches}"
        )
    share = Share(examples_from(step, data, config), config.batch, rank, ranks)
    drawing = Drawing(
        config.seed,
        config.sparse_share,
        data.palette.num_classes,
        space,
        rough_share=config.rough_share,
        roughness_null_rate=config.roughness_null_rate,
        hiding=config.hiding,
        batch=config.batch,
        unlabelled=_unlabelled(data, config.hiding),
    )
    batches = iter(loader(share, part, config.data.workers, drawing))
    return (list(islice(batches, config.micro_batches)) for _ in repeat(None))


def _unlabelled(data: DataSet, hiding: HidingConfig) -> int | None:
    if hiding.removed == "class" and data.palette.unlabelled is None:
        raise ValueError(
            f"the classes of {data.palette.name} have none for unlabelled pixels: set hiding.removed to mask"
        )
    return data.palette.unlabelled if hiding.removed == "class" else None


def examples_from(step: int, data: DataSet, config: RunConfig) -> Turns | Buckets:
    """The examples of all processes, from step `step` on: sizes take turns or have images of their own, and large images are
    seen through windows."""
    if config.buckets:
        return Buckets(buckets_of(data, config), config, step)
    turns, stage = [data, *map(data.at, config.more_sizes)], _first_stage(data, config)

    def stream(turn: DataSet, start: int) -> Dataset[Example]:
        examples = turn.training(start)
        return examples if stage is None else Redrawn(examples, stage, (config.seed, REDRAWN))

    start = step * config.batch
    if config.window is None:
        return Turns([stream(turn, start) for turn in turns], config.batch, step)
    chosen = classes_called(data.palette, config.window_on)
    windows = [Windows(stream(turn, 0), config, config.window, len(turns), start, chosen) for turn in turns]
    return Turns(windows, config.batch, step)


def _first_stage(data: DataSet, config: RunConfig) -> FirstStage | None:
    """The model that redraws small images, if the run names one."""
    if not isinstance(config, UpsamplerConfig) or config.first_stage is None:
        return None
    return FirstStage.named(config.first_stage, data.palette, config.small, config.redrawn)


@dataclass(frozen=True)
class Turns(Dataset[Example]):
    """Streams that take turns: each step, beginning with step `start`, takes its batch from another."""

    streams: Sequence[Dataset[Example]]
    batch: int
    start: int

    def __len__(self) -> int:
        return len(self.streams[0])  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Example:
        step = self.start + index // self.batch
        return self.streams[step % len(self.streams)][index]


def buckets_of(data: DataSet, config: RunConfig) -> list[PairSet]:
    """The images of each size. ValueError if a size would have none, or these are no image files."""
    found = buckets(data, [turn.height_width for turn in config.turns()])
    for bucket in found:
        if not len(bucket.data):
            raise ValueError(
                f"there is no image whose proportions are nearest to {list(bucket.size)}: take it out of data.size and "
                "more_sizes"
            )
    return [bucket.data for bucket in found]


class Buckets(Dataset[Example]):
    """Data sets of one size each: every step, beginning with step `start`, takes its batch from one of them.

    In as many steps as there are images, each data set has as many steps as it has images, in a random order. It goes on
    where its last step ended: what an example shows follows from the place of its step among those of its data set.
    """

    def __init__(self, parts: Sequence[DataSet], config: RunConfig, start: int):
        self.config, self.start = config, start
        self.counts = tuple(map(len, parts))
        self.streams: list[Dataset[Example]] = [part.training() for part in parts]
        if config.window is not None:
            chosen = classes_called(parts[0].palette, config.window_on)
            self.streams = [Windows(stream, config, config.window, 1, 0, chosen) for stream in self.streams]

    def __len__(self) -> int:
        return ENDLESS - self.start * self.config.batch

    def __getitem__(self, index: int) -> Example:
        batch = self.config.batch
        step, place = divmod(self.start * batch + index, batch)
        part, visit = self.visited(step)
        return self.streams[part][visit * batch + place]._replace(position=step * batch + place)

    def visited(self, step: int) -> tuple[int, int]:
        """The data set of a step, and how many steps it had before."""
        turn, place = divmod(step, sum(self.counts))
        parts, before = _round(self.config.seed, turn, self.counts)
        part = int(parts[place])
        return part, turn * self.counts[part] + int(before[place])


@lru_cache(maxsize=2)  # the end of one round and the beginning of the next
def _round(seed: int, number: int, counts: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """For each step of a round the data set whose turn it is, and how many steps of the round that had before."""
    parts = np.random.default_rng((seed, BUCKETS, number)).permutation(np.repeat(np.arange(len(counts)), counts))
    before = np.empty_like(parts)
    for part, count in enumerate(counts):
        before[parts == part] = np.arange(count)
    return parts, before


class Windows(Dataset[Example]):
    """Random windows of the images of a stream, from position `start` on (Wang et al. 2023, Patch Diffusion).

    The images of a batch serve `config.windows` turns of the stream, which is one of `turns`; windows are of `side` pixels.
    A share of them (`config.window_share`) is put on one of the classes `chosen`, of images that show any.
    """

    def __init__(
        self,
        stream: Dataset[Example],
        config: RunConfig,
        side: int,
        turns: int,
        start: int,
        chosen: tuple[int, ...] = (),
    ):
        self.stream, self.config, self.side, self.turns, self.start = stream, config, side, turns, start
        self.chosen = chosen
        self.images = lru_cache(config.batch)(stream.__getitem__)  # of each worker

    def __len__(self) -> int:
        return len(self.stream) - self.start  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Example:
        step, place = divmod(self.start + index, self.config.batch)
        group = step // self.turns // self.config.windows
        image = self.images(group * self.config.batch + place)._replace(position=self.start + index)
        key = self.config.seed, WINDOWS, self.start + index
        return window(image, self.side, key, self.chosen, self.config.window_share)


def window(
    example: Example, side: int, key: tuple[int, ...], chosen: tuple[int, ...] = (), share: float = 0.5
) -> Example:
    """A window of the example, at most `side` pixels high and wide, where the random stream `key` puts it: anywhere, or with
    the probability `share` around a pixel of the classes `chosen`."""
    height, width = example.ids.shape
    if max(height, width) <= side:
        return example
    rng = np.random.default_rng(key)
    room = np.array((max(1, height - side + 1), max(1, width - side + 1)))
    top, left = rng.integers(room)
    if chosen and rng.random() < share and len(places := np.argwhere(np.isin(example.ids, chosen))):
        top, left = np.clip(places[rng.integers(len(places))] - side // 2, 0, room - 1)
    small = example.small
    if small is not None:  # its pixels are not cut through
        cell = height // small.shape[-2]
        top, left = top // cell * cell, left // cell * cell
        small = small[..., top // cell : (top + side) // cell, left // cell : (left + side) // cell]
    part = (..., slice(top, top + side), slice(left, left + side))
    edges = None if example.edges is None else example.edges[part]
    return Example(example.image[part], example.ids[part], edges, example.position, height, small)


@dataclass(frozen=True)
class Share(Dataset[Example]):
    """Of every `batch` examples of a stream, the `rank`-th of `ranks` equal parts."""

    stream: Dataset[Example]
    batch: int
    rank: int
    ranks: int

    def __len__(self) -> int:
        return len(self.stream) // self.ranks  # type: ignore[arg-type]

    def __getitem__(self, index: int) -> Example:
        part = self.batch // self.ranks
        step, place = divmod(index, part)
        return self.stream[step * self.batch + self.rank * part + place]


@dataclass(frozen=True)
class Drawing:
    """Stacks examples together with their draws, makes `rough_share` of the layouts rough, and then reduces `sparse_share`
    of all to sparse ones: in the workers that read ahead, so that the training process does not wait.

    unlabelled: the class of what sparse layouts leave open; None for MASK.
    hiding: how both this and label diffusion depend on the step, which is known by a position, `batch` of them a step.
    """

    seed: int
    sparse_share: float
    num_classes: int
    space: Space = PIXELS
    rough_share: float = 0.0
    roughness_null_rate: float = 0.0
    hiding: HidingConfig = field(default_factory=HidingConfig)
    batch: int = 1
    unlabelled: int | None = None

    def __call__(self, examples: Sequence[Example]) -> DrawnBatch:
        whole = collate(examples)
        seeds = [self._pattern_seed(position) for position in whole.positions.tolist()]
        batch = self._thinned(self._roughened(whole), seeds)._replace(exact=whole.ids)
        size = batch.ids.shape[1:]
        draws = [
            self._attenuated(draws_at(self.seed, position, size, self.space), position, seed is not None)
            for position, seed in zip(batch.positions.tolist(), seeds, strict=True)
        ]
        return DrawnBatch(batch, ExampleDraws(*(torch.stack(part) for part in zip(*draws, strict=True))))

    def _pattern_seed(self, position: int) -> int | None:
        share = self.hiding.sparse_share_at(position // self.batch, self.sparse_share)
        return pattern_seed(self.seed, position, share)

    def _attenuated(self, draws: ExampleDraws, position: int, sparse: bool) -> ExampleDraws:
        """The draws of label diffusion divided by its strength, so that a label is masked where u / strength < p: with the
        probability strength * p."""
        strength = self.hiding.label_noise_at(position // self.batch) if self.hiding.both or not sparse else 0.0
        if strength == 1:
            return draws
        return draws._replace(label=draws.label / strength if strength else torch.ones_like(draws.label))

    def _roughened(self, batch: Batch) -> Batch:
        if not self.rough_share:
            return batch
        draws = [roughness_draws(self.seed, position) for position in batch.positions.tolist()]
        strengths = [draw.roughness * (draw.rough < self.rough_share) for draw in draws]
        labels = roughened(batch.labels(self.num_classes), strengths, [draw.seed for draw in draws], batch.height)
        assert labels.roughness is not None
        unknown = torch.tensor([draw.null < self.roughness_null_rate for draw in draws])
        return batch._replace(
            ids=labels.ids, edges=labels.edges, roughness=labels.roughness.masked_fill(unknown, torch.nan)
        )

    def _thinned(self, batch: Batch, seeds: Sequence[int | None]) -> Batch:
        chosen = [place for place, seed in enumerate(seeds) if seed is not None]
        if not chosen:
            return batch
        edges = None if batch.edges is None else batch.edges.clone()
        whole = LabelMap(batch.ids[chosen], self.num_classes, None if edges is None else edges[chosen])
        left = sparse(whole, [seed for seed in seeds if seed is not None])
        ids = batch.ids.clone()
        ids[chosen] = left.ids if self.unlabelled is None else as_class(left, whole, self.unlabelled, "").ids
        if edges is not None and left.edges is not None:
            edges[chosen] = left.edges
        return batch._replace(ids=ids, edges=edges)


def draws_at(seed: int, position: int, size: Sequence[int], space: Space = PIXELS) -> ExampleDraws:
    """The draws of one example of `size` (H, W), without a batch dimension: a function of the run's seed and the example's
    position alone."""
    rng = np.random.default_rng((seed, DRAWS, position))
    step, null = torch.from_numpy(rng.random(2))
    noise = torch.from_numpy(rng.standard_normal((space.channels, *space.size(*size)), dtype=np.float32))
    return ExampleDraws(step, null, noise, torch.from_numpy(rng.random(tuple(size), dtype=np.float32)))


def pattern_seed(seed: int, position: int, share: float) -> int | None:
    """Seed of the pattern that makes an example's layout sparse; None for those that stay whole, all but `share` of them."""
    rng = np.random.default_rng((seed, PATTERNS, position))
    return int(rng.integers(2**63)) if rng.random() < share else None


def roughness_draws(seed: int, position: int) -> RoughnessDraws:
    """Those of the example at a position of a run."""
    rng = np.random.default_rng((seed, ROUGHNESS, position))
    rough, null, exactness = rng.random(3).tolist()
    return RoughnessDraws(rough, null, 1 - exactness, int(rng.integers(2**63)))
