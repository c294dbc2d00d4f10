"""generate() in two stages: a small image, and the detail that an upsampler adds to it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from scdm.diffusion.noise import image_noise
from scdm.diffusion.upsampling import enlarged, enlarged_within, reduced
from scdm.editing.session import EditSession
from scdm.editing.window import windowed
from scdm.models import checkpoint
from scdm.models.model import Model, ModelConfig
from scdm.pipeline import GenerateOptions, add_detail, composition, generate
from tests.pipeline.test_generate import FAST, NETWORK, PALETTE, build, layout, same
from tests.weights import randomize

DETAIL = replace(NETWORK, learn_sigma=False, patch=2, head=4, sized=True, upsamples=True)
OWN = ModelConfig(
    DETAIL,
    size=(64, 64),
    sizes=((32, 32), (64, 64)),
    noise_schedule="cosine",
    noise_shift=2.5,
    prediction="x0",
    label_diffusion="none",
    distilled_steps="trailing2",
    distilled_guidance=1.0,
    window=16,
    upsamples=16,
)


def upsampler_of(config: ModelConfig = OWN) -> Model:
    model = Model.new(config, PALETTE)
    randomize(model.network)
    model.network.eval().requires_grad_(False)
    return model.to("cpu")


@pytest.fixture(scope="module")
def model() -> Model:
    return build().upsampled_by(upsampler_of())


def part(height: int = 64, width: int = 64) -> torch.Tensor:
    mask = torch.zeros(1, 1, height, width)
    mask[..., 20:33, 24:40] = 1
    return mask


def test_an_image_is_what_the_small_one_is_with_detail(model):
    """An upsampler without weights gives the small image back, enlarged within the layout's outlines."""
    idle = upsampler_of()
    for weight in idle.network.parameters():
        weight.zero_()
    coarse = layout(16, 16)
    fine = coarse.resized(64, 64)
    small = generate(build(), coarse, FAST)
    assert same(generate(build().upsampled_by(idle), fine, FAST), enlarged_within(small, fine))
    image = generate(model, fine, FAST)
    assert image.shape == (1, 3, 64, 64) and (image - enlarged(small, (64, 64))).abs().max() > 0.05


def test_a_seed_gives_the_same_image_in_any_batch(model):
    batch = generate(model, layout(64, 64).expanded(2), replace(FAST, seed=5))
    for i in range(2):
        assert same(batch[i : i + 1], generate(model, layout(64, 64), replace(FAST, seed=5 + i)))


@pytest.mark.parametrize("size", [(16, 16), (20, 23)])
def test_what_is_hardly_larger_than_small_is_made_at_once(model, size):
    assert torch.equal(generate(model, layout(*size), FAST), generate(build(), layout(*size), FAST))


@pytest.mark.parametrize("size", [(25, 31), (64, 40), (33, 90)])
def test_any_size_has_two_stages(model, size):
    image = generate(model, layout(*size), FAST)
    assert image.shape == (1, 3, *size) and image.isfinite().all()


def test_steps_are_counted_through_and_their_previews_are_as_large_as_the_image(model):
    seen = []
    generate(
        model, layout(64, 48), FAST, on_step=lambda step, steps: seen.append((step.done, steps, step.x0.shape[-2:]))
    )
    assert seen == [(done, 6, (64, 48)) for done in range(1, 7)]


def test_what_a_mask_keeps_is_the_image_to_the_bit(model):
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1
    made = generate(model, layout(64, 64), FAST, image=image, mask=part())
    kept = (part() == 0).expand_as(made)
    assert torch.equal(made[kept], image[kept]) and (made - image)[~kept].abs().max() > 0.1


def test_strength_is_that_of_the_small_image_and_detail_is_drawn_in_all_steps(model):
    told = []
    generate(
        model, layout(64, 64), replace(FAST, strength=0.5), image=source(), on_step=lambda _, steps: told.append(steps)
    )
    assert told == [6] * 6  # 2 of 4, and 2 of 2 for the small image as it was and as it is


def test_the_less_strength_the_more_is_kept_of_an_images_own_detail(model):
    def changed(strength: float) -> torch.Tensor:
        made = generate(model, layout(64, 64), replace(FAST, strength=strength), image=source())
        fine = (made - source()) - enlarged(reduced(made - source(), (16, 16)), (64, 64))
        return fine.square().mean()

    little, more, much = (changed(strength) for strength in (0.05, 0.2, 0.45))  # 1 of 4 steps, or 2
    assert little < more < much


def test_where_the_small_image_stays_so_does_the_image(model, monkeypatch):
    """Its change alone changes an image, at little strength: here there is none."""
    monkeypatch.setattr("scdm.pipeline.composition._made", unchanged(composition._made))
    made = generate(model, layout(64, 64), replace(FAST, strength=1e-6), image=source())
    assert (made - source()).abs().max() < 1e-4


def test_where_the_small_image_changes_none_of_the_old_detail_stays(model, monkeypatch):
    """The outline of what was there hung in the new sky."""
    moved = torch.zeros(1, 1, 16, 16)
    moved[..., :8] = 1.5
    monkeypatch.setattr("scdm.pipeline.composition._made", unchanged(composition._made, moved))
    made = generate(model, layout(64, 64), replace(FAST, strength=1e-6), image=source())
    small = (reduced(source(), (16, 16)) + moved).clamp(-1, 1)
    off = (made - add_detail(model, layout(64, 64), small, FAST)).abs()
    assert off[..., :28].max() < 0.02 < off[..., 40:].max()


def unchanged(made, off=0.0):
    """`_made`, of which the first stage gives the image back that it starts from, `off` added."""
    return lambda stage, labels, given, on_step, low=None: (
        given.image + off if low is None else made(stage, labels, given, on_step, low)
    )


def test_at_half_strength_what_a_mask_keeps_is_the_image_to_the_bit(model):
    made = generate(model, layout(64, 64), replace(FAST, strength=0.5), image=source(), mask=part())
    kept = (part() == 0).expand_as(made)
    assert torch.equal(made[kept], source()[kept]) and (made - source())[~kept].abs().max() > 0.01


def source() -> torch.Tensor:
    """An image with detail of its own."""
    generator = torch.Generator().manual_seed(3)
    coarse, fine = (torch.rand(1, 3, side, side, generator=generator) - 0.5 for side in (8, 64))
    return enlarged(coarse, (64, 64)) + 0.5 * fine


def test_noise_is_that_of_the_small_image_or_a_function(model):
    labels = layout(64, 64)
    by_seed = generate(model, labels, replace(FAST, seed=9))
    assert same(generate(model, labels, replace(FAST, seed=9), noise=image_noise([9])), by_seed) is False
    first = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert generate(model, labels, FAST, noise=first).isfinite().all()
    with pytest.raises(ValueError, match=r"noise must be floats of the shape \(1, 3, 16, 16\), not"):
        generate(model, labels, FAST, noise=torch.zeros(1, 3, 64, 64))


def test_an_upsampler_alone_makes_no_image():
    with pytest.raises(
        ValueError, match=r"^an upsampler adds detail to another model's images: make one model of both"
    ):
        generate(upsampler_of(), layout(64, 64), FAST)
    with pytest.raises(ValueError, match=r"^an upsampler adds detail to another model's images"):
        EditSession(upsampler_of(), (64, 64))


def test_only_an_upsampler_of_the_same_classes_joins(model):
    with pytest.raises(ValueError, match="this model is no upsampler"):
        build().upsampled_by(build())
    with pytest.raises(ValueError, match=r"^an upsampler adds detail to another model's images"):
        upsampler_of().upsampled_by(upsampler_of())
    other = replace(upsampler_of(), palette=replace(PALETTE, names=tuple("abce")))
    with pytest.raises(ValueError, match="the upsampler"):
        build().upsampled_by(other)
    assert str(model.config.taught) == "16 to 64 pixels"


def test_an_edit_computes_the_small_image_whole_and_a_window_of_the_detail(model):
    region = torch.zeros(256, 256, dtype=torch.bool)
    region[40:60, 200:220] = True
    seen = windowed(model, region)
    assert seen.network is model.network and seen.upsampler is not None
    network = seen.upsampler.network
    assert len(network.rows) < 256 and 40 in network.rows and 219 in network.columns
    session = EditSession(model, (64, 64), FAST)
    session.update()
    before = session.image
    session.paint((part() > 0)[0, 0].numpy(), "b")
    update = session.update()
    assert before is not None and update.region.any() and not update.region.all()
    assert torch.equal(update.image[..., ~update.region], before[..., ~update.region])


def test_a_file_holds_both(model, tmp_path):
    path = tmp_path / "joined.safetensors"
    checkpoint.save(path, model)
    back = checkpoint.load(path)
    assert back.digest() == model.digest() != build().digest() and back.upsampler is not None
    assert same(generate(back, layout(64, 64), FAST), generate(model, layout(64, 64), FAST))
    header = checkpoint.read_header(path)
    assert header.upsampler is not None and header.upsampler.config == OWN


def test_a_header_without_the_upsampler_that_its_tensors_have_is_refused(model, tmp_path):
    tensors = {name: weight.contiguous() for name, weight in checkpoint.weights(model).items()}
    path = tmp_path / "half.safetensors"
    checkpoint.write_tensors(path, tensors, {checkpoint.HEADER: checkpoint.Header.of(build()).to_json()})
    with pytest.raises(ValueError, match=r"half\.safetensors"):
        checkpoint.load(path)
    header = replace(checkpoint.Header.of(model), upsampler=checkpoint.Header.of(build()))
    checkpoint.write_tensors(path, tensors, {checkpoint.HEADER: header.to_json()})
    with pytest.raises(ValueError, match="what its header calls an upsampler is none"):
        checkpoint.load(path)


def test_a_header_whose_upsampler_reads_other_classes_is_refused(model, tmp_path):
    theirs = checkpoint.Header.of(model.upsampler)
    swapped = replace(theirs.palette, names=theirs.palette.names[::-1])
    header = replace(checkpoint.Header.of(model), upsampler=replace(theirs, palette=swapped))
    tensors = {name: weight.contiguous() for name, weight in checkpoint.weights(model).items()}
    checkpoint.write_tensors(tmp_path / "other.safetensors", tensors, {checkpoint.HEADER: header.to_json()})
    with pytest.raises(ValueError, match=r"other\.safetensors.* its upsampler"):
        checkpoint.load(tmp_path / "other.safetensors")


def test_options_of_the_first_stage_do_not_reach_the_second(model):
    options = GenerateOptions(steps=4, guidance=2.0, sampler="dpmpp_2m", dynamic_threshold=0.9)
    assert generate(model, layout(64, 64), options).isfinite().all()


def test_detail_can_be_added_to_a_small_image_of_another_sampler(model):
    """As `generate` adds it to its own."""
    options, labels = replace(FAST, seed=4), layout(64, 64)
    small = generate(build(), labels.reduced(16, 16), options)
    assert same(add_detail(model, labels, small, options), generate(model, labels, options))


@pytest.mark.parametrize(
    ("upsampled", "small", "complaint"),
    [
        (False, torch.zeros(1, 3, 16, 16), "this model has no upsampler"),
        (True, torch.zeros(1, 3, 65, 64), "the image is 64x65 and the layout 64x64: detail is added to smaller images"),
        (True, torch.zeros(3, 16, 16), "the image must be a tensor"),
        (True, torch.zeros(1, 4, 16, 16), r"the image must have the shape \(1, 3, height, width\)"),
        (True, torch.zeros(1, 3, 0, 16), r"the image must have the shape \(1, 3, height, width\), not \(1, 3, 0, 16\)"),
        (True, torch.full((1, 3, 16, 16), torch.nan), "NaN"),
    ],
)
def test_what_detail_cannot_be_added_to_is_refused(model, upsampled, small, complaint):
    with pytest.raises(ValueError, match=complaint):
        add_detail(model if upsampled else build(), layout(64, 64), small, FAST)


def test_models_of_the_package_share_an_upsampler_by_name(model, tmp_path, monkeypatch):
    (tmp_path / "upsamplers").mkdir()
    checkpoint.save(tmp_path / "upsamplers" / "test.safetensors", model.upsampler)
    monkeypatch.setattr(checkpoint.assets, "UPSAMPLERS", str(tmp_path / "upsamplers"))
    own = {name: weight.contiguous() for name, weight in checkpoint.weights(build()).items()}
    header = replace(checkpoint.Header.of(model), shared="test")
    checkpoint.save(tmp_path / "base.safetensors", model, shared="test")
    assert checkpoint.load(tmp_path / "base.safetensors").digest() == model.digest()
    absent = replace(header, shared="../test").to_json()
    checkpoint.write_tensors(tmp_path / "other.safetensors", own, {checkpoint.HEADER: absent})
    with pytest.raises(ValueError, match="does not come with this version of scdm"):
        checkpoint.load(tmp_path / "other.safetensors")
    changed = upsampler_of()
    changed.network.head[0].weight.zero_()  # type: ignore[index]
    for given, name, complaint in (
        (build().upsampled_by(changed), "test", "the model's upsampler is not test of the package: join"),
        (build(), "test", "the model's upsampler is not test of the package: join"),
        (model, "nope", "its upsampler 'nope' does not come with this version"),
    ):
        with pytest.raises(ValueError, match=rf"wrong\.safetensors is not written: {complaint}"):
            checkpoint.save(tmp_path / "wrong.safetensors", given, shared=name)
    assert not (tmp_path / "wrong.safetensors").exists()
