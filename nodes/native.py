"""An SCDM model as one of ComfyUI's own: MODEL, VAE and CONDITIONING for its samplers, guiders, masks and memory management.

ComfyUI's samplers walk in units of sigma and know nothing of layouts. A layout travels in the conditioning; which part
of it a call of the network is about, ComfyUI says by cropping what travels with it (`places`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

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

from ..scdm.canvas import Canvas
from ..scdm.labels import LabelMap
from ..scdm.model import Model
from ..scdm.noise import LABEL_NOISE
from ..scdm.schedules import NoiseSchedule, visited_steps
from .sockets import Layout

SLACK = 2  # of 1000 steps, by which ComfyUI's schedulers round
LAYOUT, LABEL_NOISE_KIND = "scdm_layout", "scdm_label_noise"  # in a conditioning
PREDICTION = {
    "eps": comfy.model_sampling.EPS,
    "v": comfy.model_sampling.V_PREDICTION,
    "x0": comfy.model_sampling.X0,
}


def managed(model: Model) -> ModelPatcher:
    """The model as ComfyUI's MODEL: on the device when it is needed, wholly or in part, away when others need the room."""
    native = NativeModel(model)
    patcher = ModelPatcher(native, model_management.get_torch_device(), model_management.unet_offload_device())
    clip = model.config.distilled_steps is None  # as `GenerateOptions.clip` has it

    def checked(step: dict[str, Any]) -> Tensor:
        x0 = step["denoised"]
        if not x0.isfinite().all():
            raise ValueError(
                "the sampler's numbers are broken: check the image, the masks and the guidance that go into it"
            )
        return x0.clamp(-1, 1) if clip else x0

    patcher.set_model_sampler_post_cfg_function(checked)
    return patcher


def scdm_model(patcher: ModelPatcher) -> Model:
    """The `scdm` model inside a MODEL. ValueError if it is of another kind."""
    if not isinstance(patcher.model, NativeModel):
        raise ValueError("this model was not made for painted layouts: connect one from Load SCDM Model")
    return patcher.model.scdm


def on_device(patcher: ModelPatcher, batch: int, height: int, width: int) -> Model:
    """The `scdm` model with its weights in place, as far as they fit beside what images of this size need."""
    model = scdm_model(patcher)
    model_management.load_models_gpu([patcher], memory_required=working_memory(model, batch, height, width))
    return HostedModel(model.config, model.palette, model.network, model.provenance, patcher.load_device)


def pixel_vae() -> comfy.sd.VAE:
    """The VAE of models that work on pixels, which only moves their range."""
    return comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)})


def conditioning(layout: Layout, label_noise: str) -> list[Any]:
    """A layout as CONDITIONING. There is no text, hence None where its embedding would be."""
    return [[None, {LAYOUT: layout, LABEL_NOISE_KIND: label_noise}]]


@dataclass(frozen=True)
class HostedModel(Model):
    """A model that runs on `host_device`, where not all of its weights may be: layers fetch those as they need them."""

    host_device: torch.device | None = None

    @property
    def device(self) -> torch.device:
        return self.host_device or super().device


class Pixels(comfy.latent_formats.LatentFormat):
    """Latents that are the image itself, (B, 3, H, W) in [-1, 1]."""

    latent_channels = 3
    latent_rgb_factors = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))  # for previews


class Config(comfy.supported_models_base.BASE):
    unet_extra_config: ClassVar[dict[str, Any]] = {}
    latent_format = Pixels

    def __init__(self) -> None:
        super().__init__({"disable_unet_model_creation": True})


class NativeModel(comfy.model_base.BaseModel):
    """What ComfyUI asks of a model, answered by `scdm`."""

    def __init__(self, model: Model):
        super().__init__(Config(), device=model_management.unet_offload_device())
        self.scdm = model
        sampling = model_sampling(model.denoiser.schedule, model.config.prediction)
        self.model_sampling = sampling
        self.diffusion_model = LayoutNetwork(model, sampling.timestep)

    def extra_conds(self, **given: Any) -> dict[str, Any]:
        """What `LayoutNetwork.forward` is handed beside x and t, for one conditioning and the whole image."""
        noise, device = given["noise"], given["device"]  # (B, 3, H, W)
        if not isinstance(self.model_sampling, comfy.model_sampling.ModelSamplingDiscrete):
            raise ValueError("SCDM's models keep to their own noise schedule: remove the ModelSampling node")
        if noise.ndim != 4 or noise.shape[1] != 3 or not noise.numel():
            raise ValueError(
                "this latent is not of the model's kind, which is an image of three colours: take it from Encode "
                "Layout (SCDM), or encode an image with the vae of Load SCDM Model"
            )
        batch, _, height, width = noise.shape
        layout = given.get(LAYOUT)
        if layout is None:
            raise ValueError("SCDM's models are not told what to draw by text: connect Encode Layout (SCDM)")
        check_classes(layout, self.scdm)
        labels = self.scdm.prepared(layout.labels.reduced(height, width))
        places = torch.arange(batch * height * width, device=device).view(batch, 1, height, width)
        conds = {
            "ids": comfy.conds.CONDNoiseShape(comfy.utils.repeat_to_batch_size(labels.ids[:, None], batch).to(device)),
            "places": comfy.conds.CONDNoiseShape(places),
            # Further images of a batch have the seeds that follow, as in `generate`.
            "seed": comfy.conds.CONDConstant(given.get("seed") or 0),
            "shape": comfy.conds.CONDConstant((batch, height, width)),
            "label_noise": comfy.conds.CONDConstant(given[LABEL_NOISE_KIND]),
        }
        if labels.edges is not None:
            edges = comfy.utils.repeat_to_batch_size(labels.edges.long(), batch)  # other kinds would become floats
            conds["edges"] = comfy.conds.CONDNoiseShape(edges.to(device))
        return conds

    def memory_required(self, input_shape: Any, cond_shapes: Any = None) -> float:
        batch, *_, height, width = input_shape
        return working_memory(self.scdm, batch, height, width)


class LayoutNetwork(nn.Module):
    """The network as ComfyUI calls it: x and t, and a layout that fades inside, by the seed and the step alone."""

    def __init__(self, model: Model, timestep: Callable[[Tensor], Tensor]):
        super().__init__()
        self.network = model.network
        self.config, self.label_diffusion = model.config, model.denoiser.label_diffusion
        self.timestep = timestep  # sigmas -> original steps

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        *,
        ids: Tensor,
        places: Tensor,
        seed: int,
        shape: tuple[int, int, int],
        label_noise: str,
        edges: Tensor | None = None,
        transformer_options: dict[str, Any],
        **_: Any,
    ) -> Tensor:
        """x (N * b, 3, h, w): N conditionings one after the other, each about b images or the same part of them.

        ids (N * b, 1, h, w): their layouts; places, alike: which pixels of the whole image (`shape`) they are.
        """
        if not x.numel():
            raise ValueError("the area of a conditioning is empty: make it larger (SCDM's latents are pixels)")
        chunks = len(transformer_options["cond_or_uncond"])
        self.check_way(t, transformer_options["cond_or_uncond"], transformer_options.get("sample_sigmas"))
        labels = LabelMap(ids[:, 0], self.network.config.num_classes, None if edges is None else edges > 0)
        canvas = Canvas(tuple(x.shape[-2:]), self.network.config.stride)
        t = t.long()
        if self.label_diffusion is not None:
            seeds = [(seed + i) % 2**64 for i in range(shape[0])]
            u = LABEL_NOISE[label_noise](seeds)(t[:1].expand(shape[0]), torch.Size(shape))
            diffusion = self.label_diffusion.respaced(self.visited(transformer_options.get("sample_sigmas")))
            labels = diffusion(labels, t, u.flatten()[places[:, 0]])
        x, labels = padded(x, canvas), canvas.padded_labels(labels)
        outputs = []
        before = features = None
        for start in range(0, len(x), len(x) // chunks):
            here = slice(start, start + len(x) // chunks)
            # The branches of guidance see the same x, and the encoder sees no layout: once will do for both.
            if before is None or not torch.equal(x[here], before):
                before = x[here]
                features = self.network.encode(before, t[here])
            outputs.append(self.network.decode(features, None if blank(labels[here]) else labels[here])[:, :3])
        return canvas.cropped(torch.cat(outputs))

    def check_way(self, t: Tensor, branches: list[int], sigmas: Tensor | None) -> None:
        """ValueError if a distilled model is guided (a branch of 1 is the negative), or walked as it was never taught."""
        own, guidance = self.config.distilled_steps, self.config.distilled_guidance
        if guidance is not None and 1 in branches:
            raise ValueError(
                f"this model has a guidance of {guidance:g} built in: set cfg to 1 (and take no sampler of the kind "
                "cfg_pp), or load the model that it was distilled from"
            )
        if own is None:
            return
        known = visited_steps(self.config.steps, own)
        walk = [] if sigmas is None else self.timestep(sigmas[sigmas > 0].cpu()).tolist()
        far = any(np.abs(known - step).min() > SLACK for step in [*t.tolist(), *walk])
        # All of the way, or a part of it without leaps, of which an end without noise is 1 before the first.
        walked = [int(np.abs(known - step).argmin()) for step in walk]
        walked += [] if sigmas is None or sigmas[-1] > 0 else [-1]
        if far or any(before - after != 1 for before, after in pairwise(walked)):
            raise ValueError(
                f"this model was distilled to {len(known)} steps and knows no others: take {len(known)} steps of euler "
                "with the scheduler simple and a denoise of 1, or Generate from Layout (SCDM), which does so by itself"
            )

    def visited(self, sigmas: Tensor | None) -> list[int]:
        """The original steps of the walk that a sampler is on, by which uniform label diffusion counts."""
        if sigmas is None:
            return list(range(self.config.steps))
        walked = sorted(set(self.timestep(sigmas[sigmas > 0].cpu()).tolist()))
        if not walked:
            raise ValueError("the scheduler gives no noise to start from: take more steps, or another scheduler")
        # Of a partial walk (denoise below 1) only the end is seen: what came before had the same stride.
        stride = walked[-1] / (len(walked) - 1) if len(walked) > 1 else walked[-1] + 1
        before = round((self.config.steps - 1 - walked[-1]) / stride)
        return walked + torch.linspace(walked[-1], self.config.steps - 1, before + 1)[1:].round().int().tolist()


def model_sampling(schedule: NoiseSchedule, prediction: str) -> Any:
    """ComfyUI's view of the process: sigmas, and what the network's output means."""

    sampling: Any = type("Sampling", (comfy.model_sampling.ModelSamplingDiscrete, PREDICTION[prediction]), {})()
    sampling._register_schedule(given_betas=torch.from_numpy(schedule.betas))
    return sampling


def check_classes(layout: Layout, model: Model) -> None:
    """ValueError if the layout's ids mean something else to the model."""
    if layout.palette.names != model.palette.names:
        raise ValueError(
            f"the layout has the {layout.palette.num_classes} classes of palette {layout.palette.name}, the model those of "
            f"{model.palette.name} ({model.palette.num_classes}): load the layout with the palette of the model, or a "
            f"model of palette {layout.palette.name}"
        )


def working_memory(model: Model, batch: int, height: int, width: int) -> float:
    """Bytes that a step takes beside the weights: 18 to 24 maps of the first level's features, and some for cuDNN."""
    return 30 * 4 * model.config.network.channels * batch * height * width


def padded(x: Tensor, canvas: Canvas) -> Tensor:
    """Noisy images, grown to the canvas: mirrored where there is enough to mirror, since noise does not repeat itself."""
    bottom, right = (padded - side for padded, side in zip(canvas.padded_size, canvas.size, strict=True))
    if bottom >= x.shape[-2] or right >= x.shape[-1]:
        return canvas.padded(x)
    return F.pad(x, (0, right, 0, bottom), mode="reflect") if bottom or right else x


def blank(labels: LabelMap) -> bool:
    """Whether this is the null condition, which costs less."""
    return bool(labels.unpainted.all()) and (labels.edges is None or not labels.edges.any())
