"""GET /v1/events: what happens to an organization's calls and money, live."""

from contextlib import aclosing

import msgspec

from tessera.domain.auth import Caller
from tessera.domain.errors import TesseraError
from tessera.flows.usage.following import follow
from tessera.flows.usage.live import Event
from tessera.flows.world import World
from tessera.http.authentication import authenticate
from tessera.http.exchange import Exchange
from tessera.http.sse import HEAD, KEEP_ALIVE, Presence

_CHECK_EVERY_MS = 900
"""How often a stream's key is looked at: every time it is quiet, and as often while there is much to say."""


async def stream(world: World, caller: Caller, exchange: Exchange) -> None:
    """Streams events of calls and of the balance as they happen, as server-sent events.

    The header Last-Event-ID names the last event that was received: what came after it comes first.
    """
    exchange.query(())
    beat_ms = world.limits.keep_alive_seconds * 1_000
    with Presence(exchange):
        async with aclosing(follow(world, caller, exchange.header(b"last-event-id"))) as events:
            checked_ms, sent_ms = world.clock.monotonic_ms(), None
            async for event in events:
                now_ms = world.clock.monotonic_ms()
                # However much there is to say, and however slowly it is read.
                if now_ms - checked_ms >= _CHECK_EVERY_MS:
                    if not await _is_valid(world, exchange):
                        break
                    checked_ms = now_ms
                if not exchange.started:
                    await exchange.start(200, HEAD)
                if event is not None:
                    await exchange.send_piece(_frame(event))
                elif sent_ms is None or now_ms - sent_ms >= beat_ms:
                    await exchange.send_piece(KEEP_ALIVE)
                else:
                    continue
                sent_ms = now_ms
            await exchange.end()


async def _is_valid(world: World, exchange: Exchange) -> bool:
    """Whether the key still lets its caller in here: it may have been revoked, or have ended, since."""
    try:
        await authenticate(world, exchange)
    except TesseraError:
        return False
    return True


def _frame(event: Event) -> bytes:
    """One event's frame. One that moved nothing has no id there: a client that comes back names the last that did."""
    shown = {"id": event.id, "type": event.type, "created_at": event.created_at, "data": event.data}
    cursor = f"id: {event.id}\n" if event.seq is not None else ""
    return f"event: {event.type}\n{cursor}data: ".encode() + msgspec.json.encode(shown) + b"\n\n"
