from collections.abc import Iterator

import pytest

pytest.importorskip("accelerate", reason="training needs the extra 'train'")

from accelerate.state import AcceleratorState


@pytest.fixture(autouse=True)
def own_accelerator() -> Iterator[None]:
    """Every test is like a process of its own: accelerate keeps its state for as long as one lives."""
    AcceleratorState._reset_state(True)
    yield
    AcceleratorState._reset_state(True)
