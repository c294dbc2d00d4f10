"""Label diffusion: the published probabilities and masks, what an absorbing process owes, and where rates come from."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scdm import assets
from scdm.diffusion.label_diffusion import LabelDiffusion, estimate_rates, shipped_rates
from scdm.diffusion.schedules import NoiseSchedule
from scdm.layouts.labels import LabelMap, instance_borders
from tests.parity import RATES, arrays, class_statistics, tensors

KEEP = "diffusion/label_keep_probability"
USED = "psiphi_used_"
DATASETS = [name.removeprefix(USED) for name in tensors(KEEP) if name.startswith(USED)]
UNIFORM = [name for name in tensors(KEEP) if name.startswith("keep_uniform_")]
CHAINS = [name for name in tensors("diffusion/beta_schedules") if name.startswith("label_uniform_keep_")]
MASKS = sorted({name.rpartition(".")[0] for name in tensors("diffusion/label_masks")})


@pytest.mark.parametrize("dataset", DATASETS)
def test_shipped_rates_are_the_published_ones(dataset: str) -> None:
    assert list(shipped_rates(RATES[dataset])) == arrays(KEEP)[f"psiphi_used_{dataset}"].tolist()


@pytest.mark.parametrize("dataset", DATASETS)
def test_classwise_probabilities_are_the_published_ones(dataset: str) -> None:
    golden = arrays(KEEP)
    rates = shipped_rates(RATES[dataset])
    keep = 1 - LabelDiffusion(rates).mask_probability(golden["t"], len(rates))
    assert (keep - golden[f"keep_{dataset}"]).abs().max() <= 1e-7


def visited_by(process: str) -> np.ndarray:
    return NoiseSchedule.named("linear").respaced("" if process == "full" else process).timesteps


@pytest.mark.parametrize("case", UNIFORM)
def test_uniform_probabilities_are_the_published_ones(case: str) -> None:
    visited = visited_by(case.removeprefix("keep_uniform_"))
    masked = LabelDiffusion().respaced(visited).mask_probability(torch.from_numpy(visited), 4)
    assert (1 - masked[:, 0] - arrays(KEEP)[case]).abs().max() <= 1e-7
    assert torch.equal(masked, masked[:, :1].expand(-1, 4))


@pytest.mark.parametrize("case", CHAINS)
def test_uniform_diffusion_loses_one_pixel_in_what_is_left(case: str) -> None:
    """As a Markov chain: at step i each remaining label is lost with probability 1 / (N - i)."""
    golden, steps = arrays("diffusion/beta_schedules"), int(case.rpartition("_")[2])
    keep = 1 - LabelDiffusion(timesteps=tuple(range(steps))).mask_probability(torch.arange(steps), 1)[:, 0].numpy()
    assert np.abs(keep - golden[case].numpy()).max() <= 1e-12
    betas = 1 - keep / np.append(1.0, keep[:-1])
    assert np.abs(betas - golden[f"label_uniform_betas_{steps}"].numpy()).max() <= 1e-12


@pytest.mark.parametrize("case", MASKS)
def test_masks_are_the_published_ones(case: str) -> None:
    """Exactly, for the recorded draws."""
    golden = arrays("diffusion/label_masks", case)
    dataset, process = case.split(".")
    visited = visited_by(process)
    diffusion = LabelDiffusion(shipped_rates(RATES[dataset]) if dataset in RATES else None).respaced(visited)
    num_classes = len(diffusion.rates or ()) or int(golden["label"].max()) + 1
    labels = LabelMap.checked(golden["label"], num_classes)
    t = torch.from_numpy(visited)[golden["t"]]
    assert torch.equal(t, golden.get("t_original", t))

    diffused = diffusion(labels, t, golden["u"][..., 0])

    kept = golden["kept"].bool()
    assert torch.equal(diffused.unpainted, ~kept)
    assert torch.equal(diffused.ids[kept], labels.ids[kept])
    if "out_onehot" in golden:
        assert torch.equal(diffused.one_hot(), golden["out_onehot"])


# What an absorbing process owes


RATES_OF_ANY_SIZE = st.floats(0, 1e4).filter(lambda rate: abs(rate - 1) > 1e-3)  # at 1 see below


@st.composite
def diffusions(draw: st.DrawFn) -> LabelDiffusion:
    visited = NoiseSchedule.named("linear").respaced(draw(st.integers(2, 1000))).timesteps
    rates = draw(st.none() | st.lists(RATES_OF_ANY_SIZE, min_size=3, max_size=3).map(tuple))
    return LabelDiffusion(rates).respaced(visited)


@given(diffusions())
def test_labels_fade_ever_more_and_never_come_back(diffusion: LabelDiffusion) -> None:
    masked = diffusion.mask_probability(torch.tensor(diffusion.timesteps), 3)
    assert masked.dtype == torch.float64
    assert ((masked >= 0) & (masked <= 1)).all() and (masked.diff(dim=0) >= -1e-12).all()
    coupled = torch.full((2, 1, 3), 0.5, dtype=torch.float64)
    earlier, later = diffusion.timesteps[0], diffusion.timesteps[-1]
    labels = LabelMap(torch.arange(3).expand(2, 1, 3), 3)
    diffused = diffusion(labels, torch.tensor([earlier, later]), coupled)
    assert (diffused.unpainted[1] | ~diffused.unpainted[0]).all()


@given(RATES_OF_ANY_SIZE, RATES_OF_ANY_SIZE, st.integers(0, 999))
def test_the_larger_the_rate_the_longer_a_class_lasts(one: float, other: float, t: int) -> None:
    masked = LabelDiffusion((max(one, other), min(one, other))).mask_probability(torch.tensor([t]), 2)[0]
    assert masked[0] <= masked[1] + 2e-4  # the 1e-7 of the published formula, at its worst
    assert masked[1] <= t / 1000 + 1e-6


@pytest.mark.parametrize("rate", [0.0, 0.5, 0.999, 1 - 1e-7, 1.0, 1 + 1e-9])
def test_rates_up_to_one_fade_linearly(rate: float) -> None:
    """One is the plainest rate that there is; the published formula divides by zero beside it."""
    t = torch.arange(0, 1000, 50)
    masked = LabelDiffusion((rate,)).mask_probability(t, 1)[:, 0]
    assert (masked - t / 1000).abs().max() <= 1e-6


def test_mask_and_borders_stay_as_they_are() -> None:
    ids = torch.tensor([[[0, 1, 2, 2], [1, 1, 2, 0]]])
    labels = LabelMap(ids, 2, instance_borders(ids))
    nothing_drawn = LabelDiffusion((5.0, 5.0))(labels, torch.tensor([0]), torch.ones(1, 2, 4))
    everything_drawn = LabelDiffusion((5.0, 5.0))(labels, torch.tensor([999]), torch.zeros(1, 2, 4))
    assert torch.equal(nothing_drawn.ids, ids)
    assert everything_drawn.unpainted.all()
    assert everything_drawn.edges is not None and torch.equal(everything_drawn.edges, instance_borders(ids))


def test_each_image_of_a_batch_has_its_own_step() -> None:
    labels = LabelMap(torch.zeros(2, 8, 8, dtype=torch.int64), 1)
    u = torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(0))
    both = LabelDiffusion()(labels, torch.tensor([100, 900]), u)
    assert torch.equal(both[1:].ids, LabelDiffusion()(labels[1:], torch.tensor([900]), u[1:]).ids)
    assert both.unpainted[0].sum() < both.unpainted[1].sum()


def test_rates_must_be_rates_of_these_classes() -> None:
    with pytest.raises(ValueError, match="finite and not negative"):
        LabelDiffusion((1.0, -1.0))
    with pytest.raises(ValueError, match="finite and not negative"):
        LabelDiffusion((float("nan"),))
    with pytest.raises(ValueError, match="rates for 2 classes, the layout has 3"):
        LabelDiffusion((1.0, 2.0)).mask_probability(torch.tensor([0]), 3)


# Where rates come from


def rank_correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(np.argsort(np.argsort(one)), np.argsort(np.argsort(other)))[0, 1])


def deviations(data: str, classes: slice = slice(None), **settings: Any) -> tuple[float, float, float]:
    """Of estimated rates from the published ones, relative: in the median, in nine of ten; and their rank correlation."""
    pixels, images = class_statistics(data)
    estimated, published = (
        np.array(estimate_rates(pixels, images, **settings)),
        np.array(shipped_rates(data))[: len(pixels)],
    )
    estimated, published = (rates[classes][images[classes] > 0] for rates in (estimated, published))
    off = np.abs(estimated / published - 1)
    return float(np.median(off)), float(np.quantile(off, 0.9)), rank_correlation(estimated, published)


@pytest.mark.parametrize(
    ("data", "classes", "settings", "expected"),
    [
        ("celebamask_hq", slice(None), {}, (0.040, 0.353, 0.992)),
        ("coco_stuff", slice(None), {}, (0.100, 0.360, 0.934)),
        ("coco_stuff", slice(91), {}, (0.066, 0.222, 0.990)),  # things
        ("coco_stuff", slice(91, None), {}, (0.158, 0.531, 0.848)),
        ("ade20k", slice(None), {"coverage": "all", "scale": 0.282}, (0.032, 0.126, 0.995)),
        ("ade20k", slice(None), {}, (0.927, 0.986, 0.610)),  # another rule than the others'
        ("celebamask_hq", slice(None), {"rarity": "none"}, (0.052, 0.693, 0.944)),  # what rarity is needed for
        ("coco_stuff", slice(None), {"rarity": "none"}, (0.738, 0.828, 0.880)),
    ],
)
def test_estimated_rates_are_nearly_the_published_ones(
    data: str, classes: slice, settings: dict[str, Any], expected: tuple[float, float, float]
) -> None:
    assert deviations(data, classes, **settings) == pytest.approx(expected, abs=0.0006)


def test_parts_of_a_face_that_nothing_covers_have_the_published_rates() -> None:
    """Masks lie over each other, later ones on top: of what others cover the published rates are larger, of none smaller."""
    names = json.loads((assets.folder() / "classes" / "celebamask_hq.json").read_text(encoding="utf-8"))["classes"]
    published = np.array(shipped_rates("celebamask_hq"))
    ratio = dict(
        zip(
            (entry["key"] for entry in names),
            published / estimate_rates(*class_statistics("celebamask_hq")),
            strict=True,
        )
    )
    assert min(ratio[entry["key"]] for entry in names[1:]) > 0.995
    assert [ratio[part] for part in ("cloth", "hat", "l_lip", "nose", "hair")] == pytest.approx([1] * 5, abs=0.015)
    assert [ratio[part] for part in ("cloth", "hat")] == pytest.approx([1, 1], abs=0.004)  # on top of all
    assert [ratio[part] for part in ("neck_l", "l_ear", "r_ear", "skin")] == pytest.approx([2, 1.5, 1.5, 1.3], abs=0.06)


def test_the_most_frequent_classes_of_ade20k_have_less_than_the_least_rarity() -> None:
    pixels, images = class_statistics("ade20k")
    published = np.array(shipped_rates("ade20k"))[: len(images)]
    estimated = np.array(estimate_rates(pixels, images, coverage="all", scale=0.282))
    frequent = images > 1 / np.e
    assert frequent.sum() == 3 and (estimated[frequent] > 1.1 * published[frequent]).all()
    assert (published[0], estimated[0]) == pytest.approx((0.999, 1.79), abs=0.005)  # wall
    assert 0.282 * np.log(1 / images[frequent]) / pixels[frequent] == pytest.approx(published[frequent], rel=0.02)


def test_classes_of_coco_stuff_that_never_occur_have_the_published_rate() -> None:
    pixels, images = class_statistics("coco_stuff")
    estimated, published = np.array(estimate_rates(pixels, images)), np.array(shipped_rates("coco_stuff"))[:182]
    never = images == 0
    assert never.sum() == 11 and (estimated[never] == 0.5).all() and (published[never] == 0.5).all()


def test_rates_are_rarity_over_the_area_where_a_class_is_present() -> None:
    pixels, images = np.array([0.5, 0.0, 0.1, 0.2]), np.array([1.0, 0.0, 0.2, 0.5])
    rare = np.log(5)  # of the third; a class that half of the images hold is not rare
    assert estimate_rates(pixels, images) == pytest.approx((2, 0.5, 2 * rare, 2.5))
    assert estimate_rates(pixels, images, rarity="none") == pytest.approx((2, 0.5, 2, 2.5))
    assert estimate_rates(pixels, images, coverage="all") == pytest.approx((2, 0.5, 10 * rare, 5))
    assert estimate_rates(pixels, images, scale=0.5, temperature=2)[2] == pytest.approx(0.5 * (2 * rare) ** 0.5)
    masked = LabelDiffusion((2.0, 0.5, 2.0)).mask_probability(torch.tensor([250]), 3)[0]
    assert masked[1] == pytest.approx(0.25) and masked[0] < 0.25  # what never occurs fades linearly


@pytest.mark.parametrize(
    "setting", [{"temperature": 0.0}, {"scale": -1.0}, {"scale": float("nan")}, {"rarity": 1}, {"coverage": "some"}]
)
def test_settings_of_the_estimate_are_checked(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        estimate_rates(np.ones(1), np.ones(1), **setting)


def test_unknown_rates_list_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'ade'; there are ade20k, celebamask_hq, coco_stuff, scenes"):
        shipped_rates("ade")
    assert len(shipped_rates("scenes")) > 1


# What a pixel stands for


def test_at_the_resolution_and_without_one_masks_are_the_published_ones_to_the_bit() -> None:
    labels = LabelMap(torch.randint(3, (2, 32, 32), generator=torch.Generator().manual_seed(0)), 3)
    u = torch.rand(labels.ids.shape, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([300, 900])
    for rates in (None, (0.5, 20.0, 900.0)):
        plain, aware = LabelDiffusion(rates), LabelDiffusion(rates, resolution=32)
        assert torch.equal(plain(labels, t, u).ids, aware(labels, t, u).ids)
        assert torch.equal(plain(labels, t, u).ids, aware(labels, t, u, 32).ids)
        assert not torch.equal(plain(labels, t, u).ids, aware(labels, t, u, 64).ids)


@pytest.mark.parametrize("factor", [2, 4])
def test_a_pixel_is_masked_as_often_as_all_that_it_stands_for(factor: int) -> None:
    """Drawn at the resolution, and read at 1 / factor of it."""
    t, side = torch.full((8,), 940), 64
    fine = LabelMap(torch.zeros(8, side * factor, side * factor, dtype=torch.int64), 1)
    u = torch.rand(fine.ids.shape, generator=torch.Generator().manual_seed(0))
    hidden = LabelDiffusion()(fine, t, u).unpainted.unfold(1, factor, factor).unfold(2, factor, factor)
    chance = LabelDiffusion(resolution=side * factor).mask_probability(t, 1, side)[0, 0]
    assert hidden.flatten(3).all(-1).double().mean() == pytest.approx(float(chance), abs=0.01)
    assert chance == pytest.approx(0.941**factor**2)


@given(diffusions(), st.integers(8, 2048))
def test_at_any_height_it_is_an_absorbing_process(diffusion: LabelDiffusion, height: int) -> None:
    """Probabilities only grow with the step, so that coupled draws bring labels back for good, and posteriors are those of
    any absorbing process."""
    masked = replace(diffusion, resolution=256).mask_probability(torch.tensor(diffusion.timesteps), 3, height)
    assert ((masked >= 0) & (masked <= 1)).all() and (masked.diff(dim=0) >= -1e-12).all()


def test_windows_are_masked_as_the_whole() -> None:
    labels = LabelMap(torch.zeros(1, 64, 64, dtype=torch.int64), 1)
    u = torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(0))
    diffusion, t = LabelDiffusion(resolution=256), torch.tensor([950])
    whole = diffusion(labels, t, u)
    window = diffusion(LabelMap(labels.ids[:, :32, :32], 1), t, u[:, :32, :32], 64)
    assert torch.equal(window.ids, whole.ids[:, :32, :32])


@pytest.mark.parametrize("height", [0, -1.0, float("nan"), float("inf")])
def test_a_resolution_is_a_height(height: float) -> None:
    with pytest.raises(ValueError, match="height above 0"):
        LabelDiffusion(resolution=height)


def test_few_visits_may_end_with_as_little_hidden_as_all() -> None:
    """As published the last of 20 visits hides a twentieth, where training hid a thousandth."""
    visited = torch.from_numpy(visited_by("20"))
    published = LabelDiffusion().respaced(visited.tolist()).mask_probability(visited, 1)[:, 0]
    original = LabelDiffusion(steps=1000).respaced(visited.tolist()).mask_probability(visited, 1)[:, 0]
    assert published[0] == pytest.approx(0.05) and original[0] == pytest.approx(0.001)
    assert torch.equal(original, LabelDiffusion().mask_probability(visited, 1)[:, 0])
    assert published[-1] == original[-1] == 1
