"""Saved cards at a service that refuses, forgets and answers late: no card pays twice, nobody stops others."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ledger_calls import new_id
from payment_events import event, paid, topup_order
from stripe_stand_in import LIVE_KEY, StripeStandIn
from tessera.adapters.payments.stripe.client import StripePayments
from tessera.adapters.storage.money.store import SqlMoney
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import NANOS_PER_USD, Mode
from tessera.domain.payments.news import Outcome, Unpaid
from tessera.domain.payments.records import AutomaticTopUp, TopUpState
from tessera.flows.money.automatic import top_up_what_is_low
from tessera.flows.money.comparison import compare
from tessera.flows.money.fees import learn_fees
from tessera.flows.money.topups import create_topup
from tessera.flows.money.treasury import Owner, TopUpLimits, Treasury

pytestmark = pytest.mark.anyio
USD = NANOS_PER_USD


@pytest.fixture
def stripe() -> Iterator[StripeStandIn]:
    with StripeStandIn() as stand_in:
        yield stand_in


@dataclass
class Till:
    """A treasury on a ledger whose clock stands `behind_s` before now."""

    treasury: Treasury
    storage: SqliteStorage
    money: SqlMoney
    stripe: StripeStandIn
    behind_s: int = 0

    def now(self) -> int:
        return int(time.time()) - self.behind_s

    async def organization(self, customer_id: str) -> str:
        """An organization that paid $5.00 by a card it saved, and tops up below $10.00 by $20.00."""
        found = await self.storage.create_organization(new_id("org of"))
        order = topup_order(found.id, 5 * USD, save_card=True)
        await self.money.create_topup(order)
        told = await self.money.take_news(event(paid(order, new_id("pi"), customer_id=customer_id)))
        assert told.outcome is Outcome.APPLIED
        await self.money.set_automatic(
            AutomaticTopUp(
                organization_id=found.id,
                mode=Mode.LIVE,
                customer_id=None,
                enabled=True,
                threshold_nanos=10 * USD,
                amount_nanos=20 * USD,
                month_max_nanos=1_000 * USD,
                failure=None,
            )
        )
        return found.id

    async def available(self, organization_id: str) -> int:
        return (await self.storage.balance(organization_id, Mode.LIVE)).available_nanos // USD

    async def automatic(self, organization_id: str) -> AutomaticTopUp:
        found = await self.money.find_automatic(organization_id, Mode.LIVE)
        assert found is not None
        return found


@pytest.fixture
async def till(tmp_path: Path, stripe: StripeStandIn) -> AsyncIterator[Till]:
    made: list[Till] = []
    storage = await SqliteStorage.open(
        tmp_path, clock=lambda: (made[0].now() if made else int(time.time())) * 1_000_000
    )
    money = SqlMoney(storage)
    payments = StripePayments(Mode.LIVE, LIVE_KEY, stripe.address)
    treasury = Treasury(
        store=money,
        payments={Mode.LIVE: payments},
        webhook_secrets=(),
        digest=lambda text: text.encode(),
        random=bytes,
        make_id=new_id,
        now=lambda: made[0].now(),
        base_url=lambda: "http://127.0.0.1",
        print_pdf=lambda document: b"",
        limits=TopUpLimits(least_nanos=USD, most_nanos=1_000 * USD),
    )
    made.append(Till(treasury, storage, money, stripe))
    yield made[0]
    wrong = [check for check in await storage.verify() if not check.ok]
    await payments.close()
    await storage.close()
    assert wrong == []


async def test_a_payment_of_unknown_outcome_is_not_made_again_once_the_service_forgot_its_key(till: Till) -> None:
    organization = await till.organization("cus_1")
    till.behind_s = 25 * 3600
    started = await till.money.start_automatic(organization, Mode.LIVE)
    assert started is not None
    metadata = {"tessera_topup": started[0].id, "tessera_kind": "automatic"}
    # The card paid, the process died before it heard of it, and was away for longer than Stripe keeps keys.
    first = till.stripe._payment(2000, metadata, livemode=True)
    till.behind_s = 0
    assert await top_up_what_is_low(till.treasury) == 0
    assert till.stripe.payments == [first], "the card paid twice for one top-up"
    ended = await till.money.find_topup(organization, Mode.LIVE, started[0].id)
    assert ended is not None
    assert ended.state is TopUpState.FAILED
    switched = await till.automatic(organization)
    assert not switched.enabled
    assert "not known" in (switched.failure or "")
    found = await compare(till.treasury, till.treasury.payments[Mode.LIVE])
    assert len(found.missed) == 1
    assert await till.available(organization) == 25


async def test_a_customer_the_service_does_not_know_any_more_stops_nobody_else(till: Till) -> None:
    gone, other = await till.organization("cus_gone"), await till.organization("cus_here")
    till.stripe.gone.add("cus_gone")
    assert await top_up_what_is_low(till.treasury) == 1
    assert (await till.available(gone), await till.available(other)) == (5, 25)
    switched = await till.automatic(gone)
    assert (switched.enabled, switched.failure) == (False, "there is no saved card any more")


async def test_who_saved_a_card_with_a_customer_that_is_gone_can_save_another(till: Till) -> None:
    organization = await till.organization("cus_gone")
    till.stripe.gone.add("cus_gone")
    owner = Owner(organization_id=organization, mode=Mode.LIVE)
    topup, _ = await create_topup(till.treasury, owner, amount="7", currency="usd", key="again", save_card=True)
    assert topup.state is TopUpState.OPEN
    (session,) = till.stripe.sessions
    assert (session["customer"], session["customer_creation"]) == (None, "always")


async def test_a_page_that_the_service_refuses_is_no_fault_of_the_customer_and_tells_them_nothing(till: Till) -> None:
    organization = await till.organization("cus_1")
    till.stripe.refuses_pages = True
    owner = Owner(organization_id=organization, mode=Mode.LIVE)
    order = {"amount": "7", "currency": "usd", "key": "refused", "save_card": True}
    with pytest.raises(TesseraError) as caught:
        await create_topup(till.treasury, owner, **order)  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.should_retry) == (ErrorCode.PAYMENTS_UNAVAILABLE, False)
    assert "acct_" not in caught.value.message
    till.stripe.refuses_pages = False
    till.stripe.kept.clear()
    topup, repeated = await create_topup(till.treasury, owner, **order)  # type: ignore[arg-type]
    assert (topup.state, repeated) == (TopUpState.OPEN, True)


async def test_a_fee_of_a_payment_that_the_service_does_not_know_waits_and_stops_no_comparison(till: Till) -> None:
    await till.organization("cus_1")
    await learn_fees(till.treasury)
    found = await compare(till.treasury, till.treasury.payments[Mode.LIVE])
    assert len(found.drift) == 1
    assert "knows no payment" in found.drift[0]


async def test_a_decline_told_by_webhook_before_the_answer_switches_it_off_in_the_same_commit(till: Till) -> None:
    organization = await till.organization("cus_1")
    started = await till.money.start_automatic(organization, Mode.LIVE)
    assert started is not None
    news = Unpaid(topup_id=started[0].id, expired=False, reason="the saved card was declined")
    assert (await till.money.take_event(event(news))).outcome is Outcome.APPLIED
    switched = await till.automatic(organization)
    assert (switched.enabled, switched.failure) == (False, "the saved card was declined")
    assert await till.money.start_automatic(organization, Mode.LIVE) is None
