"""Training of an upsampler: what it is shown, what its critic learns, and that a run goes on where it stopped."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator

from scdm.datasets import open_dataset
from scdm.diffusion.samplers import SAMPLERS
from scdm.diffusion.upsampling import reduced
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.models import checkpoint
from scdm.training.config import CriticConfig, RunConfig, UpsamplerConfig
from scdm.training.critic import Critic, cells, class_weights, loss_of_critic, loss_of_maker
from scdm.training.loop import train
from scdm.training.run import task_of
from scdm.training.stream import steps_from
from scdm.training.texture import texture_distance
from scdm.training.upsampling import (
    Balance,
    Upsampling,
    balanced,
    blotched,
    coarse_error,
    grid_error,
    hard_edged,
    simulation,
    visibility,
)
from tests.training.tiny import NETWORK as TINY
from tests.training.tiny import assert_same, config, learned

SCENES = Palette.named("scenes")
CPU = torch.device("cpu")
NETWORK = replace(TINY, learn_sigma=False, patch=2, sized=True, upsamples=True)


def upsampler_config(run: Path | str = "-", **changes: Any) -> UpsamplerConfig:
    shared = {field.name: getattr(config(run), field.name) for field in fields(RunConfig)}
    data = replace(config().data, size=32)
    critic = CriticConfig(width=4, after=1, patience=1)
    return replace(UpsamplerConfig(**{**shared, "data": data}, network=NETWORK, small=16, critic=critic), **changes)


def objective_of(run: UpsamplerConfig) -> Upsampling:
    task = task_of(run, SCENES, True, Accelerator(cpu=True))
    objective = task.objective(task.model.network)
    assert isinstance(objective, Upsampling)
    return objective


def batch_of(run: UpsamplerConfig) -> Any:
    return next(steps_from(0, open_dataset(run.data), run))[0]


def test_it_is_shown_the_rendering_made_small():
    run = upsampler_config(flaws=0.0, hardness=0.0)
    drawn = batch_of(run)
    assert torch.equal(objective_of(run)._small(drawn, 32), reduced(drawn.batch.images, (16, 16)))
    assert torch.equal(objective_of(run)._small(drawn, 64), reduced(drawn.batch.images, (8, 8)))


def test_flaws_belong_to_the_example_and_are_bounded():
    drawn = batch_of(upsampler_config())
    clean = objective_of(upsampler_config(flaws=0.0))._small(drawn, 32)
    flawed = objective_of(upsampler_config(flaws=0.3))._small(drawn, 32)
    assert torch.equal(flawed, objective_of(upsampler_config(flaws=0.3))._small(drawn, 32))
    strengths = (flawed - clean).flatten(1).std(1)
    assert strengths.max() > 0.02 and (strengths < 0.35).all()


def test_structured_classes_of_small_images_have_blotches():
    run = upsampler_config(hardness=0.0, flaws=0.0, structured=SCENES.names[:1])
    drawn = batch_of(run)
    off = objective_of(replace(run, blotches=0.2))._small(drawn, 32) - objective_of(run)._small(drawn, 32)
    own = LabelMap(drawn.batch.ids, 14).reduced(16, 16).ids == 0
    assert 0 < own.sum() < own.numel()
    assert off.abs().sum(1)[~own].max() == 0 and 0.01 < off.transpose(0, 1)[:, own].std() < 0.2


def test_blotches_are_three_pixels_wide():
    found = [blotched(np.random.default_rng(seed), (3, 64, 64))[:, 1:-1, 1:-1] for seed in range(20)]
    strengths = torch.stack([one.std() for one in found])
    assert strengths.min() < 0.2 and 0.8 < strengths.max() < 1.05
    alike = [
        torch.corrcoef(torch.stack([found[0][..., d:].flatten(), found[0][..., : 62 - d].flatten()]))[0, 1]
        for d in (1, 3)
    ]
    assert alike[0] == pytest.approx(2 / 3, abs=0.1) and abs(alike[1]) < 0.1


def test_outlines_of_small_images_have_the_steps_of_a_small_layout():
    """A border within a cell: the mean of the cell is grey, that of its commonest class is not."""
    ids = torch.zeros(1, 8, 8, dtype=torch.int64)
    ids[:, :, 3:] = 1
    images = torch.where(ids == 1, 1.0, -1.0)[:, None].expand(-1, 3, -1, -1)
    small = hard_edged(images, LabelMap(ids, 2), (2, 2))
    assert torch.equal(small[0, 0], torch.tensor([[-1.0, 1.0], [-1.0, 1.0]]))
    assert reduced(images, (2, 2))[0, 0, 0, 0] == -0.5
    drawn = batch_of(upsampler_config())
    hard, soft = (objective_of(upsampler_config(flaws=0.0, hardness=share))._small(drawn, 32) for share in (1.0, 0.0))
    changed = (hard != soft).flatten(1).any(1)
    assert changed.any(), "of some examples"


def test_later_steps_begin_with_what_the_upsampler_has_made_itself():
    """Of four steps: what DDIM finds at each, whichever of them the examples are to begin with."""
    objective = objective_of(upsampler_config(visits="trailing4", simulated=1.0))

    def network(x, t, labels, **_):
        return 0.5 * x[:, :3].tanh() + 0.1 * x[:, 3:]

    denoiser = replace(objective.denoiser, network=network)
    noise, low, index = torch.randn(3, 3, 8, 8), torch.randn(3, 3, 8, 8), torch.tensor([1, 3, 2])
    found = simulation(denoiser, noise, low, LabelMap(torch.zeros(3, 8, 8, dtype=torch.int64), 14), index)
    predicted = lambda x, t: SimpleNamespace(x0=network(torch.cat([x, low], 1), t, None))  # noqa: E731
    steps = SAMPLERS["ddim"](predicted, noise, denoiser.schedule, lambda x: torch.zeros_like(x))
    x = {3: noise, **{2 - place: step.x for place, step in enumerate(steps)}}
    assert torch.allclose(found, torch.stack([x[int(i)][place] for place, i in enumerate(index)]), atol=1e-6)


def test_a_share_of_later_steps_is_simulated():
    positions = list(range(200))
    chosen = [objective_of(upsampler_config(simulated=share))._simulated(positions) for share in (0.0, 0.5, 1.0)]
    assert not chosen[0].any() and chosen[2].all() and 70 < chosen[1].sum() < 130
    run = upsampler_config(simulated=1.0, precision="float32")
    losses = []
    for one in (run, replace(run, simulated=0.0)):
        objective = objective_of(one)
        for weight in objective.model.network.parameters():  # at first its output is 0, whatever it is given
            torch.nn.init.normal_(weight, std=0.05, generator=torch.Generator().manual_seed(1))
        losses.append(objective(batch_of(run), CPU).mse)
    later = (batch_of(run).draws.step * 2).long() == 0
    off = (losses[0] - losses[1]).abs() / losses[1]
    assert 0 < later.sum() < len(later) and off[later].min() > 1e-4 > 10 * off[~later].max()


def test_layouts_are_judged_as_they_were_before_they_were_made_sparse():
    drawn = batch_of(upsampler_config(sparse_share=1.0))
    assert (drawn.batch.ids == 14).float().mean() > 0.3 and (drawn.batch.exact == 14).sum() == 0


def test_a_critic_learns_to_tell_renderings_and_its_word_reaches_the_image():
    torch.manual_seed(0)
    critic = Critic(2, 8)
    ids = torch.zeros(4, 32, 32, dtype=torch.int64)
    ids[:, :, 16:] = 1
    real = ids[:, None].expand(-1, 3, -1, -1) - 0.5 + 0.1 * torch.randn(4, 3, 32, 32)
    made = torch.zeros_like(real)
    weights, own = class_weights(ids, 2), cells(ids)
    optimizer = torch.optim.Adam(critic.parameters(), 3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        loss_of_critic(critic(real, 32), critic(made, 32), own, weights).backward()
        optimizer.step()
    assert (critic(real, 32).argmax(1) == own).float().mean() > 0.9
    assert (critic(made, 32).argmax(1) == 2).float().mean() > 0.9
    known = torch.ones_like(own, dtype=torch.bool)
    assert loss_of_maker(critic(real, 32), own, known, weights).max() < 0.3
    assert loss_of_maker(critic(made, 32), own, known, weights).min() > 1
    assert loss_of_maker(critic(real, 32), 1 - own, ~known, weights).max() < 0.3, "of no known class any will do"


def test_rare_classes_weigh_more_and_unpainted_pixels_nothing():
    ids = torch.tensor([[0] * 12 + [1] * 3 + [2]])
    weights = class_weights(ids, 2)
    assert weights[2] == 0 and weights[1] > weights[0]
    assert weights[1] / weights[0] == pytest.approx(2)
    assert (weights[ids][ids < 2]).mean() == pytest.approx(1)


def test_details_count_a_share_of_the_squared_error():
    torch.manual_seed(0)
    images = torch.randn(1, 3, 8, 8)
    detail = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4)
    assert coarse_error(images + detail, images).max() < 1e-10
    assert torch.allclose(coarse_error(images + 0.5, images), torch.full((1, 8, 8), 0.25))


def test_errors_are_seen_in_plain_areas_and_masked_by_contrast():
    images = torch.zeros(1, 3, 64, 128)
    images[..., 64:] = 0.3 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    seen = visibility(images)
    assert torch.allclose(seen.mean(), torch.tensor(1.0))
    assert seen[..., :40].min() > 6 * seen[..., 88:].max()  # (0.3 + BARE) / BARE is 11, and contrasts differ a little
    assert torch.allclose(visibility(torch.zeros(1, 3, 8, 8)), torch.ones(1, 8, 8))


def test_losses_pull_at_an_image_as_hard_as_its_error_does():
    torch.manual_seed(0)
    made = torch.randn(2, 3, 8, 8, requires_grad=True)
    shown = made * 1.0
    error, other = shown.square().flatten(1).mean(1), 100 * shown.cos().flatten(1).mean(1)
    beside = 7 * shown.abs().flatten(1).mean(1)
    losses = (error, other, beside)
    own, others, more = (torch.autograd.grad(loss.mean(), made, retain_graph=True)[0] for loss in losses)
    total = balanced(shown, error, [(0.5, Balance(), other)], beside)
    scale = 0.5 * own.norm() / others.norm()
    assert torch.allclose(total, error + scale * other + beside), "what stands beside them changes no balance"
    (gradient,) = torch.autograd.grad(total.mean(), made)
    assert torch.allclose(gradient, own + scale * others + more, atol=1e-7)


def test_a_window_that_is_all_structured_changes_no_balance():
    balance, none = Balance(), torch.zeros(1)
    assert balance(torch.ones(1), none) == 0, "nothing to compare with yet"
    assert balance(torch.ones(1), torch.full((1,), 3.0)) == 3
    assert balance(torch.ones(1), none) == 3


def test_the_critic_judges_structured_classes():
    run = upsampler_config(structured=SCENES.names[:7], texture=0.0, precision="float32")
    gradients = []
    for weight in (0.0, 5.0):
        objective = objective_of(replace(run, critic=CriticConfig(width=4, after=0, patience=0, weight=weight)))
        made = []
        objective.denoiser.network.register_forward_hook(lambda _, __, out, made=made: made.append(out))
        total = objective(batch_of(run), CPU).total.mean()
        gradients.append(torch.autograd.grad(total, made[-1])[0])
    ids = batch_of(run).batch.ids
    own = (ids < 7)[:, None].expand_as(gradients[0])
    assert own.any() and (gradients[0] - gradients[1])[own].abs().max() > 0


def test_textures_are_compared_class_by_class_and_wherever_they_lie():
    """Two drawings of the same grass are close though no pixel is; what is smooth, or is the other class's, is far."""
    torch.manual_seed(0)
    ids = torch.zeros(1, 64, 64, dtype=torch.int64)
    ids[:, :, 32:] = 1
    amplitude = torch.tensor([0.1, 0.4])[ids][:, None]
    one, two, smooth = (amplitude * strength * torch.randn(1, 3, 64, 64) for strength in (1, 1, 0))
    same, far = texture_distance(one, two, ids), texture_distance(smooth, two, ids)
    swapped = texture_distance(one.flip(-1), two, ids)
    assert texture_distance(one, one, ids) < 0.15 * same
    assert far > 8 * same and swapped > 8 * same, (same, far, swapped)
    assert texture_distance(torch.cat([one, smooth]), torch.cat([two, two]), ids.expand(2, -1, -1)) == pytest.approx(
        torch.cat([same, far])
    ), "each image by itself"


def test_leaves_count_beside_the_broad_shapes_of_their_crown():
    """Detail of single pixels with a tenth of the contrast is missed, though it is a hundredth of the energy."""
    torch.manual_seed(0)
    ids = torch.zeros(1, 64, 64, dtype=torch.int64)
    broad = 0.5 * F.interpolate(torch.randn(1, 3, 16, 16), scale_factor=4, mode="bicubic")
    leaves = 0.05 * torch.randn(1, 3, 64, 64)
    without, flat = texture_distance(broad, broad + leaves, ids), texture_distance(leaves, broad + leaves, ids)
    assert without > 0.05 * flat > 0.01, (without, flat)


def test_structured_classes_learn_by_the_whole_squared_error_and_no_texture():
    """With all classes structured, neither textures nor what masks errors reach the network."""
    every = {"structured": SCENES.names, "precision": "float32"}
    run = upsampler_config(**every, structure=7.0, fine=0.0, texture=4.0, critic=CriticConfig(width=4, weight=0.0))
    alone = upsampler_config(fine=1.0, masking=0.0, texture=0.0, critic=CriticConfig(width=4, weight=0.0))
    gradients = []
    for settings in (run, alone):
        torch.manual_seed(0)
        objective = objective_of(settings)
        objective(batch_of(settings), CPU).total.mean().backward()
        gradients.append([weight.grad for weight in objective.model.network.parameters() if weight.grad is not None])
    assert len(gradients[0]) == len(gradients[1]) > 0
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, 7 * other, rtol=1e-4, atol=1e-6)


def test_the_error_of_the_grid_sees_faint_lines_that_all_patches_share_and_nothing_else():
    torch.manual_seed(0)
    images = torch.rand(1, 3, 64, 96)
    lines = images.clone()
    lines[:, :, 3::4] += 0.02
    darker, noisy = images - 0.3, images + 0.02 * torch.randn_like(images)
    shifted = images.clone()
    shifted[:, :, 3::5] += 0.02  # of another period
    found = [float(grid_error(made, images, 4)) for made in (images, lines, darker, noisy, shifted)]
    assert found[0] == 0 and found[1] == pytest.approx(0.02**2 * (1 / 4 - 1 / 16), rel=1e-3), found
    assert all(error < 0.15 * found[1] for error in found[2:]), found
    assert float(grid_error(lines[..., :16, :16], images[..., :16, :16], 4)) == pytest.approx(found[1], rel=1e-3)
    assert float(grid_error(lines, images, 1)) == 0


def test_the_grid_has_its_own_weight():
    """The loss changes in proportion to `grid`."""
    losses = []
    for weight in (0.0, 50.0, 150.0):
        torch.manual_seed(0)
        settings = upsampler_config(
            grid=weight, texture=0.0, critic=CriticConfig(width=4, weight=0.0), precision="float32"
        )
        losses.append(objective_of(settings)(batch_of(settings), CPU).total)
    change = losses[1] - losses[0]
    assert change.abs().max() > 1e-4 and torch.allclose(losses[2] - losses[0], 3 * change, rtol=1e-3, atol=1e-5)


def test_the_error_of_the_grid_lets_textures_differ_by_chance():
    """It hardly sees them; and opposite lines in every other patch, which a network had found, neither gain anything
    nor hide those that all share."""
    torch.manual_seed(0)
    zero = torch.zeros(4, 3, 128, 128)
    grain, lines, turned = 0.1 * torch.randn_like(zero), zero.clone(), zero.clone()
    lines[:, :, 3::4] = 0.1
    turned[:, :, 1::4] = 0.1 * (1 - 2 * ((torch.arange(32)[:, None] + torch.arange(128) // 4) % 2))
    found = [float(grid_error(made, zero, 4).mean()) for made in (grain, lines, turned, lines + turned)]
    assert found[0] < 0.03 * found[1] and found[2] == 0 and found[3] > 0.6 * found[1], found


def test_textures_leave_out_the_classes_that_have_none():
    torch.manual_seed(0)
    ids = torch.zeros(1, 64, 64, dtype=torch.int64)
    ids[:, :, 32:] = 1
    made, images = torch.randn(1, 3, 64, 64).requires_grad_(), 0.1 * torch.randn(1, 3, 64, 64)
    (gradient,) = torch.autograd.grad(texture_distance(made, images, ids, torch.tensor([1])).sum(), made)
    assert gradient[..., 48:].abs().max() == 0 < gradient[..., :16].abs().max()


def test_texture_lets_a_blurred_image_grow_detail():
    torch.manual_seed(0)
    ids = torch.zeros(1, 32, 32, dtype=torch.int64)
    goal = 0.3 * torch.randn(1, 3, 32, 32)
    made = (0.02 * torch.randn(1, 3, 32, 32)).requires_grad_()
    optimizer = torch.optim.Adam([made], 0.02)
    for _ in range(40):
        optimizer.zero_grad()
        texture_distance(made, goal, ids).mean().backward()
        optimizer.step()
    assert 0.6 < made.std() / goal.std() < 1.4


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path):
    train(upsampler_config(tmp_path / "whole"))
    for steps in (1, 3, 4):
        train(upsampler_config(tmp_path / "parts", steps=steps, save_every=1))
    assert_same(learned(tmp_path / "parts", 4), learned(tmp_path / "whole", 4))
    states = [
        torch.load(tmp_path / run / "state-4.pt", weights_only=True)["learner"]["timesteps"]
        for run in ("parts", "whole")
    ]
    assert_same(states[0]["critic"], states[1]["critic"])
    assert states[0]["updates"] == 4 and states[0]["ratios"] == states[1]["ratios"] and min(states[0]["ratios"]) > 0


def test_what_it_releases_joins_a_model_and_says_what_it_is(tmp_path):
    path = train(upsampler_config(tmp_path, steps=1))
    upsampler = checkpoint.load(path)
    assert upsampler.config.upsamples == 16 and upsampler.config.distilled_steps == "trailing2"
    assert upsampler.provenance["steps"] == 1


def test_structured_classes_are_those_of_the_data():
    with pytest.raises(ValueError, match=r"no class 'raod': did you mean 'road'"):
        objective_of(upsampler_config(structured=("raod",)))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"network": replace(NETWORK, upsamples=False)}, "set network.upsamples"),
        ({"small": 64}, "at least 64 pixels high"),
        ({"more_sizes": ((48, 32),)}, "no higher than wide, not 32x48"),
        ({"samples": 2}, "samples"),
        ({"window_share": 1.0}, "set window_on"),
        ({"structure": 40.0}, "set structured"),
        ({"redrawn": 0.25}, "set that"),
        ({"window_on": ("road",)}, "set window"),
    ],
)
def test_what_is_no_run_of_an_upsampler_is_refused(changes, complaint):
    with pytest.raises(ValueError, match=complaint):
        upsampler_config(**changes)
