"""What an accelerator will not forgive, tried without one: numbers left on the host, layouts that its kernels do not take,
weights in half precision, steps that do not compile whole.

On the `meta` device nothing is computed and nothing can be read back, so that whatever waits for the device raises. The
same on a GPU, with its numbers, is in tests/test_cuda.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from scdm.devices import fast_dtype
from scdm.diffusion.denoiser import Denoiser
from scdm.diffusion.guidance import Colours, guided, guided_step, shaped
from scdm.diffusion.inpainting import inpainting
from scdm.diffusion.label_diffusion import LabelDiffusion
from scdm.diffusion.noise import LABEL_NOISE, image_noise, mixed
from scdm.diffusion.samplers import SAMPLERS
from scdm.diffusion.schedules import NoiseSchedule
from scdm.editing.session import Cancelled, EditSession
from scdm.layouts.labels import LabelMap
from scdm.layouts.palette import Palette
from scdm.models.model import Model, ModelConfig
from scdm.networks import UNet, UNetConfig
from scdm.pipeline import GenerateOptions, generate
from tests.accelerators import AcceleratorLayouts, OneDevice
from tests.weights import randomize

CLASSES = 4
NETWORK = UNetConfig(
    CLASSES, channels=32, channel_mult=(1, 1), res_blocks=1, attention=(2,), head_channels=16, hidden=8
)
NETWORKS = {
    "as published": NETWORK,
    "with borders": replace(NETWORK, edges=True),
    "without variance": replace(NETWORK, learn_sigma=False),
    "of patches": replace(NETWORK, patch=2, layout_width=8, head=4, sized=True, roughness=True),
    "with a concatenated layout": replace(NETWORK, patch=2, edges=True, conditioning="concat"),
    "of the other kind": replace(NETWORK, resblock_updown=False, scale_shift_norm=False, qkv_order="qkv_major"),
}
RATES = (1.0, 3.0, 30.0, 300.0)
PALETTE = Palette("test", tuple("abcd"), ((9, 0, 0), (0, 9, 0), (0, 0, 9), (9, 9, 9)))
META = torch.device("meta")
DIFFUSIONS = {
    "classwise": LabelDiffusion(RATES),
    "uniform": LabelDiffusion(),
    "at the next timestep": LabelDiffusion(RATES, at_next_timestep=True),
}


def denoiser(network: UNetConfig = NETWORK, device: torch.device = META, **settings: object) -> Denoiser:
    settings = {"label_diffusion": DIFFUSIONS["classwise"], **settings}
    with torch.device(device):
        made = UNet(network).eval().requires_grad_(False)
    return Denoiser(made, NoiseSchedule.named("linear"), **settings)  # type: ignore[arg-type]


def layout(edges: bool = False, batch: int = 2, side: int = 16) -> LabelMap:
    ids = torch.randint(0, CLASSES + 1, (batch, side, side), generator=torch.Generator().manual_seed(1))
    return LabelMap(ids, CLASSES, (ids > 2)[:, None] if edges else None)


def model(network: UNetConfig = NETWORK) -> Model:
    config = ModelConfig(network, size=(16, 16), class_rates=RATES)
    made = Model.new(config, PALETTE)
    randomize(made.network)
    made.network.eval().requires_grad_(False)
    return made.to("cpu")


class TestNothingIsLeftOnTheHost:
    """By the `meta` device, on which a step's schedule, labels and noise have to meet as well."""

    @pytest.mark.parametrize("kind", NETWORKS)
    def test_encoding_and_decoding(self, kind: str) -> None:
        network = NETWORKS[kind]
        unet, labels = denoiser(network).network, layout(network.edges).to(META)
        x = torch.empty(2, 3, 16, 16, device=META).contiguous(memory_format=torch.channels_last)
        with OneDevice():
            for given in (labels, labels.resized(5, 7), None):
                assert unet(x, torch.tensor([3, 999]), given).shape == (2, network.out_channels, 16, 16)

    @pytest.mark.parametrize("sampler", SAMPLERS)
    @pytest.mark.parametrize("label_noise", LABEL_NOISE)
    def test_guided_steps(self, sampler: str, label_noise: str) -> None:
        own = denoiser().respaced("4")
        noise, x = image_noise([1, 2]), torch.empty(2, 3, 16, 16, device=META)
        denoise = guided(own, layout().to(META), 1.5, LABEL_NOISE[label_noise]([1, 2]))
        with OneDevice(), torch.inference_mode():
            steps = list(SAMPLERS[sampler](shaped(denoise), noise(x), own.schedule, noise))
        assert [step.t for step in steps] == [999, 666, 333, 0] and steps[-1].x.device == META

    @pytest.mark.parametrize(
        ("sampler", "options"),
        [
            ("ddim", {"eta": 0.5}),
            ("ddim", {"repeats": 2}),
            ("ddpm", {"repeats": 2}),
            ("ddpm", {"variance": "fixed_small"}),
            ("ddpm", {"variance": "fixed_large"}),
        ],
    )
    def test_a_samplers_own_options(self, sampler: str, options: dict) -> None:
        own = denoiser().respaced("3")
        noise, x = image_noise([1, 2]), torch.empty(2, 3, 16, 16, device=META)
        denoise = shaped(guided(own, layout().to(META), 1.5, LABEL_NOISE["fresh"]([1, 2])), extrapolation=0.5)
        with OneDevice():
            assert len(list(SAMPLERS[sampler](denoise, noise(x), own.schedule, noise, **options))) == 3

    @pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
    @pytest.mark.parametrize("diffusion", DIFFUSIONS)
    def test_what_labels_and_outputs_mean(self, prediction: str, diffusion: str) -> None:
        own = denoiser(prediction=prediction, label_diffusion=DIFFUSIONS[diffusion]).respaced("ddim25")
        x, u = torch.empty(2, 3, 16, 16, device=META), torch.empty(2, 16, 16, device=META)
        with OneDevice():
            for t in (torch.tensor([40, 960]), torch.tensor([40, 960], device=META)):
                assert own(x, t, layout().to(META), u).x0.device == META

    def test_what_is_done_to_a_prediction(self) -> None:
        own = denoiser(NETWORKS["without variance"]).respaced("3")
        image, x = torch.empty(2, 3, 16, 16, device=META), torch.empty(2, 3, 16, 16, device=META)
        colours = Colours(torch.zeros(3, device=META), torch.ones(3, device=META))
        denoise = guided(own, layout().to(META), 1.5, lambda t, shape: torch.zeros(shape))
        denoise = shaped(denoise, extrapolation=0.8, dynamic_threshold=0.95, colours=colours)
        with OneDevice():
            made = inpainting(denoise, image, torch.empty(2, 1, 16, 16, device=META))(x, torch.tensor([999, 999]))
        assert made.x0.device == META

    def test_noise_that_is_mixed_from_two_seeds(self) -> None:
        draws = torch.zeros(16, 16, dtype=torch.int64)
        draws[4:] = 1
        with OneDevice():
            noise = mixed(image_noise, [1, 2], draws)(torch.empty(2, 3, 16, 16, device=META))
        assert noise.device == META

    @pytest.mark.parametrize("objective", ["hybrid", "kl"])
    @pytest.mark.parametrize("prediction", ["eps", "v", "x0"])
    def test_losses(self, objective: str, prediction: str) -> None:
        own = denoiser(prediction=prediction)
        own.network.requires_grad_(True)
        image, noise = (torch.empty(2, 3, 16, 16, device=META) for _ in range(2))
        t, u = torch.zeros(2, dtype=torch.int64, device=META), torch.empty(2, 16, 16, device=META)
        with OneDevice():
            labels = layout().to(META).blank(torch.tensor([True, False], device=META))
            own.loss(image, labels, t, noise, u, objective=objective).total.mean().backward()  # type: ignore[arg-type]
        assert next(own.network.parameters()).grad is not None

    def test_a_number_left_behind_would_be_found(self) -> None:
        with pytest.raises(AssertionError, match="cpu"), OneDevice():
            F.conv2d(torch.empty(1, 3, 4, 4, device=META), torch.empty(3, 3, 1, 1))
        with pytest.raises((RuntimeError, NotImplementedError)):
            torch.empty(1, device=META).item()


class TestLayouts:
    """By the rules of all devices but CPUs, on a CPU: whatever was fed with channels last comes back contiguous."""

    @pytest.mark.parametrize("guidance", [1.0, 1.5])
    @pytest.mark.parametrize("kind", NETWORKS)
    def test_an_image_is_the_same(self, kind: str, guidance: float) -> None:
        own, options = model(NETWORKS[kind]), GenerateOptions(steps=2, guidance=guidance)
        exact = generate(own, layout(), options)
        with AcceleratorLayouts():
            image = generate(own, layout(), options)
        assert (image - exact).abs().max() < 1e-3

    def test_the_kernel_beneath_the_norm_is_refused_what_a_gpu_refuses(self) -> None:
        x = torch.ones(1, 32, 4, 4).contiguous(memory_format=torch.channels_last)
        with AcceleratorLayouts():
            assert F.group_norm(x, 32).is_contiguous()
            with pytest.raises(RuntimeError, match="is_contiguous"):
                torch.native_group_norm(x, None, None, 1, 32, 16, 32, 1e-5)


class TestHalfPrecision:
    @pytest.mark.parametrize(("precision", "most"), [("bfloat16", 0.15), ("float16", 0.02)])
    @pytest.mark.parametrize("guidance", [1.0, 1.5])
    def test_half_weights_give_nearly_the_same_image(self, precision: str, most: float, guidance: float) -> None:
        """8 and 11 digits of two; what is left of them is the sum over all layers of a few steps."""
        options = GenerateOptions(steps=4, sampler="ddim", guidance=guidance)
        exact = generate(model(), layout(), options)
        half = model().to("cpu", precision)
        image = generate(half, layout(), options)
        assert half.dtype == getattr(torch, precision) and image.dtype == torch.float32
        assert 0 < (image - exact).abs().mean() < most

    @pytest.mark.parametrize("precision", ["bfloat16", "float16"])
    def test_the_border_is_in_float32(self, precision: str) -> None:
        own = model().to("cpu", precision)
        x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        for labels in (layout(), None):
            assert own.network(x, torch.tensor([3, 999]), labels).dtype == torch.float32
        kinds = {name.split(".")[0]: weight.dtype for name, weight in own.network.named_parameters()}
        assert kinds["time_embed"] == kinds["out"] == torch.float32 and kinds["middle_block"] == own.dtype

    def test_a_network_that_a_host_has_put_into_half_precision_altogether(self) -> None:
        own = model()
        own.network.to(torch.bfloat16)
        assert generate(own, layout(), GenerateOptions(steps=2)).dtype == torch.float32

    def test_layers_that_cast_their_weights_compute_in_what_they_are_told(self) -> None:
        class Cast(torch.nn.Module):
            """As a host's layers do: weights in one type, computed in that of what comes in."""

            class Conv2d(torch.nn.Conv2d):
                def forward(self, x: Tensor) -> Tensor:
                    return self._conv_forward(x, self.weight.to(x.dtype), self.bias.to(x.dtype))  # type: ignore[union-attr]

            class Conv1d(torch.nn.Conv1d):
                def forward(self, x: Tensor) -> Tensor:
                    return self._conv_forward(x, self.weight.to(x.dtype), self.bias.to(x.dtype))  # type: ignore[union-attr]

            class Linear(torch.nn.Linear):
                def forward(self, x: Tensor) -> Tensor:
                    return F.linear(x, self.weight.to(x.dtype), self.bias.to(x.dtype))

            class GroupNorm(torch.nn.GroupNorm):
                def forward(self, x: Tensor) -> Tensor:
                    return F.group_norm(x, self.num_groups, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)

        exact, hosted = model(), model()
        network = UNet(NETWORK, Cast).requires_grad_(False).eval()
        network.load_state_dict(exact.network.state_dict())
        network.half().compute_dtype = torch.bfloat16
        hosted = replace(hosted, network=network)
        assert hosted.dtype == torch.bfloat16
        options = GenerateOptions(steps=2, sampler="ddim")
        assert (generate(hosted, layout(), options) - generate(exact, layout(), options)).abs().mean() < 0.15

    @pytest.mark.parametrize("precision", ["bfloat16", "float16"])
    def test_float32_weights_can_be_computed_with_in_half_precision(self, precision: str) -> None:
        options = GenerateOptions(steps=4, sampler="ddim")
        image = generate(model(), layout(), replace(options, precision=precision))  # type: ignore[arg-type]
        assert 0 < (image - generate(model(), layout(), options)).abs().mean() < 0.15

    def test_half_weights_stay_in_it(self) -> None:
        half = model().to("cpu", torch.bfloat16)
        assert GenerateOptions().for_model(half).precision == "bfloat16"
        assert GenerateOptions(precision="bfloat16").for_model(half).precision == "bfloat16"
        for other in ("float32", "float16"):
            with pytest.raises(
                ValueError, match=f"weights are in bfloat16: leave the precision at auto, or .*'{other}'"
            ):
                generate(half, layout(), GenerateOptions(precision=other))  # type: ignore[arg-type]

    def test_weights_too_large_for_float16_are_named(self) -> None:
        own = model()
        own.network.input_blocks[0][0].weight.data[0, 0, 0, 0] = 1e5  # type: ignore[index, union-attr]
        with pytest.raises(ValueError, match=r"input_blocks.0.0.weight has values beyond 65504, .* choose bfloat16"):
            own.to("cpu", "float16")
        assert own.to("cpu", "bfloat16").dtype == torch.bfloat16

    def test_only_floating_point_types_will_do(self) -> None:
        for wrong in ("int8", torch.int8, "half"):
            with pytest.raises(ValueError, match="of the type float32, bfloat16, float16, not"):
                model().to("cpu", wrong)

    @pytest.mark.parametrize(
        ("capability", "dtype"),
        [((9, 0), torch.bfloat16), ((8, 0), torch.bfloat16), ((7, 5), torch.float16), ((6, 1), torch.float32)],
    )
    def test_what_a_gpu_is_fast_and_safe_in(
        self, capability: tuple[int, int], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        assert fast_dtype("cuda") == dtype
        assert fast_dtype("cpu") == fast_dtype("mps") == torch.float32


class TestCompiling:
    """By a backend that runs the graph as it is: what breaks it, breaks it for all of them."""

    @pytest.mark.parametrize(("kind", "backend"), [("as published", "eager"), ("with borders", "aot_eager")])
    def test_a_guided_step_is_one_graph(self, kind: str, backend: str) -> None:
        network = replace(NETWORKS[kind], channel_mult=(1,), attention=())
        own = model(network).denoiser.respaced("4")
        x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        labels, u = layout(network.edges, side=8), torch.rand(2, 8, 8, generator=torch.Generator().manual_seed(1))
        torch._dynamo.reset()
        step = torch.compile(guided_step, backend=backend, fullgraph=True)
        with torch.inference_mode():
            for t in (torch.tensor([666, 666]), torch.tensor([333, 333])):
                made = step(own, labels, 1.5, x, t, u)
                torch.testing.assert_close(made.x0, guided_step(own, labels, 1.5, x, t, u).x0, rtol=1e-4, atol=1e-4)

    def test_a_compiled_model_shares_its_weights_and_makes_the_same_image(self) -> None:
        own, options = model(replace(NETWORK, attention=())), GenerateOptions(steps=3)
        torch._dynamo.reset()
        compiled = own.compiled("eager")
        assert (generate(compiled, layout(), options) - generate(own, layout(), options)).abs().max() < 1e-4
        assert compiled.network.state_dict().keys() == own.network.state_dict().keys()
        assert next(compiled.network.parameters()) is next(own.network.parameters())
        assert type(own.network) is UNet

    def test_an_update_of_a_compiled_model_is_cancelled_after_a_step(self) -> None:
        """And no hook is put into its layers, which would break the graph."""
        torch._dynamo.reset()
        compiled = model(replace(NETWORK, attention=())).compiled("eager")
        session = EditSession(compiled, layout(batch=1), GenerateOptions(steps=4, guidance=1.0))
        seen = []

        def cancel(step: object, steps: int) -> None:
            assert not any(layer._forward_pre_hooks for layer in compiled.network.modules())
            seen.append(step)
            session.cancel()

        with pytest.raises(Cancelled):
            session.update(cancel)
        assert len(seen) == 1 and session.image is None

    def test_more_sizes_than_torch_keeps_variants_run_uncompiled(self) -> None:
        torch._dynamo.reset()
        limit = "recompile_limit" if hasattr(torch._dynamo.config, "recompile_limit") else "cache_size_limit"
        own, options = model(replace(NETWORK, attention=(), channel_mult=(1,))), GenerateOptions(steps=1, guidance=1.0)
        compiled = own.compiled("eager")
        with torch._dynamo.config.patch({limit: 1}), pytest.warns(UserWarning, match="no more variants"):
            for side in (8, 9, 10, 11):
                labels = layout(batch=1, side=side)
                assert (generate(compiled, labels, options) - generate(own, labels, options)).abs().max() < 1e-4

    def test_where_torch_cannot_compile_a_sentence_says_so(self) -> None:
        def broken(graph: object, inputs: object) -> None:
            raise RuntimeError("no compiler")

        torch._dynamo.reset()
        with pytest.raises(ValueError, match=r"cannot compile the network here: leave compile out.*no compiler"):
            generate(model().compiled(broken), layout(), GenerateOptions(steps=1))  # type: ignore[arg-type]
