"""Read an answer on after its client has left, where the provider bills all of it anyway, to learn what it used.

Always holds: however the reading ends, the hold is resolved exactly once and the provider's connection is given back.
"""

import asyncio
from collections.abc import AsyncIterator

from tessera.domain.dialects.relay import StreamRelay
from tessera.domain.errors import TesseraError
from tessera.domain.ledger.orders import Outcome
from tessera.domain.usage import OnCancel
from tessera.flows.settling import Running, settle
from tessera.flows.world import World
from tessera.log import get_logger
from tessera.ports import UpstreamReply

log = get_logger(__name__)


class UnbrokenBody:
    """A body whose next piece is waited for in a task of its own: a reader that is cancelled breaks nothing off."""

    def __init__(self, world: World, body: AsyncIterator[bytes]) -> None:
        self._world = world
        self._body = body
        self._next: asyncio.Task[bytes | None] | None = None

    def __aiter__(self) -> "UnbrokenBody":
        return self

    async def __anext__(self) -> bytes:
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._piece())
        piece = await asyncio.shield(self._next)
        self._next = None
        if piece is None:
            raise StopAsyncIteration
        return piece

    async def _piece(self) -> bytes | None:
        return await anext(self._body, None)

    async def close(self) -> None:
        """Ends the wait for a piece nobody wants any more."""
        task, self._next = self._next, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def body_of(running: Running, upstream: UpstreamReply) -> AsyncIterator[bytes]:
    """An answer's body; one that can be read on where the provider bills all of it anyway."""
    if running.on_cancel is OnCancel.BILLS_IN_FULL:
        return UnbrokenBody(running.world, upstream.chunks())
    return upstream.chunks()


def reads_on(
    running: Running, outcome: Outcome, relay: StreamRelay, body: AsyncIterator[bytes] | None, upstream: UpstreamReply
) -> bool:
    """Whether the answer is now read to its end by a task of its own, which settles the call and closes the answer.

    Only for a client that left, within the bounds on number, time and bytes.
    """
    world = running.world
    full = isinstance(body, UnbrokenBody) and len(world.reading_on) < world.limits.read_on_calls_max
    if not full or outcome is not Outcome.CLIENT_DISCONNECTED or running.event is not None or world.stopping:
        return False
    assert isinstance(body, UnbrokenBody)
    running.unheard = not relay.facts.has_output
    reading = asyncio.get_running_loop().create_task(_read(world, relay, body))
    world.reading_on.add(reading)
    reading.add_done_callback(world.reading_on.discard)
    world.spawn(_settle_after(running, reading, relay, body, upstream))
    return True


async def _read(world: World, relay: StreamRelay, body: UnbrokenBody) -> None:
    received = 0
    async for chunk in body:
        received += len(chunk)
        relay.feed(chunk)
        if relay.finished or received > world.limits.read_on_bytes_max:
            return


async def _settle_after(
    running: Running, reading: "asyncio.Task[None]", relay: StreamRelay, body: UnbrokenBody, upstream: UpstreamReply
) -> None:
    try:
        _, late = await asyncio.wait({reading}, timeout=running.world.limits.read_on_seconds_max)
        if late:
            reading.cancel()
            await asyncio.wait({reading})
        failure = None if reading.cancelled() else reading.exception()
        if failure is not None and not isinstance(failure, TesseraError):
            log.error("reading_on.failed", request_id=running.order.id, error=repr(failure))
    finally:
        try:
            await settle(running, Outcome.CLIENT_DISCONNECTED, relay.facts)
        finally:
            await body.close()
            await upstream.close()
