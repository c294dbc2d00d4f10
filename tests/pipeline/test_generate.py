"""generate(): what a painter can rely on, shown on a small network with random weights."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Annotated

import numpy as np
import pytest
import torch

from scdm.devices import AUTO, PRECISIONS
from scdm.diffusion.noise import LABEL_NOISE, fresh_label_noise, image_noise
from scdm.diffusion.samplers import SAMPLERS, Step, sampler_options
from scdm.files.config import from_dict
from scdm.files.options import Option
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.models.model import Model, ModelConfig
from scdm.models.sizes import UnfamiliarSize
from scdm.networks import UNetConfig
from scdm.pipeline import GenerateOptions, generate
from scdm.pipeline.options import PRESETS, every_option
from tests.weights import randomize

CLASSES = 4
NETWORK = UNetConfig(
    CLASSES, channels=32, channel_mult=(1, 1), res_blocks=1, attention=(), head_channels=None, hidden=8
)
PALETTE = Palette("test", tuple("abcd"), ((9, 0, 0), (0, 9, 0), (0, 0, 9), (9, 9, 9)))
FAST = GenerateOptions(steps=4)


def build(network: UNetConfig = NETWORK, **options) -> Model:
    config = ModelConfig(network, size=(16, 16), label_diffusion="classwise", class_rates=(1.0, 3.0, 30.0, 300.0))
    model = Model.new(replace(config, **options), PALETTE)
    randomize(model.network)
    model.network.eval()
    return model.to("cpu")


@pytest.fixture(scope="module")
def model() -> Model:
    return build()


def layout(height: int = 16, width: int = 16, batch: int = 1) -> LabelMap:
    ids = torch.randint(0, CLASSES + 1, (batch, height, width), generator=torch.Generator().manual_seed(1))
    return LabelMap(ids, CLASSES)


def same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal but for the rounding of convolutions over batches of different sizes."""
    return torch.allclose(one, other, rtol=0, atol=1e-4)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_seed_gives_the_same_image_in_any_batch(model, sampler):
    options = replace(FAST, sampler=sampler, seed=5, eta=0.5)
    batch = generate(model, layout().expanded(3), options)
    assert batch.shape == (3, 3, 16, 16) and batch.abs().max() <= 1
    for i in range(3):
        assert same(batch[i : i + 1], generate(model, layout(), replace(options, seed=5 + i)))
    assert not same(batch[:1], batch[1:2])


def test_the_global_generator_is_neither_read_nor_touched(model):
    state = torch.get_rng_state()
    first = generate(model, layout(), FAST)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(generate(model, layout(), FAST), first)


@pytest.mark.parametrize("size", [(16, 16), (15, 9), (1, 1), (17, 32)])
def test_any_size_comes_back_as_it_was_asked_for(model, size):
    seen = []
    image = generate(model, layout(*size), FAST, on_step=lambda step, total: seen.append(tuple(step.x0.shape[2:])))
    assert image.shape[2:] == size
    assert set(seen) == {size}


PATCHED = replace(NETWORK, patch=8, layout_width=8, sized=True)  # of stride 16


@pytest.mark.parametrize("size", [(32, 48), (33, 47), (3, 5), (1, 2)])
@pytest.mark.parametrize("learn_sigma", [False, True])
def test_patches_make_images_of_any_size(size, learn_sigma):
    """Sides that no patch divides and of less than a patch, too; what a mask leaves is kept to the bit."""
    model = build(replace(PATCHED, learn_sigma=learn_sigma), prediction="x0", noise_shift=0.25)
    image = torch.rand(1, 3, *size) * 2 - 1
    mask = (torch.rand(1, 1, *size, generator=torch.Generator().manual_seed(0)) > 0.5).float()
    mask[..., 0, 0], mask[..., -1, -1] = 1, 0
    options = replace(FAST, guidance=1.5, sampler="ddpm")
    assert generate(model, layout(*size), options).shape == (1, 3, *size)
    made = generate(model, layout(*size), options, image=image, mask=mask)
    kept = mask.expand_as(image) == 0
    assert torch.equal(made[kept], image[kept]) and made.isfinite().all()


def test_patches_compile_whole(model):
    patched = build(replace(PATCHED, head=4, roughness=True), prediction="x0")
    labels = replace(layout(32, 32), roughness=torch.tensor([0.4]))
    torch._dynamo.reset()
    made = generate(patched.compiled("eager"), labels, FAST)
    assert same(made, generate(patched, labels, FAST))


def test_steps_are_reported_and_an_exception_stops_the_work(model):
    seen = []

    def stop_at_two(step, total):
        seen.append((step.done, total))
        if step.done == 2:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        generate(model, layout(), FAST, on_step=stop_at_two)
    assert seen == [(1, 4), (2, 4)]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_done_to_a_reported_step_does_not_reach_the_image(model, sampler):
    def zero(step, total):
        step.x.zero_()
        step.x0.zero_()

    options = replace(FAST, sampler=sampler)
    assert torch.equal(generate(model, layout(), options, on_step=zero), generate(model, layout(), options))


@pytest.mark.parametrize(
    "change",
    [
        {"guidance": 1.0},
        {"label_noise": "coupled"},
        {"dynamic_threshold": 0.9},
        {"extrapolation": 0.8},
        {"mean": (0.0, 0.1, 0.2), "std": (0.3, 0.3, 0.3)},
        {"variance": "fixed_small"},
        {"steps": "ddim25"},
    ],
)
def test_every_option_changes_the_image(model, change):
    assert not same(generate(model, layout(), replace(FAST, **change)), generate(model, layout(), FAST))


def test_coarse_precision_stays_close(model):
    exact = generate(model, layout(), replace(FAST, sampler="ddim"))
    coarse = generate(model, layout(), replace(FAST, sampler="ddim", precision="bfloat16"))
    assert 0 < (exact - coarse).abs().mean() < 0.1


def test_a_threshold_is_applied_even_where_nothing_is_clipped(model):
    free = replace(FAST, clip=False)
    assert not same(generate(model, layout(), replace(free, dynamic_threshold=0.5)), generate(model, layout(), free))


def test_recorded_label_noise_replays_a_trajectory(model):
    seeded, draws = fresh_label_noise([0]), {}

    def recording(t, shape):
        draws[int(t[0])] = seeded(t, shape)
        return draws[int(t[0])]

    first = generate(model, layout(), replace(FAST, label_noise=recording))
    again = generate(model, layout(), replace(FAST, label_noise=lambda t, shape: draws[int(t[0])]))
    assert len(draws) == 4 and torch.equal(first, again) and torch.equal(first, generate(model, layout(), FAST))


def test_noise_may_be_handed_in(model):
    """The seed's own, as a function or only its first draws, gives the seed's image; other noise another."""
    options = replace(FAST, seed=7)
    image = generate(model, layout(15, 9), options)
    assert torch.equal(generate(model, layout(15, 9), options, noise=image_noise([7])), image)
    first = image_noise([7])(torch.empty(1, 3, 16, 10))[..., :15, :9]
    assert torch.equal(generate(model, layout(15, 9), options, noise=first), image)
    assert not same(generate(model, layout(15, 9), options, noise=image_noise([8])), image)
    assert not same(generate(model, layout(15, 9), options, noise=-first), image)
    still = replace(options, sampler="ddim", label_noise="none")
    both = generate(model, layout().expanded(2), still, noise=image_noise([7])(torch.empty(1, 3, 16, 16)))
    assert same(both[:1], both[1:])


@pytest.mark.parametrize(
    ("noise", "sentence"),
    [
        (
            torch.zeros(1, 3, 8, 8),
            r"noise must be floats of the shape \(1, 3, 16, 16\), not torch.float32 \(1, 3, 8, 8\)",
        ),
        (torch.full((1, 3, 16, 16), torch.nan), "noise holds NaN"),
        (torch.ones(1, 3, 16, 16, dtype=torch.bool), "must be floats"),
        (lambda like: torch.full_like(like, torch.nan), "noise holds NaN"),
        (7, "noise is a tensor or a function, .* not 7"),
        (lambda like: like[:, :1], r"floats of the shape \(1, 3, 16, 16\), not torch.float32 \(1, 1, 16, 16\)"),
        (lambda like: None, "not None"),
    ],
)
def test_noise_that_does_not_fit_is_refused_in_words(model, noise, sentence):
    with pytest.raises(ValueError, match=sentence):
        generate(model, layout(), FAST, noise=noise)


@pytest.mark.parametrize("noise", [lambda t, shape: None, lambda t, shape: torch.rand(shape[1:])])
def test_label_noise_that_does_not_fit_is_refused_in_words(model, noise):
    with pytest.raises(ValueError, match=r"label noise must be floats of the shape \(1, 16, 16\)"):
        generate(model, layout(), replace(FAST, label_noise=noise))


def test_label_noise_is_told_the_step_where_the_sampler_knows_it(model):
    """On the host, so that nobody asks the device; its draws may be there too."""
    seen = []

    def label_noise(t, shape):
        seen.append(t)
        return torch.zeros(shape)

    generate(model, layout(), replace(FAST, label_noise=label_noise))
    assert [int(t[0]) for t in seen] == [999, 666, 333, 0] and all(t.device.type == "cpu" for t in seen)


def test_sampling_leaves_nothing_behind_that_training_could_not_use(model):
    """Tables on a device are made where they are first needed, which may be within inference mode."""
    denoiser = model.config.denoiser(model.network)
    with torch.inference_mode():
        denoiser(torch.zeros(1, 3, 16, 16), torch.tensor([3]), layout(), torch.zeros(1, 16, 16))
    image = torch.zeros(1, 3, 16, 16, requires_grad=True)
    denoiser.loss(image, layout(), torch.tensor([3]), torch.ones(1, 3, 16, 16), torch.zeros(1, 16, 16)).total.backward()
    assert image.grad is not None


def test_the_result_is_an_ordinary_tensor(model):
    image = generate(model, layout(), FAST)
    image.add_(1)
    image.requires_grad_(True)


def test_plain_sdm_draws_no_label_noise():
    model = build(label_diffusion="none", class_rates=None)
    kinds = [generate(model, layout(), replace(FAST, label_noise=kind)) for kind in ("fresh", "coupled")]
    assert torch.equal(*kinds)


def test_what_is_left_open_is_what_the_model_was_made_for():
    undistilled, distilled = build(), build(distilled_steps="trailing4", distilled_guidance=2.0)
    found = GenerateOptions().for_model(undistilled)
    assert found == GenerateOptions(25, "ddpm", guidance=1.5, clip=True, precision="float32")
    found = GenerateOptions().for_model(distilled)
    assert found == GenerateOptions("trailing4", "ddim", guidance=2.0, clip=False, precision="float32")
    assert GenerateOptions().for_model(build(sampler="ddim")).sampler == "ddim"
    assert GenerateOptions(sampler="ddpm").for_model(build(sampler="ddim")).sampler == "ddpm"
    assert GenerateOptions().for_model(distilled).for_model(distilled) == GenerateOptions().for_model(distilled)
    seen = []
    generate(distilled, layout(), on_step=lambda step, total: seen.append(step.t))
    assert seen == [999, 749, 499, 249]


def test_a_size_far_from_those_taught_is_warned_of():
    """With what to do; near them, and at all that a model of several sizes was taught, nothing is."""
    model, fast = build(), GenerateOptions(steps=1)
    with pytest.warns(UnfamiliarSize, match="taught images of 16x16 pixels; at 32x32 .*: paint at 16x16 and enlarge"):
        generate(model, layout(32, 32), fast)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generate(model, layout(24, 14), fast)
        generate(build(sizes=((16, 16), (32, 32))), layout(32, 32), fast)


def test_an_image_that_overflows_is_none():
    """Rather than a black one that looks like success."""
    model = build()
    with torch.no_grad():
        next(model.network.parameters()).fill_(float("nan"))
    with pytest.raises(ValueError, match="overflowed: ask for less guidance"):
        generate(model, layout(), GenerateOptions(steps=2))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"model": "scenes"}, "the model is one that scdm.load gives, not 'scenes'"),
        ({"labels": "layout.png"}, "as scdm.read_layout gives, not 'layout.png'"),
        ({"options": {"steps": 2}}, "the options are GenerateOptions"),
    ],
)
def test_what_is_of_another_kind_is_refused_in_words(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        generate(**{"model": build(), "labels": layout(), "options": FAST, **given})


def test_a_distilled_model_refuses_steps_and_guidance_that_it_does_not_know():
    model = build(distilled_steps="trailing4", distilled_guidance=2.0)
    asked = GenerateOptions(steps=4, guidance=2.0)  # what it has anyway
    assert asked.for_model(model) == GenerateOptions().for_model(model)
    assert replace(asked, steps="4").for_model(model) == GenerateOptions().for_model(model)
    with pytest.raises(ValueError, match=r"distilled to 4 steps and knows no others: leave steps out.* 8$"):
        generate(model, layout(), GenerateOptions(steps=8))
    with pytest.raises(ValueError, match="distilled to a guidance of 2 and knows no others: leave guidance out"):
        generate(model, layout(), GenerateOptions(guidance=1.5))
    with pytest.raises(ValueError, match=r"instead of asking for 1\.0"):
        generate(model, layout(), GenerateOptions(guidance=1.0))  # none, which it does not know either
    to_guide = build(distilled_steps="ddim20")  # as published: distilled, but not its guidance
    assert GenerateOptions().for_model(to_guide).guidance == 1.5


def test_a_model_with_borders_takes_them_from_the_layout_or_between_its_classes():
    model = build(replace(NETWORK, edges=True))
    ids = torch.zeros(1, 16, 16, dtype=torch.int64)
    plain = generate(model, LabelMap(ids, CLASSES), FAST)
    bordered = generate(model, LabelMap(ids, CLASSES, torch.ones(1, 1, 16, 16, dtype=torch.bool)), FAST)
    assert not same(plain, bordered)


class TestRepainting:
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 4:12, 4:12] = 1

    @pytest.mark.parametrize("options", [{}, {"repeats": 2}, {"feather": 3}, {"strength": 0.5}, {"sampler": "unipc"}])
    def test_pixels_outside_the_mask_are_the_images_own(self, model, options):
        result = generate(model, layout(), replace(FAST, **options), image=self.image, mask=self.mask)
        outside = self.mask.expand_as(result) == 0
        assert torch.equal(result[outside], self.image[outside])
        assert not same(result, self.image)

    def test_an_8_bit_image_survives_unchanged_outside_the_mask(self, model):
        levels = torch.arange(256, dtype=torch.float32).view(1, 1, 16, 16).expand(1, 3, 16, 16)
        result = generate(model, layout(), FAST, image=levels / 127.5 - 1, mask=self.mask)
        back = ((result + 1) * 127.5).round()
        outside = self.mask.expand_as(result) == 0
        assert torch.equal(back[outside], levels[outside])

    def test_repeats_without_a_mask_neither_change_the_image_nor_take_longer(self, model):
        def made(repeats: int, **given) -> tuple[torch.Tensor, int]:
            steps = []
            options = replace(FAST, repeats=repeats, strength=0.5 if "image" in given and "mask" not in given else 1.0)
            return generate(model, layout(), options, on_step=lambda *step: steps.append(step), **given), len(steps)

        for given in ({}, {"image": self.image}):
            (once, few), (again, many) = made(1, **given), made(4, **given)
            assert torch.equal(once, again) and few == many
        masked = {"image": self.image, "mask": self.mask}
        assert not torch.equal(made(1, **masked)[0], made(4, **masked)[0])

    def test_the_less_strength_the_closer_to_the_image(self, model):
        options = GenerateOptions(steps=20, guidance=1.0)
        distance = [
            (generate(model, layout(), replace(options, strength=s), image=self.image) - self.image).abs().mean()
            for s in (0.1, 0.5, 0.9)
        ]
        assert distance[0] < distance[1] < distance[2]

    def test_an_edited_layout_changes_only_the_mask(self, model):
        one = generate(model, layout(), FAST, image=self.image, mask=self.mask)
        other = generate(model, layout().blank(), FAST, image=self.image, mask=self.mask)
        changed = (one != other).any(1, keepdim=True)
        assert changed.any() and not (changed & (self.mask == 0)).any()

    @pytest.mark.parametrize(
        ("image", "mask", "sentence"),
        [
            (None, mask, "give the image too"),
            (image, torch.zeros(1, 1, 16, 16), "mask is empty"),
            (image, torch.ones(1, 1, 16, 16), "covers the whole image"),
            (image[..., :8], mask, "the image is 8x16"),
            (image, mask[..., :8], "the mask is 8x16"),
            (image[0], None, "the image must have the shape"),
            (image * float("nan"), None, "the image holds NaN"),
            (image * 127.5 + 127.5, None, r"the image holds values from .*: scale it"),
            (image, mask * 255, "the mask holds values from 0 to 255"),
            (image, mask - 1, "the mask holds values from -1 to 0"),
        ],
    )
    def test_bad_sources_are_named(self, model, image, mask, sentence):
        options = replace(FAST, strength=0.5) if mask is None else FAST
        with pytest.raises(ValueError, match=sentence):
            generate(model, layout(), options, image=image, mask=mask)

    def test_an_image_of_which_nothing_would_be_kept_is_refused(self, model):
        with pytest.raises(ValueError, match="at full strength nothing is kept of the image: give a mask too"):
            generate(model, layout(), FAST, image=self.image)

    def test_one_empty_mask_among_several_is_named(self, model):
        masks = torch.cat([self.mask, torch.zeros_like(self.mask)])
        with pytest.raises(ValueError, match="mask 2 of 2 is empty"):
            generate(model, layout(batch=2), FAST, image=self.image, mask=masks)


def test_ids_that_no_class_has_are_refused(model):
    for wrong in (-1, CLASSES + 1):
        with pytest.raises(ValueError, match=f"id {wrong}"):
            generate(model, LabelMap(torch.full((1, 16, 16), wrong), CLASSES), FAST)


def test_an_image_of_too_many_pixels_is_refused_at_once(model):
    """One of 6000x6000 was computed for minutes before memory was short."""
    labels = LabelMap(torch.zeros(1, 1, 1, dtype=torch.int64).expand(1, 6000, 6000), model.palette.num_classes)
    with pytest.raises(ValueError, match="6000x6000 has more than 33,554,432 pixels: paint a smaller one"):
        generate(model, labels)


def test_a_layout_of_other_classes_is_refused(model):
    with pytest.raises(ValueError, match="3 classes, the model expects 4"):
        generate(model, LabelMap(torch.zeros(1, 16, 16, dtype=torch.int64), 3), FAST)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"steps": 0}, r"steps must be a text like ddim25, .*, or a whole number from 1, or None, not 0$"),
        ({"steps": -3}, "a whole number from 1, or None, not -3"),
        ({"steps": "  "}, "a whole number from 1"),
        ({"sampler": "magic"}, "sampler must be ddpm, ddim, dpmpp_2m, dpmpp_2m_sde or unipc, or None, not 'magic'"),
        ({"guidance": float("nan")}, "guidance"),
        ({"seed": -1}, "seed"),
        ({"label_noise": "loud"}, "fresh"),
        ({"dynamic_threshold": 0.0}, "a number above 0 to 1, or None, not 0.0"),
        ({"strength": 0.0}, "strength"),
        ({"repeats": 2, "sampler": "unipc"}, "repeats belongs to the sampler ddpm or ddim, not to unipc"),
        ({"mean": (0.0, 0.0, 0.0)}, "both"),
        ({"eta": 2.0}, "eta"),
        ({"steps": 2.5}, "whole number"),
        ({"seed": 1.5}, "whole number"),
        ({"mean": (0.0, 0.0), "std": (1.0, 1.0)}, "mean must be 3 numbers from -1 to 1"),
        ({"variance": "large"}, "fixed_large"),
        ({"feather": float("inf")}, "feather"),
        ({"precision": "int8"}, "precision"),
        ({"steps": True}, "not True"),
        ({"seed": True}, "seed must be a whole number"),
        ({"seed": None}, "seed must be a whole number"),
        ({"seed": 10**400}, "seed must be a whole number"),
        ({"guidance": "1.5"}, "guidance must be a number from 1 to 100, or None, not '1.5'"),
        ({"guidance": 0}, "from 1 to 100, or None, not 0: leave it out for what the model was made for"),
        ({"guidance": 0.5}, "from 1 to 100, or None, not 0.5"),
        ({"label_noise": ["fresh"]}, "label_noise must be fresh, coupled or none, not"),
        ({"clip": "no"}, "clip must be true or false, or None, not 'no'"),
        ({"dynamic_threshold": "0.9"}, "dynamic_threshold must be a number above 0 to 1"),
        ({"extrapolation": None}, "extrapolation must be a number from 0 to 10"),
        ({"mean": (0.0, 0.0, 128.0), "std": (1.0, 1.0, 1.0)}, "from -1 to 1"),
        ({"mean": 0.0, "std": 1.0}, "mean must be 3 numbers"),
        ({"sampler_options": {"gama": 1}}, "no sampler has an option 'gama'"),
        ({"eta": "1"}, "eta"),
        ({"strength": None}, "strength"),
        ({"repeats": None}, "repeats"),
        ({"feather": 1e30}, "from 0 to 1024, not 1e"),
    ],
)
def test_impossible_options_are_refused_with_a_sentence(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        GenerateOptions(**wrong)


@pytest.mark.parametrize("steps", ["1001", "ten", "0", "ddim999"])
def test_impossible_step_counts_are_refused_with_a_sentence(model, steps):
    with pytest.raises(ValueError, match="step"):
        generate(model, layout(), GenerateOptions(steps=steps))


def toy(denoise, x, schedule, noise, *, gain: Annotated[float, Option("factor of each prediction", ge=0, le=2)] = 1.0):
    """A sampler that takes the prediction for the next x."""
    for done, position in enumerate(reversed(range(len(schedule))), start=1):
        x = gain * denoise(x, schedule.step(position, x)).x0
        yield Step(done, int(schedule.timesteps[position]), x, x)


def test_a_new_sampler_is_a_function_and_a_line_of_the_registry(model, monkeypatch):
    with pytest.raises(ValueError, match=r"sampler must be ddpm, .*, not 'toy'"):
        GenerateOptions(sampler="toy")
    monkeypatch.setitem(SAMPLERS, "toy", toy)
    options = replace(FAST, sampler="toy", sampler_options={"gain": 0.5})
    full = generate(model, layout(), replace(FAST, sampler="toy"))
    assert not same(generate(model, layout(), options), full)
    assert same(generate(model, layout(), replace(options, sampler_options={"gain": 1})), full)
    assert every_option()["gain"].owners == ("toy",) and GenerateOptions.of({"steps": 4, "gain": 2.0}).steps == 4
    for wrong, sentence in (
        ({"gain": 3}, "gain must be a number from 0 to 2, not 3"),
        ({"gian": 1}, "no sampler has an option 'gian': did you mean 'gain'"),
    ):
        with pytest.raises(ValueError, match=sentence):
            replace(options, sampler_options=wrong)
    with pytest.raises(ValueError, match="gain belongs to the sampler toy, not to ddim"):
        replace(options, sampler="ddim")
    with pytest.raises(ValueError, match="gain belongs to the sampler toy, not to ddpm"):
        generate(model, layout(), replace(options, sampler=None))


def test_records_are_what_they_were_and_come_back(monkeypatch):
    assert "sampler_options" not in GenerateOptions(mean=(0, 0, 0), std=(1, 1, 1)).record()
    monkeypatch.setitem(SAMPLERS, "toy", toy)
    options = GenerateOptions(sampler="toy", sampler_options={"gain": 0.5})
    assert from_dict(GenerateOptions, options.record()) == options


def test_names_and_defaults_agree_with_what_they_stand_for():
    """Where `--help` may not import what has them."""
    settings = every_option()
    assert settings["label_noise"].choices == tuple(LABEL_NOISE)
    assert settings["precision"].choices == (AUTO, *PRECISIONS)
    own = {name: setting.default for name, setting in sampler_options().items()}
    assert {name: getattr(GenerateOptions(), name) for name in own} == own


def test_numbers_of_numpy_are_numbers():
    options = GenerateOptions(seed=np.int64(3), steps=np.int32(2), guidance=np.float32(1.5))
    assert [type(value) for value in (options.seed, options.steps, options.guidance)] == [int, int, float]


@pytest.fixture(scope="module")
def reader() -> Model:
    return build(replace(NETWORK, roughness=True))


class TestHowFarToTrustALayout:
    def test_a_number_is_what_the_layouts_have(self, reader):
        images = [generate(reader, layout(), replace(FAST, roughness=value)) for value in (0, 0.5, 1.0, "unknown")]
        assert all(not same(one, other) for i, one in enumerate(images) for other in images[:i])
        given = replace(layout(), roughness=torch.tensor([0.5]))
        assert torch.equal(generate(reader, given, FAST), images[1]), "auto takes what is known"
        assert torch.equal(generate(reader, given, replace(FAST, roughness="unknown")), images[3])

    def test_auto_is_the_estimate_of_the_models_own_estimator(self, reader):
        estimating = replace(reader, roughness=lambda labels: torch.full((labels.batch,), 0.5))
        assert torch.equal(
            generate(estimating, layout(), FAST), generate(reader, layout(), replace(FAST, roughness=0.5))
        )
        assert torch.equal(
            generate(reader, layout(), FAST), generate(reader, layout(), replace(FAST, roughness="unknown"))
        )

    @pytest.mark.parametrize("wrong", [-0.1, 5.0, float("inf")])
    def test_a_layout_of_an_impossible_roughness_is_refused(self, reader, wrong):
        given = replace(layout(), roughness=torch.tensor([wrong]))
        with pytest.raises(ValueError, match=rf"the roughness of a layout is from 0 to 1, .* not {wrong:g}"):
            generate(reader, given, FAST)

    def test_models_that_read_no_roughness_refuse_a_number_and_ignore_the_rest(self, model):
        with pytest.raises(ValueError, match=r"does not read how rough a layout is: leave roughness at auto, not 0\.5"):
            generate(model, layout(), replace(FAST, roughness=0.5))
        given = replace(layout(), roughness=torch.tensor([0.5]))
        assert torch.equal(generate(model, given, FAST), generate(model, layout(), FAST))

    @pytest.mark.parametrize("wrong", [-0.1, 1.5, "rough", None])
    def test_an_impossible_roughness_is_refused(self, wrong):
        with pytest.raises(ValueError, match="roughness must be a number from 0 to 1, or auto or unknown, not"):
            GenerateOptions(roughness=wrong)

    @pytest.mark.parametrize("sampler", SAMPLERS)
    @pytest.mark.parametrize("end, read", [(1.0, 4), (0.5, 2), (0.01, 1)])
    def test_the_last_steps_read_no_layout(self, model, monkeypatch, sampler, end, read):
        seen = []
        decode = type(model.network).decode

        def watched(network, features, labels):
            seen.append(labels is not None)
            return decode(network, features, labels)

        monkeypatch.setattr(type(model.network), "decode", watched)
        generate(model, layout(), replace(FAST, sampler=sampler, guidance=1.0, layout_end=end))
        assert seen == [True] * read + [False] * (4 - read)

    def test_uniform_label_diffusion_counts_what_is_asked_for_or_what_the_model_was_made_for(self):
        published, original = (
            build(label_diffusion="uniform", class_rates=None, label_counting=counting)
            for counting in ("visits", "steps")
        )
        make = lambda model, **options: generate(model, layout(), replace(FAST, **options))  # noqa: E731
        assert not same(make(published), make(original))
        assert torch.equal(make(published, label_counting="steps"), make(original))
        assert torch.equal(make(original, label_counting="visits"), make(published))

    def test_what_is_left_out_is_not_in_records(self):
        assert not {"roughness", "layout_end", "label_counting"} & GenerateOptions().record().keys()
        for options in (GenerateOptions(roughness=0.25, layout_end=0.5), GenerateOptions(roughness="unknown")):
            assert from_dict(GenerateOptions, options.record()) == options


def test_a_preset_gives_the_options_that_are_left_out() -> None:
    options = GenerateOptions.of({"preset": "published25", "seed": 7})
    assert options == GenerateOptions(
        sampler="ddpm", steps="ddim25", extrapolation=0.8, dynamic_threshold=0.95, seed=7
    ), "the papers' recipe"
    assert GenerateOptions.of({"preset": "published25", "extrapolation": 0.0}).extrapolation == 0
    assert from_dict(GenerateOptions, GenerateOptions.grouped({"preset": "published25"})).steps == "ddim25"
    for name in ("published52", ["published25"]):
        with pytest.raises(ValueError, match=r"there is no preset .*published25"):
            GenerateOptions.of({"preset": name})
    assert all(GenerateOptions.of({"preset": name}) for name in PRESETS)
