"""What deleted organizations left at the payment service: their pages are closed, late payments go back in full."""

from dataclasses import dataclass

import pytest

from integration.payments.conftest import USD, Till
from ledger_calls import new_id
from payment_events import claimed, event, paid
from tessera.adapters.storage.ledger.people import people_of
from tessera.domain.money import Mode
from tessera.domain.payments.news import Outcome
from tessera.domain.payments.records import ClaimKind, TopUp, TopUpState
from tessera.domain.people.records import Act, Actor, ActorKind
from tessera.domain.people.roles import Role
from tessera.flows.money.closed import close_what_was_left
from tessera.flows.money.comparison import compare
from tessera.flows.money.refunds import refund_topup
from tessera.flows.money.topups import create_topup
from tessera.flows.money.treasury import Owner

pytestmark = pytest.mark.anyio
STRIPE_IS_AWAY = 3
"""As often as the SDK asks."""


@dataclass
class Left:
    """A page for $25.00 that an organization left open when it was deleted."""

    till: Till
    organization: str
    topup: TopUp

    async def found(self) -> TopUp:
        found = await self.till.money.find_topup(self.organization, Mode.LIVE, self.topup.id)
        assert found is not None
        return found

    def session(self) -> dict[str, object]:
        return next(one for one in self.till.stripe.sessions if one["id"] == self.topup.session_id)

    async def paid(self) -> str:
        """Somebody pays it, and Stripe tells of it."""
        payment = self.till.stripe.pay(self.session())
        told = await self.till.money.take_event(event(paid(self.topup, payment["id"])))
        assert told.outcome is Outcome.APPLIED
        return str(payment["id"])


async def opened(till: Till, *, save_card: bool = False) -> tuple[str, TopUp]:
    organization = (await till.storage.create_organization(new_id("org of"))).id
    owner = Owner(organization_id=organization, mode=Mode.LIVE)
    topup, _ = await create_topup(
        till.treasury, owner, amount="25.00", currency="usd", key="order-1", save_card=save_card
    )
    return organization, topup


async def deleted(till: Till, organization: str) -> None:
    actor = Actor(kind=ActorKind.OPERATOR, id="operator").within(organization, Role.OWNER)
    await people_of(till.storage).erase_organization(Act(actor=actor, action="", object_id=organization))


@pytest.fixture
async def left(till: Till) -> Left:
    organization, topup = await opened(till, save_card=True)
    await deleted(till, organization)
    return Left(till, organization, topup)


async def test_a_page_is_closed_as_soon_as_stripe_answers(left: Left) -> None:
    left.till.stripe.fails = STRIPE_IS_AWAY
    await close_what_was_left(left.till.treasury)
    assert ((await left.found()).state, left.session()["status"]) == (TopUpState.OPEN, "open")
    await close_what_was_left(left.till.treasury)
    assert ((await left.found()).state, left.session()["status"]) == (TopUpState.EXPIRED, "expired")
    asked = len(left.till.stripe.asked)
    await close_what_was_left(left.till.treasury)
    assert len(left.till.stripe.asked) == asked


async def test_pages_of_living_organizations_stay_open(till: Till) -> None:
    organization, topup = await opened(till)
    await close_what_was_left(till.treasury)
    found = await till.money.find_topup(organization, Mode.LIVE, topup.id)
    assert found is not None
    assert (found.state, till.stripe.sessions[-1]["status"]) == (TopUpState.OPEN, "open")


@pytest.mark.parametrize("looked_between", [False, True], ids=["told at once", "told after a look"])
async def test_what_was_paid_all_the_same_goes_back_in_full_once(left: Left, looked_between: bool) -> None:
    """A page that was paid cannot be closed: Stripe refuses it, and the payment comes."""
    payment = left.till.stripe.pay(left.session())
    if looked_between:
        await close_what_was_left(left.till.treasury)
        assert (await left.found()).state is TopUpState.EXPIRED
    told = await left.till.money.take_event(event(paid(left.topup, payment["id"])))
    assert told.outcome is Outcome.APPLIED
    for _ in range(2):
        await close_what_was_left(left.till.treasury)
    (refund,) = left.till.stripe.refunds
    assert (refund["payment_intent"], refund["amount"]) == (payment["id"], 2500)
    assert (await left.found()).refunded_nanos == 25 * USD
    assert await left.till.available(left.organization) == 0
    assert (await compare(left.till.treasury, left.till.treasury.payments[Mode.LIVE])).drift == ()


async def test_what_stripe_does_not_refund_is_named_until_somebody_does(left: Left) -> None:
    left.till.stripe.refuses_refunds = True
    payment = await left.paid()
    for _ in range(2):
        await close_what_was_left(left.till.treasury)
    assert [path for _, path, _ in left.till.stripe.asked].count("/v1/refunds") == 1
    for _ in range(2):
        found = await compare(left.till.treasury, left.till.treasury.payments[Mode.LIVE])
        assert found.drift == (
            f"top-up {left.topup.id} of $25.00 was paid after its organization was deleted: refund it",
        )
    by_hand = left.till.stripe.refund(payment, 2500)
    await left.till.money.take_event(event(claimed(ClaimKind.REFUND, payment, 2500, claim_id=by_hand["id"])))
    assert (await compare(left.till.treasury, left.till.treasury.payments[Mode.LIVE])).drift == ()


async def test_what_a_bank_took_back_is_not_refunded_too(left: Left) -> None:
    payment = await left.paid()
    await left.till.money.take_event(event(claimed(ClaimKind.DISPUTE, payment, 2500)))
    await close_what_was_left(left.till.treasury)
    assert left.till.stripe.refunds == []


async def test_no_card_of_a_deleted_organization_is_kept(left: Left) -> None:
    payment = left.till.stripe.pay(left.session())
    await left.till.money.take_event(event(paid(left.topup, payment["id"], customer_id="cus_late")))
    kept = "SELECT * FROM automatic_topup"
    assert await left.till.storage._read(lambda connection: connection.execute(kept).fetchall()) == []


async def test_a_refund_that_fails_after_the_deletion_is_named_until_the_money_has_gone_back(till: Till) -> None:
    """It was refunded so that the organization could be deleted; weeks later its bank does not take it."""
    till.behind_s = 7 * 24 * 3600
    organization, topup = await opened(till)
    payment = await Left(till, organization, topup).paid()
    till.behind_s = 0
    refund = await refund_topup(till.treasury, topup.id, None, "the organization is given up")
    await deleted(till, organization)
    failed = claimed(ClaimKind.REFUND, payment, 2500, claim_id=refund.id, reversed=True)
    assert (await till.money.take_event(event(failed))).outcome is Outcome.APPLIED
    till.stripe.refunds.clear()
    await close_what_was_left(till.treasury)
    assert till.stripe.refunds == [], "it would fail again"
    stripe = till.treasury.payments[Mode.LIVE]
    assert (await compare(till.treasury, stripe)).drift == (
        f"top-up {topup.id} of $25.00 has credit again after its organization was deleted: refund it",
    )
    by_hand = till.stripe.refund(payment, 2500)
    await till.money.take_event(event(claimed(ClaimKind.REFUND, payment, 2500, claim_id=by_hand["id"])))
    assert (await compare(till.treasury, stripe)).drift == ()
