"""A held call ends once: cut while it runs, settled by whoever comes first; a loss is told from a free leave."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from ledger_calls import funded, hold_order, stored_reply
from priced_world import body, caller, priced_world
from simulation.process import DEPLOYMENTS
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.dialects.usage import ReplyFacts
from tessera.domain.ledger.orders import Outcome
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities
from tessera.domain.request import Surface
from tessera.flows.quoting import estimate
from tessera.flows.settling import Running, price_up, settle, write
from tessera.flows.world import World

pytestmark = pytest.mark.anyio

FIRST, _ = DEPLOYMENTS["gpt-4o"]
ANSWER = ReplyFacts(usage=Quantities(input_tokens=9, output_tokens=3), finish_reason="stop", has_output=True)


async def running(world: World | None = None, organization: str = "org_1", mode: Mode = Mode.LIVE) -> Running:
    world, who = world or priced_world(), caller(mode, organization_id=organization)
    found = await estimate(world, who, Surface.CHAT, body(), world.clock.today())
    order = hold_order(organization, found.quote.max_nanos, mode=mode)
    return Running(world, who, found, order, order.amount_nanos, started_ms=0)


async def test_a_call_that_has_just_been_held_has_done_nothing_yet() -> None:
    call = await running()
    done = (call.accepted, call.sent, call.spoiled, call.unheard, call.quarantined, call.revoked, call.ended_by_us)
    assert done == (False,) * 7
    assert call.key_id == call.order.key_id
    call.note_sent()
    assert call.sent


async def test_a_call_is_cut_once_while_it_runs() -> None:
    call = await running()
    call.cut()
    assert not call.ended_by_us, "nothing runs yet"
    call.task = asyncio.ensure_future(asyncio.sleep(60))
    call.cut()
    call.cut()
    assert (call.task.cancelling(), call.ended_by_us) == (1, True)
    with pytest.raises(asyncio.CancelledError):
        await call.task


async def test_a_call_that_is_being_settled_is_not_cut() -> None:
    call = await running()
    call.task = asyncio.ensure_future(asyncio.sleep(0))
    call.event = await price_up(call, Outcome.COMPLETED, ANSWER)
    call.cut()
    await call.task
    assert not call.ended_by_us


async def test_when_the_server_stops_calls_are_ended_by_us() -> None:
    call = await running()
    call.world.stopping = True
    assert call.ended_by_us


async def test_a_leave_before_output_has_a_price_past_the_days_allowance_if_it_cost_anything() -> None:
    for mode, outcome, priced in (
        (Mode.LIVE, Outcome.CLIENT_DISCONNECTED, True),
        (Mode.TEST, Outcome.CLIENT_DISCONNECTED, False),
        (Mode.LIVE, Outcome.PROVIDER_TIMEOUT, False),
    ):
        call = await running(mode=mode)
        call.deployment, call.sent, call.accepted = FIRST, True, outcome is Outcome.PROVIDER_TIMEOUT
        event = await price_up(call, outcome, ReplyFacts())
        assert event.charge_nanos == 0
        assert (event.loss_nanos > 0) is (mode is Mode.LIVE)
        assert (event.past_allowance is not None) is priced
        if event.past_allowance is not None:
            assert event.past_allowance.charge_nanos > 0
            assert event.past_allowance.loss_nanos == 0


async def test_a_call_that_met_no_provider_is_free_where_each_would_have_had_its_own_price() -> None:
    call = await running()
    assert len(call.found.rows) == 2
    event = await price_up(call, Outcome.CANCELLED, ReplyFacts())
    assert (event.charge_nanos, event.cost_nanos, event.loss_nanos) == (0, 0, 0)


async def test_usage_that_cannot_be_true_is_counted_once_for_each_call() -> None:
    call = await running()
    call.deployment = FIRST
    for _ in range(2):
        await price_up(call, Outcome.COMPLETED, msgspec.structs.replace(ANSWER, absurd=True))
    assert call.world.quarantined == {"first/gpt-4o": 1}


async def test_an_answer_that_cannot_be_priced_is_priced_as_if_nothing_were_known_of_it() -> None:
    call = await running()
    call.deployment = FIRST
    broken = msgspec.structs.replace(ANSWER, usage=None, output_text=7)
    event = await price_up(call, Outcome.COMPLETED, broken)
    unknown = await price_up(call, Outcome.COMPLETED, ReplyFacts())
    assert event == msgspec.structs.replace(unknown, settled_at_us=event.settled_at_us, latency_ms=event.latency_ms)


async def test_whoever_settles_first_settles_the_call_and_it_is_no_longer_listed(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path)
    world = priced_world(storage=storage)
    organization = await funded(storage, 10**9)
    for by_writing in (True, False):
        call = await running(world, organization)
        call.deployment = FIRST
        world.calls[call.order.id] = call
        await storage.hold(call.order)
        if by_writing:
            await write(call, await price_up(call, Outcome.COMPLETED, ANSWER))
        else:
            await settle(call, Outcome.COMPLETED, ANSWER, stored_reply(call.order, 0))
        first = call.event
        assert first is not None
        assert (first.outcome, first.reply is None, world.calls) == (Outcome.COMPLETED, by_writing, {})
        world.calls[call.order.id] = call
        await settle(call, Outcome.PROVIDER_ERROR, ReplyFacts())
        assert (call.event, world.calls) == (first, {})
        await storage.settle(first)
    assert all(check.ok for check in await storage.verify())
    await storage.close()
