"""An SCDM model as one of ComfyUI's own: MODEL, VAE and CONDITIONING for its samplers, guiders, masks and memory management.

ComfyUI's samplers work in units of sigma and know nothing of layouts. A layout travels in the conditioning; which part
of it a call of the network is about, ComfyUI says by cropping what travels with it (`places`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, ClassVar, NamedTuple

import comfy.conds
import comfy.latent_formats
import comfy.model_base
import comfy.model_sampling
import comfy.sd
import comfy.supported_models_base
import comfy.utils
import numpy as np
import torch
import torch.nn.functional as F
from comfy import model_management
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

from ..scdm.devices import AUTO, PRECISIONS, name_of
from ..scdm.diffusion.label_diffusion import LabelDiffusion
from ..scdm.diffusion.noise import LABEL_NOISE
from ..scdm.diffusion.padding import Padding
from ..scdm.diffusion.schedules import NoiseSchedule, visited_steps
from ..scdm.diffusion.space import PIXELS
from ..scdm.layouts.labels import LabelMap, require_same_classes
from ..scdm.models.model import Model
from ..scdm.networks import Network
from ..scdm.pipeline import GenerateOptions
from .sockets import Layout

SLACK = 2  # of 1000 steps, by which ComfyUI's schedulers round
LAYOUT, LABEL_NOISE_KIND, MARK = "scdm_layout", "scdm_label_noise", "scdm_mark"  # in a conditioning
STOCK_RATIO = 8  # pixels of a pixel of the latents that Empty Latent Image makes
NOT_JOINED = (
    "layouts cannot be joined or averaged as texts can: instead of ConditioningConcat or ConditioningAverage paint both "
    "onto one layout, or take ConditioningCombine, with areas or masks"
)
PREDICTION = {  # of other parametrisations ComfyUI is given x0
    "eps": comfy.model_sampling.EPS,
    "v": comfy.model_sampling.V_PREDICTION,
    "x0": comfy.model_sampling.X0,
}


def managed(model: Model, wanted: torch.dtype | None = None) -> ModelPatcher:
    """The model as ComfyUI's MODEL: on the device when it is needed, wholly or in part, away when others need the room.

    wanted: the dtype that its weights are to have. None leaves that to ComfyUI, as for any other model.
    ValueError for an upsampler: ComfyUI's samplers give a MODEL nothing but the noisy image.
    """
    model.require_images()
    native = NativeModel(model, *chosen_precision(model, wanted))
    patcher = ModelPatcher(native, model_management.get_torch_device(), model_management.unet_offload_device())
    if model.config.distilled_steps is None:  # as `GenerateOptions.clip` has it
        patcher.set_model_sampler_post_cfg_function(lambda step: model.space.clipped(step["denoised"]))
    return patcher


def chosen_precision(model: Model, wanted: torch.dtype | None) -> tuple[torch.dtype, torch.dtype | None]:
    """What ComfyUI, its command line and the device decide for a model of this size.

    The dtype of its weights, and what they are cast to as they are used; None: they are used as they are.
    """
    dtypes, device = Config.supported_inference_dtypes, model_management.get_torch_device()
    parameters = sum(parameter.numel() for parameter in model.network.parameters())
    weight = wanted or model_management.unet_dtype(model_params=parameters, supported_dtypes=dtypes)
    return weight, model_management.unet_manual_cast(weight, device, dtypes)


def scdm_model(patcher: ModelPatcher) -> Model:
    """The `scdm` model inside a MODEL. ValueError if it is of another kind."""
    if not isinstance(patcher.model, NativeModel):
        raise ValueError("this model was not made for painted layouts: connect one from Load SCDM Model")
    return patcher.model.scdm


def on_device(patcher: ModelPatcher, batch: int, height: int, width: int) -> HostedModel:
    """The `scdm` model with its weights in place, as far as they fit beside what images of this size need."""
    model = scdm_model(patcher)
    small, native = model.small_size((height, width)), patcher.model
    memory = native.working_bytes(model, batch, *(small or (height, width)))
    if small and model.upsampler is not None:
        memory = max(memory, native.working_bytes(model.upsampler, batch, height, width))
    model_management.load_models_gpu([patcher], memory_required=memory)
    return hosted(model, patcher.load_device)


def hosted(model: Model, device: torch.device) -> HostedModel:
    upsampler = None if model.upsampler is None else hosted(model.upsampler, device)
    return HostedModel(
        model.config, model.palette, model.network, model.provenance, model.roughness, upsampler, host_device=device
    )


def pixel_vae() -> comfy.sd.VAE:
    """The VAE of models that work on pixels, which only moves their range."""
    return comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})


def conditioning(layout: Layout, label_noise: str) -> list[Any]:
    """A layout as CONDITIONING. Where a text's embedding would be stands a mark of it, (1, 1, 1), so that `layout_of` sees
    what became of it."""
    mark = marked(layout.labels)
    return [[mark, {LAYOUT: layout, LABEL_NOISE_KIND: label_noise, MARK: mark}]]


class Mark(Tensor):
    """Of a layout, (1, 1, 1), where a text's embedding would be. Other nodes may zero it or join it with those of texts,
    whose shapes do not fit."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        try:
            return super().__torch_function__(func, types, args, kwargs or {})
        except RuntimeError as error:
            raise ValueError(NOT_JOINED) from error


def marked(labels: LabelMap) -> Mark:
    """From 1 to 2, another number for another layout."""
    digest = hashlib.sha256(labels.ids.cpu().numpy().tobytes())
    if labels.edges is not None:
        digest.update(labels.edges.cpu().numpy().tobytes())
    return (1 + torch.full((1, 1, 1), int.from_bytes(digest.digest()[:3], "big") / 2**24)).as_subclass(Mark)


def layout_of(given: dict[str, Any]) -> Layout:
    """The layout of a conditioning, blank where ConditioningZeroOut was. ValueError for what other nodes made of it."""
    layout, mark, seen = given.get(LAYOUT), given.get(MARK), given.get("cross_attn")
    if layout is None:
        raise ValueError("SCDM's models are not told what to draw by text: connect Encode Layout (SCDM)")
    if mark is None or seen is None:
        return layout
    if not seen.any():
        return replace(layout, labels=layout.labels.blank())
    if seen.shape != mark.shape or not torch.allclose(seen.to(mark), mark, rtol=0, atol=1e-6):
        raise ValueError(NOT_JOINED)
    return layout


@dataclass(frozen=True)
class HostedModel(Model):
    """A model that runs on `host_device`, where not all of its weights may be: layers fetch those as they need them."""

    host_device: torch.device | None = None

    @property
    def device(self) -> torch.device:
        return self.host_device or super().device

    def options(self, options: GenerateOptions) -> GenerateOptions:
        """With the precision that ComfyUI has chosen, unless one is asked for: what a device is fast in has no say against
        its command line."""
        chosen = options.precision == AUTO and self.dtype in PRECISIONS.values()
        return replace(options, precision=name_of(self.dtype)) if chosen else options


class Pixels(comfy.latent_formats.LatentFormat):
    """Latents that are the image itself, (B, 3, H, W) in [-1, 1] (`scdm.diffusion.space.Pixels`)."""

    latent_channels = PIXELS.channels
    spacial_downscale_ratio = 1  # by which newer versions make an empty latent as large as its image
    latent_rgb_factors = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))  # for previews


class Config(comfy.supported_models_base.BASE):
    unet_extra_config: ClassVar[dict[str, Any]] = {}
    latent_format = Pixels
    supported_inference_dtypes: ClassVar[list[torch.dtype]] = [torch.float16, torch.bfloat16, torch.float32]

    def __init__(self, weight: torch.dtype, cast: torch.dtype | None):
        super().__init__({"disable_unet_model_creation": True})
        self.set_inference_dtype(weight, cast)


class Branch(comfy.conds.CONDRegular):
    """What is known of a conditioning without a look at its tensors, for which a GPU would have to be waited for: whether
    its layout is blank, and to which area ComfyUI crops it. `LayoutNetwork` gets those of a call in a list.
    """

    def __init__(self, blank: bool, area: tuple[int, ...] | None = None):
        super().__init__((blank, area))

    def process_cond(self, batch_size: int, area: Any = None, **_: Any) -> Branch:
        return Branch(self.cond[0], None if area is None else tuple(area))

    def can_concat(self, other: Branch) -> bool:
        return True

    def concat(self, others: list[Branch]) -> list[tuple[bool, tuple[int, ...] | None]]:
        return [branch.cond for branch in (self, *others)]

    def size(self) -> list[int]:
        return [1]


class NativeModel(comfy.model_base.BaseModel):
    """What ComfyUI asks of a model, answered by `scdm`.

    weight, cast: see `chosen_precision`. The network is cast to `weight`.
    """

    def __init__(self, model: Model, weight: torch.dtype, cast: torch.dtype | None):
        self.scdm = model
        super().__init__(Config(weight, cast), device=model_management.unet_offload_device())
        self.upsampler = None if model.upsampler is None else model.upsampler.network  # so that it is moved, too
        for network in self.networks:
            network.cast(weight)
            for layer in network.modules() if cast is not None else ():
                if hasattr(layer, "comfy_cast_weights"):
                    layer.comfy_cast_weights = True  # as ComfyUI's operations called `manual_cast`
        sampling = model_sampling(model.denoiser.schedule, model.config.prediction)
        self.model_sampling = sampling
        self.diffusion_model = LayoutNetwork(model, weight, sampling.timestep)

    @property
    def networks(self) -> list[Network]:
        return [stage.network for stage in (self.scdm, self.scdm.upsampler) if stage is not None]

    @property
    def manual_cast_dtype(self) -> torch.dtype | None:
        """What weights are cast to as they are used. ComfyUI sets it, and anew where a node patches a MODEL so."""
        return self.scdm.network.compute_dtype

    @manual_cast_dtype.setter
    def manual_cast_dtype(self, dtype: torch.dtype | None) -> None:
        for network in self.networks:
            network.compute_dtype = dtype

    def get_dtype_inference(self) -> torch.dtype:
        """What is computed in. Later versions ask for it; 0.3.64 works it out where it needs it."""
        return self.manual_cast_dtype or self.get_dtype()

    def process_latent_out(self, latent: Tensor) -> Tensor:
        """The last look at what was sampled: once, for to look at every step would be to wait for every step."""
        if not latent.isfinite().all():
            raise ValueError(
                "the sampler's numbers are broken: check the image, the masks and the guidance that go into it"
            )
        return super().process_latent_out(latent)

    def extra_conds(self, **given: Any) -> dict[str, Any]:
        """What `LayoutNetwork.forward` is handed beside x and t, for one conditioning and the whole image."""
        noise, device = given["noise"], given["device"]  # (B, 3, H, W)
        if not isinstance(self.model_sampling, comfy.model_sampling.ModelSamplingDiscrete):
            raise ValueError("SCDM's models keep to their own noise schedule: remove the ModelSampling node")
        if noise.ndim != 4 or noise.shape[1] != self.scdm.space.channels or not noise.numel():
            raise ValueError(
                "this latent is not of the model's kind, which is an image of three colours: take it from Encode "
                "Layout (SCDM), or encode an image with the vae of Load SCDM Model"
            )
        batch, _, height, width = noise.shape
        layout = layout_of(given)
        check_classes(layout, self.scdm)
        size = (layout.labels.height, layout.labels.width)
        if size == (STOCK_RATIO * height, STOCK_RATIO * width) and self.scdm.small_size(size) != (height, width):
            raise ValueError(
                f"the latent is an eighth of the layout, {width} x {height} pixels, as Empty Latent Image makes it for "
                "other models: take the one of Encode Layout (SCDM)"
            )
        labels = self.scdm.prepared(layout.labels.reduced(height, width))
        places = torch.arange(batch * height * width, device=device).view(batch, 1, height, width)
        conds = {
            "ids": comfy.conds.CONDNoiseShape(comfy.utils.repeat_to_batch_size(labels.ids[:, None], batch).to(device)),
            "places": comfy.conds.CONDNoiseShape(places),
            "branches": Branch(blank(labels)),
            # Further images of a batch have the seeds that follow, as in `generate`.
            "seed": comfy.conds.CONDConstant(given.get("seed") or 0),
            "shape": comfy.conds.CONDConstant((batch, height, width)),
            "label_noise": comfy.conds.CONDConstant(given[LABEL_NOISE_KIND]),
        }
        if self.scdm.config.network.roughness:
            roughness = torch.full((1,), torch.nan) if labels.roughness is None else labels.roughness
            conds["roughness"] = comfy.conds.CONDRegular(comfy.utils.repeat_to_batch_size(roughness, batch).to(device))
        if labels.edges is not None:
            edges = comfy.utils.repeat_to_batch_size(labels.edges.long(), batch)  # other dtypes would become floats
            conds["edges"] = comfy.conds.CONDNoiseShape(edges.to(device))
        return conds

    def memory_required(self, input_shape: Any, cond_shapes: Any = None) -> float:
        batch, *_, height, width = input_shape
        return self.working_bytes(self.scdm, batch, height, width)

    def working_bytes(self, stage: Model, batch: int, height: int, width: int) -> float:
        """What a step of the model, or of its upsampler, holds beside the weights."""
        return stage.config.network.working_values * batch * height * width * self.get_dtype_inference().itemsize


class Trajectory(NamedTuple):
    """What a sampler visits, read from its sigmas once: the steps, whether it ends without noise, and the label diffusion
    respaced to them, whose tables stay on the device."""

    sigmas: Tensor | None
    steps: list[int]
    ends: bool
    label_diffusion: LabelDiffusion | None


class LayoutNetwork(nn.Module):
    """The network as ComfyUI calls it: x and t, and a layout that fades inside, by the seed and the step alone.

    Compiled (by ComfyUI's TorchCompileModel), it is the network's halves that are: what is decided on the host stays there.
    """

    def __init__(self, model: Model, dtype: torch.dtype, timestep: Callable[[Tensor], Tensor]):
        super().__init__()
        self.network, self.dtype = model.network, dtype  # of the weights, as ComfyUI asks for it
        self.config = model.config
        self.denoiser = model.denoiser
        self.timestep = timestep  # sigmas -> original steps
        self.trajectory = self.unknown = Trajectory(None, [], False, self.denoiser.label_diffusion)
        self.drawn: tuple[Any, Tensor] | None = None  # the last label noise, and what it was drawn for

    @torch.compiler.disable(recursive=False)
    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        ids: Tensor,
        places: Tensor,
        branches: list[tuple[bool, tuple[int, ...] | None]],
        seed: int,
        shape: tuple[int, int, int],
        label_noise: str,
        edges: Tensor | None = None,
        roughness: Tensor | None = None,
        transformer_options: dict[str, Any],
        **_: Any,
    ) -> Tensor:
        """x (N * b, 3, h, w): N conditionings one after the other, each about b images or the same part of them.

        ids (N * b, 1, h, w): their layouts; places, alike: which pixels of the whole image (`shape`) they are.
        roughness (N * b,): of the layouts, for networks that read it.
        branches: of each conditioning, see `Branch`.
        """
        if not x.numel():
            raise ValueError("the area of a conditioning is empty: make it larger (SCDM's latents are pixels)")
        labels, x, padding = self.prepared(x, t, ids, places, seed, shape, label_noise, edges, transformer_options)
        labels = replace(labels, roughness=None if roughness is None else roughness.float())
        whole, _ = Padding(shape[1:], self.network.config.stride).padded_size
        size = len(x) // len(branches)
        outputs = []
        encoded: dict[Any, Any] = {}
        for start, (empty, area) in zip(range(0, len(x), size), branches, strict=True):
            here = slice(start, start + size)
            # Branches of the same area see the same x, and the encoder sees no layout: once will do for all of them.
            if area not in encoded:
                encoded[area] = self.network.encode(x[here], t[here], whole)
            output = self.network.decode(encoded[area], None if empty else labels[here])
            outputs.append(self.denoiser.split(output)[0])
        signal = torch.cat(outputs)
        if self.config.prediction not in PREDICTION:
            signal = self.denoiser.x0(signal, x, t.long())
        return padding.cropped(signal)

    @torch.compiler.disable
    def prepared(
        self,
        x: Tensor,
        t: Tensor,
        ids: Tensor,
        places: Tensor,
        seed: int,
        shape: tuple[int, int, int],
        label_noise: str,
        edges: Tensor | None,
        transformer_options: dict[str, Any],
    ) -> tuple[LabelMap, Tensor, Padding]:
        """The layouts as they are seen at t, and x, both padded. Arguments as of `forward`."""
        trajectory = self.sampled_trajectory(transformer_options.get("sample_sigmas"))
        fresh = trajectory.label_diffusion is not None and label_noise == "fresh"
        # The one number that the host waits for, and only where it decides something.
        step = int(t[0]) if fresh or self.config.distilled_steps is not None else 0
        self.check_visits(step, transformer_options["cond_or_uncond"], trajectory)
        labels = LabelMap(ids[:, 0], self.network.config.num_classes, None if edges is None else edges > 0)
        padding = Padding(tuple(x.shape[-2:]), self.network.config.stride)
        if trajectory.label_diffusion is not None:
            u = self.draws(label_noise, seed, step if fresh else 0, shape, t.device)
            whole, _ = Padding(shape[1:], self.network.config.stride).padded_size
            labels = trajectory.label_diffusion(labels, t.long(), u.flatten()[places[:, 0]], whole)
        return padding.padded_labels(labels), padded(x, padding), padding

    def sampled_trajectory(self, sigmas: Tensor | None) -> Trajectory:
        """Looks at the sigmas of a run once: they lie on the device."""
        if sigmas is None:
            return self.unknown
        if sigmas is not self.trajectory.sigmas:
            known, diffusion = sigmas.cpu(), self.unknown.label_diffusion
            steps = self.timestep(known[known > 0]).tolist()
            diffusion = diffusion and diffusion.respaced(self.visited(steps))
            self.trajectory = Trajectory(sigmas, steps, not known[-1] > 0, diffusion)
        return self.trajectory

    def draws(
        self, label_noise: str, seed: int, step: int, shape: tuple[int, int, int], device: torch.device
    ) -> Tensor:
        """The label noise (`shape`) at a step, drawn by the host, and once for all conditionings."""
        key = (label_noise, seed, step, shape, device)
        if self.drawn is None or self.drawn[0] != key:
            seeds = [(seed + i) % 2**64 for i in range(shape[0])]
            u = LABEL_NOISE[label_noise](seeds)(torch.full((shape[0],), step), torch.Size(shape))
            self.drawn = key, u.to(device, non_blocking=True)
        return self.drawn[1]

    def check_visits(self, step: int, branches: list[int], trajectory: Trajectory) -> None:
        """ValueError if a distilled model is guided (a branch of 1 is the negative), or visits unknown steps."""
        own, guidance = self.config.distilled_steps, self.config.distilled_guidance
        if guidance is not None and 1 in branches:
            raise ValueError(
                f"this model has a guidance of {guidance:g} built in: set cfg to 1 (and take no sampler of the kind "
                "cfg_pp), or load the model that it was distilled from"
            )
        if own is None:
            return
        known = visited_steps(self.config.steps, own)
        far = any(np.abs(known - visit).min() > SLACK for visit in [step, *trajectory.steps])
        # All steps, or some in a row; an end without noise is 1 before the first.
        visited = [int(np.abs(known - visit).argmin()) for visit in trajectory.steps]
        visited += [-1] if trajectory.ends else []
        if far or any(before - after != 1 for before, after in pairwise(visited)):
            raise ValueError(
                f"this model was distilled to {len(known)} steps and knows no others: take {len(known)} steps of euler "
                "with the scheduler simple and a denoise of 1, or Generate from Layout (SCDM), which does so by itself"
            )

    def visited(self, steps: list[int]) -> list[int]:
        """The original steps of the trajectory that a sampler is on, by which uniform label diffusion counts."""
        visited = sorted(set(steps))
        if not visited:
            raise ValueError("the scheduler gives no noise to start from: take more steps, or another scheduler")
        # Of a partial trajectory (denoise below 1) only the end is seen: what came before had the same stride.
        stride = visited[-1] / (len(visited) - 1) if len(visited) > 1 else visited[-1] + 1
        before = round((self.config.steps - 1 - visited[-1]) / stride)
        return visited + torch.linspace(visited[-1], self.config.steps - 1, before + 1)[1:].round().int().tolist()


def model_sampling(schedule: NoiseSchedule, prediction: str) -> Any:
    """ComfyUI's view of the process: sigmas, and what the network's output means."""
    meaning = PREDICTION.get(prediction, comfy.model_sampling.X0)
    sampling: Any = type("Sampling", (comfy.model_sampling.ModelSamplingDiscrete, meaning), {})()
    sampling._register_schedule(given_betas=torch.from_numpy(schedule.betas))
    return sampling


def check_classes(layout: Layout, model: Model) -> None:
    """ValueError if the layout's ids mean something else to the model."""
    given, own = layout.palette, model.palette
    advice = f"load the layout with the palette {own.name}, or a model of palette {given.name}"
    require_same_classes("the layout", given.names, "the model", own.names, advice)


def padded(x: Tensor, padding: Padding) -> Tensor:
    """Noisy images, padded: mirrored where there is enough to mirror, since noise does not repeat itself."""
    bottom, right = (padded - side for padded, side in zip(padding.padded_size, padding.size, strict=True))
    if bottom >= x.shape[-2] or right >= x.shape[-1]:
        return padding.padded(x)
    return F.pad(x, (0, right, 0, bottom), mode="reflect") if bottom or right else x


def blank(labels: LabelMap) -> bool:
    """Whether this layout, which the host holds, is the null condition, which costs less."""
    return bool(labels.unpainted.all()) and (labels.edges is None or not labels.edges.any())
