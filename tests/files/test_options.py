"""The declaration of a setting is what is checked, and shown in messages and help."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import pytest

from scdm.files.options import Option, check, check_fields, declared


@dataclass(frozen=True)
class Example:
    plain: int = 3  # without an Option: nobody's but its own
    eta: Annotated[float, Option("share of fresh noise", ge=0, le=1)] = 0.0
    repeats: Annotated[int, Option("times", ge=1, le=100, unit="times")] = 1
    seed: Annotated[int, Option("of the first image", ge=0, le=2**64 - 1)] = 0
    quantile: Annotated[float | None, Option("of |x0|", gt=0, le=1, advice="leave it out")] = None
    noise: Annotated[str | Callable[[int], int], Option("of labels", choices=("fresh", "none"))] = "fresh"
    variance: Annotated[Literal["small", "large"], Option("of a step")] = "large"
    mean: Annotated[tuple[float, float, float] | None, Option("of colours", ge=-1, le=1)] = None
    steps: Annotated[str | int | None, Option("how many", ge=1)] = None
    clip: Annotated[bool, Option("cut")] = True
    sizes: Annotated[tuple[int | tuple[int, int], ...], Option("of images", ge=1)] = ()

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize(
    "values",
    [
        {"eta": 1},
        {"eta": np.float32(0.5), "seed": np.int64(2)},
        {"quantile": 1},
        {"noise": lambda x: x},
        {"mean": [0, 0.5, -1]},
        {"steps": "ddim25"},
        {"steps": 4},
        {"seed": 2**64 - 1},
        {"sizes": (3, (4, 5))},
    ],
)
def test_what_is_allowed_passes(values):
    Example(**values)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"eta": 1.5}, "eta must be a number from 0 to 1, not 1.5"),
        ({"eta": True}, "eta must be a number from 0 to 1, not True"),
        ({"eta": math.nan}, "eta must be a number from 0 to 1, not nan"),
        ({"eta": None}, "eta must be a number from 0 to 1, not None"),
        ({"repeats": 2.0}, "repeats must be a whole number of times from 1 to 100, not 2.0"),
        ({"seed": -1}, r"seed must be a whole number from 0 to 2\^64 - 1, not -1"),
        ({"quantile": 0}, "quantile must be a number above 0 to 1, or None, not 0: leave it out"),
        ({"noise": "frsh"}, "noise must be fresh or none, not 'frsh'"),
        ({"variance": "medium"}, "variance must be small or large, not 'medium'"),
        ({"mean": (0, 2, 0)}, r"mean must be 3 numbers from -1 to 1, or None, not \(0, 2, 0\)"),
        ({"mean": (0, 0)}, "mean must be 3 numbers"),
        ({"steps": 0}, "steps must be text, or a whole number from 1, or None, not 0"),
        ({"clip": 1}, "clip must be true or false, not 1"),
        ({"sizes": (3, (4, 0))}, r"sizes must be several values from 1, not \(3, \(4, 0\)\)"),
    ],
)
def test_what_is_not_allowed_is_refused_in_a_sentence(values, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        Example(**values)


def test_only_what_has_an_option_is_declared_in_order():
    names = ["eta", "repeats", "seed", "quantile", "noise", "variance", "mean", "steps", "clip", "sizes"]
    assert list(declared(Example)) == names
    assert declared(Example)["eta"].default == 0.0
    assert declared(Example)["variance"].choices == ("small", "large")


def test_keywords_of_a_function_are_declared_alike():
    def sampler(x: int, *, eta: Annotated[float, Option("share", ge=0, le=1)] = 0.5, other: int = 1) -> None: ...

    settings = declared(sampler)
    assert list(settings) == ["eta"] and settings["eta"].default == 0.5
    check({"x": 9, "eta": 1.0}, settings)
    with pytest.raises(ValueError, match=r"^sampler\.eta must be a number from 0 to 1, not 2"):
        check({"eta": 2}, settings, "sampler.")
