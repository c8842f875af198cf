"""Movements of money that belong to no call and open no lot, each one link of its wallet's chain."""

import hashlib
from typing import Any, NamedTuple

import msgspec

from tessera.adapters.storage.ledger.books import Book, Books
from tessera.domain.ids import make_id
from tessera.domain.ledger.chain import Value
from tessera.domain.ledger.losses import SuspensionReason
from tessera.domain.ledger.transfers import Account
from tessera.domain.ledger.wallet import (
    LotBalance,
    add_lot,
    unspend,
)
from tessera.domain.money import Mode

_INSERT = """
INSERT INTO adjustment (
    id, wallet_id, lot_id, kind, from_account, to_account, amount_nanos, subject, note, created_at_us, chain_seq,
    chain_link
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_FIND_LOT = """
SELECT id, kind, expires_at, remaining_nanos, held_nanos, spent_nanos, expired_nanos
FROM lot WHERE id = ? AND wallet_id = ?
"""
_SET_BESIDE = "UPDATE wallet SET disputed_nanos = ?, fees_nanos = ?, tax_nanos = ? WHERE id = ?"
_FIND_DISPUTED = """
SELECT from_account, amount_nanos FROM adjustment WHERE subject = ? AND kind = 'dispute' ORDER BY id
"""
_OWED = "SELECT coalesce(sum(left_nanos), 0) FROM owed_refund WHERE wallet_id = ? AND left_nanos > 0"


class Desk(NamedTuple):
    """What every change works with: the connection inside its transaction, the books, the time, and ids."""

    connection: Any
    books: Books
    now_us: int
    make_id: Any

    @property
    def now(self) -> int:
        """Seconds since 1970."""
        return self.now_us // 1_000_000

    def book(self, organization_id: str, mode: str) -> Book:
        """The wallet of an organization, locked for the rest of the transaction. Raises [not_found]."""
        return self.books.book(self.connection, organization_id, Mode(mode))


def dispute_payment(desk: Desk, book: Book, subject: str, amount_nanos: int, tax_nanos: int, note: str) -> None:
    """Takes a disputed payment back, below zero if it was spent; then the organization is suspended. Its tax is owed
    no more."""
    move_tax(desk, book, "dispute", Account.TAX, Account.CASH, tax_nanos, subject, note)
    net = amount_nanos - tax_nanos
    if net:
        move(desk, book, "dispute", None, Account.AVAILABLE, Account.CASH, net, subject, note, physical=False)
        set_disputed(desk, book, book.wallet.disputed_nanos + net)
    if available_nanos(desk, book) < 0 and not book.wallet.suspended:
        desk.books.suspend_by_itself(desk.connection, book, SuspensionReason.DISPUTE)


def win_dispute(desk: Desk, book: Book, subject: str, note: str) -> None:
    """Gives back what a dispute that was won had taken, and lifts the suspension it caused."""
    for source, amount in desk.connection.execute(_FIND_DISPUTED, (subject,)).fetchall():
        if source == Account.TAX:
            move_tax(desk, book, "dispute_won", Account.CASH, Account.TAX, amount, subject, note)
            continue
        move(desk, book, "dispute_won", None, Account.CASH, Account.AVAILABLE, amount, subject, note, physical=False)
        set_disputed(desk, book, book.wallet.disputed_nanos - amount)
    if available_nanos(desk, book) >= 0 and book.wallet.suspended_for is SuspensionReason.DISPUTE:
        desk.books.suspend_by_itself(desk.connection, book, None)


def collect_tax(desk: Desk, book: Book, subject: str, amount_nanos: int, note: str) -> None:
    """Books tax that was paid beside credit: it is owed to the state."""
    move_tax(desk, book, "tax", Account.CASH, Account.TAX, amount_nanos, subject, note)


def book_fee(desk: Desk, book: Book, transaction_id: str, amount_nanos: int, at: int, note: str) -> None:
    """Books what a payment service kept, or gave back of it (below zero). Its movement's id follows from the service's
    transaction: the same fee always has the same id."""
    source, target = Account.FEES, Account.CASH
    if amount_nanos < 0:
        source, target = target, source
    if amount_nanos:
        kind = "fee" if amount_nanos > 0 else "fee_returned"
        id_ = make_id("crd", at * 1000, hashlib.sha256(transaction_id.encode()).digest()[:10])
        amount = abs(amount_nanos)
        move(desk, book, kind, None, source, target, amount, transaction_id, note, physical=False, id_=id_)
        book.fees_nanos -= amount_nanos
        _write_beside(desk, book)


def refund_charge(desk: Desk, book: Book, request_id: str, lot_id: str, amount_nanos: int, note: str) -> None:
    """Gives a part of a call's charge back to a lot that paid it."""
    lot_of(desk, book, lot_id)
    move(desk, book, "charge_refund", lot_id, Account.REVENUE, Account.AVAILABLE, amount_nanos, request_id, note)
    book.wallet = unspend(book.wallet, lot_id, amount_nanos)


def lot_of(desk: Desk, book: Book, lot_id: str) -> LotBalance:
    """A lot of the wallet, brought into it if it was left out because nothing of it remained.

    Raises LookupError for a lot of no wallet or another one.
    """
    for lot in book.wallet.lots:
        if lot.id == lot_id:
            return lot
    row = desk.connection.execute(_FIND_LOT, (lot_id, book.id)).fetchone()
    if row is None:
        raise LookupError(f"wallet {book.id} has no lot {lot_id}")
    lot = LotBalance(
        id=row[0],
        kind=row[1],
        expires_at=row[2],
        remaining_nanos=row[3],
        held_nanos=row[4],
        spent_nanos=row[5],
        expired_nanos=row[6],
    )
    book.wallet = add_lot(book.wallet, lot)
    # Nothing of it remained, so that it brings no money with it.
    assert lot.remaining_nanos == 0
    return lot


def free_nanos(book: Book) -> int:
    """What can be spent: less than `available`, as long as refunds wait for running calls."""
    return book.wallet.available_nanos - book.wallet.disputed_nanos


def owed_nanos(desk: Desk, book: Book) -> int:
    """What refunds wait for of what running calls hold."""
    return int(desk.connection.execute(_OWED, (book.id,)).fetchone()[0])


def available_nanos(desk: Desk, book: Book) -> int:
    """The balance of the account: what refunds wait for is held, so that it takes nothing from here."""
    return free_nanos(book) + owed_nanos(desk, book)


def set_disputed(desk: Desk, book: Book, disputed_nanos: int) -> None:
    """Changes what stands against the lots' sum: what disputes took, and what refunds are owed."""
    book.wallet = msgspec.structs.replace(book.wallet, disputed_nanos=disputed_nanos)
    _write_beside(desk, book)


def _write_beside(desk: Desk, book: Book) -> None:
    desk.connection.execute(_SET_BESIDE, (*book.beside, book.id))


def move_tax(
    desk: Desk, book: Book, kind: str, source: Account, target: Account, amount_nanos: int, subject: str, note: str
) -> None:
    """Moves tax between the operator's cash and what is due to the state; nothing moves nothing."""
    if amount_nanos:
        move(desk, book, kind, None, source, target, amount_nanos, subject, note, physical=False)
        book.tax_nanos += amount_nanos if target is Account.TAX else -amount_nanos
        _write_beside(desk, book)


def move(
    desk: Desk,
    book: Book,
    kind: str,
    lot_id: str | None,
    source: Account,
    target: Account,
    amount_nanos: int,
    subject: str,
    note: str,
    *,
    physical: bool = True,
    id_: str | None = None,
) -> None:
    """Writes a movement. What disputes, fees and taxes move stands in the wallet's columns beside the balances alone,
    so that lots stay as they are: for it no account's own column changes (`physical` False)."""
    values: tuple[Value, ...] = (
        id_ or desk.make_id("crd"),
        book.id,
        lot_id,
        kind,
        source.value,
        target.value,
        amount_nanos,
        subject,
        note,
        desk.now_us,
    )
    desk.connection.execute(_INSERT, (*values, *book.link("adjustment", values)))
    if physical:
        book.move(_column(source), _column(target), amount_nanos)


def _column(account: Account) -> Account:
    """Where an account stands in the table. What refunds are owed is beside `available` and `cash`, as disputes are:
    when it is collected or lost, it is `cash` that no longer needs it there."""
    return Account.CASH if account is Account.OWED else account
