"""Sparse layouts: how much is left, that it is painted rather than sprinkled, and that a seed alone decides."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scdm.datasets.scenes import render
from scdm.diffusion.corruption import corrupt
from scdm.layouts.labels import LabelMap, instance_borders
from scdm.layouts.patterns import sparse

SCENES = LabelMap(torch.stack([torch.from_numpy(render(i, seed=1)[1]).long() for i in range(16)]), 14)


def patchwork(batch: int, classes: int, size: int, block: int) -> LabelMap:
    """Square patches of random classes."""
    shape = batch, size // block, size // block
    ids = torch.randint(0, classes, shape, generator=torch.Generator().manual_seed(classes))
    return LabelMap(ids, classes).resized(size, size)


def masked(labels: LabelMap) -> torch.Tensor:
    """(B,) share of MASK"""
    return labels.unpainted.double().mean(dim=(1, 2))


def counts(labels: LabelMap) -> torch.Tensor:
    """(B, C) pixels of each class"""
    return labels.one_hot().sum(dim=(2, 3))


@pytest.mark.parametrize(
    "labels",
    [
        SCENES,
        SCENES.resized(37, 150),
        patchwork(4, classes=1, size=32, block=32),
        patchwork(4, classes=200, size=32, block=2),
        patchwork(4, classes=200, size=128, block=8),
        patchwork(1, classes=30, size=512, block=64),
    ],
    ids=["scenes", "wide", "one class", "specks", "200 classes", "large"],
)
@pytest.mark.parametrize("share", [0.1, 0.4, 0.6, 0.72, 0.8, 0.95])
def test_the_share_is_met(labels: LabelMap, share: float) -> None:
    left = sparse(labels, range(labels.batch), share)
    assert (masked(left) - share).abs().max() < 0.02
    assert ((left.ids == labels.ids) | left.unpainted).all()


def test_without_a_share_each_image_draws_its_own() -> None:
    """u^(9/16) has mean 16/25, hence 0.4 + 0.5 * 0.64 = 0.72, and its median is near 0.74."""
    shares = torch.cat([masked(sparse(SCENES, range(first, first + 16))) for first in range(0, 512, 16)])
    assert 0.38 < shares.min() < 0.45 and 0.87 < shares.max() < 0.92
    assert shares.mean().item() == pytest.approx(0.72, abs=0.015)
    assert shares.median().item() == pytest.approx(0.4 + 0.5 * 0.5 ** (9 / 16), abs=0.025)


def test_what_was_unpainted_counts() -> None:
    half = SCENES.masked(torch.arange(64) < 32)
    assert (masked(sparse(half, range(16), 0.8)) - 0.8).abs().max() < 0.02
    assert torch.equal(sparse(half, range(16), 0.4).ids, half.ids)
    assert torch.equal(sparse(SCENES, range(16), 0).ids, SCENES.ids)
    assert sparse(SCENES.blank(), range(16)).unpainted.all()


def test_a_seed_alone_decides_about_an_image() -> None:
    together = sparse(SCENES, range(16))
    torch.rand(1)
    for i in range(16):
        assert torch.equal(sparse(SCENES[i : i + 1], [i]).ids, together.ids[i : i + 1])
    same = SCENES[:1].expanded(2)
    first, second = sparse(same, [0, 1], 0.72).ids
    assert not torch.equal(first, second)


def test_it_is_painted_and_not_sprinkled() -> None:
    """Nearly every pixel that is left has a neighbour of its class that is left too; not so among random pixels."""

    def lonely(labels: LabelMap) -> float:
        padded = torch.nn.functional.pad(labels.ids, (1, 1, 1, 1), value=labels.mask_id)
        neighbours = padded[:, 1:-1, :-2], padded[:, 1:-1, 2:], padded[:, :-2, 1:-1], padded[:, 2:, 1:-1]
        alone = torch.stack([labels.ids != other for other in neighbours]).all(dim=0)
        return alone[~labels.unpainted].double().mean().item()

    for share in (0.4, 0.72, 0.95):
        assert lonely(sparse(SCENES, range(16), share)) < 0.02
        assert lonely(corrupt(SCENES, "random", 0, share=share)) > 10 * lonely(sparse(SCENES, range(16), share))


def test_classes_are_kept_dropped_and_patterned_each_by_itself() -> None:
    """None of it is the rule, nor tied to a class: over the seeds everything happens to each of them."""
    labels = LabelMap(torch.arange(8).view(1, 2, 4), 8).resized(64, 64)
    left = counts(sparse(labels.expanded(200), range(200), 0.6)) / counts(labels)  # (200, 8)
    for fate in (left == 0, left == 1, (left > 0.1) & (left < 0.9)):
        assert (fate.double().mean(dim=0) > 0.05).all()
        assert (fate.double().mean(dim=0) < 0.8).all()


def test_a_pattern_may_be_coarse_or_fine() -> None:
    """On one big square: the length of the borders of what is left, at the same share, differs several times over."""
    square = patchwork(1, classes=1, size=64, block=64).expanded(100)
    lengths = instance_borders(sparse(square, range(100), 0.7).ids).sum(dim=(1, 2, 3)).double()
    assert lengths.quantile(0.95) > 2.5 * lengths.quantile(0.05)


def test_borders_tell_nothing_of_what_is_gone() -> None:
    """They are those that a model finds in a painted layout."""
    left = sparse(LabelMap(SCENES.ids, 14, instance_borders(SCENES.ids)), range(16))
    assert left.edges is not None and torch.equal(left.edges, instance_borders(left.ids))
    assert sparse(SCENES, range(16)).edges is None


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**63 - 1), st.floats(0, 0.99))
def test_any_layout_can_be_thinned(height: int, width: int, classes: int, seed: int, share: float) -> None:
    """Down to a single pixel, of noise with MASK in it. Too much is left only by the 2 points."""
    ids = torch.randint(0, classes + 1, (1, height, width), generator=torch.Generator().manual_seed(seed))
    labels = LabelMap(ids, classes)
    left = sparse(labels, [seed], share)
    assert ((left.ids == labels.ids) | left.unpainted).all()
    if height * width >= 400:
        assert masked(left) > share - 0.02
