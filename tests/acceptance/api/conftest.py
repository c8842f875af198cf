"""What the tests of the HTTP API share: an account of their own, the official client, a photograph."""

import base64
from collections.abc import Iterator
from importlib.resources import files

import openai
import pytest

from servers import Account, TesseraServer, server

__all__ = ["server"]


@pytest.fixture
def account(server: TesseraServer) -> Account:
    return server.account()


@pytest.fixture
def client(server: TesseraServer, account: Account) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.api, api_key=account.key, max_retries=0) as made:
        yield made


@pytest.fixture(scope="session")
def photograph() -> str:
    """A photograph as a data URL."""
    content = files("tessera.cli").joinpath("photos", "coffee.webp").read_bytes()
    return "data:image/webp;base64," + base64.b64encode(content).decode()
