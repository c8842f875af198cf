"""What payment services tell us: each event kept as it came, and what follows from it done, in one commit."""

from tessera.adapters.storage.ledger.books import Book
from tessera.adapters.storage.money.adjustments import Desk, dispute_payment, win_dispute
from tessera.adapters.storage.money.automatic import fail_automatic
from tessera.adapters.storage.money.fees import CHARGE, book_fees, hear_of_fee, take_fee
from tessera.adapters.storage.money.payment_refunds import refund_payment, return_refund
from tessera.adapters.storage.money.topups import credit_topup, end_topup, find_paid_by, find_topup
from tessera.domain.money import format_usd
from tessera.domain.payments.news import (
    Charged,
    Claimed,
    FeeTaken,
    Nothing,
    Outcome,
    Paid,
    PaymentEvent,
    Refused,
    Unpaid,
    Verdict,
)
from tessera.domain.payments.records import (
    CURRENCY,
    NANOS_PER_CENT,
    ClaimKind,
    ClaimState,
    Service,
    TopUp,
    TopUpKind,
    TopUpState,
)
from tessera.domain.payments.taxes import tax_in

_TOUCH = """
INSERT INTO payment (service, id, touched_at) VALUES (?, ?, ?)
ON CONFLICT (service, id) DO UPDATE SET touched_at = excluded.touched_at
"""
_KEEP = """
INSERT INTO payment_event (service, id, type, body, outcome, reason, received_at, topup_id, payment_id)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (service, id) DO NOTHING
"""
_FIND = "SELECT outcome FROM payment_event WHERE service = ? AND id = ?"
_SET_OUTCOME = "UPDATE payment_event SET outcome = ?, reason = ? WHERE service = ? AND id = ?"
_DROP_BODY = "UPDATE payment_event SET body = ? WHERE service = ? AND id = ?"
_CLAIM = """
INSERT INTO payment_claim (service, id, kind, payment_id, amount_nanos, state, note, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (service, id) DO NOTHING
"""
_FIND_CLAIM = "SELECT state, amount_nanos, payment_id FROM payment_claim WHERE service = ? AND id = ?"
_SET_CLAIM = "UPDATE payment_claim SET state = ? WHERE service = ? AND id = ? AND state = ?"
_WAITING = """
SELECT id, kind, amount_nanos, note FROM payment_claim
WHERE service = ? AND payment_id = ? AND state = 'waiting' ORDER BY created_at, id
"""

_CREDITED = "this payment was credited before"
_MODE_REASON = "it belongs to {theirs} mode, the top-up to {ours} mode"


def lock_payment(desk: Desk, service: Service, payment_id: str) -> None:
    """Holds a payment for the rest of the transaction; before any wallet, so that nobody waits in a circle."""
    desk.connection.execute(_TOUCH, (service.value, payment_id, desk.now))


def take_event(desk: Desk, event: PaymentEvent) -> Verdict:
    """Keeps an event and does what follows from it. The same event again changes nothing; one that was refused is
    looked at again. Of one that moves nothing here only that it came is kept: its body may name anybody."""
    key = (event.service.value, event.id)
    of = (getattr(event.news, "topup_id", None), getattr(event.news, "payment_id", None))
    row = (*key, event.type, event.body, Outcome.REFUSED.value, "", desk.now, *of)
    if desk.connection.execute(_KEEP, row).rowcount == 0:
        (earlier,) = desk.connection.execute(_FIND, key).fetchone()
        if earlier != Outcome.REFUSED:
            return Verdict(outcome=Outcome.REPEATED, reason="this event was taken before")
    verdict = decide(desk, event)
    desk.connection.execute(_SET_OUTCOME, (verdict.outcome.value, verdict.reason, *key))
    if verdict.outcome is Outcome.IGNORED:
        desk.connection.execute(_DROP_BODY, (b"", *key))
    return verdict


def decide(desk: Desk, event: PaymentEvent) -> Verdict:
    """Does what follows from news, whoever brought them."""
    news = event.news
    if isinstance(news, Paid):
        return _pay(desk, event, news)
    if isinstance(news, Claimed):
        return _claim_with_fees(desk, event, news)
    if isinstance(news, FeeTaken):
        lock_payment(desk, event.service, news.payment_id)
        return take_fee(desk, event.service, event.mode, news.payment_id, CHARGE, news.fee)
    if isinstance(news, Charged):
        return hear_of_fee(desk, event.service, news.payment_id)
    if isinstance(news, Unpaid):
        return _end(desk, event, news)
    if isinstance(news, Refused):
        return _refused(news.reason)
    assert isinstance(news, Nothing)
    return Verdict(outcome=Outcome.IGNORED, reason=news.reason)


def _pay(desk: Desk, event: PaymentEvent, news: Paid) -> Verdict:
    lock_payment(desk, event.service, news.payment_id)
    topup = find_topup(desk.connection, news.topup_id)
    if topup is None:
        return _refused("there is no such top-up")
    book = desk.book(topup.organization_id, topup.mode)
    # Again, now that the wallet is locked: what was read before may have gone on.
    topup = find_topup(desk.connection, news.topup_id)
    assert topup is not None
    other = find_paid_by(desk.connection, event.service, news.payment_id)
    if other is not None and other.id == topup.id:
        differs = _differs(topup, news)
        return _refused(differs) if differs else Verdict(outcome=Outcome.REPEATED, reason=_CREDITED)
    wrong = _wrong(event, topup, news)
    if wrong is not None:
        return _refused(wrong)
    if topup.state is TopUpState.PAID:
        return _refused("the top-up was paid by another payment")
    if other is not None:
        return _refused("the payment paid another top-up")
    credit_topup(desk, topup, news.payment_id, news.customer_id, news.tax_cents * NANOS_PER_CENT)
    paid = find_topup(desk.connection, topup.id)
    assert paid is not None
    waiting = (event.service.value, news.payment_id)
    for claim_id, kind, amount, note in desk.connection.execute(_WAITING, waiting).fetchall():
        _apply(desk, book, paid, ClaimKind(kind), claim_id, amount, note)
        desk.connection.execute(
            _SET_CLAIM, (ClaimState.APPLIED.value, event.service.value, claim_id, ClaimState.WAITING.value)
        )
        paid = find_topup(desk.connection, topup.id)
        assert paid is not None
    book_fees(desk, book, paid)
    return Verdict(outcome=Outcome.APPLIED, reason=f"credited ${format_usd(topup.amount_nanos)}")


def _wrong(event: PaymentEvent, topup: TopUp, news: Paid) -> str | None:
    """Why a payment cannot be the one that a top-up was ordered with (security-tests T3)."""
    if topup.service is not event.service:
        return f"the top-up is to be paid at {topup.service}"
    if topup.mode is not event.mode:
        return _MODE_REASON.format(theirs=event.mode, ours=topup.mode)
    if news.currency != CURRENCY:
        return f"it was paid in {news.currency[:8]!r}, not in {CURRENCY}"
    if news.tax_cents and not topup.taxed:
        return f"{news.tax_cents} cents are tax, and none was to be collected"
    if (news.amount_cents - news.tax_cents) * NANOS_PER_CENT != topup.amount_nanos:
        return (
            f"{news.amount_cents} cents were paid, {news.tax_cents} of them tax; ${format_usd(topup.amount_nanos)} "
            "was ordered"
        )
    return None


def _differs(topup: TopUp, news: Paid) -> str | None:
    """How a payment differs from what was credited of it."""
    if news.tax_cents * NANOS_PER_CENT != topup.tax_nanos:
        return f"its tax is {news.tax_cents} cents, ${format_usd(topup.tax_nanos)} was booked"
    if news.amount_cents * NANOS_PER_CENT != topup.total_nanos:
        return f"{news.amount_cents} cents were paid, ${format_usd(topup.total_nanos)} was booked"
    return None


def _end(desk: Desk, event: PaymentEvent, news: Unpaid) -> Verdict:
    topup = find_topup(desk.connection, news.topup_id)
    if topup is None:
        return _refused("there is no such top-up")
    if topup.mode is not event.mode or topup.service is not event.service:
        return _refused(_MODE_REASON.format(theirs=event.mode, ours=topup.mode))
    state = TopUpState.EXPIRED if news.expired else TopUpState.FAILED
    if end_topup(desk, topup.id, state, news.reason):
        if topup.kind is TopUpKind.AUTOMATIC:
            fail_automatic(desk, topup, news.reason)
        return Verdict(outcome=Outcome.APPLIED, reason=f"the top-up has {state}")
    return Verdict(outcome=Outcome.REPEATED, reason="the top-up was over before")


def _claim_with_fees(desk: Desk, event: PaymentEvent, news: Claimed) -> Verdict:
    """A refund or dispute, and what the service took for it."""
    verdict = _claim(desk, event, news)
    if verdict.outcome is Outcome.REFUSED:
        return verdict
    for fee in news.fees:
        taken = take_fee(desk, event.service, event.mode, news.payment_id, news.kind.value, fee)
        if taken.outcome is Outcome.REFUSED or verdict.outcome is Outcome.REPEATED:
            verdict = taken
    return verdict


def _claim(desk: Desk, event: PaymentEvent, news: Claimed) -> Verdict:
    """A refund or dispute: applied to a payment we know, kept waiting for one we do not know yet."""
    if news.currency != CURRENCY or news.amount_cents <= 0:
        return _refused(f"it is over {news.amount_cents} cents of {news.currency[:8]!r}")
    service = event.service.value
    lock_payment(desk, event.service, news.payment_id)
    topup = find_paid_by(desk.connection, event.service, news.payment_id)
    book = None
    if topup is not None:
        if topup.mode is not event.mode:
            return _refused(_MODE_REASON.format(theirs=event.mode, ours=topup.mode))
        book = desk.book(topup.organization_id, topup.mode)
    amount = news.amount_cents * NANOS_PER_CENT
    state = ClaimState.REVERSED if news.reversed else ClaimState.WAITING if topup is None else ClaimState.APPLIED
    values = (service, news.claim_id, news.kind.value, news.payment_id, amount, state.value, news.note, desk.now)
    if desk.connection.execute(_CLAIM, values).rowcount == 1:
        if book is not None and topup is not None and state is ClaimState.APPLIED:
            _apply(desk, book, topup, news.kind, news.claim_id, amount, news.note)
        outcome = Outcome.WAITING if state is ClaimState.WAITING else Outcome.APPLIED
        return Verdict(outcome=outcome, reason=f"{news.kind} of ${format_usd(amount)} is {state}")
    earlier, amount, _ = desk.connection.execute(_FIND_CLAIM, (service, news.claim_id)).fetchone()
    if earlier == ClaimState.WAITING and not news.reversed and topup is not None and book is not None:
        desk.connection.execute(_SET_CLAIM, (ClaimState.APPLIED.value, service, news.claim_id, earlier))
        _apply(desk, book, topup, news.kind, news.claim_id, amount, news.note)
        return Verdict(outcome=Outcome.APPLIED, reason=f"{news.kind} of ${format_usd(amount)} is applied")
    if not news.reversed or earlier == ClaimState.REVERSED:
        return Verdict(outcome=Outcome.REPEATED, reason=f"this {news.kind} was taken before")
    desk.connection.execute(_SET_CLAIM, (ClaimState.REVERSED.value, service, news.claim_id, earlier))
    if earlier == ClaimState.APPLIED and book is not None:
        reverse(desk, book, event.service, news.kind, news.claim_id, news.note)
    return Verdict(outcome=Outcome.APPLIED, reason=f"{news.kind} of ${format_usd(amount)} is reversed")


def reverse(desk: Desk, book: Book, service: Service, kind: ClaimKind, claim_id: str, note: str) -> None:
    """Undoes an applied claim."""
    if kind is ClaimKind.REFUND:
        return_refund(desk, book, service, claim_id, note)
    else:
        win_dispute(desk, book, claim_id, note)


def _apply(desk: Desk, book: Book, topup: TopUp, kind: ClaimKind, claim_id: str, amount: int, note: str) -> None:
    """Moves what a claim on a payment takes; `topup` is as it was before the claim counted."""
    assert topup.lot_id is not None
    tax = tax_nanos_in(topup, amount)
    if kind is ClaimKind.REFUND:
        refund_payment(desk, book, topup.service, claim_id, topup.lot_id, amount, tax, note)
    else:
        dispute_payment(desk, book, claim_id, amount, tax, note)


def tax_nanos_in(topup: TopUp, amount_nanos: int) -> int:
    """How much of what goes back of a payment is tax, after what went back before."""
    return NANOS_PER_CENT * tax_in(amount_nanos // NANOS_PER_CENT, **went_back(topup))


def went_back(topup: TopUp) -> dict[str, int]:
    """A payment in cents: what was paid, the tax in it, what went back of both."""
    amounts = {
        "total": topup.total_nanos,
        "tax": topup.tax_nanos,
        "refunded": topup.refunded_nanos + topup.disputed_nanos,
        "returned": topup.returned_tax_nanos,
    }
    return {name: nanos // NANOS_PER_CENT for name, nanos in amounts.items()}


def _refused(reason: str) -> Verdict:
    return Verdict(outcome=Outcome.REFUSED, reason=reason)
