"""Top-ups: asked for once, opened at a payment service, credited once by the payment that pays them."""

from typing import Any

from tessera.adapters.storage.ledger.accounts import add_credit
from tessera.adapters.storage.money.adjustments import Desk, collect_tax
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode
from tessera.domain.payments.records import (
    Service,
    TopUp,
    TopUpKind,
    TopUpOrder,
    TopUpState,
)
from tessera.ports import Page

NEWEST = "~"

TOPUP = """
SELECT topup.id, organization_id, mode, service, topup.kind, topup.amount_nanos, fingerprint, state, save_card,
    session_id, url, payment_id, lot_id, failure, topup.created_at, paid_at,
    (SELECT coalesce(sum(claim.amount_nanos), 0) FROM payment_claim AS claim WHERE claim.service = topup.service
        AND claim.payment_id = topup.payment_id AND claim.kind = 'refund' AND claim.state = 'applied'),
    (SELECT coalesce(sum(claim.amount_nanos), 0) FROM payment_claim AS claim WHERE claim.service = topup.service
        AND claim.payment_id = topup.payment_id AND claim.kind = 'dispute' AND claim.state = 'applied'),
    taxed, tax_nanos,
    (SELECT coalesce(sum(moved.amount_nanos), 0) FROM payment_claim AS claim
        JOIN adjustment AS moved ON moved.subject = claim.id AND moved.from_account = 'tax'
        WHERE claim.service = topup.service AND claim.payment_id = topup.payment_id AND claim.state = 'applied'),
    (SELECT coalesce(sum(fee.amount_nanos), 0) FROM payment_fee AS fee WHERE fee.service = topup.service
        AND fee.payment_id = topup.payment_id AND fee.state = 'booked'),
    fee_due_at
FROM topup
"""
_BY_ID = TOPUP + " WHERE id = ?"
_BY_PAYMENT = TOPUP + " WHERE service = ? AND payment_id = ?"
_BY_KEY = TOPUP + " WHERE organization_id = ? AND mode = ? AND idempotency_key = ?"
_OWN = TOPUP + " WHERE organization_id = ? AND mode = ? AND id = ?"
_LIST = TOPUP + " WHERE organization_id = ? AND mode = ? AND id < ? ORDER BY id DESC LIMIT ?"
_LIST_ALL = TOPUP + " WHERE id < ? ORDER BY id DESC LIMIT ?"
_PAID_SINCE = TOPUP + " WHERE service = ? AND mode = ? AND state = 'paid' AND paid_at >= ? ORDER BY id"
_FEE_DUE = TOPUP + " WHERE fee_due_at <= ? AND service = ? AND mode = ? ORDER BY fee_due_at LIMIT 100"
_ASK_FOR_FEE = "UPDATE topup SET fee_due_at = 0 WHERE id = ? AND fee_due_at IS NOT NULL"
_POSTPONE_FEE = "UPDATE topup SET fee_due_at = ? WHERE id = ? AND fee_due_at = ?"
_END_FEE = "UPDATE topup SET fee_due_at = NULL WHERE id = ?"
_INSERT = """
INSERT INTO topup (
    id, organization_id, mode, service, kind, amount_nanos, idempotency_key, fingerprint, state, save_card, taxed,
    created_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'created', ?, ?, ?)
"""
_OPEN = "UPDATE topup SET state = 'open', session_id = ?, url = ? WHERE id = ? AND state = 'created'"
_END = "UPDATE topup SET state = ?, failure = ? WHERE id = ? AND state IN ('created', 'open')"
# Paid after the deletion of its organization, whatever a replica's clock says: so it is found and goes back.
_PAY = """
UPDATE topup SET state = 'paid', payment_id = ?, lot_id = ?, tax_nanos = ?, fee_due_at = ?,
    paid_at = max(?, coalesce((SELECT closed_at FROM organization WHERE organization.id = organization_id), 0))
WHERE id = ? AND state <> 'paid'
"""
_KEEP_CARD = """
INSERT INTO automatic_topup (organization_id, mode, customer_id, changed_at)
SELECT id, ?, ?, ? FROM organization WHERE id = ? AND closed_at IS NULL
ON CONFLICT (organization_id, mode) DO UPDATE SET customer_id = excluded.customer_id, changed_at = excluded.changed_at
"""


def create_topup(desk: Desk, order: TopUpOrder) -> tuple[TopUp, bool]:
    """Stores a top-up before the service hears of it; or finds the one this key was used for, and says that it did.

    Raises [idempotency_mismatch, not_found].
    """
    desk.book(order.organization_id, order.mode)
    key = (order.organization_id, order.mode.value, order.idempotency_key)
    row = desk.connection.execute(_BY_KEY, key).fetchone()
    if row is not None:
        earlier = topup_of(row)
        if earlier.fingerprint != order.fingerprint:
            raise TesseraError(
                ErrorCode.IDEMPOTENCY_MISMATCH,
                "This Idempotency-Key was used for another top-up. Send the same body again, or use a new key.",
                param="Idempotency-Key",
                should_retry=False,
            )
        return earlier, True
    insert_topup(desk, order)
    return _known(desk, order.id), False


def insert_topup(desk: Desk, order: TopUpOrder) -> None:
    """Writes a new top-up."""
    whose = (order.id, order.organization_id, order.mode.value, order.service.value, order.kind.value)
    what = (order.amount_nanos, order.idempotency_key, order.fingerprint, int(order.save_card), int(order.taxed))
    desk.connection.execute(_INSERT, (*whose, *what, desk.now))


def open_topup(desk: Desk, topup_id: str, session_id: str, url: str | None) -> TopUp:
    """Notes where a top-up can be paid. One that has gone on meanwhile stays as it is."""
    desk.connection.execute(_OPEN, (session_id, url, topup_id))
    return _known(desk, topup_id)


def end_topup(desk: Desk, topup_id: str, state: TopUpState, reason: str) -> bool:
    """Ends a top-up that will not be paid; says whether it was still waiting."""
    ended: int = desk.connection.execute(_END, (state.value, reason, topup_id)).rowcount
    return ended == 1


def credit_topup(desk: Desk, topup: TopUp, payment_id: str, customer_id: str | None, tax_nanos: int) -> None:
    """Turns a top-up that was paid into a lot of credit, and the tax beside it into a debt. Its wallet is locked."""
    note = f"top-up {topup.id}"
    kind = "purchase" if topup.service is Service.STRIPE else "promotion"
    lot = add_credit(
        desk.connection,
        desk.books,
        topup.organization_id,
        topup.mode,
        topup.amount_nanos,
        kind,
        note,
        None,
        desk.now_us,
        desk.make_id,
    )
    fee_due_at = desk.now if topup.service is Service.STRIPE else None
    values = (payment_id, lot.id, tax_nanos, fee_due_at, desk.now, topup.id)
    paid = desk.connection.execute(_PAY, values).rowcount
    assert paid == 1, "the wallet is locked: nobody else pays it"
    collect_tax(desk, desk.book(topup.organization_id, topup.mode), topup.id, tax_nanos, note)
    if topup.save_card and customer_id is not None:
        # Not of a deleted organization, of whom nothing may be remembered.
        card = (topup.mode.value, customer_id, desk.now, topup.organization_id)
        desk.connection.execute(_KEEP_CARD, card)


def find_topup(connection: Any, topup_id: str) -> TopUp | None:
    """A top-up by its id."""
    row = connection.execute(_BY_ID, (topup_id,)).fetchone()
    return None if row is None else topup_of(row)


def find_paid_by(connection: Any, service: Service, payment_id: str) -> TopUp | None:
    """The top-up that a payment paid."""
    row = connection.execute(_BY_PAYMENT, (service.value, payment_id)).fetchone()
    return None if row is None else topup_of(row)


def own_topup(connection: Any, organization_id: str, mode: Mode, topup_id: str) -> TopUp | None:
    """A top-up of an organization in a mode."""
    row = connection.execute(_OWN, (organization_id, mode.value, topup_id)).fetchone()
    return None if row is None else topup_of(row)


def list_topups(connection: Any, organization_id: str, mode: Mode, page: Page) -> tuple[TopUp, ...]:
    """Newest first. Raises [invalid_request] for an `after` that is none of them."""
    if page.after is not None and own_topup(connection, organization_id, mode, page.after) is None:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "after must be an id from this list.", param="after")
    rows = connection.execute(_LIST, (organization_id, mode.value, page.after or NEWEST, page.limit))
    return tuple(topup_of(row) for row in rows)


def list_all_topups(connection: Any, page: Page) -> tuple[TopUp, ...]:
    """Of all organizations, newest first."""
    return tuple(topup_of(row) for row in connection.execute(_LIST_ALL, (page.after or NEWEST, page.limit)))


def list_paid(connection: Any, service: Service, mode: Mode, since: int) -> tuple[TopUp, ...]:
    """Top-ups paid from a time on."""
    return tuple(topup_of(row) for row in connection.execute(_PAID_SINCE, (service.value, mode.value, since)))


def list_fee_due(connection: Any, service: Service, mode: Mode, now: int) -> tuple[TopUp, ...]:
    """Top-ups whose payment's fee is to be asked for, the longest due first."""
    return tuple(topup_of(row) for row in connection.execute(_FEE_DUE, (now, service.value, mode.value)))


def ask_for_fee(desk: Desk, topup_id: str) -> bool:
    """Has a fee asked for at once; says whether it is waited for."""
    changed: int = desk.connection.execute(_ASK_FOR_FEE, (topup_id,)).rowcount
    return changed == 1


def postpone_fee(desk: Desk, topup: TopUp, at: int | None) -> None:
    """When a fee that was not known is asked for next, None for never; unless it is to be asked for at once since."""
    desk.connection.execute(_POSTPONE_FEE, (at, topup.id, topup.fee_due_at))


def end_fee(desk: Desk, topup_id: str) -> None:
    """A fee is known: nobody asks for it again."""
    desk.connection.execute(_END_FEE, (topup_id,))


def topup_of(row: tuple[Any, ...]) -> TopUp:
    """A row of the query above."""
    return TopUp(
        id=row[0],
        organization_id=row[1],
        mode=Mode(row[2]),
        service=Service(row[3]),
        kind=TopUpKind(row[4]),
        amount_nanos=row[5],
        fingerprint=row[6],
        state=TopUpState(row[7]),
        save_card=bool(row[8]),
        session_id=row[9],
        url=row[10],
        payment_id=row[11],
        lot_id=row[12],
        failure=row[13],
        created_at=row[14],
        paid_at=row[15],
        refunded_nanos=int(row[16]),
        disputed_nanos=int(row[17]),
        taxed=bool(row[18]),
        tax_nanos=row[19],
        returned_tax_nanos=int(row[20]),
        fee_nanos=int(row[21]),
        fee_due_at=row[22],
    )


def _known(desk: Desk, topup_id: str) -> TopUp:
    found = find_topup(desk.connection, topup_id)
    if found is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no top-up {topup_id[:64]!r}.")
    return found
