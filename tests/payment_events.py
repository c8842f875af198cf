"""Payment events for tests of the store: everything filled in, anything can be set."""

from typing import Any

from ledger_calls import new_id
from tessera.adapters.storage.money.store import SqlMoney
from tessera.domain.money import Mode
from tessera.domain.payments.news import Claimed, News, Paid, PaymentEvent
from tessera.domain.payments.records import (
    NANOS_PER_CENT,
    AutomaticTopUp,
    ClaimKind,
    Service,
    TopUp,
    TopUpKind,
    TopUpOrder,
)


def topup_order(organization_id: str, amount_nanos: int, **changes: Any) -> TopUpOrder:
    """A top-up of live money at Stripe."""
    fields: dict[str, Any] = {
        "id": new_id("topup"),
        "organization_id": organization_id,
        "mode": Mode.LIVE,
        "service": Service.STRIPE,
        "kind": TopUpKind.CHECKOUT,
        "amount_nanos": amount_nanos,
        "idempotency_key": new_id("key"),
        "fingerprint": "f",
    }
    return TopUpOrder(**(fields | changes))


def automatic_topup(organization_id: str, **amounts: int) -> AutomaticTopUp:
    """Automatic top-up of live money, switched on; `amounts` are threshold, amount and month's ceiling."""
    return AutomaticTopUp(
        organization_id=organization_id, mode=Mode.LIVE, customer_id=None, enabled=True, failure=None, **amounts
    )


def event(news: News, **changes: Any) -> PaymentEvent:
    """An event that was signed for live mode."""
    fields: dict[str, Any] = {
        "service": Service.STRIPE,
        "id": new_id("evt"),
        "type": "for.a.test",
        "mode": Mode.LIVE,
        "body": b"{}",
        "news": news,
    }
    return PaymentEvent(**(fields | changes))


def paid(topup: TopUpOrder | TopUp, payment_id: str, **changes: Any) -> Paid:
    """The payment a top-up was ordered with."""
    fields: dict[str, Any] = {
        "topup_id": topup.id,
        "payment_id": payment_id,
        "amount_cents": topup.amount_nanos // NANOS_PER_CENT,
        "currency": "usd",
    }
    return Paid(**(fields | changes))


def claimed(kind: ClaimKind, payment_id: str, amount_cents: int, **changes: Any) -> Claimed:
    """A refund or a dispute of a payment."""
    fields: dict[str, Any] = {
        "claim_id": new_id("claim"),
        "kind": kind,
        "payment_id": payment_id,
        "amount_cents": amount_cents,
        "currency": "usd",
        "reversed": False,
        "note": "for a test",
    }
    return Claimed(**(fields | changes))


async def bought(money: SqlMoney, organization_id: str, amount_nanos: int, payment_id: str | None = None) -> TopUp:
    """A top-up that was paid."""
    order = topup_order(organization_id, amount_nanos)
    await money.create_topup(order)
    await money.take_event(event(paid(order, payment_id or new_id("pi"))))
    found = await money.find_topup(organization_id, Mode.LIVE, order.id)
    assert found is not None
    return found
