"""Costs of networks are counted without computing anything: what patches save is known in closed form."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks import network
from benchmarks.network import counted, main
from scdm.networks import UNetConfig

TINY = UNetConfig(5, channels=32, channel_mult=(1, 1), res_blocks=1, attention=(2,), head_channels=32, hidden=8)
CONFIGS = Path(__file__).parents[2] / "training" / "configs"


def test_a_patch_moves_the_same_network_to_a_larger_image() -> None:
    """Only the first and the last convolution have more channels, on the same grid."""
    parameters, tflop, kept = counted(TINY, (32, 32))
    patched_parameters, patched_tflop, patched_kept = counted(replace(TINY, patch=2), (64, 64))
    more = 9 * 32 * (3 + 6) * (2**2 - 1)  # weights, without the biases of the last
    assert patched_parameters - parameters == more + 6 * 3
    assert (patched_tflop - tflop) * 1e12 == pytest.approx(2 * more * 32 * 32)
    assert patched_kept == pytest.approx(kept, rel=0.1)
    assert counted(TINY, (64, 64))[1] > 3.9 * tflop


def test_what_is_kept_is_counted_once() -> None:
    """As autograd keeps it in a real step, but for the weights."""
    config = replace(TINY, edges=True)
    _, _, kept = counted(config, (16, 16))
    real, held = network.random_network(config, "cpu"), {}
    weights = {parameter.untyped_storage()._cdata for parameter in real.parameters()}
    x, t, labels = network.inputs(real, (16, 16), "cpu")
    with torch.autograd.graph.saved_tensors_hooks(
        lambda y: held.setdefault(y.untyped_storage()._cdata, y), lambda y: y
    ):
        real(x, t, labels)
    values = sum(y.untyped_storage().nbytes() // y.element_size() for key, y in held.items() if key not in weights)
    assert kept * 1e9 == pytest.approx(2 * values, rel=0.15)


def test_the_command_compares_patches_and_configurations(monkeypatch, capsys) -> None:
    monkeypatch.setattr(network, "ADE20K", TINY)
    file = str(CONFIGS / "scenes64.yaml")
    monkeypatch.setattr(
        "sys.argv", ["network.py", "--models", "--size", "32", "--repeats", "0", "--costs", "1", "4", file]
    )
    assert main() == 0
    header, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in capsys.readouterr().out.splitlines()[3:]
    ]
    rows = [dict(zip(header, row, strict=True)) for row in rows]
    assert [row["network"] for row in rows] == ["published", "patches of 4", "scenes64"]
    assert rows[0]["of published"] == "1.000" and float(rows[1]["of published"]) < 0.3
    assert rows[2]["size"] == "64x64" and {row["forward, s"] for row in rows} == {"–"}


def test_seconds_are_measured_where_they_are_asked_for(monkeypatch) -> None:
    monkeypatch.setattr(network, "ADE20K", TINY)
    assert network.cost("2", 16, 1, "cpu").forward_seconds > 0
    assert math.isnan(network.cost("2", 16, 0, "cpu").forward_seconds)
