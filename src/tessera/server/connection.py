"""HTTP/1.1 towards clients, on httptools: requests parsed, replies in their order, every wait and size bounded.

One timer a connection serves all its limits on time: it looks at the clock when it fires and is set again where the
limit has moved on, so that an ordinary request sets and cancels none.
"""

import asyncio
from collections import deque
from typing import Any, cast

import httptools
import msgspec
from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.protocols.utils import get_local_addr, get_remote_addr
from uvicorn.server import ServerState

from tessera.http.door import Door
from tessera.http.exchange import CONNECTION
from tessera.server.cycle import Cycle, Message, target_of
from tessera.server.shedding import Shedding

HEAD_BYTES_MAX = 64 * 1024
UNREAD_BYTES_MAX = 256 * 1024
"""What may wait of bodies that the application has not asked for; past it the client is not read from."""
WAITING_MAX = 32
"""How many requests may wait behind the one that is answered; the connection ends after the last of them."""
IGNORED_BYTES_MAX = 32 * 1024 * 1024
"""What is read and thrown away on a connection that is ending, so that its client comes to read the reply."""
_AROUND_HEADER_BYTES = len(b": \r\n")
_NEVER = float("inf")
_ASGI = {"version": "3.0", "spec_version": "2.3"}


def bounded_connection(
    head_seconds_max: int, write_seconds_max: int, door: Door | None = None
) -> type["HttpConnection"]:
    """The protocol class with its bounds: on the time from a connection, or a head's first byte, to the head's end, on
    the time for which a client may stop the server's writing, and what `door` says of requests."""
    bounds = {"head_seconds_max": head_seconds_max, "write_seconds_max": write_seconds_max, "door": door}
    return type("BoundedHttpConnection", (HttpConnection,), bounds)


class HttpConnection(Shedding):
    """One client's connection. Requests that come before the reply to an earlier one wait for their turn.

    Answers 408 to a head that takes too long, 431 to one that has no end and 400 to what is not HTTP/1, and closes. A
    reply that begins before the end of its request's body ends the connection: the rest is thrown away. What follows
    the last request of a connection means nothing. A client that does not read is cut off, one that ends its side has
    left. An offer to change to another protocol is not taken up; the request is served as it is.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(_loop or asyncio.get_running_loop())
        self._app = cast(ASGIApp, config.loaded_app)
        self._root_path = config.root_path
        self._idle_s = config.timeout_keep_alive
        self._server = server_state
        # Its type names the protocols that come with the library; it asks them for `shutdown` only.
        self._connections = cast(set[asyncio.Protocol], server_state.connections)
        self._parser: Any = httptools.HttpRequestParser(self)
        self._addresses: Message = {}
        self._standing_of: list[tuple[bytes, bytes]] = []
        self._standing = b""
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._expects_continue = False
        self._offered = False
        self._in_head = True
        self._between = True
        self._head_bytes = 0
        # Whether the bytes at hand began a head, and whether they got anywhere: to a head, or further in a body.
        self._begun = False
        self._moved = False
        self._unmoved_bytes = 0
        self._ignoring = False
        self._ignored_bytes = 0
        self._arriving: Cycle | None = None
        self._answering: Cycle | None = None
        self._waiting: deque[tuple[Cycle, ASGIApp, Message]] = deque()
        self._unread_bytes = 0
        self._reading_paused = False
        self._limit_at = _NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _NEVER

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
        self.writing_ended()
        self._leave()
        self._parser = None

    def eof_received(self) -> None:
        """The client sends nothing more, which is all that can be seen of one that left: its calls are told."""
        self._leave()
        self.close()

    def shutdown(self) -> None:
        """The server stops: ends the connection, after the replies that are due."""
        if self._refused is not None and self.door is not None:
            self._give_up(self.door)
        elif self._arriving is None:
            self.close()
        else:
            self._arriving.keep_alive = False

    def _leave(self) -> None:
        """Tells whatever runs for this client that nobody hears it any more."""
        self._waiting.clear()
        arriving, self._arriving = self._arriving, None
        answering, self._answering = self._answering, None
        for cycle in (answering, arriving):
            if cycle is not None:
                cycle.client_left()

    def _end_early(self) -> None:
        """Ends the connection while its client may still be sending.

        To close now would lose the reply: what arrives at a closed socket resets it, and with it what the client has
        not read yet (RFC 9112, 9.6).
        """
        self._ignoring = True
        self.transport.write_eof()
        self._resume_reading()
        self._limit(self.head_seconds_max)

    # ---- reading -------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        if self._ignoring:
            self._ignored_bytes += len(data)
            if self._ignored_bytes > IGNORED_BYTES_MAX:
                self._pause_reading()
            return
        door = self.door
        if door is not None and self._between and self._arriving is None:
            if self._refused is not None:
                self._throw_away(door, self._refused, data)
                return
            if self._sheds(door, data):
                return
        self._begun = self._moved = False
        try:
            self._feed(data)
        except httptools.HttpParserError:
            if self._head_bytes > HEAD_BYTES_MAX:
                self._refuse(431, "The head of this request is too large.")
            else:
                self._refuse(400, "This is not a valid HTTP request.")
            return
        if self._begun and self._in_head:
            self._limit(self.head_seconds_max)
        self._unmoved_bytes = 0 if self._moved else self._unmoved_bytes + len(data)
        if self._unmoved_bytes > HEAD_BYTES_MAX and (self._in_head or self._arriving is not None):
            # A head, or what a chunked body has beside its data: extensions, trailers.
            self._refuse(431, "The head of this request is too large.")

    def _feed(self, data: bytes | memoryview) -> None:
        """Parses; a request that offers another protocol is parsed again without the offer (RFC 9110, 7.8)."""
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as offer:
                data = memoryview(data)[offer.args[0] :]
            else:
                return
            self._decline()

    def _decline(self) -> None:
        parser = self._parser
        if parser.get_method() == b"CONNECT":
            raise httptools.HttpParserError("not a proxy")
        head = [b"%b %b HTTP/%b" % (parser.get_method(), self._url, parser.get_http_version().encode())]
        head += [name + b": " + value for name, value in self._headers if name not in (b"connection", b"upgrade")]
        if not parser.should_keep_alive():
            head.append(b"connection: close")
        self._parser = httptools.HttpRequestParser(self)
        self._parser.feed_data(b"\r\n".join(head) + b"\r\n\r\n")

    def on_message_begin(self) -> None:
        """Parser: a request begins."""
        self._url = b""
        self._headers = []
        self._moved = True
        self._begun = self._begun or not self._in_head
        self._in_head = True
        self._between = False
        self._head_bytes = 0
        self._expects_continue = False

    def on_url(self, url: bytes) -> None:
        """Parser: a piece of the address."""
        self._url += url
        self._head_bytes += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Parser: a header, or a trailer, which never becomes one (RFC 9110, 6.5.1)."""
        if not self._in_head:
            return
        name = name.lower()
        self._head_bytes += len(name) + len(value) + _AROUND_HEADER_BYTES
        if name == b"expect" and value.lower() == b"100-continue":
            self._expects_continue = True
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Parser: the head is here; unless earlier requests are still to be answered, its turn has come."""
        parser = self._parser
        self._offered = parser.should_upgrade()
        if self._offered:
            return
        version = parser.get_http_version()
        if self._head_bytes > HEAD_BYTES_MAX or version not in ("1.1", "1.0"):
            raise httptools.HttpParserError("a head that is not served")
        last = self._arriving
        if last is not None and (not last.keep_alive or len(self._waiting) >= WAITING_MAX):
            last.keep_alive = False
            raise httptools.HttpParserError("behind the last request of the connection")
        method = parser.get_method().decode("ascii")
        path, raw_path, query = target_of(self._url)
        cycle = Cycle(
            self,
            method=method,
            version=version,
            keep_alive=version == "1.1" and parser.should_keep_alive(),
            expects_continue=self._expects_continue and version == "1.1",
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
        app = self._app if self._lets_in(self._url, self._headers) else cast(Door, self.door).app
        self._in_head = False
        self._limit_at = _NEVER
        self._headers = []
        self._arriving = cycle
        if self._answering is None:
            self._answer(cycle, app, scope)
        else:
            self._waiting.append((cycle, app, scope))

    def on_body(self, body: bytes) -> None:
        """Parser: a piece of the body."""
        self._moved = True
        if self._arriving is not None:
            self._arriving.feed(body)
            self._unread_bytes += len(body)
            if self._unread_bytes > UNREAD_BYTES_MAX:
                self._pause_reading()

    def on_message_complete(self) -> None:
        """Parser: the request is here."""
        self._between = True
        if not self._offered and self._arriving is not None:
            self._arriving.end_of_request()

    def _pause_reading(self) -> None:
        if not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and not self.transport.is_closing():
            self._reading_paused = False
            self.transport.resume_reading()

    def body_taken(self, size_bytes: int) -> None:
        """So much of a body waits no more: reads on, unless too much still does."""
        self._unread_bytes -= size_bytes
        if self._reading_paused and self._unread_bytes <= UNREAD_BYTES_MAX:
            self._resume_reading()

    # ---- answering -----------------------------------------------------------------------------------------------

    def _answer(self, cycle: Cycle, app: ASGIApp, scope: Message) -> None:
        self._answering = cycle
        task = self.loop.create_task(cycle.run(app, scope))
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
        if self._arriving is cycle:
            self._arriving = None
        if not cycle.whole or (self._ignoring and not cycle.keep_alive):
            self._end_early()
            return
        if not cycle.keep_alive:
            self.close()
        if self.transport.is_closing():
            return
        self._answering = None
        if self._waiting:
            self._answer(*self._waiting.popleft())
        elif not self._in_head:
            self._limit(self._idle_s)

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
        elif self._refused is not None and self.door is not None:
            self._give_up(self.door)
        elif self._in_head and not self._ignoring:
            self._look_at_head()
        else:
            self.close()

    def _look_at_head(self) -> None:
        if self._reading_paused:
            # It is not the client that is slow.
            self._limit(self.head_seconds_max)
        else:
            self._refuse(408, "The head of this request took too long.")

    def _refuse(self, status: int, message: str) -> None:
        self._limit_at = _NEVER
        if self.transport.is_closing():
            return
        last, cycle = self._arriving, self._answering
        if last is not None and last.whole and not last.keep_alive:
            # What follows a connection's last request means nothing (RFC 9112, 9.6).
            self._ignoring = True
            return
        # While an answer to an earlier request is due or under way, nothing can be written in its place.
        heard = cycle is None or (not cycle.whole and not cycle.started)
        self._leave()
        if heard:
            self.transport.write(self.status_line(status) + _refusal(message))
            self._end_early()
        else:
            self._ignoring = True
            self.close()


def _refusal(message: str) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": "invalid_request"}
    body = msgspec.json.encode({"error": error})
    head = b"\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body
