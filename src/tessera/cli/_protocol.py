"""HTTP/1.1 whose request heads end in bounded time and size, which the server by itself does not see to."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES_MAX = 64 * 1024


def bounded_protocol(head_seconds_max: int) -> type["BoundedHead"]:
    """The protocol class with its bound on the time from a connection, or a head's first byte, to the head's end."""
    return type("BoundedHead", (BoundedHead,), {"head_seconds_max": head_seconds_max})


class BoundedHead(HttpToolsProtocol):
    """Answers 408 to a head that takes too long and 431 to one that has no end, and closes."""

    head_seconds_max = 10
    _in_head = True
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._watch()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._in_head:
            self._stop_watching()
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX:
            self._refuse(b"431 Request Header Fields Too Large")
        elif self._head_timer is None:
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def _watch(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds_max, self._refuse, b"408 Request Timeout")

    def _stop_watching(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, status: bytes) -> None:
        self._stop_watching()
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            self.transport.close()
