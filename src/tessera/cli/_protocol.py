"""HTTP/1.1 at its edges: heads, leftovers of bodies and slow readers are bounded, which the server itself does not
see to."""

import asyncio
from typing import Any

import httptools
import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 * 1024
DRAINED_BYTES_MIN = 64 * 1024
"""What a client that has stopped the server's writing must take within the time for it, or it is cut off."""


def bounded_protocol(head_seconds_max: int, write_seconds_max: int) -> type["BoundedConnection"]:
    """The protocol class with its bounds: on the time from a connection, or a head's first byte, to the head's end, and
    on the time for which a client may stop the server's writing."""
    bounds = {"head_seconds_max": head_seconds_max, "write_seconds_max": write_seconds_max}
    return type("BoundedConnection", (BoundedConnection,), bounds)


class BoundedConnection(HttpToolsProtocol):
    """Answers 408 to a head that takes too long, 431 to one that has no end and 400 to what is not HTTP, and closes.

    A reply that comes before the end of its request's body ends the connection: the rest is not read. A client that
    does not read is cut off. An offer to change to another protocol is not taken up; the request is served as it is.
    """

    head_seconds_max = 10
    write_seconds_max = 30
    _in_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _write_timer: asyncio.TimerHandle | None = None
    _offered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        self._stop_write_timer()
        super().connection_lost(exc)

    # ---- reading -------------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._offered = self.parser.should_upgrade()
        if not self._offered:
            self._in_head = False
            super().on_headers_complete()

    def on_message_complete(self) -> None:
        if not self._offered:
            super().on_message_complete()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse(b"400 Bad Request", "This is not a valid HTTP request.")
            return
        if not self._in_head:
            # Between messages there is only white space, and it must not keep a connection open.
            if self.cycle.response_complete and not self.pipeline:
                if self._head_timer is None:
                    self._watch()
            else:
                self._stop_watching()
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(b"431 Request Header Fields Too Large", "The head of this request is too large.")
        elif self._head_timer is None:
            self._watch()

    def _feed(self, data: bytes) -> None:
        """Parses; a request that offers another protocol is parsed again without the offer (RFC 9110, 7.8)."""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            method = self.parser.get_method()
            if method == b"CONNECT":
                raise httptools.HttpParserError("not a proxy") from None
            head = [method + b" " + self.url + b" HTTP/1.1"]
            head += [name + b": " + value for name, value in self.headers if name not in (b"connection", b"upgrade")]
            self.parser = httptools.HttpRequestParser(self)
            self.parser.feed_data(b"\r\n".join(head) + b"\r\n\r\n")
            self._feed(data[offer.args[0] :])

    def send_400_response(self, msg: str) -> None:
        self._refuse(b"400 Bad Request", msg)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete and self.cycle.more_body and not self.transport.is_closing():
            self.transport.close()

    # ---- writing -------------------------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        self._stop_write_timer()
        super().resume_writing()

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

    # ---- refusing ------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        self._head_timer = self.loop.call_later(
            self.head_seconds_max, self._refuse, b"408 Request Timeout", "The head of this request took too long."
        )

    def _stop_watching(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: bytes, message: str) -> None:
        self._stop_watching()
        if self.transport.is_closing():
            return
        cycle: Any = self.cycle
        # While an answer to an earlier request is due or under way, nothing can be written in its place.
        if cycle is None or cycle.response_complete or (cycle.more_body and not cycle.response_started):
            self.transport.write(_refusal(status, message))
        self.transport.close()


def _refusal(status: bytes, message: str) -> bytes:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": "invalid_request"}
    body = msgspec.json.encode({"error": error})
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
    return head % (status, len(body)) + body
