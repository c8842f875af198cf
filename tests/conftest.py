"""Fixtures every test may use."""

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["servers", "postgres_server"]

# A busy machine makes a first example slow, which says nothing about the code; how long things take is measured in
# benchmarks/.
settings.register_profile("tessera", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("tessera")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
