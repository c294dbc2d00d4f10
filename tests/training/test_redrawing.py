"""Small images as an upsampler's first stage draws them: of the same scene, with flaws of its own, cut by whole pixels."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from scdm.datasets import open_dataset
from scdm.diffusion.upsampling import reduced
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.models import checkpoint
from scdm.models.conversion import load
from scdm.models.model import Model
from scdm.training.redrawing import FirstStage, Redrawn
from scdm.training.stream import steps_from, window
from tests.training.test_upsampling import batch_of, objective_of, upsampler_config
from tests.training.tiny import config

SCENES = Palette.named("scenes")
STAGE = FirstStage.named("scenes-fast", SCENES, 64, 0.75)
STREAM = open_dataset(replace(config().data, size=128)).training()


def test_more_steps_leave_less_of_a_rendering_and_none_leave_it_alone():
    example = STREAM[0]
    small = reduced(example.image[None], (64, 64))
    layout = LabelMap(example.ids[None], 14).reduced(64, 64)
    off = [(STAGE.redraw(small, layout, steps, 5) - small).square().mean().sqrt() for steps in (1, 2, 3)]
    assert off[0] > 0.01 and all(less < more for less, more in pairwise(off)) and off[-1] < 0.5
    found = [Redrawn(STREAM, replace(STAGE, most=1), (0,))[index].small for index in range(6)]
    untouched = [bool(one.isnan().all()) for one in found]
    assert 0 < sum(untouched) < 6 and all(bool(one.isfinite().all()) for one in found if not one.isnan().any())


def test_what_is_redrawn_follows_from_the_position_alone():
    one, other = (Redrawn(STREAM, STAGE, (3,)) for _ in range(2))
    assert all(torch.equal(one[i].small.nan_to_num(9), other[i].small.nan_to_num(9)) for i in (0, 1))


def test_windows_cut_no_pixel_of_a_small_image():
    example = STREAM[1]
    example = example._replace(small=reduced(example.image[None], (64, 64))[0])
    for key in range(4):
        part = window(example, 32, (key,))
        assert part.small is not None and part.small.shape == (3, 16, 16)
        assert torch.allclose(part.small, reduced(part.image[None], (16, 16))[0], atol=1e-6)


def test_an_upsampler_is_shown_what_was_redrawn():
    run = upsampler_config(flaws=0.0, hardness=0.0)
    drawn = batch_of(run)
    small = torch.full((len(drawn.batch.images), 3, 16, 16), torch.nan)
    small[1] = 0.25
    shown = objective_of(run)._small(drawn._replace(batch=drawn.batch._replace(small=small)), 32)
    assert (shown[1] == 0.25).all() and torch.equal(shown[2], objective_of(run)._small(drawn, 32)[2])


def test_a_run_shows_its_first_stage():
    run = upsampler_config(
        first_stage="scenes-fast", small=64, data=replace(config().data, size=128), window=32, windows=2
    )
    steps = steps_from(0, open_dataset(run.data), run)
    small = [next(steps)[0].batch.small for _ in range(3)]
    assert all(one.shape == (4, 3, 16, 16) for one in small) and any(one.isfinite().any() for one in small)
    again = next(steps_from(2, open_dataset(run.data), run))[0].batch.small
    assert torch.equal(again.nan_to_num(9), small[2].nan_to_num(9)), "as in a run that is resumed"
    assert batch_of(replace(run, first_stage=None)).batch.small is None


def test_a_first_stage_may_read_no_roughness():
    network = replace(STAGE.model.config.network, roughness=False)
    model = Model.new(replace(STAGE.model.config, network=network), SCENES)
    small = torch.zeros(1, 3, 64, 64)
    layout = LabelMap(torch.zeros(1, 64, 64, dtype=torch.int64), 14)
    assert replace(STAGE, model=model).redraw(small, layout, 1, 0).isfinite().all()


def test_an_upsampler_is_no_first_stage(tmp_path):
    checkpoint.save(tmp_path / "up.safetensors", load("scenes-fast").upsampler)
    with pytest.raises(ValueError, match="first_stage: an upsampler adds detail"):
        FirstStage.named(str(tmp_path / "up.safetensors"), SCENES, 64, 0.5)
    with pytest.raises(ValueError, match="first_stage: there is no model 'nonsense'"):
        batch_of(upsampler_config(first_stage="nonsense", small=64, data=replace(config().data, size=64)))


@pytest.mark.parametrize(
    ("palette", "side", "share", "complaint"),
    [
        (Palette.named("ade20k"), 64, 0.5, "other classes"),
        (SCENES, 32, 0.5, "set small to that"),
        (SCENES, 64, 0.1, "none of the 4 steps"),
        (SCENES, 64, 1.0, "all of the 4 steps"),
    ],
)
def test_models_that_cannot_be_a_first_stage_are_refused(palette, side, share, complaint):
    with pytest.raises(ValueError, match=complaint):
        FirstStage.named("scenes-fast", palette, side, share)


def test_small_images_of_parts_of_pixels_are_refused():
    data = replace(config().data, size=96)
    with pytest.raises(ValueError, match="whole squares"):
        upsampler_config(first_stage="scenes-fast", small=64, data=data)
    with pytest.raises(ValueError, match="buckets"):
        upsampler_config(first_stage="scenes-fast", small=64, buckets=True)
