"""The native MODEL: ComfyUI's own samplers make what `generate` makes, and its masks, areas and memory management work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

STEPS = 6
SIZE = (16, 24)  # height, width


@pytest.fixture
def model(pack: Any, tmp_path: Path) -> Callable[..., Any]:
    """Makes a MODEL of palette "scenes": tiny, with random weights, loaded from its file as any other. `network` is the
    configuration of one, else a U-Net's with the settings `changed`."""

    def make(
        seed: int = 0,
        prediction: str = "eps",
        classes: str = "scenes",
        student: int | None = None,
        network: Any = None,
        noise_shift: float = 1.0,
        label_resolution: int | None = None,
        **changed: Any,
    ) -> Any:
        scdm, networks = pack("scdm.models.model"), pack("scdm.networks")
        palette = pack("scdm.layouts.palette").Palette.named(classes)
        shape = {
            "channels": 32,
            "channel_mult": (1, 1),
            "res_blocks": 1,
            "attention": (2,),
            "head_channels": 32,
            "hidden": 8,
        }
        network = network or networks.UNetConfig(palette.num_classes, **(shape | changed))
        distilled = {"distilled_steps": f"trailing{student}", "distilled_guidance": 1.5} if student else {}
        process = {"prediction": prediction, "label_diffusion": "uniform", "noise_shift": noise_shift}
        config = scdm.ModelConfig(network, SIZE, **process, **distilled, label_resolution=label_resolution)
        made = scdm.Model.new(config, palette)
        generator = torch.Generator().manual_seed(seed)
        for parameter in made.network.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.1
        path = tmp_path / f"model{seed}{prediction}.safetensors"
        pack("scdm.models.checkpoint").save(path, made)
        import comfy.ops

        return pack("nodes.native").managed(
            pack("scdm.models.conversion").load(path, operations=comfy.ops.disable_weight_init)
        )

    return make


@pytest.fixture
def layout(pack: Any) -> Any:
    """Four classes in blocks, and an unpainted corner."""
    blocks = torch.tensor([[0, 3, 5], [6, 2, 14]]).repeat_interleave(8, 0).repeat_interleave(8, 1)
    labels = pack("scdm.layouts.labels").LabelMap(blocks[None], 14)
    return pack("nodes.sockets").Layout(labels, pack("scdm.layouts.palette").Palette.named("scenes"))


def encoded(pack: Any, model: Any, layout: Any, label_noise: str = "fresh", batch: int = 1) -> tuple[Any, Any, Any]:
    return pack("nodes.encode").EncodeLayout.execute(model, layout, label_noise, batch).result


def sigmas_of(model: Any, steps: int) -> Tensor:
    """The sigmas at which `generate` visits a model, and 0."""
    schedule = model.model.scdm.denoiser.respaced(steps).schedule
    a = torch.from_numpy(schedule.alphas_cumprod).flip(0)
    return torch.cat([((1 - a) / a).sqrt().float(), torch.zeros(1)])


def simple_sigmas(model: Any, steps: int) -> Tensor:
    """Those of ComfyUI's scheduler "simple"."""
    import comfy.samplers

    return comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", steps)


def sampled(
    pack: Any,
    model: Any,
    layout: Any,
    sampler: str = "euler",
    *,
    seed: int = 3,
    noise_seeds: list[int] | None = None,
    guidance: float = 1.5,
    steps: int = STEPS,
    skipped: int = 0,
    label_noise: str = "fresh",
    latent: Tensor | None = None,
    mask: Tensor | None = None,
    change: Callable[[Any, Any], tuple[Any, Any]] | None = None,
) -> Tensor:
    """ComfyUI's sampler, on the steps and with the image noise that `generate` has."""
    import comfy.sample
    import comfy.samplers

    positive, negative, empty = encoded(pack, model, layout, label_noise)
    sigmas = sigmas_of(model, steps)[skipped:]
    if change:
        positive, negative = change(positive, negative)
    latent = empty["samples"] if latent is None else latent
    noise = pack("scdm.diffusion.noise").image_noise(noise_seeds or [seed + i for i in range(len(latent))])(latent)
    return comfy.sample.sample_custom(
        model,
        noise,
        guidance,
        comfy.samplers.sampler_object(sampler),
        sigmas,
        positive,
        negative,
        latent,
        noise_mask=mask,
        disable_pbar=True,
        seed=seed,
    )


def exact(
    pack: Any, model: Any, layout: Any, sampler: str | None, seed: int = 3, image: Tensor | None = None, **options: Any
) -> Tensor:
    pipeline = pack("scdm.pipeline")
    options = {"steps": STEPS, "guidance": 1.5, **options}
    return pipeline.generate(
        model.model.scdm, layout.labels, pipeline.GenerateOptions(sampler=sampler, seed=seed, **options), image=image
    )


@pytest.mark.parametrize("steps", [1, 4])
def test_a_student_is_walked_as_it_was_taught_by_euler_on_the_scheduler_simple(
    pack: Any, model: Any, layout: Any, steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = model(prediction="v", student=steps)
    monkeypatch.setitem(globals(), "sigmas_of", simple_sigmas)
    native = sampled(pack, student, layout, guidance=1.0, steps=steps)
    alone = exact(pack, student, layout, None, steps=None, guidance=None)
    assert (native.clamp(-1, 1) - alone).abs().max() <= 1e-3


def test_a_student_is_not_walked_in_a_way_that_it_does_not_know(
    pack: Any, model: Any, layout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    student = model(prediction="v", student=4)
    with pytest.raises(ValueError, match=r"distilled to 4 steps and knows no others: take 4 steps of euler"):
        sampled(pack, student, layout, guidance=1.0, steps=10)
    with pytest.raises(ValueError, match="knows no others"):
        sampled(pack, student, layout, guidance=1.0, steps=2)  # a part of its own, but with leaps
    monkeypatch.setitem(globals(), "sigmas_of", lambda model, steps: simple_sigmas(model, 4))
    with pytest.raises(ValueError, match="knows no others"):
        sampled(pack, student, layout, "dpmpp_sde", guidance=1.0)  # which looks between the steps
    monkeypatch.setitem(globals(), "sigmas_of", lambda model, steps: simple_sigmas(model, 4)[2:])
    with pytest.raises(ValueError, match=r"guidance of 1\.5 built in: set cfg to 1"):
        sampled(pack, student, layout, guidance=2.0)
    assert sampled(pack, student, layout, guidance=1.0).isfinite().all(), "the end of its own way is part of it"


@pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
@pytest.mark.parametrize(("comfys", "ours"), [("euler", "ddim"), ("dpmpp_2m", "dpmpp_2m")])
@pytest.mark.parametrize("label_noise", ["fresh", "coupled"])
def test_comfys_solvers_make_what_generate_makes(
    pack: Any, model: Any, layout: Any, prediction: str, comfys: str, ours: str, label_noise: str
) -> None:
    patcher = model(prediction=prediction)
    native = sampled(pack, patcher, layout, comfys, label_noise=label_noise).clamp(-1, 1)
    assert native.std() > 0.1, "not flat"
    assert (native - exact(pack, patcher, layout, ours, label_noise=label_noise)).abs().max() < 1e-3


def test_a_parametrisation_that_comfyui_does_not_know_is_given_as_x0(
    pack: Any, model: Any, layout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(pack("nodes.native").PREDICTION, "v")
    patcher = model(prediction="v")
    native = sampled(pack, patcher, layout).clamp(-1, 1)
    assert (native - exact(pack, patcher, layout, "ddim")).abs().max() < 1e-3


def test_part_of_the_way_is_the_same_part(pack: Any, model: Any, layout: Any) -> None:
    patcher, image = model(prediction="v"), torch.rand(1, 3, *SIZE) * 2 - 1
    native = sampled(pack, patcher, layout, latent=image, skipped=STEPS // 2).clamp(-1, 1)
    assert (native - exact(pack, patcher, layout, "ddim", image=image, strength=0.5)).abs().max() < 1e-3


def test_an_image_of_a_batch_is_that_of_its_seed(pack: Any, model: Any, layout: Any) -> None:
    patcher = model()
    two = sampled(pack, patcher, layout, latent=torch.zeros(2, 3, *SIZE))
    for i in range(2):
        assert torch.allclose(two[i], sampled(pack, patcher, layout, seed=3 + i)[0], atol=1e-4)


def test_stock_ksampler_runs_with_any_scheduler(pack: Any, model: Any, layout: Any) -> None:
    import nodes

    patcher = model()
    positive, negative, latent = encoded(pack, patcher, layout, batch=2)
    for scheduler in ("normal", "simple", "karras"):
        out = nodes.common_ksampler(patcher, 1, 4, 1.5, "dpmpp_2m", scheduler, positive, negative, latent)[0]["samples"]
        assert out.shape == (2, 3, *SIZE) and out.isfinite().all()
    image = pack("nodes.native").pixel_vae().decode(out)
    assert image.shape == (2, *SIZE, 3) and image.min() >= 0 and image.max() <= 1


def test_a_noise_mask_keeps_what_it_does_not_cover(pack: Any, model: Any, layout: Any) -> None:
    latent = torch.rand(1, 3, *SIZE) * 2 - 1
    mask = torch.zeros(1, *SIZE)
    mask[:, 4:12, 6:18] = 1
    out = sampled(pack, model(), layout, latent=latent, mask=mask)
    kept = mask[:, None].expand_as(out) == 0
    assert (out[kept] - latent[kept]).abs().max() < 1e-5
    assert (out[~kept] - latent[~kept]).abs().mean() > 0.1


def test_an_area_sees_its_own_part_of_the_layout(pack: Any, model: Any, layout: Any) -> None:
    """The left half follows one layout and the right half another, as if each had been cropped by hand."""
    sockets, calls = pack("nodes.sockets"), []
    patcher = model()
    network = patcher.model.scdm.network
    decode = network.decode
    network.decode = lambda features, labels: (calls.append(labels), decode(features, labels))[1]
    other = sockets.Layout(pack("scdm.layouts.labels").LabelMap(torch.full((1, *SIZE), 7), 14), layout.palette)

    def halves(positive: Any, negative: Any) -> tuple[Any, Any]:
        right = encoded(pack, patcher, other)[0]
        left = [[c, {**d, "area": ("percentage", 1.0, 0.5, 0, 0), "strength": 1.0}] for c, d in positive]
        right = [[c, {**d, "area": ("percentage", 1.0, 0.5, 0, 0.5), "strength": 1.0}] for c, d in right]
        return left + right, negative

    out = sampled(pack, patcher, layout, change=halves)
    assert out.shape == (1, 3, *SIZE) and out.isfinite().all()
    seen = [labels for labels in calls if labels is not None]
    assert all(labels.width == 12 for labels in seen)
    last_left, last_right = seen[-2:] if (seen[-1].ids == 7).any() else seen[-2:][::-1]
    painted = ~last_left.unpainted
    assert painted.any() and (last_left.ids[painted] == layout.labels.ids[..., :12][painted]).all()
    assert set(last_right.ids.unique().tolist()) <= {7, 14}


def test_guidance_encodes_once_for_both_branches(pack: Any, model: Any, layout: Any) -> None:
    patcher = model()
    network, calls = patcher.model.scdm.network, []
    encode = network.encode
    network.encode = lambda x, *given: (calls.append(len(x)), encode(x, *given))[1]
    sampled(pack, patcher, layout)
    assert calls == [1] * STEPS


def test_odd_sizes_are_grown_and_cropped(pack: Any, model: Any, layout: Any) -> None:
    odd = pack("nodes.sockets").Layout(layout.labels.resized(15, 21), layout.palette)
    out = sampled(pack, model(), odd, latent=torch.zeros(1, 3, 15, 21))
    assert out.shape == (1, 3, 15, 21) and out.isfinite().all()


def test_partly_loaded_weights_give_the_same_image(pack: Any, model: Any, layout: Any) -> None:
    patcher = model()
    before = sampled(pack, patcher, layout)
    patcher.detach()
    patcher.load(torch.device("cpu"), lowvram_model_memory=patcher.model_size() // 3)
    assert patcher.model.model_lowvram
    assert any(getattr(layer, "comfy_cast_weights", False) for layer in patcher.model.modules())
    assert torch.allclose(sampled(pack, patcher, layout), before, atol=1e-5)
    assert torch.allclose(exact(pack, patcher, layout, "ddim"), before.clamp(-1, 1), atol=1e-3)


def test_two_models_and_clones_live_side_by_side(pack: Any, model: Any, layout: Any) -> None:
    first, second = model(0), model(1)
    one = sampled(pack, first, layout)
    assert not torch.allclose(one, sampled(pack, second, layout), atol=0.1)
    assert torch.equal(one, sampled(pack, first.clone(), layout))


def test_other_classes_and_other_models_are_refused_in_words(pack: Any, model: Any, layout: Any) -> None:
    patcher = model()
    wrong = pack("nodes.sockets").Layout(
        pack("scdm.layouts.labels").LabelMap(torch.zeros(1, *SIZE, dtype=torch.int64), 151),
        pack("scdm.layouts.palette").Palette.named("ade20k"),
    )
    with pytest.raises(ValueError, match="151 classes, the model expects 14: load the layout with the palette scenes"):
        encoded(pack, patcher, wrong)
    with pytest.raises(ValueError, match="connect Encode Layout"):
        sampled(pack, patcher, layout, change=lambda positive, negative: ([[None, {}]], negative))
    with pytest.raises(ValueError, match="fresh, coupled or none"):
        encoded(pack, patcher, layout, label_noise="loud")

    class Other:
        model = object()

    with pytest.raises(ValueError, match="not made for painted layouts"):
        encoded(pack, Other(), layout)


def test_a_layout_that_is_zeroed_out_is_a_blank_one(pack: Any, model: Any, layout: Any) -> None:
    """As the negative of an undistilled model, or in place of the layout."""
    import nodes

    patcher = model()

    def zeroed(positive: Any, negative: Any) -> tuple[Any, Any]:
        return positive, nodes.ConditioningZeroOut().zero_out(positive)[0]

    plain = sampled(pack, patcher, layout)
    assert torch.equal(sampled(pack, patcher, layout, change=zeroed), plain)
    swapped = sampled(pack, patcher, layout, change=lambda positive, negative: (negative, positive))
    nothing = sampled(pack, patcher, layout, change=lambda *given: (zeroed(*given)[1], given[0]))
    assert torch.equal(nothing, swapped)


def test_layouts_that_are_joined_as_texts_are_refused_in_words(pack: Any, model: Any, layout: Any) -> None:
    import nodes

    patcher, sockets = model(), pack("nodes.sockets")
    other = sockets.Layout(pack("scdm.layouts.labels").LabelMap(torch.full((1, *SIZE), 7), 14), layout.palette)
    also = encoded(pack, patcher, other)[0]

    def concatenated(positive: Any, negative: Any) -> tuple[Any, Any]:
        return nodes.ConditioningConcat().concat(positive, also)[0], negative

    def averaged(strength: float) -> Any:
        average = nodes.ConditioningAverage().addWeighted
        return lambda positive, negative: (average(positive, also, strength)[0], negative)

    for change in (concatenated, averaged(0.5), averaged(0.0)):
        with pytest.raises(ValueError, match=r"layouts cannot be joined or averaged .* ConditioningCombine"):
            sampled(pack, patcher, layout, change=change)
    assert torch.equal(sampled(pack, patcher, layout, change=averaged(1.0)), sampled(pack, patcher, layout))


def test_layouts_that_are_joined_with_texts_are_refused_in_words(pack: Any, model: Any, layout: Any) -> None:
    import nodes

    positive = encoded(pack, model(), layout)[0]
    text = [[torch.rand(1, 77, 768), {"pooled_output": torch.rand(1, 768)}]]
    for join in (
        nodes.ConditioningConcat().concat,
        lambda to, also: nodes.ConditioningAverage().addWeighted(to, also, 0.5),
    ):
        with pytest.raises(ValueError, match=r"layouts cannot be joined or averaged .* ConditioningCombine"):
            join(text, positive)
    with pytest.raises(ValueError, match="layouts cannot be joined or averaged"):
        nodes.ConditioningConcat().concat(positive, text)


def test_layouts_are_combined_by_masks(pack: Any, model: Any, layout: Any) -> None:
    """Under masks that share the image each half follows its own layout alone."""
    import nodes

    patcher, sockets, left = model(), pack("nodes.sockets"), torch.zeros(1, *SIZE)
    left[..., : SIZE[1] // 2] = 1
    other = sockets.Layout(pack("scdm.layouts.labels").LabelMap(torch.full((1, *SIZE), 7), 14), layout.palette)
    also = encoded(pack, patcher, other)[0]

    def both(positive: Any, negative: Any) -> tuple[Any, Any]:
        mask = nodes.ConditioningSetMask().append
        halves = (mask(given, part, "default", 1.0)[0] for given, part in ((positive, left), (also, 1 - left)))
        return nodes.ConditioningCombine().combine(*halves)[0], negative

    out = sampled(pack, patcher, layout, change=both, steps=1)
    middle = SIZE[1] // 2
    assert torch.allclose(out[..., :middle], sampled(pack, patcher, layout, steps=1)[..., :middle], atol=1e-4)
    assert torch.allclose(out[..., middle:], sampled(pack, patcher, other, steps=1)[..., middle:], atol=1e-4)


def test_comfyuis_empty_latent_is_as_large_as_its_image_or_refused(pack: Any, model: Any, layout: Any) -> None:
    """Versions that say at what scale it is make it larger; of others an eighth would come."""
    import nodes

    patcher = model()
    large = pack("nodes.sockets").Layout(layout.labels.resized(64, 96), layout.palette)
    positive, negative, _ = encoded(pack, patcher, large)
    latent = nodes.EmptyLatentImage().generate(96, 64)[0]

    def run() -> Tensor:
        return nodes.common_ksampler(patcher, 1, 1, 1.5, "euler", "simple", positive, negative, latent)[0]["samples"]

    if "downscale_ratio_spacial" in latent:
        assert run().shape == (1, 3, 64, 96)
    else:
        with pytest.raises(ValueError, match="the latent is an eighth of the layout, 12 x 8 pixels"):
            run()


def test_broken_or_foreign_latents_are_refused_in_words(pack: Any, model: Any, layout: Any) -> None:
    from comfy_extras import nodes_model_advanced

    import nodes

    patcher = model()
    positive, negative, latent = encoded(pack, patcher, layout)

    def run(samples: Tensor, patched: Any = patcher, scheduler: str = "normal", steps: int = 2) -> Any:
        return nodes.common_ksampler(
            patched, 1, steps, 1.5, "euler", scheduler, positive, negative, {"samples": samples}
        )

    for shape in ((1, 4, 8, 8), (1, 16, 8, 8), (1, 3, 1, 8, 8), (0, 3, 8, 8)):
        with pytest.raises(ValueError, match="this latent is not of the model's kind"):
            run(torch.rand(shape))
    with pytest.raises(ValueError, match="numbers are broken"):
        run(torch.full((1, 3, *SIZE), torch.nan))
    with pytest.raises(ValueError, match="remove the ModelSampling node"):
        run(latent["samples"], nodes_model_advanced.ModelSamplingSD3().patch(patcher, 3.0, 1000)[0])
    with pytest.raises(ValueError, match="gives no noise to start from"):
        run(latent["samples"], scheduler="kl_optimal", steps=1)


def test_seeds_wrap_as_those_of_generate_do(pack: Any, model: Any, layout: Any) -> None:
    patcher = model()
    both = sampled(pack, patcher, layout, seed=2**64 - 1, latent=torch.zeros(2, 3, *SIZE), noise_seeds=[5, 6])
    second = sampled(pack, patcher, layout, seed=0, noise_seeds=[6])
    assert torch.allclose(both[1], second[0], atol=1e-4)


@pytest.mark.parametrize("batch", [-1, 0, 65, 10**9])
def test_batches_that_only_a_link_can_bring_are_refused(pack: Any, model: Any, layout: Any, batch: int) -> None:
    with pytest.raises(ValueError, match=f"1 to 64 images, not {batch}"):
        encoded(pack, model(), layout, batch=batch)


def reads(network: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How often each call of the network has the host wait for a number."""
    from torch.utils._python_dispatch import TorchDispatchMode

    counts: list[int] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            counts[-1] += func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.equal.default)
            return func(*args, **(kwargs or {}))

    forward = type(network).forward

    def watched(self: Any, *given: Any, **named: Any) -> Tensor:
        counts.append(0)
        with Watch():
            return forward(self, *given, **named)

    monkeypatch.setattr(type(network), "forward", watched)
    return counts


def test_the_host_waits_for_one_number_a_step_at_most(
    pack: Any, model: Any, layout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step, by which the noise of the label diffusion is drawn; with noise that stays, not even that."""
    patcher = model()
    counts = reads(patcher.model.diffusion_model, monkeypatch)
    for label_noise, most in (("fresh", 1), ("coupled", 0)):
        counts.clear()
        sampled(pack, patcher, layout, label_noise=label_noise)
        assert len(counts) == STEPS and max(counts[1:]) == most, "the first looks at the sampler's way"


def test_a_run_makes_the_tables_of_its_label_diffusion_once(
    pack: Any, model: Any, layout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They would be sent to the device at every step."""
    patcher, made, diffusion = model(), list[Any](), pack("scdm.diffusion.label_diffusion").LabelDiffusion
    respaced = diffusion.respaced
    monkeypatch.setattr(diffusion, "respaced", lambda self, steps: (made.append(steps), respaced(self, steps))[1])
    sampled(pack, patcher, layout)
    assert len(made) == 1 + 1, "and once for the steps of `sigmas_of`"


def test_guidance_away_from_another_layout_and_from_an_empty_one(pack: Any, model: Any, layout: Any) -> None:
    """A negative that is painted is a layout like any other; one of MASK is the null condition, however it came about."""
    patcher = model()
    sockets = pack("nodes.sockets")
    empty = sockets.Layout(pack("scdm.layouts.labels").LabelMap(torch.full((1, *SIZE), 14), 14), layout.palette)
    other = sockets.Layout(pack("scdm.layouts.labels").LabelMap(torch.full((1, *SIZE), 7), 14), layout.palette)

    def away_from(what: Any) -> Any:
        return lambda positive, negative: (positive, encoded(pack, patcher, what)[0])

    plain = sampled(pack, patcher, layout)
    assert torch.equal(sampled(pack, patcher, layout, change=away_from(empty)), plain)
    assert not torch.allclose(sampled(pack, patcher, layout, change=away_from(other)), plain, atol=0.1)


@pytest.mark.parametrize(
    ("flag", "weight", "tolerance"),
    [("fp16_unet", torch.float16, 0.02), ("bf16_unet", torch.bfloat16, 0.15), ("fp32_unet", torch.float32, 1e-6)],
)
def test_the_kind_of_weights_is_comfyuis_choice(
    pack: Any,
    model: Any,
    layout: Any,
    flag: str,
    weight: torch.dtype,
    tolerance: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By its command line here. On a CPU it keeps them so, and casts them to float32 layer by layer."""
    from comfy.cli_args import args

    whole = sampled(pack, model(), layout)
    monkeypatch.setattr(args, flag, True)
    patcher = model()
    assert patcher.model_dtype() == weight and patcher.model.get_dtype_inference() == torch.float32
    network = patcher.model.scdm.network  # of which two small parts stay exact
    assert network.input_blocks[0][0].weight.dtype == weight and network.out[2].weight.dtype == torch.float32
    seen = []
    patcher.model.scdm.network.middle_block[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].dtype))
    assert (sampled(pack, patcher, layout) - whole).abs().mean() <= tolerance
    assert set(seen) == {torch.float32}
    image = exact(pack, patcher, layout, "ddim")
    assert (image - whole.clamp(-1, 1)).abs().mean() <= tolerance and image.dtype == torch.float32


def test_what_is_computed_in_is_comfyuis_choice_too(pack: Any, model: Any, layout: Any) -> None:
    """As its node ModelComputeDtype has it."""
    from comfy_extras.nodes_model_advanced import ModelComputeDtype

    patcher = model()
    whole, half = sampled(pack, patcher, layout), ModelComputeDtype().patch(patcher, "bf16")[0]
    seen = []
    patcher.model.scdm.network.middle_block[0].register_forward_pre_hook(lambda _, given: seen.append(given[0].dtype))
    out = sampled(pack, half, layout)
    assert set(seen) == {torch.bfloat16} and out.dtype == torch.float32
    assert 0 < (out - whole).abs().mean() < 0.15
    assert torch.allclose(sampled(pack, patcher, layout), whole, atol=1e-5), "the model itself stays as it was"


def test_generate_computes_in_the_precision_asked_for(
    pack: Any, model: Any, layout: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from comfy.cli_args import args

    monkeypatch.setattr(args, "fp32_unet", True)
    patcher, node = model(), pack("nodes.generate").Generate
    inputs = {spec.id: spec.default for spec in node.define_schema().inputs[2:] if not spec.optional} | {"steps": 2}

    def image(precision: str) -> Tensor:
        return node.execute(patcher, layout, **inputs, precision=precision).result[0]

    assert torch.equal(image("auto"), image("float32"))
    assert 0 < (image("bfloat16") - image("float32")).abs().mean() < 0.1


def test_comfyuis_torch_compile_model_works(pack: Any, model: Any, layout: Any) -> None:
    """The compiled model paints what the plain one does, with and without guidance. By a backend without a compiler, which
    would take minutes: what can be compiled is the same."""
    from comfy_extras.nodes_torch_compile import TorchCompileModel

    patcher = model()
    compiled = TorchCompileModel.execute(patcher, "eager").result[0]
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for guidance in (1.5, 1.0):
        before, again = (sampled(pack, either, layout, guidance=guidance) for either in (patcher, compiled))
        assert (again - before).abs().max() < 1e-3
    counters = torch._dynamo.utils.counters
    assert counters["stats"]["unique_graphs"] >= 3, "the encoder, the decoder, and the decoder of an empty layout"
    assert not counters["graph_break"]


def test_a_network_of_another_kind_is_a_model_like_any_other(pack: Any, model: Any, layout: Any) -> None:
    shape = pack("scdm.networks.dit").DiTConfig(14, patch=4, width=32, depth=2, heads=4, learn_sigma=True)
    patcher = model(network=shape)
    native = sampled(pack, patcher, layout)
    assert (native - exact(pack, patcher, layout, "ddim")).abs().max() < 1e-3
    settings = {"seed": 3, "steps": STEPS, "sampler": "ddim", "guidance": 1.5, "label_noise": "fresh", "feather": 0}
    made = pack("nodes.generate").Generate.execute(patcher, layout, batch_size=1, denoise=1.0, **settings).result[0]
    edited = pack("nodes.editing").EditImage.execute(patcher, layout, margin=0, **settings).result[0]
    assert made.shape == (1, *SIZE, 3) and made.std() > 0
    assert (edited - made).abs().max() <= 1 / 255, "an edit session keeps images in 256 levels"


PATCHES = {"patch": 4, "layout_width": 8, "sized": True, "roughness": True}


@pytest.mark.parametrize("size", [SIZE, (13, 22), (2, 3)])
def test_patches_on_a_shifted_schedule_are_sampled_in_pixels(
    pack: Any, model: Any, layout: Any, size: tuple[int, int]
) -> None:
    """Sides that no patch divides, and of less than a patch, too; ComfyUI's padding differs, so that these differ."""
    patcher = model(prediction="x0", noise_shift=0.25, **PATCHES)
    resized = pack("nodes.sockets").Layout(layout.labels.resized(*size), layout.palette)
    native = sampled(pack, patcher, resized).clamp(-1, 1)
    assert native.shape == (1, 3, *size) and native.isfinite().all()
    if size == SIZE:
        assert native.std() > 0.05
        assert (native - exact(pack, patcher, resized, "ddim")).abs().max() < 1e-3


def test_a_mask_on_patches_keeps_its_pixels(pack: Any, model: Any, layout: Any) -> None:
    latent, mask = torch.rand(1, 3, *SIZE) * 2 - 1, torch.zeros(1, *SIZE)
    mask[:, 5:11, 7:18] = 1  # begins and ends within patches
    out = sampled(pack, model(prediction="x0", **PATCHES), layout, latent=latent, mask=mask)
    kept = mask[:, None].expand_as(out) == 0
    assert (out[kept] - latent[kept]).abs().max() < 1e-5
    assert (out[~kept] - latent[~kept]).abs().mean() > 0.05


def test_an_area_is_given_the_height_of_the_whole(pack: Any, model: Any, layout: Any) -> None:
    patcher = model(prediction="x0", **PATCHES)
    network, calls = patcher.model.scdm.network, []
    encode = network.encode
    network.encode = lambda x, t, height: (calls.append((x.shape[-2], height)), encode(x, t, height))[1]

    def above(positive: Any, negative: Any) -> tuple[Any, Any]:
        return [[c, {**d, "area": ("percentage", 0.4, 1.0, 0, 0), "strength": 1.0}] for c, d in positive], negative

    out = sampled(pack, patcher, layout, change=above)
    assert out.shape == (1, 3, *SIZE) and out.isfinite().all()
    assert {height for _, height in calls} == {SIZE[0]}


def test_an_area_is_masked_as_the_whole_is(pack: Any, model: Any, layout: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a model whose label noise knows the resolution."""
    patcher, heights = model(label_resolution=64), list[Any]()
    assert (sampled(pack, patcher, layout) - exact(pack, patcher, layout, "ddim")).abs().max() < 1e-3
    kind = pack("scdm.diffusion.label_diffusion").LabelDiffusion
    chance = kind.mask_probability

    def watched(self: Any, t: Tensor, num_classes: int, height: int) -> Tensor:
        heights.append(height)
        return chance(self, t, num_classes, height)

    monkeypatch.setattr(kind, "mask_probability", watched)

    def above(positive: Any, negative: Any) -> tuple[Any, Any]:
        return [[c, {**d, "area": ("percentage", 0.4, 1.0, 0, 0), "strength": 1.0}] for c, d in positive], negative

    sampled(pack, patcher, layout, change=above)
    assert set(heights) == {SIZE[0]}


def test_a_layout_that_is_concatenated_is_sampled_as_generate_does(pack: Any, model: Any, layout: Any) -> None:
    patcher = model(conditioning="concat")
    native = sampled(pack, patcher, layout)
    assert (native - exact(pack, patcher, layout, "ddim")).abs().max() < 1e-3


def test_roughness_travels_with_the_layout(pack: Any, model: Any, layout: Any) -> None:
    patcher = model(prediction="x0", **PATCHES)

    def made(roughness: float | None) -> Tensor:
        values = None if roughness is None else torch.tensor([roughness])
        labels = replace(layout.labels, roughness=values)
        return sampled(pack, patcher, pack("nodes.sockets").Layout(labels, layout.palette))

    unknown = made(None)
    assert torch.equal(made(float("nan")), unknown)
    assert (made(0.8) - unknown).abs().max() > 1e-4


def test_a_model_is_loaded_in_the_precision_asked_for(pack: Any) -> None:
    load = pack("nodes.models").LoadModel.execute
    for precision, weight in (("auto", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)):
        patcher = load("scenes-fast", precision).result[0]
        if precision != "auto" or not torch.cuda.is_available():
            assert patcher.model_dtype() == weight
    assert load("scenes-fast").result[0].model_dtype() == load("scenes-fast", "auto").result[0].model_dtype()
    with pytest.raises(ValueError, match="float32, bfloat16, float16, not 'int8'"):
        load("scenes-fast", "int8")


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
@pytest.mark.parametrize(
    ("flag", "tolerance"), [("fp32_unet", 2e-3), ("fp16_unet", 0.02), ("bf16_unet", 0.1), ("force_fp16", 0.02)]
)
def test_a_gpu_samples_what_the_cpu_does(
    pack: Any, model: Any, layout: Any, tmp_path: Path, flag: str, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from comfy.cli_args import args

    monkeypatch.setattr(args, flag, True)
    patcher, pipeline = model(), pack("scdm.pipeline")
    assert patcher.load_device.type == "cuda"
    options = pipeline.GenerateOptions(steps=STEPS, guidance=1.5, sampler="ddim", seed=3)
    alone = pipeline.generate(
        pack("scdm.models.conversion").load(tmp_path / "model0eps.safetensors"), layout.labels, options
    )
    for made in (sampled(pack, patcher, layout), exact(pack, patcher, layout, "ddim")):
        assert (made.cpu().clamp(-1, 1) - alone).abs().mean() <= tolerance


def test_roughness_reaches_the_network_as_generate_has_it(pack: Any, model: Any, layout: Any) -> None:
    patcher = model(roughness=True)
    encode = pack("nodes.encode").EncodeLayout.execute
    rough = pack("nodes.sockets").Layout(
        encode(patcher, layout, "fresh", 1, roughness=0.5).result[0][0][1]["scdm_layout"].labels, layout.palette
    )
    assert rough.labels.roughness.tolist() == [0.5]
    out = sampled(pack, patcher, rough)
    assert not torch.allclose(out, sampled(pack, patcher, layout), atol=1e-3)
    options = pack("scdm.pipeline").GenerateOptions(steps=STEPS, sampler="ddim", guidance=1.5, seed=3, roughness=0.5)
    made = pack("scdm.pipeline.composition").generate(patcher.model.scdm, layout.labels, options)
    assert torch.allclose(out.clamp(-1, 1), made, atol=1e-3)


def test_roughness_is_refused_where_it_is_not_read(pack: Any, model: Any, layout: Any) -> None:
    with pytest.raises(ValueError, match="does not read how rough a layout is"):
        pack("nodes.encode").EncodeLayout.execute(model(), layout, "fresh", 1, roughness=0.5)
    assert pack("nodes.encode").EncodeLayout.execute(model(), layout, "fresh", 1, roughness=-0.05)


def test_a_model_with_an_upsampler_is_sampled_small_and_given_its_detail(
    pack: Any, model: Any, layout: Any, tmp_path: Path
) -> None:
    """The second stage after a sampler of ComfyUI's is the one of `generate`, and its weights lie where the model's do."""
    import comfy.ops

    models, composition = (pack(f"scdm.{name}") for name in ("models.model", "pipeline.composition"))
    base = model().model.scdm
    own = {"learn_sigma": False, "patch": 2, "head": 4, "upsamples": True}
    detail = replace(base.config.network, attention=(), **own)
    config = models.ModelConfig(
        detail,
        (64, 96),
        noise_schedule="cosine",
        prediction="x0",
        label_diffusion="none",
        distilled_steps="trailing2",
        distilled_guidance=1.0,
        upsamples=16,
    )
    upsampler = models.Model.new(config, base.palette)
    for parameter in upsampler.network.parameters():
        parameter.data = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)) * 0.1
    path = tmp_path / "joined.safetensors"
    pack("scdm.models.checkpoint").save(path, base.upsampled_by(upsampler))
    joined = pack("nodes.native").managed(
        pack("scdm.models.conversion").load(path, operations=comfy.ops.disable_weight_init)
    )
    large = replace(layout, labels=layout.labels.resized(64, 96))
    _, _, latent = encoded(pack, joined, large)
    assert latent["samples"].shape == (1, 3, 16, 24)
    options = pack("scdm.pipeline").GenerateOptions(seed=3, guidance=1.5, steps=STEPS, sampler="ddim")
    small = composition.generate(base, layout.labels, options)
    whole = composition.add_detail(joined.model.scdm, large.labels, small, options)
    shown = ((small + 1) / 2).movedim(1, -1)
    (made,) = pack("nodes.detail").AddDetail.execute(joined, large, shown, seed=3, roughness=-0.05).result
    assert made.shape == (1, 64, 96, 3)
    assert torch.allclose(made.movedim(-1, 1) * 2 - 1, whole, atol=1e-4)
    with pytest.raises(ValueError, match="this model has no upsampler"):
        pack("nodes.detail").AddDetail.execute(model(), large, shown, seed=3, roughness=-0.05)
    with pytest.raises(ValueError, match="an upsampler adds detail to another model's images"):
        pack("nodes.native").managed(upsampler)
