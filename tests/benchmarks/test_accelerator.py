"""What has to be true of an accelerator, and the program that measures one."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("accelerate", reason="training needs the extra 'train'")

from benchmarks.checks import CHECKS


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
@pytest.mark.parametrize("name", CHECKS)
def test_a_gpu_makes_what_the_cpu_makes(name: str) -> None:
    CHECKS[name](torch.device("cuda"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU takes these checks")
@pytest.mark.parametrize("name", CHECKS)
def test_the_checks_of_a_gpu_run(name: str) -> None:
    """Rehearsed on the CPU: they hold there, and nobody meets their mistakes on a rented machine."""
    CHECKS[name](torch.device("cpu"))
