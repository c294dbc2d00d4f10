import os

# Before torch is loaded: its threads wait asleep (scdm/start.py), and the tests' processes do not fight for cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

# Shared and cold machines take long for the first example; how fast the code is, benchmarks say.
settings.register_profile("scdm", deadline=None)
settings.load_profile("scdm")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", 'large: needs several GB or a minute; leave out with -m "not large"')
    if os.environ.get("SCDM_GOLDEN"):
        from tests import parity

        parity.index()  # or it says what the folder lacks


def pytest_report_header() -> str:
    from tests import parity  # late: the environment must come first, and torch is slow

    return f"golden numbers: {parity.SET}, {len(parity.index())} files"
