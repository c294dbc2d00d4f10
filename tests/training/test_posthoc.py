"""Post-hoc averages: exact where they are kept, near to any other, the same after a resumption."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from scdm.models import checkpoint
from scdm.training.learner import PowerEMA
from scdm.training.loop import train
from scdm.training.posthoc import Average, coefficients, gamma_of, reconstructed, snapshots_in
from tests.training.tiny import apart, assert_close, config, learned
from training.posthoc_ema import main


def averaged(gamma: float, values: np.ndarray) -> list[float]:
    """A power-function average of one number, after every update."""
    network = nn.Linear(1, 1, bias=False).double()
    ema, found = PowerEMA(network, gamma), []
    for value in values:
        with torch.no_grad():
            network.weight.fill_(value)
        ema.update(network)
        found.append(ema.weights["weight"].item())
    return found


def test_widths_and_exponents_are_the_papers() -> None:
    assert gamma_of(0.05) == pytest.approx(16.97, abs=0.01) and gamma_of(0.1) == pytest.approx(6.94, abs=0.01)


def test_a_power_function_average_weighs_updates_by_their_power() -> None:
    values = np.random.default_rng(0).normal(size=400)
    weights = np.arange(1, 401) ** 6.94
    assert averaged(6.94, values)[-1] == pytest.approx((weights * values).sum() / weights.sum(), abs=0.02)


def test_any_average_is_near_to_a_sum_of_snapshots() -> None:
    """Of a path as smooth as weights are; compared with the average itself."""
    values = np.cumsum(np.random.default_rng(1).normal(size=1000)) / 30
    kept = {width: averaged(gamma_of(width), values) for width in (0.05, 0.1)}
    snapshots = [(Average(t, gamma_of(width)), kept[width][t - 1]) for width in kept for t in range(125, 1001, 125)]
    for width in (0.03, 0.07, 0.15, 0.2):
        shares = coefficients([average for average, _ in snapshots], Average(1000, gamma_of(width)))
        made = sum(share * value for share, (_, value) in zip(shares, snapshots, strict=True))
        assert made == pytest.approx(averaged(gamma_of(width), values)[-1], abs=0.01 * np.ptp(values))
    kept_one = coefficients([average for average, _ in snapshots], snapshots[-1][0])
    assert kept_one[-1] == pytest.approx(1, abs=1e-3) and abs(kept_one[:-1]).max() < 1e-3
    with pytest.raises(ValueError, match="no snapshot of update 1001 or later"):
        coefficients([average for average, _ in snapshots], Average(1001, 7.0))


def test_a_run_writes_snapshots_from_which_averages_are_made_and_resumes_them(tmp_path: Path, capsys) -> None:
    run = config(tmp_path / "whole", posthoc_every=2)
    train(run)
    with apart():
        train(replace(run, run=str(tmp_path / "stopped"), steps=2))
    with apart():
        train(replace(run, run=str(tmp_path / "stopped")))
    for folder in ("whole", "stopped"):
        names = {path.name for path in (tmp_path / folder / "posthoc").iterdir()}
        assert names == {"2-0.05.safetensors", "2-0.1.safetensors", "4-0.05.safetensors", "4-0.1.safetensors"}
        assert [average.t for average in snapshots_in(tmp_path / folder).values()] == [2, 2, 4, 4]
    last = [checkpoint.load(tmp_path / folder / "posthoc" / "4-0.1.safetensors") for folder in ("whole", "stopped")]
    assert_close(*(model.network.state_dict() for model in last))
    kept = reconstructed(tmp_path / "whole", 0.1)
    assert_close(kept.network.state_dict(), last[0].network.state_dict())
    assert kept.provenance["average"] == {"width": 0.1, "updates": 4, "snapshots": 4}
    assert learned(tmp_path / "whole", 4).keys() == learned(tmp_path / "stopped", 4).keys()

    out = tmp_path / "made.safetensors"
    assert main([str(tmp_path / "whole"), "--width", "0.15", "--out", str(out)]) == 0 and out.is_file()
    assert main([str(tmp_path / "whole"), "--width", "0.15", "--out", str(out)]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main([str(tmp_path), "--width", "0.15", "--out", str(tmp_path / "b.safetensors")]) == 2
    assert "has no two snapshots: train with posthoc_every" in capsys.readouterr().err


def test_settings_that_give_no_two_averages_are_refused() -> None:
    with pytest.raises(ValueError, match="posthoc_every must be a multiple of save_every"):
        config(posthoc_every=3)
    with pytest.raises(ValueError, match="posthoc_widths must be two widths"):
        config(posthoc_every=2, posthoc_widths=(0.05,))
