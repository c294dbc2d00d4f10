"""The noisy benchmark: exact agreement with the published corruptions, and with Pillow for any size."""

from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scdm.diffusion.corruption import (
    CORRUPTIONS,
    about,
    corrupt,
    diffused,
    downsampled,
    edges_removed,
    removed_below,
    resampled,
    settings,
)
from scdm.diffusion.label_diffusion import LabelDiffusion
from scdm.diffusion.noise import fresh_label_noise
from scdm.files.options import Option
from scdm.layouts.labels import LabelMap, instance_borders
from scdm.layouts.patterns import sparse
from tests.parity import arrays, downsampled_cases

NAME = "data/label_corruptions"
RAW_CLASSES = 255  # raw annotations of 8 bits: 0 = unlabelled, 1..255 = classes


def from_raw(raw: torch.Tensor) -> LabelMap:
    """Raw annotations as a layout: class k is id k - 1, unlabelled is MASK."""
    ids = raw.to(torch.int64) - 1
    return LabelMap.checked(torch.where(ids < 0, RAW_CLASSES, ids), RAW_CLASSES)


@pytest.mark.parametrize("case", downsampled_cases())
def test_downsampling_is_the_published_one(case: int) -> None:
    golden = arrays(NAME, f"ds.{case}")
    label, small, loaded = (golden[part][None] for part in ("label", "out", "loaded_256"))
    assert torch.equal(resampled(label, 64, 64), small)
    assert torch.equal(resampled(small, 256, 256), loaded)
    if label.shape[-2:] == (256, 256):
        assert torch.equal(downsampled(from_raw(label), [0]).ids, from_raw(loaded).ids)


@given(st.integers(1, 400), st.integers(1, 400))
def test_resampling_is_pillows(source: int, target: int) -> None:
    """The positions are summed step by step, which decides the ties; Pillow itself is the judge."""
    row = torch.arange(source, dtype=torch.int32)[None]
    pillow = Image.fromarray(row.numpy()).resize((target, 1), Image.Resampling.NEAREST)
    assert resampled(row, 1, target).tolist() == np.asarray(pillow).tolist()


def test_downsampling_keeps_the_size_and_invents_no_class() -> None:
    labels = LabelMap(torch.randint(0, 5, (2, 97, 131), generator=torch.Generator().manual_seed(0)), 5)
    small = downsampled(labels, [0, 1], 8)
    assert small.ids.shape == labels.ids.shape
    assert all(len(row.unique_consecutive()) <= 8 for row in small.ids[0])


def test_edge_removal_is_the_published_one() -> None:
    golden = arrays(NAME, "edge")
    labels = from_raw(golden["label"])
    borders = instance_borders(golden["instance"])
    assert torch.equal(borders[:, 0], golden["edges"].bool())
    assert torch.equal(edges_removed(replace(labels, edges=borders), [0]).ids, from_raw(golden["out"]).ids)


def test_edge_removal_takes_the_layouts_own_borders_first() -> None:
    """Two instances of one class: only the instance plane knows of their border."""
    labels = LabelMap(torch.zeros(1, 1, 8, dtype=torch.int64), 1)
    instances = torch.tensor([[[0, 0, 0, 0, 1, 1, 1, 1]]])
    with_edges = LabelMap(labels.ids, 1, instance_borders(instances))
    assert edges_removed(labels, [0]).ids.tolist() == labels.ids.tolist()
    assert edges_removed(with_edges, [0], radius=1).ids.tolist() == [[[0, 0, 1, 1, 1, 1, 0, 0]]]


def test_random_removal_is_the_published_one() -> None:
    golden = arrays(NAME, "random")
    labels = from_raw(golden["label"])
    assert torch.equal(removed_below(labels, golden["u"], 0.1).ids, from_raw(golden["out"]).ids)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_a_seed_means_one_corruption(kind: str) -> None:
    """The same seed repeats itself, whatever the global generator does, and MASK pixels stay MASK."""
    ids = torch.arange(6).repeat_interleave(600).reshape(1, 60, 60)
    labels = LabelMap(ids, 5)
    first = corrupt(labels, kind, seed=3)
    torch.rand(1)
    assert torch.equal(first.ids, corrupt(labels, kind, seed=3).ids)
    assert kind == "downsample" or first.unpainted[labels.unpainted].all()


@pytest.mark.parametrize("kind", ["random", "patterns", "diffuse"])
def test_randomness_follows_the_seed_alone(kind: str) -> None:
    """Each image of a batch is corrupted by its own seed alone."""
    labels = LabelMap(torch.zeros(3, 64, 64, dtype=torch.int64), 5)
    removed = corrupt(labels, kind, seed=1)
    for i in range(3):
        assert torch.equal(removed[i : i + 1].ids, corrupt(labels[:1], kind, seed=1 + i).ids)
    assert len({image.numpy().tobytes() for image in removed.ids}) == 3
    assert torch.equal(corrupt(labels, kind, seed=2**63 - 1)[1:].ids, corrupt(labels[:2], kind, seed=0).ids)


def test_the_benchmarks_settings_are_the_defaults() -> None:
    labels = LabelMap(torch.arange(5).repeat(20 * 20).view(1, 20, 100), 5).resized(200, 200)
    assert torch.equal(corrupt(labels, "downsample", 0).ids, downsampled(labels, [0]).ids)
    assert torch.equal(corrupt(labels, "edges", 0).ids, edges_removed(labels, [0]).ids)
    assert corrupt(labels, "random", 0).unpainted.double().mean().item() == pytest.approx(0.1, abs=0.01)
    assert torch.equal(corrupt(labels, "patterns", 3).ids, sparse(labels, [3], 0.72).ids)
    assert torch.equal(corrupt(labels, "diffuse", 3).ids, diffused(labels, [3], 500).ids)
    defaults = {
        "downsample": {"size": 64},
        "edges": {"radius": 2},
        "random": {"share": 0.1},
        "patterns": {"share": 0.72},
        "diffuse": {"step": 500, "rates": None},
    }
    assert {kind: {name: setting.default for name, setting in settings(kind).items()} for kind in defaults} == defaults


def test_strength_is_what_is_asked_for() -> None:
    labels = LabelMap(torch.arange(2).repeat_interleave(50).expand(1, 100, 100), 2)
    assert torch.equal(corrupt(labels, "downsample", 0, size=3).ids, downsampled(labels, [0], 3).ids)
    assert corrupt(labels, "edges", 0, radius=5).unpainted.sum() == 12 * 100
    assert torch.equal(corrupt(labels, "edges", 0, radius=0).ids, edges_removed(labels, [0], 0).ids)
    for share in (0.4, 0.95):
        for kind in ("random", "patterns"):
            corrupted = corrupt(labels, kind, 0, share=share)
            assert corrupted.unpainted.double().mean().item() == pytest.approx(share, abs=0.02)


def test_diffusion_is_that_of_the_model() -> None:
    """The draws are those of sampling with the same seed, and the rates tell the classes apart."""
    labels = LabelMap(torch.arange(2).repeat(2, 50, 50), 2)
    t = torch.tensor([300, 300])
    masked = LabelDiffusion((1.0, 1000.0))(labels, t, fresh_label_noise([7, 8])(t, labels.ids.shape))
    assert torch.equal(corrupt(labels, "diffuse", 7, step=300, rates=(1.0, 1000.0)).ids, masked.ids)
    assert corrupt(labels, "diffuse", 0, step=999).unpainted.all()


@pytest.mark.parametrize(
    ("kind", "seed", "strength", "complaint"),
    [
        ("edges", 0, {"share": 0.5}, "corruption edges has no setting 'share', but radius"),
        ("diffuse", 0, {"radius": 5}, "corruption diffuse has no setting 'radius', but step and rates"),
        ("random", -1, {}, r"seed must be a whole number from 0 to 2\^63 - 1, not -1"),
        ("random", 2**63, {}, "not 9223372036854775808"),
        ("downsample", 0, {"size": 0}, "downsample: size must be a whole number from 1 to 8192, not 0"),
        ("downsample", 0, {"size": 8193}, "from 1 to 8192, not 8193"),
        ("edges", 0, {"radius": -1}, "edges: radius must be a whole number from 0 to 64, not -1"),
        ("edges", 0, {"radius": 65}, "not 65"),
        ("random", 0, {"share": 1.0}, "random: share must be a number from 0 and below 1, not 1.0"),
        ("random", 0, {"share": float("nan")}, "from 0 and below 1, not nan"),
        ("patterns", 0, {"share": -0.1}, "patterns: share must be a number from 0 and below 1, not -0.1"),
        ("diffuse", 0, {"step": 1000}, "diffuse: step must be a whole number from 0 to 999, not 1000"),
        ("diffuse", 0, {"step": -1}, "from 0 to 999, not -1"),
        ("diffuse", 0, {"rates": (1.0, 2.0)}, "class rates for 2 classes, the layout has 1"),
    ],
)
def test_what_cannot_be_asked_for(kind: str, seed: int, strength: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        corrupt(LabelMap(torch.zeros(1, 2, 2, dtype=torch.int64), 1), kind, seed, **strength)


def test_a_corruption_is_a_function_and_a_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(
        labels: LabelMap, seeds: list[int], by: Annotated[int, Option("pixels to the right", ge=0, le=9)] = 1
    ) -> LabelMap:
        """Shifted to the right."""
        return replace(labels, ids=labels.ids.roll(by, dims=2))

    monkeypatch.setitem(CORRUPTIONS, "shift", shifted)
    labels = LabelMap(torch.tensor([[[0, 1, 2]]]), 3)
    assert corrupt(labels, "shift", 0).ids.tolist() == [[[2, 0, 1]]]
    assert corrupt(labels, "shift", 0, by=2).ids.tolist() == [[[1, 2, 0]]]
    assert about("shift") == "Shifted to the right"
    with pytest.raises(ValueError, match="shift: by must be a whole number from 0 to 9, not 10"):
        corrupt(labels, "shift", 0, by=10)


def test_unknown_corruption_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="downsample, edges, random, patterns, diffuse"):
        corrupt(LabelMap(torch.zeros(1, 2, 2, dtype=torch.int64), 1), "blur", seed=0)
