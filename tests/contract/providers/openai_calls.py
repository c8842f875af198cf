"""A provider that speaks OpenAI's API, over a socket to a scripted server, and calls that are to fail."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from contract.providers.calls import make_call, read_all
from scripted_provider import ScriptedProvider
from tessera.adapters.providers.openai import OpenAIProvider, TransportLimits
from tessera.domain.errors import ErrorCode, TesseraError

KEY = "sk-operator-key"
PATIENT = TransportLimits(connect_s=20, first_byte_s=20, gap_s=20, total_s=60, reply_bytes_max=200_000)
QUICK = TransportLimits(connect_s=0.5, first_byte_s=0.5, gap_s=0.4, total_s=1.5, reply_bytes_max=200_000)


@pytest.fixture
def server() -> Iterator[ScriptedProvider]:
    with ScriptedProvider() as provider:
        provider.expect_credential(KEY)
        yield provider


@pytest.fixture
async def provider(server: ScriptedProvider) -> AsyncIterator[OpenAIProvider]:
    made = OpenAIProvider(server.base_url, KEY, PATIENT)
    yield made
    await made.close()


async def failure(provider: OpenAIProvider, **call: Any) -> ErrorCode:
    """The code with which sending a call and reading its answer fails."""
    with pytest.raises(TesseraError) as caught:
        await read_all(await provider.send(make_call(**call)))
    assert "127.0.0.1" not in caught.value.message
    return caught.value.code


@pytest.fixture
async def hasty(server: ScriptedProvider) -> AsyncIterator[OpenAIProvider]:
    made = OpenAIProvider(server.base_url, KEY, QUICK)
    yield made
    await made.close()
