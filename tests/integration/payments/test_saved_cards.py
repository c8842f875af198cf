"""Saved cards at a service that refuses, forgets and answers late: no card pays twice, nobody stops others."""

import json
from dataclasses import replace

import pytest

from integration.payments.conftest import Till
from payment_events import event
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import NANOS_PER_USD, Mode
from tessera.domain.payments.news import Outcome, Unpaid
from tessera.domain.payments.records import TopUpState
from tessera.domain.payments.stripe_events import read_event
from tessera.flows.money.automatic import top_up_what_is_low
from tessera.flows.money.comparison import compare
from tessera.flows.money.fees import learn_fees
from tessera.flows.money.topups import create_topup
from tessera.flows.money.treasury import Owner

pytestmark = pytest.mark.anyio
USD = NANOS_PER_USD


async def test_a_payment_of_unknown_outcome_is_not_made_again_once_the_service_forgot_its_key(till: Till) -> None:
    organization = await till.organization("cus_1")
    till.behind_s = 25 * 3600
    started = await till.money.start_automatic(organization, Mode.LIVE, taxed=False)
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
    started = await till.money.start_automatic(organization, Mode.LIVE, taxed=False)
    assert started is not None
    news = Unpaid(topup_id=started[0].id, expired=False, reason="the saved card was declined")
    assert (await till.money.take_event(event(news))).outcome is Outcome.APPLIED
    switched = await till.automatic(organization)
    assert (switched.enabled, switched.failure) == (False, "the saved card was declined")
    assert await till.money.start_automatic(organization, Mode.LIVE, taxed=False) is None


async def test_tax_is_charged_to_a_saved_card_beside_the_credit_and_all_that_asks_hears_the_same(till: Till) -> None:
    organization = await till.organization("cus_1")
    till.treasury = replace(till.treasury, automatic_tax=True)
    assert await top_up_what_is_low(till.treasury) == 1
    assert await till.available(organization) == 25
    (payment,) = till.stripe.payments
    (calculation,) = till.stripe.calculations.values()
    assert (payment["amount"], payment["metadata"]["tessera_tax"]) == (2380, "380")
    assert payment["hooks"]["inputs"]["tax"]["calculation"] == calculation["id"]
    topup = await till.money.find_topup(organization, Mode.LIVE, payment["metadata"]["tessera_topup"])
    assert topup is not None
    assert (topup.amount_nanos, topup.tax_nanos, topup.total_nanos) == (20 * USD, 38 * USD // 10, 238 * USD // 10)
    told = await till.money.take_event(
        read_event(json.dumps(till.stripe.event("payment_intent.succeeded", payment)).encode(), Mode.LIVE)
    )
    assert told.outcome is Outcome.REPEATED
    found = await compare(till.treasury, till.treasury.payments[Mode.LIVE])
    assert found.missed == ()
    assert [line for line in found.drift if payment["id"] in line] == []


async def test_a_taxed_payment_whose_answer_was_lost_is_credited_by_its_event_and_paid_once(till: Till) -> None:
    organization = await till.organization("cus_1")
    till.treasury = replace(till.treasury, automatic_tax=True)
    started = await till.money.start_automatic(organization, Mode.LIVE, taxed=True)
    assert started is not None
    # The process dies after the card paid, before it heard of it.
    await till.treasury.payments[Mode.LIVE].charge_saved_card(*started)
    (payment,) = till.stripe.payments
    told = await till.money.take_event(
        read_event(json.dumps(till.stripe.event("payment_intent.succeeded", payment)).encode(), Mode.LIVE)
    )
    assert told.outcome is Outcome.APPLIED
    assert await top_up_what_is_low(till.treasury) == 0
    again = await till.treasury.payments[Mode.LIVE].charge_saved_card(*started)
    assert (again.payment_id, again.tax_cents) == (payment["id"], 380)
    assert (len(till.stripe.payments), len(till.stripe.calculations)) == (1, 1)
    assert await till.available(organization) == 25


async def test_a_customer_whose_place_is_not_known_is_not_charged_without_tax_and_told_what_to_do(till: Till) -> None:
    organization = await till.organization("cus_1")
    till.treasury = replace(till.treasury, automatic_tax=True)
    till.stripe.nowhere.add("cus_1")
    assert await top_up_what_is_low(till.treasury) == 0
    assert till.stripe.payments == []
    switched = await till.automatic(organization)
    assert not switched.enabled
    assert "pay once on its page" in (switched.failure or "")
