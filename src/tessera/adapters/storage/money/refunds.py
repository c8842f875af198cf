"""Refunds that an operator gives: of a call's charge, and of a payment."""

from typing import Any

from tessera.adapters.storage.ledger.rows import decode_draws
from tessera.adapters.storage.money.adjustments import Desk, free_nanos, lot_of, refund_charge
from tessera.adapters.storage.money.events import lock_payment, reverse, went_back
from tessera.adapters.storage.money.payment_refunds import collect_owed, refund_payment
from tessera.adapters.storage.money.topups import find_topup
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.resolutions import charged_draws
from tessera.domain.money import Mode, format_usd
from tessera.domain.payments.records import (
    NANOS_PER_CENT,
    ChargeRefund,
    ClaimKind,
    ClaimState,
    PaymentRefund,
    Service,
    TopUp,
    TopUpState,
)
from tessera.domain.payments.taxes import amount_with_tax

_FIND_CALL = """
SELECT hold.number, organization_id, wallet.mode, hold.state, hold.charge_nanos, draws
FROM hold JOIN wallet ON wallet.id = hold.wallet_id WHERE hold.id = ?
"""
_FIND_CHARGE_REFUND = "SELECT amount_nanos FROM charge_refund WHERE hold_number = ?"
_INSERT_CHARGE_REFUND = """
INSERT INTO charge_refund (hold_number, charge_nanos, amount_nanos, note, refunded_at) VALUES (?, ?, ?, ?, ?)
"""
_INSERT_CLAIM = """
INSERT INTO payment_claim (service, id, kind, payment_id, amount_nanos, state, note, created_at)
VALUES (?, ?, 'refund', ?, ?, 'applied', ?, ?)
"""
_FAIL_CLAIM = """
UPDATE payment_claim SET state = 'reversed' WHERE service = ? AND id = ? AND state = 'applied' RETURNING id
"""
_OPEN_CLAIMS = """
SELECT claim.id, claim.payment_id, claim.amount_nanos FROM payment_claim AS claim
JOIN topup ON topup.service = claim.service AND topup.payment_id = claim.payment_id
WHERE claim.service = ? AND topup.mode = ? AND claim.kind = 'refund' AND claim.state = 'applied'
    AND claim.created_at >= ? ORDER BY claim.id
"""


def refund_call(desk: Desk, request_id: str, amount_nanos: int | None, note: str) -> ChargeRefund:
    """Gives back what a call was charged, or a part of it, to the lots that paid it; once per call.

    Raises [not_found], [invalid_request] for a call that was not charged, that much, or was refunded before.
    """
    found = desk.connection.execute(_FIND_CALL, (request_id,)).fetchone()
    if found is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no request {request_id[:64]!r}.")
    book = desk.book(found[1], found[2])
    number, organization_id, mode, state, charge, draws = desk.connection.execute(_FIND_CALL, (request_id,)).fetchone()
    if state == "open" or charge == 0:
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"The request {request_id} was not charged.")
    before = desk.connection.execute(_FIND_CHARGE_REFUND, (number,)).fetchone()
    if before is not None:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, f"The request {request_id} was refunded before: ${format_usd(before[0])}."
        )
    amount = charge if amount_nanos is None else amount_nanos
    if not 0 < amount <= charge:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"The request {request_id} was charged ${format_usd(charge)}; a refund is above zero and at most that.",
            param="amount",
        )
    desk.connection.execute(_INSERT_CHARGE_REFUND, (number, charge, amount, note, desk.now))
    left = amount
    # Backwards: what was drawn last comes back first, as if the charge had been smaller.
    for draw in reversed(charged_draws(decode_draws(draws), charge)):
        part = min(draw.amount_nanos, left)
        if part:
            refund_charge(desk, book, request_id, draw.lot_id, part, note)
            left -= part
    return ChargeRefund(
        request_id=request_id,
        organization_id=organization_id,
        mode=Mode(mode),
        charge_nanos=charge,
        amount_nanos=amount,
        note=note,
        refunded_at=desk.now,
    )


def begin_refund(desk: Desk, topup_id: str, amount_nanos: int | None, note: str) -> PaymentRefund:
    """Takes a payment's refund out of the ledger before the service is asked to send it, so that it cannot be spent
    meanwhile. `amount_nanos` is of the credit, and its tax goes back beside it; without an amount, all of the credit
    that was not spent, in whole cents.

    Raises [not_found], [invalid_request] when nothing, or less than that, is left of the payment.
    """
    topup = _paid(find_topup(desk.connection, topup_id), topup_id)
    assert topup.payment_id is not None
    assert topup.lot_id is not None
    lock_payment(desk, topup.service, topup.payment_id)
    book = desk.book(topup.organization_id, topup.mode)
    topup = _paid(find_topup(desk.connection, topup_id), topup_id)
    assert topup.lot_id is not None
    collect_owed(desk, book)
    lot = lot_of(desk, book, topup.lot_id)
    refundable = max(0, min(lot.remaining_nanos, free_nanos(book))) // NANOS_PER_CENT * NANOS_PER_CENT
    net = refundable if amount_nanos is None else amount_nanos
    if not 0 < net <= refundable:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"${format_usd(refundable)} of this payment's credit was not spent and can be refunded.",
            param="amount",
        )
    amount = amount_with_tax(net // NANOS_PER_CENT, **went_back(topup)) * NANOS_PER_CENT
    refund_id = desk.make_id("rfn")
    values = (topup.service.value, refund_id, topup.payment_id, amount, note, desk.now)
    desk.connection.execute(_INSERT_CLAIM, values)
    refund_payment(desk, book, topup.service, refund_id, topup.lot_id, amount, amount - net, note)
    after = _paid(find_topup(desk.connection, topup_id), topup_id)
    return PaymentRefund(
        id=refund_id, topup=after, amount_nanos=amount, tax_nanos=amount - net, state=ClaimState.APPLIED
    )


def fail_refund(desk: Desk, refund: PaymentRefund, reason: str) -> None:
    """Puts a refund back that the service did not send. A second time does nothing."""
    topup = refund.topup
    assert topup.payment_id is not None
    lock_payment(desk, topup.service, topup.payment_id)
    book = desk.book(topup.organization_id, topup.mode)
    row = desk.connection.execute(_FAIL_CLAIM, (topup.service.value, refund.id)).fetchone()
    if row is not None:
        reverse(desk, book, topup.service, ClaimKind.REFUND, refund.id, reason)


def applied_refunds(connection: Any, service: Service, mode: Mode, since: int) -> tuple[tuple[str, str, int], ...]:
    """Id, payment and amount of refunds that count as sent, from a time on."""
    return tuple(connection.execute(_OPEN_CLAIMS, (service.value, mode.value, since)).fetchall())


def _paid(topup: TopUp | None, topup_id: str) -> TopUp:
    if topup is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no top-up {topup_id[:64]!r}.")
    if topup.state is not TopUpState.PAID or topup.service is Service.SANDBOX:
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"No payment was made for the top-up {topup.id}.")
    return topup
