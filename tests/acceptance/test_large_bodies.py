"""Large bodies on their way through: whole, digested as small ones are, and never holding the event loop for long."""

import asyncio
import base64
import http.client
import json
import time
from typing import Any

import pytest

from image_files import saved
from servers import Account, TesseraServer
from tessera.adapters.providers.openai.wire import Connection
from tessera.http.exchange import Exchange

LARGE_BYTES = 20_000_000
PIECE_BYTES = 64 * 1024
TRIES = 5
HELD_SHARE_MAX = 1 / 3
"""Of the processor time that growing to 20 MB step by step takes, about 10 ms, measured in the same moment: a machine
of others may be three times as slow for a while."""


def messages(body: bytes, piece_bytes: int) -> list[dict[str, Any]]:
    pieces = [body[at : at + piece_bytes] for at in range(0, len(body), piece_bytes)] or [b""]
    return [
        {"type": "http.request", "body": piece, "more_body": at + 1 < len(pieces)} for at, piece in enumerate(pieces)
    ]


async def read(waiting: list[dict[str, Any]], *headers: tuple[bytes, bytes]) -> tuple[bytes, float]:
    """The body as an exchange reads it, and the longest it held the loop between two pieces, in ms."""
    longest = 0.0
    began = time.thread_time()

    async def receive() -> dict[str, Any]:
        nonlocal began, longest
        longest = max(longest, time.thread_time() - began)
        message = waiting.pop(0)
        await asyncio.sleep(0)
        began = time.thread_time()
        return message

    async def send(_: object) -> None:
        raise AssertionError

    exchange = Exchange({"type": "http", "headers": list(headers)}, receive, send)
    body = await exchange.body(LARGE_BYTES, 60)
    return body, 1000 * max(longest, time.thread_time() - began)


def growing_ms(body: bytes) -> float:
    """What growing to the body and copying it once takes."""
    pieces = [body[at : at + PIECE_BYTES] for at in range(0, len(body), PIECE_BYTES)]
    began = time.thread_time()
    grown = bytearray()
    for piece in pieces:
        grown += piece
    copied = bytes(grown)
    took = time.thread_time() - began
    assert copied == body
    return 1000 * took


@pytest.mark.anyio
@pytest.mark.parametrize("body", [b"", b"{}", b'{"a":"' + b"x" * 100_000 + b'"}'])
@pytest.mark.parametrize("piece_bytes", [1_000, PIECE_BYTES, 1_000_000])
async def test_a_body_is_whole_however_it_arrives(body: bytes, piece_bytes: int) -> None:
    empty = {"type": "http.request", "body": b"", "more_body": True}
    found, _ = await read(
        [
            empty,
            *messages(body, piece_bytes),
        ]
    )
    assert found == body
    assert type(found) is bytes


@pytest.mark.anyio
@pytest.mark.parametrize("headers", [(), ((b"content-length", b"%d" % LARGE_BYTES),)], ids=["chunked", "declared"])
async def test_a_large_body_never_holds_the_loop_for_long_while_it_arrives(
    headers: tuple[tuple[bytes, bytes], ...],
) -> None:
    body = bytes(range(256)) * (LARGE_BYTES // 256) + bytes(LARGE_BYTES % 256)
    shares = []
    for _ in range(TRIES):
        found, held_ms = await read(messages(body, PIECE_BYTES), *headers)
        assert found == body
        shares.append(held_ms / growing_ms(body))
        if shares[-1] < HELD_SHARE_MAX:
            return
    pytest.fail(f"of the time that growing takes, a piece took {shares}")


class FastTransport(asyncio.Transport):
    """As fast as a socket can be: it takes all that is written and never asks the writer to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.written_bytes = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written_bytes += len(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def abort(self) -> None:
        pass


@pytest.mark.anyio
async def test_others_run_in_between_while_a_large_body_goes_to_a_provider_that_takes_it_at_once() -> None:
    loop = asyncio.get_running_loop()
    transport = FastTransport()
    connection = Connection(loop, lambda _: None)
    connection.connection_made(transport)
    sending = loop.create_task(connection.send(b"POST", [bytes(LARGE_BYTES)], LARGE_BYTES, loop.time() + 60))
    most = before = 0
    while transport.written_bytes < LARGE_BYTES:
        await asyncio.sleep(0)
        most, before = max(most, transport.written_bytes - before), transport.written_bytes
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
    await sending
    assert most <= 1 << 20


def call(server: TesseraServer, account: Account, key: str, text: str) -> tuple[int, str | None, bytes]:
    address = "data:image/png;base64," + base64.b64encode(saved("PNG") + bytes(3_000_000)).decode()
    content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": address}}]
    body = json.dumps({"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": content}]})
    headers = {"Authorization": f"Bearer {account.key}", "Content-Type": "application/json", "Idempotency-Key": key}
    connection = http.client.HTTPConnection(server.base_url.removeprefix("http://"), timeout=60)
    connection.request("POST", "/v1/chat/completions", body, headers)
    with connection.getresponse() as reply:
        found = reply.status, reply.headers["tessera-replayed"], reply.read()
    connection.close()
    return found


def test_a_large_body_is_known_again_by_its_idempotency_key(server: TesseraServer) -> None:
    account = server.account()
    first = call(server, account, "large", "What is this?")
    again = call(server, account, "large", "What is this?")
    other = call(server, account, "large", "What is that?")
    assert first[0] == again[0] == 200
    assert first[1] is None
    assert again[1] is not None
    assert again[2] == first[2]
    assert other[0] == 400
    assert json.loads(other[2])["error"]["code"] == "idempotency_mismatch"
