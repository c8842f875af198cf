"""One request of a connection and the reply to it, as an ASGI application sees them.

ASGI tells an application that its client has left only while it waits for a message, which takes a task of its own for
every call. So a cycle also stands in the scope's extensions, as the `Connection` that `http.exchange` describes.
Whoever does not look there is served by ASGI alone.
"""

import asyncio
from collections.abc import Callable, MutableMapping
from functools import lru_cache
from typing import Any, Protocol

import structlog
from starlette.types import ASGIApp

log = structlog.get_logger(__name__)

Message = MutableMapping[str, Any]

_HELD_HEAD_BYTES_MAX = 64 * 1024
"""A body up to here is copied behind its head and written with it."""

_PLAIN = bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100)) + b"\t"
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


class ClientConnection(Protocol):
    """What a cycle needs of the connection it runs on."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    writing_paused: bool

    def resume_reading(self) -> None: ...

    async def drained(self) -> None: ...

    def status_line(self, status: int) -> bytes: ...

    def replied(self, cycle: "Cycle") -> None: ...


class Cycle:
    """A request as far as it has arrived, and its reply as far as it was sent.

    `gone` says that the client has left, `whole` that the request has arrived to its end, `started` that a reply has
    begun and `complete` that it was written to its end.
    """

    __slots__ = (
        "_chunked",
        "_connection",
        "_expects_continue",
        "_handed_out",
        "_head",
        "_is_head_request",
        "_left_bytes",
        "_on_disconnect",
        "_waiter",
        "complete",
        "gone",
        "keep_alive",
        "pieces",
        "pieces_bytes",
        "started",
        "whole",
    )

    def __init__(self, connection: ClientConnection, *, method: str, keep_alive: bool, expects_continue: bool) -> None:
        self._connection = connection
        self._is_head_request = method == "HEAD"
        self._expects_continue = expects_continue
        self._waiter: asyncio.Future[None] | None = None
        self._handed_out = False
        self._on_disconnect: Callable[[], None] | None = None
        self._head: bytes | None = None
        self._chunked = False
        self._left_bytes = 0
        self.keep_alive = keep_alive
        self.pieces: list[bytes] = []
        self.pieces_bytes = 0
        self.whole = False
        self.gone = False
        self.started = False
        self.complete = False

    # ---- beyond ASGI ---------------------------------------------------------------------------------------------

    def whole_body(self) -> bytes | None:
        """The body, once, if all of it has arrived; None when it must be waited for."""
        if not self.whole or self._handed_out or self.gone:
            return None
        self._handed_out = True
        return self._take()

    def on_disconnect(self, call: Callable[[], None] | None) -> None:
        """Calls back when the client leaves before its reply is complete; at once if it has. None takes that back."""
        self._on_disconnect = call
        if call is not None and self.gone:
            call()

    # ---- what the connection reports -----------------------------------------------------------------------------

    def feed(self, piece: bytes) -> None:
        """A piece of the body arrived."""
        self.pieces.append(piece)
        self.pieces_bytes += len(piece)
        self._wake()

    def end_of_request(self) -> None:
        """The request has arrived to its end."""
        self.whole = True
        self._wake()

    def client_left(self) -> None:
        """The connection is gone."""
        if self.complete or self.gone:
            return
        self.gone = True
        self._wake()
        if self._on_disconnect is not None:
            self._on_disconnect()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # ---- ASGI ----------------------------------------------------------------------------------------------------

    async def run(self, app: ASGIApp, scope: Message) -> None:
        """Runs the application on this request; one that fails or stops half-way costs its client the connection."""
        try:
            await app(scope, self.receive, self.send)
        except BaseException as error:
            log.error("http.application_failed", exc_info=error)
            if self.started:
                self._connection.transport.close()
            else:
                await self._refuse()
            return
        if self.gone or self.complete:
            return
        log.error("http.application_stopped", started=self.started)
        if self.started:
            self._connection.transport.close()
        else:
            await self._refuse()

    async def _refuse(self) -> None:
        text = b"Internal Server Error"
        length = (b"content-length", b"%d" % len(text))
        headers = [(b"content-type", b"text/plain; charset=utf-8"), length, (b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": text})

    async def receive(self) -> Message:
        """The next piece of the request, or that the client left or the reply is complete."""
        connection = self._connection
        if self._expects_continue and not connection.transport.is_closing():
            connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._expects_continue = False
        while not (self.gone or self.complete or self.pieces or (self.whole and not self._handed_out)):
            connection.resume_reading()
            self._waiter = connection.loop.create_future()
            await self._waiter
        if self.gone or self.complete:
            return {"type": "http.disconnect"}
        self._handed_out = self.whole
        return {"type": "http.request", "body": self._take(), "more_body": not self.whole}

    def _take(self) -> bytes:
        pieces = self.pieces
        self.pieces, self.pieces_bytes = [], 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def send(self, message: Message) -> None:
        """Sends the head or a piece of the reply; waits while the client does not read. To nobody once it has left."""
        connection = self._connection
        if connection.writing_paused and not self.gone:
            await connection.drained()
        if self.gone:
            return
        if message["type"] == "http.response.start" and not self.started:
            self._start(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body" and self.started and not self.complete:
            self._write(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"{message['type']} came out of order")

    def _start(self, status: int, headers: "list[tuple[bytes, bytes]]") -> None:
        """Builds the head. It waits for the body when the body's length is known: both go out in one write."""
        length: bytes | None = None
        lines = []
        closes = False
        for name, value in headers:
            if name == b"content-length":
                length = value
            elif name == b"connection":
                closes = closes or b"close" in value.lower()
            lines.append(_label(name))
            lines.append(value)
        self._chunked = length is None and not self._is_head_request and status not in (204, 304)
        if closes:
            self.keep_alive = False
        elif not self.keep_alive:
            lines += (b"\r\nconnection: ", b"close")
        if self._chunked:
            lines += (b"\r\ntransfer-encoding: ", b"chunked")
        block = b"".join(lines)
        if block.translate(None, _PLAIN) != b"\r\n" * (len(lines) // 2):
            raise RuntimeError("a header's value is not one plain line")
        self._left_bytes = int(length or b"0")
        self.started = True
        self._expects_continue = False
        head = b"".join((self._connection.status_line(status), block, b"\r\n\r\n"))
        if self._chunked:
            self._connection.transport.write(head)
        else:
            self._head = head

    def _write(self, body: bytes, *, more: bool) -> None:
        write = self._connection.transport.write
        if self._chunked:
            framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                framed += b"0\r\n\r\n"
            if framed:
                write(framed)
        else:
            if self._is_head_request:
                body, self._left_bytes = b"", 0
            self._left_bytes -= len(body)
            if self._left_bytes < 0 or (self._left_bytes and not more):
                raise RuntimeError("the body is not as long as its Content-Length says")
            head, self._head = self._head, None
            if head is not None and len(body) <= _HELD_HEAD_BYTES_MAX:
                body = head + body
            elif head is not None:
                write(head)
            if body:
                write(body)
        if not more:
            self.complete = True
            self._wake()
            self._connection.replied(self)


@lru_cache(maxsize=256)
def _label(name: bytes) -> bytes:
    """What stands before a header's value: the end of the line before it, and its name. Raises RuntimeError."""
    name = name.lower()
    if not name or not _TOKEN.issuperset(name):
        raise RuntimeError(f"{name!r} is not the name of a header")
    return b"\r\n" + name + b": "
