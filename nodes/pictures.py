"""ComfyUI's IMAGE, (B, H, W, C), and MASK, (B, H, W), both in [0, 1]; and the 8-bit levels that `scdm` reads and draws."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from comfy_api.latest import io, ui
from torch import Tensor

from ..scdm.files.images import to_levels
from ..scdm.files.levels import scaled_strength
from ..scdm.layouts.fitting import FITS, framed
from ..scdm.layouts.preview import enlarged


def levels(image: Tensor) -> np.ndarray:
    """IMAGE -> uint8 (B, H, W, C): the very levels of the file that it came from."""
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4) or not image.numel() or not image.isfinite().all():
        raise ValueError("this is no image of 1, 3 or 4 channels, or a broken one: check the node that it comes from")
    return to_levels(2 * image.float().movedim(-1, 1) - 1)


def rgb(image: Tensor) -> Tensor:
    """IMAGE of any channels, grey or with an alpha among them -> (B, H, W, 3)."""
    if image.ndim != 4 or image.shape[-1] not in (1, 3, 4) or not image.numel():
        raise ValueError("this is no image of 1, 3 or 4 channels, or an empty one: check the node that it comes from")
    return image[..., :3].expand(-1, -1, -1, 3)


def comfy_image(pictures: np.ndarray) -> Tensor:
    """uint8 (B, H, W, C) -> IMAGE."""
    return torch.from_numpy(pictures).float() / 255


def flat(mask: Tensor) -> Tensor:
    """MASK from wherever, (H, W) or (B, 1, H, W) among them -> (B, H, W)."""
    if mask.ndim < 2 or not mask.numel() or not mask.isfinite().all():
        raise ValueError("this is no mask, or a broken one: check the node that it comes from")
    return mask.reshape(-1, *mask.shape[-2:])


def strength(mask: Tensor, remark: Callable[[str], None]) -> Tensor:
    """MASK from wherever -> (B, H, W) in [0, 1], as a mask file is read; `remark` is told what looks unintended."""
    masks = flat(mask).float().cpu().numpy()
    # In a graph half a strength is meant: masks are made and mixed there.
    return torch.from_numpy(np.stack([scaled_strength(one, remark, scale=False) for one in masks])).to(mask.device)


def fit_input() -> io.Combo.Input:
    """Optional, for workflows from before there was one."""
    return io.Combo.Input(
        "fit",
        options=list(FITS),
        default="resize",
        optional=True,
        tooltip="If an image or a mask has another size than the layout: resize stretches it, crop fills the layout and "
        "cuts off what hangs over, pad shows the whole and leaves the rest of the layout to be painted.",
    )


def at_size(
    name: str, planes: Tensor, size: tuple[int, int], fit: str, remark: Callable[[str], None]
) -> tuple[Tensor, Tensor]:
    """Images or masks (B, C, h, w) at the size (height, width) of a layout, and `size` bool: what of it they reach."""
    found = tuple(planes.shape[-2:])
    if found != size:
        remark(f"the {name} is {found[1]} x {found[0]} pixels, the layout {size[1]} x {size[0]}: fitted by {fit}")
    return framed(planes, *size, fit)


def mask_at_size(mask: Tensor, size: tuple[int, int], fit: str, remark: Callable[[str], None]) -> Tensor:
    """A mask (B, h, w) at the size of a layout; black where it does not reach."""
    fitted, reached = at_size("mask", mask[:, None], size, fit, remark)
    return fitted[:, 0] * reached


def shown(node: type[io.ComfyNode], pictures: np.ndarray) -> ui.PreviewImage:
    """For a node's `ui`: pictures, uint8 (B, H, W, 3), inside the node; small ones enlarged, as browsers would not."""
    return ui.PreviewImage(comfy_image(enlarged(pictures)), cls=node)
