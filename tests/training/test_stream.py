"""What feeds a run depends on seed and position alone: not on processes, micro-batches, workers or where it began."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from scdm.datasets import Batch, DataConfig, Example, open_dataset
from scdm.diffusion.label_diffusion import LabelDiffusion
from scdm.layouts.labels import LabelMap, instance_borders
from scdm.training.config import HidingConfig
from scdm.training.stream import Drawing, DrawnBatch, draws_at, steps_from, window
from tests.datasets import trees
from tests.training.tiny import config


def taken(start: int, steps: int, rank: int = 0, ranks: int = 1, **changes) -> list[list[DrawnBatch]]:
    run = config(batch=8, **changes)
    return list(islice(steps_from(start, open_dataset(run.data), run, rank, ranks), steps))


def positions(steps: list[list[DrawnBatch]]) -> list[list[list[int]]]:
    return [[part.batch.positions.tolist() for part in parts] for parts in steps]


def test_what_a_stream_cannot_be_opened_for_is_said_by_the_call():
    """Not by the first step, which a rehearsal times."""
    run = config(batch=8)
    with pytest.raises(ValueError, match="cannot be divided among 3 processes"):
        steps_from(0, open_dataset(run.data), run, ranks=3)


def test_processes_and_micro_batches_divide_every_batch_in_order():
    assert positions(taken(0, 2)) == [[list(range(8))], [list(range(8, 16))]]
    assert positions(taken(3, 1, rank=1, ranks=2, micro_batches=2)) == [[[28, 29], [30, 31]]]


@pytest.mark.parametrize("changes", [{"data": DataConfig(size=16, workers=2)}, {"micro_batches": 4}])
def test_an_example_is_the_same_whoever_takes_it(changes):
    whole = taken(0, 2)[1][0]
    parts = [part for rank in range(2) for part in taken(1, 1, rank, 2, **changes)[0]]
    for name, values in zip(whole.draws._fields, whole.draws, strict=True):
        assert torch.equal(torch.cat([getattr(part.draws, name) for part in parts]), values), name
    assert torch.equal(torch.cat([part.batch.images for part in parts]), whole.batch.images)


def test_steps_take_turns_in_sizes_wherever_a_run_begins():
    sizes, more = [16, 24, (16, 32)], {"more_sizes": (24, (16, 32))}
    whole = taken(0, 5, **more)
    for step, size in enumerate([*sizes, *sizes[:2]]):
        (batch, draws), (alone, _) = whole[step][0], taken(step, 1, data=DataConfig(size=size, workers=0))[0][0]
        assert torch.equal(batch.images, alone.images) and torch.equal(batch.ids, alone.ids)
        assert draws.noise.shape == batch.images.shape and draws.label.shape == batch.ids.shape
    later = taken(4, 1, rank=1, ranks=2, micro_batches=2, **more)[0]
    assert torch.equal(torch.cat([part.batch.images for part in later]), whole[4][0].batch.images[4:])


def in_buckets(root: Path) -> dict[str, object]:
    """5 square images, 2 wide ones and a high one, each of one colour by which it is known, and a bucket for each kind."""
    for number, size in enumerate([(20, 20)] * 5 + [(20, 40)] * 2 + [(40, 20)]):
        colors = np.full((*size, 3), 30 * number, np.uint8)
        trees.write(root, "folder", trees.random_label(number, size=size), colors, name=str(number))
    return {"data": trees.folder_config(root), "more_sizes": ((8, 16), (16, 8)), "buckets": True}


def shown(batches: list[Batch]) -> list[list[int]]:
    """The images of each batch, by their colours."""
    return [((batch.images[:, 0, 0, 0] + 1) * 127.5 / 30).round().int().tolist() for batch in batches]


def test_each_step_is_of_one_bucket_and_buckets_have_steps_as_they_have_images(tmp_path: Path) -> None:
    batches = [step[0].batch for step in taken(0, 16, **in_buckets(tmp_path))]
    sizes = [tuple(batch.ids.shape[1:]) for batch in batches]
    rounds = [Counter(sizes[:8]), Counter(sizes[8:])]
    assert rounds == [{(16, 16): 5, (8, 16): 2, (16, 8): 1}] * 2 and sizes[:8] != sizes[8:]
    own = {(16, 16): {0, 1, 2, 3, 4}, (8, 16): {5, 6}, (16, 8): {7}}
    assert all(set(images) <= own[size] for images, size in zip(shown(batches), sizes, strict=True))
    seen = Counter(image for images in shown(batches) for image in images)
    assert seen == dict.fromkeys(range(8), 16), "each as often as any other: in a round, as often as a batch has images"
    square = [image for images, size in zip(shown(batches), sizes, strict=True) if size == (16, 16) for image in images]
    assert all(len(set(square[start : start + 5])) == 5 for start in range(0, 80, 5)), (
        "once in each epoch of its bucket"
    )


@pytest.mark.parametrize("more", [{}, {"window": 8, "windows": 2}], ids=["whole", "windows"])
def test_an_example_of_a_bucket_is_the_same_whoever_takes_it_and_wherever_a_run_begins(tmp_path: Path, more) -> None:
    run = {**in_buckets(tmp_path), **more}
    whole = taken(0, 12, **run)
    assert {batch.ids.shape[1:] for batch in (step[0].batch for step in whole)} == (
        {(8, 8)} if more else {(16, 16), (8, 16), (16, 8)}
    )
    for step in range(12):
        halves = [taken(step, 1, rank, 2, micro_batches=2, **run)[0] for rank in range(2)]
        parts = [part for half in halves for part in half]
        (batch, draws) = whole[step][0]
        assert batch.positions.tolist() == list(range(8 * step, 8 * step + 8))
        assert torch.equal(torch.cat([part.batch.images for part in parts]), batch.images)
        assert torch.equal(torch.cat([part.batch.ids for part in parts]), batch.ids)
        for name, values in zip(draws._fields, draws, strict=True):
            assert torch.equal(torch.cat([getattr(part.draws, name) for part in parts]), values), name


def test_every_other_window_is_put_on_the_classes_that_are_chosen_where_an_image_shows_any() -> None:
    ids = np.zeros((64, 64), np.int64)
    ids[50, 20] = 3
    example = Example(np.zeros((3, 64, 64), np.uint8), ids, None, 0, 64)
    windows = [window(example, 16, (key,), (3,)) for key in range(200)]
    middles = [w.ids[8, 8] == 3 for w in windows]
    assert 80 < sum(middles) < 120, sum(middles)
    every = [window(example, 16, (key,), (3,), share=1.0).ids[8, 8] == 3 for key in range(20)]
    assert all(every), "or as large a share as is asked for"
    corner = np.zeros((64, 64), np.int64)
    corner[0, 63] = 3
    shown = [w.ids[0, 15] == 3 for key in range(200) if (w := window(example._replace(ids=corner), 16, (key,), (3,)))]
    assert 80 < sum(shown) < 120, "a window stays within the image"
    for key in range(20):
        others = window(example, 16, (key,), (5,)), window(example, 16, (key,))
        assert np.array_equal(others[0].ids, others[1].ids), "images without them are seen as ever"


def test_windows_are_put_on_classes_that_the_data_have() -> None:
    with pytest.raises(ValueError, match=r"no class 'raod': did you mean 'road'"):
        taken(0, 1, window=8, window_on=("raod",))


def test_buckets_without_images_are_refused(tmp_path: Path) -> None:
    run = in_buckets(tmp_path) | {"more_sizes": ((8, 16), (8, 64))}
    with pytest.raises(
        ValueError, match=r"no image whose proportions are nearest to \[8, 64\]: take it out of data.size"
    ):
        taken(0, 1, **run)


def test_draws_are_what_they_say():
    step, null, noise, label = draws_at(0, 5, (64, 64))
    assert 0 <= step < 1 and 0 <= null < 1 and step != null
    assert noise.shape == (3, 64, 64) and abs(noise.mean()) < 0.05 and abs(noise.std() - 1) < 0.05
    assert label.shape == (64, 64) and abs(label.mean() - 0.5) < 0.05 and label.min() >= 0 and label.max() < 1
    assert not torch.equal(noise, draws_at(0, 6, (64, 64)).noise) and not torch.equal(
        noise, draws_at(1, 5, (64, 64)).noise
    )


def test_a_share_of_the_layouts_is_sparse_and_the_same_ones_whoever_takes_them():
    whole, some = (torch.cat([step[0].batch.ids for step in taken(0, 8, sparse_share=share)]) for share in (0, 0.5))
    unpainted = (some == 14).float().mean((1, 2))
    assert ((some == whole) | (some == 14)).all()
    sparse = unpainted > 0
    assert torch.equal(some[~sparse], whole[~sparse]) and 0.3 < sparse.float().mean() < 0.7
    assert unpainted[sparse].min() > 0.3 and 0.6 < unpainted[sparse].mean() < 0.85
    halves = [taken(1, 1, rank, 2, sparse_share=0.5, micro_batches=2)[0] for rank in range(2)]
    assert torch.equal(torch.cat([part.batch.ids for half in halves for part in half]), some[8:16])
    every = taken(0, 1, sparse_share=1.0)[0][0].batch.ids
    assert ((every == 14).float().mean((1, 2)) > 0.3).all()


def hidden_by(step: int, **hiding) -> tuple[torch.Tensor, torch.Tensor]:
    """(B,) which layouts of a step are sparse, and (B, H, W) its draws of label diffusion."""
    batch, draws = taken(step, 1, sparse_share=0.5, hiding=HidingConfig(**hiding))[0][0]
    return (batch.ids == 14).flatten(1).any(1), draws.label


def test_sparse_layouts_may_be_left_out_of_label_diffusion():
    sparse, label = hidden_by(1)
    alone, own = hidden_by(1, both=False)
    assert torch.equal(sparse, alone) and 0 < sparse.sum() < len(sparse)
    assert torch.equal(own[~sparse], label[~sparse])
    labels = LabelMap(torch.zeros(own.shape, dtype=torch.int64), 14)
    masked = LabelDiffusion()(labels, torch.full((len(own),), 999), own).unpainted.flatten(1)
    assert not masked[sparse].any() and masked[~sparse].all()


def test_what_sparse_layouts_leave_open_may_be_a_class() -> None:
    masked, classed = (Drawing(0, 1.0, 14, unlabelled=label)(examples()).batch.ids for label in (None, 3))
    whole = Drawing(0, 0.0, 14)(examples()).batch.ids
    assert torch.equal(classed, masked.masked_fill(masked == 14, 3)) and (masked == 14).any()
    assert not torch.equal(classed, whole)
    with pytest.raises(ValueError, match=r"scenes have none for unlabelled pixels: set hiding\.removed to mask"):
        taken(0, 1, sparse_share=0.5, hiding=HidingConfig(removed="class"))


def examples() -> list[Example]:
    whole = taken(0, 1)[0][0].batch
    return [
        Example(image, ids, None, position)
        for image, ids, position in zip(whole.images, whole.ids, whole.positions.tolist(), strict=True)
    ]


def test_what_is_hidden_grows_with_the_steps_and_is_a_function_of_the_position():
    """Nothing in the 2 clean steps; then label diffusion at half its strength, and then all."""
    hiding = {"clean": 2, "label_noise": 2, "sparse": 2, "sparse_from": 1.0}
    for step, sparse_share, strength in ((1, 0, 0), (2, 1, 0), (3, 0.75, 0.5), (4, 0.5, 1), (9, 0.5, 1)):
        assert HidingConfig(**hiding).sparse_share_at(step, 0.5) == sparse_share
        sparse, label = hidden_by(step, **hiding)
        assert not sparse.any() if step < 2 else sparse.any()
        assert sparse.all() or step != 2
        plain = hidden_by(step)[1]
        assert torch.equal(label, plain / strength if strength else torch.ones_like(plain))
    own = {"sparse_share": 0.5, "hiding": HidingConfig(**hiding), "micro_batches": 2}
    whole = taken(0, 4, sparse_share=0.5, hiding=HidingConfig(**hiding))[3][0]
    halves = [part for rank in range(2) for part in taken(3, 1, rank, 2, **own)[0]]
    assert torch.equal(torch.cat([part.batch.ids for part in halves]), whole.batch.ids)
    assert torch.equal(torch.cat([part.draws.label for part in halves]), whole.draws.label)


def test_a_share_of_the_strength_masks_that_share_of_the_labels():
    u = torch.rand(1, 256, 256, generator=torch.Generator().manual_seed(0))
    labels, t = LabelMap(torch.zeros(1, 256, 256, dtype=torch.int64), 1), torch.tensor([799])
    masked = LabelDiffusion()(labels, t, u / 0.25).unpainted.float().mean()
    assert masked == pytest.approx(0.25 * 0.8, abs=0.01)


def test_sparse_layouts_have_the_borders_of_what_is_left():
    """As a model derives them from what people paint: the outlines of what is gone would give it away."""
    whole = taken(0, 1)[0][0].batch
    examples = [
        Example(image, ids, instance_borders(ids[None])[0], position)
        for image, ids, position in zip(whole.images, whole.ids, whole.positions.tolist(), strict=True)
    ]
    batch = Drawing(0, 0.5, 14)(examples).batch
    assert (batch.ids == 14).any() and (batch.ids == whole.ids).flatten(1).all(dim=1).any(), "some are sparse, some not"
    assert batch.edges is not None and torch.equal(batch.edges, instance_borders(batch.ids))


def test_a_share_of_the_layouts_is_rough_and_says_so_whoever_takes_them():
    changes = {"rough_share": 0.5, "roughness_null_rate": 0.25}
    exact, some = ([step[0].batch for step in taken(0, 16, **own)] for own in ({}, changes))
    ids, rough_ids = (torch.cat([batch.ids for batch in batches]) for batches in (exact, some))
    roughness = torch.cat([batch.roughness for batch in some])
    unknown, neat = roughness.isnan(), roughness == 0
    assert all(batch.roughness is None for batch in exact)
    assert 0.15 < unknown.float().mean() < 0.35 and 0.35 < neat.sum() / (~unknown).sum() < 0.65
    assert torch.equal(rough_ids[neat], ids[neat]) and not torch.equal(rough_ids[unknown], ids[unknown])
    strengths = roughness[~unknown & ~neat]
    assert strengths.min() < 0.15 and strengths.max() > 0.85 and strengths.max() <= 1
    assert (rough_ids != ids).flatten(1).any(dim=1)[roughness > 0.3].float().mean() > 0.7, "16 pixels show little"
    halves = [taken(1, 1, rank, 2, micro_batches=2, **changes)[0] for rank in range(2)]
    parts = [part.batch for half in halves for part in half]
    assert torch.equal(torch.cat([part.ids for part in parts]), rough_ids[8:16])
    taken_apart = torch.cat([part.roughness for part in parts])
    assert torch.equal(taken_apart.nan_to_num(-1), roughness[8:16].nan_to_num(-1))


def test_roughness_leaves_the_other_draws_alone():
    plain, rough = (taken(0, 1, sparse_share=0.5, rough_share=share)[0][0] for share in (0, 1))
    assert all(torch.equal(*pair) for pair in zip(plain.draws, rough.draws, strict=True))
    assert torch.equal(plain.batch.images, rough.batch.images)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_had_is_told_in_its_own_words(monkeypatch, workers):
    def fail(self, index):
        raise ValueError("no image can be read any more: a.jpg is damaged")

    monkeypatch.setattr("scdm.datasets.scene_set._Training.__getitem__", fail)
    with pytest.raises(ValueError, match=r"^no image can be read any more: a\.jpg is damaged$"):
        taken(0, 1, data=DataConfig(size=16, workers=workers))


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(ValueError, match="set batch to a multiple of 6"):
        taken(0, 1, ranks=3, micro_batches=2)
