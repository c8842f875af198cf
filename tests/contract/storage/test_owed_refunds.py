"""A refund made at Stripe while calls hold the money: it gets what they give back, once, and nobody else does."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.storage.conftest import Opener
from ledger_calls import faults, funded, hold_order, release, usage_event
from ledger_machine import undisturbed
from payment_events import bought, claimed, event
from tessera.adapters.storage.ledger.connected import Machine
from tessera.adapters.storage.ledger.people import customers_of, people_of
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.money.store import SqlMoney
from tessera.adapters.storage.postgres.machine import PostgresMachine
from tessera.adapters.storage.sqlite import SqliteMachine
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.orders import HoldOrder
from tessera.domain.money import NANOS_PER_USD, Mode
from tessera.domain.payments.news import Outcome
from tessera.domain.payments.records import ClaimKind
from tessera.domain.people.records import Act, Actor, ActorKind
from tessera.domain.people.roles import Role
from tessera.ports import Page

pytestmark = pytest.mark.anyio
USD = NANOS_PER_USD


def still(engine: str) -> Machine:
    """A machine that sweeps when a test says so, not when it took ten seconds."""
    return SqliteMachine(writer=undisturbed) if engine == "sqlite" else PostgresMachine(writer=undisturbed)


@pytest.fixture
async def storage(engine: str, opener: Opener, tmp_path: Path) -> AsyncIterator[LedgerStorage]:
    """An empty storage, and every audit right afterwards."""
    opened = await opener(tmp_path, machine=still(engine))
    yield opened
    wrong = faults(await opened.verify())
    await opened.close()
    assert wrong == {}


@pytest.fixture
def money(storage: LedgerStorage) -> SqlMoney:
    return SqlMoney(storage)


async def running(storage: LedgerStorage, organization_id: str, amount_nanos: int) -> HoldOrder:
    order = hold_order(organization_id, amount_nanos, mode=Mode.LIVE)
    await storage.hold(order)
    return order


async def refund(money: SqlMoney, cents: int, claim_id: str = "re_1", **changes: bool) -> Outcome:
    news = claimed(ClaimKind.REFUND, "pi_1", cents, claim_id=claim_id, **changes)
    return (await money.take_event(event(news))).outcome


async def accounts(storage: LedgerStorage, organization_id: str) -> dict[str, int]:
    """What stands on each account of the live wallet: sums of its entries, which the audit compares with balances."""
    assert faults(await storage.verify()) == {}
    sums: dict[str, int] = {}
    for entry in await storage.list_entries(organization_id, Mode.LIVE, Page(limit=1000)):
        sums[entry.account] = sums.get(entry.account, 0) + entry.amount_nanos
    assert sum(sums.values()) == 0
    return {account: nanos for account, nanos in sums.items() if nanos}


async def free(storage: LedgerStorage, organization_id: str) -> int:
    return (await storage.balance(organization_id, Mode.LIVE)).available_nanos


async def test_what_a_running_call_gives_back_goes_to_the_refund_and_not_to_the_next_call(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    organization = await funded(storage, 0)
    await bought(money, organization, 10 * USD, "pi_1")
    call = await running(storage, organization, 9 * USD)
    assert await refund(money, 1000) is Outcome.APPLIED
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos, balance.owed_nanos) == (-9 * USD, 9 * USD, 9 * USD)
    assert balance.disputed_nanos == 0
    customer = await customers_of(storage).find_customer(organization)
    assert customer is not None
    assert (customer.available_nanos, customer.disputed_nanos, customer.owed_nanos) == (-9 * USD, 0, 9 * USD)
    await storage.settle(release(call))
    with pytest.raises(TesseraError) as refused:
        await running(storage, organization, 1)
    assert refused.value.code is ErrorCode.INSUFFICIENT_BALANCE
    for _ in range(2):
        await storage.sweep()
        assert await refund(money, 1000) is Outcome.REPEATED
    assert await accounts(storage, organization) == {}
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.owed_nanos) == (0, 0)


async def test_what_a_running_call_spends_of_a_refunded_payment_is_the_operators_loss(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    organization = await funded(storage, 0)
    await bought(money, organization, 10 * USD, "pi_1")
    first, second = await running(storage, organization, 4 * USD), await running(storage, organization, 6 * USD)
    await refund(money, 1000)
    await storage.settle(usage_event(first, 3 * USD, cost_nanos=0))
    await storage.sweep()
    assert (await storage.balance(organization, Mode.LIVE)).owed_nanos == 6 * USD
    assert await accounts(storage, organization) == {
        "held": 6 * USD, "revenue": 3 * USD, "operator_loss": -3 * USD, "owed": -6 * USD,
    }  # fmt: skip
    await storage.settle(usage_event(second, 2 * USD, cost_nanos=0))
    await storage.sweep()
    assert await accounts(storage, organization) == {"revenue": 5 * USD, "operator_loss": -5 * USD}
    await bought(money, organization, USD)
    assert await free(storage, organization) == USD


async def test_what_was_spent_before_the_refund_waits_for_nothing(storage: LedgerStorage, money: SqlMoney) -> None:
    organization = await funded(storage, 0)
    await bought(money, organization, 10 * USD, "pi_1")
    await storage.settle(usage_event(await running(storage, organization, 7 * USD), 7 * USD, cost_nanos=0))
    call = await running(storage, organization, 2 * USD)
    await refund(money, 1000)
    assert (await storage.balance(organization, Mode.LIVE)).owed_nanos == 2 * USD
    assert (await accounts(storage, organization))["operator_loss"] == -7 * USD
    await storage.settle(release(call))
    await storage.sweep()
    assert await accounts(storage, organization) == {"revenue": 7 * USD, "operator_loss": -7 * USD}


async def test_gifts_that_running_calls_hold_are_not_the_refunds(storage: LedgerStorage, money: SqlMoney) -> None:
    organization = await funded(storage, 0)
    await storage.add_credit(organization, Mode.LIVE, 5 * USD, kind="promotion", note="a gift")
    await bought(money, organization, 10 * USD, "pi_1")
    call = await running(storage, organization, 15 * USD)
    await refund(money, 1000)
    assert (await storage.balance(organization, Mode.LIVE)).owed_nanos == 10 * USD
    await storage.settle(usage_event(call, 6 * USD, cost_nanos=0))
    await storage.sweep()
    assert await free(storage, organization) == 0
    assert await accounts(storage, organization) == {
        "promotions": -5 * USD, "revenue": 6 * USD, "operator_loss": -USD,
    }  # fmt: skip


async def test_money_that_came_back_and_is_held_again_before_the_sweep_is_made_good_by_what_else_is_free(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    """Without it a customer with a gift would spend the refunded credit, and keep the gift."""
    organization = await funded(storage, 0)
    await bought(money, organization, 10 * USD, "pi_1")
    call = await running(storage, organization, 10 * USD)
    await storage.add_credit(organization, Mode.LIVE, 25 * USD, kind="promotion", note="a gift")
    await refund(money, 1000)
    assert await free(storage, organization) == 15 * USD
    await storage.settle(release(call))
    again = await running(storage, organization, 10 * USD)
    lots = (await storage.balance(organization, Mode.LIVE)).lots
    assert [lot.remaining_nanos for lot in lots] == [0, 25 * USD], "it is the paid credit that is held again"
    await storage.sweep()
    assert await free(storage, organization) == 15 * USD
    await storage.settle(usage_event(again, 10 * USD, cost_nanos=0))
    await storage.sweep()
    assert await free(storage, organization) == 15 * USD
    assert "operator_loss" not in await accounts(storage, organization)


async def test_two_refunds_of_one_payment_never_wait_for_the_same_money(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    organization = await funded(storage, 0)
    await bought(money, organization, 10 * USD, "pi_1")
    await storage.settle(usage_event(await running(storage, organization, 2 * USD), 2 * USD, cost_nanos=0))
    call = await running(storage, organization, 8 * USD)
    await storage.add_credit(organization, Mode.LIVE, 5 * USD, kind="promotion", note="a gift")
    await refund(money, 600, "re_1")
    await refund(money, 400, "re_2")
    assert (await storage.balance(organization, Mode.LIVE)).owed_nanos == 8 * USD
    assert (await accounts(storage, organization))["operator_loss"] == -2 * USD
    await storage.settle(usage_event(call, USD, cost_nanos=0))
    await storage.sweep()
    assert await free(storage, organization) == 5 * USD
    assert await accounts(storage, organization) == {
        "available": 5 * USD, "promotions": -5 * USD, "revenue": 3 * USD, "operator_loss": -3 * USD,
    }  # fmt: skip


async def test_a_refund_takes_all_that_is_there_while_another_one_waits(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    """The other waits for what a call holds, and takes nothing from what came since."""
    organization = await funded(storage, 0)
    await bought(money, organization, 10 * USD, "pi_1")
    call = await running(storage, organization, 8 * USD)
    await refund(money, 1000)
    await bought(money, organization, 10 * USD, "pi_2")
    assert await free(storage, organization) == 2 * USD
    await money.take_event(event(claimed(ClaimKind.REFUND, "pi_2", 1000)))
    assert (await storage.balance(organization, Mode.LIVE)).owed_nanos == 8 * USD
    await storage.settle(usage_event(call, 8 * USD, cost_nanos=0))
    await storage.sweep()
    assert await accounts(storage, organization) == {"revenue": 8 * USD, "operator_loss": -8 * USD}


async def test_a_refund_is_owed_what_calls_hold_of_other_paid_credit_too(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    """As it takes what is free of it."""
    organization = await funded(storage, 0)
    await bought(money, organization, 10 * USD, "pi_1")
    await storage.settle(usage_event(await running(storage, organization, 10 * USD), 10 * USD, cost_nanos=0))
    await bought(money, organization, 10 * USD, "pi_2")
    call = await running(storage, organization, 10 * USD)
    await refund(money, 1000)
    await storage.settle(release(call))
    await storage.sweep()
    assert await accounts(storage, organization) == {"revenue": 10 * USD, "cash": -10 * USD}


async def test_a_refund_of_ours_never_takes_what_another_one_waits_for(storage: LedgerStorage, money: SqlMoney) -> None:
    """Not even between a call's end and the sweep, with a gift beside it that makes money free."""
    organization = await funded(storage, 0)
    topup = await bought(money, organization, 10 * USD, "pi_1")
    call = await running(storage, organization, 10 * USD)
    await refund(money, 600)
    await storage.add_credit(organization, Mode.LIVE, 25 * USD, kind="promotion", note="a gift")
    await storage.settle(release(call))
    with pytest.raises(TesseraError, match=r"\$4\.00 of this payment's credit was not spent"):
        await money.begin_refund(topup.id, 5 * USD, "too much")
    assert (await money.begin_refund(topup.id, None, "the rest")).amount_nanos == 4 * USD
    assert await accounts(storage, organization) == {"available": 25 * USD, "promotions": -25 * USD}


async def test_servers_that_sweep_and_hear_at_the_same_time_collect_once(
    storage: LedgerStorage, money: SqlMoney, opener: Opener, engine: str, tmp_path: Path
) -> None:
    organization = await funded(storage, 0)
    await bought(money, organization, 10 * USD, "pi_1")
    calls = [await running(storage, organization, 3 * USD) for _ in range(3)]
    await refund(money, 1000)
    other = await opener(tmp_path, machine=still(engine))
    try:
        for call in calls:
            await storage.settle(usage_event(call, USD, cost_nanos=0))
            heard = (refund(SqlMoney(one), 1000) for one in (storage, other))
            await asyncio.gather(storage.sweep(), other.sweep(), *heard)
        assert await accounts(storage, organization) == {"revenue": 3 * USD, "operator_loss": -3 * USD}
    finally:
        await other.close()


@pytest.mark.parametrize("ended", [False, True], ids=["running", "ended"])
async def test_a_refund_that_fails_gives_back_all_it_got_and_waits_no_more(
    storage: LedgerStorage, money: SqlMoney, ended: bool
) -> None:
    organization = await funded(storage, 0)
    await bought(money, organization, 10 * USD, "pi_1")
    first, second = await running(storage, organization, 4 * USD), await running(storage, organization, 5 * USD)
    await refund(money, 1000)
    await storage.settle(usage_event(first, USD, cost_nanos=0))
    if ended:
        await storage.settle(usage_event(second, 2 * USD, cost_nanos=0))
        await storage.sweep()
    for _ in range(2):
        await refund(money, 1000, reversed=True)
    held = 0 if ended else 5 * USD
    spent = 3 * USD if ended else USD
    assert await free(storage, organization) == 10 * USD - held - spent
    await storage.settle(release(second) if not ended else usage_event(second, 2 * USD, cost_nanos=0))
    await storage.sweep()
    assert await accounts(storage, organization) == {
        "available": 10 * USD - spent, "revenue": spent, "cash": -10 * USD,
    }  # fmt: skip


async def test_a_dispute_of_held_money_leaves_what_comes_back_to_the_debt(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    organization = await funded(storage, 0)
    await bought(money, organization, 10 * USD, "pi_1")
    call = await running(storage, organization, 10 * USD)
    dispute = claimed(ClaimKind.DISPUTE, "pi_1", 1000, claim_id="dp_1")
    await money.take_event(event(dispute))
    assert await free(storage, organization) == -10 * USD
    await storage.settle(usage_event(call, 4 * USD, cost_nanos=0))
    await storage.resume_organization(organization)
    await storage.sweep()
    assert await accounts(storage, organization) == {"available": -4 * USD, "revenue": 4 * USD}
    with pytest.raises(TesseraError) as refused:
        await running(storage, organization, 1)
    assert refused.value.code is ErrorCode.INSUFFICIENT_BALANCE


async def test_a_refund_and_a_dispute_of_the_same_held_payment_are_both_taken(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    """The refund gets what comes back, the dispute is owed as ever; won, it leaves the refund alone."""
    organization = await funded(storage, 0)
    await bought(money, organization, 10 * USD, "pi_1")
    call = await running(storage, organization, 10 * USD)
    await refund(money, 600)
    dispute = claimed(ClaimKind.DISPUTE, "pi_1", 400, claim_id="dp_1")
    await money.take_event(event(dispute))
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.disputed_nanos, balance.owed_nanos) == (-10 * USD, 4 * USD, 6 * USD)
    await storage.settle(release(call))
    await storage.sweep()
    assert await accounts(storage, organization) == {}
    await money.take_event(event(claimed(ClaimKind.DISPUTE, "pi_1", 400, claim_id="dp_1", reversed=True)))
    assert await accounts(storage, organization) == {"available": 4 * USD, "cash": -4 * USD}


async def test_what_a_refund_waits_for_suspends_nobody_beside_a_dispute(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    organization = await funded(storage, 0)
    await bought(money, organization, 10 * USD, "pi_1")
    await running(storage, organization, 10 * USD)
    await storage.add_credit(organization, Mode.LIVE, 5 * USD, kind="promotion", note="a gift")
    await refund(money, 1000)
    await money.take_event(event(claimed(ClaimKind.DISPUTE, "pi_1", 500, claim_id="dp_1")))
    assert await free(storage, organization) == -10 * USD
    assert not (await storage.find_organization(organization)).suspended
    await money.take_event(event(claimed(ClaimKind.DISPUTE, "pi_1", 1, claim_id="dp_2")))
    assert (await storage.find_organization(organization)).suspended


async def test_a_call_meanwhile_is_told_that_running_calls_hold_the_money(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    organization = await funded(storage, 0)
    await storage.add_credit(organization, Mode.LIVE, 3 * USD, kind="promotion", note="a gift")
    await bought(money, organization, 10 * USD, "pi_1")
    call = await running(storage, organization, 13 * USD)
    await refund(money, 1000)
    with pytest.raises(TesseraError) as refused:
        await running(storage, organization, 2 * USD)
    assert refused.value.code is ErrorCode.BALANCE_RESERVED
    await storage.settle(release(call))
    await running(storage, organization, 3 * USD)


async def test_statements_show_what_a_refund_collected(storage: LedgerStorage, money: SqlMoney) -> None:
    organization = await funded(storage, 0)
    topup = await bought(money, organization, 10 * USD, "pi_1")
    call = await running(storage, organization, 8 * USD)
    await refund(money, 1000)
    await storage.settle(usage_event(call, 3 * USD, cost_nanos=0))
    await storage.sweep()
    assert topup.paid_at is not None
    month = f"{datetime.fromtimestamp(topup.paid_at, UTC):%Y-%m}"
    statement = await money.read_statement(organization, Mode.LIVE, month)
    assert (statement.adds_up, statement.closing_nanos) == (True, 0)
    assert [(line.kind, line.amount_nanos) for line in statement.lines if line.amount_nanos < 0] == [
        ("payment_refund", -2 * USD),
        ("refund_collected", -5 * USD),
    ]


async def test_an_organization_is_not_deleted_while_a_refund_waits(storage: LedgerStorage, money: SqlMoney) -> None:
    organization = await funded(storage, 0)
    await bought(money, organization, 10 * USD, "pi_1")
    call = await running(storage, organization, 10 * USD)
    await refund(money, 1000)
    actor = Actor(kind=ActorKind.OPERATOR, id="operator").within(organization, Role.OWNER)
    delete = Act(actor=actor, action="", object_id=organization)
    await storage.settle(usage_event(call, 10 * USD, cost_nanos=0))
    with pytest.raises(TesseraError, match="A refund waits"):
        await people_of(storage).erase_organization(delete)
    await storage.sweep()
    await people_of(storage).erase_organization(delete)


async def test_money_of_the_other_mode_is_not_touched(storage: LedgerStorage, money: SqlMoney) -> None:
    organization = await funded(storage, 0)
    before = await storage.balance(organization, Mode.TEST)
    await storage.hold(hold_order(organization, USD))
    await bought(money, organization, 10 * USD, "pi_1")
    call = await running(storage, organization, 10 * USD)
    await refund(money, 1000)
    await storage.settle(release(call))
    await storage.sweep()
    after = await storage.balance(organization, Mode.TEST)
    assert (after.available_nanos, after.owed_nanos) == (before.available_nanos - USD, 0)
