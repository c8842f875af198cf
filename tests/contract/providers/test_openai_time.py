"""A provider that takes its time: each limit ends the call it is for (fault rows F1 to F4, T29)."""

import asyncio
import socket
import time
from typing import Any

import pytest

from contract.providers.calls import make_call
from contract.providers.openai_calls import KEY, QUICK, failure, hasty, server
from scripted_provider import (
    End,
    Pause,
    Reply,
    ScriptedProvider,
    chat_events,
    chat_reply,
    drip,
    endless_sse,
    hang,
    sse_reply,
)
from tessera.adapters.providers.openai import OpenAIProvider
from tessera.domain.errors import ErrorCode

pytestmark = pytest.mark.anyio

__all__ = ["hasty", "server"]


async def timed_failure(provider: OpenAIProvider, **call: Any) -> tuple[ErrorCode, float]:
    started = time.monotonic()
    code = await failure(provider, **call)
    return code, time.monotonic() - started


async def test_silence_before_the_head_ends_at_the_first_byte_limit(
    server: ScriptedProvider, hasty: OpenAIProvider
) -> None:
    server.script(hang())
    code, seconds = await timed_failure(hasty)
    assert code is ErrorCode.PROVIDER_TIMEOUT
    assert 0.4 < seconds < 5
    assert await asyncio.to_thread(server.received[0].left_early.wait, 2)


async def test_silence_inside_a_stream_ends_at_the_gap_limit(server: ScriptedProvider, hasty: OpenAIProvider) -> None:
    server.script(sse_reply(chat_events(["a"])[:2], end=End.HANG))
    code, seconds = await timed_failure(hasty, stream=True)
    assert code is ErrorCode.PROVIDER_TIMEOUT
    assert 0.3 < seconds < 5


async def test_a_head_that_drips_ends_at_the_first_byte_limit(server: ScriptedProvider, hasty: OpenAIProvider) -> None:
    server.script(drip(chat_reply(), every_s=0.05))
    code, seconds = await timed_failure(hasty)
    assert code is ErrorCode.PROVIDER_TIMEOUT
    assert seconds < 5


async def test_a_stream_that_drips_or_never_ends_stops_at_the_total_limit(
    server: ScriptedProvider, hasty: OpenAIProvider
) -> None:
    server.script(endless_sse({"choices": []}, delay_s=0.1))
    code, seconds = await timed_failure(hasty, stream=True)
    assert code is ErrorCode.PROVIDER_TIMEOUT
    assert 1.4 < seconds < 6


async def test_an_endless_fast_stream_stops_at_the_size_limit(server: ScriptedProvider, hasty: OpenAIProvider) -> None:
    server.script(endless_sse({"pad": "a" * 10_000}, delay_s=0))
    assert await failure(hasty, stream=True) is ErrorCode.PROVIDER_ERROR


async def test_a_server_that_never_accepts_is_a_timeout() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        for _ in range(3):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            fillers.append(filler)
        provider = OpenAIProvider(f"http://127.0.0.1:{full.getsockname()[1]}/v1", KEY, QUICK)
        assert await failure(provider) is ErrorCode.PROVIDER_TIMEOUT
        await provider.close()
        for filler in fillers:
            filler.close()


async def test_a_long_silence_within_the_limit_is_no_fault(server: ScriptedProvider, hasty: OpenAIProvider) -> None:
    server.script(Reply((Pause(0.25), *chat_reply().pieces)))
    assert (await hasty.send(make_call())).status == 200
