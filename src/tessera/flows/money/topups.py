"""Top-ups: asked for with an idempotency key, paid on the service's own page, shown as they stand."""

import hashlib
from typing import Any

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.idempotency import needed_key
from tessera.domain.money import Mode, format_usd
from tessera.domain.payments.news import Paid, PaymentEvent
from tessera.domain.payments.records import (
    CURRENCY,
    Service,
    TopUp,
    TopUpKind,
    TopUpOrder,
    TopUpState,
    cents_of,
    parse_payment,
)
from tessera.flows.money.treasury import Owner, Treasury
from tessera.flows.receipts import list_object
from tessera.ports import Page

OPENED_WITHIN_S = 23 * 3600
"""How long a top-up can be opened at the service under the same idempotency key, which forgets keys after a day."""


async def create_topup(
    treasury: Treasury, owner: Owner, *, amount: str, currency: str, key: str | None, save_card: bool
) -> tuple[TopUp, bool]:
    """A top-up and where to pay it; the same key and body again give the same one, and say so.

    Test credit is given at once where no Stripe test mode is set. Raises [invalid_request, idempotency_mismatch,
    idempotency_in_progress, payments_unavailable].
    """
    if currency != CURRENCY:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "currency must be usd.", param="currency")
    limits = treasury.limits
    nanos = parse_payment(amount, param="amount", least_nanos=limits.least_nanos, most_nanos=limits.most_nanos)
    service = _service(treasury, owner.mode)
    order = TopUpOrder(
        id=treasury.make_id("topup"),
        organization_id=owner.organization_id,
        mode=owner.mode,
        service=service,
        kind=TopUpKind.CHECKOUT,
        amount_nanos=nanos,
        idempotency_key=needed_key(key, "A top-up", "pays"),
        fingerprint=hashlib.sha256(msgspec.json.encode((nanos, currency, save_card))).hexdigest(),
        save_card=save_card,
        taxed=treasury.automatic_tax and service is Service.STRIPE,
    )
    topup, repeated = await treasury.store.create_topup(order, owner.act("topup.created", order.id, amount_nanos=nanos))
    if topup.state is TopUpState.CREATED:
        topup = await _open(treasury, owner, topup)
    return topup, repeated


async def _open(treasury: Treasury, owner: Owner, topup: TopUp) -> TopUp:
    if topup.service is Service.SANDBOX:
        await treasury.store.take_news(_given(topup))
        return await find_topup(treasury, owner, topup.id)
    if treasury.now() - topup.created_at > OPENED_WITHIN_S:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, "This top-up was never opened and is too old; use a new Idempotency-Key."
        )
    saved = await treasury.store.find_automatic(owner.organization_id, owner.mode) if topup.save_card else None
    page = f"{treasury.base_url()}/"
    checkout = await treasury.payments[topup.mode].open_checkout(
        topup,
        success_url=f"{page}?topup={topup.id}&paid=1",
        cancel_url=f"{page}?topup={topup.id}",
        customer_id=saved.customer_id if saved else None,
    )
    return await treasury.store.open_topup(topup.id, checkout.session_id, checkout.url)


async def find_topup(treasury: Treasury, owner: Owner, topup_id: str) -> TopUp:
    """One top-up. Raises [not_found], for another organization's or mode's too."""
    found = await treasury.store.find_topup(owner.organization_id, owner.mode, topup_id)
    if found is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no top-up {topup_id[:64]!r}.")
    return found


async def list_topups(treasury: Treasury, owner: Owner, page: Page) -> dict[str, Any]:
    """Top-ups, newest first, a page at a time."""
    more = Page(limit=page.limit + 1, after=page.after)
    found = await treasury.store.list_topups(owner.organization_id, owner.mode, more)
    return list_object([topup_object(topup) for topup in found], page)


def topup_object(topup: TopUp) -> dict[str, Any]:
    """A top-up as the API shows it. `url` is where it is paid, while it can be; the tax is known once it is paid."""
    is_tax_known = not topup.taxed or topup.state is TopUpState.PAID
    return {
        "id": topup.id,
        "object": "topup",
        "mode": topup.mode,
        "kind": topup.kind,
        "status": topup.state,
        "amount": format_usd(topup.amount_nanos),
        "amount_nanos": topup.amount_nanos,
        "tax": format_usd(topup.tax_nanos) if is_tax_known else None,
        "tax_nanos": topup.tax_nanos if is_tax_known else None,
        "total": format_usd(topup.total_nanos) if is_tax_known else None,
        "total_nanos": topup.total_nanos if is_tax_known else None,
        "currency": CURRENCY,
        "url": topup.url if topup.state is TopUpState.OPEN else None,
        "failure": topup.failure if topup.state is not TopUpState.PAID else None,
        "lot": topup.lot_id,
        "refunded": format_usd(topup.refunded_nanos),
        "refunded_nanos": topup.refunded_nanos,
        "disputed": format_usd(topup.disputed_nanos),
        "disputed_nanos": topup.disputed_nanos,
        "returned_tax": format_usd(topup.returned_tax_nanos),
        "returned_tax_nanos": topup.returned_tax_nanos,
        "created_at": topup.created_at,
        "paid_at": topup.paid_at,
    }


def _service(treasury: Treasury, mode: Mode) -> Service:
    payments = treasury.payments.get(mode)
    if payments is not None:
        return payments.service
    if mode is Mode.TEST:
        return Service.SANDBOX
    raise TesseraError(
        ErrorCode.PAYMENTS_UNAVAILABLE,
        "This gateway takes no payments: its operator has not set up Stripe. Ask them for credit or a voucher.",
        should_retry=False,
    )


def _given(topup: TopUp) -> PaymentEvent:
    """Test credit that nobody pays for."""
    news = Paid(
        topup_id=topup.id,
        payment_id=f"sandbox_{topup.id}",
        amount_cents=cents_of(topup.amount_nanos),
        currency=CURRENCY,
    )
    return PaymentEvent(service=Service.SANDBOX, id=topup.id, type="sandbox.paid", mode=topup.mode, body=b"", news=news)
