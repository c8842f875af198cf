"""Listeners: bounded room, told what they missed, and gone when they leave."""

import asyncio

import pytest

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode
from tessera.flows.usage.live import LISTENERS_MAX, WAITING_MAX, Event, Live

PLACE = ("org_1", Mode.TEST)


def event(number: int) -> Event:
    return Event(id=f"evt_{number}_held", type="request.held", created_at=0, data={}, seq=number)


@pytest.mark.anyio
async def test_one_that_is_slow_keeps_the_newest_and_is_told_how_many_it_missed() -> None:
    live = Live()
    slow, quick = live.join(PLACE), live.join(PLACE)
    heard = []
    for number in range(WAITING_MAX + 5):
        live.tell(PLACE, event(number))
        missed, events = quick.take()
        heard += events
        assert missed == 0
    missed, events = slow.take()
    assert (missed, len(events), events[0].seq) == (5, WAITING_MAX, 5)
    assert [found.seq for found in heard] == list(range(WAITING_MAX + 5))
    assert slow.take() == (0, [])


@pytest.mark.anyio
async def test_events_go_to_their_place_only() -> None:
    live = Live()
    here, there, other_mode = live.join(PLACE), live.join(("org_2", Mode.TEST)), live.join(("org_1", Mode.LIVE))
    live.tell(PLACE, event(1))
    assert here.take()[1] == [event(1)]
    assert there.take()[1] == other_mode.take()[1] == []


@pytest.mark.anyio
async def test_there_is_a_bound_and_the_last_one_to_leave_ends_the_follower() -> None:
    live = Live()
    listeners = [live.join(PLACE) for _ in range(LISTENERS_MAX)]
    with pytest.raises(TesseraError) as caught:
        live.join(PLACE)
    assert caught.value.code is ErrorCode.CONCURRENCY_EXCEEDED
    follower = asyncio.get_running_loop().create_task(asyncio.sleep(60))
    live.followers[PLACE] = follower
    for listener in listeners:
        assert not follower.cancelling()
        live.leave(PLACE, listener)
    assert follower.cancelling()
    assert live.listeners == live.followers == {}


@pytest.mark.anyio
async def test_a_wait_ends_with_an_event_after_a_while_or_when_the_server_ends() -> None:
    live = Live()
    listener = live.join(PLACE)
    await listener.wait(0.01)
    live.tell(PLACE, event(1))
    await asyncio.wait_for(listener.wait(60), 1)
    listener.take()
    waiting = asyncio.ensure_future(listener.wait(60))
    await asyncio.sleep(0)
    live.close()
    await asyncio.wait_for(waiting, 1)
    assert live.closing
