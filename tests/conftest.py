"""Fixtures every test may use."""

import pytest

pytest_plugins = ["servers"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"
