"""The connections to one origin: kept while they are fresh, cut when in doubt, never more than allowed."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence

from yarl import URL

from tessera.adapters.providers.openai.connections import TransportLimits, transport_failure
from tessera.adapters.providers.openai.dialling import Dialler
from tessera.adapters.providers.openai.request_head import request_head
from tessera.adapters.providers.openai.wire import CLOSED, SILENT, Connection
from tessera.domain.errors import ErrorCode, TesseraError

CLOSE_S = 1
STOPPED = "The connections to the provider were closed."


class PooledConnections:
    """HTTP/1.1 to one base URL: no proxy, cookies, redirects or decompression; certificates are verified.

    The connection used last is used first, so that those a quiet hour does not need grow old and are closed.

    A call is never sent twice. A connection that is known to be closed is not used, and between that look and the write
    nothing else runs; a connection lost any later may have cost money, so that is an error and what to do about it is
    decided above.
    """

    def __init__(
        self,
        base_url: str,
        limits: TransportLimits,
        tls: ssl.SSLContext | None = None,
        allows: Callable[[str], bool] | None = None,
    ) -> None:
        url = URL(base_url)
        self._host = url.host_port_subcomponent or ""
        self._path = url.raw_path.rstrip("/")
        self._limits = limits
        self._dialler = Dialler(url, min(limits.connect_s, limits.first_byte_s), tls, allows)
        self._running = 0
        self._standing: set[Connection] = set()
        self._idle: dict[Connection, None] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._emptied: asyncio.Future[None] | None = None
        self._generation = 0
        self._retired = False

    async def post(
        self,
        path: str,
        headers: Mapping[str, str],
        body: Sequence[bytes | memoryview],
        on_sent: Callable[[], None] | None = None,
    ) -> "PooledReply":
        """See `Connections.post`. Raises ValueError for a path or header that cannot be sent as it is."""
        limits = self._limits
        if self._running >= limits.connections_max:
            raise TesseraError(
                ErrorCode.OVERLOADED,
                "All connections to the provider are in use. Try again in a moment.",
                retry_after_s=1,
            )
        body_bytes = sum(map(len, body))
        head = request_head(self._host, self._path + path, headers, body_bytes)
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._running += 1
        connection: Connection | None = None
        try:
            connection = self._take_idle(now) or await self._open(loop)
            if on_sent is not None:
                on_sent()
            await connection.send(head, body, body_bytes, now + min(limits.first_byte_s, limits.total_s))
        except BaseException:
            self._running -= 1
            if connection is not None:
                connection.cut()
            raise
        return PooledReply(connection, self, limits, now + limits.total_s, loop)

    def retire(self) -> None:
        """Closes what is idle now, and every other connection as its reply ends."""
        self._retired = True
        for connection in tuple(self._idle):
            connection.cut()

    async def close(self) -> None:
        """Closes every connection, also those in use; returns when they are gone, at the latest after a second."""
        self._generation += 1
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self._idle.clear()
        for connection in tuple(self._standing):
            connection.cut()
        if self._standing:
            if self._emptied is None:
                self._emptied = asyncio.get_running_loop().create_future()
            await asyncio.wait((self._emptied,), timeout=CLOSE_S)

    def finished(self, connection: Connection) -> None:
        """A reply of this pool was closed."""
        self._running -= 1
        if not connection.finish():
            return
        if self._retired:
            connection.cut()
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle[connection] = None
        if self._sweep is None:
            self._sweep = loop.call_later(self._limits.idle_s, self._close_the_old)

    def _take_idle(self, now: float) -> Connection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.usable and now - connection.idle_since < self._limits.idle_s:
                return connection
            connection.cut()
        return None

    async def _open(self, loop: asyncio.AbstractEventLoop) -> Connection:
        generation = self._generation
        connection = await self._dialler.connect(lambda: Connection(loop, self._lost))
        if generation != self._generation or not connection.usable:
            connection.cut()
            raise transport_failure(STOPPED if generation != self._generation else CLOSED)
        # Only now: of a connection given up before, uvloop closes the socket and tells the protocol nothing.
        self._standing.add(connection)
        return connection

    def _lost(self, connection: Connection) -> None:
        self._standing.discard(connection)
        self._idle.pop(connection, None)
        if self._emptied is not None and not self._standing:
            self._emptied.set_result(None)
            self._emptied = None

    def _close_the_old(self) -> None:
        """Closes what has been idle for too long, and comes back when the next will have been."""
        loop = asyncio.get_running_loop()
        self._sweep = None
        while self._idle:
            oldest = next(iter(self._idle))
            at = oldest.idle_since + self._limits.idle_s
            if at > loop.time():
                self._sweep = loop.call_at(at, self._close_the_old)
                return
            del self._idle[oldest]
            oldest.cut()


class PooledReply:
    """A reply on a connection of the pool; see `HttpReply`."""

    __slots__ = ("_connection", "_deadline", "_limits", "_loop", "_pool", "headers", "status")

    def __init__(
        self,
        connection: Connection,
        pool: PooledConnections,
        limits: TransportLimits,
        deadline: float,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.status = connection.reply.status
        self.headers: Mapping[str, str] = connection.reply.headers
        self._connection: Connection | None = connection
        self._pool = pool
        self._limits = limits
        self._deadline = deadline
        self._loop = loop

    def read(self) -> Awaitable[bytes]:
        """See `HttpReply.read`. After `close`, a provider error."""
        connection, limits = self._connection, self._limits
        if connection is None:
            return _failed(transport_failure(STOPPED))
        limit = self._deadline
        if not connection.reply.complete:
            now = self._loop.time()
            if now >= limit:
                return _failed(TesseraError(ErrorCode.PROVIDER_TIMEOUT, SILENT))
            limit = min(limit, now + limits.gap_s)
        return connection.read(limit, limits.reply_bytes_max)

    async def close(self) -> None:
        """See `HttpReply.close`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.finished(connection)


async def _failed(error: TesseraError) -> bytes:
    raise error
