"""The same small interface over aiohttp, which served before: what the client that serves now is compared with."""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

from tessera.adapters.providers.openai.connections import HttpReply, TransportLimits
from tessera.domain.errors import ErrorCode, TesseraError

WRITE_BYTES_MAX = 256 * 1024
LOOK_S = 1.0


class AiohttpConnections:
    """aiohttp's connection pool: no proxy, no cookies, no redirects, no decompression, certificates verified."""

    def __init__(self, base_url: str, limits: TransportLimits, tls: ssl.SSLContext | None = None) -> None:
        self._base_url = base_url
        self._limits = limits
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._running = 0

    async def post(
        self,
        path: str,
        headers: Mapping[str, str],
        body: Sequence[bytes | memoryview],
        on_sent: Callable[[], None] | None = None,
    ) -> HttpReply:
        """See `Connections.post`.

        One retry, on a fresh connection, and only when a kept connection turned out to be closed before a single byte
        of this request was handed to it: then the provider cannot have begun to work. A connection lost any later may
        have cost money, so that is an error and what to do about it is decided above.
        """
        limits = self._limits
        if on_sent is not None:
            on_sent()
        if self._running >= limits.connections_max:
            raise TesseraError(
                ErrorCode.OVERLOADED,
                "All connections to the provider are in use. Try again in a moment.",
                retry_after_s=1,
            )
        self._running += 1
        deadline = asyncio.get_running_loop().time() + limits.total_s
        try:
            response = await self._open(self._base_url + path, headers, body)
        except BaseException:
            self._running -= 1
            raise
        return _PooledReply(response, self, limits, deadline)

    def retire(self) -> None:
        """aiohttp closes what is idle by itself after a moment."""

    async def close(self) -> None:
        """Closes every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def finished(self) -> None:
        """A reply of this pool was closed."""
        self._running -= 1

    async def _open(
        self, url: str, headers: Mapping[str, str], body: Sequence[bytes | memoryview]
    ) -> aiohttp.ClientResponse:
        payload = _Pieces(body)
        try:
            async with asyncio.timeout(self._limits.first_byte_s):
                try:
                    return await self._request(url, headers, payload)
                except aiohttp.ClientConnectorError:
                    raise
                except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                    if payload.started:
                        raise
                return await self._request(url, headers, _Pieces(body))
        except TimeoutError as error:
            raise _timeout(
                "accept the connection" if isinstance(error, aiohttp.ServerTimeoutError) else "answer"
            ) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failure(error) from None

    async def _request(self, url: str, headers: Mapping[str, str], payload: "_Pieces") -> aiohttp.ClientResponse:
        return await self._pool().post(url, data=payload, headers=headers, allow_redirects=False)

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                limit=0,
                keepalive_timeout=self._limits.idle_s,
                ssl=self._tls if self._tls is not None else True,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(total=None, connect=self._limits.connect_s),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                skip_auto_headers=("User-Agent", "Accept"),
                read_bufsize=WRITE_BYTES_MAX,
            )
        return self._session


class _PooledReply:
    def __init__(
        self, response: aiohttp.ClientResponse, pool: AiohttpConnections, limits: TransportLimits, deadline: float
    ) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = {name.lower(): value for name, value in response.headers.items()}
        self._response = response
        self._pool = pool
        self._limits = limits
        self._deadline = deadline
        self._bytes_read = 0
        self._closed = False

    async def read(self) -> bytes:
        limit = min(asyncio.get_running_loop().time() + self._limits.gap_s, self._deadline)
        try:
            piece = await self._next(limit)
        except TimeoutError:
            raise _timeout("go on with its answer") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _failure(error) from None
        self._bytes_read += len(piece)
        if self._bytes_read > self._limits.reply_bytes_max:
            raise TesseraError(ErrorCode.PROVIDER_ERROR, "The provider's reply is larger than this server accepts.")
        return piece

    async def _next(self, limit: float) -> bytes:
        """What arrives before `limit`, in the loop's time.

        aiohttp 3.14 leaves a reader waiting when the framing of a body breaks after its head: it closes the transport
        and tells nobody. So the connection is looked at once a second.
        """
        while True:
            try:
                async with asyncio.timeout_at(min(limit, asyncio.get_running_loop().time() + LOOK_S)):
                    return await self._response.content.readany()
            except TimeoutError:
                if asyncio.get_running_loop().time() >= limit:
                    raise
            transport = self._response.connection.transport if self._response.connection is not None else None
            if transport is None or transport.is_closing():
                raise aiohttp.ClientPayloadError

    def retire(self) -> None:
        """aiohttp closes what is idle by itself after a moment."""

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._pool.finished()
        if self._response.content.is_eof() and self._response.content.exception() is None:
            self._response.release()
        else:
            self._response.close()


class _Pieces(Payload):
    """A body in pieces, written one after the other in slices, with back-pressure; its length is known beforehand."""

    def __init__(self, pieces: Sequence[bytes | memoryview]) -> None:
        super().__init__(pieces, content_type="application/json")
        self._size = sum(len(piece) for piece in pieces)
        self.started = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Not used by a request; asked for by the interface."""
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Hands the pieces over without joining them."""
        for piece in self._value:
            view = memoryview(piece)
            for start in range(0, len(view), WRITE_BYTES_MAX):
                self.started = True
                await writer.write(view[start : start + WRITE_BYTES_MAX])

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """The same: the length announced is the length of the pieces."""
        await self.write(writer)


def _timeout(what: str) -> TesseraError:
    return TesseraError(ErrorCode.PROVIDER_TIMEOUT, f"The provider took too long to {what}.")


def _failure(error: Any) -> TesseraError:
    """Our own words for what went wrong; never the library's, which name hosts and ports."""
    match error:
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            text = "The provider's certificate could not be verified."
        case aiohttp.ClientConnectorError():
            text = "The provider could not be reached."
        case aiohttp.ClientPayloadError():
            text = "The provider's reply ended before it was complete."
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError() | OSError():
            text = "The provider closed the connection."
        case _:
            text = "The provider's reply was not valid HTTP."
    return TesseraError(ErrorCode.PROVIDER_ERROR, text)
