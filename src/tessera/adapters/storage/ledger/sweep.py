"""What happens by itself: orphans of dead processes are resolved, refunds get what calls gave back, credit expires, old
working rows go.

Two sweepers never resolve the same hold twice: each resolution is conditional on the hold being open.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tessera.adapters.storage.ledger.books import Books
from tessera.adapters.storage.ledger.committer import Committer
from tessera.adapters.storage.ledger.group import VoidOrder, expire_credit
from tessera.adapters.storage.ledger.lease import is_alive, leases, remove_lease
from tessera.adapters.storage.ledger.outbox import outboxes
from tessera.adapters.storage.money.adjustments import Desk
from tessera.adapters.storage.money.payment_refunds import collect_owed
from tessera.domain.errors import TesseraError
from tessera.domain.ledger.idempotency import KEY_RETENTION_US
from tessera.domain.ledger.orders import Outcome
from tessera.domain.money import Mode
from tessera.log import get_logger

log = get_logger(__name__)

LEASE_US = 60_000_000
"""How long a process that left no lock file on this machine is believed alive after its last heartbeat."""

QUOTE_RETENTION_US = 7 * 24 * 3600 * 1_000_000
"""How long an expired quote can still be named as expired."""

_ORPHANS_A_GROUP = 500
_WALLETS_A_SWEEP = 500
_ROWS_A_SWEEP = 10_000
"""Calls wait while a sweep is at it: what is more is left to the next one, ten seconds later."""

_FIND_OWNERS = "SELECT DISTINCT owner FROM hold WHERE state = 'open'"

_LAST_SEEN = """
SELECT max(
    coalesce((SELECT heartbeat_at_us FROM process WHERE owner = ?1), 0),
    coalesce((SELECT max(placed_at_us) FROM hold WHERE owner = ?1 AND state = 'open'), 0)
)
"""

_FIND_ORPHANS = """
SELECT hold.id, wallet.organization_id, wallet.mode FROM hold JOIN wallet ON wallet.id = hold.wallet_id
WHERE owner = ? AND state = 'open' ORDER BY number LIMIT ?
"""

# Wallets in the order in which groups of calls lock them.
_FIND_OWING = """
SELECT DISTINCT organization_id, mode, wallet.id FROM owed_draw
JOIN hold ON hold.number = hold_number AND state <> 'open' JOIN wallet ON wallet.id = hold.wallet_id
ORDER BY wallet.id LIMIT ?
"""

_FIND_EXPIRING = """
SELECT DISTINCT organization_id, mode, wallet.id FROM lot JOIN wallet ON wallet.id = lot.wallet_id
WHERE expires_at <= ? AND remaining_nanos > 0 ORDER BY wallet.id LIMIT ?
"""

_FIND_OLD = """
SELECT EXISTS (SELECT 1 FROM idempotency WHERE placed_at_us < ?) OR EXISTS (SELECT 1 FROM quote WHERE expires_at_us < ?)
"""

_DROP_KEYS = """
DELETE FROM idempotency WHERE (wallet_id, key) IN (
    SELECT wallet_id, key FROM idempotency WHERE placed_at_us < ?
        AND NOT EXISTS (SELECT 1 FROM hold WHERE number = hold_number AND state = 'open')
    ORDER BY placed_at_us LIMIT ?
)
"""

_DROP_QUOTES = """
DELETE FROM quote WHERE id IN (SELECT id FROM quote WHERE expires_at_us < ? ORDER BY expires_at_us LIMIT ?)
"""

_DROP_PROCESS = "DELETE FROM process WHERE owner = ?"


def sweep(
    committer: Committer,
    now_us: int,
    make_id: Callable[[str], str],
    *,
    starting: bool = False,
    is_gone: Callable[[str], bool] | None = None,
) -> None:
    """Does all of it once. Raises sqlite3.Error, OSError or [storage_unavailable]; what was done stays done.

    `starting` says that this process has placed no hold yet, so that whatever carries its name is an orphan too.
    `is_gone` says of a process that never had a lock file here whether it has ended; without it, its last sign of life
    in the database decides.
    """
    connection = committer.connection()
    data_dir = committer.data_dir
    owners = {row[0] for row in connection.execute(_FIND_OWNERS)}
    boxes = outboxes(data_dir)
    for owner in sorted(owners | boxes.keys() | leases(data_dir)):
        own = owner == committer.owner
        if (own and starting) or (not own and _is_dead(connection, data_dir, owner, now_us, is_gone)):
            _alone(committer, owner, partial(_bury, committer, data_dir, owner, boxes.get(owner)))
    _collect(committer, now_us, make_id)
    _expire(committer, now_us, make_id)
    _tidy(committer, now_us)


def heartbeat(committer: Committer, now_us: int) -> None:
    """Shows that this process lives, if it has holds to keep."""
    if committer.lease.taken:
        committer.change(lambda connection, _: committer.register(connection, now_us))


def _alone(committer: Committer, whose: str, work: Callable[[], object]) -> None:
    """Does something for one process or wallet: a wallet that was edited and moves nothing more (T10) stops nobody
    else's. Raises [storage_unavailable] where the database itself cannot be reached."""
    try:
        work()
    except TesseraError as error:
        if isinstance(error.__cause__, committer.failures):
            raise
        log.error("ledger.not_swept", whose=whose, error=error.message)


def _each(
    committer: Committer,
    wallets: Sequence[tuple[str, str]],
    work: Callable[[str, str, sqlite3.Connection, Books], None],
) -> None:
    """Does something for each of these wallets (organization and mode), in one commit where all of them take it: calls
    wait for a commit, and thousands of lots may expire at midnight."""

    def together(connection: sqlite3.Connection, books: Books) -> None:
        for wallet in wallets:
            work(*wallet, connection, books)

    if not wallets:
        return
    try:
        committer.change(together)
    except TesseraError as error:
        if isinstance(error.__cause__, committer.failures):
            raise
        for wallet in wallets:
            _alone(committer, wallet[0], partial(committer.change, partial(work, *wallet)))


def _is_dead(
    connection: sqlite3.Connection, data_dir: Path, owner: str, now_us: int, is_gone: Callable[[str], bool] | None
) -> bool:
    alive = is_alive(data_dir, owner)
    if alive is not None:
        return not alive
    if is_gone is not None:
        return is_gone(owner)
    last_seen: int = connection.execute(_LAST_SEEN, (owner,)).fetchone()[0]
    return last_seen + LEASE_US < now_us


def _bury(committer: Committer, data_dir: Path, owner: str, outbox: Path | None) -> None:
    """Settles what a dead process still knew, and gives back the rest of what it held."""
    if outbox is not None and not committer.settle_outbox(outbox):
        return
    while True:
        rows = committer.connection().execute(_FIND_ORPHANS, (owner, _ORPHANS_A_GROUP)).fetchall()
        if not rows:
            break
        log.warning("ledger.orphans", owner=owner, holds=len(rows))
        answers = committer.commit([VoidOrder(row[0], row[1], Mode(row[2]), Outcome.EXPIRED) for row in rows])
        failed = [answer for answer in answers if isinstance(answer, Exception)]
        if failed:
            raise failed[0]
    if outbox is not None:
        outbox.unlink(missing_ok=True)
    if owner != committer.owner:
        committer.change(lambda connection, _: connection.execute(_DROP_PROCESS, (owner,)))
        remove_lease(data_dir, owner)


def _collect(committer: Committer, now_us: int, make_id: Callable[[str], str]) -> None:
    """Gives refunds that wait for running calls what those that have ended gave back."""

    def collect(organization_id: str, mode: str, connection: sqlite3.Connection, books: Books) -> None:
        desk = Desk(connection, books, now_us, make_id)
        collect_owed(desk, desk.book(organization_id, mode))

    owing = committer.connection().execute(_FIND_OWING, (_WALLETS_A_SWEEP,))
    _each(committer, [row[:2] for row in owing], collect)


def _expire(committer: Committer, now_us: int, make_id: Callable[[str], str]) -> None:
    def expire(organization_id: str, mode: str, connection: sqlite3.Connection, books: Books) -> None:
        expire_credit(connection, books.book(connection, organization_id, Mode(mode)), now_us, make_id)

    expiring = committer.connection().execute(_FIND_EXPIRING, (now_us // 1_000_000, _WALLETS_A_SWEEP))
    _each(committer, [row[:2] for row in expiring], expire)


def _tidy(committer: Committer, now_us: int) -> None:
    bounds = (now_us - KEY_RETENTION_US, now_us - QUOTE_RETENTION_US)
    connection = committer.connection()
    if connection.execute(_FIND_OLD, bounds).fetchone()[0]:

        def tidy(connection: sqlite3.Connection, _: Books) -> None:
            connection.execute(_DROP_KEYS, (bounds[0], _ROWS_A_SWEEP))
            connection.execute(_DROP_QUOTES, (bounds[1], _ROWS_A_SWEEP))

        committer.change(tidy)
