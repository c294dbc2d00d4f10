import pytest
from hypothesis import settings

# Shared and cold machines take long for the first example; how fast the code is, benchmarks say.
settings.register_profile("scdm", deadline=None)
settings.load_profile("scdm")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", 'large: needs several GB or a minute; leave out with -m "not large"')
