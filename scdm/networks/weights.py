"""Weights of untrusted files: they are the module's own and finite, or it gets none."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ..files.untrusted import brief, shown


def fill(module: nn.Module, weights: Mapping[str, Tensor], copy: bool = False) -> None:
    """Gives a module these weights, in float32; itself it may be on `meta`.

    copy: the weights, which lie in a file that may be written again.
    ValueError if they are not the module's, or not finite. No memory is taken before their shapes are known to fit.
    """
    if differences := _differences(module.state_dict(), weights):
        raise ValueError(f"the weights are not those of the network that the file describes: {differences}")
    own = {name: tensor.to(torch.float32, copy=copy) for name, tensor in weights.items()}
    if broken := not_finite(own):
        raise ValueError(f"{broken} holds NaN or infinite values: the file is damaged, or the training diverged")
    module.load_state_dict(own, assign=True)


def not_finite(weights: Mapping[str, Tensor]) -> str | None:
    """The first of these tensors that holds NaN or infinite values."""
    return next((name for name, weight in weights.items() if not weight.isfinite().all()), None)


def _differences(expected: Mapping[str, Tensor], found: Mapping[str, Tensor], most: int = 3) -> str:
    """What keeps the tensors from being the network's, the first few in words; "" if nothing."""
    wrong = [name for name in (*expected, *sorted(found.keys() - expected.keys())) if not _fits(name, expected, found)]
    words = [
        f"{brief(name)} is {_form(found.get(name), 'missing')}, expected {_form(expected.get(name), 'none')}"
        for name in wrong[:most]
    ]
    return "; ".join(words) + (f"; and {len(wrong) - most} more" if len(wrong) > most else "")


def _fits(name: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> bool:
    there = name in expected and name in found
    return there and expected[name].shape == found[name].shape and found[name].is_floating_point()


def _form(tensor: Tensor | None, absent: str) -> str:
    if tensor is None:
        return absent
    return shown(tuple(tensor.shape)) + ("" if tensor.is_floating_point() else f" of {tensor.dtype}")
