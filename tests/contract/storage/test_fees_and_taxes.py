"""What payment services keep, and tax beside credit, on every database: booked once in any order, returned in part."""

import asyncio
from datetime import UTC, datetime
from itertools import permutations

import pytest

from ledger_calls import funded
from payment_events import claimed, event, paid, topup_order
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.money.store import SqlMoney
from tessera.domain.money import NANOS_PER_USD, Mode
from tessera.domain.payments.news import Charged, Fee, FeeTaken, Outcome
from tessera.domain.payments.records import ClaimKind, TopUp, TopUpOrder
from tessera.ports import Page

pytestmark = pytest.mark.anyio
USD = NANOS_PER_USD
CENT = USD // 100
FEE = Fee(id="txn_1", amount_cents=103, currency="usd", at=1_795_305_600)
TAXED = {"amount_cents": 2975, "tax_cents": 475}


@pytest.fixture
def money(storage: LedgerStorage) -> SqlMoney:
    return SqlMoney(storage)


async def ordered(storage: LedgerStorage, money: SqlMoney, *, taxed: bool = True) -> TopUpOrder:
    order = topup_order(await funded(storage, 0), 25 * USD, taxed=taxed)
    await money.create_topup(order)
    return order


async def balances(storage: LedgerStorage, organization: str) -> dict[str, int]:
    """The accounts of an organization's live wallet, those at zero left out, as its entries add up."""
    sums: dict[str, int] = {}
    for entry in await storage.list_entries(organization, Mode.LIVE, Page(limit=100)):
        sums[entry.account] = sums.get(entry.account, 0) + entry.amount_nanos
    return {account: nanos for account, nanos in sums.items() if nanos}


async def found(money: SqlMoney, order: TopUpOrder) -> TopUp:
    topup = await money.find_topup(order.organization_id, Mode.LIVE, order.id)
    assert topup is not None
    return topup


async def test_tax_is_owed_and_only_the_net_amount_is_credit(storage: LedgerStorage, money: SqlMoney) -> None:
    order = await ordered(storage, money)
    verdicts = [(await money.take_event(event(paid(order, "pi_1", **TAXED)))).outcome for _ in range(3)]
    assert verdicts == ["applied", "repeated", "repeated"]
    assert await balances(storage, order.organization_id) == {
        "available": 25 * USD,
        "tax": 475 * CENT,
        "cash": -2975 * CENT,
    }
    topup = await found(money, order)
    assert (topup.amount_nanos, topup.tax_nanos, topup.total_nanos) == (25 * USD, 475 * CENT, 2975 * CENT)


@pytest.mark.parametrize(
    ("taxed", "wrong"),
    [
        (False, TAXED),
        (False, {"amount_cents": 2500, "tax_cents": 400}),
        (True, {"amount_cents": 2500, "tax_cents": 400}),
        (True, {"amount_cents": 2975, "tax_cents": 0}),
        (True, {"amount_cents": 2975, "tax_cents": 474}),
    ],
)
async def test_t3_a_payment_whose_tax_does_not_fit_its_order_is_refused(
    storage: LedgerStorage, money: SqlMoney, taxed: bool, wrong: dict[str, int]
) -> None:
    order = await ordered(storage, money, taxed=taxed)
    assert (await money.take_event(event(paid(order, "pi_1", **wrong)))).outcome is Outcome.REFUSED
    assert await balances(storage, order.organization_id) == {}


async def test_news_of_another_tax_of_a_credited_payment_is_a_difference(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    order = await ordered(storage, money)
    await money.take_event(event(paid(order, "pi_1", **TAXED)))
    other = await money.take_news(event(paid(order, "pi_1", amount_cents=2980, tax_cents=480)))
    assert (other.outcome, "tax" in other.reason) == (Outcome.REFUSED, True)
    assert (await found(money, order)).tax_nanos == 475 * CENT


async def test_payment_fee_refund_and_dispute_end_alike_in_whatever_order_they_are_told(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    ends, ids = [], set()
    for number, places in enumerate(permutations(range(4))):
        order = await ordered(storage, money)
        payment = f"pi_{number}"
        fee = Fee(id=f"txn_{number}", amount_cents=103, currency="usd", at=FEE.at)
        lost = Fee(id=f"txn_d{number}", amount_cents=1500, currency="usd", at=FEE.at)
        told = [
            event(paid(order, payment, **TAXED)),
            event(FeeTaken(payment_id=payment, fee=fee)),
            event(claimed(ClaimKind.REFUND, payment, 1000)),
            event(claimed(ClaimKind.DISPUTE, payment, 1975, fees=(lost,))),
        ]
        for place in (*places, *places):
            await money.take_event(told[place])
            await money.take_news(told[place])
        ends.append(await balances(storage, order.organization_id))
        entries = await storage.list_entries(order.organization_id, Mode.LIVE, Page(limit=100))
        ids |= {entry.id for entry in entries if entry.kind == "fee"}
    assert len(ids) == 24 * 4, "each fee is one transfer of two entries"
    assert all(end == {"fees": -1603 * CENT, "cash": 1603 * CENT} for end in ends), ends


async def test_a_fee_is_one_movement_whose_id_follows_from_it_and_replicas_agree(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    ids = []
    for payment in ("pi_1", "pi_2"):
        order = await ordered(storage, money, taxed=False)
        await money.take_event(event(paid(order, payment)))
        fee = Fee(id="txn_1" if payment == "pi_1" else "txn_2", amount_cents=103, currency="usd", at=FEE.at)
        news = event(FeeTaken(payment_id=payment, fee=fee))
        verdicts = await asyncio.gather(*(money.take_news(news) for _ in range(5)))
        assert sorted(verdict.outcome for verdict in verdicts) == ["applied", *["repeated"] * 4]
        entries = await storage.list_entries(order.organization_id, Mode.LIVE, Page(limit=100))
        ids += [entry.id for entry in entries if entry.kind == "fee" and entry.account == "fees"]
        assert (await found(money, order)).fee_nanos == 103 * CENT
    assert len(set(ids)) == 2
    assert all(id_.startswith(f"crd_{FEE.at * 1000:012x}") for id_ in ids)


@pytest.mark.parametrize("wrong", [{"amount_cents": 104}, {"currency": "eur"}])
async def test_a_fee_that_differs_or_is_in_another_currency_is_refused(
    storage: LedgerStorage, money: SqlMoney, wrong: dict[str, object]
) -> None:
    order = await ordered(storage, money, taxed=False)
    await money.take_event(event(paid(order, "pi_1")))
    await money.take_news(event(FeeTaken(payment_id="pi_1", fee=FEE)))
    fields = {"id": "txn_1", "amount_cents": 103, "currency": "usd", "at": FEE.at} | wrong
    other = Fee(**fields)  # type: ignore[arg-type]
    assert (await money.take_news(event(FeeTaken(payment_id="pi_1", fee=other)))).outcome is Outcome.REFUSED
    assert (await balances(storage, order.organization_id))["fees"] == -103 * CENT


async def test_t3_a_fee_of_the_other_mode_never_reaches_a_payment(storage: LedgerStorage, money: SqlMoney) -> None:
    order = await ordered(storage, money, taxed=False)
    for_test = event(FeeTaken(payment_id="pi_1", fee=FEE), mode=Mode.TEST)
    assert (await money.take_event(for_test)).outcome is Outcome.WAITING
    await money.take_event(event(paid(order, "pi_1")))
    assert "fees" not in await balances(storage, order.organization_id)
    assert (await money.take_news(for_test)).outcome is Outcome.REFUSED


async def test_a_fee_is_asked_for_until_it_is_known(storage: LedgerStorage, money: SqlMoney) -> None:
    order = await ordered(storage, money, taxed=False)
    await money.take_event(event(paid(order, "pi_1")))

    async def due() -> list[str]:
        return [topup.id for topup in await money.list_fee_due(order.service, Mode.LIVE)]

    assert await due() == [order.id]
    asked = await found(money, order)
    await money.postpone_fee(asked, 2**40)
    assert await due() == []
    assert (await money.take_event(event(Charged(payment_id="pi_1")))).outcome is Outcome.APPLIED
    assert (await money.take_event(event(Charged(payment_id="pi_other")))).outcome is Outcome.IGNORED
    await money.postpone_fee(asked, 2**40)
    assert await due() == [order.id], "it was told of while it was asked for: it is asked for again"
    await money.take_news(event(FeeTaken(payment_id="pi_1", fee=FEE)))
    await money.postpone_fee(asked, 0)
    assert await due() == [], "what is known is not asked for again"
    assert await money.list_fees(order.service, Mode.LIVE, 0) == (("txn_1", "pi_1", 103 * CENT),)


async def test_refunds_take_their_tax_along_and_a_failed_one_brings_it_back(
    storage: LedgerStorage, money: SqlMoney
) -> None:
    order = await ordered(storage, money)
    await money.take_event(event(paid(order, "pi_1", **TAXED)))
    first = await money.begin_refund(order.id, 10 * USD, "a part of the credit")
    assert (first.amount_nanos, first.tax_nanos) == (1190 * CENT, 190 * CENT)
    assert (await balances(storage, order.organization_id))["tax"] == 285 * CENT
    await money.fail_refund(first, "the card is gone")
    assert (await balances(storage, order.organization_id))["tax"] == 475 * CENT
    at_stripe = claimed(ClaimKind.REFUND, "pi_1", 1)
    await money.take_event(event(at_stripe))
    assert (await found(money, order)).returned_tax_nanos == 0, "a part of a cent is rounded down"
    rest = await money.begin_refund(order.id, None, "all of it")
    topup = await found(money, order)
    assert (topup.refunded_nanos, topup.returned_tax_nanos) == (2975 * CENT, 475 * CENT)
    assert rest.amount_nanos == 2974 * CENT
    assert await balances(storage, order.organization_id) == {}


async def test_a_dispute_that_is_won_gives_back_net_tax_and_fee(storage: LedgerStorage, money: SqlMoney) -> None:
    order = await ordered(storage, money)
    await money.take_event(event(paid(order, "pi_1", **TAXED)))
    before = await balances(storage, order.organization_id)
    taken = Fee(id="txn_d", amount_cents=1500, currency="usd", at=FEE.at)
    given = Fee(id="txn_w", amount_cents=-1500, currency="usd", at=FEE.at)
    lost = claimed(ClaimKind.DISPUTE, "pi_1", 2975, claim_id="dp_1", fees=(taken,))
    await money.take_event(event(lost))
    assert await balances(storage, order.organization_id) == {"fees": -15 * USD, "cash": 15 * USD}
    assert (await storage.balance(order.organization_id, Mode.LIVE)).available_nanos == 0
    won = claimed(ClaimKind.DISPUTE, "pi_1", 2975, claim_id="dp_1", reversed=True, fees=(taken, given))
    assert (await money.take_event(event(won))).outcome is Outcome.APPLIED
    assert await balances(storage, order.organization_id) == before
    assert (await money.take_event(event(won))).outcome is Outcome.REPEATED


async def test_a_statement_shows_net_and_tax_of_each_movement(storage: LedgerStorage, money: SqlMoney) -> None:
    order = await ordered(storage, money)
    await money.take_event(event(paid(order, "pi_1", **TAXED)))
    await money.take_event(event(claimed(ClaimKind.REFUND, "pi_1", 1190)))
    await money.take_news(event(FeeTaken(payment_id="pi_1", fee=FEE)))
    topup = await found(money, order)
    assert topup.paid_at is not None
    statement = await money.read_statement(order.organization_id, Mode.LIVE, month_of(topup.paid_at))
    lines = [(line.kind, line.amount_nanos, line.tax_nanos) for line in statement.lines]
    assert sorted(lines) == [
        ("payment_refund", -10 * USD, 0),
        ("payment_refund", 0, -190 * CENT),
        ("purchase", 25 * USD, 0),
        ("tax", 0, 475 * CENT),
    ]
    assert (statement.adds_up, statement.moved_nanos, statement.tax_nanos) == (True, 15 * USD, 285 * CENT)


async def test_margins_have_the_fees_of_each_day_and_organization(storage: LedgerStorage, money: SqlMoney) -> None:
    order = await ordered(storage, money, taxed=False)
    await money.take_event(event(paid(order, "pi_1")))
    await money.take_news(event(FeeTaken(payment_id="pi_1", fee=FEE)))
    (row,) = [row for row in await storage.sum_settled(Mode.LIVE, 0, 2**33) if row.sums.fee_nanos]
    assert (row.organization_id, row.model, row.deployment) == (order.organization_id, "", "")
    assert (row.sums.fee_nanos, row.sums.margin_nanos, row.sums.requests) == (103 * CENT, -103 * CENT, 0)


def month_of(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m}"
