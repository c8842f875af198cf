"""The client's own connections make of a reply what aiohttp makes of it."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import aiohttp_connections
from aiohttp_connections import AiohttpConnections
from contract.providers.plain_server import JSON, LIMITS, LOOPS, OK, Plain, outcome, serving
from tessera.adapters.providers.openai.pool import PooledConnections
from tessera.domain.errors import ErrorCode

CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n3;note=x\r\n{}\n\r\na\r\n0123456789\r\n0\r\n\r\n"
REPLIES = {
    "length": JSON,
    "chunks": CHUNKED,
    "trailers": CHUNKED[:-2] + b"X-Late: 1\r\n\r\n",
    "no length": OK + b"\r\n{}",
    "old": b"HTTP/1.0 429 Slow\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\n{}",
    "closing": OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
    "no body": b"HTTP/1.1 204 No Content\r\n\r\n",
    "hints": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + JSON,
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "length and chunks": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "bad chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n",
    "bad length": OK + b"Content-Length: two\r\n\r\n{}",
    "too long": OK + b"Content-Length: 20\r\n\r\n{}",
    "not HTTP": b"hello\r\n\r\n",
}


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    bounds = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(bounds) if start < end]


def both(reply: Sequence[bytes], loop: str) -> tuple[Any, Any]:
    """What our client and aiohttp's make of the same bytes, after which the server closes."""

    async def compare() -> tuple[Any, Any]:
        async with serving(Plain(reply, close=True)) as address:
            return (
                await outcome(PooledConnections(address, LIMITS)),
                await outcome(AiohttpConnections(address, LIMITS)),
            )

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(asyncio.wait_for(compare(), 60))


@pytest.fixture(autouse=True)
def _hasty_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiohttp_connections, "LOOK_S", 0.02)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_both_clients_make_the_same_of_a_reply(reply: bytes, loop: str) -> None:
    mine, theirs = both([reply], loop)
    assert mine == theirs


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(REPLIES.values())), st.lists(st.integers(0, 300), max_size=12), st.sampled_from(list(LOOPS))
)
def test_both_clients_make_the_same_of_a_reply_in_pieces(reply: bytes, places: list[int], loop: str) -> None:
    mine, theirs = both(cut(reply, places), loop)
    assert mine == theirs


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(REPLIES.values())), st.integers(0, 300), st.sampled_from(list(LOOPS)))
def test_both_clients_make_the_same_of_a_reply_cut_short(reply: bytes, place: int, loop: str) -> None:
    mine, theirs = both([reply[: place % len(reply)]], loop)
    assert mine == theirs


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(list(REPLIES.values())),
    st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=3), st.integers(0, 3)), min_size=1, max_size=3),
    st.sampled_from(list(LOOPS)),
)
def test_what_our_client_takes_for_a_reply_aiohttp_reads_alike(
    reply: bytes, damages: list[tuple[int, bytes, int]], loop: str
) -> None:
    """Damaged bytes: ours refuses more, and what it accepts means the same to both."""
    for place, put, left_out in damages:
        at = place % (len(reply) + 1)
        reply = reply[:at] + put + reply[at + left_out :]
    mine, theirs = both([reply], loop)
    assert mine in (ErrorCode.PROVIDER_ERROR, theirs)
