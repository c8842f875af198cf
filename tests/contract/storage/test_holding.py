"""Placing holds: durable, exact, refused by name, and never twice."""

import asyncio

import pytest

from ledger_calls import eventually, funded, hold_order, new_id, release, usage_event
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.orders import HoldGrant
from tessera.domain.money import Mode
from tessera.ports import Page

pytestmark = pytest.mark.anyio


async def refused(storage: LedgerStorage, **order: object) -> TesseraError:
    with pytest.raises(TesseraError) as caught:
        await storage.hold(hold_order(**order))  # type: ignore[arg-type]
    return caught.value


async def test_an_unknown_organization_is_not_found(storage: LedgerStorage) -> None:
    error = await refused(storage, organization_id="org_nobody", amount_nanos=1)
    assert error.code is ErrorCode.NOT_FOUND


async def test_money_that_is_not_there_is_refused_and_nothing_is_held(storage: LedgerStorage) -> None:
    organization = await funded(storage, 99)
    error = await refused(storage, organization_id=organization, amount_nanos=100, mode=Mode.LIVE)
    assert error.code is ErrorCode.INSUFFICIENT_BALANCE
    assert (error.details["required_nanos"], error.details["available_nanos"], error.details["held_nanos"]) == (
        100,
        99,
        0,
    )
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos) == (99, 0)


async def test_live_calls_cannot_use_test_money(storage: LedgerStorage) -> None:
    organization = await funded(storage, 0)
    error = await refused(storage, organization_id=organization, amount_nanos=1, mode=Mode.LIVE)
    assert error.code is ErrorCode.INSUFFICIENT_BALANCE


async def test_money_held_by_a_running_call_is_reserved_until_it_ends(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    first = hold_order(organization, 80, mode=Mode.LIVE)
    await storage.hold(first)
    error = await refused(storage, organization_id=organization, amount_nanos=21, mode=Mode.LIVE)
    assert error.code is ErrorCode.BALANCE_RESERVED
    assert error.retry_after_s is not None
    await storage.settle(release(first))
    assert await storage.hold(hold_order(organization, 100, mode=Mode.LIVE)) == HoldGrant(granted_nanos=100)


async def test_a_hold_moves_money_from_available_to_held(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    assert await storage.hold(hold_order(organization, 30, mode=Mode.LIVE)) == HoldGrant(granted_nanos=30)
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos, balance.spent_nanos) == (70, 30, 0)
    assert balance.lots[0].remaining_nanos == 70


async def test_fit_is_granted_what_the_balance_has(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    order = hold_order(organization, 150, amount_min_nanos=50, mode=Mode.LIVE)
    assert await storage.hold(order) == HoldGrant(granted_nanos=100)
    record = await storage.find_request(organization, Mode.LIVE, order.id)
    assert record is not None
    assert record.held_nanos == 100
    assert record.hold == order


async def test_the_same_order_again_changes_nothing(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    order = hold_order(organization, 60, mode=Mode.LIVE)
    assert await storage.hold(order) == await storage.hold(order) == HoldGrant(granted_nanos=60)
    assert (await storage.balance(organization, Mode.LIVE)).held_nanos == 60


async def test_a_request_id_is_not_used_twice(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    order = hold_order(organization, 10, mode=Mode.LIVE)
    await storage.hold(order)
    error = await refused(storage, organization_id=organization, amount_nanos=20, mode=Mode.LIVE, id=order.id)
    assert error.code is ErrorCode.INVALID_REQUEST
    await storage.settle(usage_event(order, 1))
    for amount in (10, 10_000):
        error = await refused(storage, organization_id=organization, amount_nanos=amount, mode=Mode.LIVE, id=order.id)
        assert error.code is ErrorCode.INVALID_REQUEST, "whether or not there is money for it"


async def test_one_bad_order_does_not_spoil_its_group(storage: LedgerStorage) -> None:
    """The broken order breaks a constraint of the database; those beside it in the same commit are decided alone."""
    organization = await funded(storage, 100)
    good = [hold_order(organization, 10, mode=Mode.LIVE) for _ in range(5)]
    bad = hold_order(organization, 10, mode=Mode.LIVE, endpoint=None)
    answers = await asyncio.gather(
        *(storage.hold(order) for order in (*good[:2], bad, *good[2:])), return_exceptions=True
    )
    assert [answer for answer in answers if isinstance(answer, HoldGrant)] == [HoldGrant(granted_nanos=10)] * 5
    assert isinstance(answers[2], TesseraError)
    assert answers[2].code is ErrorCode.INTERNAL_ERROR
    assert (await storage.balance(organization, Mode.LIVE)).held_nanos == 50


async def test_a_caller_that_left_before_the_answer_leaves_nothing_held(storage: LedgerStorage) -> None:
    organization = await funded(storage, 1000)
    for _ in range(20):
        order = hold_order(organization, 1000, mode=Mode.LIVE, quote=b'{"input_predicted_nanos": 70}')
        waiting = asyncio.ensure_future(storage.hold(order))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

        async def returned() -> bool:
            return (await storage.balance(organization, Mode.LIVE)).available_nanos == 1000

        await eventually(returned)
    assert await storage.list_losses(organization, Mode.LIVE, Page()) == (), "nothing was ever sent for it"


@pytest.mark.parametrize("affordable", [0, 1, 7, 500, 999, 1000])
async def test_t9_of_a_thousand_concurrent_holds_exactly_the_affordable_pass(
    storage: LedgerStorage, affordable: int
) -> None:
    organization = await funded(storage, affordable * 1_000 + 999)
    orders = [hold_order(organization, 1_000, mode=Mode.LIVE) for _ in range(1000)]
    answers = await asyncio.gather(*(storage.hold(order) for order in orders), return_exceptions=True)
    granted = [answer for answer in answers if isinstance(answer, HoldGrant)]
    refusals = [answer.code for answer in answers if isinstance(answer, TesseraError)]
    assert len(granted) == affordable
    assert len(refusals) == 1000 - affordable
    expected = ErrorCode.BALANCE_RESERVED if affordable else ErrorCode.INSUFFICIENT_BALANCE
    assert set(refusals) <= {expected}
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos) == (999, affordable * 1_000)


@pytest.mark.parametrize("concurrency", [3, 32, 128])
async def test_t9_a_balance_for_k_calls_pays_k_calls_at_any_concurrency(
    storage: LedgerStorage, concurrency: int
) -> None:
    """Callers go on until the money is gone; every call costs its whole hold."""
    organization = await funded(storage, 300 * 500)
    paid = 0
    refusals: set[ErrorCode] = set()

    async def caller() -> None:
        nonlocal paid
        while True:
            order = hold_order(organization, 500, mode=Mode.LIVE)
            try:
                await storage.hold(order)
            except TesseraError as error:
                if error.code is ErrorCode.BALANCE_RESERVED:
                    await asyncio.sleep(0)
                    continue
                refusals.add(error.code)
                return
            await storage.settle(usage_event(order, 500))
            paid += 1

    await asyncio.gather(*(caller() for _ in range(concurrency)))
    assert paid == 300
    assert refusals == {ErrorCode.INSUFFICIENT_BALANCE}
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos, balance.spent_nanos) == (0, 0, 150_000)


async def test_organizations_do_not_share_money(storage: LedgerStorage) -> None:
    rich, poor = await funded(storage, 1000), await funded(storage, 10)
    answers = await asyncio.gather(
        *(storage.hold(hold_order(owner, 100, mode=Mode.LIVE)) for owner in (rich, poor) * 10), return_exceptions=True
    )
    assert [isinstance(answer, HoldGrant) for answer in answers[::2]] == [True] * 10
    assert [isinstance(answer, HoldGrant) for answer in answers[1::2]] == [False] * 10


@pytest.mark.parametrize("text", ["'; DROP TABLE hold; --", "\x00", "ключ\u202e", "a" * 255, '"', "%_"])
async def test_t16_text_from_callers_stays_data(storage: LedgerStorage, text: str) -> None:
    organization = await funded(storage, 100)
    order = hold_order(organization, 10, mode=Mode.LIVE, idempotency_key=text, model=text, endpoint=text)
    await storage.hold(order)
    record = await storage.find_request(organization, Mode.LIVE, order.id)
    assert record is not None
    assert (record.hold.model, record.hold.idempotency_key) == (text, text)
    assert await storage.find_request(organization, Mode.LIVE, text) is None
    assert await storage.find_request(text, Mode.LIVE, order.id) is None
    assert await storage.find_quote(organization, Mode.LIVE, text) is None
    assert await storage.find_request(organization, Mode.TEST, order.id) is None
    assert await storage.find_caller(text.encode()) is None
    assert await storage.find_request(organization, Mode.LIVE, new_id()) is None
