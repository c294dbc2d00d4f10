"""Files of torch.save are read without running what is in them."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from scdm.files.tensors import tensors_in


class Harmful:
    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize("mmap", [False, True])
def test_tensors_and_plain_data_are_read(mmap, tmp_path):
    torch.save({"weights": torch.arange(3), "step": 4}, tmp_path / "a.pt")
    content = tensors_in(tmp_path / "a.pt", mmap)
    assert content["weights"].tolist() == [0, 1, 2] and content["step"] == 4


def test_code_is_not_run(tmp_path):
    torch.save({"weights": Harmful(tmp_path / "touched")}, tmp_path / "a.pt")
    with pytest.raises(pickle.UnpicklingError):
        tensors_in(tmp_path / "a.pt")
    assert not (tmp_path / "touched").exists()
