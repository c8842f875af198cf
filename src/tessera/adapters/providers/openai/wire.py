"""One HTTP/1.1 connection: a request written, its reply read, every wait bounded.

At most one caller waits on a connection at a time. A wait costs one future. Deadlines share one timer per connection: a
wait that ends in time leaves the timer alone, and the timer looks at the clock again when it fires.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from tessera.adapters.providers.openai.framing import NotHttpError, ReplyParser
from tessera.domain.errors import ErrorCode, TesseraError

JOINED_BYTES_MAX = 64 * 1024
"""A body up to here is copied behind its head and written at once; a longer one is written in slices, not copied."""
SLICE_BYTES = 256 * 1024
YIELD_BYTES = 2 * SLICE_BYTES
UNREAD_BYTES_MAX = 256 * 1024

CLOSED = "The provider closed the connection."
CUT = "The provider's reply ended before it was complete."
NOT_HTTP = "The provider's reply was not valid HTTP."
NO_ANSWER = "The provider took too long to answer."
TOO_LARGE = "The provider's reply is larger than this server accepts."
SILENT = "The provider took too long to go on with its answer."

_NEVER = float("inf")


class Connection(asyncio.Protocol):
    """A connection and the exchange that runs on it, if any. `on_lost` is told when the connection is gone.

    `reply` is the reply of the running exchange as far as it has arrived. `idle_since` belongs to the pool.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, on_lost: "Callable[[Connection], None]") -> None:
        self.reply = ReplyParser()
        self.idle_since = 0.0
        self._loop = loop
        self._on_lost = on_lost
        self._transport: asyncio.Transport | None = None
        self._running = False
        self._gone = False
        self._failure: tuple[ErrorCode, str] | None = None
        self._reading_paused = False
        self._writing_paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = _NEVER
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = _NEVER

    # ---- the exchange --------------------------------------------------------------------------------------------

    @property
    def usable(self) -> bool:
        """Whether a request may be sent now."""
        return not self._gone and not self._running

    async def send(self, head: bytes, body: Sequence[bytes | memoryview], body_bytes: int, deadline: float) -> None:
        """Writes a request and returns when the head of the reply is here, be it before the body was all written.

        `deadline` is in the loop's time. Raises [provider_error, provider_timeout].
        """
        transport, reply = self._transport, self.reply
        assert transport is not None
        assert not self._gone
        assert not self._running
        self._running = True
        reply.begin()
        if body_bytes <= JOINED_BYTES_MAX:
            transport.write(b"".join((head, *body)))
            whole = True
        else:
            whole = await self._upload(transport, head, body, deadline)
        while not reply.status:
            if self._failure is not None:
                raise TesseraError(*self._failure)
            await self._woken(deadline)
        reply.keep = reply.keep and whole

    async def read(self, deadline: float, bytes_max: int) -> bytes:
        """What has arrived of the body since the last read, b"" at its end. Raises [provider_error, provider_timeout].

        What arrived before a failure is given out before the failure is raised. `bytes_max` is the most the whole body
        may have.
        """
        reply = self.reply
        while not reply.unread_bytes:
            if self._failure is not None:
                raise TesseraError(*self._failure)
            if reply.complete:
                return b""
            await self._woken(deadline)
        if self._reading_paused:
            self._reading_paused = False
            if self._transport is not None and not self._gone:
                self._transport.resume_reading()
        if reply.body_bytes > bytes_max:
            raise TesseraError(ErrorCode.PROVIDER_ERROR, TOO_LARGE)
        return reply.take()

    def finish(self) -> bool:
        """Ends the exchange. Returns whether the connection can serve another; it is cut otherwise."""
        transport, reply = self._transport, self.reply
        if reply.keep and reply.complete and not self._gone and not self._reading_paused:
            assert transport is not None
            if transport.get_write_buffer_size() == 0:
                self._running = False
                reply.pieces = []
                return True
        self.cut()
        return False

    def cut(self) -> None:
        """Closes the connection now. Whoever waits on it gets a provider error."""
        self._fail(ErrorCode.PROVIDER_ERROR, CLOSED)

    # ---- waiting -------------------------------------------------------------------------------------------------

    def _woken(self, deadline: float) -> "asyncio.Future[None]":
        self._waiter = waiter = self._loop.create_future()
        self._deadline = deadline
        if deadline < self._timer_at:
            self._set_timer(deadline)
        return waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _set_timer(self, at: float) -> None:
        self._stop_timer()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._look_at_clock)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, _NEVER

    def _look_at_clock(self) -> None:
        self._timer, self._timer_at = None, _NEVER
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._deadline:
            self._set_timer(self._deadline)
        else:
            self._fail(ErrorCode.PROVIDER_TIMEOUT, SILENT if self.reply.status else NO_ANSWER)

    def _fail(self, code: ErrorCode, text: str) -> None:
        """The exchange, if one runs, ends with this; the connection is cut."""
        if self._failure is None:
            self._failure = (code, text)
        self._abandon()
        self._wake()

    def _abandon(self) -> None:
        self._gone = True
        self._stop_timer()
        if self._transport is not None:
            self._transport.abort()

    # ---- writing -------------------------------------------------------------------------------------------------

    async def _upload(
        self, transport: asyncio.Transport, head: bytes, body: Sequence[bytes | memoryview], deadline: float
    ) -> bool:
        """Writes head and pieces no faster than they are taken. False when the exchange was over before the end."""
        transport.write(head)
        for piece in body:
            view = memoryview(piece)
            for start in range(0, len(view), SLICE_BYTES):
                while self._writing_paused and not self.reply.status and self._failure is None:
                    await self._woken(deadline)
                if self.reply.status or self._failure is not None:
                    return False
                transport.write(view[start : start + SLICE_BYTES])
                if start % YIELD_BYTES:
                    # A provider that takes what comes as fast as it comes never pauses us: let others run in between.
                    await asyncio.sleep(0)
        return True

    def pause_writing(self) -> None:
        """The transport holds enough."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """The transport has room again."""
        self._writing_paused = False
        self._wake()

    # ---- what the loop reports -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands, its certificate verified."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's transports do not inherit from it
        self._transport.set_write_buffer_limits(high=SLICE_BYTES)

    def data_received(self, data: bytes) -> None:
        """Bytes arrived. Once there are any nobody asked for, the connection is not used again; the reply stands."""
        reply = self.reply
        if reply.complete or self._gone:
            self._abandon()
            return
        try:
            reply.feed(data)
        except NotHttpError:
            self._fail(ErrorCode.PROVIDER_ERROR, NOT_HTTP)
            return
        if reply.unread_bytes > UNREAD_BYTES_MAX and not self._reading_paused and not reply.complete:
            assert self._transport is not None
            self._reading_paused = True
            self._transport.pause_reading()
        if reply.status and self._waiter is not None:
            self._wake()

    def eof_received(self) -> None:
        """The provider sends nothing more. Whether that is an end or a cut, `connection_lost`, which follows, tells."""
        self._gone = True
        if self._failure is None:
            self.reply.end_of_input()

    def connection_lost(self, error: Exception | None) -> None:
        """The connection is gone, whoever closed it."""
        if not self.reply.complete and self._failure is None:
            self._failure = (ErrorCode.PROVIDER_ERROR, CUT if self.reply.status else CLOSED)
        self._gone = True
        self._stop_timer()
        self._transport = None
        self.reply.close()
        self._wake()
        self._on_lost(self)
