"""HTTP/1.1 towards clients, on httptools: requests parsed, replies in their order, every wait and size bounded.

One timer a connection serves all its limits on time: it looks at the clock when it fires and is set again where the
limit has moved on, so that an ordinary request sets and cancels none.
"""

import asyncio
from collections import deque
from functools import lru_cache
from typing import Any, cast
from urllib.parse import unquote

import httptools
import msgspec
from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from tessera.cli._cycle import Cycle, Message
from tessera.http.exchange import CONNECTION

HEAD_BYTES_MAX = 64 * 1024
DRAINED_BYTES_MIN = 64 * 1024
"""What a client that has stopped the server's writing must take within the time for it, or it is cut off."""
UNREAD_BYTES_MAX = 256 * 1024
"""What may wait of a body that the application has not asked for; past it the client is not read from."""
_NEVER = float("inf")
_ASGI = {"version": "3.0", "spec_version": "2.3"}


def bounded_connection(head_seconds_max: int, write_seconds_max: int) -> type["HttpConnection"]:
    """The protocol class with its bounds: on the time from a connection, or a head's first byte, to the head's end, and
    on the time for which a client may stop the server's writing."""
    bounds = {"head_seconds_max": head_seconds_max, "write_seconds_max": write_seconds_max}
    return type("BoundedHttpConnection", (HttpConnection,), bounds)


class HttpConnection(asyncio.Protocol):
    """One client's connection. Requests that come before the reply to an earlier one wait for their turn.

    Answers 408 to a head that takes too long, 431 to one that has no end and 400 to what is not HTTP, and closes. A
    reply that comes before the end of its request's body ends the connection: the rest is not read. A client that does
    not read is cut off. An offer to change to another protocol is not taken up; the request is served as it is.
    """

    head_seconds_max = 10
    write_seconds_max = 30

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = _loop or asyncio.get_running_loop()
        self.transport = cast(asyncio.Transport, None)
        self.writing_paused = False
        self._app = cast(ASGIApp, config.loaded_app)
        self._root_path = config.root_path
        self._idle_s = config.timeout_keep_alive
        self._server = server_state
        # Its type names the protocols that come with the library; it asks them for `shutdown` only.
        self._connections = cast(set[asyncio.Protocol], server_state.connections)
        self._parser = self._new_parser()
        self._addresses: Message = {}
        self._standing_of: list[tuple[bytes, bytes]] = []
        self._standing = b""
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._in_head = True
        self._head_bytes = 0
        self._expects_continue = False
        self._offered = False
        self._arriving: Cycle | None = None
        self._answering: Cycle | None = None
        self._waiting: deque[tuple[Cycle, Message]] = deque()
        self._reading_paused = False
        self._drained: asyncio.Event | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._limit_at = _NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _NEVER

    def _new_parser(self) -> Any:
        parser = httptools.HttpRequestParser(self)
        # A client may send its next request behind one that asks for the connection's end; it gets no answer.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self.transport = transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        self._addresses = {"server": get_local_addr(transport), "client": get_remote_addr(transport)}
        self._addresses["scheme"] = "https" if transport.get_extra_info("sslcontext") else "http"
        self._limit(self.head_seconds_max)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left, or the connection was closed here."""
        self._connections.discard(self)
        self._limit_at = _NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._stop_write_timer()
        if self._drained is not None:
            self._drained.set()
        self.writing_paused = False
        self._waiting.clear()
        arriving, self._arriving = self._arriving, None
        answering, self._answering = self._answering, None
        for cycle in (answering, arriving):
            if cycle is not None:
                cycle.client_left()
        self._parser = None

    def eof_received(self) -> None:
        """The client sends nothing more: the connection is closed, and whatever runs for it is told."""

    def shutdown(self) -> None:
        """The server stops: ends the connection, after the reply that is under way."""
        cycle = self._arriving
        if cycle is None or cycle.complete:
            self.transport.close()
        else:
            cycle.keep_alive = False

    # ---- reading -------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse(b"400 Bad Request", "This is not a valid HTTP request.")
            return
        if not self._in_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(b"431 Request Header Fields Too Large", "The head of this request is too large.")
        elif self._head_bytes == len(data) and self._arriving is not None:
            self._limit(self.head_seconds_max)

    def _feed(self, data: bytes) -> None:
        """Parses; a request that offers another protocol is parsed again without the offer (RFC 9110, 7.8)."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            method = self._parser.get_method()
            if method == b"CONNECT":
                raise httptools.HttpParserError("not a proxy") from None
            head = [method + b" " + self._url + b" HTTP/1.1"]
            head += [name + b": " + value for name, value in self._headers if name not in (b"connection", b"upgrade")]
            self._parser = self._new_parser()
            self._parser.feed_data(b"\r\n".join(head) + b"\r\n\r\n")
            self._feed(data[offer.args[0] :])

    def on_message_begin(self) -> None:
        """Parser: a request begins."""
        self._url = b""
        self._headers = []
        self._in_head = True
        self._head_bytes = 0
        self._expects_continue = False

    def on_url(self, url: bytes) -> None:
        """Parser: a piece of the address."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Parser: a header."""
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects_continue = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Parser: the head is here; unless earlier requests are still to be answered, its turn has come."""
        parser = self._parser
        self._offered = parser.should_upgrade()
        if self._offered:
            return
        self._in_head = False
        self._limit_at = _NEVER
        version = parser.get_http_version()
        method = parser.get_method().decode("ascii")
        path, raw_path, query = _target(self._url) if len(self._url) <= _TARGET_KEPT_MAX else _read_target(self._url)
        cycle = Cycle(
            self,
            method=method,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            expects_continue=self._expects_continue,
        )
        scope = {
            "type": "http",
            "asgi": _ASGI,
            "http_version": version,
            "method": method,
            "root_path": self._root_path,
            "path": self._root_path + path,
            "raw_path": self._root_path.encode("ascii") + raw_path,
            "query_string": query,
            "headers": self._headers,
            "state": {},
            "extensions": {CONNECTION: cycle},
            **self._addresses,
        }
        self._arriving = cycle
        if self._answering is None:
            self._answer(cycle, scope)
        else:
            self._pause_reading()
            self._waiting.append((cycle, scope))

    def on_body(self, body: bytes) -> None:
        """Parser: a piece of the body."""
        cycle = self._arriving
        if cycle is None or cycle.complete:
            return
        cycle.feed(body)
        if cycle.pieces_bytes > UNREAD_BYTES_MAX:
            self._pause_reading()

    def on_message_complete(self) -> None:
        """Parser: the request is here."""
        if not self._offered and self._arriving is not None:
            self._arriving.end_of_request()

    def _pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Reads on, unless requests that were read already wait for their turn."""
        if self._reading_paused and not self._waiting:
            self._reading_paused = False
            self.transport.resume_reading()

    # ---- answering -----------------------------------------------------------------------------------------------

    def _answer(self, cycle: Cycle, scope: Message) -> None:
        self._answering = cycle
        task = self.loop.create_task(cycle.run(self._app, scope))
        self._server.tasks.add(task)
        task.add_done_callback(self._server.tasks.discard)

    def status_line(self, status: int) -> bytes:
        """The first line of a reply and the headers every reply has, without the last line's end."""
        headers = self._server.default_headers
        if headers is not self._standing_of:
            # The server makes a new list when the date changes.
            self._standing_of = headers
            self._standing = b"".join(b"\r\n" + name + b": " + value for name, value in headers)
        return STATUS_LINE[status][:-2] + self._standing

    def replied(self, cycle: Cycle) -> None:
        """A reply was written to its end: closes, or goes on with what waits."""
        self._server.total_requests += 1
        if not cycle.keep_alive or not cycle.whole:
            self.transport.close()
        if self.transport.is_closing():
            return
        self._answering = None
        if self._waiting:
            following = self._waiting.popleft()
            self._answer(*following)
        elif not self._in_head:
            self._limit(self._idle_s)
        self.resume_reading()

    # ---- writing -------------------------------------------------------------------------------------------------

    async def drained(self) -> None:
        """Returns when the client has read enough for more to be written, or has left."""
        while self.writing_paused:
            if self._drained is None:
                self._drained = asyncio.Event()
            await self._drained.wait()

    def pause_writing(self) -> None:
        """The client reads more slowly than is written."""
        self.writing_paused = True
        self._drained = None
        self._watch_writing()

    def resume_writing(self) -> None:
        """The client has read."""
        self._stop_write_timer()
        self.writing_paused = False
        if self._drained is not None:
            self._drained.set()

    def _watch_writing(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self.write_seconds_max, self._look_at_writing, waiting)

    def _look_at_writing(self, waiting_before: int) -> None:
        if waiting_before - self.transport.get_write_buffer_size() >= DRAINED_BYTES_MIN:
            self._watch_writing()
        else:
            self._write_timer = None
            self.transport.abort()

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    # ---- limits on time, refusals --------------------------------------------------------------------------------

    def _limit(self, seconds: float) -> None:
        """The next head must be here within so many seconds."""
        self._limit_at = at = self.loop.time() + seconds
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self.loop.call_at(at, self._look_at_clock)

    def _look_at_clock(self) -> None:
        self._timer, self._timer_at = None, _NEVER
        if self._limit_at == _NEVER:
            return
        if self.loop.time() < self._limit_at:
            self._timer_at = self._limit_at
            self._timer = self.loop.call_at(self._limit_at, self._look_at_clock)
        elif self._in_head:
            self._refuse(b"408 Request Timeout", "The head of this request took too long.")
        else:
            self.transport.close()

    def _refuse(self, status: bytes, message: str) -> None:
        self._limit_at = _NEVER
        if self.transport.is_closing():
            return
        cycle = self._answering
        # While an answer to an earlier request is due or under way, nothing can be written in its place.
        if cycle is None or cycle.complete or (not cycle.whole and not cycle.started):
            self.transport.write(_refusal(status, message))
        self.transport.close()


_TARGET_KEPT_MAX = 256


def _read_target(url: bytes) -> tuple[str, bytes, bytes]:
    """Path, raw path and query of a request's address. Raises httptools.HttpParserError."""
    parsed = httptools.parse_url(url)
    raw_path: bytes = parsed.path
    path = raw_path.decode("ascii")
    return unquote(path) if "%" in path else path, raw_path, parsed.query or b""


_target = lru_cache(maxsize=1024)(_read_target)


def _refusal(status: bytes, message: str) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": "invalid_request"}
    body = msgspec.json.encode({"error": error})
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body
