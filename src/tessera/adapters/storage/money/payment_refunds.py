"""A payment's refund in the ledger: what is free leaves at once, what running calls hold when they give it back.

Always holds: what a refund is still owed stands in the wallet's `disputed_nanos`, so that no call can hold it again,
and in the rows of the calls it waits for. What those calls spend is the operator's loss.
"""

from typing import NamedTuple

from tessera.adapters.storage.ledger.books import Book
from tessera.adapters.storage.ledger.rows import decode_draws
from tessera.adapters.storage.money.adjustments import (
    Desk,
    available_nanos,
    lot_of,
    move,
    move_tax,
    owed_nanos,
    set_disputed,
)
from tessera.domain.ledger.resolutions import charged_draws
from tessera.domain.ledger.transfers import Account, CreditKind
from tessera.domain.ledger.wallet import put_back_into_lot, take_from_lot
from tessera.domain.payments.records import Service

# By a plus, so that the index of open holds is read, not that of all the wallet ever had.
_OPEN_HOLDS = "SELECT number, draws FROM hold WHERE state = 'open' AND +wallet_id = ? ORDER BY number"
_OWE = """
INSERT INTO owed_refund (service, id, wallet_id, lot_id, amount_nanos, left_nanos, created_at_us)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""
_WAIT_FOR = """
INSERT INTO owed_draw (service, refund_id, hold_number, lot_id, amount_nanos) VALUES (?, ?, ?, ?, ?)
"""
_FIND_OWED = """
SELECT owed.service, owed.id, owed.lot_id, left_nanos, claim.note FROM owed_refund AS owed
JOIN payment_claim AS claim ON claim.service = owed.service AND claim.id = owed.id
WHERE wallet_id = ? AND left_nanos > 0 ORDER BY created_at_us, owed.id
"""
_FIND_ENDED = """
SELECT hold_number, owed_draw.lot_id, owed_draw.amount_nanos, draws, charge_nanos
FROM owed_draw JOIN hold ON hold.number = hold_number
WHERE service = ? AND refund_id = ? AND state <> 'open' ORDER BY hold_number, owed_draw.lot_id
"""
_DROP_DRAW = "DELETE FROM owed_draw WHERE service = ? AND refund_id = ? AND hold_number = ? AND lot_id = ?"
_DROP_DRAWS = "DELETE FROM owed_draw WHERE service = ? AND refund_id = ?"
_WAITING = "SELECT coalesce(sum(amount_nanos), 0) FROM owed_draw WHERE service = ? AND refund_id = ?"
_FIND_LEFT = "SELECT left_nanos FROM owed_refund WHERE service = ? AND id = ? AND left_nanos > 0"
_SET_LEFT = "UPDATE owed_refund SET left_nanos = ? WHERE service = ? AND id = ?"
_FIND_TAKEN = """
SELECT lot_id, from_account, sum(amount_nanos) FROM adjustment
WHERE subject = ? AND kind IN ('payment_refund', 'refund_collected', 'refund_lost') AND from_account <> 'owed'
GROUP BY lot_id, from_account ORDER BY min(id)
"""


class _Owed(NamedTuple):
    """A refund that waits for running calls; `left_nanos` of it is neither collected nor lost."""

    service: str
    id: str
    lot_id: str
    left_nanos: int
    note: str


def refund_payment(
    desk: Desk,
    book: Book,
    service: Service,
    refund_id: str,
    lot_id: str,
    amount_nanos: int,
    tax_nanos: int,
    note: str,
) -> None:
    """Takes a refund that the payment service has sent out of the ledger.

    Its tax is due no more. The rest comes out of the payment's own lot, then of other lots that were paid for; what
    running calls hold of them it is owed until they end. What was spent already is the operator's loss, because only a
    dispute may take a balance below zero.
    """
    collect_owed(desk, book)
    move_tax(desk, book, "payment_refund", Account.TAX, Account.CASH, tax_nanos, refund_id, note)
    asked = _Owed(service.value, refund_id, lot_id, amount_nanos - tax_nanos, note)
    left = _take(desk, book, asked, "payment_refund", Account.CASH, gifts=False)
    left -= _owe(desk, book, asked._replace(left_nanos=left))
    if left:
        move(desk, book, "payment_refund", None, Account.OPERATOR_LOSS, Account.CASH, left, refund_id, note)


def return_refund(desk: Desk, book: Book, service: Service, refund_id: str, note: str) -> None:
    """Undoes a payment's refund that did not go through: everything goes back where it came from, and it is owed no
    more."""
    collect_owed(desk, book)
    kind = "payment_refund_failed"
    for lot_id, source, total in desk.connection.execute(_FIND_TAKEN, (refund_id,)).fetchall():
        amount = int(total)
        if source == Account.TAX:
            move_tax(desk, book, kind, Account.CASH, Account.TAX, amount, refund_id, note)
            continue
        move(desk, book, kind, lot_id, Account.CASH, Account(source), amount, refund_id, note)
        if lot_id is not None:
            lot_of(desk, book, lot_id)
            book.wallet = put_back_into_lot(book.wallet, lot_id, amount)
    key = (service.value, refund_id)
    for (left,) in desk.connection.execute(_FIND_LEFT, key).fetchall():
        move(desk, book, kind, None, Account.CASH, Account.OWED, left, refund_id, note)
        set_disputed(desk, book, book.wallet.disputed_nanos - left)
        _set_left(desk, key, 0)


def collect_owed(desk: Desk, book: Book) -> None:
    """Gives refunds what calls that have ended gave back since, the oldest refund first.

    What those calls spent, and what other calls were let to spend in its stead, is the operator's loss. Again without a
    call having ended, it changes nothing.
    """
    back: dict[tuple[int, str], int] = {}
    for owed in [_Owed(*row) for row in desk.connection.execute(_FIND_OWED, (book.id,)).fetchall()]:
        key = (owed.service, owed.id)
        came = 0
        ended = desk.connection.execute(_FIND_ENDED, key).fetchall()
        if not ended:
            continue
        for number, lot_id, drawn, draws, charge in ended:
            charged = {draw.lot_id: draw.amount_nanos for draw in charged_draws(decode_draws(draws), charge)}
            part = min(back.setdefault((number, lot_id), drawn - charged.get(lot_id, 0)), owed.left_nanos - came)
            back[number, lot_id] -= part
            came += part
        desk.connection.executemany(_DROP_DRAW, [(*key, *draw[:2]) for draw in ended])
        waiting = int(desk.connection.execute(_WAITING, key).fetchone()[0])
        left = min(owed.left_nanos - came, waiting)
        _set_left(desk, key, left)
        set_disputed(desk, book, book.wallet.disputed_nanos - (owed.left_nanos - left))
        gone = _take(desk, book, owed._replace(left_nanos=came), "refund_collected", Account.OWED, gifts=True)
        lost = owed.left_nanos - left - came + gone
        if lost:
            move(desk, book, "refund_lost", None, Account.OPERATOR_LOSS, Account.OWED, lost, owed.id, owed.note)


def _take(desk: Desk, book: Book, refund: _Owed, kind: str, target: Account, *, gifts: bool) -> int:
    """Takes what is free of the wallet's lots, the payment's own first; gives what was not there. A gift is taken only
    for paid credit that came back and that another call holds by now: without it that call would hold the gift."""
    own = lot_of(desk, book, refund.lot_id)
    paid = [lot for lot in book.wallet.lots if lot.id != own.id and lot.kind != CreditKind.PROMOTION]
    given = [lot for lot in book.wallet.lots if lot.id != own.id and lot.kind == CreditKind.PROMOTION and gifts]
    left, free = refund.left_nanos, available_nanos(desk, book)
    for lot in (own, *paid, *given):
        part = min(lot.remaining_nanos, left, free)
        if part > 0:
            move(desk, book, kind, lot.id, Account.AVAILABLE, target, part, refund.id, refund.note)
            book.wallet = take_from_lot(book.wallet, lot.id, part)
            left -= part
            free -= part
    return left


def _owe(desk: Desk, book: Book, refund: _Owed) -> int:
    """Has a refund wait for what running calls hold of credit that was paid for, and that no other refund waits for;
    gives how much that is."""
    if not refund.left_nanos or not book.wallet.held_nanos:
        return 0
    paid = {lot.id for lot in book.wallet.lots if lot.kind != CreditKind.PROMOTION}
    draws = [
        (refund.service, refund.id, number, draw.lot_id, draw.amount_nanos)
        for number, drawn in desk.connection.execute(_OPEN_HOLDS, (book.id,)).fetchall()
        for draw in decode_draws(drawn)
        if draw.lot_id in paid
    ]
    held = sum(draw[-1] for draw in draws) - owed_nanos(desk, book)
    owed = min(refund.left_nanos, held)
    if owed <= 0:
        return 0
    values = (refund.service, refund.id, book.id, refund.lot_id, owed, owed, desk.now_us)
    desk.connection.execute(_OWE, values)
    desk.connection.executemany(_WAIT_FOR, draws)
    move(desk, book, "payment_refund", None, Account.OWED, Account.CASH, owed, refund.id, refund.note)
    set_disputed(desk, book, book.wallet.disputed_nanos + owed)
    return owed


def _set_left(desk: Desk, key: tuple[str, str], left_nanos: int) -> None:
    desk.connection.execute(_SET_LEFT, (left_nanos, *key))
    if not left_nanos:
        desk.connection.execute(_DROP_DRAWS, key)
