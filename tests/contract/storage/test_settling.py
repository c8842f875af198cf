"""Settling: exactly once, never more than held, the rest back where it came from."""

import asyncio

import msgspec
import pytest

from ledger_calls import eventually, funded, hold_order, release, usage_event
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.orders import HoldOrder, Outcome
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities
from tessera.domain.usage import Attempt, UsageEvent, UsageSource

pytestmark = pytest.mark.anyio


async def held(storage: LedgerStorage, organization: str, amount: int) -> HoldOrder:
    order = hold_order(organization, amount, mode=Mode.LIVE)
    await storage.hold(order)
    return order


async def refused(storage: LedgerStorage, event: UsageEvent) -> TesseraError:
    with pytest.raises(TesseraError) as caught:
        await storage.settle(event)
    assert caught.value.code is ErrorCode.INTERNAL_ERROR
    assert caught.value.should_retry is False
    return caught.value


async def figures(storage: LedgerStorage, organization: str) -> tuple[int, int, int]:
    balance = await storage.balance(organization, Mode.LIVE)
    return balance.available_nanos, balance.held_nanos, balance.spent_nanos


async def test_a_settlement_without_a_hold_is_refused(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    error = await refused(storage, usage_event(hold_order(organization, 10, mode=Mode.LIVE), 10))
    assert "no such hold" in error.message


async def test_a_charge_above_the_hold_is_refused_and_the_hold_stays(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    order = await held(storage, organization, 10)
    await refused(storage, usage_event(order, 11))
    assert await figures(storage, organization) == (90, 10, 0)


@pytest.mark.parametrize("field", ["charge_nanos", "waived_nanos", "cost_nanos", "loss_nanos"])
async def test_negative_money_is_refused(storage: LedgerStorage, field: str) -> None:
    organization = await funded(storage, 100)
    order = await held(storage, organization, 10)
    error = await refused(storage, msgspec.structs.replace(usage_event(order, 1), **{field: -1}))
    assert "does not fit its hold" in error.message
    assert await figures(storage, organization) == (90, 10, 0)


async def test_a_charge_leaves_the_rest_available(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    order = await held(storage, organization, 60)
    await storage.settle(usage_event(order, 25))
    assert await figures(storage, organization) == (75, 0, 25)
    record = await storage.find_request(organization, Mode.LIVE, order.id)
    assert record is not None
    assert record.state == "settled"


async def test_nothing_of_a_call_that_is_over_stays_in_memory(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    order = await held(storage, organization, 10)
    await storage.settle(usage_event(order, 7))
    assert order.id not in storage._committer.books.open_holds


async def test_the_same_event_again_changes_nothing(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    order = await held(storage, organization, 60)
    event = usage_event(order, 25)
    await asyncio.gather(*(storage.settle(event) for _ in range(10)))
    await storage.settle(event)
    assert await figures(storage, organization) == (75, 0, 25)


async def test_a_second_settlement_that_differs_is_refused(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    order = await held(storage, organization, 60)
    await storage.settle(usage_event(order, 25))
    error = await refused(storage, usage_event(order, 26))
    assert "already settled" in error.message
    await refused(storage, release(order))
    assert await figures(storage, organization) == (75, 0, 25)


async def test_of_many_different_settlements_at_once_one_wins(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    order = await held(storage, organization, 60)
    answers = await asyncio.gather(
        *(storage.settle(usage_event(order, charge)) for charge in range(20)), return_exceptions=True
    )
    assert [isinstance(answer, TesseraError) for answer in answers].count(False) == 1
    winner = answers.index(None)
    assert await figures(storage, organization) == (100 - winner, 0, winner)


async def test_a_release_gives_everything_back(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    order = await held(storage, organization, 100)
    await storage.settle(release(order))
    assert await figures(storage, organization) == (100, 0, 0)
    record = await storage.find_request(organization, Mode.LIVE, order.id)
    assert record is not None
    assert (record.state, record.event) == ("released", release(order))


async def test_an_event_comes_back_as_it_was_written(storage: LedgerStorage) -> None:
    organization = await funded(storage, 2_000)
    order = await held(storage, organization, 1_000)
    event = usage_event(
        order,
        1_000,
        outcome=Outcome.CLIENT_DISCONNECTED,
        status=499,
        waived_nanos=7,
        cost_nanos=11,
        loss_nanos=5,
        usage=Quantities(
            input_tokens=1,
            cached_input_tokens=2,
            cache_write_tokens=3,
            input_image_tokens=4,
            output_tokens=5,
            reasoning_tokens=6,
            output_image_tokens=7,
        ),
        usage_source=UsageSource.LOCAL,
        predicted_image_tokens=9,
        attempts=(
            Attempt(deployment="a/b", status=None, error="provider_timeout", started_at=1, duration_ms=2),
            Attempt(deployment="c/d", status=200, error=None, started_at=3, duration_ms=4),
        ),
        first_byte_ms=None,
    )
    await storage.settle(event)
    record = await storage.find_request(organization, Mode.LIVE, order.id)
    assert record is not None
    assert record.event == event
    assert record.hold == order
    moved = {(entry.account, entry.kind): entry.amount_nanos for entry in record.entries}
    assert moved == {
        ("available", "hold"): -1_000,
        ("held", "hold"): 1_000,
        ("held", "settle"): -1_000,
        ("revenue", "settle"): 1_000,
        ("provider_cost", "cost"): -11,
        ("provider_payable", "cost"): 11,
        ("operator_loss", "loss"): -5,
        ("provider_payable", "loss"): 5,
    }
    assert sum(entry.amount_nanos for entry in record.entries) == 0


async def test_the_rest_returns_to_the_lots_it_came_from(storage: LedgerStorage) -> None:
    organization = await funded(storage, 50)
    soon = await storage.add_credit(
        organization,
        Mode.LIVE,
        30,
        kind="promotion",
        note="",
        expires_at=hold_order("", 0).placed_at_us // 10**6 + 3600,
    )
    order = await held(storage, organization, 70)
    await storage.settle(usage_event(order, 10))
    lots = {lot.id: lot.remaining_nanos for lot in (await storage.balance(organization, Mode.LIVE)).lots}
    assert lots.pop(soon.id) == 20
    assert list(lots.values()) == [50]


async def test_a_settlement_survives_the_cancellation_of_its_caller(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    order = await held(storage, organization, 60)
    settling = asyncio.ensure_future(storage.settle(usage_event(order, 25)))
    await asyncio.sleep(0)
    settling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await settling

    async def settled() -> bool:
        return await figures(storage, organization) == (75, 0, 25)

    await eventually(settled)


async def test_a_settlement_that_breaks_a_constraint_is_kept_and_spoils_nothing_beside_it(
    storage: LedgerStorage,
) -> None:
    organization = await funded(storage, 100)
    orders = [await held(storage, organization, 10) for _ in range(3)]
    bad = usage_event(orders[1], 4, usage=Quantities(input_tokens=4, cached_input_tokens=-1))
    events = (usage_event(orders[0], 3), bad, usage_event(orders[2], 5))
    answers = await asyncio.gather(*(storage.settle(event) for event in events), return_exceptions=True)
    assert [isinstance(answer, TesseraError) for answer in answers] == [False, True, False]

    async def returned() -> bool:
        return await figures(storage, organization) == (92, 0, 8)

    await eventually(returned)
    (kept,) = (await storage.reconciliation()).refused_settlements
    assert (kept.request_id, kept.reason, kept.charge_nanos) == (orders[1].id, "it breaks a constraint", 4)
