"""The noisy benchmark: exact agreement with the published corruptions, and with Pillow for any size."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file

from scdm.corruption import CORRUPTIONS, corrupt, downsampled, edges_removed, random_removed, resampled
from scdm.labels import LabelMap, instance_borders

GOLDEN = load_file(Path(__file__).parent / "golden" / "data" / "label_corruptions.safetensors")
ADE20K = 150  # raw annotations: 0 = unlabelled, 1..150 = classes


def from_raw(raw: torch.Tensor) -> LabelMap:
    """Raw annotations as a layout: class k is id k - 1, unlabelled is MASK."""
    ids = raw.to(torch.int64) - 1
    return LabelMap.checked(torch.where(ids < 0, ADE20K, ids), ADE20K)


@pytest.mark.parametrize("case", range(3))
def test_downsampling_is_the_published_one(case: int) -> None:
    label, small, loaded = (GOLDEN[f"ds.{case}.{part}"][None] for part in ("label", "out", "loaded_256"))
    assert torch.equal(resampled(label, 64, 64), small)
    assert torch.equal(resampled(small, 256, 256), loaded)
    if label.shape[-2:] == (256, 256):
        assert torch.equal(downsampled(from_raw(label)).ids, from_raw(loaded).ids)


@given(st.integers(1, 400), st.integers(1, 400))
def test_resampling_is_pillows(source: int, target: int) -> None:
    """The positions are summed step by step, which decides the ties; Pillow itself is the judge."""
    row = torch.arange(source, dtype=torch.int32)[None]
    pillow = Image.fromarray(row.numpy()).resize((target, 1), Image.Resampling.NEAREST)
    assert resampled(row, 1, target).tolist() == np.asarray(pillow).tolist()


def test_downsampling_keeps_the_size_and_invents_no_class() -> None:
    labels = LabelMap(torch.randint(0, 5, (2, 97, 131), generator=torch.Generator().manual_seed(0)), 5)
    small = downsampled(labels, 8, 8)
    assert small.ids.shape == labels.ids.shape
    assert all(len(row.unique_consecutive()) <= 8 for row in small.ids[0])


def test_edge_removal_is_the_published_one() -> None:
    labels = from_raw(GOLDEN["edge.label"])
    borders = instance_borders(GOLDEN["edge.instance"])
    assert torch.equal(borders[:, 0], GOLDEN["edge.edges"].bool())
    assert torch.equal(edges_removed(labels, borders=borders).ids, from_raw(GOLDEN["edge.out"]).ids)


def test_edge_removal_takes_the_layouts_own_borders_first() -> None:
    """Two instances of one class: only the instance plane knows of their border."""
    labels = LabelMap(torch.zeros(1, 1, 8, dtype=torch.int64), 1)
    instances = torch.tensor([[[0, 0, 0, 0, 1, 1, 1, 1]]])
    with_edges = LabelMap(labels.ids, 1, instance_borders(instances))
    assert edges_removed(labels).ids.tolist() == labels.ids.tolist()
    assert edges_removed(with_edges, radius=1).ids.tolist() == [[[0, 0, 1, 1, 1, 1, 0, 0]]]
    with pytest.raises(ValueError, match="borders are"):
        edges_removed(labels, borders=torch.zeros(1, 1, 4, 4, dtype=torch.bool))


def test_random_removal_is_the_published_one() -> None:
    labels = from_raw(GOLDEN["random.label"])
    assert torch.equal(random_removed(labels, GOLDEN["random.u"]).ids, from_raw(GOLDEN["random.out"]).ids)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_seed_means_one_corruption(kind: str) -> None:
    """The same seed repeats itself, whatever the global generator does, and MASK pixels stay MASK."""
    ids = torch.arange(6).repeat_interleave(600).reshape(1, 60, 60)
    labels = LabelMap(ids, 5)
    first = corrupt(labels, kind, seed=3)
    torch.rand(1)
    assert torch.equal(first.ids, corrupt(labels, kind, seed=3).ids)
    assert kind == "downsample" or first.unpainted[labels.unpainted].all()


def test_randomness_follows_the_seed_alone() -> None:
    """Another seed, another pattern; a layout's pattern does not depend on how many follow it in the batch."""
    labels = LabelMap(torch.zeros(3, 64, 64, dtype=torch.int64), 5)
    removed = corrupt(labels, "random", seed=1)
    assert not torch.equal(removed.ids, corrupt(labels, "random", seed=2).ids)
    assert torch.equal(removed[:1].ids, corrupt(labels[:1], "random", seed=1).ids)
    assert removed.unpainted.double().mean().item() == pytest.approx(0.1, abs=0.01)


def test_unknown_corruption_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="downsample, edges, random"):
        corrupt(LabelMap(torch.zeros(1, 2, 2, dtype=torch.int64), 1), "blur", seed=0)
