"""Several processes do what one does."""

import subprocess
import sys

import pytest

from scdm.datasets.parallel import mapped

# In a new process, which can be killed: a failure is a deadlock.
AFTER_THREADS = """
import torch
from scdm.datasets.parallel import mapped

def total(side):
    return float((torch.ones(side, side) * 2).sum())

if __name__ == "__main__":
    torch.set_num_threads(4)
    total(1000)  # starts this process's threads, which its workers will not have
    assert list(mapped(total, [1000] * 8, 2)) == [2e6] * 8
"""


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_results_come_in_order(workers):
    assert list(mapped(abs, range(-50, 0), workers)) == list(range(50, 0, -1))


def test_workers_compute_after_their_parent_used_threads(tmp_path):
    script = tmp_path / "after_threads.py"
    script.write_text(AFTER_THREADS)
    subprocess.run([sys.executable, str(script)], check=True, timeout=120)
