"""Tables and types: rounded once, and named by everybody alike."""

import numpy as np
import pytest
import torch

from scdm.devices import Table, device_called, dtype_called, exact_device, name_of, sent
from scdm.models import checkpoint
from scdm.models.checkpoint import model_file
from scdm.models.conversion import load


def test_a_table_is_rounded_once_for_each_type_and_device() -> None:
    table = Table(np.array([1 / 3, 2 / 3]))
    single = table.on(torch.float32, torch.device("cpu"))
    assert table.on(torch.float32, torch.device("cpu")) is single
    assert single.tolist() == np.array([1 / 3, 2 / 3], dtype=np.float32).tolist()
    assert table.on(torch.float64, torch.device("cpu")).tolist() == [1 / 3, 2 / 3]
    assert table.on(torch.float32, torch.device("meta")).device.type == "meta"


def test_a_table_does_not_follow_the_array_that_it_was_made_of() -> None:
    values = np.arange(3)[::-1]
    table = Table(values)
    values.fill(7)
    assert table.on(torch.int64, torch.device("cpu")).tolist() == [2, 1, 0]


@pytest.mark.parametrize("given", ["bfloat16", torch.bfloat16])
def test_types_by_name_and_by_themselves(given: object) -> None:
    assert dtype_called(given) == torch.bfloat16 and name_of(torch.bfloat16) == "bfloat16"  # type: ignore[arg-type]
    assert dtype_called(None) == torch.float32


def test_float64_is_had_on_the_host_where_the_device_has_none() -> None:
    assert exact_device(torch.device("mps")).type == "cpu"
    assert exact_device(torch.device("cuda")).type == "cuda"
    assert sent(torch.ones(2), torch.device("meta")).device.type == "meta"


def test_a_gpu_too_many_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device_called("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(ValueError, match="this computer has no device cuda:2, only cuda:0 to cuda:1"):
        device_called("cuda:2")


def test_devices_that_cannot_be_had_are_refused_in_words() -> None:
    assert device_called("cpu") == torch.device("cpu") and device_called("meta").type == "meta"
    assert device_called("auto").type in ("cpu", "cuda", "mps")
    with pytest.raises(ValueError, match="torch knows no device 'gpu': choose auto, cuda, mps, cpu"):
        load("scenes-fast", "gpu")
    with model_file("scenes-fast") as path, pytest.raises(ValueError, match="torch knows no device 'gpu'"):
        checkpoint.load(path, "gpu")
    for kind, there in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available())):
        if not there:
            with pytest.raises(ValueError, match=f"no {kind} device that torch can use: choose auto"):
                device_called(kind)
