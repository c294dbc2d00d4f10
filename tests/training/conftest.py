from collections.abc import Iterator

import pytest

pytest.importorskip("accelerate", reason="training needs the extra 'train'")

from tests.training.tiny import apart


@pytest.fixture(autouse=True)
def own_accelerator() -> Iterator[None]:
    with apart():
        yield
