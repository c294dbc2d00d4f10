"""Weights stored in 8 bits: integers from -127 to 127, and a scale for each row of a tensor, its outputs.

Only files hold them; what is loaded is float32 (`unpacked`). A weight is off by at most a 254th of the largest of its row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from ..files.untrusted import shown

SCALE = ".scale"  # after the name of the tensor whose rows it scales
FEWEST = 4096  # weights that a tensor has at least: scales, norms and biases are not what fills a file
MOST = 127


def packed(weights: Mapping[str, Tensor], exact: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """The tensors in 8 bits, each with its scales (R,) in float32; small ones and vectors in float16.

    exact: first parts of names whose tensors stay in float16, too.
    """
    stored = {}
    for name, tensor in weights.items():
        if tensor.ndim < 2 or tensor.numel() < FEWEST or name.split(".")[0] in exact:
            stored[name] = tensor.to(torch.float16)
            continue
        rows = tensor.float().flatten(1)
        scale = rows.abs().amax(1) / MOST
        levels = (rows / scale.where(scale > 0, 1)[:, None]).round().to(torch.int8)
        stored |= {name: levels.view(tensor.shape), name + SCALE: scale}
    return stored


def unpacked(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `packed`, but for rounding; files without integers as they are.

    ValueError for integers without scales, one for each row.
    """
    of_others = scales(stored)
    return {name: _weight(name, tensor, stored) for name, tensor in stored.items() if name not in of_others}


def scales(names: Collection[str]) -> set[str]:
    """Those of a file's tensors that are the scales of others."""
    return {name for name in names if name.endswith(SCALE) and name.removesuffix(SCALE) in names}


def _weight(name: str, tensor: Tensor, stored: Mapping[str, Tensor]) -> Tensor:
    if tensor.dtype != torch.int8:
        return tensor
    scale = stored.get(name + SCALE)
    if scale is None or not scale.is_floating_point() or tensor.ndim < 2 or scale.shape != tensor.shape[:1]:
        raise ValueError(
            f"the scales of its 8-bit weights {shown(name)} are missing or do not fit: the file is damaged"
        )
    return tensor.float() * scale.float().view(-1, *[1] * (tensor.ndim - 1))
