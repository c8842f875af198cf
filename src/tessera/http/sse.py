"""Event streams: send frames as they come, keep the connection alive while waiting, notice a client that left."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from tessera.domain.errors import TesseraError
from tessera.flows.serving import LiveStream
from tessera.http.exchange import ClientGoneError, Exchange

HEAD = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
KEEP_ALIVE = b": keep-alive\n\n"


class Presence:
    """Cancels the task that serves a call when its client leaves.

    `with Presence(exchange)` around the work; ClientGoneError comes out when the client left. Our own server
    calls back; with any other the only way to learn it is to keep receiving, in a task of its own.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._watch: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        if self._exchange.connection is not None:
            self._exchange.connection.on_disconnect(self._leave)
        else:
            self._watch = asyncio.get_running_loop().create_task(self._leave_when_gone())

    def _leave(self) -> None:
        self._exchange.gone = True
        if self._task is not None:
            self._task.cancel()

    async def _leave_when_gone(self) -> None:
        await self._exchange.watch_disconnect()
        self._leave()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if self._watch is not None:
            self._watch.cancel()
        else:
            assert self._exchange.connection is not None
            self._exchange.connection.on_disconnect(None)
        if kind is asyncio.CancelledError and self._exchange.gone and self._task is not None:
            self._task.uncancel()
            raise ClientGoneError from error


async def send_stream(exchange: Exchange, stream: LiveStream, keep_alive_s: int) -> None:
    """Sends a live stream to its end.

    A refusal that comes before `keep_alive_s` is an ordinary error reply; after that the head has been sent to keep the
    connection alive, and the refusal is an error frame.
    """
    opening = asyncio.get_running_loop().create_task(stream.open())
    try:
        await asyncio.wait({opening}, timeout=keep_alive_s)
        if not opening.done():
            await exchange.start(200, HEAD)
            await _wait(exchange, opening, keep_alive_s)
        opening.result()
        if not exchange.started:
            await exchange.start(200, HEAD)
    except TesseraError as error:
        if not exchange.started:
            raise
        await _send_error(exchange, stream, error)
        return
    except BaseException:
        # Until the first frame is asked for, nobody else ends the stream: not when the client leaves, not when the head
        # cannot be sent.
        await stream.abandon(opening)
        ended = stream.ended_by_us
        if ended is None:
            raise
        if not exchange.started:
            raise ended from None
        await _send_error(exchange, stream, ended)
        return
    async with aclosing(stream.chunks()) as frames:
        await _send_frames(exchange, frames, keep_alive_s)
    await exchange.end()


async def _send_error(exchange: Exchange, stream: LiveStream, error: TesseraError) -> None:
    for frame in stream.error_frames(error):
        await exchange.send_piece(frame)
    await exchange.end()


async def _wait(exchange: Exchange, opening: asyncio.Task[None], keep_alive_s: int) -> None:
    while not opening.done():
        await exchange.send_piece(KEEP_ALIVE)
        await asyncio.wait({opening}, timeout=keep_alive_s)


async def _send_frames(exchange: Exchange, frames: AsyncIterator[bytes], keep_alive_s: int) -> None:
    """Sends frames; a comment goes out whenever none came for `keep_alive_s`, so that nothing in between cuts an idle
    connection. Comments lie between frames because the iterator yields whole ones."""
    loop = asyncio.get_running_loop()
    last_sent = loop.time()

    async def keep_alive() -> None:
        nonlocal last_sent
        while True:
            await asyncio.sleep(max(0.05, last_sent + keep_alive_s - loop.time()))
            if loop.time() - last_sent >= keep_alive_s:
                await exchange.send_piece(KEEP_ALIVE)
                last_sent = loop.time()

    beat = loop.create_task(keep_alive())
    try:
        async for frame in frames:
            await exchange.send_piece(frame)
            last_sent = loop.time()
    finally:
        beat.cancel()
