"""Stripe's events in our words: what each says of a top-up, a refund or a dispute, as far as it can be believed.

Shapes as in Stripe's API reference (Event, Checkout Session, PaymentIntent, Charge, Balance Transaction, Refund,
Dispute), read 2026-11-22.
"""

from typing import Any

import msgspec

from tessera.domain.money import Mode
from tessera.domain.payments.news import (
    Charged,
    Claimed,
    Fee,
    FeeTaken,
    News,
    Nothing,
    Paid,
    PaymentEvent,
    Refused,
    Unpaid,
)
from tessera.domain.payments.records import ClaimKind, Service, TopUpKind

TOPUP_KEY = "tessera_topup"
"""The metadata that names our top-up on Stripe's objects; the next two say how it is paid, and name our refund."""
KIND_KEY = "tessera_kind"
REFUND_KEY = "tessera_refund"
TAX_KEY = "tessera_tax"
"""On payments with tax: how many cents of them are tax, or `BY_PAGE` where only the page says that."""
BY_PAGE = "automatic"

ID_LENGTH_MAX = 255

_REFUND_FAILED = ("failed", "canceled")
_DISPUTE_OVER = ("won", "prevented")
_INQUIRY = "warning_"


class _Data(msgspec.Struct):
    object: dict[str, Any]


class _Event(msgspec.Struct):
    id: str
    type: str
    livemode: bool
    data: _Data
    account: str | None = None


_decode = msgspec.json.Decoder(_Event).decode


def read_event(body: bytes, mode: Mode) -> PaymentEvent:
    """A signed body as an event; `mode` is that of the secret that signed it.

    Raises ValueError for a body that is no event of Stripe's.
    """
    try:
        event = _decode(body)
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from None
    if not 0 < len(event.id) <= ID_LENGTH_MAX or len(event.type) > ID_LENGTH_MAX:
        raise ValueError("its id or type has no sensible length")
    news: News
    if event.livemode is not (mode is Mode.LIVE):
        news = Refused(reason=f"its livemode is {event.livemode}, its signature is for {mode} mode")
    elif event.account is not None:
        news = Refused(reason="it belongs to a connected account")
    else:
        news = news_of(event.type, event.data.object)
    return PaymentEvent(service=Service.STRIPE, id=event.id, type=event.type, mode=mode, body=body, news=news)


def news_of(kind: str, thing: dict[str, Any]) -> News:
    """What an object of an event of this type says."""
    if kind.startswith("checkout.session."):
        return _session(kind.removeprefix("checkout.session."), thing)
    if kind.startswith("payment_intent."):
        return payment_news(kind.removeprefix("payment_intent."), thing)
    if kind in ("refund.created", "refund.updated", "refund.failed", "charge.refund.updated"):
        return refund_news(thing)
    if kind in ("charge.succeeded", "charge.updated"):
        return _charge(thing)
    if kind.startswith("charge.dispute."):
        return dispute_news(kind.removeprefix("charge.dispute."), thing)
    return Nothing(reason=f"{kind} moves nothing here")


def _session(what: str, session: dict[str, Any]) -> News:
    topup_id = _metadata(session, TOPUP_KEY)
    if topup_id is None:
        return Nothing(reason="it is not a page of ours")
    if session.get("mode") != "payment":
        return Refused(reason="its page is not for a payment")
    if what == "expired":
        return Unpaid(topup_id=topup_id, expired=True, reason="its page expired")
    if what == "async_payment_failed":
        return Unpaid(topup_id=topup_id, expired=False, reason="the payment failed")
    if what not in ("completed", "async_payment_succeeded"):
        return Nothing(reason=f"checkout.session.{what} moves nothing here")
    if session.get("payment_status") != "paid":
        return Nothing(reason="its page is done, its payment is not settled yet")
    details = session.get("total_details")
    tax = details.get("amount_tax", 0) if isinstance(details, dict) else 0
    return _paid(topup_id, session, session.get("payment_intent"), session.get("amount_total"), tax)


def payment_news(what: str, payment: dict[str, Any]) -> News:
    """What a PaymentIntent says; `what` is the end of the event's type."""
    topup_id = _metadata(payment, TOPUP_KEY)
    if topup_id is None:
        return Nothing(reason="it is not a payment of ours")
    if what == "succeeded":
        if payment.get("status") != "succeeded":
            return Refused(reason="its payment has not succeeded")
        tax = _metadata(payment, TAX_KEY) or "0"
        if tax == BY_PAGE:
            return Nothing(reason="its page says how much of it is tax")
        cents = int(tax) if tax.isascii() and tax.isdigit() else None
        return _paid(topup_id, payment, payment.get("id"), payment.get("amount_received"), cents)
    automatic = _metadata(payment, KIND_KEY) == TopUpKind.AUTOMATIC
    if what in ("payment_failed", "canceled") and automatic:
        return Unpaid(topup_id=topup_id, expired=False, reason="the saved card was declined")
    return Nothing(reason=f"payment_intent.{what} moves nothing here")


def _paid(topup_id: str, thing: dict[str, Any], payment_id: object, cents: object, tax: object = 0) -> News:
    currency, customer = thing.get("currency"), thing.get("customer")
    if not _is_id(payment_id) or not isinstance(currency, str) or type(cents) is not int:
        return Refused(reason="it names no payment, amount or currency")
    if type(tax) is not int or not 0 <= tax <= cents:
        return Refused(reason="its tax is no part of its amount")
    return Paid(
        topup_id=topup_id,
        payment_id=str(payment_id),
        amount_cents=cents,
        currency=currency,
        tax_cents=tax,
        customer_id=str(customer) if _is_id(customer) else None,
    )


def fee_news(payment: dict[str, Any]) -> News:
    """The fee of a PaymentIntent of ours, whose newest charge and balance transaction stand in it."""
    charge = payment.get("latest_charge")
    fee = _fee(charge.get("balance_transaction")) if isinstance(charge, dict) else None
    if fee is None or _metadata(payment, TOPUP_KEY) is None or not _is_id(payment.get("id")):
        return Nothing(reason="it has no fee that is known")
    return FeeTaken(payment_id=str(payment["id"]), fee=fee)


def _charge(charge: dict[str, Any]) -> News:
    payment = charge.get("payment_intent")
    if not _is_id(payment) or charge.get("balance_transaction") is None:
        return Nothing(reason="its fee is not known yet, or it is none of ours")
    return Charged(payment_id=str(payment))


def _fee(transaction: object) -> Fee | None:
    """What a balance transaction says was kept, if it is one."""
    if not isinstance(transaction, dict):
        return None
    id_, cents, currency, at = (transaction.get(name) for name in ("id", "fee", "currency", "created"))
    if not _is_id(id_) or type(cents) is not int or not isinstance(currency, str) or type(at) is not int or at < 0:
        return None
    return Fee(id=str(id_), amount_cents=cents, currency=currency, at=at)


def refund_news(refund: dict[str, Any]) -> News:
    """What a Refund says, whoever sent it."""
    failed = refund.get("status") in _REFUND_FAILED
    own = _metadata(refund, REFUND_KEY)
    return _claimed(ClaimKind.REFUND, refund, own or refund.get("id"), over=failed, note=f"refund {refund.get('id')}")


def dispute_news(what: str, dispute: dict[str, Any]) -> News:
    """What a Dispute says; `what` is the end of the event's type. An inquiry takes no money."""
    status = str(dispute.get("status"))
    if status.startswith(_INQUIRY):
        return Nothing(reason="an inquiry takes no money")
    over = status in _DISPUTE_OVER or what == "funds_reinstated"
    news = _claimed(ClaimKind.DISPUTE, dispute, dispute.get("id"), over=over, note=f"dispute {dispute.get('id')}")
    booked = dispute.get("balance_transactions")
    if not isinstance(news, Claimed) or not isinstance(booked, list):
        return news
    fees = (_fee(transaction) for transaction in booked)
    return msgspec.structs.replace(news, fees=tuple(fee for fee in fees if fee is not None and fee.amount_cents))


def _claimed(kind: ClaimKind, thing: dict[str, Any], claim_id: object, *, over: bool, note: str) -> News:
    payment, cents, currency = thing.get("payment_intent"), thing.get("amount"), thing.get("currency")
    if payment is None:
        return Nothing(reason=f"the {kind} is of a payment without a PaymentIntent, which is none of ours")
    if not _is_id(claim_id) or not _is_id(payment) or not isinstance(currency, str) or type(cents) is not int:
        return Refused(reason=f"the {kind} names no payment, amount or currency")
    return Claimed(
        claim_id=str(claim_id),
        kind=kind,
        payment_id=str(payment),
        amount_cents=cents,
        currency=currency,
        reversed=over,
        note=note[:ID_LENGTH_MAX],
    )


def _metadata(thing: dict[str, Any], key: str) -> str | None:
    metadata = thing.get("metadata")
    value = metadata.get(key) if isinstance(metadata, dict) else None
    return value if isinstance(value, str) and 0 < len(value) <= ID_LENGTH_MAX else None


def _is_id(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= ID_LENGTH_MAX
