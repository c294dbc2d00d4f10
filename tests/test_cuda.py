"""A GPU against the CPU: the same images and losses, but for rounding, and nobody waits for the device.

What another order of sums moves in float32 (TF32 is off) is 1e-6 of a layer's output; the first steps multiply it by up to
157, and clipping ends that: 1e-2 of the range of an image is the most, and 1e-3 on average. bfloat16 keeps 8 binary digits
and float16 11, so that a layer moves by 4e-3 and 5e-4, and an image of few steps by some ten times as much on average.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from scdm.diffusion.guidance import guided, shaped
from scdm.diffusion.noise import fresh_label_noise, image_noise
from scdm.diffusion.samplers import SAMPLERS
from scdm.pipeline import GenerateOptions, generate
from tests.accelerators import no_waiting
from tests.test_rehearsal import NETWORKS, layout, model

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that torch can use"),
]
MEAN = {"float32": 1e-3, "bfloat16": 0.15, "float16": 0.05}  # of |difference|, where images span 2


@pytest.fixture(autouse=True)
def exact_products() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def deviation(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().mean())


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("precision", MEAN)
@pytest.mark.parametrize("guidance", [1.0, 1.5])
def test_an_image_is_that_of_the_cpu(sampler: str, precision: str, guidance: float) -> None:
    """With weights that are cast when they are used, and with weights that are in the type."""
    steps = GenerateOptions(steps=4, sampler=sampler, guidance=guidance, precision="float32")
    exact = generate(model(), layout(), steps)
    own = GenerateOptions(steps=4, sampler=sampler, guidance=guidance, precision=precision)  # type: ignore[arg-type]
    for gpu in (model().to("cuda"), model().to("cuda", precision)):
        assert deviation(generate(gpu, layout(), own), exact) < MEAN[precision]


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_kind_of_network(kind: str) -> None:
    options = GenerateOptions(steps=2, precision="float32")
    made = generate(model(NETWORKS[kind]).to("cuda"), layout(), options)
    assert deviation(made, generate(model(NETWORKS[kind]), layout(), options)) < MEAN["float32"]


@pytest.mark.parametrize("options", [{}, {"strength": 0.5}, {"feather": 3.0}, {"repeats": 2}])
def test_repainting(options: dict) -> None:
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., 4:12, 4:12] = 1
    own = GenerateOptions(steps=4, precision="float32", **options)
    made = generate(model().to("cuda"), layout(), own, image=image, mask=mask)
    assert torch.equal(
        made.where(mask == 0, torch.tensor(0.0)), image.where(mask == 0, torch.tensor(0.0)).expand_as(made)
    )
    assert deviation(made, generate(model(), layout(), own, image=image, mask=mask)) < MEAN["float32"]


@pytest.mark.parametrize(
    "options", [{"dynamic_threshold": 0.9}, {"extrapolation": 0.8}, {"mean": (0.0,) * 3, "std": (0.3,) * 3}]
)
def test_what_is_done_to_a_prediction(options: dict) -> None:
    own = GenerateOptions(steps=4, precision="float32", **options)
    assert deviation(generate(model().to("cuda"), layout(), own), generate(model(), layout(), own)) < MEAN["float32"]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_no_step_waits_for_the_gpu(sampler: str) -> None:
    gpu = model().to("cuda")
    denoiser, noise = gpu.denoiser.respaced("4"), image_noise([1, 2])
    x, labels = torch.empty(2, 3, 16, 16, device="cuda"), layout().to("cuda")

    def walk() -> None:
        denoise = shaped(guided(denoiser, labels, 1.5, fresh_label_noise([1, 2])), extrapolation=0.5)
        list(SAMPLERS[sampler](denoise, noise(x), denoiser.schedule, noise))

    with torch.inference_mode():
        walk()  # which puts the tables there
        with no_waiting():
            walk()


def test_no_loss_waits_for_the_gpu() -> None:
    gpu = model().to("cuda")
    denoiser = gpu.denoiser
    image, noise = torch.zeros(2, 3, 16, 16, device="cuda"), torch.ones(2, 3, 16, 16, device="cuda")
    t, u = torch.tensor([3, 700], device="cuda"), torch.rand(2, 16, 16, device="cuda")
    labels = layout().to("cuda")
    denoiser.loss(image, labels, t, noise, u)
    with no_waiting():
        total = denoiser.loss(image, labels, t, noise, u).total
    cpu = model().denoiser.loss(image.cpu(), layout(), t.cpu(), noise.cpu(), u.cpu()).total
    torch.testing.assert_close(total.cpu(), cpu, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_compiled(precision: str) -> None:
    pytest.importorskip("triton", reason="torch compiles for a GPU by triton")
    options = GenerateOptions(steps=3, precision=precision)  # type: ignore[arg-type]
    gpu = model().to("cuda", precision)
    made = generate(gpu.compiled(), layout(), options)
    assert deviation(made, generate(gpu, layout(), options)) < MEAN[precision]


def test_auto_is_what_the_gpu_is_fast_in() -> None:
    of_capability = {7: "float16", 8: "bfloat16", 9: "bfloat16", 10: "bfloat16", 12: "bfloat16"}
    expected = of_capability.get(torch.cuda.get_device_capability()[0], "float32")
    assert GenerateOptions().for_model(model().to("cuda")).precision == expected
