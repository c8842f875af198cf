"""Top-ups, payments, refunds and disputes on every database: money moves once, or not at all."""

import asyncio
from datetime import UTC, datetime

import pytest

from ledger_calls import funded, hold_order, new_id, usage_event
from payment_events import automatic_topup, bought, claimed, event, paid, topup_order
from tessera.adapters.storage.ledger.people import people_of
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.money.store import SqlMoney
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import NANOS_PER_USD, Mode
from tessera.domain.payments.news import Nothing, Outcome, Unpaid
from tessera.domain.payments.records import ClaimKind, Service, TopUpState
from tessera.domain.people.records import Act, Actor, ActorKind
from tessera.domain.people.roles import Role
from tessera.ports import Page

pytestmark = pytest.mark.anyio
USD = NANOS_PER_USD


@pytest.fixture
def money(storage: LedgerStorage) -> SqlMoney:
    return SqlMoney(storage)


async def available(storage: LedgerStorage, organization_id: str, mode: Mode = Mode.LIVE) -> int:
    return (await storage.balance(organization_id, mode)).available_nanos


async def spend(storage: LedgerStorage, organization_id: str, amount_nanos: int) -> str:
    """A call that is charged this; its request id."""
    order = hold_order(organization_id, amount_nanos, mode=Mode.LIVE)
    await storage.hold(order)
    await storage.settle(usage_event(order, amount_nanos))
    return order.id


# ---- top-ups -----------------------------------------------------------------------------------------------------


async def test_a_top_up_is_found_again_by_its_idempotency_key(storage: LedgerStorage, money: SqlMoney) -> None:
    organization = await funded(storage, 0)
    order = topup_order(organization, 25 * USD, idempotency_key="one")
    first, repeated = await money.create_topup(order)
    again, was_repeated = await money.create_topup(topup_order(organization, 25 * USD, idempotency_key="one"))
    assert (repeated, was_repeated, again) == (False, True, first)
    with pytest.raises(TesseraError) as refused:
        await money.create_topup(topup_order(organization, USD, idempotency_key="one", fingerprint="other"))
    assert refused.value.code is ErrorCode.IDEMPOTENCY_MISMATCH
    other = await funded(storage, 0)
    assert not (await money.create_topup(topup_order(other, USD, idempotency_key="one")))[1]


async def test_a_payment_tops_up_at_most_once_whoever_tells_of_it_and_how_often(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    organization = await funded(storage, 0)
    order = topup_order(organization, 25 * USD)
    await money.create_topup(order)
    first = event(paid(order, "pi_1"))
    told = [first, first, event(paid(order, "pi_1")), first]
    verdicts = await asyncio.gather(*(money.take_event(one) for one in told))
    assert sorted(verdict.outcome for verdict in verdicts) == ["applied", "repeated", "repeated", "repeated"]
    assert (await money.take_news(first)).outcome is Outcome.REPEATED
    assert await available(storage, organization) == 25 * USD
    found = await money.find_topup(organization, Mode.LIVE, order.id)
    assert found is not None
    assert (found.state, found.payment_id) == (TopUpState.PAID, "pi_1")


@pytest.mark.parametrize(
    "wrong",
    [
        *({"currency": currency} for currency in ("eur", "jpy", "")),
        *({"amount_cents": cents} for cents in (2499, 250_000, 0, -2500)),
        {"topup_id": "topup_unknown"},
    ],
)
async def test_a_payment_that_was_not_ordered_is_refused(
    storage: LedgerStorage, money: SqlMoney, wrong: dict[str, object]
) -> None:
    organization = await funded(storage, 0)
    order = topup_order(organization, 25 * USD)
    await money.create_topup(order)
    refused = event(paid(order, "pi_1", **wrong))
    for _ in range(2):
        assert (await money.take_event(refused)).outcome is Outcome.REFUSED
    assert await available(storage, organization) == 0
    assert (await money.take_event(event(paid(order, "pi_1")))).outcome is Outcome.APPLIED


async def test_a_payment_of_another_mode_or_service_is_refused(storage: LedgerStorage, money: SqlMoney) -> None:
    organization = await funded(storage, 0)
    live = topup_order(organization, 25 * USD)
    test = topup_order(organization, 25 * USD, mode=Mode.TEST)
    for order in (live, test):
        await money.create_topup(order)
    assert (await money.take_event(event(paid(live, "pi_1"), mode=Mode.TEST))).outcome is Outcome.REFUSED
    assert (await money.take_event(event(paid(test, "pi_2")))).outcome is Outcome.REFUSED
    assert (await money.take_event(event(paid(live, "pi_3"), service=Service.SANDBOX))).outcome is Outcome.REFUSED
    assert await available(storage, organization) == 0


async def test_one_payment_never_pays_two_top_ups_and_one_top_up_never_takes_two(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    organization = await funded(storage, 0)
    first, second = topup_order(organization, 25 * USD), topup_order(organization, 25 * USD)
    for order in (first, second):
        await money.create_topup(order)
    assert (await money.take_event(event(paid(first, "pi_1")))).outcome is Outcome.APPLIED
    assert (await money.take_event(event(paid(second, "pi_1")))).outcome is Outcome.REFUSED
    assert (await money.take_event(event(paid(first, "pi_2")))).outcome is Outcome.REFUSED
    assert await available(storage, organization) == 25 * USD


async def test_money_that_comes_after_all_is_credited(storage: LedgerStorage, money: SqlMoney) -> None:
    organization = await funded(storage, 0)
    order = topup_order(organization, 25 * USD)
    await money.create_topup(order)
    ended = Unpaid(topup_id=order.id, expired=True, reason="its page expired")
    assert (await money.take_event(event(ended))).outcome is Outcome.APPLIED
    assert (await money.take_event(event(paid(order, "pi_1")))).outcome is Outcome.APPLIED
    assert (await money.take_event(event(ended))).outcome is Outcome.REPEATED
    assert await available(storage, organization) == 25 * USD


# ---- what comes back to a payment -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(ClaimKind))
async def test_what_comes_back_before_its_payment_waits_for_it(
    storage: LedgerStorage, money: SqlMoney, kind: ClaimKind
) -> None:
    organization = await funded(storage, 0)
    order = topup_order(organization, 25 * USD)
    await money.create_topup(order)
    early = event(claimed(kind, "pi_1", 1000))
    assert (await money.take_event(early)).outcome is Outcome.WAITING
    assert (await money.take_event(early)).outcome is Outcome.REPEATED
    assert await available(storage, organization) == 0
    await money.take_event(event(paid(order, "pi_1")))
    assert await available(storage, organization) == 15 * USD


@pytest.mark.parametrize("kind", list(ClaimKind))
async def test_what_was_reversed_before_it_was_heard_of_moves_nothing(
    storage: LedgerStorage, money: SqlMoney, kind: ClaimKind
) -> None:
    organization = await funded(storage, 0)
    topup = await bought(money, organization, 25 * USD, "pi_1")
    over = claimed(kind, "pi_1", 1000, claim_id="claim_1", reversed=True)
    begun = claimed(kind, "pi_1", 1000, claim_id="claim_1")
    assert (await money.take_event(event(over))).outcome is Outcome.APPLIED
    assert (await money.take_event(event(begun))).outcome is Outcome.REPEATED
    assert await available(storage, organization) == topup.amount_nanos


async def test_a_dispute_alone_takes_available_below_zero_and_suspends(storage: LedgerStorage, money: SqlMoney) -> None:
    organization = await funded(storage, 3 * USD)
    await bought(money, organization, 10 * USD, "pi_1")
    await spend(storage, organization, 8 * USD)
    running = hold_order(organization, 2 * USD, mode=Mode.LIVE)
    await storage.hold(running)
    dispute = claimed(ClaimKind.DISPUTE, "pi_1", 1000, claim_id="dp_1")
    for _ in range(3):
        await money.take_event(event(dispute))
    assert await available(storage, organization) == -7 * USD
    found = await storage.find_organization(organization)
    assert (found.suspended, found.suspended_for) == (True, "dispute")
    with pytest.raises(TesseraError) as refused:
        await storage.hold(hold_order(organization, 0, mode=Mode.LIVE))
    assert refused.value.code is ErrorCode.ORGANIZATION_SUSPENDED
    await storage.settle(usage_event(running, USD))
    assert await available(storage, organization) == -6 * USD
    await storage.resume_organization(organization)
    with pytest.raises(TesseraError) as poor:
        await storage.hold(hold_order(organization, 1, mode=Mode.LIVE))
    assert poor.value.code is ErrorCode.INSUFFICIENT_BALANCE
    await bought(money, organization, 10 * USD)
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.disputed_nanos) == (4 * USD, 10 * USD)
    with pytest.raises(TesseraError):
        await storage.hold(hold_order(organization, 4 * USD + 1, mode=Mode.LIVE))
    assert (await storage.hold(hold_order(organization, 4 * USD, mode=Mode.LIVE))).granted_nanos == 4 * USD


async def test_a_chain_that_ends_in_an_adjustment_is_witnessed(storage: LedgerStorage, money: SqlMoney) -> None:
    organization = await funded(storage, 0)
    await bought(money, organization, 10 * USD, "pi_1")
    await money.take_event(event(claimed(ClaimKind.DISPUTE, "pi_1", 1000)))
    await storage.sweep()
    assert [check.name for check in await storage.verify() if not check.ok] == []


async def test_a_dispute_that_is_won_gives_everything_back(storage: LedgerStorage, money: SqlMoney) -> None:
    organization = await funded(storage, 0)
    await bought(money, organization, 10 * USD, "pi_1")
    await spend(storage, organization, 8 * USD)
    await money.take_event(event(claimed(ClaimKind.DISPUTE, "pi_1", 1000, claim_id="dp_1")))
    for _ in range(2):
        await money.take_event(event(claimed(ClaimKind.DISPUTE, "pi_1", 1000, claim_id="dp_1", reversed=True)))
    assert await available(storage, organization) == 2 * USD
    assert not (await storage.find_organization(organization)).suspended


async def test_a_refund_sent_elsewhere_never_goes_below_zero(storage: LedgerStorage, money: SqlMoney) -> None:
    organization = await funded(storage, 0)
    await bought(money, organization, 10 * USD, "pi_1")
    await spend(storage, organization, 8 * USD)
    refund = claimed(ClaimKind.REFUND, "pi_1", 1000, claim_id="re_1")
    assert (await money.take_event(event(refund))).outcome is Outcome.APPLIED
    assert await available(storage, organization) == 0
    failed = claimed(ClaimKind.REFUND, "pi_1", 1000, claim_id="re_1", reversed=True)
    assert (await money.take_event(event(failed))).outcome is Outcome.APPLIED
    assert await available(storage, organization) == 2 * USD


async def test_a_refund_of_ours_takes_what_was_not_spent_and_comes_back_if_it_is_not_sent(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    organization = await funded(storage, 5 * USD)
    topup = await bought(money, organization, 10 * USD)
    await spend(storage, organization, 11 * USD + 5)
    with pytest.raises(TesseraError) as refused:
        await money.begin_refund(topup.id, 4 * USD, "too much")
    assert refused.value.code is ErrorCode.INVALID_REQUEST
    refund = await money.begin_refund(topup.id, None, "all of it")
    assert refund.amount_nanos == 399 * USD // 100
    assert refund.topup.refunded_nanos == refund.amount_nanos
    assert await available(storage, organization) == USD // 100 - 5
    for _ in range(2):
        await money.fail_refund(refund, "not sent")
    assert await available(storage, organization) == 4 * USD - 5


async def test_a_calls_charge_is_refunded_once_to_the_lots_that_paid_it(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    organization = await funded(storage, 2 * USD)
    await bought(money, organization, 3 * USD)
    request = await spend(storage, organization, 4 * USD)
    before = await storage.balance(organization, Mode.LIVE)
    results = await asyncio.gather(
        *(money.refund_call(request, 3 * USD, "sorry") for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(result, TesseraError) for result in results) == 4
    after = await storage.balance(organization, Mode.LIVE)
    assert after.available_nanos - before.available_nanos == 3 * USD
    assert before.spent_nanos - after.spent_nanos == 3 * USD
    assert [lot.remaining_nanos for lot in after.lots] == [USD, 3 * USD]
    entries = await storage.list_entries(organization, Mode.LIVE, Page(limit=100))
    assert {entry.request_id for entry in entries if entry.kind == "charge_refund"} == {request}
    days = await storage.sum_settled(Mode.LIVE, 0, 2**32)
    assert sum(row.sums.charge_nanos for row in days) == 4 * USD
    assert [(row.organization_id, row.sums.requests) for row in days if row.sums.refund_nanos] == [(organization, 0)]
    assert sum(row.sums.margin_nanos for row in days) == USD - sum(row.sums.cost_nanos for row in days)
    for wrong in (0, -1, 4 * USD + 1):
        with pytest.raises(TesseraError):
            await money.refund_call(await spend(storage, organization, USD // 100), wrong, "")
    with pytest.raises(TesseraError) as unknown:
        await money.refund_call("req_unknown", None, "")
    assert unknown.value.code is ErrorCode.NOT_FOUND


# ---- statements ----------------------------------------------------------------------------------------------------


async def test_a_statement_adds_up_to_the_nano(storage: LedgerStorage, money: SqlMoney) -> None:
    organization = await funded(storage, 5 * USD)
    await bought(money, organization, 10 * USD, "pi_1")
    request = await spend(storage, organization, 3 * USD + 7)
    await money.refund_call(request, 3, "sorry")
    await money.take_event(event(claimed(ClaimKind.DISPUTE, "pi_1", 100)))
    await money.take_event(event(claimed(ClaimKind.REFUND, "pi_1", 200)))
    held = hold_order(organization, USD, mode=Mode.LIVE)
    await storage.hold(held)
    month = f"{datetime.now(UTC):%Y-%m}"
    statement = await money.read_statement(organization, Mode.LIVE, month)
    balance = await storage.balance(organization, Mode.LIVE)
    assert statement.adds_up
    assert (statement.opening_nanos, statement.charged_nanos) == (0, 3 * USD + 7)
    assert statement.closing_nanos == balance.available_nanos + balance.held_nanos
    assert {line.kind for line in statement.lines} == {
        "manual",
        "purchase",
        "charge_refund",
        "dispute",
        "payment_refund",
    }
    before = await money.read_statement(organization, Mode.LIVE, "2020-01")
    assert (before.lines, before.usage, before.closing_nanos) == ((), (), 0)
    with pytest.raises(TesseraError):
        await money.read_statement(organization, Mode.LIVE, "2026-13")


async def test_what_a_service_told_of_who_paid_goes_with_the_organization(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    organization = await funded(storage, 0)
    order = topup_order(organization, 5 * USD)
    await money.create_topup(order)
    told = b'{"email": "ada@example.com"}'
    await money.take_event(event(paid(order, "pi_1"), body=told))
    await money.take_event(event(claimed(ClaimKind.REFUND, "pi_1", 500), body=told))
    await money.take_event(event(Unpaid(topup_id=order.id, expired=True, reason=""), body=told))
    await money.take_event(event(Nothing(reason="none of ours"), body=b"bob@example.com"))
    other = await bought(money, await funded(storage, 0), USD)

    async def bodies() -> list[bytes]:
        rows = await storage._read(lambda connection: connection.execute("SELECT body FROM payment_event").fetchall())
        return sorted(bytes(row[0]) for row in rows)

    assert await bodies() == [b"", told, told, told, b"{}"]
    actor = Actor(kind=ActorKind.OPERATOR, id="operator").within(organization, Role.OWNER)
    await people_of(storage).erase_organization(Act(actor=actor, action="", object_id=organization))
    assert await bodies() == [b"", b"", b"", b"", b"{}"]
    assert other.state is TopUpState.PAID


async def test_the_card_of_a_top_up_is_kept_and_the_next_one_takes_its_place(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    organization = await funded(storage, 0)
    for customer in ("cus_1", "cus_2"):
        order = topup_order(organization, 5 * USD, save_card=True)
        topup, _ = await money.create_topup(order)
        told = await money.take_event(event(paid(topup, new_id("pi"), customer_id=customer)))
        assert told.outcome is Outcome.APPLIED
        kept = await money.find_automatic(organization, Mode.LIVE)
        assert kept is not None
        assert kept.customer_id == customer


async def test_only_who_can_be_topped_up_is_due_so_that_nobody_at_a_ceiling_keeps_others_waiting(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    organization = await funded(storage, 0)
    order = topup_order(organization, 5 * USD, save_card=True)
    topup, _ = await money.create_topup(order)
    await money.take_event(event(paid(topup, new_id("pi"), customer_id="cus_1")))
    await money.set_automatic(
        automatic_topup(organization, threshold_nanos=1_000 * USD, amount_nanos=20 * USD, month_max_nanos=59 * USD)
    )
    for _ in range(2):
        assert (organization, Mode.LIVE) in await money.list_due()
        started = await money.start_automatic(organization, Mode.LIVE, taxed=False)
        assert started is not None
        assert (organization, Mode.LIVE) not in await money.list_due(), "one is under way"
        assert await money.start_automatic(organization, Mode.LIVE, taxed=False) is None
        await money.take_event(event(paid(started[0], new_id("pi"))))
    assert (organization, Mode.LIVE) not in await money.list_due(), "a third would pass the month's ceiling"
    assert await money.start_automatic(organization, Mode.LIVE, taxed=False) is None
