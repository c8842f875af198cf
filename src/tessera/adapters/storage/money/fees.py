"""What payment services keep: each fee booked once, by its balance transaction, whoever tells of it first."""

from typing import Any

from tessera.adapters.storage.ledger.books import Book
from tessera.adapters.storage.money.adjustments import Desk, book_fee
from tessera.adapters.storage.money.topups import ask_for_fee, end_fee, find_paid_by
from tessera.domain.money import Mode, format_usd
from tessera.domain.payments.news import Fee, Outcome, Verdict
from tessera.domain.payments.records import CURRENCY, NANOS_PER_CENT, Service, TopUp

CHARGE = "charge"

_INSERT = """
INSERT INTO payment_fee (service, id, mode, payment_id, kind, amount_nanos, charged_at, state)
VALUES (?, ?, ?, ?, ?, ?, ?, 'waiting') ON CONFLICT (service, id) DO NOTHING
"""
_FIND = "SELECT payment_id, amount_nanos, state FROM payment_fee WHERE service = ? AND id = ?"
_BOOK = """
UPDATE payment_fee SET state = 'booked' WHERE service = ? AND payment_id = ? AND mode = ? AND state = 'waiting'
RETURNING id, kind, amount_nanos, charged_at
"""
_LIST = """
SELECT fee.id, fee.payment_id, fee.amount_nanos FROM payment_fee AS fee
JOIN topup ON topup.service = fee.service AND topup.payment_id = fee.payment_id
WHERE fee.service = ? AND topup.mode = ? AND fee.kind = 'charge' AND fee.state = 'booked' AND topup.paid_at >= ?
ORDER BY fee.id
"""


def take_fee(desk: Desk, service: Service, mode: Mode, payment_id: str, kind: str, fee: Fee) -> Verdict:
    """Books a fee of a payment that is locked, or keeps it for a payment that is not known yet."""
    if fee.currency != CURRENCY:
        return _refused(f"the fee {fee.id} is in {fee.currency[:8]!r}, not in {CURRENCY}")
    topup = find_paid_by(desk.connection, service, payment_id)
    if topup is not None and topup.mode is not mode:
        return _refused(f"it belongs to {mode} mode, the top-up to {topup.mode} mode")
    amount = fee.amount_cents * NANOS_PER_CENT
    values = (service.value, fee.id, mode.value, payment_id, kind, amount, fee.at)
    if desk.connection.execute(_INSERT, values).rowcount == 0:
        payment, known, state = desk.connection.execute(_FIND, (service.value, fee.id)).fetchone()
        if (payment, known) != (payment_id, amount):
            return _refused(
                f"the fee {fee.id} is ${format_usd(amount)} of payment {payment_id}; it was taken as "
                f"${format_usd(known)} of {payment}"
            )
        if state == "booked" or topup is None:
            return Verdict(outcome=Outcome.REPEATED, reason=f"the fee {fee.id} was taken before")
    if topup is None:
        return Verdict(outcome=Outcome.WAITING, reason=f"the fee {fee.id} waits for its payment")
    book_fees(desk, desk.book(topup.organization_id, topup.mode), topup)
    return Verdict(outcome=Outcome.APPLIED, reason=f"the fee {fee.id} of ${format_usd(amount)} is booked")


def book_fees(desk: Desk, book: Book, topup: TopUp) -> None:
    """Books what waits for a payment that is known now."""
    assert topup.payment_id is not None
    whose = (topup.service.value, topup.payment_id, topup.mode.value)
    for id_, kind, amount, at in desk.connection.execute(_BOOK, whose).fetchall():
        book_fee(desk, book, id_, amount, at, f"{kind} fee, payment {topup.payment_id}")
        if kind == CHARGE:
            end_fee(desk, topup.id)


def hear_of_fee(desk: Desk, service: Service, payment_id: str) -> Verdict:
    """Has a fee asked for now, unless it is known."""
    topup = find_paid_by(desk.connection, service, payment_id)
    if topup is not None and ask_for_fee(desk, topup.id):
        return Verdict(outcome=Outcome.APPLIED, reason="its fee is asked for")
    return Verdict(outcome=Outcome.IGNORED, reason="no fee is waited for")


def list_fees(connection: Any, service: Service, mode: Mode, since: int) -> tuple[tuple[str, str, int], ...]:
    """Balance transaction, payment and amount of the booked fees of top-ups that were paid from a time on."""
    return tuple(connection.execute(_LIST, (service.value, mode.value, since)).fetchall())


def _refused(reason: str) -> Verdict:
    return Verdict(outcome=Outcome.REFUSED, reason=reason)
