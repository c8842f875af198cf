"""The writer's view of the database inside one transaction: wallets, lots and open holds, cached between commits.

Always holds: what is cached equals the last commit seen by this connection; every rollback empties the cache. How
another process's commit is noticed, and how holds are numbered, is the database's.
"""

import sqlite3
from abc import ABC, abstractmethod
from typing import Any

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.chain import Value, next_link, signature
from tessera.domain.ledger.limits import Meter, SubjectKind
from tessera.domain.ledger.losses import SuspensionReason
from tessera.domain.ledger.transfers import Account
from tessera.domain.ledger.wallet import Draw, LotBalance, Wallet, drawing_order
from tessera.domain.money import Mode
from tessera.log import get_logger

log = get_logger(__name__)

_FIND_WALLET = """
SELECT wallet.id, available_nanos, held_nanos, revenue_nanos, cash_nanos, promotions_nanos, provider_cost_nanos,
    provider_payable_nanos, operator_loss_nanos, chain_seq, chain_link, suspended, signature,
    suspended_for, disputed_nanos, fees_nanos, tax_nanos
FROM wallet JOIN organization ON organization.id = wallet.organization_id
WHERE wallet.organization_id = ? AND mode = ?
"""

_FIND_LOTS = """
SELECT id, kind, expires_at, remaining_nanos, held_nanos, spent_nanos, expired_nanos
FROM lot WHERE wallet_id = ? AND (remaining_nanos > 0 OR held_nanos > 0)
"""

WRITE_WALLET = """
UPDATE wallet SET available_nanos = ?, held_nanos = ?, revenue_nanos = ?, cash_nanos = ?, promotions_nanos = ?,
    provider_cost_nanos = ?, provider_payable_nanos = ?, operator_loss_nanos = ?, chain_seq = ?, chain_link = ?,
    signature = ?
WHERE id = ? AND chain_seq = ?
"""

WRITE_LOT = """
UPDATE lot SET remaining_nanos = ?, held_nanos = ?, spent_nanos = ?, expired_nanos = ? WHERE id = ? AND wallet_id = ?
"""

SUSPEND = "UPDATE organization SET suspended = ?, suspended_for = ? WHERE id = ?"
_AS_IT_WAS_READ = " AND suspended = ? AND coalesce(suspended_for, '') = ?"

CACHED_WALLETS_MAX = 10_000
"""How many wallets are remembered between transactions; one transaction may read more."""


class ConflictError(Exception):
    """A conditional write met a row it did not expect; the transaction must be rolled back and decided again."""


class OpenHold(msgspec.Struct, frozen=True, gc=False):
    """What settling a hold needs to know of it. `kind` is its project, key, model and endpoint."""

    number: int
    amount_nanos: int
    draws: tuple[Draw, ...]
    kind: tuple[str, str, str, str]


class Book:
    """One wallet with its operator accounts and the end of its chain, as it will be after this transaction."""

    __slots__ = (
        "chain_link",
        "chain_seq",
        "fees_nanos",
        "id",
        "metered",
        "meters",
        "mode",
        "operator",
        "organization_id",
        "tax_nanos",
        "wallet",
        "written",
    )

    def __init__(self, organization_id: str, mode: str, row: tuple[Any, ...], lots: tuple[LotBalance, ...]) -> None:
        self.organization_id = organization_id
        self.mode = mode
        self.id: int = row[0]
        self.wallet = Wallet(
            available_nanos=row[1],
            held_nanos=row[2],
            lots=lots,
            suspended=bool(row[11]),
            suspended_for=SuspensionReason(row[13]) if row[13] else None,
            disputed_nanos=row[14],
        )
        self.operator: dict[Account, int] = dict(zip(OPERATOR_ACCOUNTS, row[3:9], strict=True))
        self.fees_nanos: int = row[15]
        self.tax_nanos: int = row[16]
        self.chain_seq: int = row[9]
        self.chain_link: bytes = row[10]
        self.written = (self.chain_seq, lots)
        self.meters: dict[tuple[SubjectKind, str], Meter] = {}
        # By project and key: the meters above that a call of theirs moves.
        self.metered: dict[tuple[str, str], tuple[Meter, Meter, Meter]] = {}

    def link(self, kind: str, values: tuple[Value, ...]) -> tuple[int, bytes]:
        """Appends a movement to the chain; gives its number and link."""
        self.chain_seq += 1
        self.chain_link = next_link(self.chain_link, (kind, self.chain_seq, *values))
        return self.chain_seq, self.chain_link

    def move(self, source: Account, target: Account, amount_nanos: int) -> None:
        """Moves money between operator accounts; the customer's two are kept by the wallet."""
        if source in self.operator:
            self.operator[source] -= amount_nanos
        if target in self.operator:
            self.operator[target] += amount_nanos

    def settle(self, charge_nanos: int, cost_nanos: int) -> None:
        """Moves what a call was charged out of what was held, and what it cost into what is owed."""
        operator = self.operator
        operator[Account.REVENUE] += charge_nanos
        operator[Account.PROVIDER_COST] -= cost_nanos
        operator[Account.PROVIDER_PAYABLE] += cost_nanos

    @property
    def beside(self) -> tuple[int, int, int]:
        """What stands beside the balances of the table: disputed, fees, tax."""
        return (self.wallet.disputed_nanos, self.fees_nanos, self.tax_nanos)

    def balances(self) -> tuple[int, ...]:
        """All balances, in the order of the table."""
        return (self.wallet.available_nanos, self.wallet.held_nanos, *self.operator.values())


OPERATOR_ACCOUNTS = (
    Account.REVENUE,
    Account.CASH,
    Account.PROMOTIONS,
    Account.PROVIDER_COST,
    Account.PROVIDER_PAYABLE,
    Account.OPERATOR_LOSS,
)


def sign_wallet(
    key: bytes,
    wallet_id: int,
    organization_id: str,
    mode: str,
    balances: tuple[int, ...],
    seq: int,
    link: bytes,
    beside: tuple[int, int, int] = (0, 0, 0),
) -> bytes:
    """The checkpoint of a wallet: its balances and the end of its chain, signed; what stands beside them, if anything
    does."""
    more: list[Value] = []
    for name, nanos in zip(("disputed", "fees", "tax"), beside, strict=True):
        if nanos:
            more += [name, nanos]
    return signature(key, "wallet", (wallet_id, organization_id, mode, *balances, seq, link, *more))


class Books(ABC):
    """All wallets a transaction touches. Use `book` to read, `write` once at the end."""

    def __init__(self, checkpoint_key: bytes) -> None:
        self._key = checkpoint_key
        self._books: dict[tuple[str, str], Book] = {}
        self._touched: dict[int, Book] = {}
        self.open_holds: dict[str, OpenHold] = {}
        self.series: dict[tuple[int | str, ...], int] = {}

    @abstractmethod
    def refresh(self, connection: Any) -> bool:
        """A transaction begins: empties the cache if another process has committed since; says whether it did."""

    @abstractmethod
    def next_number(self, connection: Any) -> int:
        """The number of the next hold."""

    def clear(self) -> None:
        """Forgets everything, after a rollback or another process's commit."""
        self._books.clear()
        self._touched.clear()
        self.open_holds.clear()
        self.series.clear()

    def book(self, connection: sqlite3.Connection, organization_id: str, mode: Mode) -> Book:
        """The book of an organization in one mode. Raises [not_found, storage_unavailable].

        A wallet whose checkpoint is not signed by this ledger was edited: it moves nothing more, because the next
        commit would sign the edit.
        """
        book = self._books.get((organization_id, mode))
        if book is None:
            row = connection.execute(_FIND_WALLET, (organization_id, mode.value)).fetchone()
            if row is None:
                raise TesseraError(ErrorCode.NOT_FOUND, "There is no such organization.")
            self._check_signature(organization_id, mode, row)
            lots = drawing_order(
                LotBalance(
                    id=lot[0],
                    kind=lot[1],
                    expires_at=lot[2],
                    remaining_nanos=lot[3],
                    held_nanos=lot[4],
                    spent_nanos=lot[5],
                    expired_nanos=lot[6],
                )
                for lot in connection.execute(_FIND_LOTS, (row[0],))
            )
            book = Book(organization_id, mode.value, row, lots)
            self._books[organization_id, mode] = book
        self._touched[book.id] = book
        return book

    def _check_signature(self, organization_id: str, mode: Mode, row: tuple[Any, ...]) -> None:
        if row[12] != sign_wallet(
            self._key, row[0], organization_id, mode.value, row[1:9], row[9], row[10], row[14:17]
        ):
            log.critical("ledger.wallet_edited", wallet=row[0], organization_id=organization_id, mode=mode.value)
            raise TesseraError(
                ErrorCode.STORAGE_UNAVAILABLE,
                "This organization's ledger does not pass its audit and is stopped. Ask the operator of this gateway.",
                should_retry=False,
            )

    def suspend_by_itself(self, connection: sqlite3.Connection, book: Book, reason: SuspensionReason | None) -> bool:
        """Suspends a book's organization, or lifts its suspension, for what has happened in the ledger; False, and
        nothing changes, if an operator has changed the suspension since it was read: a wallet's lock does not hold it.
        """
        before = book.wallet.suspended_for
        now = (int(reason is not None), reason.value if reason else None, book.organization_id)
        was = (int(book.wallet.suspended), before.value if before else "")
        changed: int = connection.execute(SUSPEND + _AS_IT_WAS_READ, (*now, *was)).rowcount
        if changed:
            self.note_suspension(book.organization_id, reason)
        return changed == 1

    def note_suspension(self, organization_id: str, reason: SuspensionReason | None) -> None:
        """An organization was suspended in this transaction, or its suspension lifted: in both modes."""
        for mode in Mode:
            book = self._books.get((organization_id, mode))
            if book is not None:
                book.wallet = msgspec.structs.replace(book.wallet, suspended=reason is not None, suspended_for=reason)

    def drop(self, organization_id: str) -> None:
        """Forgets one organization's books, whose rows a change has written by itself."""
        for mode in Mode:
            self._books.pop((organization_id, mode), None)

    def write(self, connection: sqlite3.Connection) -> None:
        """Writes every wallet and lot that changed. Raises Conflict if a row is not as it was read."""
        wallets: list[tuple[Value, ...]] = []
        lots: list[tuple[Value, ...]] = []
        for book in self._touched.values():
            seq, before = book.written
            if book.chain_seq == seq:
                continue
            balances = book.balances()
            signed = sign_wallet(
                self._key,
                book.id,
                book.organization_id,
                book.mode,
                balances,
                book.chain_seq,
                book.chain_link,
                book.beside,
            )
            wallets.append((*balances, book.chain_seq, book.chain_link, signed, book.id, seq))
            known = {lot.id: lot for lot in before}
            for lot in book.wallet.lots:
                if known.get(lot.id) is not lot:
                    lots.append(
                        (lot.remaining_nanos, lot.held_nanos, lot.spent_nanos, lot.expired_nanos, lot.id, book.id)
                    )
            live = tuple(lot for lot in book.wallet.lots if lot.remaining_nanos or lot.held_nanos)
            if len(live) != len(book.wallet.lots):
                book.wallet = msgspec.structs.replace(book.wallet, lots=live)
            book.written = (book.chain_seq, book.wallet.lots)
        self._touched.clear()
        expect(connection.executemany(WRITE_WALLET, wallets), len(wallets))
        expect(connection.executemany(WRITE_LOT, lots), len(lots))
        if len(self._books) > CACHED_WALLETS_MAX:
            # Only here, where all is written: a book read a second time in one transaction would be another one.
            self._books.clear()


def expect(cursor: sqlite3.Cursor, rows: int) -> None:
    """Checks how many rows a conditional write changed. Raises Conflict."""
    if rows and cursor.rowcount != rows:
        raise ConflictError(f"{cursor.rowcount} rows changed instead of {rows}")
