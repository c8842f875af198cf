"""One HTTP request and its one response, as plain ASGI messages."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.http.body_buffer import BodyBuffer
from tessera.http.load import Load

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CONNECTION = "tessera.connection"
"""Where the scope's extensions hold a `Connection`."""
JSON = (b"content-type", b"application/json")
_HEADER_TEXT_MAX = 4096


class ClientGoneError(Exception):
    """The client closed its connection: there is nobody to answer."""


class HeadAnsweredError(Exception):
    """A HEAD request has its head: the body that a GET of the same would have is not to be made."""


class Connection(Protocol):
    """What our own server can do beyond ASGI; under any other server the same is done by messages."""

    def whole_body(self) -> bytes | None:
        """The body, once, if all of it has arrived; None when it must be received."""
        ...

    def on_disconnect(self, call: Callable[[], None] | None) -> None:
        """Calls back when the client leaves before its reply is complete; at once if it has. None takes that back."""
        ...

    def reply(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bool:
        """Sends a whole reply, its length among the headers, and returns whether it did; if not, it must be sent as
        messages."""
        ...

    def send(self, message: Message) -> Awaitable[None]:
        """The application's own `send`, where nothing stands in between."""
        ...


class Exchange:
    """A request as received and a response as sent; knows nothing of what is asked."""

    __slots__ = (
        "_headers",
        "_receive",
        "_send",
        "body_bytes",
        "connection",
        "extra_headers",
        "gone",
        "load",
        "request_id",
        "scope",
        "started",
    )

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, request_id: str = "", load: Load | None = None
    ) -> None:
        self.request_id = request_id
        self.load = load
        self.body_bytes = 0
        self.scope = scope
        self.connection: Connection | None = scope.get("extensions", {}).get(CONNECTION)
        self._receive = receive
        self._send = send
        self._headers: dict[bytes, bytes] | None = None
        self.extra_headers: list[tuple[bytes, bytes]] = [(b"x-request-id", request_id.encode())] if request_id else []
        self.started = False
        self.gone = False

    # ---- the request -----------------------------------------------------------------------------------------

    def header(self, name: bytes) -> str | None:
        """A request header by its lower-case name. Sent twice with different values it is refused."""
        value = self.headers().get(name)
        return None if value is None else value.decode("latin-1")

    def headers(self) -> dict[bytes, bytes]:
        """The request's headers by their lower-case names. Some that were sent twice with different values are
        refused."""
        if self._headers is None:
            self._headers = self._read_headers()
        return self._headers

    def _read_headers(self) -> dict[bytes, bytes]:
        received = self.scope["headers"]
        headers: dict[bytes, bytes] = dict(received)
        if len(headers) == len(received):
            return headers
        headers.clear()
        for name, value in received:
            if name in headers and headers[name] != value and name in _SINGLE:
                raise TesseraError(ErrorCode.INVALID_REQUEST, f"The header {name.decode('latin-1')} was sent twice.")
            headers[name] = value
        return headers

    @property
    def path_params(self) -> Mapping[str, str]:
        """The parts of the path that the route names."""
        params: Mapping[str, str] = self.scope.get("path_params", {})
        return params

    def query(self, known: Iterable[str]) -> dict[str, str]:
        """The query parameters by name; an unknown or repeated one is refused by name."""
        known = set(known)
        try:
            pairs = parse_qsl(self.scope["query_string"].decode("ascii"), keep_blank_values=True, strict_parsing=False)
        except (UnicodeDecodeError, ValueError) as error:
            raise TesseraError(ErrorCode.INVALID_REQUEST, "The query string cannot be read.") from error
        found: dict[str, str] = {}
        for name, value in pairs:
            if name not in known:
                raise TesseraError(
                    ErrorCode.INVALID_REQUEST, f"Unknown query parameter {name[:64]!r}.", param=name[:64]
                )
            if name in found:
                raise TesseraError(
                    ErrorCode.INVALID_REQUEST, f"The query parameter {name!r} was given twice.", param=name
                )
            found[name] = value
        return found

    async def body(self, bytes_max: int, seconds_max: int) -> bytes:
        """The whole body, which is plain JSON text. Raises invalid_request (another content type, an encoding),
        request_too_large, request_timeout, overloaded; ClientGoneError when it never ends."""
        self._check_coding()
        declared = self.headers().get(b"content-length", b"")
        expected_bytes = int(declared) if declared.isdigit() else bytes_max
        if expected_bytes > bytes_max:
            raise _too_large(bytes_max)
        whole = self.connection.whole_body() if self.connection is not None else None
        if whole is not None:
            self._take(len(whole), bytes_max)
            return whole
        task = asyncio.current_task()
        assert task is not None
        late = False

        def give_up() -> None:
            nonlocal late
            late = True
            task.cancel()

        # A bare timer: `asyncio.timeout` costs four times as much, on every call.
        timer = asyncio.get_running_loop().call_later(seconds_max, give_up)
        try:
            return await self._read_body(bytes_max, expected_bytes)
        except asyncio.CancelledError:
            if not late or task.uncancel() > 0:
                raise
            raise TesseraError(
                ErrorCode.REQUEST_TIMEOUT, f"The request's body did not arrive within {seconds_max} seconds."
            ) from None
        finally:
            timer.cancel()

    def _check_coding(self) -> None:
        headers = self.headers()
        if headers.get(b"content-type") == JSON[1] and _CODINGS.isdisjoint(headers):
            return
        kind = self.header(b"content-type")
        if kind is not None and kind != "application/json":
            media_type = kind.partition(";")[0].strip().lower()
            if media_type != "application/json" and not media_type.endswith("+json"):
                raise TesseraError(
                    ErrorCode.INVALID_REQUEST,
                    f"Send the body as Content-Type: application/json, not {media_type[:64]!r}.",
                    param="Content-Type",
                )
        coding = self.header(b"content-encoding")
        if coding is not None and coding.strip().lower() not in ("", "identity"):
            raise TesseraError(
                ErrorCode.INVALID_REQUEST,
                "Send the body uncompressed: request bodies with a Content-Encoding are not accepted.",
                param="Content-Encoding",
            )
        transfer = self.header(b"transfer-encoding")
        if transfer is not None and transfer.strip().lower() != "chunked":
            raise TesseraError(
                ErrorCode.INVALID_REQUEST, "Transfer-Encoding may only be chunked.", param="Transfer-Encoding"
            )

    async def _read_body(self, bytes_max: int, expected_bytes: int) -> bytes:
        whole = BodyBuffer(expected_bytes)
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone = True
                raise ClientGoneError
            piece: bytes = message.get("body", b"")
            self._take(len(piece), bytes_max)
            more = message.get("more_body", False)
            if not more and not whole.size_bytes:
                return piece
            whole.add(piece)
            if not more:
                return whole.whole()

    def _take(self, more_bytes: int, bytes_max: int) -> None:
        if self.body_bytes + more_bytes > bytes_max:
            raise _too_large(bytes_max)
        self.take(more_bytes)

    def take(self, more_bytes: int) -> None:
        """Counts so many bytes as held for this request until its reply is sent. Raises [overloaded]."""
        if self.load is not None:
            self.load.take(more_bytes)
        self.body_bytes += more_bytes

    async def watch_disconnect(self) -> None:
        """Returns when the client has gone. Sends to a closed connection are silent."""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone = True
                return

    # ---- the response ----------------------------------------------------------------------------------------

    async def reply(self, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]] = (JSON,)) -> None:
        """Sends a whole response."""
        told = [*headers, (b"content-length", b"%d" % len(body)), *self.extra_headers]
        self.started = True
        connection = self.connection
        # Only where nothing stands in between that would add to what is sent.
        if connection is not None and connection.send == self._send and connection.reply(status, told, body):
            return
        await self._send({"type": "http.response.start", "status": status, "headers": told})
        await self._send({"type": "http.response.body", "body": body})

    async def reply_json(self, status: int, value: Any) -> None:
        """Sends a value as JSON."""
        await self.reply(status, msgspec.json.encode(value))

    async def redirect(self, location: str) -> None:
        """Sends a browser on to an address, which it gets (RFC 9110, 15.4.4)."""
        await self.reply(303, b"", [(b"location", location.encode("ascii"))])

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Sends the head; once sent, an error can no longer change the status. Raises HeadAnsweredError where only the
        head was asked for."""
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *self.extra_headers]})
        if self.scope["method"] == "HEAD":
            raise HeadAnsweredError

    def send_piece(self, piece: bytes) -> Awaitable[None]:
        """Sends a piece of a streamed body; waits while the client reads slowly."""
        return self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """Ends a streamed body."""
        await self._send({"type": "http.response.body", "body": b""})

    def add_header(self, name: bytes, value: str) -> None:
        """A header for whatever response follows; a value that could split headers is a bug and is refused."""
        if "\r" in value or "\n" in value:
            raise ValueError("a header value must be one line")
        self.extra_headers.append((name, value[:_HEADER_TEXT_MAX].encode("latin-1", "replace")))


_CODINGS = frozenset({b"content-encoding", b"transfer-encoding"})
_SINGLE = frozenset(
    {b"authorization", b"x-api-key", b"x-goog-api-key", b"content-length", b"content-type", b"host", b"idempotency-key"}
    | {b"tessera-quote", b"tessera-max-price", b"tessera-fit"}
)


def _too_large(bytes_max: int) -> TesseraError:
    return TesseraError(
        ErrorCode.REQUEST_TOO_LARGE,
        f"The request is larger than this server accepts ({bytes_max} bytes). Send images by URL, or fewer at a time.",
    )
