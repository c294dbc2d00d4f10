"""A run so small that tests can make many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from accelerate.state import AcceleratorState
from torch import Tensor

from scdm.networks import UNetConfig
from scdm.training.config import DataConfig, LabelDiffusionConfig, OptimizerConfig, TrainConfig

NETWORK = UNetConfig(14, channels=32, channel_mult=(1, 1), res_blocks=1, attention=(), head_channels=None, hidden=8)


def config(run: Path | str = "-", **changes: Any) -> TrainConfig:
    base = TrainConfig(
        run=str(run),
        network=NETWORK,
        data=DataConfig(size=16, workers=0),
        label_diffusion=LabelDiffusionConfig("classwise", "scenes"),
        optimizer=OptimizerConfig(lr=1e-3),
        batch=4,
        steps=4,
        save_every=2,
        samples=0,
        tracker="none",
    )
    return replace(base, **changes)


@contextmanager
def apart() -> Iterator[None]:
    """As in a new process: accelerate keeps its state for the life of a process."""
    AcceleratorState._reset_state(True)
    try:
        yield
    finally:
        AcceleratorState._reset_state(True)


def learned(run: Path | str, step: int) -> dict[str, Tensor]:
    """The weights and their averages in a state, by name."""
    state = torch.load(Path(run) / f"state-{step}.pt", weights_only=True)["learner"]
    averages = {
        f"{decay} {name}": weight for decay, ema in state["ema"].items() for name, weight in ema["weights"].items()
    }
    return {**state["network"], **averages}


def assert_same(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """To the bit."""
    assert actual.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(actual[name], value), name


def assert_close(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor], rms: float = 2e-5) -> None:
    """But for rounding, over all weights together: to Adam a gradient of nothing but rounding, as of a bias before a norm
    of single channels, is a gradient like any other. Four steps of 1e-3 change the weights by an rms of 1e-3.
    """
    assert actual.keys() == expected.keys()
    difference = torch.cat([(actual[name] - value).flatten() for name, value in expected.items()])
    assert difference.square().mean().sqrt() <= rms
