"""LabelMap: MASK is one idea, ids survive the way there and back, the published conditions come out to the bit."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from scdm.layouts import labels as labels_module
from scdm.layouts.labels import LabelMap, instance_borders, require_same_classes
from tests import parity


@st.composite
def layouts(draw: st.DrawFn) -> LabelMap:
    """Layouts of any small size and class count, MASK included, with borders or without."""
    num_classes = draw(st.integers(1, 9))
    shape = draw(st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)))
    ids = torch.from_numpy(draw(arrays(np.int64, shape, elements=st.integers(0, num_classes))))
    return LabelMap(ids, num_classes, instance_borders(ids) if draw(st.booleans()) else None)


@given(layouts())
def test_one_hot_marks_the_class_of_a_pixel_and_nothing_where_it_is_unpainted(labels: LabelMap) -> None:
    y = labels.one_hot()
    classes = y[:, : labels.num_classes]

    assert torch.equal(classes.sum(dim=1) == 0, labels.unpainted)
    assert torch.equal(classes.argmax(dim=1)[~labels.unpainted], labels.ids[~labels.unpainted])
    assert y.shape[1] == labels.num_classes + (labels.edges is not None)


def test_layouts_of_another_number_of_classes_are_refused() -> None:
    require_same_classes("the layout", 3, "the model", 3)
    with pytest.raises(ValueError, match="the layout has 3 classes, the model expects 4"):
        require_same_classes("the layout", 3, "the model", 4)


@given(layouts())
def test_blank_is_the_null_condition(labels: LabelMap) -> None:
    """All MASK without borders is all zeros; blanking some samples leaves the others alone."""
    assert labels.blank().one_hot().abs().sum() == 0
    first = torch.arange(labels.batch) == 0
    some = labels.blank(first)
    assert some[:1].one_hot().abs().sum() == 0
    assert torch.equal(some.one_hot()[1:], labels.one_hot()[1:])


@given(layouts(), st.integers(1, 12), st.integers(1, 12))
def test_resized_reads_the_nearest_pixel(labels: LabelMap, height: int, width: int) -> None:
    resized = labels.resized(height, width)
    rows = [i * labels.height // height for i in range(height)]
    columns = [j * labels.width // width for j in range(width)]
    assert torch.equal(resized.ids, labels.ids[:, rows][:, :, columns])


def test_masked_returns_a_new_layout_and_keeps_borders() -> None:
    ids = torch.tensor([[[0, 1], [1, 1]]])
    labels = LabelMap(ids, 2, instance_borders(ids))
    masked = labels.masked(ids == 1)
    assert masked.ids.tolist() == [[[0, 2], [2, 2]]]
    assert labels.ids.tolist() == [[[0, 1], [1, 1]]]
    assert masked.edges is not None and torch.equal(masked.edges, instance_borders(ids))


@given(layouts())
def test_shares_are_of_all_pixels_and_the_largest_first(labels: LabelMap) -> None:
    shares = labels.shares()
    assert shares == sorted(
        ((i, (labels.ids == i).sum().item() / labels.ids.numel()) for i, _ in shares), key=lambda s: -s[1]
    )
    assert {i for i, _ in shares} == set(labels.ids.unique().tolist())


def test_borders_are_bool_and_lie_where_the_layout_does() -> None:
    ids = torch.zeros(1, 2, 3, dtype=torch.int64)
    for edges in (torch.zeros(1, 1, 2, 3), torch.zeros(1, 2, 3, dtype=torch.bool)):
        with pytest.raises(
            ValueError, match=r"instance borders must be bool \(1, 1, 2, 3\) on cpu like the layout, not "
        ):
            LabelMap(ids, 2, edges)
    with pytest.raises(ValueError, match=r"on cpu like the layout, not bool .* on meta"):
        LabelMap(ids, 2, torch.zeros(1, 1, 2, 3, dtype=torch.bool, device="meta"))


def test_one_layout_serves_many_images() -> None:
    one = LabelMap(torch.zeros(1, 2, 2, dtype=torch.int64), 3)
    assert one.expanded(4).ids.shape == (4, 2, 2)
    with pytest.raises(ValueError, match="4 layouts cannot serve 3 images"):
        one.expanded(4).expanded(3)


def test_layouts_from_outside_are_checked() -> None:
    assert LabelMap.checked(torch.zeros(2, 3, dtype=torch.uint8), 1).ids.shape == (1, 2, 3)
    with pytest.raises(ValueError, match=r"holds id 7, but there are 3 classes \(0\.\.2"):
        LabelMap.checked(torch.tensor([[0, 7]]), 3)
    with pytest.raises(ValueError, match=r"integers, not torch\.float32"):
        LabelMap.checked(torch.tensor([[0.5, 1]]), 3)
    with pytest.raises(ValueError, match="holds id -1"):
        LabelMap.checked(torch.tensor([[0, -1]]), 3)
    with pytest.raises(ValueError, match="empty"):
        LabelMap.checked(torch.zeros(0, 4, dtype=torch.int64), 3)


@pytest.mark.parametrize("case", parity.numbers("data/instance_edges"))
def test_instance_borders_are_the_published_ones(case: int) -> None:
    golden = parity.arrays("data/instance_edges")
    assert torch.equal(instance_borders(golden[f"{case}.map"])[:, 0], golden[f"{case}.edges"].bool())


def test_condition_is_the_published_one() -> None:
    """Class channels in the order of the ids, then the border channel; all of it exact."""
    golden = parity.arrays("data/condition")
    labels = LabelMap.checked(golden["label"], 6)
    with_borders = LabelMap.checked(golden["label"], 6, instance_borders(golden["instance"]))

    assert torch.equal(labels.one_hot(torch.uint8), golden["y_without_edge"])
    assert torch.equal(with_borders.one_hot(torch.uint8), golden["y_with_edge"])


def test_masking_the_unlabelled_class_zeroes_its_channel() -> None:
    """The published sampling option that zeroes the last channel is MASK where the last class was."""
    golden = parity.arrays("data/condition")
    labels = LabelMap.checked(golden["label"], 6)
    masked = labels.masked(labels.ids == 5)
    assert torch.equal(masked.one_hot(torch.uint8), golden["y_without_edge_last_zeroed"])
    without_borders = LabelMap(labels.ids, 6, torch.zeros_like(labels.ids, dtype=torch.bool)[:, None])
    assert torch.equal(without_borders.one_hot(torch.uint8), golden["y_with_edge_last_zeroed"])  # the last is theirs


def of_parts(ids: torch.Tensor, mask_id: int, height: int, width: int) -> torch.Tensor:
    """`LabelMap.reduced` pixel by pixel."""
    rows, columns = ids.shape
    made = torch.empty(height, width, dtype=torch.int64)
    for i, j in itertools.product(range(height), range(width)):
        votes: dict[int, int] = {}
        for r, c in itertools.product(range(rows), range(columns)):
            high = min((r + 1) * height, (i + 1) * rows) - max(r * height, i * rows)
            wide = min((c + 1) * width, (j + 1) * columns) - max(c * width, j * columns)
            if high > 0 and wide > 0:
                votes[int(ids[r, c])] = votes.get(int(ids[r, c]), 0) + high * wide
        if 2 * votes.get(mask_id, 0) <= sum(votes.values()):
            votes.pop(mask_id, None)
        most = [class_id for class_id, count in votes.items() if count == max(votes.values())]
        nearest = int(ids[i * rows // height, j * columns // width])
        made[i, j] = nearest if nearest in most else min(most)
    return made


@settings(deadline=None, max_examples=60)
@given(arrays(np.int64, st.tuples(*[st.integers(1, 7)] * 2), elements=st.integers(0, 3)), st.data())
def test_a_layout_shrinks_by_majority(ids: np.ndarray, data: st.DataObject) -> None:
    height, width = (data.draw(st.integers(1, side)) for side in ids.shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels_module, "VOTES", data.draw(st.sampled_from([1, 20, 2**22])))
        made = LabelMap(torch.from_numpy(ids)[None], 3).reduced(height, width)
    assert torch.equal(made.ids[0], of_parts(torch.from_numpy(ids), 3, height, width))


def test_what_grows_is_resized_also_on_one_side() -> None:
    labels = LabelMap(torch.tensor([[[0, 0, 1, 1], [0, 0, 1, 1]]]), 2)
    assert torch.equal(labels.reduced(4, 8).ids, labels.resized(4, 8).ids)
    assert labels.reduced(4, 2).ids.tolist() == [[[0, 1]] * 4]


def test_soft_edges_leave_no_holes_in_a_shrunken_layout() -> None:
    """A stroke of 512 pixels with an unpainted seam of two pixels around it, at 64."""
    rows, columns = torch.meshgrid(torch.arange(512), torch.arange(512), indexing="ij")
    distance = ((rows - 250.0) ** 2 + (columns - 260.0) ** 2).sqrt()
    ids = torch.where(distance < 100, 1, torch.where(distance < 102, 2, 0))[None]
    labels = LabelMap(ids, 2)
    assert labels.resized(64, 64).unpainted.any() and not labels.reduced(64, 64).unpainted.any()


def test_borders_of_instances_survive_shrinking() -> None:
    edges = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    edges[..., 3] = True
    made = LabelMap(torch.zeros(1, 8, 8, dtype=torch.int64), 1, edges).reduced(2, 2)
    assert made.edges is not None and made.edges[0, 0].tolist() == [[True, False]] * 2


def test_roughness_goes_where_its_layout_goes() -> None:
    labels = LabelMap(torch.zeros(2, 4, 4, dtype=torch.int64), 3, roughness=torch.tensor([0.25, torch.nan]))
    assert labels[:1].expanded(3).roughness.tolist() == [0.25] * 3
    for same in (labels.resized(8, 8), labels.reduced(2, 2), labels.masked(torch.tensor(True)), labels.to("cpu")):
        assert same.roughness.nan_to_num(-1).tolist() == [0.25, -1]
    assert labels.to("meta").roughness.is_meta


def test_the_null_condition_has_no_roughness() -> None:
    labels = LabelMap(torch.zeros(2, 4, 4, dtype=torch.int64), 3, roughness=torch.tensor([0.25, 0.5]))
    assert labels.blank().roughness.isnan().all()
    assert labels.blank(torch.tensor([True, False])).roughness.nan_to_num(-1).tolist() == [-1, 0.5]
    assert LabelMap(labels.ids, 3).blank().roughness is None


@pytest.mark.parametrize("roughness", [torch.zeros(1), torch.zeros(2, 1), torch.zeros(2, dtype=torch.float64)])
def test_roughness_is_a_float32_of_each_layout(roughness: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"roughness must be float32 \(2,\) on cpu like the layout, not float"):
        LabelMap(torch.zeros(2, 4, 4, dtype=torch.int64), 3, roughness=roughness)
