"""What a state must hold, to the shape, before anything of it is taken over.

Torch would broadcast what does not fit, or fail steps later.
"""

from __future__ import annotations

import json
import math
from typing import Any

from torch import Tensor

from .learner import Learner

MOMENTS = ("exp_avg", "exp_avg_sq")
NEEDED = {"params", "lr", "betas", "eps", "weight_decay"}  # of an optimizer's settings
MAY_DIFFER = {
    "params",
    "lr",
    "foreach",
    "capturable",
    "differentiable",
    "fused",
}  # with the step, the names, and the device


def is_description(state: dict[str, Any]) -> bool:
    """Whether what a state says of its run is of the right kinds."""
    told = [state.get("settings"), state.get("origin"), state.get("provenance", {})]
    hours = state.get("hours")
    return all(map(_is_record, told)) and _is_like(hours, 0.0) and hours >= 0  # type: ignore[operator]


def is_of(learner: Learner, state: object, steps: int) -> bool:
    """Whether this is what a learner of the same network has learned in so many steps."""
    if not isinstance(state, dict) or not isinstance(state.get("optimizer"), dict):
        return False
    parts = {
        "network": learner.plain.state_dict(),
        "ema": {decay: {"updates": 0, "weights": ema.weights} for decay, ema in learner.ema.items()},
        "timesteps": learner.timesteps.state_dict(),
        "scaler": None if learner.accelerator.scaler is None else learner.accelerator.scaler.state_dict(),
    }
    return (
        all(name in state and _is_like(state[name], part) for name, part in parts.items())
        and all(0 <= ema["updates"] <= steps for ema in state["ema"].values())
        and _is_of_optimizer(learner, state["optimizer"])
    )


def _is_of_optimizer(learner: Learner, state: dict[str, Any]) -> bool:
    weights = dict(learner.plain.named_parameters())
    moments, groups = state.get("state"), state.get("param_groups")
    if not _is_like(groups, [{}]) or not isinstance(moments, dict) or moments.keys() != weights.keys():
        return False
    (own,) = learner.optimizer.optimizer.param_groups
    (group,) = groups  # type: ignore[misc]
    return (
        _is_like(group.get("params"), list(weights))
        and group["params"] == list(weights)
        and group.keys() >= NEEDED
        and _is_like(group["lr"], own["lr"])
        and all(isinstance(group[name], (bool, type(None))) for name in MAY_DIFFER & group.keys() - {"params", "lr"})
        and all(
            _is_like(group[name], own[name]) and group[name] == own[name]
            for name in group.keys() & own.keys() - MAY_DIFFER
        )
        and all(_is_like(part.get("step"), 0) for part in moments.values() if isinstance(part, dict))
        and all(
            isinstance(moments[name], dict) and all(_is_like(moments[name].get(moment), weight) for moment in MOMENTS)
            for name, weight in weights.items()
        )
    )


def _is_like(value: object, own: object) -> bool:
    """Of the same kind, and tensors of the same shape. Dictionaries, but for an empty one, have the same keys."""
    if isinstance(own, Tensor):
        return (
            isinstance(value, Tensor)
            and value.shape == own.shape
            and value.is_floating_point() == own.is_floating_point()
        )
    if isinstance(own, dict):
        return isinstance(value, dict) and (
            not own or (value.keys() == own.keys() and all(_is_like(value[key], own[key]) for key in own))
        )
    if isinstance(own, (list, tuple)):
        return isinstance(value, (list, tuple)) and len(value) == len(own) and all(map(_is_like, value, own))
    if isinstance(own, (int, float)) and not isinstance(own, bool):
        number = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
        return isinstance(number, (int, float)) and not isinstance(number, bool) and math.isfinite(number)
    return isinstance(value, type(own))


def _is_record(value: object) -> bool:
    try:
        return isinstance(value, dict) and all(isinstance(key, str) for key in value) and bool(json.dumps(value))
    except (TypeError, ValueError, RecursionError):
        return False
