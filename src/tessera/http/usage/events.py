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


async def stream(world: World, caller: Caller, exchange: Exchange) -> None:
    """Streams events of calls and of the balance as they happen, as server-sent events.

    The header Last-Event-ID names the last event that was received: what came after it comes first.
    """
    exchange.query(())
    beat_us = world.limits.keep_alive_seconds * 1_000_000
    with Presence(exchange):
        async with aclosing(follow(world, caller, exchange.header(b"last-event-id"))) as events:
            sent_us = 0
            async for event in events:
                if event is None:
                    try:
                        await authenticate(world, exchange)
                    except TesseraError:
                        # The key was revoked, or has ended, since.
                        break
                if not exchange.started:
                    await exchange.start(200, HEAD)
                now_us = world.clock.now_us()
                if event is not None:
                    await exchange.send_piece(_frame(event))
                elif now_us - sent_us >= beat_us:
                    await exchange.send_piece(KEEP_ALIVE)
                else:
                    continue
                sent_us = now_us
            await exchange.end()


def _frame(event: Event) -> bytes:
    """One event's frame. One that moved nothing has no id there: a client that comes back names the last that did."""
    shown = {"id": event.id, "type": event.type, "created_at": event.created_at, "data": event.data}
    cursor = f"id: {event.id}\n" if event.seq is not None else ""
    return f"event: {event.type}\n{cursor}data: ".encode() + msgspec.json.encode(shown) + b"\n\n"
