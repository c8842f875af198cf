"""Follow the ledger for those who listen: what moved becomes events, in the order in which it was committed.

The ledger itself is read, so that every replica's calls are heard on each of them, and a listener that comes back is
given what it missed. The call path does nothing for it.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from typing import Any

from tessera.domain.auth import Caller
from tessera.domain.dialects.errors import STATUS
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.orders import Outcome
from tessera.domain.money import format_usd
from tessera.domain.usage_report import CallMoved, Movements
from tessera.flows.usage.live import Event, Listener, Place
from tessera.flows.world import World
from tessera.log import get_logger

log = get_logger(__name__)

LOOK_EVERY_S = 0.25
QUIET_S = 1.0
"""How often a stream that has nothing to say comes back to its reader, who sees to keep-alives and to the key."""

SEQ_MAX = 2**63 - 1
"""The last place a chain can have."""

_ID = re.compile(r"evt_([0-9]{1,19})_(?:(held|served|settled|balance|missed)|alert_([0-9]{1,9}))", re.ASCII)
_RANKS = {name: rank for rank, name in enumerate(("missed", "held", "served", "settled", "balance", "alert"))}
Cursor = tuple[int, int, int]
"""A place among events: the movement it follows from, the rank of its type there, and the number of an alert."""

_SERVED = (Outcome.COMPLETED, Outcome.CLIENT_DISCONNECTED, Outcome.REVOKED)


async def follow(world: World, caller: Caller, last_event_id: str | None) -> AsyncGenerator[Event | None, None]:
    """Events of the caller's organization and mode as they come, None when there was nothing for a while.

    With an id that was given before, first what came after it, as far as the ledger can find it. Ends when the server
    does. Raises [invalid_request] for an id that is none, [concurrency_exceeded].
    """
    place = (caller.organization_id, caller.mode)
    cursor = None if last_event_id is None else _cursor_of(last_event_id)
    listener = world.live.join(place)
    try:
        now = await world.storage.read_movements(*place, after=max(0, cursor[0] - 1) if cursor else None, watched=())
        end = _end_of(now)
        if cursor is not None and cursor > end:
            raise _unknown_event()
        if place not in world.live.followers:
            task = asyncio.get_running_loop().create_task(_feed(world, place, now))
            world.live.followers[place] = task
        yield None
        if cursor is not None:
            for event in _events_after(cursor, now, world.clock.now_us()):
                yield event
        async with aclosing(_heard(world, listener, end)) as heard:
            async for heard_event in heard:
                yield heard_event
    finally:
        world.live.leave(place, listener)


async def _heard(world: World, listener: Listener, end: Cursor) -> AsyncGenerator[Event | None, None]:
    """What a listener is given after a place."""
    while not world.live.closing:
        await listener.wait(QUIET_S)
        missed, events = listener.take()
        if missed:
            yield _missed(missed, events[0].seq or end[0], world.clock.now_us())
        for event in events:
            if event.seq is None or _cursor_of(event.id) > end:
                yield event
        if not events:
            yield None


async def _feed(world: World, place: Place, start: Movements) -> None:
    """Gives everybody at a place what moves, until nobody is left."""
    moved = start
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        last = moved
        try:
            moved = await world.storage.read_movements(
                *place, after=last.seq, watched=last.open_ids, after_alert=last.alert_number
            )
        except TesseraError as error:
            log.error("events.failed", error=repr(error))
            continue
        for event in _events_after(_end_of(last), moved, world.clock.now_us()):
            world.live.tell(place, event)


def tell_refusal(world: World, caller: Caller, request_id: str, endpoint: str, error: TesseraError) -> None:
    """Says that a call was refused before it was held. It moved nothing, so only those who listen now hear of it."""
    place = (caller.organization_id, caller.mode)
    if place not in world.live.listeners:
        return
    data = {
        "request_id": request_id,
        "project": caller.project_id,
        "key": caller.key_id,
        "endpoint": endpoint,
        "code": error.code,
        "status": STATUS[error.code],
        "param": error.param,
    }
    at = world.clock.now_us() // 1_000_000
    world.live.tell(place, Event(id=f"evt_{request_id}_refused", type="request.refused", created_at=at, data=data))


def _cursor_of(event_id: str) -> Cursor:
    match = _ID.fullmatch(event_id)
    if match is None or int(match[1]) > SEQ_MAX:
        raise _unknown_event()
    return int(match[1]), _RANKS[match[2] or "alert"], int(match[3] or 0)


def _unknown_event() -> TesseraError:
    return TesseraError(
        ErrorCode.INVALID_REQUEST,
        "Last-Event-ID must be the id of an event this key was given; without it, events start now.",
        param="Last-Event-ID",
    )


def _end_of(moved: Movements) -> Cursor:
    """The last place there is."""
    return moved.seq, _RANKS["alert"], moved.alert_number


def _events_after(cursor: Cursor, moved: Movements, now_us: int) -> list[Event]:
    """What came after a place, in order: whoever has the last one has them all."""
    found = ((_cursor_of(event.id), event) for event in _events(moved, now_us))
    return [event for place, event in sorted(found, key=lambda one: one[0]) if place > cursor]


def _events(moved: Movements, now_us: int) -> Iterator[Event]:
    if moved.missed:
        yield _missed(moved.missed, moved.calls[0].seq if moved.calls else moved.seq, now_us)
    for call in moved.calls:
        yield from _call_events(call)
    data = {
        "available": format_usd(moved.available_nanos) if moved.available_nanos >= 0 else None,
        "available_nanos": moved.available_nanos,
        "held": format_usd(moved.held_nanos),
        "held_nanos": moved.held_nanos,
    }
    yield _event(moved.seq, "balance", "balance.changed", now_us, data)
    for alert in moved.alerts:
        told = {**alert.data, "notice_id": alert.notice_id}
        yield _event(alert.seq, f"alert_{alert.number}", "alert.raised", alert.created_at * 1_000_000, told)


def _call_events(call: CallMoved) -> Iterator[Event]:
    data = {
        "request_id": call.request_id,
        "project": call.project_id,
        "key": call.key_id,
        "model": call.model,
        "endpoint": call.endpoint,
        "stream": call.stream,
    }
    if not call.ended:
        held = {**data, "held": format_usd(call.held_nanos), "held_nanos": call.held_nanos}
        yield _event(call.seq, "held", "request.held", call.at_us, held)
        return
    if call.deployment and call.outcome in _SERVED:
        served = {
            **data,
            "deployment": call.deployment,
            "served_tier": call.tier,
            "status": call.status,
            "latency_ms": call.latency_ms,
            "first_byte_ms": call.first_byte_ms,
        }
        yield _event(call.seq, "served", "request.served", call.at_us, served)
    settled = {
        **data,
        "outcome": call.outcome,
        "usage": call.usage,
        "charge": format_usd(call.charge_nanos),
        "charge_nanos": call.charge_nanos,
    }
    yield _event(call.seq, "settled", "request.settled", call.at_us, settled)


def _missed(count: int, seq: int, now_us: int) -> Event:
    return _event(seq, "missed", "events.missed", now_us, {"missed": count})


def _event(seq: int, name: str, kind: str, at_us: int, data: dict[str, Any]) -> Event:
    return Event(id=f"evt_{seq}_{name}", type=kind, created_at=at_us // 1_000_000, data=data, seq=seq)
