"""One request of a connection and the reply to it, as an ASGI application sees them.

ASGI tells an application that its client has left only while it waits for a message, which takes a task of its own for
every call. So a cycle also stands in the scope's extensions, as the `Connection` that `http.exchange` describes.
Whoever does not look there is served by ASGI alone.
"""

import asyncio
from collections.abc import Callable, Iterable, MutableMapping
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import unquote

import httptools
from starlette.types import ASGIApp

from tessera.log import get_logger

log = get_logger(__name__)

Message = MutableMapping[str, Any]

_HELD_HEAD_BYTES_MAX = 64 * 1024
"""A body up to here is copied behind its head and written with it."""

_PIECES_MAX = 512
"""So many pieces of a body are joined: each costs far more than a byte that comes alone."""
_PLAIN = bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100)) + b"\t"
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")


class ClientConnection(Protocol):
    """What a cycle needs of the connection it runs on."""

    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    writing_paused: bool

    def body_taken(self, size_bytes: int) -> None: ...

    def close(self) -> None: ...

    async def drained(self) -> None: ...

    def status_line(self, status: int) -> bytes: ...

    def replied(self, cycle: "Cycle") -> None: ...


class Cycle:
    """A request as far as it has arrived, and its reply as far as it was sent.

    A reply of unknown length is chunked, or for an HTTP/1.0 client ends with the connection.

    `gone` says that the client has left, `whole` that the request has arrived to its end, `started` that a reply has
    begun and `complete` that it was written to its end.
    """

    __slots__ = (
        "_bodiless",
        "_chunked",
        "_connection",
        "_expects_continue",
        "_handed_out",
        "_head",
        "_is_head_request",
        "_left_bytes",
        "_on_disconnect",
        "_takes_chunks",
        "_until_close",
        "_waiter",
        "complete",
        "gone",
        "keep_alive",
        "pieces",
        "pieces_bytes",
        "started",
        "whole",
    )

    def __init__(
        self, connection: ClientConnection, *, method: str, version: str, keep_alive: bool, expects_continue: bool
    ) -> None:
        self._connection = connection
        self._is_head_request = method == "HEAD"
        self._takes_chunks = version != "1.0"
        self._expects_continue = expects_continue
        self._waiter: asyncio.Future[None] | None = None
        self._handed_out = False
        self._on_disconnect: Callable[[], None] | None = None
        self._head: bytes | None = None
        self._bodiless = False
        self._chunked = False
        self._until_close = False
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
        if call is not None and self.gone:
            call()
        elif not self.complete:
            self._on_disconnect = call

    def reply(self, status: int, headers: "Iterable[tuple[bytes, bytes]]", body: bytes) -> bool:
        """Sends a whole reply, its length among the headers, if nothing of one was sent and the client is there and
        reads. Returns whether it did."""
        if self.started or self.gone or self._connection.writing_paused:
            return False
        self._start(status, headers)
        self._write(body, more=False)
        return True

    # ---- what the connection reports -----------------------------------------------------------------------------

    def feed(self, piece: bytes) -> None:
        """A piece of the body arrived."""
        if len(self.pieces) == _PIECES_MAX:
            self.pieces = [b"".join(self.pieces)]
        self.pieces.append(piece)
        self.pieces_bytes += len(piece)
        if self._waiter is not None:
            self._wake()

    def end_of_request(self) -> None:
        """The request has arrived to its end."""
        self.whole = True
        if self._waiter is not None:
            self._wake()

    def client_left(self) -> None:
        """The connection is gone."""
        if self.complete or self.gone:
            return
        self.gone = True
        self._wake()
        call, self._on_disconnect = self._on_disconnect, None
        if call is not None:
            call()

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
        else:
            if not (self.gone or self.complete):
                log.error("http.application_stopped", started=self.started)
        if self.gone or self.complete:
            return
        if self._head is not None:
            # Nothing of this reply has been written yet.
            self._head, self.started = None, False
        if not self.started:
            await self._refuse()
        elif self._until_close:
            # An orderly end would say that the reply is complete.
            self._connection.transport.abort()
        else:
            self._connection.close()

    async def _refuse(self) -> None:
        text = b"Internal Server Error"
        length = (b"content-length", b"%d" % len(text))
        headers = [(b"content-type", b"text/plain; charset=utf-8"), length, (b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": 500, "headers": headers})
        await self.send({"type": "http.response.body", "body": text})

    async def receive(self) -> Message:
        """The next piece of the request, or that the client left or the reply is complete."""
        connection = self._connection
        if self._expects_continue and not self.gone and not connection.transport.is_closing():
            connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self._expects_continue = False
        while not (self.gone or self.complete or self.pieces or (self.whole and not self._handed_out)):
            self._waiter = connection.loop.create_future()
            await self._waiter
        if self.gone or self.complete:
            return {"type": "http.disconnect"}
        piece = b""
        if self.pieces:
            # One at a time: whoever puts a large body together copies each to its place, and needs no join before.
            piece = self.pieces.pop(0)
            self.pieces_bytes -= len(piece)
            connection.body_taken(len(piece))
        self._handed_out = self.whole and not self.pieces
        return {"type": "http.request", "body": piece, "more_body": not self._handed_out}

    def _take(self) -> bytes:
        pieces, size_bytes = self.pieces, self.pieces_bytes
        self.pieces, self.pieces_bytes = [], 0
        self._connection.body_taken(size_bytes)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def send(self, message: Message) -> None:
        """Sends the head or a piece of the reply; waits while the client does not read. To nobody once it has left."""
        connection = self._connection
        if connection.writing_paused and not self.gone:
            await connection.drained()
        if self.gone:
            return
        kind = message["type"]
        if kind == "http.response.body" and self.started and not self.complete:
            self._write(message.get("body", b""), more=message.get("more_body", False))
        elif kind == "http.response.start" and not self.started:
            self._start(message["status"], message.get("headers", ()))
        else:
            raise RuntimeError(f"{kind} came out of order")

    def _start(self, status: int, headers: "Iterable[tuple[bytes, bytes]]") -> None:
        """Builds the head. It waits for the body when the body's length is known: both go out in one write."""
        lines, length, closes = _read_lines(headers)
        bodiless = self._is_head_request or status in (204, 304)
        chunked = length is None and not bodiless and self._takes_chunks
        if closes or not self.whole:
            self.keep_alive = False
        if not (closes or self.keep_alive):
            lines += (_CONNECTION, b"close")
        if chunked:
            lines += (_CODING, b"chunked")
        block = b"".join(lines)
        if block.translate(None, _PLAIN) != b"\r\n" * (len(lines) // 2):
            raise RuntimeError("a header's value is not one plain line")
        if status < 200:
            raise RuntimeError("the status is not a reply's")
        head = b"".join((self._connection.status_line(status), block, b"\r\n\r\n"))
        self._bodiless = bodiless
        self._chunked = chunked
        self._until_close = length is None and not bodiless and not chunked
        self._left_bytes = int(length or b"0")
        self._expects_continue = False
        self.started = True
        if length is None and not bodiless:
            self._connection.transport.write(head)
        else:
            self._head = head

    def _write(self, body: bytes, *, more: bool) -> None:
        if self._chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if more:
                # No head waits: that of a reply of unknown length was written at once.
                if body:
                    self._connection.transport.write(body)
                return
            body += b"0\r\n\r\n"
        elif self._bodiless:
            body = b""
        elif not self._until_close:
            left_bytes = self._left_bytes = self._left_bytes - len(body)
            if left_bytes < 0 or (left_bytes and not more):
                raise RuntimeError("the body is not as long as its Content-Length says")
        self._put(body)
        if not more:
            self.complete = True
            self._on_disconnect = None
            if self._waiter is not None:
                self._wake()
            if self.pieces:
                self._take()
            self._connection.replied(self)

    def _put(self, written: bytes) -> None:
        write = self._connection.transport.write
        head, self._head = self._head, None
        if head is not None and len(written) <= _HELD_HEAD_BYTES_MAX:
            written = head + written
        elif head is not None:
            write(head)
        if written:
            write(written)


_LENGTH = b"\r\ncontent-length: "
_CONNECTION = b"\r\nconnection: "
_CODING = b"\r\ntransfer-encoding: "


def _read_lines(headers: "Iterable[tuple[bytes, bytes]]") -> tuple[list[bytes], bytes | None, bool]:
    """The headers' lines, the length they give, and whether they end the connection. Raises RuntimeError."""
    length: bytes | None = None
    lines = []
    closes = False
    for name, value in headers:
        label = _label(name)
        if label == _LENGTH:
            if length is not None or not value.isdigit():
                raise RuntimeError("a reply has one length")
            length = value
        elif label == _CONNECTION:
            closes = closes or b"close" in value.lower()
        elif label == _CODING:
            raise RuntimeError("how a reply is framed is not for the application to say")
        lines.append(label)
        lines.append(value)
    return lines, length, closes


@lru_cache(maxsize=256)
def _label(name: bytes) -> bytes:
    """What stands before a header's value: the end of the line before it, and its name. Raises RuntimeError."""
    name = name.lower()
    if not name or not _TOKEN.issuperset(name):
        raise RuntimeError(f"{name!r} is not the name of a header")
    return b"\r\n" + name + b": "


_TARGET_KEPT_MAX = 256


def target_of(url: bytes) -> tuple[str, bytes, bytes]:
    """Path, raw path and query of a request's address. Raises httptools.HttpParserError."""
    return _kept_target(url) if len(url) <= _TARGET_KEPT_MAX else _read_target(url)


def _read_target(url: bytes) -> tuple[str, bytes, bytes]:
    parsed = httptools.parse_url(url)
    raw_path: bytes | None = parsed.path
    if raw_path is None:
        raise httptools.HttpParserError("an address without a path")
    path = raw_path.decode("ascii")
    return unquote(path) if "%" in path else path, raw_path, parsed.query or b""


_kept_target = lru_cache(maxsize=1024)(_read_target)
