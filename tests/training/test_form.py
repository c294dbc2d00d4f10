"""A state is taken over whole, or not at all."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from scdm.training import form
from scdm.training.config import LossConfig
from scdm.training.learner import Learner
from scdm.training.objective import learning
from scdm.training.run import new_model
from tests.training.tiny import config

SPOILT = [None, "text", b"bytes", [], {}, True, float("nan"), torch.zeros(3, 1, 4, 1), torch.zeros(0), object]
DESCRIPTION = {"settings": {"seed": 0, "data.size": [16, 16]}, "origin": {"init": None}, "hours": 0.5}


@pytest.fixture(scope="module")
def learner() -> Learner:
    from scdm.layouts.palette import Palette

    run = config(loss=LossConfig(timesteps="importance"), ema=(0.9, 0.99))
    return Learner(run, learning(run, new_model(run, Palette.named("scenes"))), Accelerator(cpu=True))


def places(tree: Any, where: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = list(tree.items()) if isinstance(tree, dict) else list(enumerate(tree)) if isinstance(tree, list) else []
    return [place for key, part in inner for place in [(*where, key), *places(part, (*where, key))]]


def changed(tree: Any, where: tuple[Any, ...], change: Callable[[Any, Any], None]) -> Any:
    """A copy of the tree, but for tensors, with `change` made to what holds the last key of `where`."""
    tree = tree.copy()
    key, *further = where
    if further:
        tree[key] = changed(tree[key], tuple(further), change)
    else:
        change(tree, key)
    return tree


def optional(where: tuple[Any, ...]) -> bool:
    """Settings of the optimizer that not every version of torch knows, or that are those of a device."""
    return where[:2] == ("optimizer", "param_groups") and len(where) == 4 and where[3] not in form.NEEDED


def test_what_a_learner_has_learned_is_its_own(learner: Learner) -> None:
    state = learner.state_dict()
    assert form.is_of(learner, state, 0)
    state["ema"][0.9]["updates"] = 5
    assert form.is_of(learner, state, 5) and not form.is_of(learner, state, 4)
    state["ema"][0.9]["updates"] = -1
    assert not form.is_of(learner, state, 5)


def test_whatever_is_missing_or_of_another_kind_is_noticed(learner: Learner) -> None:
    state, rng = learner.state_dict(), random.Random(0)
    all_places = places(state)
    few = [place for place in all_places if len(place) < 3 or place[0] not in ("network", "ema", "optimizer")]
    groups = [place for place in all_places if place[:2] == ("optimizer", "param_groups") and len(place) == 4]
    for place in [*few, *groups, *rng.sample(all_places, 200)]:
        if not optional(place):
            assert not form.is_of(learner, changed(state, place, lambda tree, key: tree.pop(key)), 0), place
        for value in rng.sample(SPOILT, 3):
            fits = value is None and place == ("scaler",)
            fits |= optional(place) and place[3] in form.MAY_DIFFER and (value is None or value is True)
            fits |= optional(place) and value is True and place[3] == "decoupled_weight_decay"
            spoilt = changed(state, place, lambda tree, key, value=value: tree.__setitem__(key, value))
            assert form.is_of(learner, spoilt, 0) == fits, (place, value)
    for state in SPOILT:
        assert not form.is_of(learner, state, 0)


def test_what_a_state_says_of_its_run_is_plain_data() -> None:
    assert form.is_description(DESCRIPTION) and form.is_description({**DESCRIPTION, "provenance": {"steps": 3}})
    for name in DESCRIPTION:
        assert not form.is_description({key: value for key, value in DESCRIPTION.items() if key != name})
        for value in SPOILT:
            fits = value == {} if isinstance(value, dict) and name != "hours" else False
            assert form.is_description({**DESCRIPTION, name: value}) == fits, (name, value)
    for value in ({"a": torch.zeros(3)}, {1: 2}, {"a": {1, 2}}, [], "text"):
        assert not form.is_description({**DESCRIPTION, "provenance": value})
    for hours in (-1, float("inf"), "1"):
        assert not form.is_description({**DESCRIPTION, "hours": hours})
