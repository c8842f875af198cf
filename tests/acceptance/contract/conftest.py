"""What the tests of the printed contract share."""

from collections.abc import Iterator

import openai
import pytest

from servers import Account, TesseraServer


@pytest.fixture
def account(server: TesseraServer) -> Account:
    return server.account()


@pytest.fixture
def client(server: TesseraServer, account: Account) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.api, api_key=account.key, max_retries=0) as made:
        yield made
