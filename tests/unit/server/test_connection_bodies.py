"""Bodies on one connection of our server, byte by byte: bounded, in order, and thrown away after an early reply."""

import asyncio
import gc
from typing import Any

from made_connections import HEAD_SECONDS, Held, Wire, get, post
from small_app import SmallApp, reply
from tessera.server.connection import IGNORED_BYTES_MAX, UNREAD_BYTES_MAX
from tessera.server.cycle import Cycle


def test_a_large_body_that_was_taken_leaves_the_connection_read() -> None:
    """Only who reads a connection sees its client leave."""
    app = Held()
    with Wire(app) as wire:
        wire.send(post(b"x" * (UNREAD_BYTES_MAX + 1), "/large"))
        assert app.asked == ["/large"]
        assert wire.transport.reading
        wire.leave()
        assert app.left == ["/large"]


def test_a_body_nobody_reads_stops_the_reading_and_is_not_kept() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await reply(send, b"unread")

    go = asyncio.Event()
    with Wire(app) as wire:
        wire.send(post(b"x" * (UNREAD_BYTES_MAX + 1)))
        assert not wire.transport.reading
        go.set()
        wire.work()
        assert wire.transport.reading
        assert _held_bytes(wire.connection) < 6000


def _held_bytes(thing: Any) -> int:
    """What a connection holds of bytes, through what belongs to it alone."""
    seen, found = set(), 0
    todo = [value for name, value in vars(thing).items() if name not in ("_app", "_server", "loop", "_connections")]
    while todo:
        value = todo.pop()
        if id(value) in seen or not isinstance(value, (bytes, list, tuple, dict, Cycle)):
            continue
        seen.add(id(value))
        found += len(value) if isinstance(value, bytes) else 0
        todo += gc.get_referents(value)
    return found


def test_a_body_in_tiny_pieces_is_not_kept_as_such() -> None:
    with Wire(Held()) as wire:
        wire.send(get("/first") + get("/second", "Transfer-Encoding: chunked"))
        wire.send(b"2\r\nab\r\n" * 5000)
        arriving = wire.connection._arriving
        assert arriving is not None
        assert arriving.pieces_bytes == 10_000
        assert len(arriving.pieces) < 1000


def test_what_has_come_of_a_body_is_given_out_piece_by_piece_to_its_end() -> None:
    messages: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while not messages or messages[-1]["more_body"]:
            messages.append(await receive())
        await reply(send, b"done")

    with Wire(app) as wire:
        wire.send(get("/a", "Transfer-Encoding: chunked", method="POST") + b"2\r\nab\r\n" * 3, b"1\r\nc\r\n0\r\n\r\n")
        assert b"".join(message["body"] for message in messages) == b"abababc"
        assert [len(message["body"]) for message in messages[:3]] == [2, 2, 2]
        assert wire.statuses == [200]
        assert wire.connection._unread_bytes == 0


def test_an_early_reply_says_that_it_ends_the_connection_and_waits_for_the_client_to_read_it() -> None:
    with Wire(SmallApp()) as wire:
        wire.send(get("/early", "Content-Length: 1000", method="POST") + b"x")
        assert b"connection: close" in wire.heard
        assert (wire.transport.ended, wire.transport.closed) == (True, False)
        wire.send(b"x" * 10_000)
        assert wire.statuses == [200]
        wire.after(HEAD_SECONDS + 1)
        assert wire.transport.closed


def test_what_is_thrown_away_is_bounded() -> None:
    with Wire(SmallApp()) as wire:
        wire.send(get("/early", f"Content-Length: {10**9}", method="POST"))
        for _ in range(IGNORED_BYTES_MAX // 2**20 + 1):
            wire.send(b"x" * 2**20, work=False)
        assert not wire.transport.reading
        wire.after(HEAD_SECONDS + 1)
        assert wire.transport.closed


def test_a_broken_body_is_refused_and_its_application_told() -> None:
    app = SmallApp()
    with Wire(app) as wire:
        wire.send(get("/echo", "Transfer-Encoding: chunked", "Expect: 100-continue") + b"2\r\nab\r\n")
        wire.send(b"zz")
        assert wire.heard.startswith(b"HTTP/1.1 100 ")
        assert wire.statuses == [100, 400]
        assert (app.left, app.running) == (1, 0)


def test_expect_means_nothing_from_http_1_0() -> None:
    with Wire(SmallApp()) as wire:
        wire.send(get("/echo", "Content-Length: 2", "Expect: 100-continue", version="1.0") + b"ab")
        assert wire.statuses == [200]
