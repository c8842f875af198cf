"""Fixtures of the tests that attack the HTTP entrance."""

from collections.abc import Iterator

import pytest

from servers import Account, TesseraServer, running_server


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TesseraServer]:
    """A server with short limits."""
    config = "[limits]\nheaders_seconds_max = 2\nbody_seconds_max = 3\nbody_bytes_max = 1000000\nidle_seconds_max = 2\n"
    with running_server(tmp_path_factory.mktemp("hurried"), config=config) as server:
        yield server
        server.verify()


@pytest.fixture(scope="module")
def key(hurried: TesseraServer) -> str:
    return hurried.account().key


@pytest.fixture(scope="module")
def account(hurried: TesseraServer) -> Account:
    return hurried.account()
