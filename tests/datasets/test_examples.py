"""Batches of examples, or a sentence."""

from __future__ import annotations

import pytest
from torch.utils.data import Dataset

from scdm.datasets import Example, loader


class Undecodable(Dataset[Example]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Example:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")


def test_an_error_that_is_made_of_more_than_a_text_is_said() -> None:
    with pytest.raises(ValueError, match="invalid start byte"):
        next(iter(loader(Undecodable(), 1)))
